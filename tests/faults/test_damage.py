"""Damaged, foreign and hostile files at every stage that reads one: refused by name, never read wrongly."""

import contextlib
import hashlib
import json
import random
import shutil
import struct
import time
import zlib
from dataclasses import asdict

import h5py
import numpy as np
import pytest
from safetensors.numpy import save

from zoofuse.core import files
from zoofuse.core.errors import FileError
from zoofuse.data import images
from zoofuse.importers import imports
from zoofuse.methods import kernels
from zoofuse.methods.cyclegan.io import read_generators
from zoofuse.methods.cyclegan.settings import settings as cyclegan_settings
from zoofuse.methods.cyclegan.train import train as train_cyclegan
from zoofuse.netspace import spaces
from zoofuse.zoo import zoo

FLIPS = 40  # in each file, twice
WAY_OUT = "Delete the file and run the same snakemake command again: it will be regenerated."


def read(kind: str):
    return lambda path: files.read(path, kind)


STAGES = {  # what a job reads, and how
    "images/cat.h5": images.read_concept,
    "test_images/black_cat.h5": images.read_test,
    "zoo/cat/shard-0000.h5": lambda path: zoo.read([path]),
    "kernels/black_cat/conv1.h5": kernels.read,
    "cyclegan/black_cat/conv1/generators.h5": read_generators,
    "generated/black_cat/cyclegan.h5": read("zoo"),
    "evaluation/black_cat/cyclegan/shard-0000.h5": read("predictions"),
    "evaluation/black_cat/baselines.h5": read("predictions"),
    "zero_shot/black_cat/cyclegan/shard-0000.h5": read("predictions"),
    "netspace/black_cat/predictions.h5": read("netspace predictions"),
    "netspace/black_cat/space.h5": lambda path: vars(spaces.read(path, ())),
}


def flat(value) -> list:
    """Everything a reader returned, in one order."""
    if isinstance(value, dict):
        return [part for key in sorted(value) for part in (key, *flat(value[key]))]
    if isinstance(value, tuple | list):
        return [part for item in value for part in flat(item)]
    return [np.asarray(value).tobytes() if hasattr(value, "__array__") else repr(value)]


@pytest.fixture(scope="module")
def results(whole, tmp_path_factory):
    """The files of a whole run, and NetSpace's."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(whole.folder / "results", folder, dirs_exist_ok=True)
    drawn = np.random.default_rng(1).random((4, 8, 2), np.float32)
    files.write(folder / "netspace/black_cat/predictions.h5", "netspace predictions", {"a/predictions": drawn})
    arrays, settings = {"decoder/0": drawn, "history/loss": drawn[0, 0]}, asdict(spaces.Settings())
    files.write(folder / "netspace/black_cat/space.h5", "netspace", arrays, settings=settings)
    return folder


@pytest.mark.parametrize("name", STAGES)
def test_no_wrong_bit_is_read(results, tmp_path, name):
    reader, path = STAGES[name], tmp_path / "damaged.h5"
    content, right = (results / name).read_bytes(), flat(reader(results / name))
    rng, detected = random.Random(name), []
    # Anywhere, and among the words of HDF5's own that come first.
    for place in [*rng.sample(range(8 * len(content)), FLIPS), *rng.sample(range(8 * 512, 8 * 4096), FLIPS)]:
        wrong = bytearray(content)
        wrong[place // 8] ^= 1 << place % 8
        path.write_bytes(wrong)
        try:
            assert flat(reader(path)) == right, f"bit {place} is read wrongly"
        except FileError as error:
            detected.append(str(error))
    assert all(said.startswith(f"{path}: ") and WAY_OUT in said for said in detected)
    assert len(detected) == 2 * FLIPS


@pytest.mark.parametrize("name", STAGES)
def test_truncated_and_foreign_files_are_refused_by_name(results, tmp_path, name):
    path, content = tmp_path / "damaged.h5", (results / name).read_bytes()
    with h5py.File(tmp_path / "foreign.h5", "w") as handle:
        handle["images"] = [1]
    files.write(tmp_path / "other.h5", "something else", {})
    damaged = [content[:n] for n in (0, 1, 100, 512, 600, 2000, len(content) // 2, len(content) - 1)]
    damaged += [(tmp_path / file).read_bytes() for file in ("foreign.h5", "other.h5")] + [b"no HDF5 at all"]
    for wrong in damaged:
        path.write_bytes(wrong)
        with pytest.raises(FileError) as error:
            STAGES[name](path)
        assert str(error.value).startswith(f"{path}: ")
        assert WAY_OUT in str(error.value) or "holds 'something else', expected" in str(error.value)


def test_an_unfinished_cyclegan_with_a_damaged_state_starts_anew(tmp_path, capsys):
    a, b = np.random.default_rng(1).random((2, 6, 4, 2, 5, 5), np.float32)
    settings = cyclegan_settings("report", "conv1", epochs=2, hidden=2, batch_size=4)
    state = tmp_path / "state.h5"
    right = flat(train_cyclegan(a, b, settings, 1, state_path=state).generators)
    content = state.read_bytes()
    for place in random.Random(1).sample(range(512, len(content)), 10):
        state.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert flat(train_cyclegan(a, b, settings, 1, state_path=state).generators) == right
    assert capsys.readouterr().out.count("ignored, training restarts") == 10


def sealed(path):
    """The HDF5 with a valid checksum before it, as who forges one would give it."""
    content = path.read_bytes()
    path.write_bytes(files._header(hashlib.sha256(content).hexdigest()) + content)


@contextlib.contextmanager
def forged(path):
    """An HDF5 that says it is ours."""
    with h5py.File(path, "w") as handle:
        handle.attrs["kind"], handle.attrs["format_version"] = "zoo", files.FORMAT_VERSION
        yield handle
    sealed(path)


def pointing_outside(path, secret):
    """HDF5 files, one after another, that would make their reader open another file."""
    with h5py.File(secret, "w") as handle:
        handle["x"] = np.zeros(4, np.float32)
    raw = secret.with_suffix(".raw")
    raw.write_bytes(bytes(16))
    layout = h5py.VirtualLayout((4,), np.float32)
    layout[:] = h5py.VirtualSource(str(secret), "x", (4,))
    for make in (
        lambda handle: handle.__setitem__("conv1.weight", h5py.ExternalLink(str(secret), "x")),
        lambda handle: handle.__setitem__("conv1.weight", h5py.SoftLink("/elsewhere")),
        lambda handle: handle.create_virtual_dataset("conv1.weight", layout),
        lambda handle: handle.create_dataset("conv1.weight", (4,), "f4", external=[(str(raw), 0, 16)]),
    ):
        with forged(path) as handle:
            make(handle)
        yield path


def test_hdf5_that_points_to_other_files_is_refused(tmp_path):
    for path in pointing_outside(tmp_path / "forged.h5", tmp_path / "secret.h5"):
        with pytest.raises(FileError, match=r"conv1\.weight is stored in another file, which is not read"):
            files.read(path, "zoo")
        reported = (
            r"conv1\.weight (is stored in another file, which is not read|is a soft link to /elsewhere, which is not)"
        )
        for reader in (imports.count, lambda path: imports.import_generators(path, "conv1", tmp_path / "made.h5")):
            with pytest.raises(imports.ZooError, match=reported):
                reader(path)
        assert not (tmp_path / "made.h5").exists()


def test_a_shape_that_no_memory_holds_is_refused(tmp_path):
    with forged(tmp_path / "forged.h5") as handle:
        handle.create_dataset("conv1.weight", (2**40,), "f4")  # nothing of it is on the disk
    with pytest.raises(FileError, match=r"dataset conv1\.weight is corrupt \(its shape is"):
        files.read(tmp_path / "forged.h5", "zoo")


def deep(handle):
    for _ in range(3000):
        handle = handle.create_group("g")


def cyclic(handle):
    handle["again"] = handle["/"]


HOSTILE = {
    "a null dataspace": lambda handle: handle.__setitem__("x", h5py.Empty("f4")),
    "a compound type": lambda handle: handle.__setitem__("x", np.zeros(2, [("a", "f4"), ("b", "i8")])),
    "references": lambda handle: handle.create_dataset("x", (2,), h5py.ref_dtype),
    "arrays of any length": lambda handle: handle.create_dataset("x", (2,), h5py.vlen_dtype("f4")),
    "opaque bytes": lambda handle: handle.__setitem__("x", np.void(b"abc")),
    "complex numbers": lambda handle: handle.__setitem__("x", np.zeros(2, "c8")),
    "3,000 groups in one another": deep,
    "30,000 groups": lambda handle: [handle.create_group(str(i)) for i in range(30_000)],
    "a group that holds itself": cyclic,
    "a digest of another kind": lambda handle: handle.create_dataset("x", (2,), "f4").attrs.create("sha256", [1, 2]),
    "no digest": lambda handle: handle.create_dataset("x", (2,), "f4"),
    "a kind that is a list": lambda handle: handle.attrs.create("kind", ["zoo", "zoo"]),
    "a kind of no value": lambda handle: handle.attrs.create("kind", h5py.Empty("S3")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_forged_files_with_a_valid_checksum_are_refused_at_once(tmp_path, name):
    with forged(tmp_path / "forged.h5") as handle:
        HOSTILE[name](handle)
    start = time.process_time()
    with pytest.raises(FileError, match=r"forged\.h5: ") as error:
        files.read(tmp_path / "forged.h5", "zoo")
    assert WAY_OUT in str(error.value)
    assert time.process_time() - start < 2


def test_text_that_is_named_again_and_again_is_refused(tmp_path):
    """60,000 references to one text of 1 MB would be 60 GB."""
    path = tmp_path / "forged.h5"
    with h5py.File(path, "w") as handle:
        handle.attrs["kind"], handle.attrs["format_version"] = "zoo", files.FORMAT_VERSION
        handle.create_dataset("x", data=["x" * 1_000_000] + ["y"] * 59_999, dtype=h5py.string_dtype())
        place = handle["x"].id.get_offset()
    content = bytearray(path.read_bytes())
    first = content[place : place + 16]
    content[place : place + 16 * 60_000] = first * 60_000
    path.write_bytes(content)
    sealed(path)
    with pytest.raises(FileError, match=r"dataset x is corrupt \(its text is too long\)"):
        files.read(path, "zoo")


def png(width: int, height: int) -> bytes:
    """An image of no content whose header says how large it is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(100))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (100_000, 100_000), (1, 2**31 - 1)])
def test_an_image_that_says_it_is_huge_is_one_unreadable_image(size):
    assert "pixels; at most 80,000,000 are read, make it smaller" in images.attempt(png(*size))


def test_safetensors_with_an_absurd_header_are_odd_cnns(tmp_path):
    good = save({"conv1.weight": np.zeros(3, np.float32)})
    forged = [struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 2) + b"[]", struct.pack("<Q", len(good)) + good]
    for span in ([0, 2**62], [-4, 8], [8, 4]):
        header = json.dumps({"conv1.weight": {"dtype": "F32", "shape": [3], "data_offsets": span}}).encode()
        forged.append(struct.pack("<Q", len(header)) + header + bytes(12))
    (tmp_path / "zoo").mkdir()
    for content in forged:
        (tmp_path / "zoo/cnn.safetensors").write_bytes(content)
        with pytest.raises(imports.ZooError, match=r"cnn\.safetensors: truncated or corrupt"):
            imports.import_zoo(
                tmp_path / "zoo", tmp_path / "made.h5", concept="cat", architecture="published", models=range(1)
            )
    assert not (tmp_path / "made.h5").exists()
