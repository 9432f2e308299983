"""The C++ trainer's gradients against float64 autograd, and how its library is built and found."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zoofuse.core import rng
from zoofuse.models import cnn
from zoofuse.native import build, trainer
from zoofuse.zoo import batched, training

PUBLISHED = cnn.ARCHITECTURES["published"]
needs_compiler = pytest.mark.skipif(not trainer.available()[0], reason=f"no C++ trainer: {trainer.available()[1]}")
# Every vector width on this machine: GCC and Clang split vectors wider than the processor's.
KINDS = [build.instruction_set(), "lanes4", "lanes16"]
pytestmark = pytest.mark.usefixtures("any_width")


def noise(n: int) -> np.ndarray:
    return (256 * rng.uniform((n, 32, 32, 3), 0, "noise")).astype(np.uint8)


def initial(model: int = 0) -> dict[str, np.ndarray]:
    return {name: value[0] for name, value in cnn.initial_weights(PUBLISHED, 0, "cat", np.array([model])).items()}


def reference(images, labels, weights, order, flip=None, gain=None):
    """Loss and gradients by PyTorch in float64."""
    parameters = {name: torch.from_numpy(value).double().requires_grad_() for name, value in weights.items()}
    augment = [None if array is None else torch.from_numpy(array) for array in (flip, gain)]
    x = batched.batch(torch.from_numpy(images), torch.from_numpy(order).long(), *augment).double().movedim(-1, 1)
    for layer in PUBLISHED.conv_layers:
        x = F.max_pool2d(F.relu(F.conv2d(x, parameters[f"{layer}.weight"], parameters[f"{layer}.bias"])), 2)
    z = F.linear(x.flatten(1), parameters["fc1.weight"], parameters["fc1.bias"])
    loss = F.cross_entropy(z, torch.from_numpy(labels[order]).long())
    loss.backward()
    return loss.item(), {name: value.grad.numpy() for name, value in parameters.items()}


def check(images, labels, weights, order, flip=None, gain=None, kinds=KINDS):
    loss, gradients = reference(images, labels, weights, order, flip, gain)
    for kind in kinds:
        found, ours = trainer.gradient(images, labels, weights, order, flip, gain, kind=kind)
        assert found == pytest.approx(loss, rel=1e-6, abs=1e-30), kind
        for name, gradient in gradients.items():
            error = np.abs(ours[name] - gradient).max() / max(np.abs(gradient).max(), 1e-30)
            assert error < 1e-5, f"{kind} {name}: {error}"
    return gradients


@needs_compiler
@pytest.mark.parametrize("size", [1, 3, 16, 57, 128])
def test_gradients_on_batches_of_any_length(size):
    labels = (np.arange(150) % 2).astype(np.uint8)
    order = rng.permutation(150, 0, "order")[:size].astype(np.int32)
    check(noise(150), labels, initial(), order)


@needs_compiler
def test_gradients_with_flip_and_gain():
    order = np.arange(20, dtype=np.int32)
    flip = (np.arange(20) % 3 == 0).astype(np.uint8)
    gain = 0.5 + rng.uniform((20, 3), 0, "gain")
    check(noise(20), (np.arange(20) % 2).astype(np.uint8), initial(), order, flip, gain)


@needs_compiler
@pytest.mark.parametrize("scale", [30.0, 3000.0])
def test_gradients_with_saturated_logits(scale):
    weights = initial()
    weights["fc1.weight"] = weights["fc1.weight"] * np.float32(scale)
    gradients = check(noise(24), (np.arange(24) % 2).astype(np.uint8), weights, np.arange(24, dtype=np.int32))
    assert np.abs(gradients["conv1.weight"]).max() > 0


@needs_compiler
@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_gradients_with_all_dead_relus(layer):
    weights = initial()
    weights[f"{layer}.bias"] = weights[f"{layer}.bias"] - np.float32(100)
    gradients = check(noise(9), (np.arange(9) % 2).astype(np.uint8), weights, np.arange(9, dtype=np.int32))
    assert not gradients["conv1.weight"].any()
    assert gradients["fc1.bias"].any()


@needs_compiler
def test_ties_in_pooling_go_where_pytorch_sends_them():
    """Flat and striped images: all four positions of a window, or pairs of them, tie exactly.

    Kernels of one pixel make the ties exact in any order of summation; the gradient still sees all 25 pixels around
    the winner, which differ between the tied positions.
    """
    weights = initial()
    for name in ("conv1.weight", "conv2.weight"):
        centre = np.zeros_like(weights[name])
        centre[:, :, 2, 2] = weights[name][:, :, 2, 2]
        weights[name] = centre
    images = noise(8) // 128 * 255  # black and white: many equal windows
    images[0], images[1] = 200, 0
    images[2, ::2], images[3, :, ::2] = 255, 255
    gradients = check(images, (np.arange(8) % 2).astype(np.uint8), weights, np.arange(8, dtype=np.int32))
    assert np.abs(gradients["conv1.weight"]).max() > 0


@needs_compiler
def test_a_diverged_cnn_is_not_hidden():
    weights = initial()
    weights["conv1.weight"] = weights["conv1.weight"] * np.float32(np.nan)
    for kind in KINDS:
        loss, _ = trainer.gradient(noise(4), np.zeros(4, np.uint8), weights, np.arange(4, dtype=np.int32), kind=kind)
        assert np.isnan(loss)


@needs_compiler
def test_one_nan_in_a_pooling_window_wins_as_in_pytorch():
    """A white stripe overflows conv1 where the right half of a window of conv2 sees it and the left half does not."""
    weights = {name: np.zeros_like(value) for name, value in initial().items()}
    weights["conv1.weight"][:, :, 2, 2] = 3e38
    images = np.zeros((4, 32, 32, 3), np.uint8)
    images[:, :, 28:30] = 255  # infinite in column 13 after the first pooling; times conv2's zeros it is NaN
    for kind in KINDS:
        loss, _ = trainer.gradient(images, np.zeros(4, np.uint8), weights, np.arange(4, dtype=np.int32), kind=kind)
        assert np.isnan(loss)


def run(code: str, **environment: str) -> str:
    source = Path(trainer.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(source), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()


def test_without_a_compiler_it_says_so_and_trains_on(tmp_path):
    """An empty PATH and an empty cache: one line, and PyTorch does the work."""
    code = (
        "import numpy as np; from zoofuse.zoo import training as t; s = t.Settings(epochs=1, images_per_epoch=8);"
        "print(*t.choose_backend(s)); x = np.zeros((8, 32, 32, 3), np.uint8); y = np.arange(8) % 2;"
        "print(t.train(t.Data(x, y, x, y), s, 0, 'cat', np.arange(1)).history['loss'].shape)"
    )
    output = run(code, PATH=str(tmp_path), CXX="", XDG_CACHE_HOME=str(tmp_path))
    assert output.splitlines()[0].startswith("serial serial: one PyTorch CNN per thread (slower)")
    assert "no C++ compiler found" in output
    assert output.endswith("(1, 1)")


def test_a_compiler_that_fails_is_named(tmp_path):
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho 'out of order' >&2\nexit 3\n")
    compiler.chmod(0o755)
    code = "from zoofuse.native import trainer as fused; print(*fused.available())"
    output = run(code, CXX=str(compiler), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert output.startswith("False")
    assert f"{compiler} failed: out of order" in output
    assert not list((tmp_path / "cache" / "zoofuse").iterdir())


@needs_compiler
def test_builds_at_once_leave_one_whole_library(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ThreadPoolExecutor(3) as pool:
        built = set(pool.map(build.built, [trainer._SOURCE] * 3, [build.instruction_set()] * 3))
    assert list((tmp_path / "zoofuse").iterdir()) == list(built)
    before = built.pop().stat().st_mtime_ns
    assert build.built(trainer._SOURCE, build.instruction_set()).stat().st_mtime_ns == before, "compiled again"


@needs_compiler
def test_each_instruction_set_has_its_own_library():
    assert build.built(trainer._SOURCE, "lanes4") != build.built(trainer._SOURCE, "lanes16")


@pytest.mark.skipif(build.instruction_set() == "neon", reason="ARM has one instruction set")
@pytest.mark.parametrize(("capability", "kind"), [("default", "generic"), ("avx2", "avx2")])
def test_the_running_processor_decides(capability, kind):
    """PyTorch's own switch stands for a node with narrower vectors."""
    if kind == "avx2" and build.instruction_set() == "generic":
        pytest.skip("no AVX2 here")
    code = "from zoofuse.native import build as compiled; print(compiled.instruction_set())"
    assert run(code, ATEN_CPU_CAPABILITY=capability) == kind


@needs_compiler
def test_peak_is_a_plausible_rate():
    assert 1e9 < trainer.peak(0.02) < 1e12


@needs_compiler
def test_auto_is_fused_for_the_published_architecture():
    assert training.choose_backend(training.Settings())[0] == "cpp"
