"""Models and zoos go to a model hub and come back as they were; what was tampered with, or is too large, is refused."""

import os
import sys

import numpy as np
import pytest
import torch
from stub_hub import Hub

import zoofuse
from zoofuse.cli import main
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


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A function that lets zoofuse meet a hub, with the address and the token that users set in their environment.

    huggingface_hub reads them when it is imported, so each test imports it anew.
    """

    def modules():
        return [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]

    def user(stub: Hub, token: str = "hf_writes") -> None:
        variables = {"HF_ENDPOINT": stub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": token}
        variables |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for name in modules():
            monkeypatch.delitem(sys.modules, name)

    monkeypatch.chdir(tmp_path)
    yield user
    for name in modules():
        del sys.modules[name]


def same(model: models.Model, folder) -> bool:
    weights = zoofuse.load(folder).weights
    return set(weights) == set(model.weights) and all(
        torch.equal(weights[name], model.weights[name]) for name in weights
    )


def refused(match: str, call, *arguments, **options) -> None:
    with pytest.raises(model_files.ModelError, match=match):
        call(*arguments, **options)


def test_a_model_goes_to_the_hub_and_comes_back_bit_by_bit(tmp_path, user):
    one, two = tmp_path / "model1", tmp_path / "model2"
    write_model(one, 1)
    write_model(two, 2)
    first = {name: (one / name).read_bytes() for name in sorted(os.listdir(one))}
    assert list(first) == ["README.md", "config.json", "model.onnx", "model.safetensors"]
    with Hub() as stub:
        user(stub)
        commit = hub.push(one, "me/model")
        assert stub.repos["me/model"][commit] == first
        assert same(zoofuse.load("me/model"), one)
        again = hub.push(two, "me/model", message="Train again")
        assert list(stub.repos["me/model"]) == [commit, again]
        assert same(zoofuse.load("me/model"), two)
        assert not same(zoofuse.load("me/model"), one)
        assert same(zoofuse.load("me/model", revision=commit), one)
        pinned = models.Model.from_pretrained(f"me/model@{commit}")
        pinned.save_pretrained(tmp_path / "saved")
        assert {name: (tmp_path / "saved" / name).read_bytes() for name in os.listdir(tmp_path / "saved")} == first
        assert "me/model/model.onnx" not in stub.downloads
    assert same(zoofuse.load("me/model", revision=commit), one)  # the hub is gone, the download is still there
    refused(r"'a/b': there is no such folder here, and it can't be fetched \(", zoofuse.load, "a/b")


def test_what_a_hub_should_not_hold_is_refused(tmp_path, user):
    write_model(tmp_path / "model", 1)
    write_model(tmp_path / "broken", 1)
    write_model(tmp_path / "other", 2)
    (tmp_path / "broken/config.json").write_bytes((tmp_path / "other/config.json").read_bytes())
    first = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    flipped = bytearray(first["model.safetensors"])
    flipped[-1] ^= 1
    with Hub() as stub:
        user(stub)
        stub.commit("them/weights", first | {"model.safetensors": bytes(flipped)})
        stub.commit("them/config", first | {"config.json": first["config.json"].replace(b"0.25", b"0.75")})
        stub.commit("them/zoo", {"README.md": b"# A zoo\n", "cnn_000001.pt": b"x"})
        refused(r"safetensors: does not belong to config.json \(checksum mismatch\)", zoofuse.load, "them/weights")
        refused(r"config.json: corrupt or edited \(checksum mismatch\)", zoofuse.load, "them/config")
        refused(r"'them/zoo': no model in this repository \(config.json is missing\)", zoofuse.load, "them/zoo")
        refused(r"there is no such folder here, and it can't be fetched \(404", zoofuse.load, "them/none")
        refused(r"it can't be fetched \(404", zoofuse.load, "them/weights", revision="v9")
        refused("given twice, as v1 and as v2", zoofuse.load, "me/model@v1", revision="v2")
        refused("does not belong to config.json", hub.push, tmp_path / "broken", "me/broken")
        assert "me/broken" not in stub.repos
        stub.sizes["model.safetensors"] = 10**12
        stub.commit("them/huge", first)
        refused("'them/huge': model.safetensors has 1,000,000,000,000 bytes", zoofuse.load, "them/huge")
        assert "them/huge/config.json" not in stub.downloads
        user(stub, token="hf_reads")
        refused(r"model: can't be uploaded to me/other \(.*hf auth login", hub.push, tmp_path / "model", "me/other")


@pytest.fixture
def zoo(tmp_path):
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "cat", np.arange(3))
    attributes = {"settings": {"epochs": 2}, "seed": 3, "concept": "cat", "images": "ab" * 32}
    files.write(tmp_path / "shard.h5", "zoo", weights | {"model": np.arange(3, dtype=np.int32)}, **attributes)
    exporters.write([tmp_path / "shard.h5"], "trials", tmp_path / "zoo")
    return tmp_path / "zoo"


def test_a_zoo_goes_to_the_hub_whole_or_not_at_all(tmp_path, zoo, user, capsys):
    with Hub() as stub:
        user(stub)
        assert main.main(["push", str(zoo), "me/zoo", "--private"]) == 0
    (commit,) = stub.repos["me/zoo"]
    assert capsys.readouterr().out == f'Uploaded. This very version: zoofuse.load("me/zoo@{commit}")\n'
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
    assert same(zoofuse.load(tmp_path / "saved"), tmp_path / "model")
