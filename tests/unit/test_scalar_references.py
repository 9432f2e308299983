"""Parts of the C++ that no other test compares alone, against a few lines of NumPy in float64.

Gradients are compared with autograd in test_cpp_trainer.py and test_cpp_cyclegan.py, layouts with umap-learn's in
test_layout.py, fused multiply-adds with the C library's in tests/cases/test_native.py.
"""

import ctypes
import shutil

import numpy as np
import pytest
import torch

from zoofuse.core import rng
from zoofuse.models import cnn
from zoofuse.native import bindings, build, cyclegan_steps, layout, trainer

pytestmark = [
    pytest.mark.skipif(not trainer.available()[0], reason=f"no C++: {trainer.available()[1]}"),
    pytest.mark.usefixtures("any_width"),
]
KINDS = [build.instruction_set(), "lanes4", "lanes16"]
SIZE, EPOCHS, PER_EPOCH, BATCH = 40, 2, 30, 13  # the last batch of an epoch has 4 images


def images(n: int) -> np.ndarray:
    return (256 * rng.uniform((n, 32, 32, 3), 0, "noise")).astype(np.uint8)


def initial() -> dict[str, np.ndarray]:
    return cnn.initial_weights(cnn.ARCHITECTURES["published"], 0, "cat", np.arange(1))


# -- train.cpp


def logits(weights: dict[str, np.ndarray], image: np.ndarray) -> np.ndarray:
    x = np.moveaxis((image / 255 - 0.5) / 0.5, -1, 0)
    for layer in ("conv1", "conv2"):
        windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), (1, 2))
        x = np.einsum("chwij,ocij->ohw", windows, weights[f"{layer}.weight"].astype(float))
        x = np.maximum(x + weights[f"{layer}.bias"][:, None, None], 0)
        channels, height, width = x.shape
        x = x.reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))
    return weights["fc1.weight"] @ x.ravel() + weights["fc1.bias"]


@pytest.mark.parametrize("kind", KINDS)
def test_logits(kind):
    stacked = initial()
    expected = [logits({name: value[0] for name, value in stacked.items()}, image) for image in images(21)]
    np.testing.assert_allclose(trainer.logits(stacked, images(21), kind)[0], expected, rtol=0, atol=1e-5)


def adam(weight: float, mean: float, square: float, gradient: float, rate: float, step: int):
    """Kingma and Ba 2015, algorithm 1."""
    mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
    unbiased = mean / (1 - 0.9**step), square / (1 - 0.999**step)
    return weight - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8), mean, square


@pytest.mark.parametrize("kind", KINDS)
def test_adam_and_validation(kind):
    x, labels = images(SIZE), (np.arange(SIZE) % 3 == 0).astype(np.uint8)
    order = np.stack([rng.permutation(SIZE, epoch, "order")[:PER_EPOCH] for epoch in range(EPOCHS)]).astype(np.int32)
    rates = np.linspace(2e-3, 1e-3, EPOCHS * -(-PER_EPOCH // BATCH))
    weights = {name: value[0] for name, value in initial().items()}
    flat = np.concatenate([value.ravel() for value in weights.values()])
    made = {
        "weights": flat.copy(),
        "checkpoints": np.empty((EPOCHS, flat.size), np.float32),
        "loss": np.zeros(EPOCHS),
        "predicted": np.zeros((EPOCHS, 2), np.int64),
        "passes": np.zeros(1, np.int64),
        "stop": np.zeros(1, np.int64),
    }
    given = {"images": x, "labels": labels, "validation_images": x[:33], "validation_labels": labels[:33]}
    given |= {"order": order, "rates": rates}
    sizes = {"validation": 33, "epochs": EPOCHS, "per_epoch": PER_EPOCH, "batch_size": BATCH, "checkpoint_every": 1}
    job = trainer._Job(**{name: array.ctypes.data for name, array in (given | made).items()}, **sizes)
    trainer._library(kind).zoofuse_train(ctypes.byref(job))

    parts = np.cumsum([value.size for value in weights.values()])[:-1]
    moments, step = (np.zeros(flat.size), np.zeros(flat.size)), 0
    for epoch in range(EPOCHS):
        loss = 0.0
        for start in range(0, PER_EPOCH, BATCH):
            rows = order[epoch, start : start + BATCH].copy()
            mean, gradient = trainer.gradient(x, labels, weights, rows, kind=kind)
            loss, step = loss + len(rows) * mean, step + 1
            by = np.concatenate([value.ravel() for value in gradient.values()]).astype(float)
            flat, *moments = adam(flat, *moments, by, rates[step - 1], step)
            values = np.split(flat.astype(np.float32), parts)
            weights = {name: new.reshape(old.shape) for (name, old), new in zip(weights.items(), values, strict=True)}
        assert made["loss"][epoch] == pytest.approx(loss / PER_EPOCH, rel=1e-4)
        np.testing.assert_allclose(made["checkpoints"][epoch], flat, rtol=0, atol=2e-5)
        trained = dict(zip(weights, np.split(made["checkpoints"][epoch], parts), strict=True))
        trained = {name: value.reshape(weights[name].shape) for name, value in trained.items()}
        concept = np.array([np.argmax(logits(trained, image)) == 1 for image in x[:33]])
        assert made["predicted"][epoch].tolist() == [concept[labels[:33] == label].sum() for label in (0, 1)]
    np.testing.assert_array_equal(made["weights"], made["checkpoints"][-1])
    assert np.abs(made["weights"] - trainer.flatten(initial(), 0)).max() > 1e-3
    assert made["passes"][0] == EPOCHS * PER_EPOCH


# -- functions inside functions.h and layout.cpp


def export(source, name: str, code: str, folder, kind: str) -> ctypes.CDLL:
    """A library of these lines after a source's own; its name decides with which flags it is compiled."""
    for path in (source, *source.parent.glob("*.h")):
        shutil.copy(path, folder / ("kernel.cpp" if path == source else path.name))
    (folder / f"{name}.cpp").write_text(f'#include "kernel.cpp"\n{code}')
    return build.library(folder / f"{name}.cpp", kind)


def ulps(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(found - expected) / np.spacing(np.abs(expected).astype(found.dtype))))


@pytest.mark.parametrize("kind", KINDS)
def test_functions(kind, tmp_path):
    code = 'extern "C" void functions(const float* x, int64_t n, float* y) {\n  for (int64_t i = 0; i < n; i++) {\n'
    for i, function in enumerate(("exponential", "tanh", "sigmoid", "error_function")):
        code += f"    y[{i} * n + i] = {function}(broadcast(x[i]))[i % LANES];\n"
    functions = export(cyclegan_steps._SOURCE, "cyclegan", code + "  }\n}\n", tmp_path, kind).functions

    def compute(x: np.ndarray) -> np.ndarray:
        y = np.empty((4, len(x)), np.float32)
        functions(ctypes.c_void_p(x.ctypes.data), ctypes.c_int64(len(x)), ctypes.c_void_p(y.ctypes.data))
        return y

    near, far = np.linspace(-1, 1, 40_001), np.linspace(-86, 86, 40_001)
    x = np.concatenate([near, far, near**5]).astype(np.float32)
    found, exact = compute(x), x.astype(float)
    assert ulps(found[0], np.exp(exact)) <= 2
    np.testing.assert_allclose(found[1], np.tanh(exact), rtol=1e-6)
    np.testing.assert_allclose(found[2], 1 / (1 + np.exp(-exact)), rtol=1e-6)
    assert ulps(found[3], torch.erf(torch.from_numpy(exact)).numpy()) <= 1.5
    ends = compute(np.array([-np.inf, -100, 100, np.inf, np.nan], np.float32))
    np.testing.assert_allclose(ends[0, :4], np.exp([-87.0, -87, 87, 87]), rtol=1e-6)
    np.testing.assert_array_equal(ends[1], np.array([-1, -1, 1, 1, np.nan], np.float32))
    np.testing.assert_allclose(ends[2], [0, 0, 1, 1, np.nan], atol=1e-30)
    np.testing.assert_array_equal(ends[3], ends[1])


def test_power_of_the_layout(tmp_path):
    code = (
        'extern "C" void powers(const double* x, const double* y, int64_t n, double* z) {\n'
        "  for (int64_t i = 0; i < n; i++) z[i] = power(x[i], y[i]);\n}\n"
    )
    powers = export(layout._SOURCE, "layout", code, tmp_path, build.instruction_set()).powers
    x = np.exp(np.linspace(-30, 30, 100_001))  # squared distances
    y = np.linspace(0.5, 1.5, len(x))[rng.permutation(len(x), 0, "powers")]
    z = np.empty_like(x)
    powers(*(ctypes.c_void_p(a.ctypes.data) for a in (x, y)), ctypes.c_int64(len(x)), ctypes.c_void_p(z.ctypes.data))
    np.testing.assert_allclose(z, np.exp(y * np.log(x.astype(np.longdouble))).astype(float), rtol=1e-14)


def test_one_update_of_the_layout():
    """A single edge, one epoch, no point pushed off: both ends move along the gradient of umap's cross-entropy."""
    a, b, rate = 1.5, 0.9, 0.5
    head = np.array([[0.0, 1.0], [2.0, 3.5]], np.float32)
    points, random = head.copy(), np.ones((2, 3), np.int64)
    arrays = [np.array([0], np.int32), np.array([1], np.int32), np.array([1.0]), random]
    data = [points.ctypes.data, points.ctypes.data, *(array.ctypes.data for array in arrays)]
    job = layout._Set(*data, 1, 1, 2, 1, a, b, 1.0, rate, 1.0)
    library = bindings.library(layout._SOURCE, build.instruction_set(), layout._Set)
    library.zoofuse_layout(ctypes.byref(job), ctypes.c_int64(1))
    difference = (head[0] - head[1]).astype(float)
    squared = difference @ difference
    force = -2 * a * b * squared ** (b - 1) / (1 + a * squared**b)
    moved = rate * np.clip(force * difference, -4, 4)
    # An edge is first used at epoch 1; with one epoch nothing moves, with two it does.
    np.testing.assert_array_equal(points, head)
    job.epochs = 2
    library.zoofuse_layout(ctypes.byref(job), ctypes.c_int64(1))
    np.testing.assert_allclose(points, [head[0] + moved, head[1] - moved], rtol=1e-6)
