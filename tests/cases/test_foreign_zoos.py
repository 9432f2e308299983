"""Zoos of other people as public reports describe them: read, or refused with the cause and the way out."""

import io
import json
import os
import pickle
import signal
import socket
import warnings
import zipfile

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zoofuse.core import files
from zoofuse.importers import foreign, imports
from zoofuse.models import cnn
from zoofuse.preflight import folder_checks

SHAPES = cnn.ARCHITECTURES["published"].shapes
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 15000\n"


@pytest.fixture(autouse=True, scope="module")
def one_child():
    """One process that reads foreign files for all tests: loading PyTorch takes seconds."""
    with foreign.reader():
        yield


def state(number: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(number)
    return {name: torch.from_numpy(rng.normal(size=shape).astype(np.float32)) for name, shape in SHAPES.items()}


def load(path, **more) -> dict:
    output = path.parent / f"out-{path.name}.h5"
    arguments = {"concept": "cat", "concept_output": 1, "architecture": "published", "say": lambda line: None} | more
    imports.import_zoo(path, output, models=range(imports.count(path)), **arguments)
    return files.read(output, "zoo")


def same(read: dict, wanted: dict) -> None:
    for name in SHAPES:
        assert np.array_equal(read[name][0], wanted[name].float().numpy()), name


def refused(path, **more) -> str:
    with pytest.raises(imports.ZooError) as error:
        load(path, **more)
    assert "weights_only" not in str(error.value)
    return str(error.value)


@pytest.fixture
def zoo(tmp_path):
    """A folder for one CNN's file."""
    path = tmp_path / "zoo"
    path.mkdir()
    return path


def stack(path, n: int = 3, more=lambda handle: None, **options) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(n, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    with h5py.File(path, "w") as handle:
        for name, values in arrays.items():
            handle.create_dataset(name, data=values, **options)
        more(handle)
    return arrays


# ---------------------------------------------------------------------------------------------- case 15: prefixes

PREFIXES = [
    "_orig_mod.",
    "_orig_mod.module.",
    "module.",
    "module.module.",
    "module._orig_mod.",
    "model.",
    "net.",
    "ddp.model.",
    "ema.",
    "_forward_module.",
    "_fsdp_wrapped_module.",
    "module._fsdp_wrapped_module._checkpoint_wrapped_module.",
]


@pytest.mark.parametrize("saved", ["pt", "safetensors", "h5", "groups"])
def test_case_15_prefixes_are_taken_off(saved, zoo, tmp_path):
    for prefix in PREFIXES:
        tensors = {prefix + name: values for name, values in state().items()}
        path = tmp_path / "zoo.h5"
        if saved in ("h5", "groups"):
            with h5py.File(path, "w") as handle:
                for name, values in tensors.items():
                    handle[name.replace(".", "/") if saved == "groups" else name] = values[None].numpy()
        else:
            path = zoo
            save = torch.save if saved == "pt" else save_file
            save(tensors, zoo / f"cnn.{saved}")
        same(load(path), state())


def test_case_15_wrappers_within_names(zoo):
    torch.save({n.replace(".", "._checkpoint_wrapped_module."): v for n, v in state().items()}, zoo / "a.pt")
    same(load(zoo), state())


def test_case_15_averaged_model(zoo):
    module = {"module." + name: values for name, values in state().items()}
    torch.save({"n_averaged": torch.tensor(5)} | module, zoo / "a.pt")
    same(load(zoo), state())
    same(load(zoo, names={layer: f"module.{layer}" for layer in ("conv1", "conv2", "fc1")}), state())


@pytest.mark.parametrize("form", ["flat", "nested", "plain"])
def test_case_15_a_copy_beside_is_ambiguous(form, zoo):
    own, ema = state(0), state(1)
    prefix = {"flat": "model.", "nested": "model.", "plain": ""}[form]
    copy = {"flat": "ema.", "nested": "model_ema.", "plain": "ema."}[form]
    if form == "nested":
        torch.save({"model": own, "model_ema": ema, "epoch": 3}, zoo / "a.pt")
    else:
        both = {prefix + name: values for name, values in own.items()}
        torch.save(both | {copy + name: values for name, values in ema.items()}, zoo / "a.pt")
    reported = refused(zoo)
    assert "layers: {conv1: " in reported
    assert f"{prefix}conv1 or {copy}conv1" in reported
    layers = ("conv1", "conv2", "fc1")
    same(load(zoo, names={layer: copy + layer for layer in layers}), ema)
    same(load(zoo, names={layer: prefix + layer for layer in layers}), own)


# ---------------------------------------------------------------------------------------------- case 17: programs


def test_case_17_torchscript(zoo):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Conv2d(3, 6, 5)), zoo / "a.pt")
    reported = refused(zoo)
    assert "a TorchScript program, which is not opened; save net.state_dict() with torch.save" in reported


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return content.getvalue()


def saved(value) -> bytes:
    content = io.BytesIO()
    value(content)
    return content.getvalue()


OTHERS = {
    "torch.export program": zipped("archive/models/model.json", "archive/data/weights/w"),
    "NumPy archive": saved(lambda file: np.savez(file, a=np.zeros(3))),
    "NumPy array": saved(lambda file: np.save(file, np.zeros(3))),
    "Keras model": zipped("config.json", "model.weights.h5"),
    "a pickle, which may run code": pickle.dumps({"a": 1}),
    "old format (before PyTorch 1.6)": saved(
        lambda file: torch.save({"a": torch.zeros(2)}, file, _use_new_zipfile_serialization=False)
    ),
    "GGUF": b"GGUF\3\0\0\0" + bytes(64),
    "ONNX": b"\x08\x08\x12\x07pytorch" + bytes(64),
    "a gzip archive": b"\x1f\x8b\x08" + bytes(64),
    "tar archive": bytes(257) + b"ustar" + bytes(250),
    "an HTML page": b"<!DOCTYPE html><html>log in</html>",
    "a text file, which begins with": b'{"error": "not found"}',
    "Git LFS pointer": LFS,
    "empty file": b"",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(64),
}


def test_case_17_and_27_other_formats_are_named(zoo):
    for number, content in enumerate(OTHERS.values()):
        (zoo / f"cnn_{number:02d}.pt").write_bytes(content)
    torch.save(state(), zoo / "good.pt")
    skipped = []
    same(load(zoo, on_unreadable="skip", say=skipped.append), state())
    named = files.attributes(zoo.parent / "out-zoo.h5", "zoo")["skipped"]
    assert named["count"] == len(OTHERS)
    for number, (reported, content) in enumerate(OTHERS.items()):
        for path in zoo.iterdir():
            path.unlink()
        (zoo / f"cnn_{number:02d}.pt").write_bytes(content)
        assert reported in refused(zoo)


def test_case_17_folders_of_other_formats_are_named(zoo):
    (zoo / "a.ckpt").write_bytes(b"")
    (zoo / "b.onnx").write_bytes(b"")
    reported = refused(zoo)
    others = "1 .ckpt (checkpoints of PyTorch Lightning or TensorFlow), 1 .onnx (ONNX models)"
    assert f"{others}, which are not read" in reported


# ---------------------------------------------------------------------------------------------- case 18: slices


def test_case_18_slices_of_larger_tensors(zoo):
    torch.save({name: values.expand(2000, *values.shape).clone()[0] for name, values in state().items()}, zoo / "a.pt")
    reported = refused(zoo)
    assert "Its tensors take 14,696, but are slices of larger ones" in reported
    assert "tensor.clone()" in reported


# ---------------------------------------------------------------------------------------------- case 19: links


def test_case_19_links_within_the_file_are_read(tmp_path):
    def more(handle):
        handle["alias"] = handle["conv1.weight"]
        handle["again/conv1.weight"] = handle["conv1.weight"]
        handle["soft"] = h5py.SoftLink("/conv1.weight")
        handle["a_group"] = handle["again"]
        handle["again/itself"] = handle["again"]
        handle["nowhere"] = h5py.SoftLink("/not/there")
        handle["round"] = h5py.SoftLink("/round")

    arrays = stack(tmp_path / "zoo.h5", more=more)
    read = load(tmp_path / "zoo.h5")
    assert all(np.array_equal(read[name], values) for name, values in arrays.items())


def test_case_19_a_soft_link_may_be_the_only_name(tmp_path):
    def more(handle):
        handle.move("conv1.weight", "kept/first")
        handle["conv1.weight"] = h5py.SoftLink("/hop/first")
        handle["hop"] = h5py.SoftLink("kept")

    arrays = stack(tmp_path / "zoo.h5", more=more)
    assert np.array_equal(load(tmp_path / "zoo.h5")["conv1.weight"], arrays["conv1.weight"])


def test_case_19_links_outside_are_refused(tmp_path):
    stack(tmp_path / "other.h5")
    for link in (h5py.ExternalLink("other.h5", "/fc1.bias"), h5py.SoftLink("/way/fc1.bias")):

        def more(handle, link=link):
            del handle["fc1.bias"]
            handle["fc1.bias"] = link
            handle["way"] = h5py.ExternalLink("other.h5", "/")

        stack(tmp_path / "zoo.h5", more=more)
        assert "is stored in another file, which is not read" in refused(tmp_path / "zoo.h5")


# ---------------------------------------------------------------------------------------------- case 27, 01: no file


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.safetensors", "a.h5"])
def test_case_27_git_lfs_pointers(name, zoo):
    (zoo / name).write_bytes(LFS)
    path = zoo / name if name.endswith("h5") else zoo
    assert "a Git LFS pointer, not the file itself; run git lfs pull" in refused(path)


def test_case_01_links_that_lead_nowhere_are_named(zoo):
    torch.save(state(), zoo / "cnn_0.pt")
    (zoo / "cnn_1.pt").symlink_to("/offline/cnn_1.pt")
    (zoo / "cnn_2.pt").symlink_to("cnn_2.pt")
    assert imports.count(zoo) == 3
    imports.digest(zoo)
    reported = refused(zoo)
    assert "cnn_1.pt: a link to '/offline/cnn_1.pt', which is not there" in reported
    assert "cnn_2.pt: a link that leads to itself" in reported
    assert load(zoo, on_unreadable="skip")["model"].tolist() == [0]
    (zoo.parent / "zoo.h5").symlink_to("/offline/zoo.h5")
    assert "a link to '/offline/zoo.h5', which is not there" in refused(zoo.parent / "zoo.h5")


def test_case_01_trials_that_lead_nowhere_are_named(zoo):
    (zoo / "t_0/checkpoint_1").mkdir(parents=True)
    torch.save(state(), zoo / "t_0/checkpoint_1/checkpoint")
    (zoo / "t_1").symlink_to("/offline/t_1")
    (zoo / "t_2/checkpoint_1").mkdir(parents=True)
    (zoo / "t_2/checkpoint_1/checkpoints").symlink_to("/offline/checkpoints")
    reported = refused(zoo)
    assert "t_1: a link to '/offline/t_1', which is not there" in reported
    assert "t_2: a link to '/offline/checkpoints', which is not there" in reported


def test_what_is_no_file_does_not_hang(zoo):
    torch.save(state(), zoo / "cnn_0.pt")
    os.mkfifo(zoo / "pipe.pt")
    (zoo / "folder.pt").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(zoo)  # a socket's name may have 107 bytes
        listening.bind("socket.pt")
        os.chdir(here)
    (zoo / "device.pt").symlink_to("/dev/zero")
    reported = refused(zoo)
    for named in ("pipe.pt: a named pipe (FIFO)", "folder.pt: a folder", "socket.pt: a socket", "device.pt: a device"):
        assert f"{named}, not a file" in reported
    os.mkfifo(zoo.parent / "zoo.h5")
    assert "a named pipe (FIFO), not a file" in refused(zoo.parent / "zoo.h5")
    with pytest.raises(imports.ZooError, match=r"a named pipe \(FIFO\), not a file"):
        imports.import_generators(zoo.parent / "zoo.h5", "conv1", zoo.parent / "made.h5")


def test_names_that_are_not_utf8(zoo):
    torch.save(state(), zoo / os.fsdecode(b"cnn_\xff\x1b[31m.pt"))
    (zoo / "b\n.pt").write_bytes(b"")
    read = load(zoo, on_unreadable="skip")
    assert read["source/name"].tolist() == ["cnn_\N{REPLACEMENT CHARACTER}\\x1b[31m.pt"]
    assert "b\\n.pt: empty file" in refused(zoo)


# ---------------------------------------------------------------------------------------------- case 46, 47, 49


def test_case_46_every_form_of_state_dict_keeps_its_values(zoo):
    forms = {
        "channels_last": lambda v: v.to(memory_format=torch.channels_last) if v.dim() == 4 else v,
        "transposed": lambda v: v.transpose(-1, -2).contiguous().transpose(-1, -2) if v.dim() > 1 else v,
        "parameter": nn.Parameter,
        "slice": lambda v: torch.stack([v, v])[1],
        **{str(d): lambda v, d=d: v.to(d) for d in (torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn)},
    }
    states = [{name: change(values) for name, values in state().items()} for change in forms.values()]
    for number, each in enumerate(states):
        torch.save(each, zoo / f"cnn_{number}.pt")
    read = load(zoo)
    for number, each in enumerate(states):
        for name in SHAPES:
            assert np.array_equal(read[name][number], each[name].detach().float().numpy()), (list(forms)[number], name)


def test_case_47_odd_state_dicts_are_named(zoo):
    good = state()
    torch.save(good, zoo / "good.pt")
    torch.save(nn.Conv2d(3, 6, 5), zoo / "whole.pt")
    torch.save({name: values.numpy() for name, values in good.items()}, zoo / "numpy.pt")
    torch.save(good | {"fc1.bias": torch.tensor([torch.nan, 0])}, zoo / "nan.pt")
    torch.save(good | {"fc1.bias": torch.tensor([1e300, 0], dtype=torch.float64)}, zoo / "inf.pt")
    torch.save(good | {"conv1.weight": torch.zeros(8, 1, 5, 5)}, zoo / "other.pt")
    (zoo / "cut.pt").write_bytes((zoo / "good.pt").read_bytes()[:5000])
    reported = refused(zoo)
    for part in (
        "whole.pt: refused and not run: it asks for torch.nn.modules.conv.Conv2d; save net.state_dict() alone",
        "numpy.pt: refused and not run: it asks for numpy",
        "inf.pt, nan.pt: contains NaN or Inf: fc1.bias",
        "other.pt: conv1.weight is (8, 1, 5, 5), not (6, 3, 5, 5)",
        "cut.pt: truncated or corrupt",
    ):
        assert part in reported


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "gzip", "shuffle": True}, {"compression": "lzf", "fletcher32": True}, {"chunks": True},
     {"dtype": "f2"}, {"dtype": ">f4"}, {"dtype": "f8"}],
)  # fmt: skip
def test_case_49_hdf5_of_every_kind(options, tmp_path):
    arrays = stack(tmp_path / "zoo.h5", 40, **options)
    read = load(tmp_path / "zoo.h5")
    for name, values in arrays.items():
        assert np.array_equal(read[name], values.astype(options.get("dtype", "f4")).astype(np.float32))


@pytest.mark.parametrize("options", [{"userblock_size": 1024}, {"libver": "latest"}])
def test_case_49_hdf5_of_every_version(options, tmp_path):
    path = tmp_path / "zoo.h5"
    with h5py.File(path, "w", **options) as handle:
        for name, values in state().items():
            handle[name] = values[None].numpy()
    same(load(path), state())


# ---------------------------------------------------------------------------------------------- blow-ups


class Bytes:
    def __reduce__(self):
        return bytearray, (4 * 10**9,)


def test_a_small_file_does_not_take_all_memory(zoo):
    torch.save(state(), zoo / "good.pt")
    torch.save(state() | {"more": Bytes()}, zoo / "bytes.pt")
    content = zipfile.ZipFile(zoo / "lies.pt", "w", zipfile.ZIP_DEFLATED)
    with content as archive, zipfile.ZipFile(zoo / "good.pt") as good:
        for entry in good.infolist():
            archive.writestr(entry.filename, good.read(entry))
        archive.writestr("good/data/99", bytes(2**26))
    reported = refused(zoo)
    assert "bytes.pt: needs more than 1,024 MiB of memory" in reported
    assert "lies.pt: 67,1" in reported
    assert "bytes unpacked; at most 16,777,216 are read" in reported
    assert load(zoo, on_unreadable="skip")["model"].tolist() == [1]


def claims(path, **options) -> None:
    with h5py.File(path, "w") as handle:
        for name, shape in SHAPES.items():
            handle.create_dataset(name, (10**12, *shape), "f4", chunks=(1, *shape), **options)


def test_an_hdf5_that_claims_too_much_is_refused_by_the_plan(tmp_path):
    claims(tmp_path / "zoo.h5")
    config = {"zoo_root": str(tmp_path), "concepts": {"cat": {"zoo": "zoo.h5", "models": None}}}
    with pytest.raises(ValueError, match=r"conv1\.(bias|weight) claims \(1000000000000, 6.*bytes of it are stored"):
        folder_checks.count_zoo(config, "cat")


def test_rows_that_were_never_written_are_refused(tmp_path):
    path = tmp_path / "zoo.h5"
    with h5py.File(path, "w") as handle:
        for name, shape in SHAPES.items():
            made = handle.create_dataset(name, (30, *shape), "f4", chunks=(3, *shape))
            made[:3] = 1
    assert "of its 10 chunks were never written" in refused(path)


@pytest.mark.parametrize("form", ["nested", "many", "names"])
def test_hdf5_of_thousands_of_groups_does_not_hang(form, tmp_path):
    def more(handle):
        group = handle
        if form == "nested":
            for _ in range(3000):
                group = group.create_group("g")
        elif form == "many":
            for number in range(12_000):
                handle.create_group(f"g{number}")
        else:
            for number in range(40):  # 2**40 paths
                below = handle.create_group(f"g{number}")
                group["a"] = group["b"] = below
                group = below

    stack(tmp_path / "zoo.h5", more=more)
    reported = refused(tmp_path / "zoo.h5")
    assert "so it is not a zoo of stacked parameters" in reported


def test_rows_far_apart_do_not_cost_those_between(tmp_path, monkeypatch):
    n, each = 100_000, 1000
    with h5py.File(tmp_path / "zoo.h5", "w") as handle:
        for name, shape in SHAPES.items():
            made = handle.create_dataset(name, (n, *shape), "f4", chunks=(each, *shape), compression="gzip")
            made[:each] = 1
            packed = made.id.read_direct_chunk((0,) * (1 + len(shape)))[1]
            for start in range(each, n, each):
                made.id.write_direct_chunk((start,) + (0,) * len(shape), packed)
        index = np.arange(n)
        index[[0, 1, 2, 3]], index[[50_000, 99_999]] = [50_000, 99_999, 2, 3], [0, 1]
        handle["model"] = index
    monkeypatch.setattr(foreign, "MEMORY", 2**28)  # conv2.weight alone unpacks to 960 MB
    arguments = {"concept": "cat", "architecture": "published", "say": lambda line: None}
    imports.import_zoo(tmp_path / "zoo.h5", tmp_path / "out.h5", models=range(4), **arguments)
    read = files.read(tmp_path / "out.h5", "zoo")
    assert read["model"].tolist() == [0, 1, 2, 3]
    assert (read["conv2.weight"] == 1).all()


def test_hdf5_with_odd_names_and_types(tmp_path):
    def odd(handle):
        handle[b"\xff\xfe"] = np.zeros(3)
        handle["x" * 5000] = h5py.Empty("f4")
        handle["notes"] = np.array(["ä"], object)

    arrays = stack(tmp_path / "zoo.h5", more=odd)
    assert np.array_equal(load(tmp_path / "zoo.h5")["conv1.bias"], arrays["conv1.bias"])


@pytest.mark.parametrize(
    "values",
    [h5py.Empty("f4"), np.zeros(3, [("a", "f4")]), np.array(["a", "b", "c"], object), np.zeros((3, 6), bool), 1.0],
)
def test_hdf5_of_other_types_is_refused(values, tmp_path):
    def more(handle):
        del handle["conv1.bias"]
        handle["conv1.bias"] = values

    stack(tmp_path / "zoo.h5", more=more)
    assert "conv1.bias" in refused(tmp_path / "zoo.h5")


@pytest.mark.parametrize("how", ["SIGSEGV", "SIGBUS", "SIGKILL"])
def test_a_crash_is_one_odd_file(how, zoo, monkeypatch):
    for name in ("a", "b", "c"):
        torch.save(state(), zoo / f"{name}.pt")
    ask = foreign.Reader.ask

    def crashing(child, operation, **arguments):
        if arguments.get("path", "").endswith("b.pt"):
            os.kill(child._process.pid, signal.Signals[how])
        return ask(child, operation, **arguments)

    monkeypatch.setattr(foreign.Reader, "ask", crashing)
    assert load(zoo, on_unreadable="skip")["model"].tolist() == [0, 2]
    cause = (
        "was killed, probably because memory ran out" if how == "SIGKILL" else f"PyTorch crashed on this file ({how})"
    )
    assert cause in refused(zoo)


def test_a_file_that_takes_too_long_is_one_odd_file(zoo, monkeypatch):
    torch.save(state(), zoo / "good.pt")
    with zipfile.ZipFile(zoo / "slow.pt", "w") as archive:
        archive.writestr("slow/data.pkl", b"\x80\x02}" + b"q\x00" * 7_000_000 + b".")  # remembers one dict for ever
        archive.writestr("slow/version", b"3\n")
    monkeypatch.setattr(foreign, "CPU_SECONDS", 1)
    assert "slow.pt: not read within 1 seconds of CPU time" in refused(zoo)
    assert load(zoo, on_unreadable="skip")["model"].tolist() == [0]


# ---------------------------------------------------------------------------------------------- trials


@pytest.mark.parametrize(
    ("lines", "accuracy"),
    [
        (b'{"accuracy": 0.5}\n{"accuracy": NaN}\n', np.nan),
        (b'{"accuracy": 0.5}\n{"accuracy": 1' + b"0" * 400 + b"}\n", 0.5),
        (b'{"accuracy": 0.5}\n{"accuracy": 1e999}\n', np.nan),
        (b'{"accuracy": 0.5}\n' + b"[" * 100_000, 0.5),
        (b'{"accuracy": 0.5}\n' + b'{"config": "' + b"x" * 3_000_000 + b'", "accuracy": 0.75}\n', 0.75),
        (b'{"accuracy": 0.5}\n\xff\xfe\0', 0.5),
        (b"", np.nan),
    ],
)
def test_odd_results_of_trials(lines, accuracy, zoo):
    (zoo / "t/checkpoint_000001").mkdir(parents=True)
    torch.save(state(), zoo / "t/checkpoint_000001/checkpoint")
    for odd in ("checkpoint_", "checkpoint_-1", "checkpoint_tmp9", "checkpoint_\N{SUPERSCRIPT TWO}"):
        (zoo / "t" / odd).mkdir()
    (zoo / "t/result.json").write_bytes(lines)
    read = load(zoo)
    same(read, state())
    assert np.array_equal(read["source/accuracy"], np.float32([accuracy]), equal_nan=True)


def test_a_pipe_as_result_does_not_hang(zoo):
    (zoo / "t/checkpoint_000001").mkdir(parents=True)
    torch.save(state(), zoo / "t/checkpoint_000001/checkpoint")
    os.mkfifo(zoo / "t/result.json")
    assert np.isnan(load(zoo)["source/accuracy"][0])
    assert json.dumps(imports.digest(zoo))
