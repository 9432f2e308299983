"""Stacked CNNs are the published CNN, many times."""

import numpy as np
import pytest
import torch
from torch import nn

from zoofuse import config
from zoofuse.models import cnn

PUBLISHED = cnn.ARCHITECTURES["published"]


def pytorch_cnn(architecture: str = "published") -> nn.Sequential:
    convolutions, features = {
        "published": ((nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)), 400),
        "deep": ((nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3), nn.Conv2d(64, 128, 3)), 512),
    }[architecture]
    blocks = [layer for convolution in convolutions for layer in (convolution, nn.ReLU(), nn.MaxPool2d(2))]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(features, 2))


def test_published_size():
    assert PUBLISHED.features == 400
    assert sum(int(np.prod(shape)) for shape in PUBLISHED.shapes.values()) == 3674
    assert list(PUBLISHED.shapes.values()) == [tuple(p.shape) for p in pytorch_cnn().parameters()]


@pytest.mark.parametrize("architecture", ["published", "deep"])
def test_stacked_logits_equal_pytorch_modules(architecture):
    models = [pytorch_cnn(architecture) for _ in range(3)]
    parameters = [list(model.parameters()) for model in models]
    names = cnn.ARCHITECTURES[architecture].shapes
    weights = {name: torch.stack([each[i].detach() for each in parameters]) for i, name in enumerate(names)}
    x = torch.randn(5, 3, 32, 32)
    expected = torch.stack([model(x) for model in models])
    assert torch.allclose(cnn.logits(weights, x), expected, atol=1e-5)
    own = torch.stack([x + i for i in range(3)])
    expected = torch.stack([model(x + i) for i, model in enumerate(models)])
    assert torch.allclose(cnn.logits(weights, own), expected, atol=1e-4)


def test_initial_weights_depend_on_the_index_only():
    many = cnn.initial_weights(PUBLISHED, 1, "cat", np.arange(5))
    one = cnn.initial_weights(PUBLISHED, 1, "cat", np.array([3]))
    other = cnn.initial_weights(PUBLISHED, 1, "black", np.array([3]))
    for name, values in many.items():
        assert np.array_equal(values[3:4], one[name])
        assert not np.array_equal(one[name], other[name])
        assert not np.array_equal(values[0], values[1])


def test_initial_weights_are_pytorchs_distribution():
    weights = cnn.initial_weights(PUBLISHED, 1, "cat", np.arange(200))
    for name, fan_in in (("conv1.weight", 75), ("conv2.weight", 150), ("conv2.bias", 150), ("fc1.weight", 400)):
        bound = fan_in**-0.5
        assert np.abs(weights[name]).max() <= bound
        assert weights[name].std() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_normalise_is_the_published_transform():
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, 2, 5] = (255, 0, 127)
    x = cnn.normalise(torch.from_numpy(image))
    assert x.shape == (1, 3, 32, 32)
    assert x[0, :, 2, 5].tolist() == pytest.approx([1, -1, (127 / 255 - 0.5) / 0.5])


def test_the_schema_knows_every_architecture():
    schema = config.full_schema()
    assert schema["properties"]["zoo"]["properties"]["architecture"]["enum"] == list(cnn.ARCHITECTURES)


def test_deep_size():
    deep = cnn.ARCHITECTURES["deep"]
    assert list(deep.shapes.values()) == [tuple(p.shape) for p in pytorch_cnn("deep").parameters()]
    assert deep.conv_layers == ["conv1", "conv2", "conv3"]
    assert (deep.parameters, deep.features) == (94274, 512)


def test_wide_size():
    shapes = cnn.ARCHITECTURES["wide"].shapes
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 12146
    assert shapes["fc1.weight"] == (2, 800)
