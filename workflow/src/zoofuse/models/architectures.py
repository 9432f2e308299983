"""The shapes of the zoo's CNNs. Imports no torch, so that the rules can ask for an architecture's layers."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """A chain of (convolution without padding, ReLU, max-pool 2) blocks and one linear layer."""

    channels: tuple[int, ...]  # of the image, then after each convolution
    kernel_size: int
    image_size: int = 32
    classes: int = 2
    slower: float = 1  # training one CNN against the published one, both in C++, one core of an AMD Zen 4, process time

    @property
    def conv_layers(self) -> list[str]:
        return [f"conv{i}" for i in range(1, len(self.channels))]

    @property
    def sizes(self) -> list[int]:
        """Rows and columns of the image, then after each block."""
        sizes = [self.image_size]
        for _ in self.conv_layers:
            sizes.append((sizes[-1] - self.kernel_size + 1) // 2)
        return sizes

    @property
    def features(self) -> int:
        """Length of the flattened feature vector (400 as published)."""
        return self.channels[-1] * self.sizes[-1] ** 2

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter name -> shape of one CNN's tensor, in PyTorch's `parameters()` order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, cin, cout in zip(self.conv_layers, self.channels, self.channels[1:], strict=False):
            shapes[f"{name}.weight"] = (cout, cin, self.kernel_size, self.kernel_size)
            shapes[f"{name}.bias"] = (cout,)
        shapes["fc1.weight"] = (self.classes, self.features)
        shapes["fc1.bias"] = (self.classes,)
        return shapes

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def kernels(self) -> dict[str, int]:
        """Conv layer -> its weights, biases aside."""
        return {layer: math.prod(self.shapes[f"{layer}.weight"]) for layer in self.conv_layers}


# By the name that zoo.architecture takes; a new one needs its line here and nothing else.
ARCHITECTURES = {
    "published": Architecture(channels=(3, 6, 16), kernel_size=5),
    "wide": Architecture(channels=(3, 12, 32), kernel_size=5, slower=2.5),
    "deep": Architecture(channels=(3, 32, 64, 128), kernel_size=3, slower=7),
}
