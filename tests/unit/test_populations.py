"""Factory zoos: CNNs of several classes, each by its own recipe."""

import numpy as np
import pytest
import torch
from torch import nn

from zoofuse.core import rng
from zoofuse.models.network import NETWORKS, Network
from zoofuse.native import network_trainer
from zoofuse.zoo import populations, recipes
from zoofuse.zoo.recipes import Recipe

LAYERS = (
    "conv 4 3 stride=2",
    "activation",
    "dropout",
    "conv 5 3",
    "activation",
    "max 2",
    "linear 8",
    "dropout",
    "linear",
)
NETWORK = Network(LAYERS, channels=1, size=12, classes=3)
BACKENDS = ["serial"] + ["cpp"] * network_trainer.available(NETWORK)[0]


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    """Bright, striped and dark images, which are easy to classify."""
    made = {}
    for part, n in (("", 90), ("validation_", 30), ("test_", 31)):
        labels = (np.arange(n) % 3).astype(np.uint8)
        pixels = rng.bits(n * 144 // 8 + 8, 1, part).view(np.uint8)[: n * 144].reshape(n, 12, 12, 1) // 4
        pixels[labels == 1, ::2] += 190
        pixels[labels == 2] += 190
        made |= {f"{part}images": pixels, f"{part}labels": labels}
    return made


def task(settings: populations.Settings, data: dict[str, np.ndarray], model: int) -> populations.Task:
    return populations.task(settings, data, 1, "zoo", recipes.recipe(settings.factors, 1, "zoo", model))


def settings(**factors) -> populations.Settings:
    return populations.Settings(NETWORK, {"epochs": 3, "batch_size": 16, "learning_rate": 0.01} | factors)


def test_cnns_learn_and_the_file_has_what_others_rely_on(data):
    varied = settings(
        epochs={"grid": [5, 12]}, optimiser={"grid": ["adam", "adamw", "sgd"]}, dropout=0.1, learning_rate=0.02
    )
    varied = populations.Settings(**vars(varied) | {"checkpoint_every": 4})
    arrays = populations.train(varied, data, 1, "zoo", np.arange(6), threads=2)
    assert arrays["conv2.weight"].shape == (6, 5, 4, 3, 3)
    assert arrays["factors/epochs"].tolist() == [5] * 3 + [12] * 3
    assert np.mean(arrays["history/test_accuracy"][3:, -1]) > 0.8, "chance is 1/3"
    short = arrays["factors/epochs"] == 5
    assert np.isnan(arrays["history/loss"][short, 5:]).all()
    assert not np.isnan(arrays["history/loss"][~short]).any()
    assert arrays["checkpoints/fc1.bias"].shape == (6, 3, 8)
    assert np.isnan(arrays["checkpoints/fc1.bias"][short, 1:]).all()
    np.testing.assert_array_equal(arrays["checkpoints/conv1.weight"][~short, 2], arrays["conv1.weight"][~short])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cnn_does_not_depend_on_the_others_or_on_threads(data, backend):
    varied = settings(learning_rate={"log_uniform": [0.001, 0.1]}, dropout=0.2, label_noise={"uniform": [0, 0.4]})
    together = populations.train(varied, data, 1, "zoo", np.arange(5), backend=backend, threads=3)
    alone = populations.train(varied, data, 1, "zoo", np.array([3]), backend=backend)
    for name, values in alone.items():
        np.testing.assert_array_equal(together[name][3:4], values, err_msg=name)
    assert len(np.unique(together["conv1.weight"][:, 0, 0, 0, 0])) == 5


def test_cnns_of_one_seed_begin_alike(data):
    varied = settings(seed={"grid": [0, 1]}, optimiser={"grid": ["adam", "sgd"]})
    tasks = [task(varied, data, model) for model in range(4)]
    same = [one for one in tasks if one.recipe.seed == 0]
    assert len(same) == 2
    np.testing.assert_array_equal(same[0].weights, same[1].weights)
    np.testing.assert_array_equal(same[0].order, same[1].order)
    other = next(one for one in tasks if one.recipe.seed == 1)
    assert (other.weights != same[0].weights).all()


def test_shares_and_noise_are_what_the_recipe_says(data):
    one = task(settings(data_share=0.5, label_noise=0.2), data, 0)
    assert one.order.shape == (3, 45)
    assert [len(np.unique(epoch)) for epoch in one.order] == [45] * 3
    assert len(np.unique(one.order)) == 45
    wrong = np.flatnonzero(one.labels != data["labels"])
    assert len(wrong) == 9
    assert set(wrong) <= set(np.unique(one.order))
    assert len({(int(a), int(b)) for a, b in zip(one.labels[wrong], data["labels"][wrong], strict=True)}) > 2
    longer = populations.Settings(NETWORK, {"epochs": 2, "data_share": 0.5}, images_per_epoch=60)
    order = task(longer, data, 0).order
    counts = np.unique(order, return_counts=True)[1]
    assert set(counts) == {2, 3}, "120 images drawn from 45"


@pytest.mark.parametrize(
    ("how", "spread"),
    [
        ("kaiming_uniform", lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu")),
        ("kaiming_normal", lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")),
        ("xavier_uniform", nn.init.xavier_uniform_),
        ("xavier_normal", nn.init.xavier_normal_),
        ("orthogonal", nn.init.orthogonal_),
        ("default", lambda w: nn.init.kaiming_uniform_(w, a=5**0.5)),
    ],
)
def test_initialisations_are_those_of_torch(how, spread):
    torch.manual_seed(0)
    wide = Network(("conv 48 3", "relu", "conv 64 5", "relu", "global", "linear 96", "linear"), 3, 16, 10)
    weights = populations.initial_weights(wide, how, (1, "x"))
    for name, shape in wide.shapes.items():
        if name.endswith(".weight") and np.prod(shape) > 1000:
            theirs = spread(torch.empty(shape)).numpy()
            assert weights[name].std() == pytest.approx(theirs.std(), rel=0.06), name
            if "uniform" in how or how == "default":
                assert np.abs(weights[name]).max() == pytest.approx(np.abs(theirs).max(), rel=0.02), name
        elif name.endswith(".bias"):
            assert weights[name].any() == (how == "default")
    if how == "orthogonal":
        first = weights["conv2.weight"].reshape(64, -1)
        np.testing.assert_allclose(first @ first.T, np.eye(64), atol=1e-5)


def test_published_architectures_train(data):
    for name in ("cnn_s", "small_cnn_zoo"):
        network = Network(NETWORKS[name].layers, 1, NETWORKS[name].size, 3)
        repeated = {
            key: np.repeat(np.repeat(values, 3, 1), 3, 2)[:, : network.size, : network.size]
            for key, values in data.items()
            if key.endswith("images")
        }
        one = populations.Settings(network, {"epochs": 1, "dropout": 0.1, "activation": "tanh"})
        arrays = populations.train(one, data | repeated, 1, "zoo", np.arange(1))
        assert 0 < arrays["history/loss"][0, 0] < 3
        assert set(network.shapes) <= set(arrays)


def test_dropout_drops_its_share(data):
    """One step of SGD: dropped units of the last hidden layer give no gradient to the last weights."""
    network = Network(("conv 4 3", "relu", "global", "linear 300", "tanh", "dropout", "linear"), 1, 12, 3)
    factors = {"epochs": 1, "batch_size": 1, "optimiser": "sgd", "momentum": 0.0, "learning_rate": 1.0, "dropout": 0.4}
    one = task(populations.Settings(network, factors, images_per_epoch=1), data, 0)
    result = populations.train_one_serially(one, np.zeros(1, np.int64), np.zeros(1, np.int64))
    moved = (result.weights != one.weights)[-3 - 900 : -3].reshape(3, 300)
    assert (moved == moved[0]).all()
    assert 0.5 < moved[0].mean() < 0.7
    assert one.recipe == Recipe(**{**vars(Recipe()), **factors})


@pytest.mark.skipif("cpp" not in BACKENDS, reason="no C++ compiler")
def test_both_backends_train_the_same_cnns(data):
    varied = settings(
        optimiser={"grid": ["adam", "adamw", "sgd"]}, dropout=0.2, weight_decay=0.01, label_noise=0.1, epochs=2
    )
    varied = populations.Settings(**vars(varied) | {"checkpoint_every": 1})
    serial, cpp = (populations.train(varied, data, 1, "zoo", np.arange(3), backend=backend) for backend in BACKENDS)
    assert serial.keys() == cpp.keys()
    for name, values in serial.items():
        if values.dtype.kind != "f":
            np.testing.assert_array_equal(values, cpp[name], err_msg=name)
        elif "accuracy" not in name and "share" not in name:
            np.testing.assert_allclose(values, cpp[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert np.abs(serial["history/test_accuracy"] - cpp["history/test_accuracy"]).max() < 0.1


def test_the_backend_is_the_one_asked_for():
    assert populations.choose_backend(settings(), "serial")[0] == "serial"
    assert populations.choose_backend(settings(), "auto")[0] == BACKENDS[-1]
    huge = populations.Settings(Network(("conv 4096 1", "conv 4096 1", "global", "linear"), 1, 64, 3), {})
    assert populations.choose_backend(huge)[0] == "serial"
    with pytest.raises(ValueError, match=r"cpp cannot be used here: the C\+\+ trainer takes"):
        populations.choose_backend(huge, "cpp")
