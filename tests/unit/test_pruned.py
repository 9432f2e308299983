"""Pruned twins: CNNs whose smallest weights are 0, and stay so while they are trained on."""

import numpy as np
import pytest

import zoofuse
from zoofuse.core import files, rng
from zoofuse.zoo import population_shards, pruned

NETWORK = {"layers": ("conv 4 3", "activation", "max 2", "dropout", "linear"), "channels": 1, "size": 8, "classes": 2}
TRAINING = {
    **{"network": NETWORK, "images_per_epoch": None, "checkpoint_every": 0},
    "factors": {"epochs": {"grid": [1, 3]}, "optimiser": {"choice": ["adam", "sgd"]}, "batch_size": 8, "dropout": 0.1},
}


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Trains the twins of a zoo of 4 CNNs of which the arguments say how many there are."""
    folder = tmp_path_factory.mktemp("twins")
    labels = (np.arange(60) % 2).astype(np.uint8)
    pixels = rng.bits(60 * 8, 1, "x").view(np.uint8).reshape(60, 8, 8, 1) // 2
    pixels[labels == 1, :4] += 120
    split = (np.arange(60) // 2 % 5 % 3).astype(np.uint8)
    files.write(
        folder / "images.h5", "images", {"images": pixels, "labels": labels, "split": split}, classes=["a", "b"]
    )

    def run(models: int, name: str = "twins", say=quiet):
        store, backend = str(folder / "store"), {"zoo": {"backend": "serial"}}
        parents = folder / "parents.h5"
        population_shards.train(
            folder / "images.h5", parents, "zoo", TRAINING, [0, models], 1, store, backend, threads=1, say=quiet
        )
        pruning = {"sparsity": 0.6, "epochs": 2}
        where = (folder / "images.h5", parents, folder / f"{name}.h5", "zoo-pruned-60", "zoo", TRAINING, [0, models])
        pruned.train(*where, pruning, 1, str(folder / "twins"), threads=2, say=say)
        return files.read(parents, "zoo"), files.read(folder / f"{name}.h5", "zoo"), folder / f"{name}.h5"

    return run


def test_the_smallest_weights_are_zero_and_stay_so(twins):
    parents, made, path = twins(4)
    weights = ["conv1.weight", "fc1.weight"]
    for row in range(4):
        magnitude = np.concatenate([np.abs(parents[name][row]).ravel() for name in weights])
        twin = np.concatenate([made[name][row].ravel() for name in weights])
        assert np.mean(twin == 0) == pytest.approx(0.6, abs=0.01)
        assert magnitude[twin == 0].max() <= magnitude[twin != 0].min()
    assert (made["fc1.bias"] != parents["fc1.bias"]).any(), "it was trained on"
    assert made["factors/sparsity"].tolist() == [0.6] * 4
    assert made["factors/epochs"].tolist() == [2] * 4
    assert made["factors/optimiser"].tolist() == parents["factors/optimiser"].tolist()
    assert made["history/test_accuracy"].shape == (4, 2)
    table = zoofuse.load_zoo(path).table
    assert list(table)[:2] == ["model", "learning_rate"]
    assert table["sparsity"].tolist() == [0.6] * 4


def test_more_parents_leave_the_twins_that_are_there(twins):
    _, before, _ = twins(3, "few")
    lines = []
    _, after, _ = twins(5, "many", lines.append)
    assert lines[0].startswith("Training on by serial")
    assert any("of 5 CNNs are already trained" in line for line in lines)
    np.testing.assert_array_equal(before["conv1.weight"], after["conv1.weight"][:3])
