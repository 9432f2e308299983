"""The CUDA C++ trainer: its source compiled for the CPU and for GPUs, and on a GPU where there is one.

No GPU has been at hand yet. On the CPU each phase between two barriers is a loop over the block's threads; a thread
that read what another one writes in the same phase would give other bits in another order.
"""

import ctypes
from dataclasses import replace

import numpy as np
import pytest
import torch

from zoofuse.core import rng
from zoofuse.models import cnn
from zoofuse.native import bindings, build, cuda, cuda_trainer, trainer
from zoofuse.zoo import batched, training

PUBLISHED = cnn.ARCHITECTURES["published"]
SETTINGS = training.Settings(
    epochs=2, images_per_epoch=41, batch_size=19, flip=True, brightness=0.3, schedule="cosine", checkpoint_every=1
)
ORDERS = (0, 1, 2)  # of threads: forwards, backwards, mixed
needs_compiler = pytest.mark.skipif(not trainer.available()[0], reason=f"no C++: {trainer.available()[1]}")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def has_nvrtc() -> str:
    try:
        cuda.nvrtc()
    except RuntimeError as error:
        return str(error)
    return ""


needs_nvrtc = pytest.mark.skipif(bool(has_nvrtc()), reason=has_nvrtc())


def example(size: int, name: str = "noise") -> dict:
    """A batch of this size, as `gradient` takes it."""
    images = (256 * rng.uniform((150, 32, 32, 3), 0, name)).astype(np.uint8)
    weights = cnn.initial_weights(PUBLISHED, 0, "cat", np.array([0]))
    return {
        "images": images,
        "labels": (np.arange(150) % 2).astype(np.uint8),
        "weights": {parameter: value[0] for parameter, value in weights.items()},
        "order": rng.permutation(150, 0, "order")[:size].astype(np.int32),
    }


def variants(size: int) -> dict[str, dict]:
    flip = (rng.uniform((size,), 0, "flip") < 0.5).astype(np.uint8)
    gain = (0.5 + rng.uniform((size, 3), 0, "gain")).astype(np.float32)
    targets = rng.uniform((150, 2), 0, "targets").astype(np.float32)
    targets[::7, 0] = np.nan
    return {"plain": {}, "augmented": {"flip": flip, "gain": gain}, "targets": {"targets": targets}}


def differs(one: tuple, other: tuple) -> float:
    """The largest difference in a gradient, as a share of its tensor's largest, or in the loss."""
    assert one[1].keys() == other[1].keys()
    errors = [np.abs(one[1][name] - value).max() / np.abs(value).max() for name, value in other[1].items()]
    return max(*errors, abs(one[0] / other[0] - 1))


def data(targets: bool = False) -> training.Data:
    images, labels = example(1)["images"], example(1)["labels"]
    wanted = variants(1)["targets"]["targets"][:100] if targets else None
    return training.Data(images[:100], labels[:100], images[100:], labels[100:], wanted)


def trained(of: training.Data, models, progress=None, train_part=cuda_trainer.train_part, at_once=None):
    """As `training.train` with the backend `cuda`, on CPU tensors."""
    job = training._Job(of, SETTINGS, 1, "cat", np.asarray(models), "cpu")
    batched.in_parts(job, at_once or cuda_trainer.at_once(job), train_part, 1, progress)
    return job.trained()


def same(one: training.Trained, other: training.Trained, **close) -> None:
    for group in ("weights", "history", "checkpoints"):
        first, second = getattr(one, group), getattr(other, group)
        assert first.keys() == second.keys()
        for name, value in first.items():
            np.testing.assert_allclose(value, second[name], **(close or {"rtol": 0, "atol": 0}), err_msg=name)


@needs_compiler
@pytest.mark.parametrize("kind", ["plain", "augmented", "targets"])
def test_gradients_are_the_cpu_trainers_for_batches_of_any_length(kind):
    for size in range({"plain": 0, "augmented": 1, "targets": 2}[kind] + 1, 129, 3):  # all of 1 to 128 between them
        batch, more = example(size), variants(size)[kind]
        expected = trainer.gradient(**batch, **more)
        assert differs(cuda_trainer.gradient(**batch, **more), expected) < 1e-5, size


@needs_compiler
@pytest.mark.parametrize("kind", ["plain", "augmented", "targets"])
def test_bits_depend_neither_on_the_order_of_threads_nor_on_the_images_at_a_time(kind):
    batch, more = example(21), variants(21)[kind]
    loss, gradient = cuda_trainer.gradient(**batch, **more)
    for group in cuda_trainer.GROUPS:
        for order in ORDERS:
            other = cuda_trainer.gradient(**batch, **more, group=group, order_of_threads=order)
            assert other[0] == loss, (group, order)
            assert all(np.array_equal(other[1][name], value) for name, value in gradient.items()), (group, order)


@needs_compiler
@pytest.mark.parametrize("order", ORDERS[1:])
def test_an_epoch_has_the_same_bits_in_any_order_of_threads(order, monkeypatch):
    forwards, launch = trained(data(), [3]), cuda_trainer._launch
    monkeypatch.setattr(cuda_trainer, "_launch", lambda *given: launch(*given, order=order))
    same(trained(data(), [3]), forwards)


@needs_compiler
@pytest.mark.parametrize("targets", [False, True])
def test_it_trains_the_cnns_of_the_cpu_trainer(targets):
    said = []
    found = trained(data(targets), [3, 0], progress=lambda *step: said.append(step))
    expected = training.train(data(targets), SETTINGS, 1, "cat", np.array([3, 0]), backend="cpp")
    same(found, expected, rtol=1e-3, atol=1e-4)
    assert tuple(np.sum(said, axis=0)) == (2, 2 * 2 * 41)
    np.testing.assert_array_equal(found.checkpoints["fc1.bias"][:, -1], found.weights["fc1.bias"])
    same(trained(data(targets), [3, 0], at_once=1), found)  # splits change no bit


@needs_compiler
def test_a_diverged_cnn_is_not_hidden():
    batch = example(4)
    batch["weights"]["conv1.weight"] = batch["weights"]["conv1.weight"] * np.float32(np.nan)
    assert np.isnan(cuda_trainer.gradient(**batch)[0])


@needs_compiler
def test_ctrl_c_ends_the_training_after_the_epoch():
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(data(), [3], progress=interrupt)


def test_too_little_memory_halves_the_cnns_that_are_trained_at_once():
    tried = []

    def crowded(job, part, plan, progress):
        tried.append(part.stop - part.start)
        if tried[-1] > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        batched._train_part(job, part, plan, progress)

    small = trained(data(), range(5), train_part=crowded, at_once=5)
    assert tried == [5, 3, 2, 2, 1]
    same(small, trained(data(), range(5), train_part=batched._train_part, at_once=5), rtol=1e-3, atol=1e-4)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        trained(data(), range(2), train_part=lambda *_: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError("full")))


# ---- what Python and C++ share ----


@needs_compiler
def test_the_structures_are_one(monkeypatch):
    fields = list(cuda_trainer._Job._fields_)
    fields[0], fields[5] = fields[5], fields[0]
    swapped = type("_Job", (ctypes.Structure,), {"_fields_": fields})
    with pytest.raises(TypeError, match=r"Job of blocks\.cu and .* differ at field 'order'"):
        bindings.library(cuda_trainer._SOURCE, build.instruction_set(), swapped, cuda_trainer._defines(8))


@needs_compiler
def test_a_tensor_of_another_type_never_reaches_the_kernel():
    batch = example(4)
    with pytest.raises(TypeError, match=r"order must be contiguous int32, not torch\.int64"):
        cuda_trainer.gradient(**batch | {"order": batch["order"].astype(np.int64)})


@needs_nvrtc
@pytest.mark.parametrize(("architecture", "group"), [("sm_80", 4), ("sm_90", 8)])
def test_it_compiles_for_gpus_without_one(tmp_path, monkeypatch, architecture, group):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cubin = cuda.compiled(cuda_trainer._SOURCE, architecture, cuda_trainer._defines(group))
    assert cubin[:4] == b"\x7fELF"
    assert b"zoofuse_epoch" in cubin
    (kept,) = (tmp_path / "zoofuse").iterdir()
    monkeypatch.setattr(cuda, "_compile", lambda *_: pytest.fail("compiled again"))
    assert cuda.compiled(cuda_trainer._SOURCE, architecture, cuda_trainer._defines(group)) == cubin
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(pytest.fail.Exception, match="compiled again"):  # a damaged one is not taken
        cuda.compiled(cuda_trainer._SOURCE, architecture, cuda_trainer._defines(group))


@needs_nvrtc
@pytest.mark.parametrize(
    ("architecture", "wrong", "words"),
    [
        ("sm_90", "JOB_BYTES=8", "counts on other sizes"),
        ("sm_90", "BLOCK_BYTES=8", "counts on other sizes"),
        ("sm_1", "UNUSED=1", "gpu-architecture"),
    ],
)
def test_what_the_gpus_compiler_refuses_is_said(tmp_path, monkeypatch, architecture, wrong, words):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    defines = [define for define in cuda_trainer._defines(8) if define.split("=")[0] != wrong.split("=")[0]]
    with pytest.raises(RuntimeError, match=rf"nvrtcCompileProgram failed with NVRTC_ERROR_\w+: .*{words}"):
        cuda.compiled(cuda_trainer._SOURCE, architecture, (*defines, wrong))
    assert not list((tmp_path / "zoofuse").iterdir())


def test_without_nvrtc_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(cuda.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install nvidia-cuda-nvrtc"):
        cuda.nvrtc.__wrapped__()


# ---- which trainer ----


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_is_refused_in_words():
    assert cuda_trainer.available("cuda") == (False, "there is no CUDA device here")
    backend, reason = training.choose_backend(SETTINGS, "cuda")
    assert backend == "batched"
    assert "there is no CUDA device here" in reason
    with pytest.raises(ValueError, match=r"^backend: cuda cannot be used here: there is no CUDA device here\. W"):
        training.train(data(), SETTINGS, 1, "cat", np.arange(1), backend="cuda")
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        with pytest.raises(RuntimeError, match="there is no NVIDIA driver here"):
            cuda.Card(0)


def test_other_architectures_are_left_to_pytorch():
    backend, reason = training.choose_backend(replace(SETTINGS, architecture="wide"), "cuda")
    assert backend == "batched"
    assert "it trains the published architecture" in reason


# ---- on a GPU ----


@pytest.mark.gpu
@needs_gpu
@needs_compiler
@pytest.mark.parametrize("kind", ["plain", "augmented", "targets"])
def test_gradients_on_the_gpu_are_the_cpus(kind):
    assert cuda_trainer.available("cuda")[0], cuda_trainer.available("cuda")[1]
    for size in (1, 3, 8, 57, 128):
        batch, more = example(size), variants(size)[kind]
        assert differs(cuda_trainer.gradient(**batch, **more, device="cuda"), trainer.gradient(**batch, **more)) < 1e-5


@pytest.mark.gpu
@needs_gpu
def test_two_runs_on_the_gpu_have_the_same_bits_and_train_the_cpus_cnns():
    models = np.arange(300)  # more than a card has multiprocessors
    one, two = (
        training.train(data(), SETTINGS, 1, "cat", models, backend="cuda", device="cuda", threads=2) for _ in range(2)
    )
    same(one, two)
    same(one, training.train(data(), SETTINGS, 1, "cat", models, threads=2), rtol=1e-3, atol=1e-4)
