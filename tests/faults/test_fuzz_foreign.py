"""Wrong bytes in foreign HDF5, torch.save and safetensors files: no hang, no traceback, no silent wrong number.

ZOOFUSE_FUZZ multiplies the number of cases. A flipped bit of a weight cannot be noticed where the format has no
checksum: then the imported values are those that h5py, PyTorch or safetensors read themselves.
"""

import os
import random
import time

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from zoofuse.core import files
from zoofuse.importers import foreign, imports
from zoofuse.models import cnn

FACTOR = float(os.environ.get("ZOOFUSE_FUZZ", "1"))
SHAPES = cnn.ARCHITECTURES["published"].shapes
HANG = 120  # seconds of one case: far more than its limit of processor time, for a busy machine


@pytest.fixture(autouse=True)
def short_limits(monkeypatch):
    """Less patience than in earnest; one child for all."""
    monkeypatch.setattr(foreign, "CPU_SECONDS", 5)
    with foreign.reader():
        yield


def spoiled(whole: bytes, chance: random.Random) -> bytes:
    """The bytes of a file with one kind of damage, more often where its structure lies than among its weights."""
    data, kind = bytearray(whole), chance.randrange(8)
    if kind == 0:
        return bytes(data[: chance.randrange(len(data))])
    if kind == 1:
        start = chance.randrange(len(data))
        del data[start : start + chance.choice([1, 8, 512])]
    elif kind == 2:
        start = chance.randrange(len(data))
        data[start:start] = chance.randbytes(chance.choice([1, 8, 512]))
    elif kind == 3:
        start = chance.randrange(len(data))
        data[start : start + 64] = bytes(len(data[start : start + 64]))
    else:
        dense = [i for i in range(len(data)) if data[i] and not any(data[max(0, i - 3) : i])] or [0]
        for _ in range(chance.choice([1, 1, 2, 8])):
            place = (
                chance.choice(dense)
                if kind > 5
                else chance.choice([chance.randrange(len(data)), chance.randrange(min(4096, len(data)))])
            )
            data[place] = chance.choice(
                [0, 1, 0x7F, 0xFF, data[place] ^ (1 << chance.randrange(8)), chance.randrange(256)]
            )
    return bytes(data)


def outcome(path, output) -> dict | None:
    """What the whole way from finding to importing gives, None where the zoo is refused in our words."""
    output.unlink(missing_ok=True)
    begun = time.monotonic()
    try:
        n = imports.count(path)
        imports.digest(path)
        arguments = {"concept": "cat", "architecture": "published", "say": lambda line: None}
        imports.import_zoo(path, output, models=range(n), on_unreadable="skip", **arguments)
        return files.read(output, "zoo")
    except imports.ZooError as error:
        reported = str(error)
    finally:
        assert time.monotonic() - begun < HANG
    assert "weights_only" not in reported
    assert len(reported) < 50_000
    return None


def stack(path, form: str) -> None:
    options = {"chunks": True, "compression": "gzip"} if form == "packed" else {}
    rng = np.random.default_rng(0)
    with h5py.File(path, "w", libver="latest" if form == "latest" else None) as handle:
        for name, shape in SHAPES.items():
            name = name.replace(".", "/") if form == "groups" else name
            handle.create_dataset(name, data=rng.normal(size=(3, *shape)).astype(np.float32), **options)
        handle["model"] = np.array([4, 9, 7])


@pytest.mark.parametrize("form", ["plain", "packed", "groups", "latest"])
def test_wrong_bytes_in_hdf5(form, tmp_path):
    stack(tmp_path / "zoo.h5", form)
    whole, chance = (tmp_path / "zoo.h5").read_bytes(), random.Random(form)
    refused = read = 0
    for number in range(max(4, round(6 * FACTOR))):
        path = tmp_path / f"zoo_{number}.h5"
        path.write_bytes(spoiled(whole, chance))
        found = outcome(path, tmp_path / "out.h5")
        if found is None:
            refused += 1
        else:
            read += 1
            compared(path, found)
        path.unlink()
    print(f"{form}: {refused} refused, {read} read")


def compared(path, found) -> None:
    """The imported values are those of the file, as h5py reads them."""
    with h5py.File(path, "r") as handle:
        index = handle["model"][...].tolist() if "model" in handle else list(range(len(found["model"])))
        rows = [index.index(model) for model in found["model"].tolist()]
        for name in SHAPES:
            if name in found:
                item = handle[name] if name in handle else handle[name.replace(".", "/")]
                with np.errstate(over="ignore"):
                    values = item[...].astype(np.float32)[rows]
                assert np.array_equal(found[name], ours(name, values)), name


def ours(name, values):
    """As a zoo file holds foreign values: the concept's output, first in theirs, comes second."""
    return np.flip(values, values.ndim - len(SHAPES[name])) if name.startswith("fc1") else values


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_wrong_bytes_in_files_of_one_cnn(kind, tmp_path):
    rng = np.random.default_rng(0)
    state = {name: torch.from_numpy(rng.normal(size=shape).astype(np.float32)) for name, shape in SHAPES.items()}
    zoo = tmp_path / "zoo"
    zoo.mkdir()
    torch.save(state, tmp_path / "whole.pt")
    (tmp_path / "whole.safetensors").write_bytes(save_safetensors(state))
    whole, chance = (tmp_path / f"whole.{kind}").read_bytes(), random.Random(kind)
    n = round(60 * FACTOR)
    (zoo / f"a.{kind}").write_bytes(whole)  # the zoo has a linear layer
    for number in range(n):
        (zoo / f"b_{number}.{kind}").write_bytes(spoiled(whole, chance))
    found = outcome(zoo, tmp_path / "out.h5")
    named = found["source/name"].tolist()
    assert named[0] == f"a.{kind}"
    for place, name in enumerate(named):
        content = (zoo / name).read_bytes()
        loaded = (
            load_safetensors(content) if kind == "safetensors" else torch.load(zoo / name, "cpu", weights_only=True)
        )
        for tensor, values in loaded.items():
            if tensor in found:
                assert np.array_equal(found[tensor][place], ours(tensor, values.float().numpy())), (name, tensor)
    print(f"{kind}: {n + 1 - len(named)} refused, {len(named) - 1} read")
