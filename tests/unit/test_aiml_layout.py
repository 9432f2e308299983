"""Trials as the loaders of ModelZoos, SANE and WeightCLIP read them: keys, names, and the line of every epoch."""

import json
import math
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from zoofuse.core import files
from zoofuse.models import forward
from zoofuse.models.network import NETWORKS
from zoofuse.zoo import aiml, exporters

N, EPOCHS, EVERY = 4, 4, 2
LAST = [4, 4, 3, 1]  # epochs of each CNN
ACTIVATIONS = ["gelu", "tanh", "leaky", "relu"]


def write_factory_zoo(path, name, classes=10, every=EVERY):
    """A zoo file of a factory zoo whose CNNs differ in activation, initialisation and epochs."""
    network, rng = replace(NETWORKS[name], classes=classes), np.random.default_rng(0)
    weights = {part: rng.normal(0, 0.3, (N, *shape)).astype(np.float32) for part, shape in network.shapes.items()}
    earlier = {f"checkpoints/{part}": np.stack([0.5 * v, v], 1) for part, v in weights.items()} if every else {}
    arrays = weights | earlier | {"model": np.array([0, 1, 2, 7], np.int32)}
    factors = {"learning_rate": [1e-3, 3e-3, 1e-2, 1e-4], "epochs": np.array(LAST, float), "dropout": [0.0, 0.1] * 2}
    factors |= {"activation": ACTIVATIONS, "initialisation": ["default", "kaiming_normal"] * 2}
    arrays |= {f"factors/{factor}": np.array(values) for factor, values in factors.items()}
    late = np.arange(EPOCHS) >= np.array(LAST)[:, None]
    for score in ("loss", "validation_accuracy", "test_accuracy", "largest_class_share"):
        arrays[f"history/{score}"] = np.where(late, np.nan, rng.uniform(0.1, 0.9, late.shape))
    facts = {"concept": "tens", "classes": [f"class {i}" for i in range(classes)], "seed": 3, "images": "ab" * 32}
    facts["network"] = {key: value for key, value in asdict(network).items() if key != "slower"}
    files.write(path, "zoo", arrays, settings={"checkpoint_every": every, "batch_size": 32}, **facts)
    return network, arrays


def trials(folder):
    """Row -> the trial's folder, parameters and results."""
    for row, trial in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        results = [json.loads(line) for line in (trial / "result.json").read_text().splitlines()]
        yield row, trial, json.loads((trial / "params.json").read_text()), results


@pytest.mark.parametrize(("name", "classes"), [("cnn_s", 10), ("cnn3", 10), ("cnn3", 2), ("small_cnn_zoo", 10)])
def test_the_line_of_an_epoch_is_that_of_its_number_up_to_the_last(tmp_path, name, classes):
    _, arrays = write_factory_zoo(tmp_path / "zoo.h5", name, classes)
    exporters.write([tmp_path / "zoo.h5"], "trials", tmp_path / "trials")
    for row, trial, params, results in trials(tmp_path / "trials"):
        checkpoints = sorted(int(path.name.removeprefix("checkpoint_")) for path in trial.glob("checkpoint_*"))
        assert checkpoints == sorted({*range(EVERY, LAST[row] + 1, EVERY), LAST[row]})
        assert len(results) == LAST[row] + 1
        assert [line["training_iteration"] for line in results] == list(range(LAST[row] + 1))
        for epoch in range(1, LAST[row] + 1):
            assert results[epoch]["test_acc"] == arrays["history/test_accuracy"][row, epoch - 1]
            assert results[epoch]["val_acc"] == arrays["history/validation_accuracy"][row, epoch - 1]
        assert all(math.isnan(line["train_acc"] - line["test_acc"]) for line in results)  # a gap that isn't measured
        assert all(line["config"] == params for line in results)


@pytest.mark.parametrize(
    ("name", "kind", "places"), [("cnn_s", "CNN", [0, 3, 6, 9, 11]), ("cnn3", "CNN3", [0, 4, 8, 13, 16])]
)
def test_parameters_have_the_names_and_values_that_their_classes_load(tmp_path, name, kind, places):
    network, arrays = write_factory_zoo(tmp_path / "zoo.h5", name, classes=3)
    exporters.write([tmp_path / "zoo.h5"], "trials", tmp_path / "trials")
    keys = [f"module_list.{place}.{part}" for place in places for part in ("weight", "bias")]
    for row, trial, params, _ in trials(tmp_path / "trials"):
        state = torch.load(trial / f"checkpoint_{LAST[row]:06d}/checkpoints", weights_only=True)
        assert list(state) == keys
        for ours, theirs in zip(network.shapes, keys, strict=True):
            np.testing.assert_array_equal(state[theirs], arrays[ours][row])
        read = ("type", "channels_in", "o_dim", "nlin", "dropout", "init_type")
        nonlinearity = {"leaky": "leakyrelu"}.get(ACTIVATIONS[row], ACTIVATIONS[row])
        initialisation = ["kaiming_uniform", "kaiming_normal"][row % 2]
        expected = [kind, network.channels, 3, nonlinearity, [0.0, 0.1][row % 2], initialisation]
        assert [params[f"model::{key}"] for key in read] == expected
        assert params["optim::lr"] == arrays["factors/learning_rate"][row]
    earlier = torch.load(tmp_path / "trials/trial_000000/checkpoint_000002/checkpoints", weights_only=True)
    np.testing.assert_array_equal(earlier[keys[0]], 0.5 * arrays["conv1.weight"][0])


@pytest.mark.parametrize("layout", list(exporters.LAYOUTS))
@pytest.mark.parametrize("name", ["cnn_s", "cnn3", "small_cnn_zoo", "published"])
def test_the_card_s_code_gives_the_cnn(tmp_path, monkeypatch, name, layout):
    network, arrays = write_factory_zoo(tmp_path / "zoo.h5", name, every=0)
    exporters.write([tmp_path / "zoo.h5"], layout, tmp_path / "shared")
    card = (tmp_path / "shared/README.md").read_text()
    assert "which of 10 classes" in card
    assert ("so do WeightCLIP's" in card) == (layout == "trials" and name.startswith("cnn"))
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path / "shared")
    space = {}
    exec(code, space)
    x = torch.linspace(-1, 1, 2 * network.channels * network.size**2).reshape(2, network.channels, network.size, -1)
    weights = {part: torch.from_numpy(arrays[part][0]) for part in network.shapes}
    with torch.no_grad():
        expected = forward.logits(network, weights, x)
        torch.testing.assert_close(space["net"].eval()(x), expected, atol=1e-5, rtol=1e-5)


def test_a_name_is_theirs_only_where_the_layers_are():
    assert aiml.class_of(replace(NETWORKS["cnn3"], classes=2, channels=1, activation="silu")) == "CNN3"
    shorter = replace(NETWORKS["cnn3"], layers=NETWORKS["cnn3"].layers[4:])
    assert aiml.class_of(shorter) is None
    assert aiml.layer_names(shorter) == {}
