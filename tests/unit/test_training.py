"""What a CNN's training must keep to, whichever backend runs it."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zoofuse.benchmarks import bench_zoo
from zoofuse.core import rng
from zoofuse.models import cnn
from zoofuse.native import trainer
from zoofuse.zoo import batched, training
from zoofuse.zoo.training import Data, Settings

FUSED = pytest.param(
    "cpp", marks=pytest.mark.skipif(not trainer.available()[0], reason=f"no C++ trainer: {trainer.available()[1]}")
)
ALL = Settings(
    epochs=2,
    images_per_epoch=41,
    batch_size=16,
    flip=True,
    brightness=0.3,
    colour=0.2,
    schedule="cosine",
    checkpoint_every=1,
)


def pictures(n: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Noise in 4 x 4 patches, redder in class 1: easy to learn, with flat regions that tie in max-pooling."""
    labels = (np.arange(n) % 3 == 0).astype(np.uint8)
    patches = (255 * rng.uniform((n, 8, 8, 3), 0, name)).astype(np.uint8)
    patches[labels == 1, :, :, 1:] //= 2
    return patches.repeat(4, 1).repeat(4, 2), labels


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(*pictures(60, "training"), *pictures(30, "validation"))


def same(a: training.Trained, b: training.Trained, close: dict | None = None) -> None:
    for group in ("weights", "history", "checkpoints"):
        first, second = getattr(a, group), getattr(b, group)
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_allclose(first[name], second[name], **(close or {"rtol": 0, "atol": 0}), err_msg=name)


@pytest.mark.parametrize("backend", ["batched", FUSED])
def test_backends_agree_with_the_plain_loop(data, backend):
    models = np.array([3, 0, 7])
    reference = training.train(data, ALL, 1, "cat", models, backend="serial")
    result = training.train(data, ALL, 1, "cat", models, backend=backend)
    same(reference, result, {"rtol": 1e-3, "atol": 1e-4})
    assert result.checkpoints["conv1.weight"].shape == (3, 2, 6, 3, 5, 5)
    np.testing.assert_array_equal(result.checkpoints["fc1.bias"][:, -1], result.weights["fc1.bias"])


@pytest.mark.parametrize("backend", ["serial", FUSED])
def test_threads_and_splits_do_not_change_a_bit(data, backend):
    whole = training.train(data, ALL, 1, "cat", np.arange(5), backend=backend, threads=1)
    same(whole, training.train(data, ALL, 1, "cat", np.arange(5), backend=backend, threads=3))
    part = training.train(data, ALL, 1, "cat", np.array([4, 2]), backend=backend, threads=2)
    for name, value in part.weights.items():
        np.testing.assert_array_equal(value, whole.weights[name][[4, 2]])


def test_stacked_split_over_memory_agrees(data, monkeypatch):
    whole = training.train(data, ALL, 1, "cat", np.arange(3), backend="batched")
    monkeypatch.setattr(batched, "CPU_MEMORY", 1)  # one CNN at a time
    same(whole, training.train(data, ALL, 1, "cat", np.arange(3), backend="batched"), {"rtol": 1e-3, "atol": 1e-4})


def test_another_architecture_is_a_line_of_shapes(data, monkeypatch):
    deeper = cnn.Architecture(channels=(3, 4, 5, 7), kernel_size=3)
    monkeypatch.setitem(cnn.ARCHITECTURES, "deeper", deeper)
    monkeypatch.setitem(training._CHOICES, "architecture", ("published", "deeper"))
    settings = replace(ALL, architecture="deeper")
    assert training.choose_backend(settings)[0] == ("cpp" if trainer.available()[0] else "serial")
    assert training.choose_backend(settings, "cuda")[0] == "batched"
    backends = ("serial", "batched", "cpp") if trainer.available()[0] else ("serial", "batched")
    one, *others = (training.train(data, settings, 1, "cat", np.arange(2), backend=name) for name in backends)
    for other in others:
        same(one, other, {"rtol": 1e-3, "atol": 1e-4})
    assert one.weights["conv3.weight"].shape == (2, 7, 5, 3, 3)
    if trainer.available()[0]:
        same(others[1], training.train(data, settings, 1, "cat", np.arange(2), backend="cpp", threads=2))
        last = training.train(data, settings, 1, "cat", np.array([1]), backend="cpp")
        np.testing.assert_array_equal(last.weights["fc1.weight"][0], others[1].weights["fc1.weight"][1])


def test_an_architecture_too_large_for_the_cpp_trainer_is_trained_by_pytorch(data, monkeypatch):
    monkeypatch.setitem(cnn.ARCHITECTURES, "huge", cnn.Architecture(channels=(3, 256, 4096, 4), kernel_size=3))
    monkeypatch.setitem(training._CHOICES, "architecture", ("published", "huge"))
    settings = Settings(architecture="huge", epochs=1, images_per_epoch=40, batch_size=20)
    backend, reason = training.choose_backend(settings)
    assert backend == "serial"
    assert "at most 256 MB" in reason
    with pytest.raises(ValueError, match=r"cpp cannot be used here: .* at most 256 MB"):
        training.train(data, settings, 1, "cat", np.arange(2), backend="cpp")


@pytest.mark.parametrize("backend", ["serial", "batched", FUSED])
def test_a_cnn_learns_and_its_history_says_so(data, backend):
    settings = Settings(epochs=6, images_per_epoch=60, batch_size=20)
    result = training.train(data, settings, 0, "red", np.arange(2), backend=backend)
    assert (result.history["loss"][:, -1] < 0.7 * result.history["loss"][:, 0]).all()
    assert (result.history["validation_balanced_accuracy"][:, -1] > 0.9).all()
    weights = {name: torch.from_numpy(value) for name, value in result.weights.items()}
    answers = cnn.logits(weights, cnn.normalise(torch.from_numpy(data.validation_images))).argmax(-1).numpy()
    np.testing.assert_allclose(result.history["validation_positive_share"][:, -1], (answers == 1).mean(1))
    recall = [(answers[:, data.validation_labels == label] == label).mean(1) for label in (0, 1)]
    np.testing.assert_allclose(result.history["validation_balanced_accuracy"][:, -1], np.mean(recall, 0))


@pytest.mark.parametrize("backend", ["serial", "batched", FUSED])
def test_without_validation_images_history_is_nan(data, backend):
    alone = Data(data.images, data.labels, data.images[:0], data.labels[:0])
    result = training.train(alone, Settings(epochs=1, images_per_epoch=20), 0, "red", np.arange(1), backend=backend)
    assert np.isnan(result.history["validation_balanced_accuracy"]).all()
    assert np.isfinite(result.history["loss"]).all()


@pytest.mark.parametrize("backend", ["serial", "batched", FUSED])
def test_progress_adds_up_and_an_error_in_it_ends_the_training(data, backend):
    settings, seen = Settings(epochs=2, images_per_epoch=30, batch_size=16), []
    training.train(data, settings, 0, "red", np.arange(3), backend=backend, progress=lambda *step: seen.append(step))
    assert tuple(np.sum(seen, axis=0)) == (3, 3 * 2 * 30)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(data, settings, 0, "red", np.arange(3), backend=backend, progress=interrupt)


def test_after_an_interrupt_no_further_cnn_is_begun(data):
    begun = []

    def train_one(job, row, passes, stop):
        begun.append(row)
        passes += 1
        time.sleep(0.05)

    def interrupt(*_):
        raise KeyboardInterrupt

    job = training._Job(data, Settings(), 0, "red", np.arange(100), "cpu")
    with pytest.raises(KeyboardInterrupt):
        training.one_by_one(train_one, job, 2, interrupt)
    assert len(begun) < 50


def test_published_draws_without_replacement_from_all_every_epoch():
    labels = np.array([1] * 3 + [0] * 47)
    order = training.plan(Settings(epochs=4, images_per_epoch=50, balance="published"), 1, "cat", [0], labels).order
    np.testing.assert_array_equal(np.sort(order[0], axis=1), np.tile(np.arange(50), (4, 1)))
    assert (order[0, 0] != order[0, 1]).any()
    with pytest.raises(ValueError, match=r"images_per_epoch: 51.*write at most 50"):
        training.plan(Settings(images_per_epoch=51, balance="published"), 1, "cat", [0], labels)


@pytest.mark.parametrize("m", [40, 41])
def test_balanced_halves_every_epoch_and_uses_a_class_up_before_beginning_anew(m):
    labels = np.array([1] * 7 + [0] * 33)
    order = training.plan(Settings(epochs=5, images_per_epoch=m), 1, "cat", [0, 1], labels).order
    assert order.shape == (2, 5, m)
    assert (np.abs((labels[order] == 0).sum(-1) - m / 2) <= 0.5).all()
    for row in order:
        seen = np.bincount(row.ravel(), minlength=40)
        for label in (0, 1):
            assert np.ptp(seen[labels == label]) <= 1
    first_half = labels[order[0, 0, : m // 2]]
    assert 0 < first_half.sum() < len(first_half), "the classes must be mixed within an epoch"
    few = training.plan(Settings(epochs=11, images_per_epoch=14), 1, "cat", [0], np.arange(20) % 2).order[0]
    halves = [sorted(epoch[epoch % 2 == 0]) for epoch in few]  # 7 of 10: would come back after 10 epochs
    assert halves[0] != halves[10], "a new permutation, not the old one again"
    with pytest.raises(ValueError, match="none of class 1"):
        training.plan(Settings(), 1, "cat", [0], np.zeros(5))


def test_plan_of_a_cnn_depends_on_its_index_not_on_its_company():
    labels = np.arange(30) % 2
    together = training.plan(ALL, 1, "cat", np.arange(4), labels)
    alone = training.plan(ALL, 1, "cat", np.array([2]), labels)
    for name in ("order", "flip", "gain"):
        np.testing.assert_array_equal(getattr(together, name)[2:3], getattr(alone, name))
        assert (getattr(together, name)[2] != getattr(together, name)[1]).any()
    other = training.plan(ALL, 2, "cat", np.array([2]), labels)
    assert (other.order != alone.order).any()
    plain = training.plan(Settings(), 1, "cat", np.arange(1), labels)
    assert plain.flip is None
    assert plain.gain is None


def test_augmentation_is_what_the_settings_say():
    settings = Settings(epochs=2, images_per_epoch=500, flip=True, brightness=0.3, colour=0.2)
    drawn = training.plan(settings, 1, "cat", np.arange(2), np.arange(500) % 2)
    assert abs(drawn.flip.mean() - 0.5) < 0.05
    assert drawn.gain.min() >= 0.7 * 0.8
    assert drawn.gain.max() <= 1.3 * 1.2
    assert np.ptp(drawn.gain, axis=-1).max() > 0.2
    common = training.plan(Settings(images_per_epoch=9, brightness=0.3), 1, "cat", np.arange(1), np.arange(9) % 2).gain
    assert np.ptp(common, axis=-1).max() == 0

    images = torch.arange(2 * 32 * 32 * 3).remainder(256).to(torch.uint8).view(2, 32, 32, 3)
    gain = torch.tensor([[1.5, 1.0, 0.5]])
    x = batched.batch(images, torch.tensor([1]), torch.tensor([1]), gain)
    expected = ((images[1].flip(1).float() / 255 * gain).clamp(0, 1) - 0.5) / 0.5
    torch.testing.assert_close(x[0], expected, rtol=0, atol=0)
    plain = batched.batch(images, torch.tensor([1]), None, None).movedim(-1, -3)
    torch.testing.assert_close(plain, cnn.normalise(images[1:]), rtol=0, atol=0)


def test_stacked_logits_and_gradients_are_the_models_own(data):
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 0, "cat", np.arange(3))
    one, other = ({k: torch.from_numpy(v.copy()).requires_grad_() for k, v in weights.items()} for _ in range(2))
    x = cnn.normalise(torch.from_numpy(data.images[:6]))
    expected = cnn.logits(one, x)
    result = cnn.logits(other, x.expand(3, 6, 3, 32, 32))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    for z in (expected, result):
        F.log_softmax(z, -1)[..., 0].sum().backward()
    for name in weights:
        torch.testing.assert_close(other[name].grad, one[name].grad, rtol=1e-3, atol=1e-4)


def test_schedules_fall_from_the_rate_to_nothing():
    names = training._CHOICES["schedule"]
    settings = {name: Settings(schedule=name, epochs=10, images_per_epoch=100) for name in names}
    rates = {name: value.learning_rates for name, value in settings.items()}
    assert (rates["constant"] == 0.01).all()
    for name in ("cosine", "linear"):
        assert rates[name][0] == 0.01
        assert rates[name][-1] < 0.002
        assert (np.diff(rates[name]) < 0).all()
    np.testing.assert_allclose(rates["cosine"][5], 0.005)
    np.testing.assert_allclose(rates["linear"][5], 0.005)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("architecture", "resnet", "write one of published"),
        ("schedule", "step", "constant, cosine, linear"),
        ("balance", "none", "balanced, published"),
        ("epochs", 0, "from 1 up"),
        ("brightness", 1.5, "from 0 to 1"),
    ],
)
def test_wrong_settings_are_named(field, value, message):
    with pytest.raises(ValueError, match=f"^{field}: .*{message}"):
        Settings(**{field: value})


def test_wrong_data_and_backends_are_named(data):
    with pytest.raises(ValueError, match="images must be uint8"):
        Data(data.images.astype(np.float32), data.labels, data.images, data.labels)
    with pytest.raises(ValueError, match="labels must be"):
        Data(data.images, data.labels + 2, data.images, data.labels)
    with pytest.raises(ValueError, match="backend: 'quick' is unknown; write auto or one of serial"):
        training.train(data, Settings(), 0, "cat", np.arange(1), backend="quick")
    small = Data(data.images[:, :16, :16], data.labels, data.images[:0], data.labels[:0])
    with pytest.raises(ValueError, match="32 x 32"):
        training.train(small, Settings(), 0, "cat", np.arange(1))


def test_a_damaged_plan_does_not_hang_the_threads(data, monkeypatch):
    def broken(*_):
        raise RuntimeError("no plan")

    monkeypatch.setattr(training, "plan", broken)
    for backend in ("serial", "batched"):
        with pytest.raises(RuntimeError, match="no plan"):
            training.train(data, Settings(), 0, "cat", np.arange(4), backend=backend, threads=2)


def test_bench_times_every_way_and_draws_it(data, monkeypatch, tmp_path):
    monkeypatch.setattr(bench_zoo, "MIN_SECONDS", 0)
    names = ("published", "small_cnn_zoo")
    frame = bench_zoo.run(data.images, data.labels, n_cnns=2, steps=1, repetitions=2, threads=1, architectures=names)
    assert list(frame) == bench_zoo.COLUMNS
    ways = {name: set(frame["implementation"][frame["architecture"] == name]) for name in names}
    assert {bench_zoo.SERIAL, "torch.func vmap", "grouped convolutions", bench_zoo.OURS[0]} <= ways["published"]
    assert {bench_zoo.SERIAL, bench_zoo.PER_THREAD, "torch.func vmap"} <= ways["small_cnn_zoo"]
    assert (frame["samples_per_second"] > 0).all()
    assert (frame["ratio_to_serial"][frame["implementation"] == bench_zoo.SERIAL] == 1).all()
    if trainer.available()[0]:
        assert all(bench_zoo.OURS[1] in of for of in ways.values())
        flop = frame["architecture"].map({"published": 1.6e6, "small_cnn_zoo": 0.93e6})
        np.testing.assert_allclose(
            frame["share_of_peak"], frame["samples_per_second"] * flop / frame.attrs["peak_flops"], rtol=0.01
        )
        assert (frame["share_of_peak"] < 1).all()
    bench_zoo.figure(frame, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").stat().st_size > 5000


def test_the_ways_of_the_bench_train_the_same_cnns(data):
    """What is timed is the same work: all ways end at the same weights."""
    start = cnn.initial_weights(cnn.ARCHITECTURES["published"], 0, "bench", np.arange(2))
    order = torch.arange(40).expand(2, 40)
    x, y = cnn.normalise(torch.from_numpy(data.images)), torch.from_numpy(data.labels).long()
    ends = []
    for logits in (torch.func.vmap(bench_zoo._logits), bench_zoo._grouped, cnn.logits):
        weights = {name: torch.from_numpy(value.copy()) for name, value in start.items()}
        ends.append(bench_zoo._train_together(logits, weights, x, y, order))
    plain = bench_zoo._train_plainly(
        {name: torch.from_numpy(value[0]) for name, value in start.items()}, x, y, order[0]
    )
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(value[0], plain[name], rtol=1e-3, atol=1e-5)
        assert (value.detach().numpy() != start[name]).any()
