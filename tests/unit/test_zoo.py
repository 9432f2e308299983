"""A CNN is trained once: zoos grow, are cut into other shards and go on after a stop without training any CNN again."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from zoofuse.core import files
from zoofuse.zoo import shards, training, zoo

SETTINGS = training.Settings(epochs=2, images_per_epoch=24, batch_size=16)


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], 30).astype(np.uint8)
    pixels = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    pixels[labels == 1] //= 2
    arrays = {"images": pixels, "labels": labels, "split": (np.arange(60) % 5 == 0).astype(np.uint8)}
    files.write(tmp_path / "images.h5", "images", arrays)
    return tmp_path / "images.h5"


@pytest.fixture
def train(images, tmp_path, monkeypatch):
    """Trains a shard and tells which CNNs were really trained."""

    def run(models: range, output="shard.h5", settings=SETTINGS, **changes):
        trained, real = [], training.train
        count = lambda *args, **more: trained.extend(args[4].tolist()) or real(*args, **more)  # noqa: E731
        with monkeypatch.context() as patch:
            patch.setattr(training, "train", count)
            arguments = {"settings": settings, "models": models, "store": tmp_path / "store", "say": lambda line: None}
            arguments |= {"seed": 1, "concept": "cat", "backend": "serial", "device": "cpu"} | changes
            shards.train_shard(images, tmp_path / output, **arguments)
        return trained, files.read(tmp_path / output, "zoo")

    return run


def test_zoo_file_holds_what_others_rely_on(train):
    _, made = train(range(5, 8))
    shapes = {"conv1.weight": (6, 3, 5, 5), "conv1.bias": (6,), "conv2.weight": (16, 6, 5, 5), "conv2.bias": (16,)}
    shapes |= {"fc1.weight": (2, 400), "fc1.bias": (2,), "history/loss": (2,), "model": ()}
    for name, shape in shapes.items():
        assert made[name].shape == (3, *shape), name
    assert made["model"].tolist() == [5, 6, 7]
    assert made["conv1.weight"].dtype == np.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_the_cuda_trainer_without_a_gpu_is_refused_in_words(train):
    with pytest.raises(ValueError, match=r"^backend: cuda cannot be used here: there is no CUDA device here\. Write"):
        train(range(3), backend="cuda")


def test_growing_trains_only_the_new(train):
    trained, small = train(range(3))
    assert trained == [0, 1, 2]
    trained, grown = train(range(5))
    assert trained == [3, 4]
    for name in small:
        assert np.array_equal(grown[name][:3], small[name]), name
    trained, shrunk = train(range(2))
    assert trained == []
    assert shrunk["model"].tolist() == [0, 1]


def test_other_shards_train_nothing_and_give_the_same_cnns(train):
    _, whole = train(range(6), "whole.h5")
    trained_left, left = train(range(4), "left.h5")
    trained_right, right = train(range(4, 6), "right.h5")
    assert trained_left == trained_right == []
    assert np.array_equal(np.concatenate([left["fc1.weight"], right["fc1.weight"]]), whole["fc1.weight"])


def test_shorter_shards_lose_no_cnn(train):
    train(range(4), "whole.h5")
    for models in (range(3), range(3, 5)):
        trained, _ = train(models, f"{models.start}.h5")
        assert trained == [model for model in models if model == 4]


def test_a_shard_trained_alone_is_the_same(train, tmp_path):
    _, whole = train(range(4))
    shutil.rmtree(tmp_path / "store")
    trained, alone = train(range(2, 4), threads=2)
    assert trained == [2, 3]
    for name in whole:
        assert np.array_equal(whole[name][2:], alone[name]), name


def test_what_a_stopped_shard_has_finished_is_kept(train, monkeypatch):
    real = training.train

    def dies(*args, **more):
        if 2 in args[4]:
            raise KeyboardInterrupt
        return real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train", dies)
        with pytest.raises(KeyboardInterrupt):
            train(range(4))
    trained, made = train(range(4))
    assert trained == [2, 3]
    assert made["model"].tolist() == [0, 1, 2, 3]


OTHER = training.Settings(epochs=1, images_per_epoch=24)


@pytest.mark.parametrize("change", [{"seed": 2}, {"concept": "dog"}, {"settings": OTHER}])
def test_what_a_cnn_depends_on_trains_it_again(train, change):
    train(range(2))
    trained, _ = train(range(2), **change)
    assert trained == [0, 1]


def test_a_damaged_store_is_trained_again(train, tmp_path):
    _, before = train(range(2))
    kept = next((tmp_path / "store").glob("*.h5"))
    (tmp_path / "shard.h5").unlink()
    kept.write_bytes(kept.read_bytes()[:5000])
    trained, after = train(range(2))
    assert trained == [0, 1]
    assert np.array_equal(before["conv2.weight"], after["conv2.weight"])


def test_a_shard_opens_no_file_of_another_shard(train, tmp_path, monkeypatch):
    train(range(2))
    (kept,) = (tmp_path / "store").iterdir()
    opened, real = [], files._opened
    with monkeypatch.context() as patch:
        patch.setattr(files, "_opened", lambda path, *args, **more: opened.append(path) or real(path, *args, **more))
        trained, _ = train(range(2, 4), "other.h5")
    assert trained == [2, 3]
    assert kept not in opened
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_the_store_takes_no_room_of_its_own(train, tmp_path):
    train(range(3))
    (kept,) = (tmp_path / "store").iterdir()
    assert kept.samefile(tmp_path / "shard.h5")


def test_published_balance_draws_at_most_what_is_there(train):
    _, made = train(range(1), settings=training.Settings(epochs=1, images_per_epoch=5000, balance="published"))
    assert np.isfinite(made["history/loss"]).all()


def test_collapsed_cnns_are_counted():
    share = np.array([[0.5, 1.0], [0.0, 0.0], [0.0, 0.4], [0.5, np.nan]])
    assert zoo.count_degenerate({"history/validation_positive_share": share}) == 3


def test_zoos_and_banks_are_read_and_controls_generated_without_torch(tmp_path):
    """Also where files say how they were trained, which is told apart by the names of instruction sets."""
    weights = {"conv1.weight": np.zeros((2, 6, 3, 5, 5), np.float32), "model": np.arange(2)}
    weights |= {"conv1.bias": np.zeros((2, 6), np.float32)}
    trained = {"backend": "cpp", "device": "cpu"}
    paths = [tmp_path / f"{kind}.h5" for kind in ("avx2", "neon")]
    for path in paths:
        files.write(path, "zoo", weights, **trained, instruction_set=path.stem)
    program = f"""
import sys
sys.path[:0] = {sys.path}
from pathlib import Path
from zoofuse.evaluation import jobs
from zoofuse.methods import generate, kernels
from zoofuse.methods.cyclegan import io, settings
from zoofuse.zoo import zoo

paths, said = [Path(path) for path in sys.argv[1:3]], []
assert zoo.sizes(paths) == [2, 2]
assert zoo.validation(zoo.read(paths)).tolist() == [0] * 4
assert zoo.pick(paths, [2, 2], ["model"], [3, 0])["model"].tolist() == [1, 0]
kernels.extract({{"A": paths, "B": paths[:1]}}, "conv1", Path(sys.argv[3]), said.append)
assert len(said) == 1, said
assert kernels.read(Path(sys.argv[3]))["A"].shape == (4, 6, 3, 5, 5)
generate.parent(paths, "A", Path(sys.argv[3]))
sys.exit(bool({{"torch", "sklearn"}} & set(sys.modules)))
"""
    subprocess.run([sys.executable, "-c", program, *paths, tmp_path / "bank.h5"], check=True)
