"""Is it a good zoo? Accuracy from weights, agreement, and the page."""

import base64
import gzip
import json
import re
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from zoofuse.core import csv_files, files
from zoofuse.evaluation import accuracy_from_weights, zoo_quality
from zoofuse.models import cnn
from zoofuse.models.network import NETWORKS
from zoofuse.report import zoo_report

N = 60
NETWORK = replace(NETWORKS["cnn_s"], classes=3)


def test_statistics_are_those_of_each_parameter():
    weights = {"conv1.weight": np.random.default_rng(0).normal(2, 3, (5, 4, 1, 3, 3)), "conv1.bias": np.eye(5, 4)}
    features = accuracy_from_weights.statistics(weights, ["conv1.bias", "conv1.weight"])
    assert features.shape == (5, 14)
    flat = weights["conv1.weight"][3].ravel()
    expected = [flat.mean(), flat.var(), *np.percentile(flat, [0, 25, 50, 75, 100])]
    np.testing.assert_allclose(features[3, 7:], expected)
    np.testing.assert_allclose(features[4, :7], [0, 0, 0, 0, 0, 0, 0])


def planted(n=400):
    """Features, and an accuracy that two of them decide."""
    features = np.random.default_rng(1).normal(size=(n, 21))
    return features, 0.5 + 0.3 * np.tanh(features[:, 4]) - 0.1 * features[:, 9]


def test_what_weights_tell_is_found_and_chance_is_not():
    features, accuracy = planted()
    table = accuracy_from_weights.predict(features, accuracy, "zoo", 0).rows
    assert list(table) == accuracy_from_weights.COLUMNS
    assert table["n_train"].tolist() == [280] * 3
    assert table["n_test"].tolist() == [120] * 3
    scores = table.set_index("predictor")
    assert (scores.loc[["boosting", "ridge"], "tau"] > 0.8).all()
    assert ((scores["low"] <= scores["tau"]) & (scores["tau"] <= scores["high"])).all()
    assert scores.loc["mean", ["tau", "low", "high"]].tolist() == [0, 0, 0]
    shuffled = np.random.default_rng(2).permutation(accuracy)
    chance = accuracy_from_weights.predict(features, shuffled, "zoo", 0).rows.set_index("predictor")
    assert (chance["low"] <= 0).all()
    assert (chance["tau"].abs() < 0.2).all()


def test_held_out_cnns_are_not_fitted_to_and_diverged_ones_are_left_out():
    features, accuracy = planted(100)
    features[7, 3], accuracy[11] = np.inf, np.nan
    first = accuracy_from_weights.predict(features, accuracy, "zoo", 0)
    assert len(first.truth) == 29
    usable = np.delete(np.arange(100), [7, 11])
    rows = [int(np.flatnonzero(accuracy[usable] == value)[0]) for value in first.truth]
    changed = accuracy.copy()
    changed[usable[rows]] = first.truth[::-1]  # of held-out CNNs only
    again = accuracy_from_weights.predict(features, changed, "zoo", 0)
    for name, predictions in first.predictions.items():
        np.testing.assert_array_equal(again.predictions[name], predictions)
        expected = stats.kendalltau(predictions, first.truth).statistic if name != "mean" else 0
        assert first.rows.set_index("predictor").loc[name, "tau"] == pytest.approx(expected)


@pytest.mark.parametrize("accuracy", [np.linspace(0, 1, 49), np.full(60, 0.5)])
def test_too_few_cnns_or_one_accuracy_give_no_row(accuracy):
    features = np.random.default_rng(0).normal(size=(len(accuracy), 7))
    assert accuracy_from_weights.predict(features, accuracy, "zoo", 0).rows.empty


@pytest.fixture
def zoo(tmp_path):
    """A zoo of three classes in two files, whose first two CNNs are the same and whose last is degenerate, with its
    models.csv and its images."""
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.1, 0.5, N)
    arrays = {}
    for name, shape in NETWORK.shapes.items():
        values = rng.normal(size=(N, *shape)) * scale.reshape(-1, *[1] * len(shape))
        values[1] = values[0]
        arrays[name] = values.astype(np.float32)
    arrays["fc2.weight"][-1], arrays["fc2.bias"][-1] = 0, [0, 1, 0]
    table = {"model": np.arange(N), "learning_rate": 10 ** rng.uniform(-4, -1, N)}
    table |= {"activation": ["relu", "relu"] + ["tanh", "gelu"] * (N // 2 - 1), "epochs": 2}
    table["seed"] = table["model"]
    scores = {"loss": 1 - scale, "test_accuracy": scale, "largest_class_share": np.where(np.arange(N) == N - 1, 1, 0.4)}
    table |= scores | {f"{name}_{epoch}": values for name, values in scores.items() for epoch in (1, 2)}
    facts = {"concept": "three", "classes": ["a", "b", "c"]}
    facts["network"] = {key: value for key, value in asdict(NETWORK).items() if key != "slower"}
    paths = [tmp_path / "shard-0000.h5", tmp_path / "shard-0001.h5"]
    for path, rows in zip(paths, (slice(0, 40), slice(40, N)), strict=True):
        part = {name: values[rows] for name, values in arrays.items()}
        files.write(path, "zoo", part | {"model": np.arange(N, dtype=np.int32)[rows]}, **facts)
    csv_files.write(tmp_path / "models.csv", pd.DataFrame(table))
    split = np.repeat(np.uint8([0, 1, 2]), [10, 10, 30])
    pixels = rng.integers(0, 256, (50, 28, 28, 1), np.uint8)
    files.write(tmp_path / "images.h5", "images", {"images": pixels, "split": split})
    inputs = {"zoo_three": paths, "models_three": tmp_path / "models.csv", "images_three": tmp_path / "images.h5"}
    return inputs, pixels[split == 2], arrays


def test_agreement_is_of_every_two_cnns_with_their_own_activation(zoo):
    import torch

    from zoofuse.models import forward

    inputs, pixels, arrays = zoo
    read = zoo_quality.read("three", inputs["zoo_three"], csv_files.read(inputs["models_three"]))
    equal = zoo_quality.agreement(read, pixels)
    assert len(equal) == N * (N - 1) // 2
    assert equal[0] == 1  # of CNNs 0 and 1, which are the same
    assert read.degenerate.tolist() == [False] * (N - 1) + [True]
    predicted = []
    for model, activation in ((2, "tanh"), (N - 1, "gelu")):
        weights = {name: torch.from_numpy(values[model]) for name, values in arrays.items()}
        x = torch.from_numpy(pixels).movedim(-1, 1) / 255 * 2 - 1
        predicted.append(forward.logits(replace(NETWORK, activation=activation), weights, x).argmax(1).numpy())
    one, other = np.triu_indices(N, 1)
    assert equal[(one == 2) & (other == N - 1)] == np.mean(predicted[0] == predicted[1])
    assert (predicted[1] == 1).all()


@pytest.mark.parametrize("architecture", ["resnet8", "vit"])
def test_networks_that_are_no_chain_of_layers_are_read_and_compared(tmp_path, architecture):
    import torch

    of, path = cnn.ARCHITECTURES[architecture], tmp_path / "shard-0000.h5"
    weights = cnn.initial_weights(of, 1, "odd", np.arange(6))
    weights["fc1.weight"] *= 30  # or biases would decide the class
    files.write(path, "zoo", {"model": np.arange(6, dtype=np.int32), **weights}, concept="odd")
    read = zoo_quality.read("odd", [path], pd.DataFrame({"model": range(6)}))
    assert read.features.shape == (6, 7 * len(of.shapes))
    np.testing.assert_allclose(read.features[:, 0], weights[next(iter(of.shapes))].reshape(6, -1).mean(1), rtol=1e-4)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
    classes = cnn.logits(tensors, cnn.normalise(torch.from_numpy(pixels))).argmax(2).numpy()
    one, other = np.triu_indices(6, 1)
    np.testing.assert_allclose(zoo_quality.agreement(read, pixels), (classes[one] == classes[other]).mean(1))
    assert 0 < zoo_quality.agreement(read, pixels).mean() < 1


def test_the_report_and_its_table(tmp_path, zoo):
    inputs, *_ = zoo
    lines = []
    zoo_report.write(inputs, ["three"], 0, tmp_path / "table.csv", tmp_path / "report.html", lines.append)
    table = csv_files.read(tmp_path / "table.csv")
    assert list(table) == accuracy_from_weights.COLUMNS
    assert table["predictor"].tolist() == list(accuracy_from_weights.PREDICTORS)
    assert table.set_index("predictor").loc["boosting", "tau"] > 0.6  # the weights' scale is the accuracy
    html = (tmp_path / "report.html").read_text()
    assert "held-out ones with Kendall" in lines[0]
    assert "1 of 60 CNNs (1.7 %) are degenerate" in html
    assert "The CNNs differ in learning rate, activation (blue)" in html
    packed = re.search(r'<script type="text/plain" class="data">(.*?)</script>', html)[1]
    figures = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert sorted(figures) == sorted(re.findall(r'data-plot="(\w+)"', html))
    drawn = figures["distributions"]["data"]
    assert len(drawn) == 5
    assert all(sum(bars["y"]) == N for bars in drawn)


def test_a_table_of_other_cnns_is_refused(zoo):
    inputs, *_ = zoo
    table = csv_files.read(inputs["models_three"]).iloc[::-1]
    with pytest.raises(ValueError, match="lists other CNNs than the zoo's files"):
        zoo_quality.read("three", inputs["zoo_three"], table)
