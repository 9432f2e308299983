"""Random faults in the files of an exported model: it gives the right scores, or a ValueError that names the file.

ZOOFUSE_FUZZ=20 tries twenty times as many.
"""

import copy
import hashlib
import json
import os
import random
import struct
import time

import numpy as np
import pytest

import zoofuse
from zoofuse.export import model_files, models
from zoofuse.models import cnn

FACTOR = float(os.environ.get("ZOOFUSE_FUZZ", "1"))
PIXELS = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
WORTH = [
    None, True, False, 0, 1, -1, 2, 3, 5, 0.5, 255, 256, 2000, 10**6, 10**18, 10**400, -(10**18), 1e308, 1e-320,
    float("nan"), float("inf"), float("-inf"), "", "a", "\0", "\x1b[2J", "\ud800", "\u202e", "x" * 10_000, [], {}, [[]],
    [3], [3, 6, 16], [3, 6, 16, 32], [3] * 1000, {"a": 1}, "conv1.weight", "NaN", "0" * 64,
]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The bytes of config.json and model.safetensors, and the scores of PIXELS."""
    folder = tmp_path_factory.mktemp("models") / "model"
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "fuzz", np.arange(1))
    weights = {name.replace("fc1", "heads"): values[0] for name, values in weights.items()}
    about = {
        "fusion": "black_cat",
        "method": "distil",
        "domain": "-",
        "model": 3,
        "head": "probe",
        "supervision": "concept labels",
    }
    config = models.configuration(weights, ["black", "cat"], **about, threshold=0.25, seed=7, sources={"cat": "a" * 64})
    config["test"] = {
        "positive": 3,
        "negative": 4,
        "auroc": [0.7, 0.6, 0.8],
        "balanced_accuracy": [0.6, None, None],
    }
    models.write(folder, weights, config, "# A card\n")
    files = [(folder / name).read_bytes() for name in (model_files.CONFIG, model_files.WEIGHTS)]
    loaded = zoofuse.load(folder)
    return *files, loaded.predict(PIXELS), loaded.config


def places(value, place=()):
    """Every place in nested JSON, as keys from the outside in."""
    yield place
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*place, key))


def planted(config: dict, draw: random.Random) -> dict:
    """One key removed, added, renamed or set to a value of another kind."""
    config = copy.deepcopy(config)
    place = draw.choice([place for place in places(config) if place])
    holder = config
    for key in place[:-1]:
        holder = holder[key]
    way, key = draw.choice(["set", "set", "set", "remove", "rename", "nest", "scale"]), place[-1]
    if way == "remove":
        del holder[key]
    elif way == "rename" and isinstance(holder, dict):
        holder[draw.choice([key.upper(), key + " ", "", "x" * 500, "\x1b", "\ud800"])] = holder.pop(key)
    elif way == "nest":
        holder[key] = draw.choice([[holder[key]], {"a": holder[key]}])
    elif way == "scale" and type(holder[key]) in (int, float):
        holder[key] *= draw.choice([-1, 2, 10, 1000, 1.5, 10**6])
    else:
        holder[key] = draw.choice(WORTH)
    return config


def damaged(data: bytes, draw: random.Random) -> bytes:
    """One bit, byte or stretch of bytes changed, removed, doubled or moved."""
    data, at, n = bytearray(data), draw.randrange(len(data)), draw.choice([1, 1, 2, 8, 100, 4000])
    way = draw.choice(["bit", "bit", "bit", "byte", "cut", "remove", "insert", "double", "zero", "random"])
    if way == "bit":
        data[at] ^= 1 << draw.randrange(8)
    elif way == "byte":
        data[at] = draw.randrange(256)
    elif way == "cut":
        del data[at:]
    elif way == "remove":
        del data[at : at + n]
    elif way == "insert":
        data[at:at] = draw.randbytes(n)
    elif way == "double":
        data[at:at] = data[at : at + n]
    else:
        data[at : at + n] = bytes(n) if way == "zero" else draw.randbytes(n)
    return bytes(data)


def deepened(config: bytes, draw: random.Random) -> bytes:
    """Text that is hard on a parser of JSON."""
    deep = draw.choice([900, 1_000, 10_000, 200_000])
    return draw.choice([
        b"[" * deep, b'{"a":' * deep, b"[" * deep + b"]" * deep, b"1" * deep, b'"' + b"\\" * deep, b"",
        config.replace(b"7", b"7" * deep, 1), config.replace(b"0.25", b"1e" + b"9" * (deep // 100)),
        config.replace(b"0.25", b"NaN"), config.replace(b"0.25", b"-Infinity"), config.replace(b"{", b'{"seed": 8,', 1),
        config.replace(b"{", b'{"format": "zoofuse model",', 1), b"\xff\xfe" + config.decode().encode("utf-16-le"),
        config + config, config + b" " * (2 << 20), b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        b"null", b"true", b"7", b'"zoofuse model"', config.replace(b"black", b"bl\\u0000ack"),
    ])  # fmt: skip


def header(weights: bytes, draw: random.Random) -> bytes:
    """A safetensors file whose header tells of other tensors, or is not what its length says."""
    length = struct.unpack("<Q", weights[:8])[0]
    reported, data = json.loads(weights[8 : 8 + length]), weights[8 + length :]
    way, name = draw.choice(["length", "set", "set", "rename", "remove", "add", "deep"]), draw.choice(sorted(reported))
    if way == "length":
        length = draw.choice([0, 1, length - 1, length + 1, length * 2, 10**8, 2**63, 2**64 - 1])
        return struct.pack("<Q", length) + weights[8:]
    if way == "set":
        key = draw.choice(["dtype", "shape", "data_offsets"])
        reported[name][key] = draw.choice([
            "F64", "F16", "BF16", "I8", "U8", "I32", "F4", "BOOL", "C64", [], [0], [1, 2], [-1], [2**62, 2**62], [6],
            [0, 8], [4, 0], [2**64, 1], None, "a", {}, 1e300,
            list(reversed(reported[name]["shape"])), reported[draw.choice(sorted(reported))]["data_offsets"],
        ])  # fmt: skip
    elif way == "rename":
        reported[draw.choice(["", "conv1.weights", "heads", "__metadata__", "x" * 5000, "\x1b"])] = reported.pop(name)
    elif way == "remove":
        del reported[name]
    elif way == "add":
        reported[draw.choice(["more", "__metadata__"])] = draw.choice([reported[name], {"a": "b"}, {"a": 1}, 7])
    else:
        text = b"[" * 50_000
        return struct.pack("<Q", len(text)) + text + data
    text = json.dumps(reported).encode()
    return struct.pack("<Q", len(text)) + text + data


def signed(config: dict, weights: bytes) -> bytes:
    """config.json whose digests are those of what it comes with, as one who means harm would write it."""
    config = {key: value for key, value in config.items() if key != "checksum"}
    if "sha256" in config:
        config["sha256"] = hashlib.sha256(weights).hexdigest()
    return json.dumps(config).encode()


KINDS = {  # name -> (times, (draw, config bytes, weight bytes, config) -> (config bytes, weight bytes))
    "bytes of config.json": (400, lambda draw, c, w, config: (damaged(c, draw), w)),
    "bytes of the weights": (300, lambda draw, c, w, config: (c, damaged(w, draw))),
    "odd JSON": (60, lambda draw, c, w, config: (deepened(c, draw), w)),
    "keys, digests left": (200, lambda draw, c, w, config: (json.dumps(planted(config, draw)).encode(), w)),
    "keys, digests made to fit": (400, lambda draw, c, w, config: (signed(planted(config, draw), w), w)),
    "header, digests made to fit": (300, lambda draw, c, w, config: (signed(config, v := header(w, draw)), v)),
    "weights, digests made to fit": (100, lambda draw, c, w, config: (signed(config, v := damaged(w, draw)), v)),
}
# What may change without a word where someone makes digests fit: what is only told, and the weights themselves.
MINE = {"keys, digests made to fit", "header, digests made to fit", "weights, digests made to fit"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_faulty_model_scores_right_or_is_refused_with_the_files_name(tmp_path, model, kind):
    times, fault = KINDS[kind]
    config, weights, wanted, loaded = model
    refused = right = 0
    for i in range(max(1, round(times * FACTOR))):
        draw = random.Random(f"{kind}/{i}")
        try:
            files = fault(draw, config, weights, loaded)
        except (UnicodeEncodeError, OverflowError):
            continue  # the fault cannot be written
        for name, data in zip((model_files.CONFIG, model_files.WEIGHTS), files, strict=True):
            (tmp_path / name).write_bytes(data)
        start = time.process_time()
        try:
            found = zoofuse.load(tmp_path)
            scores = found.predict(PIXELS)
        except ValueError as error:
            assert type(error) is model_files.ModelError, (i, repr(error))  # noqa: PT017
            message = str(error)
            assert str(tmp_path) in message or "its weights are so large" in message, (i, message)
            assert message.isprintable(), (i, message)
            assert len(message) < 1000, (i, message)
            message.encode()
            refused += 1
        else:
            if kind not in MINE:
                np.testing.assert_array_equal(scores, wanted, err_msg=str(i))
                assert found.config | {"checksum": loaded["checksum"]} == loaded, i  # which may be taken out on purpose
            assert scores.dtype == np.float32, i
            assert np.isfinite(scores).all(), i
            assert 0 <= found.threshold <= 1, i
            right += 1
        assert time.process_time() - start < 10, i
    print(f"{kind}: {refused} refused, {right} scored")
    assert refused


@pytest.mark.parametrize("name", [model_files.CONFIG, model_files.WEIGHTS])
def test_every_single_wrong_bit_is_noticed(tmp_path, model, name):
    """Every 7th bit of config.json, every 97th of the weights. Blank space in JSON means nothing and may change."""
    config, weights, _, loaded = model
    (tmp_path / model_files.CONFIG).write_bytes(config)
    (tmp_path / model_files.WEIGHTS).write_bytes(weights)
    whole = config if name == model_files.CONFIG else weights
    step = 7 if name == model_files.CONFIG else 97
    for bit in range(0, 8 * len(whole), max(1, int(step / FACTOR))):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        (tmp_path / name).write_bytes(data)
        try:
            found = zoofuse.load(tmp_path)
        except model_files.ModelError:
            continue
        assert name == model_files.CONFIG, bit
        assert found.config == loaded, bit
        assert json.loads(data) == json.loads(whole), bit
