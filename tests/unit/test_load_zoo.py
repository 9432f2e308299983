"""zoofuse.load_zoo: a zoo as a data set of PyTorch."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import zoofuse
from zoofuse.core import files, rng
from zoofuse.data import images
from zoofuse.models import forward
from zoofuse.models.architectures import ARCHITECTURES
from zoofuse.models.network import Network
from zoofuse.zoo import dataset, population_shards, shards, training

NETWORK = {"layers": ("conv 4 3", "activation", "max 2", "linear"), "channels": 1, "size": 8, "classes": 3}
TRAINING = {
    **{"network": NETWORK, "images_per_epoch": 16, "checkpoint_every": 1},
    "factors": {"epochs": {"grid": [1, 2]}, "optimiser": {"choice": ["adam", "sgd"]}, "batch_size": 8},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A factory zoo of two files, 20 CNNs."""
    folder = tmp_path_factory.mktemp("zoo")
    pixels = rng.bits(60 * 8, 1, "x").view(np.uint8).reshape(60, 8, 8, 1).copy()
    arrays = {"images": pixels, "labels": (np.arange(60) % 3).astype(np.uint8)}
    arrays["split"] = (np.arange(60) // 3 % 5 % 3).astype(np.uint8)
    files.write(folder / "images.h5", "images", arrays, classes=["a", "b", "c"])
    for shard, models in enumerate(([0, 12], [12, 20])):
        population_shards.train(
            *(folder / "images.h5", folder / f"shard-000{shard}.h5", "zoo", TRAINING, models, 1, folder / "store"),
            *({"zoo": {"backend": "serial"}}, 1, lambda line: None),
        )
    return folder


def test_items_are_cnns_with_all_that_is_known_of_them(folder):
    zoo = zoofuse.load_zoo(folder)
    weights, targets = zoo[13]
    assert (len(zoo), weights.shape, weights.dtype) == (20, (zoo.network.parameters,), torch.float32)
    stored = files.read(folder / "shard-0001.h5", "zoo")
    np.testing.assert_array_equal(weights[-3:], stored["fc1.bias"][1])
    np.testing.assert_array_equal(weights[:36], stored["conv1.weight"][1].ravel())
    assert targets["model"] == 13
    assert targets["epochs"] == 2
    assert targets["optimiser"] in ("adam", "sgd")
    assert targets["test_accuracy"] == stored["history/test_accuracy"][1, 1]
    assert zoofuse.load_zoo(folder)[12][1]["test_accuracy"] == stored["history/test_accuracy"][0, 0], "after one epoch"
    chosen = zoofuse.load_zoo(folder / "shard-0001.h5", targets=["loss_2", "learning_rate"])[1][1]
    np.testing.assert_allclose(chosen, [stored["history/loss"][1, 1], 0.001], rtol=1e-6)


def test_tensors_by_layer_make_the_cnn_that_was_trained(folder):
    zoo = zoofuse.load_zoo(folder, per_layer=True)
    data = files.read(folder / "images.h5", "images")
    weights, targets = zoo[3]
    x = torch.from_numpy(data["images"][data["split"] == 2]).movedim(-1, 1).float() / 127.5 - 1
    predicted = forward.logits(Network(**NETWORK), weights, x).argmax(1).numpy()
    assert np.mean(predicted == data["labels"][data["split"] == 2]) == targets["test_accuracy"]


def test_splits_are_disjoint_and_keep_their_cnns_when_the_zoo_grows():
    few, many = (dataset.splits(np.arange(n), (0.7, 0.15, 0.15)) for n in (100, 10_000))
    np.testing.assert_array_equal(few, many[:100])
    np.testing.assert_allclose(np.bincount(many) / len(many), (0.7, 0.15, 0.15), atol=0.001)
    for step in (2, 3, 12):  # the values of a grid
        shares = np.bincount(dataset.splits(np.arange(0, 10_000, step), (0.7, 0.15, 0.15)))
        np.testing.assert_allclose(shares / shares.sum(), (0.7, 0.15, 0.15), atol=0.01)


def test_loaders_take_the_splits(folder):
    parts = {split: zoofuse.load_zoo(folder, split=split, shares=(0.5, 0.25, 0.25)) for split in dataset.SPLITS}
    assert sorted(model for part in parts.values() for model in part.table["model"]) == list(range(20))
    batches = list(DataLoader(parts["train"], batch_size=4))
    assert sum(len(weights) for weights, _ in batches) == len(parts["train"])
    assert batches[0][1]["test_accuracy"].shape == (4,)
    assert isinstance(batches[0][1]["optimiser"][0], str)


def test_weights_are_standardised_by_the_training_split(folder):
    raw = zoofuse.load_zoo(folder, split="train")
    zoo = zoofuse.load_zoo(folder, split="train", standardise=True)
    for name, values in zoo.unflatten(zoo.weights).items():
        assert abs(float(values.mean())) < 1e-5, name
        assert float(values.std(correction=0)) == pytest.approx(1, rel=1e-4), name
    test = zoofuse.load_zoo(folder, split="test", standardise=True)
    np.testing.assert_array_equal(test.mean, zoo.mean)
    np.testing.assert_allclose(zoo.weights * zoo.std + zoo.mean, raw.weights, atol=1e-6)


def test_an_earlier_epoch_leaves_out_cnns_that_ended_before(folder):
    first, second = (zoofuse.load_zoo(folder, epoch=epoch) for epoch in (1, 2))
    assert (len(first), len(second)) == (20, 10)
    final = zoofuse.load_zoo(folder)
    np.testing.assert_array_equal(second.weights, final.weights[final.table["epochs"].to_numpy() == 2])
    assert not torch.equal(first.weights[1], final.weights[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "val"}, "split: 'val' is unknown; write one of train, validation, test"),
        ({"shares": (0.5, 0.5)}, "write three that add up to 1"),
        ({"targets": ["accuracy"]}, "targets: accuracy: unknown; write some of model, learning_rate"),
        ({"targets": ["optimiser"]}, "targets: optimiser: holds words"),
        ({"epoch": 0}, "epoch: 0 is not possible"),
        ({"epoch": 3}, "epoch: 3 is not possible in .*; write 1 to 2"),
    ],
)
def test_impossible_arguments_say_what_to_write(folder, arguments, words):
    with pytest.raises(ValueError, match=words):
        zoofuse.load_zoo(folder, **arguments)


def test_a_folder_without_a_zoo_says_so(tmp_path):
    with pytest.raises(ValueError, match="neither a zoo file nor a folder of them"):
        zoofuse.load_zoo(tmp_path)


@pytest.mark.parametrize("architecture", ["published", "resnet8", "vit"])
def test_zoos_of_concepts_are_read_too(tmp_path, architecture):
    pixels = rng.bits(40 * 384, 1, "y").view(np.uint8).reshape(40, 32, 32, 3).copy()
    arrays = {"images": pixels, "labels": np.repeat(np.uint8([1, 0]), 20), "split": np.tile(np.uint8([0, 1]), 20)}
    files.write(tmp_path / "images.h5", "images", arrays)
    assert images.read_concept(tmp_path / "images.h5")["images"].shape == (20, 32, 32, 3)
    settings = training.Settings(architecture=architecture, epochs=1, images_per_epoch=8)
    shards.train_shard(
        *(tmp_path / "images.h5", tmp_path / "shard-0000.h5"),
        **{"settings": settings, "seed": 1, "concept": "cat", "models": range(2), "store": tmp_path / "store"},
        **{"backend": "serial", "device": "cpu", "say": lambda line: None},
    )
    zoo = zoofuse.load_zoo(tmp_path)
    weights, targets = zoo[1]
    assert weights.shape == (ARCHITECTURES[architecture].parameters,)
    assert (zoo.network is None) == (architecture != "published")
    tensors, stored = zoo.unflatten(weights), files.read(tmp_path / "shard-0000.h5", "zoo")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == ARCHITECTURES[architecture].shapes
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, stored[name][1])
    assert targets["learning_rate"] == 0.01
    assert 0 <= targets["validation_balanced_accuracy"] <= 1
    assert list(zoo.table)[:2] == ["model", "architecture"]
