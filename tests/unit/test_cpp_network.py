"""The C++ trainer of any network: gradients against float64 autograd, training against PyTorch's optimisers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zoofuse.core import rng
from zoofuse.models.network import ACTIVATIONS, NETWORKS, Network
from zoofuse.native import build, dropout, network_trainer

KEY = 0x0123456789ABCDEF
SHARE = 0.3
BASIC = NETWORKS["small_cnn_zoo"]
able, reason = network_trainer.available(BASIC)
pytestmark = [pytest.mark.skipif(not able, reason=f"no C++: {reason}"), pytest.mark.usefixtures("any_width")]
# This machine's vectors, and 8 lanes where it has 16 or the other way round ("lanes4" becomes 8). More would take a
# minute to compile.
KINDS = [build.instruction_set(), "lanes4" if build.instruction_set() == "avx512" else "lanes16"]
UNUSUAL = Network(
    (
        *("conv 10 3 padding=1", "max 2", "gelu", "dropout", "conv 6 3 stride=2 padding=1 bias=no", "max 2"),
        *("conv 12 3 padding=2 groups=3", "average 3 stride=2", "silu", "dropout"),
        *("conv 8 2 stride=2 padding=1 groups=4", "tanh", "dropout", "conv 9 3 padding=1", "max 2 stride=1", "leaky"),
        *("linear 7 bias=no", "relu", "dropout", "linear"),
    ),
    channels=3,
    size=64,
    classes=5,
)


def images(network: Network, n: int) -> np.ndarray:
    return (256 * rng.uniform((n, network.size, network.size, network.channels), 0, "noise")).astype(np.uint8)


def labels(network: Network, n: int) -> np.ndarray:
    return (np.arange(n) * 7 % network.classes).astype(np.uint8)


def initial(network: Network, scale: float = 1.0) -> np.ndarray:
    """As PyTorch draws it: uniform within 1 / sqrt(values that a unit sees)."""
    parts, bound = [], 1.0
    for name, shape in network.shapes.items():
        bound = 1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else bound
        parts.append(bound * scale * (2 * rng.uniform((int(np.prod(shape)),), 0, name) - 1))
    return np.concatenate(parts).astype(np.float32)


def tensors(network: Network, flat: np.ndarray | torch.Tensor) -> dict:
    parts = {}
    for name, shape in network.shapes.items():
        size = int(np.prod(shape))
        parts[name], flat = flat[:size].reshape(shape), flat[size:]
    return parts


def prepared(x: np.ndarray, flip=None, gain=None) -> torch.Tensor:
    """As published, in float32."""
    x = torch.from_numpy(x).float() / 255
    if gain is not None:
        x = (x * torch.from_numpy(gain)[:, None, None]).clamp(max=1)
    if flip is not None:
        x = torch.where(torch.from_numpy(flip).bool()[:, None, None, None], x.flip(2), x)
    return ((x - 0.5) / 0.5).movedim(-1, 1)


def outputs(network: Network, weights: dict, x: torch.Tensor, step: int | None = None, share: float = 0.0):
    """The network layer by layer in PyTorch; step: of training, with dropout."""
    for place, layer in enumerate(network.steps):
        weight, bias = weights.get(f"{layer.name}.weight"), weights.get(f"{layer.name}.bias")
        if layer.kind == "conv":
            x = F.conv2d(x, weight, bias, layer.stride, layer.padding, 1, layer.groups)
        elif layer.kind == "linear":
            x = F.linear(x.flatten(1), weight, bias)
        elif layer.kind == "max":
            x = F.max_pool2d(x, layer.kernel, layer.stride)
        elif layer.kind == "average":
            x = F.avg_pool2d(x, layer.kernel, layer.stride)
        elif layer.kind == "global":
            x = x.mean((2, 3))
        elif layer.kind == "dropout":
            if step is not None and share:
                kept = dropout.mask(KEY, step, np.arange(len(x)), place, x[0].numel(), share)
                x = x * torch.from_numpy(kept).view_as(x) * float(dropout.scale(share))
        else:
            function = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh, "leaky": F.leaky_relu}
            x = function[layer.kind](x)
    return x


def loss_of(z: torch.Tensor, y: np.ndarray, targets: np.ndarray | None = None) -> torch.Tensor:
    if targets is None:
        return F.cross_entropy(z, torch.from_numpy(y).long())
    known = torch.from_numpy(targets).double()
    each = F.binary_cross_entropy_with_logits(z, known.nan_to_num(), reduction="none")
    return torch.where(known.isnan(), 0, each).sum(1).mean()


def check(network, n=24, flat=None, share=0.0, flip=None, gain=None, targets=None, kinds=KINDS):
    """Losses and gradients of every vector width agree with autograd's in float64, and with each other bit by bit."""
    flat = initial(network) if flat is None else flat
    x, y = images(network, n + 3), labels(network, n + 3)
    order = rng.permutation(n + 3, 0, "order")[:n].astype(np.int32)
    parameters = torch.from_numpy(flat).double().requires_grad_()
    inputs = prepared(x[order], flip, gain).double()
    z = outputs(network, tensors(network, parameters), inputs, 0, share)
    expected = loss_of(z, y[order], None if targets is None else targets[order])
    expected.backward()
    options = {"flip": flip, "gain": gain, "targets": targets, "dropout": share, "dropout_key": KEY}
    for key, shape in {"flip": (1, n), "gain": (1, n, network.channels)}.items():
        options[key] = None if options[key] is None else options[key].reshape(shape)
    made = [network_trainer.gradient(network, x, y, order, flat, kind=kind, **options) for kind in kinds]
    for loss, gradient in made:
        assert loss == pytest.approx(expected.item(), rel=1e-6, abs=1e-30)
        ours = tensors(network, gradient)
        for name, theirs in tensors(network, parameters.grad.numpy()).items():
            error = np.abs(ours[name] - theirs).max() / max(np.abs(theirs).max(), 1e-30)
            assert error < 1e-5, f"{name}: {error}"
        np.testing.assert_array_equal(gradient, made[0][1])
    return parameters.grad.numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_named_networks(name):
    check(NETWORKS[name], 21, share=SHARE, kinds=KINDS[:1] if name == "deep" else KINDS)


@pytest.mark.parametrize("share", [0.0, SHARE])
def test_gradients_of_all_other_layers(share):
    assert {*ACTIVATIONS, "average", "max", "dropout"} <= {layer.kind for layer in UNUSUAL.steps}
    check(UNUSUAL, 37, share=share)


@pytest.mark.parametrize("n", [1, 8, 57])
def test_gradients_on_batches_of_any_length(n):
    check(BASIC, n)


def test_gradients_with_flip_and_gain():
    gain = 0.5 + rng.uniform((20, 3), 0, "gain")
    check(NETWORKS["published"], 20, flip=(np.arange(20) % 3 == 0).astype(np.uint8), gain=gain)


def test_gradients_of_targets():
    """Logistic outputs, some unknown."""
    targets = rng.uniform((23, BASIC.classes), 0, "targets")
    targets[targets > 0.8] = np.nan
    check(BASIC, 20, targets=targets)


@pytest.mark.parametrize("scale", [30.0, 3000.0])
def test_gradients_with_saturated_logits(scale):
    flat = initial(BASIC)
    tensors(BASIC, flat)["fc1.weight"] *= np.float32(scale)  # a view
    assert np.abs(check(BASIC, 24, flat)).max() > 0


def test_a_diverged_cnn_is_not_hidden():
    flat = initial(BASIC)
    flat[0] = np.nan
    loss, _ = network_trainer.gradient(BASIC, images(BASIC, 4), labels(BASIC, 4), np.arange(4), flat)
    assert np.isnan(loss)


def pytorchs(network, x, y, order, rates, flat, batch, optimiser, validation, share):
    """Weights after each epoch, losses and counts by PyTorch in float32."""
    parameters = torch.from_numpy(flat.copy()).requires_grad_()
    name, options = optimiser
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    made = kinds[name]([parameters], lr=1.0, **options)
    losses, counts, kept, step = [], [], [], 0
    for rows in order:
        total = 0.0
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            made.param_groups[0]["lr"] = rates[step]
            made.zero_grad()
            loss = loss_of(outputs(network, tensors(network, parameters), prepared(x[part]), step, share), y[part])
            loss.backward()
            made.step()
            total, step = total + loss.item() * len(part), step + 1
        losses.append(total / len(rows))
        kept.append(parameters.detach().numpy().copy())
        with torch.no_grad():
            predicted = outputs(network, tensors(network, parameters), prepared(validation[0])).argmax(1).numpy()
        table = np.zeros((network.classes, network.classes), np.int64)
        np.add.at(table, (validation[1], predicted), 1)
        counts.append(table)
    return np.stack(kept), np.array(losses), np.stack(counts)


OPTIMISERS = [
    ("adam", {}),
    ("adam", {"weight_decay": 0.05}),
    ("adamw", {"weight_decay": 0.5}),
    ("sgd", {}),
    ("sgd", {"momentum": 0.9, "weight_decay": 0.05}),
]


@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=lambda optimiser: f"{optimiser[0]}{len(optimiser[1])}")
def test_training_is_pytorchs(optimiser):
    """Three epochs, the last batch of each shorter; dropout, a schedule, counts by label and prediction."""
    network, n, batch = BASIC, 50, 16
    x, y, flat = images(network, n), labels(network, n), initial(network)
    order = np.stack([rng.permutation(n, epoch, "order")[:42] for epoch in range(3)]).astype(np.int32)
    rates = np.linspace(2, 1, 9) * (0.02 if optimiser[0] == "sgd" else 0.002)
    validation, test = (x[:33], y[:33]), (x[33:], y[33:])
    ours = network_trainer.train(
        *(network, x, y, order, rates, flat),
        **{"batch_size": batch, "optimiser": optimiser[0], "dropout": SHARE, "dropout_key": KEY} | optimiser[1],
        **{"validation": validation, "test": test, "checkpoint_epochs": (1, 3)},
    )
    kept, loss, counts = pytorchs(network, x, y, order, rates, flat, batch, optimiser, validation, SHARE)
    np.testing.assert_allclose(ours.checkpoints, kept[[0, 2]], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(ours.weights, ours.checkpoints[1])
    assert np.abs(ours.weights - flat).max() > 5e-3
    np.testing.assert_allclose(ours.loss, loss, rtol=1e-5)
    np.testing.assert_array_equal(ours.validation, counts)
    assert ours.test.sum((1, 2)).tolist() == [17] * 3


def test_stop_and_ties():
    x, y = images(BASIC, 20), labels(BASIC, 20)
    order, zeros = np.arange(20, dtype=np.int32)[None], np.zeros(BASIC.parameters, np.float32)
    passes = np.zeros(1, np.int64)
    given = (BASIC, x, y, order, np.zeros(1), zeros)
    first = network_trainer.train(*given, passes=passes, validation=(x, y))
    assert passes[0] == 20
    assert first.validation[0, :, 0].sum() == 20, "with no weights all logits tie, and the first class is predicted"
    last = network_trainer.train(*given, validation=(x, y), first_two=True)
    assert last.validation[0, :, 1].sum() == 20
    stopped = network_trainer.train(*given, stop=np.ones(1, np.int64), validation=(x, y))
    assert not stopped.validation.any()
    assert np.isnan(stopped.loss).all()


def test_what_it_cannot_train_is_said():
    large = Network(("conv 1100 3", "tanh", "linear"), size=64)
    able, reason = network_trainer.available(large)
    assert not able
    assert "at most 256 MB" in reason
    x, y, flat = images(BASIC, 5), labels(BASIC, 5), initial(BASIC)
    with pytest.raises(ValueError, match=r"^labels must be 5 whole numbers from 0 to 9"):
        network_trainer.train(BASIC, x, y + 9, np.zeros((1, 5)), np.zeros(1), flat)
    with pytest.raises(ValueError, match=r"^order: rows must lie between 0 and 4"):
        network_trainer.train(BASIC, x, y, np.full((1, 5), 5), np.zeros(1), flat)
    with pytest.raises(ValueError, match=r"^optimiser: 'lion' is unknown"):
        network_trainer.train(BASIC, x, y, np.zeros((1, 5)), np.zeros(1), flat, optimiser="lion")
