"""Small CNNs written as chains of layers."""

import math
from dataclasses import replace

import pytest

from zoofuse.models.architectures import ARCHITECTURES
from zoofuse.models.network import ACTIVATIONS, NETWORKS, Network


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        *[("published", 3674), ("wide", 12146), ("deep", 94274)],
        *[("cnn_s", 2464), ("cnn3", 10853), ("small_cnn_zoo", 4970)],
    ],
)
def test_named_networks_have_the_parameters_of_their_sources(name, parameters):
    assert NETWORKS[name].parameters == parameters


@pytest.mark.parametrize("name", [name for name, kind in ARCHITECTURES.items() if kind.conv_layers])
def test_a_fusion_zoo_s_cnn_is_a_chain_too(name):
    assert NETWORKS[name].shapes == ARCHITECTURES[name].shapes


def test_shapes_are_pytorch_s():
    import torch

    layers = (
        "conv 6 3 stride=2 padding=1 groups=3 bias=no",
        "tanh",
        "average 3 stride=2",
        "dropout",
        "global",
        "linear 5",
    )
    network = Network((*layers, "activation", "linear"), classes=7, activation="silu")
    modules = [
        *(torch.nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3, bias=False), torch.nn.Tanh()),
        *(torch.nn.AvgPool2d(3, stride=2), torch.nn.Dropout(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()),
        *(torch.nn.Linear(6, 5), torch.nn.SiLU(), torch.nn.Linear(5, 7)),
    ]
    x = torch.zeros(1, 3, 32, 32)
    given = []
    for module in modules:
        x = module(x)
        if not isinstance(module, torch.nn.AdaptiveAvgPool2d):
            given.append(tuple(x.shape[1:]))
    assert [step.gives for step in network.steps] == given
    expected = [tuple(value.shape) for module in modules for value in module.parameters()]
    assert list(network.shapes.values()) == expected
    assert network.parameters == sum(value.numel() for module in modules for value in module.parameters())


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ((), "the last one must be linear"),
        (("linear",), "at least one must be conv"),
        (("conv 3", "linear"), "layer 1, 'conv 3': write conv OUT KERNEL"),
        (("conv 4 40", "linear"), "40 pixels don't fit into the 32 that are left"),
        (("conv 4 3 groups=2", "linear"), "groups=2 must divide 3 channels in and 4 out"),
        (("conv 4 3 padding=3", "linear"), "padding=3 must be smaller than the kernel"),
        (("conv 4 3 bias=maybe", "linear"), "bias=yes or bias=no"),
        (("conv 4 3 strides=2", "linear"), "strides is unknown; write stride="),
        (("conv 4 0", "linear"), "KERNEL: '0' is not a whole number from 1"),
        (("conv 4 3", "linear 5"), "write linear without a number"),
        (("conv 4 3", "linear 5", "max 2", "linear"), "max must come before"),
        (("conv 4 3", "relu 2", "linear"), "relu takes no numbers"),
        (("convolution 4 3", "linear"), "not a layer; write one of conv, max"),
    ],
)
def test_what_can_t_be_read_is_refused(layers, words):
    with pytest.raises(ValueError, match=words):
        Network(layers)


def test_activations_have_one_name_each():
    for name in ACTIVATIONS:
        assert Network(("conv 2 3", "activation", "linear"), activation=name).steps[1].kind == name
    with pytest.raises(ValueError, match="write one of relu, gelu"):
        Network(("conv 2 3", "activation", "linear"), activation="swish")


def modules(network):
    """The same chain in PyTorch's own modules."""
    from torch import nn

    activations = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh, "leaky": nn.LeakyReLU}
    chain = []
    for step in network.steps:
        if step.kind == "conv":
            options = {"stride": step.stride, "padding": step.padding, "groups": step.groups, "bias": step.bias}
            chain.append(nn.Conv2d(step.takes[0], step.gives[0], step.kernel, **options))
        elif step.kind == "linear":
            chain += [nn.Flatten(), nn.Linear(math.prod(step.takes), step.gives[0], bias=step.bias)]
        elif step.kind in ("max", "average"):
            chain.append({"max": nn.MaxPool2d, "average": nn.AvgPool2d}[step.kind](step.kernel, step.stride))
        elif step.kind in activations:
            chain.append(activations[step.kind]())
        else:
            chain.append(nn.AdaptiveAvgPool2d(1) if step.kind == "global" else nn.Dropout(0.5))
    return nn.Sequential(*chain)


ODD = Network(
    ("conv 6 3 stride=2 padding=1 groups=3 bias=no", "tanh", "average 3 stride=2", "conv 4 3", "global", "linear"),
    classes=7,
)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["published", "cnn_s", "cnn3", "small_cnn_zoo", "odd"])
def test_the_forward_pass_is_that_of_pytorch_s_modules(name, activation):
    import torch

    from zoofuse.models import forward

    network = replace(ODD if name == "odd" else NETWORKS[name], activation=activation)
    net = modules(network).eval()
    weights = dict(zip(network.shapes, net.parameters(), strict=True))
    x = torch.randn(3, network.channels, network.size, network.size)
    torch.testing.assert_close(forward.logits(network, weights, x), net(x), atol=1e-6, rtol=1e-5)


def test_dropout_is_asked_for_at_every_dropout_layer_only():
    import torch

    from zoofuse.models import forward

    network = NETWORKS["cnn_s"]
    weights = {name: torch.randn(shape) for name, shape in network.shapes.items()}
    shapes = []

    def dropped(x, layer):
        shapes.append((layer, tuple(x.shape)))
        return 0 * x

    logits = forward.logits(network, weights, torch.randn(2, 1, 28, 28), dropped)
    assert shapes == [(0, (2, 8, 12, 12)), (1, (2, 6, 4, 4)), (2, (2, 20))]
    torch.testing.assert_close(logits, weights["fc2.bias"].expand(2, -1))
