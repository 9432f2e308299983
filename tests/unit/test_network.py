"""Small CNNs written as chains of layers."""

import pytest

from zoofuse.models.architectures import ARCHITECTURES
from zoofuse.models.network import ACTIVATIONS, NETWORKS, Network


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("published", 3674), ("wide", 12146), ("deep", 94274), ("cnn_s", 2464), ("small_cnn_zoo", 4970)],
)
def test_named_networks_have_the_parameters_of_their_sources(name, parameters):
    assert NETWORKS[name].parameters == parameters


@pytest.mark.parametrize("name", ARCHITECTURES)
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
