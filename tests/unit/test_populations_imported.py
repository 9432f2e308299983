"""Other people's populations as factory zoos: weights by order, factors and scores by their names."""

import gzip
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zoofuse import config
from zoofuse.core import files
from zoofuse.importers import populations
from zoofuse.importers.foreign_layouts import ZooError
from zoofuse.importers.layer_names import Mismatch
from zoofuse.models import forward
from zoofuse.models.network import NETWORKS
from zoofuse.workflow.run import Run
from zoofuse.zoo import exporters

N = 3
# CNN and CNN3 as the AIML lab's code has them: a list of modules.
CHAINS = {
    "cnn_s": lambda act: [
        *(nn.Conv2d(1, 8, 5), nn.MaxPool2d(2), act(), nn.Conv2d(8, 6, 5), nn.MaxPool2d(2), act()),
        *(nn.Conv2d(6, 4, 2), act(), nn.Flatten(), nn.Linear(36, 20), act(), nn.Linear(20, 10)),
    ],
    "cnn3": lambda act: [
        *(nn.Conv2d(3, 16, 3), nn.MaxPool2d(2), act(), nn.Dropout(0.1)),
        *(nn.Conv2d(16, 32, 3), nn.MaxPool2d(2), act(), nn.Dropout(0.1)),
        *(nn.Conv2d(32, 15, 3), nn.MaxPool2d(2), act(), nn.Dropout(0.1)),
        *(nn.Flatten(), nn.Linear(60, 20), act(), nn.Dropout(0.1), nn.Linear(20, 10)),
    ],
}
ACTIVATIONS = ["gelu", "leaky", "gelu"]


def nets(name):
    """N CNNs of theirs, by ACTIVATIONS."""
    return [nn.Sequential(*CHAINS[name](act)).eval() for act in (nn.GELU, nn.LeakyReLU, nn.GELU)]


def state(net):
    return {f"module_list.{name}": values for name, values in net.state_dict().items()}


def write_trials(folder, name, first_epoch=0):
    """As ModelZoos' (first_epoch 0, of the untrained CNN) or WeightCLIP's code leaves them."""
    made = nets(name)
    for row, net in enumerate(made):
        trial = folder / f"NN_tune_trainable_seed={row}"
        for number in (8, 10):
            (trial / f"checkpoint_{number:06d}").mkdir(parents=True)
            torch.save(state(net if number == 10 else nets(name)[0]), trial / f"checkpoint_{number:06d}/checkpoints")
        params = {("lr" if first_epoch else "optim::lr"): 0.01 * (row + 1), "model::dropout": 0.1, "seed": row}
        params["model::nlin"] = ACTIVATIONS[row].replace("leaky", "leakyrelu")
        (trial / "params.json").write_text(json.dumps(params))
        key, scale = ("epoch", 100) if first_epoch else ("training_iteration", 1)
        lines = [{key: n, "test_acc": scale * (0.05 * n + 0.01 * row), "val_acc": math.nan} for n in range(11)]
        (trial / "result.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return made


def imported(path, network, tmp_path, models=range(N)):
    populations.import_population(path, tmp_path / "zoo.h5", name="tens", network=network, models=models)
    return files.read(tmp_path / "zoo.h5", "zoo")


def assert_same_predictions(zoo, made, network):
    x = torch.randn(4, network.channels, network.size, network.size)
    for row, net in enumerate(made):
        own = replace(network, activation=str(zoo["factors/activation"][row]))
        weights = {name: torch.from_numpy(zoo[name][row]) for name in network.shapes}
        with torch.no_grad():
            torch.testing.assert_close(forward.logits(own, weights, x), net(x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("first_epoch", [0, 1], ids=["ModelZoos", "WeightCLIP"])
@pytest.mark.parametrize("name", ["cnn_s", "cnn3"])
def test_trials_of_their_classes_predict_the_same(tmp_path, name, first_epoch):
    made = write_trials(tmp_path / "zoo", name, first_epoch)
    zoo = imported(tmp_path / "zoo", NETWORKS[name], tmp_path)
    assert_same_predictions(zoo, made, NETWORKS[name])
    assert zoo["factors/activation"].tolist() == ACTIVATIONS
    np.testing.assert_allclose(zoo["factors/learning_rate"], [0.01, 0.02, 0.03])
    assert zoo["factors/epochs"].tolist() == [10 + first_epoch] * N
    expected = 0.05 * np.arange(1 - first_epoch, 11) + 0.01 * np.arange(N)[:, None]
    np.testing.assert_allclose(zoo["history/test_accuracy"], expected, atol=1e-12)
    assert "history/validation_accuracy" not in zoo  # NaN in every line


def test_what_is_exported_reads_back(tmp_path):
    write_trials(tmp_path / "theirs", "cnn3")
    first = imported(tmp_path / "theirs", NETWORKS["cnn3"], tmp_path)
    exporters.write([tmp_path / "zoo.h5"], "trials", tmp_path / "ours")
    again = imported(tmp_path / "ours", NETWORKS["cnn3"], tmp_path)
    for name in set(first) - {"source/name"}:
        np.testing.assert_array_equal(again[name], first[name])


def test_safetensors_with_metadata(tmp_path):
    made = nets("cnn_s")
    (tmp_path / "zoo").mkdir()
    for row, net in enumerate(made):
        facts = {"learning_rate": f"{0.1 * row}", "activation": ACTIVATIONS[row], "epochs": f"{row + 1}"}
        facts |= {"test_accuracy": f"{0.2 * row}", "by": "me"}
        save_file(state(net), tmp_path / f"zoo/{row}.safetensors", facts)
    zoo = imported(tmp_path / "zoo", NETWORKS["cnn_s"], tmp_path)
    assert_same_predictions(zoo, made, NETWORKS["cnn_s"])
    np.testing.assert_allclose(zoo["factors/learning_rate"], [0, 0.1, 0.2])
    expected = np.where(np.eye(N), 0.2 * np.arange(N)[:, None], np.nan)  # each after its last epoch
    np.testing.assert_allclose(zoo["history/test_accuracy"], expected)


def write_small_cnn_zoo(folder):
    """Two CNNs of three checkpoints each; returns Keras's variables of their last ones."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    shapes = {}
    for i, channels in enumerate([1, 16, 16]):
        name = f"sequential/conv2d{f'_{i}' if i else ''}"
        shapes |= {f"{name}/bias:0": (16,), f"{name}/kernel:0": (3, 3, channels, 16)}
    shapes |= {"sequential/dense/bias:0": (10,), "sequential/dense/kernel:0": (16, 10)}
    matrix = rng.normal(0, 0.3, (6, 4970)).astype(np.float32)
    layout, last, start = [], [{}, {}], 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        layout.append([name, start, start + size, size, str(shape)])
        for variables, row in zip(last, (4, 5), strict=True):
            variables[name] = matrix[row, start : start + size].reshape(shape)
        start += size
    np.save(folder / "weights.npy", matrix)
    pd.DataFrame(layout, columns=["varname", "start_idx", "end_idx", "size", "shape"]).to_csv(folder / "layout.csv")
    metrics = {"modeldir": ["a", "b"] * 3, "step": [0, 0, 20, 20, 86, 80], "config.learning_rate": [0.01, 0.02] * 3}
    metrics |= {"config.activation": ["relu", "tanh"] * 3, "config.w_init": ["he_normal", "RandomNormal"] * 3}
    metrics |= {"config.l2reg": 1e-4, "config.train_fraction": [0.1, 1.0] * 3, "config.optimizer": "sgd"}
    metrics |= {"test_accuracy": np.arange(6) / 10, "train_accuracy": np.arange(6) / 8, "train_loss": 1.0}
    with gzip.open(folder / "metrics.csv.gz", "wt") as handle:
        pd.DataFrame(metrics).to_csv(handle, index=False)
    return last


def keras(variables, x, activation):
    """The CNN on (b, rows, columns, 1), by products over windows in Keras's order of axes."""
    layers = [f"sequential/{name}" for name in ("conv2d", "conv2d_1", "conv2d_2")]
    for layer in layers:
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2]
        products = np.einsum("brcikl,klio->brco", windows, variables[f"{layer}/kernel:0"])
        x = activation(products + variables[f"{layer}/bias:0"])
    return x.mean((1, 2)) @ variables["sequential/dense/kernel:0"] + variables["sequential/dense/bias:0"]


def test_the_small_cnn_zoo_is_read_by_its_last_checkpoints(tmp_path):
    last = write_small_cnn_zoo(tmp_path / "zoo")
    assert populations.count(tmp_path / "zoo") == 2
    network = NETWORKS["small_cnn_zoo"]
    zoo = imported(tmp_path / "zoo", network, tmp_path, range(2))
    assert zoo["source/name"].tolist() == ["a", "b"]
    x = np.random.default_rng(1).normal(size=(3, 32, 32, 1)).astype(np.float32)
    for row, activation in enumerate((lambda values: np.maximum(values, 0), np.tanh)):
        weights = {name: torch.from_numpy(zoo[name][row]) for name in network.shapes}
        own = replace(network, activation=str(zoo["factors/activation"][row]))
        logits = forward.logits(own, weights, torch.from_numpy(x).movedim(-1, 1)).numpy()
        np.testing.assert_allclose(logits, keras(last[row], x, activation), atol=1e-5)
    assert zoo["factors/initialisation"].tolist() == ["kaiming_normal", "random_normal"]
    assert zoo["factors/data_share"].tolist() == [0.1, 1.0]
    assert zoo["factors/epochs"].tolist() == [86, 80]
    scores = zoo["history/test_accuracy"]
    assert scores.shape == (2, 86)
    assert (scores[0, 85], scores[1, 79]) == (0.4, 0.5)
    assert np.isfinite(scores).sum() == 2


def spoil_rows(folder):
    np.save(folder / "weights.npy", np.zeros((5, 4970), np.float32))


def spoil_matrix(folder):
    np.save(folder / "weights.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def spoil_layout(folder):
    text = (folder / "layout.csv").read_text()
    (folder / "layout.csv").write_text(text.replace("(3, 3, 1, 16)", "(3, 3, 16, 1)"))


def spoil_metrics(folder):
    (folder / "metrics.csv.gz").write_bytes(b"no gzip")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_rows, "weights.npy is .* a row for each of the 6 rows"),
        (spoil_matrix, "not a NumPy array of numbers"),
        (spoil_layout, "layout.csv: has layers"),
        (spoil_metrics, "not a gzipped CSV"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, spoil, words):
    write_small_cnn_zoo(tmp_path / "zoo")
    spoil(tmp_path / "zoo")
    with pytest.raises(ZooError, match=words):
        imported(tmp_path / "zoo", NETWORKS["small_cnn_zoo"], tmp_path, range(2))


def test_order_is_that_of_layers_not_of_letters():
    shapes = NETWORKS["small_cnn_zoo"].shapes
    layers = ["layers.0", "layers.3", "layers.6", "layers.10"]  # by letters, 10 comes before 3
    names = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    theirs = dict(zip(names, shapes.values(), strict=True))
    by_letters = dict(sorted(theirs.items()))
    assert list(populations.ordered(by_letters, shapes, natural_first=True).values()) == names
    with pytest.raises(Mismatch, match=r"has another architecture: it holds .*; expected conv1.weight"):
        populations.ordered(theirs | {"bn.weight": (16,)}, shapes)


def test_unusable_cnns_and_too_many_are_named(tmp_path):
    write_trials(tmp_path / "zoo", "cnn_s")
    with pytest.raises(ZooError, match=r"holds 3 CNNs; write factory.tens.models: 3, or fewer"):
        imported(tmp_path / "zoo", NETWORKS["cnn_s"], tmp_path, range(4))
    params = tmp_path / "zoo/NN_tune_trainable_seed=1/params.json"
    params.write_text(params.read_text().replace("leakyrelu", "selu"))
    broken = tmp_path / "zoo/NN_tune_trainable_seed=2/checkpoint_000010/checkpoints"
    broken.write_bytes(broken.read_bytes()[:-900])
    with pytest.raises(ZooError, match=r"2 of 3 CNNs can't be used:\n.*seed=1: activation selu is .*\n.*seed=2: "):
        imported(tmp_path / "zoo", NETWORKS["cnn_s"], tmp_path)


CONCEPTS = {"cat": {"source": "synthetic", "positive": ["cat"], "negative": ["non-cat"]}}


def test_a_configuration_names_one(tmp_path):
    write_trials(tmp_path / "there", "cnn3")
    factory = {"tens": {"zoo": "there", "architecture": "cnn3", "models": N}}
    written = {"zoo_root": str(tmp_path), "concepts": CONCEPTS, "factory": factory}
    run = Run(config.complete(written))
    assert run.factories.existing("tens") == str(tmp_path / "there")
    assert run.factories.reported() == ["tens"]
    assert list(run.factories.report()) == ["zoo_tens", "models_tens"]  # no images to see where CNNs agree
    training = run.factories.training("tens")
    before = run.factories.existing_digest("tens", "0000")
    populations.import_shard(tmp_path / "there", tmp_path / "zoo.h5", "tens", training, (1, N), [])
    assert files.read(tmp_path / "zoo.h5", "zoo")["model"].tolist() == [1, 2]
    assert files.attributes(tmp_path / "zoo.h5", "zoo")["classes"] == [str(digit) for digit in range(10)]
    params = tmp_path / "there/NN_tune_trainable_seed=1/params.json"
    params.write_text(params.read_text().replace("0.02", "0.2"))
    assert run.factories.existing_digest("tens", "0000") != before


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ({"zoo": "there", "pruned": [50]}, "pruned: an existing zoo has no images"),
        ({"zoo": "there", "layers": ["conv 4 3", "linear"]}, "classes: missing; name each class of the existing zoo"),
        ({"zoo": "http://there"}, "zoo: 'http://there' is an address"),
    ],
)
def test_what_an_existing_zoo_can_t_have_is_refused(factory, words):
    with pytest.raises(config.ConfigError, match=words):
        config.complete({"concepts": CONCEPTS, "factory": {"tens": factory}})
