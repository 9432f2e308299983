"""Models and zoos go to a model hub and come back as they were; what was tampered with, or is too large, is refused."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from stub_hub import Hub

import zoofuse
from zoofuse.core import files
from zoofuse.export import hub, model_files, models
from zoofuse.models import cnn
from zoofuse.zoo import exporters

ABOUT = {"fusion": "black_cat", "method": "distil", "domain": "-", "model": 3, "head": "own", "seed": 7, "sources": {},
         "supervision": "concept labels", "threshold": 0.25}  # fmt: skip
MEASURED = {"positive": 40, "negative": 40, "auroc": [0.9, 0.8, 0.95], "balanced_accuracy": [0.8, 0.7, None]}
IMAGES = [
    {"concept": name, "images": [4, 4], "validation": [1, 1],
     "source": {"source": "synthetic", "dataset": None, "positive": [name], "negative": [f"non-{name}"]}}
    for name in ("black", "cat")
]  # fmt: skip


def write_model(folder, seed: int) -> None:
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], seed, "hub", np.arange(1))
    weights = {name.replace("fc1", "heads"): values[0] for name, values in weights.items()}
    config = models.configuration(weights, ["black", "cat"], **ABOUT, test=MEASURED)
    models.write(folder, weights, config, models.card(config, [], IMAGES))


# What a user's process does, with the addresses and the token that users set in their environment; steps that raise
# give their message. Afterwards the hub is down, and what was downloaded is still there.
USER = """
import json, pathlib, sys, urllib.request
import zoofuse
from zoofuse.export import hub, models

values = {}
for name, step in json.load(open("steps.json")).items():
    try:
        value = eval(step, globals(), values)
        if isinstance(value, models.Model):
            value = {layer: weights.tolist() for layer, weights in value.weights.items()}
    except ValueError as error:
        value = str(error)
    values[name] = value
json.dump(values, open("values.json", "w"))
"""


@pytest.fixture
def user(tmp_path):
    """A function: the hub and {name: expression}, in which earlier names are values -> {name: value or message}."""

    def user(hub: Hub, steps: dict[str, str], **environment) -> dict:
        (tmp_path / "steps.json").write_text(json.dumps(steps))
        variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_writes"}
        variables |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
        subprocess.run([sys.executable, "-c", USER], cwd=tmp_path, env=os.environ | variables, check=True)
        return json.loads((tmp_path / "values.json").read_text())

    return user


def listed(folder) -> dict[str, list]:
    return {name: values.tolist() for name, values in zoofuse.load(folder).weights.items()}


def test_a_model_goes_to_the_hub_and_comes_back_bit_by_bit(tmp_path, user):
    for seed in (1, 2):
        write_model(tmp_path / f"model{seed}", seed)
    write_model(tmp_path / "broken", 1)
    (tmp_path / "broken/config.json").write_bytes((tmp_path / "model2/config.json").read_bytes())
    first = {name: (tmp_path / "model1" / name).read_bytes() for name in sorted(os.listdir(tmp_path / "model1"))}
    assert list(first) == ["README.md", "config.json", "model.onnx", "model.safetensors"]
    flipped = bytearray(first["model.safetensors"])
    flipped[-1] ^= 1
    with Hub() as stub:
        stub.commit("them/tampered", first | {"model.safetensors": bytes(flipped)})
        stub.commit("them/zoo", {"README.md": b"# A zoo\n", "cnn_000001.pt": b"x"})
        steps = {
            "commit": "hub.push('model1', 'me/model')",
            "one": "zoofuse.load('me/model')",
            "again": "hub.push('model2', 'me/model', message='Train again')",
            "newest": "zoofuse.load('me/model')",
            "pinned": "zoofuse.load('me/model', revision=commit)",
            "at": "zoofuse.load('me/model@' + commit)",
            "saved": "models.Model.from_pretrained('me/model', revision=commit).save_pretrained('saved')",
            "tampered": "zoofuse.load('them/tampered')",
            "zoo": "zoofuse.load('them/zoo')",
            "none": "zoofuse.load('them/none')",
            "no revision": "zoofuse.load('me/model', revision='v9')",
            "twice": "zoofuse.load('me/model@v1', revision='v2')",
            "broken": "hub.push('broken', 'me/broken')",
        }
        values = user(stub, steps)
        assert list(stub.repos["me/model"]) == [values["commit"], values["again"]]
        assert stub.repos["me/model"][values["commit"]] == first
        assert "me/broken" not in stub.repos
        assert "me/model/model.onnx" not in stub.downloads
        stub.sizes["model.safetensors"] = 10**12
        stub.commit("them/huge", first)
        refused = user(
            stub, {"huge": "zoofuse.load('them/huge')", "push": "hub.push('model1', 'me/other')"}, HF_TOKEN="no"
        )
        assert "them/huge/config.json" not in stub.downloads
    offline = user(stub, {"pinned": f"zoofuse.load('me/model@{values['commit']}')", "other": "zoofuse.load('a/b')"})

    of_model1, of_model2 = listed(tmp_path / "model1"), listed(tmp_path / "model2")
    for name in ("one", "pinned", "at"):
        assert values[name] == of_model1
    assert values["newest"] == of_model2 != of_model1
    assert offline["pinned"] == of_model1
    assert {name: (tmp_path / "saved" / name).read_bytes() for name in first} == first
    assert "model.safetensors: does not belong to config.json (checksum mismatch)" in values["tampered"]
    assert "'them/zoo': no model in this repository (config.json is missing)" in values["zoo"]
    for name in ("none", "no revision"):
        assert "there is no such folder here, and it can't be fetched (" in values[name]
    assert "given twice, as v1 and as v2" in values["twice"]
    assert "does not belong to config.json" in values["broken"]
    assert "model.safetensors has 1,000,000,000,000 bytes" in refused["huge"]
    assert "model1: can't be uploaded to me/other (" in refused["push"]
    assert "hf auth login" in refused["push"]
    assert "it can't be fetched (" in offline["other"]


@pytest.fixture
def zoo(tmp_path):
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "cat", np.arange(3))
    attributes = {"settings": {"epochs": 2}, "seed": 3, "concept": "cat", "images": "ab" * 32}
    files.write(tmp_path / "shard.h5", "zoo", weights | {"model": np.arange(3, dtype=np.int32)}, **attributes)
    exporters.write([tmp_path / "shard.h5"], "trials", tmp_path / "zoo")
    return tmp_path / "zoo"


def test_a_zoo_goes_to_the_hub_whole_or_not_at_all(tmp_path, zoo, user):
    steps = {"commit": "hub.push('zoo', 'me/zoo', private=True)"}
    with Hub() as stub:
        (commit,) = user(stub, steps).values()
    there = {path.relative_to(zoo).as_posix(): path.read_bytes() for path in zoo.rglob("*") if path.is_file()}
    assert stub.repos["me/zoo"][commit] == there
    assert len(there) == 3 * 3 + 3
    for name, change in {
        "zoo.json": lambda path: path.write_bytes(path.read_bytes() + b" "),
        "trial_000001/params.json": lambda path: path.unlink(),
        "passwords.txt": lambda path: path.write_text("not of this zoo"),
        "README.md": lambda path: (path.rename(tmp_path / "card"), path.symlink_to(tmp_path / "card")),
    }.items():
        exporters.write([tmp_path / "shard.h5"], "trials", zoo)
        change(zoo / name)
        with pytest.raises(model_files.ModelError, match=f"{name} does not match SHA256SUMS"):
            hub.push(zoo, "me/zoo")


def test_what_is_here_wins_and_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "me/model", 1)
    assert zoofuse.load("me/model").concepts == ["black", "cat"]
    with pytest.raises(model_files.ModelError, match="'me/model' is a folder or file on this machine"):
        zoofuse.load("me/model", revision="v1")
    with pytest.raises(model_files.ModelError, match="'me/model' is a folder or file on this machine"):
        zoofuse.load("me/model@v1")
    for load in (zoofuse.load, models.Model.from_pretrained):
        with pytest.raises(
            model_files.ModelError, match=r"'me/other': there is no such folder.*pip install \"zoofuse\["
        ):
            load("me/other")
    with pytest.raises(model_files.ModelError, match=r"To upload to a model hub.*pip install \"zoofuse\[hub\]\""):
        hub.push("me/model", "me/model")
    for wrong in ("model", "me/model/1", "me/model@v1", "../model"):
        with pytest.raises(model_files.ModelError, match="not the name of a repository"):
            hub.push("me/model", wrong)
    for name in ("model.onnx", "README.md"):
        write_model(tmp_path / "me/model", 1)
        (tmp_path / "me/model" / name).unlink()
        with pytest.raises(model_files.ModelError, match=f"{name} is missing"):
            hub.push("me/model", "me/model")
    with pytest.raises(model_files.ModelError, match="no model in this folder"):
        hub.push(tmp_path, "me/model")


def test_a_model_without_a_card_can_be_saved_again(tmp_path):
    write_model(tmp_path / "model", 1)
    (tmp_path / "model/README.md").unlink()
    models.Model.from_pretrained(tmp_path / "model").save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved/README.md").exists()
    assert listed(tmp_path / "saved") == listed(tmp_path / "model")
