"""Cases found by strangers: the folder of an exported model is checked, and bounded, before anything is allocated."""

import hashlib
import json
import os
import socket
import struct
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import save

import zoofuse
from zoofuse.export import model_files, models
from zoofuse.models import cnn

PIXELS = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
ABOUT = {"fusion": "black_cat", "method": "cyclegan", "domain": "A", "model": 12, "head": "own",
        "supervision": "concept labels",
         "threshold": 0.25, "seed": 7, "sources": {}}  # fmt: skip


def weights() -> dict[str, np.ndarray]:
    found = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "predict", np.arange(1))
    return {name.replace("fc1", "heads"): values[0] for name, values in found.items()}


@pytest.fixture
def folder(tmp_path):
    models.write(
        tmp_path / "model", weights(), models.configuration(weights(), ["black", "cat"], **ABOUT), "# A card\n"
    )
    return tmp_path / "model"


def forged(folder, change=None, tensors=None, data=None) -> None:
    """Write the files anew with digests that fit, as someone who means harm, or another program, would."""
    config = json.loads((folder / "config.json").read_text())
    config.pop("checksum", None)
    data = data if data is not None else save(tensors or weights())
    (folder / "model.safetensors").write_bytes(data)
    config["sha256"] = hashlib.sha256(data).hexdigest()
    if change:
        change(config)
    (folder / "config.json").write_text(json.dumps(config))


def refused(folder, match: str, file: str = "config.json") -> None:
    with pytest.raises(ValueError, match=match) as error:
        zoofuse.load(folder).predict(PIXELS)
    assert type(error.value) is model_files.ModelError
    assert file in str(error.value)


def test_a_model_of_an_earlier_zoofuse_still_loads(folder):
    """It has no checksum of its configuration, and all other keys."""
    wanted = zoofuse.load(folder).predict(PIXELS)
    forged(folder)
    np.testing.assert_array_equal(zoofuse.load(folder).predict(PIXELS), wanted)
    forged(folder, lambda config: config.update(test={"positive": 1, "negative": 2, "auroc": [1, 0, 1.0],
                                                      "balanced_accuracy": [0.5, 0.5, 0.5]}))  # fmt: skip
    assert zoofuse.load(folder).config["test"]["positive"] == 1


def test_an_edited_threshold_is_noticed_and_can_be_meant(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace("0.25", "0.75"))
    refused(folder, r"corrupt or edited \(checksum mismatch\).*remove its key 'checksum'")
    config = json.loads(path.read_text())
    del config["checksum"]
    path.write_text(json.dumps(config))
    assert zoofuse.load(folder).threshold == 0.75


def put(*keys, value):
    def change(config):
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = value

    return change


FAULTS = {
    "threshold NaN": (put("threshold", value=float("nan")), "NaN is not a number"),
    "threshold Infinity": (put("threshold", value=float("inf")), "Infinity is not a number"),
    "threshold 2": (put("threshold", value=2), r"threshold: .*less than or equal to 1, not 2\."),
    "threshold as text": (put("threshold", value="0.5"), r"threshold: .*valid number, not '0.5'\."),
    "threshold null": (put("threshold", value=None), "threshold: .*valid number"),
    "threshold true": (put("threshold", value=True), "threshold: .*valid number"),
    "no threshold": (lambda config: config.pop("threshold"), "threshold is missing"),
    "no architecture": (lambda config: config.pop("architecture"), "architecture is missing"),
    "no sha256": (lambda config: config.pop("sha256"), "sha256 is missing"),
    "unknown key": (put("threshhold", value=1), "threshhold is not a key"),
    "image_size 2000": (put("architecture", "image_size", value=2000), r"architecture\.image_size: .*equal to 1024"),
    "image_size 0": (put("architecture", "image_size", value=0), r"architecture\.image_size"),
    "image_size 4": (put("architecture", "image_size", value=4), "image_size is too small"),
    "image_size 64": (put("architecture", "image_size", value=64), r"features should be 2704"),
    "image_size 32.0": (put("architecture", "image_size", value=32.5), r"architecture\.image_size: .*integer"),
    "kernel_size": (put("architecture", "kernel_size", value=3), "features should be"),
    "channels of grey images": (put("architecture", "channels", value=[1, 6, 16]), "begin with 3"),
    "many channels": (put("architecture", "channels", value=[3] * 10**5), r"architecture\.channels: .*at most 17"),
    "no channels": (put("architecture", "channels", value=[]), r"architecture\.channels: .*at least 2"),
    "large channels": (put("architecture", "channels", value=[3, 10**9]), r"architecture\.channels\.1: .*4096"),
    "another architecture": (put("architecture", "layers", value="transformer"), r"architecture\.layers: .*'transfor"),
    "parameters": (put("architecture", "parameters", value=7), "parameters should be 3674"),
    "three concepts": (put("concepts", value=["a", "b", "c"]), "parameters should be 4075"),
    "no concepts": (put("concepts", value=[]), "concepts: .*at least 1"),
    "concepts as text": (put("concepts", value="black"), "concepts: .*list, not 'black'"),
    "labels in control characters": (put("labels", "yes", value="\x1b[2Jcat"), r"labels\.yes: holds control char"),
    "labels that turn around": (put("labels", "yes", value="\u202ecat"), r"labels\.yes: holds control char"),
    "labels on two lines": (put("labels", "no", value="a\nb"), r"labels\.no: holds control char"),
    "labels of half a character": (put("labels", "no", value="\ud800"), r"labels\.no: "),
    "long label": (put("labels", "no", value="x" * 10**5), r"labels\.no: .*at most 500"),
    "normalisation": (put("normalisation", "mean", value=[0.485, 0.456, 0.406]), r"normalisation\.mean\.0: .*0\.5"),
    "divide": (put("normalisation", "divide", value=1), r"normalisation\.divide: .*255"),
    "head": (put("head", value="both"), "head: "),
    "negative seed": (put("seed", value=-1), "seed: "),
    "sha256 of another kind": (put("sha256", value="ab"), "sha256: "),
    "a list": (lambda config: put("architecture", value=[])(config), "architecture: "),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_config_json_names_the_key_and_what_is_expected(folder, name):
    change, message = FAULTS[name]
    forged(folder, change)
    refused(folder, message)


JSON = {
    "nested deeply": (b"[" * 200_000, "nested too deeply"),
    "nested deeply in a key": (b'{"format": "zoofuse model", "a": ' + b"[" * 100_000, "nested too deeply"),
    "huge": (b" " * (3 << 20), "at most 1,048,576 are read"),
    "a key twice": (b'{"format": "zoofuse model", "format": "zoofuse model"}', "key 'format' appears twice"),
    "a long number": (b'{"format": ' + b"1" * 10_000 + b"}", "corrupt"),
    "not UTF-8": (b'{"format": "\xff"}', "corrupt"),
    "empty": (b"", "corrupt"),
    "a list": (b"[]", "not a 'zoofuse model' of version 1"),
    "null": (b"null", "not a 'zoofuse model' of version 1"),
    "another version": (b'{"format": "zoofuse model", "format_version": 2}', "not a 'zoofuse model' of version 1"),
    "a list as version": (b'{"format": "zoofuse model", "format_version": [1]}', "not a 'zoofuse model' of version 1"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
}


@pytest.mark.parametrize("name", JSON)
def test_case_27_what_is_not_a_configuration_is_refused(folder, name):
    data, message = JSON[name]
    (folder / "config.json").write_bytes(data)
    refused(folder, message)


def test_a_configuration_with_a_byte_order_mark_is_read(folder):
    path = folder / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    zoofuse.load(folder)


def tensors(**more) -> dict[str, np.ndarray]:
    changed = weights() | more
    return {name: values for name, values in changed.items() if values is not None}


TENSORS = {
    "float64": ({name: values.astype(np.float64) for name, values in weights().items()}, "is F64"),
    "float16 and more": (tensors(**{"conv1.bias": np.zeros(12, np.float16)}), "conv1.bias is F16"),
    "int8": (tensors(**{"conv2.weight": np.zeros((16, 6, 5, 20), np.int8)}), "conv2.weight is I8"),
    "another shape": (tensors(**{"conv2.weight": np.zeros((16, 6, 25), np.float32)}), "conv2.weight is F32 .16, 6, 25"),
    "missing": (tensors(**{"heads.bias": None, "conv1.bias": np.zeros(8, np.float32)}), "heads.bias is missing"),
    "one more": (tensors(extra=np.zeros(3, np.float32)), "extra is not a tensor of this model"),
    "NaN": (tensors(**{"conv1.bias": np.full(6, np.nan, np.float32)}), "conv1.bias contains NaN or Inf"),
    "Inf": (tensors(**{"heads.bias": np.full(2, np.inf, np.float32)}), "heads.bias contains NaN or Inf"),
    "much more": (tensors(extra=np.zeros(10**6, np.float32)), "at most"),
    "less": ({"conv1.bias": np.zeros(6, np.float32)}, "truncated"),
}  # fmt: skip


@pytest.mark.parametrize("name", TENSORS)
def test_weights_that_do_not_fit_the_configuration_are_refused(folder, name):
    found, message = TENSORS[name]
    forged(folder, tensors=found)
    refused(folder, message, "model.safetensors")


def test_weights_that_overflow_give_no_score(folder):
    forged(folder, tensors=tensors(**{"conv1.weight": np.full((6, 3, 5, 5), 1e38, np.float32) * 3}))
    refused(folder, "weights overflow, so that the score of an image is NaN", "black_cat")


HEADERS = {
    "absurd length": struct.pack("<Q", 2**63),
    "long header": struct.pack("<Q", 10**8),
    "not JSON": struct.pack("<Q", 20_000) + b"[" * 20_000,
    "offsets": struct.pack("<Q", 76) + b'{"conv1.weight":{"dtype":"F32","shape":[9],"data_offsets":[0,9223372036854]}}',
}


@pytest.mark.parametrize("name", HEADERS)
def test_safetensors_with_odd_headers_are_refused(folder, name):
    forged(folder, data=HEADERS[name] + bytes(15_000))
    refused(folder, "not a safetensors file", "model.safetensors")


def test_case_27_git_lfs_pointers_truncated_and_flipped_weights(folder):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 15000\n")
    refused(folder, "a Git LFS pointer.*git lfs pull", "model.safetensors")
    path.write_bytes(data[:-100])
    refused(folder, "does not belong to config.json|truncated", "model.safetensors")
    path.write_bytes(b"")
    refused(folder, "truncated", "model.safetensors")
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 4]))
    refused(folder, "does not belong to config.json", "model.safetensors")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["folder", "fifo", "socket", "loop", "dangling", "device", "gone"])
def test_what_lies_in_the_place_of_a_file_is_named_and_not_waited_for(folder, name, kind, monkeypatch):
    path = folder / name
    path.unlink()
    monkeypatch.chdir(folder)
    make = {
        "folder": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "socket": lambda: socket.socket(socket.AF_UNIX).bind(name),
        "loop": lambda: path.symlink_to(path),
        "dangling": lambda: path.symlink_to(folder / "nothing"),
        "device": lambda: path.symlink_to("/dev/zero"),
        "gone": lambda: None,
    }
    make[kind]()
    wanted = {
        "folder": "a folder, not a file",
        "fifo": r"a named pipe \(FIFO\), not a file",
        "socket": "a socket",
        "loop": "a link that leads to itself",
    }
    wanted |= {"dangling": "which is not there", "device": "a device", "gone": "is missing"}
    refused(folder, wanted[kind], name)


def test_links_to_files_are_followed(folder, tmp_path):
    """As caches of downloaded models keep them."""
    os.rename(folder / "model.safetensors", tmp_path / "blob")
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")
    zoofuse.load(folder)


def test_what_asks_for_much_memory_is_refused_before_any_is_taken(folder):
    """Sizes that fit each other, and would take 20 GB for 64 images."""
    cases = [
        {"channels": [3, 6, 16], "kernel_size": 5, "image_size": 1000},
        {"channels": [3, 4096, 4096], "kernel_size": 5, "image_size": 32},
        {"channels": [3, 1], "kernel_size": 64, "image_size": 1024},
    ]
    for sizes in cases:
        architecture = cnn.Architecture(tuple(sizes["channels"]), sizes["kernel_size"], sizes["image_size"])
        shapes = [shape for name, shape in architecture.shapes.items() if name.startswith("conv")]
        count = sum(int(np.prod(shape)) for shape in shapes) + 2 * architecture.features + 2
        reported = sizes | {"features": architecture.features, "parameters": count}
        forged(folder, lambda config, reported=reported: config["architecture"].update(reported))
        tracemalloc.start()
        refused(folder, "should need at most 64 MiB and 1,000,000,000 multiply-adds|at most 16,777,216 parameters")
        assert tracemalloc.get_traced_memory()[1] < 5e6
        tracemalloc.stop()


def test_batches_are_smaller_where_images_are_large(folder, monkeypatch):
    architecture = cnn.Architecture((3, 8), 5, 200)
    rng = np.random.default_rng(1)
    found = {"conv1.weight": rng.normal(size=(8, 3, 5, 5)), "conv1.bias": np.zeros(8), "heads.bias": np.zeros(2)}
    found["heads.weight"] = rng.normal(size=(2, architecture.features)) / 1000
    found = {name: values.astype(np.float32) for name, values in found.items()}
    reported = {"channels": [3, 8], "image_size": 200, "features": architecture.features}
    reported["parameters"] = sum(values.size for values in found.values())
    forged(folder, lambda config: config["architecture"].update(reported), tensors=found)
    model, sizes, real = zoofuse.load(folder), [], cnn.normalise
    monkeypatch.setattr(cnn, "normalise", lambda pixels: sizes.append(len(pixels)) or real(pixels))
    pixels = np.random.default_rng(2).integers(0, 256, (20, 200, 200, 3)).astype(np.uint8)
    scores = model.predict(pixels)
    assert max(sizes) * 2 * model_files.activations(architecture) <= 1 << 28
    assert len(sizes) > 1
    np.testing.assert_allclose(scores, np.concatenate([model.predict(one) for one in pixels]), atol=1e-5)
    with pytest.raises(ValueError, match=r"\(m, 200, 200, 3\)"):
        model.predict(PIXELS)


@pytest.mark.parametrize("architecture", list(cnn.ARCHITECTURES))
def test_the_bounds_leave_room_for_every_architecture(architecture):
    """Ten times the memory and work of the largest of ours, and batches as large as before."""
    sizes = cnn.ARCHITECTURES[architecture]
    assert 10 * model_files.activations(sizes) < model_files.MAX_ACTIVATIONS
    if sizes.conv_layers:  # others are known by name, and their sizes can't be another's choice
        assert 10 * model_files.multiply_adds(sizes) < model_files.MAX_MULTIPLY_ADDS
    assert 10 * sizes.parameters < model_files.MAX_PARAMETERS
    at_once = models._MEMORY // (2 * model_files.activations(sizes))
    assert at_once >= (models._BATCH if sizes.conv_layers else models._BATCH // 2)  # a transformer keeps more


def test_the_typed_configuration_also_guards_the_writing(tmp_path):
    config = models.configuration(weights(), ["black", "cat"], **ABOUT)
    with pytest.raises(model_files.ModelError, match=r"config\.json: threshold: "):
        models.write(tmp_path / "model", weights(), config | {"threshold": float("nan")}, "")
    assert not (tmp_path / "model").exists()
    assert model_files.multiply_adds(cnn.ARCHITECTURES["published"]) == 593_600 - 800  # the linear layer's apart
