"""A zoo written for others reads back as it was: by zoofuse, by what the data card shows, by sha256sum."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

from zoofuse.core import files
from zoofuse.importers import imports
from zoofuse.models import cnn
from zoofuse.zoo import exporters

EPOCHS = 4
SETTINGS = {"architecture": "published", "epochs": EPOCHS, "checkpoint_every": 2}


def write_shard(path, models, architecture="published", linear=True) -> None:
    weights = cnn.initial_weights(cnn.ARCHITECTURES[architecture], 1, "cat", models)
    earlier = cnn.initial_weights(cnn.ARCHITECTURES[architecture], 1, "earlier", models)
    arrays = {name: values for name, values in weights.items() if linear or not name.startswith("fc")}
    arrays |= {f"checkpoints/{name}": np.stack([earlier[name], arrays[name]], 1) for name in list(arrays)}
    arrays["model"] = np.asarray(models, np.int32)
    final = 0.5 + 0.01 * np.asarray(models)[:, None] + np.linspace(-0.03, 0, EPOCHS)
    arrays |= {"history/validation_balanced_accuracy": final, "history/loss": 1 - final}
    arrays["history/validation_positive_share"] = np.where(np.asarray(models)[:, None] == 5, 0.0, 0.5) + 0 * final
    attributes = {"settings": SETTINGS, "seed": 3, "concept": "cat", "images": "ab" * 32}
    files.write(path, "zoo", arrays, **attributes)


@pytest.fixture
def shards(tmp_path):
    """Seven CNNs, the last two in a shard of their own."""
    paths = [tmp_path / "shard-0.h5", tmp_path / "shard-1.h5"]
    write_shard(paths[0], np.arange(5))
    write_shard(paths[1], np.array([5, 11]))
    return paths


def imported(path, tmp_path) -> dict[str, np.ndarray]:
    models = range(imports.count(path))
    arguments = {"concept": "cat", "architecture": "published", "models": models, "say": lambda line: None}
    arguments["concept_output"] = imports.declared_output(path)
    imports.import_zoo(path, tmp_path / "back.h5", **arguments)
    return files.read(tmp_path / "back.h5", "zoo")


@pytest.mark.parametrize("layout", list(exporters.LAYOUTS))
def test_it_reads_back_bit_by_bit(tmp_path, shards, layout):
    exporters.write(shards, layout, tmp_path / "shared")
    back = imported(tmp_path / "shared", tmp_path)
    for shard, rows in zip(shards, (slice(0, 5), slice(5, 7)), strict=True):
        for name, values in files.read(shard, "zoo", cnn.ARCHITECTURES["published"].shapes).items():
            np.testing.assert_array_equal(back[name][rows], values)
    assert [int(re.findall(r"\d+", name)[0]) for name in back["source/name"]] == [0, 1, 2, 3, 4, 5, 11]
    if layout == "trials":
        np.testing.assert_allclose(back["source/accuracy"], 0.5 + 0.01 * np.array([0, 1, 2, 3, 4, 5, 11]), rtol=1e-6)


@pytest.mark.parametrize("layout", list(exporters.LAYOUTS))
def test_sha256sum_checks_every_file(tmp_path, shards, layout):
    folder = tmp_path / "shared"
    exporters.write(shards, layout, folder)
    command = ["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"]
    assert subprocess.run(command, cwd=folder).returncode == 0
    listed = {line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert listed == there - {"SHA256SUMS"}
    with open(
        sorted(folder.rglob("*000011*"))[0] if layout == "pytorch" else next(folder.rglob("checkpoints")), "ab"
    ) as h:
        h.write(b"x")
    assert subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 1


@pytest.mark.parametrize("layout", list(exporters.LAYOUTS))
@pytest.mark.parametrize(("architecture", "linear"), [("published", True), ("wide", False), ("deep", True)])
def test_what_the_card_shows_loads_a_cnn(tmp_path, monkeypatch, layout, architecture, linear):
    write_shard(tmp_path / "shard.h5", np.array([8, 9]), architecture, linear)
    exporters.write([tmp_path / "shard.h5"], layout, tmp_path / "shared")
    card = (tmp_path / "shared/README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path / "shared")
    space = {}
    exec(code, space)
    stack = {
        name: torch.from_numpy(v[:1]) for name, v in files.read(tmp_path / "shard.h5", "zoo").items() if "." in name
    }
    x = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
    with torch.no_grad():
        wanted = (cnn.logits if linear else cnn.features)(stack, x)[0]
        torch.testing.assert_close(space["net"](x), wanted, atol=1e-5, rtol=1e-5)


def test_the_card_tells_what_the_zoo_holds(tmp_path, shards):
    exporters.write(shards, "pytorch", tmp_path / "shared")
    card = (tmp_path / "shared/README.md").read_text()
    for reported in ("a zoo of 7 small CNNs", "3,674 parameters", "indices 0 to 11", "epochs 4", "seed 3", "abababab",
                 "| conv2.weight | 16 x 6 x 5 x 5 |", "lowest 0.500", "highest 0.610",
                 "**Degenerate** (a constant prediction): 1"):  # fmt: skip
        assert reported in card


@pytest.mark.parametrize(("source", "licence", "datasets"), [
    ({"source": "synthetic", "dataset": None}, "mit", None),
    ({"source": "torchvision", "dataset": "cifar10"}, "unknown", ["uoft-cs/cifar10"]),
    (None, "unknown", None),
])  # fmt: skip
def test_a_model_hub_reads_the_cards_front_matter(tmp_path, shards, source, licence, datasets):
    exporters.write(shards, "trials", tmp_path / "shared", source)
    data = ModelCard.load(tmp_path / "shared/README.md").data
    assert (data.license, data.datasets, data.library_name) == (licence, datasets, "zoofuse")
    (result,) = data.eval_results
    last = 0.5 + 0.01 * np.array([0, 1, 2, 3, 4, 5, 11])
    assert result.metric_value == pytest.approx(np.median(last))
    assert result.metric_args == {"low": pytest.approx(0.515), "high": pytest.approx(0.545)}
    assert result.metric_name == "Balanced accuracy, median of 7 CNNs and quartiles (0.515 to 0.545)"
    assert result.dataset_type == (source["source"] if source else "unknown")


def test_trials_have_what_ray_tune_leaves(tmp_path, shards):
    exporters.write(shards, "trials", tmp_path / "shared")
    trial = tmp_path / "shared/trial_000011"
    assert sorted(path.name for path in trial.iterdir()) == [
        "checkpoint_000002", "checkpoint_000004", "params.json", "result.json",
    ]  # fmt: skip
    params = json.loads((trial / "params.json").read_text())
    own = {name: value for name, value in params.items() if "::" not in name}
    assert own == SETTINGS | {"seed": 3, "model": 11, "concept": "cat"}
    lines = [json.loads(line) for line in (trial / "result.json").read_text().splitlines()]
    assert [line["training_iteration"] for line in lines] == [0, 1, 2, 3, 4]
    assert lines[1]["accuracy"] == lines[1]["validation_balanced_accuracy"] == pytest.approx(0.58)
    shard = files.read(shards[1], "zoo")
    for place, name in enumerate(["checkpoint_000002", "checkpoint_000004"]):
        state = torch.load(trial / name / "checkpoints", weights_only=True)
        np.testing.assert_array_equal(state["conv1.weight"], shard["checkpoints/conv1.weight"][1, place])


def test_an_imported_zoo_keeps_what_it_knows(tmp_path, shards):
    exporters.write(shards, "trials", tmp_path / "shared")
    imported(tmp_path / "shared", tmp_path)
    exporters.write([tmp_path / "back.h5"], "trials", tmp_path / "again")
    again = imported(tmp_path / "again", tmp_path)
    np.testing.assert_allclose(again["source/accuracy"], 0.5 + 0.01 * np.array([0, 1, 2, 3, 4, 5, 11]), rtol=1e-6)
    assert "imported from a zoo of layout trials" in (tmp_path / "again/README.md").read_text()


def test_an_interrupted_write_leaves_the_old_folder_whole(tmp_path, shards, monkeypatch):
    exporters.write(shards, "pytorch", tmp_path / "shared")
    before = (tmp_path / "shared/SHA256SUMS").read_text()
    monkeypatch.setattr(exporters, "_card", lambda *_: sys.exit("killed"))
    with pytest.raises(SystemExit):
        exporters.write(shards[:1], "pytorch", tmp_path / "shared")
    assert (tmp_path / "shared/SHA256SUMS").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard-0.h5", "shard-1.h5", "shared"]
