"""The shapes of the zoo's CNNs. Imports no torch, so that the rules can ask for an architecture's layers."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

HEAD = 16  # width of each attention head
# Half of a transformer's block, whose matrices are one bank -> the layer into its units, the one out of them, and how
# many rows of the first each unit has: query, key and value.
HALVES = {"attention": ("qkv", "out", 3), "mlp": ("mlp1", "mlp2", 1)}
BANK = r"conv[1-9]\d*|stem|stage\d+\.\d+\.\d+|patch|place|block\d+\.(?:attention|mlp)"  # names that `banks_of` returns


class Layers(ABC):
    """What the zoo's CNNs have in common: layers that give features, and one linear layer, fc1.

    `image_size`: rows and columns of the images; `classes`: outputs; `slower`: training one CNN against the published
    one; `about`: the layers, for an exported model's configuration.
    """

    conv_layers: Sequence[str] = ()  # those of a chain of convolutions
    aligns = True  # whether its channels are brought into a reference's order (`zoo.align`)
    about = ""

    @property
    @abstractmethod
    def features(self) -> int:
        """Length of the feature vector."""

    @property
    @abstractmethod
    def below(self) -> dict[str, tuple[int, ...]]:
        """Parameter name -> shape of one CNN's tensor, below fc1, in PyTorch's `parameters()` order."""

    @property
    @abstractmethod
    def kept(self) -> int:
        """Floats that training one image takes, about: patches, activations and gradients."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """`below` and the linear layer."""
        return self.below | {"fc1.weight": (self.classes, self.features), "fc1.bias": (self.classes,)}

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def kernels(self) -> dict[str, int]:
        """Layer that has a bank -> its weights, biases aside."""
        below = self.below
        return {bank: sum(math.prod(below[name]) for name in parameters(bank)) for bank in banks_of(below)}


@dataclass(frozen=True)
class Architecture(Layers):
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
    def below(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for name, cin, cout in zip(self.conv_layers, self.channels, self.channels[1:], strict=False):
            shapes[f"{name}.weight"] = (cout, cin, self.kernel_size, self.kernel_size)
            shapes[f"{name}.bias"] = (cout,)
        return shapes

    @property
    def kept(self) -> int:
        floats = 0
        for layer, (cin, cout, size) in enumerate(zip(self.channels, self.channels[1:], self.sizes, strict=False)):
            patches = min(layer + 1, 2) * cin * self.kernel_size**2  # and their gradient, but not of the image's
            floats += (size - self.kernel_size + 1) ** 2 * (patches + 4 * cout)
        return floats  # by growth of peak memory on a CPU, 0.76 (deep) to 0.99 (published) of it are really taken


def residual_layers(depth: int, widths: Sequence[int]) -> dict[str, tuple[int, int, int]]:
    """The convolutions of a residual network at half the published resolution: a stem of stride 2, then pairs.

    Args:
        depth: 6n + 2 layers.
        widths: channels of each stage.

    Returns:
        Name -> (channels in, channels out, stride).

    Raises:
        ValueError: there is no residual network of so many layers.
    """
    if (depth - 2) % 6 or depth < 8:
        raise ValueError(f"a residual network of {depth} layers; write 8, 14, 20, 26 or 32.")
    layers, before = {"stem": (3, widths[0], 2)}, widths[0]
    for stage, width in enumerate(widths):
        for block in range((depth - 2) // 6):
            stride = 2 if stage and not block else 1
            layers[f"stage{stage}.{block}.0"] = (before, width, stride)
            layers[f"stage{stage}.{block}.1"] = (width, width, 1)
            before = width
    return layers


def convolution_shapes(layers: Mapping[str, tuple[int, int, int]]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the kernels and biases of 3x3 convolutions, as `residual_layers` gives them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (cin, cout, _) in layers.items():
        shapes |= {f"{name}.weight": (cout, cin, 3, 3), f"{name}.bias": (cout,)}
    return shapes


@dataclass(frozen=True)
class ResNet(Layers):
    """A residual network without normalisation. ResNet8: 18,834 parameters, 32 features."""

    depth: int = 8
    widths: tuple[int, ...] = (8, 16, 32)
    image_size: int = 32
    classes: int = 2
    slower: float = 1
    aligns = False  # shortcuts tie the channels of one stage to those of the next
    about = (
        "conv 3x3 of stride 2, pairs of conv 3x3 with shortcuts (option A), ReLU, mean over the image, linear heads, "
        "logistic function; score = product over heads"
    )

    @property
    def layers(self) -> dict[str, tuple[int, int, int]]:
        return residual_layers(self.depth, self.widths)

    @property
    def features(self) -> int:
        return self.widths[-1]

    @property
    def below(self) -> dict[str, tuple[int, ...]]:
        return convolution_shapes(self.layers)

    @property
    def kept(self) -> int:
        size, floats = self.image_size, 0
        for _, cout, stride in self.layers.values():
            size = -(-size // stride)
            floats += 6 * cout * size**2
        return floats


@dataclass(frozen=True)
class VisionTransformer(Layers):
    """Patches of 4x4, width 32, 2 blocks of 2 heads, hidden layers of 64: 20,834 parameters, 32 features."""

    patch: int = 4
    width: int = 32
    depth: int = 2
    hidden: int = 64
    image_size: int = 32
    classes: int = 2
    slower: float = 1
    about = (
        f"patches, learnt positions, (norm, attention of heads of {HEAD}, norm, GELU layer) for each block, norm, mean "
        "over patches, linear heads, logistic function; score = product over heads"
    )

    @property
    def tokens(self) -> int:
        """Patches of an image."""
        return (self.image_size // self.patch) ** 2

    @property
    def features(self) -> int:
        return self.width

    @property
    def below(self) -> dict[str, tuple[int, ...]]:
        width, hidden = self.width, self.hidden
        shapes = _affine("patch", width, 3 * self.patch**2) | {"place.weight": (self.tokens, width)}
        for block in (f"block{i}" for i in range(1, self.depth + 1)):
            shapes |= _norm(f"{block}.norm1", width)
            shapes |= _affine(f"{block}.qkv", 3 * width, width) | _affine(f"{block}.out", width, width)
            shapes |= _norm(f"{block}.norm2", width)
            shapes |= _affine(f"{block}.mlp1", hidden, width) | _affine(f"{block}.mlp2", width, hidden)
        return shapes | _norm("norm", width)

    @property
    def kept(self) -> int:
        each = 16 * self.width + 4 * self.hidden + 3 * self.tokens * self.width // HEAD
        return self.tokens * (2 * 3 * self.patch**2 + self.depth * each)


def _affine(name: str, out: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, inputs), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


# By the name that zoo.architecture takes; a new one needs its line here and nothing else.
ARCHITECTURES = {
    "published": Architecture(channels=(3, 6, 16), kernel_size=5),
    "wide": Architecture(channels=(3, 12, 32), kernel_size=5, slower=2.5),
    "deep": Architecture(channels=(3, 32, 64, 128), kernel_size=3, slower=7),
    "resnet8": ResNet(slower=9),  # these two in PyTorch
    "vit": VisionTransformer(slower=17),
}


def unchained(shapes: Mapping[str, Sequence[int]]) -> str | None:
    """The registered architecture of a network that is no chain of convolutions.

    Args:
        shapes: parameter name -> shape of one network's tensor; linear layers and heads are passed over.

    Returns:
        Its name in ARCHITECTURES; None for a chain, and for what is not registered.
    """
    below = {name: tuple(shapes[name]) for name in trunk(shapes)}
    return next((name for name, of in ARCHITECTURES.items() if not of.conv_layers and of.below == below), None)


def trunk(names: Iterable[str]) -> list[str]:
    """The parameters below the linear layer or the heads, among the arrays of a zoo file.

    Args:
        names: such as conv1.weight, fc1.weight, fc_a.bias, model, history/loss.

    Returns:
        Those with a layer and a part in their name that are no linear layer's, in their order.
    """
    return [name for name in names if "." in name and "/" not in name and not name.startswith(("fc", "heads."))]


def banks_of(names: Iterable[str]) -> list[str]:
    """The layers that have a bank of kernels or of weight matrices each.

    Args:
        names: of a network's parameters; all else is passed over.

    Returns:
        Such as conv1, conv2; or patch, place, block1.attention, block1.mlp, ...
    """
    of_layer = {name: half for half, layers in HALVES.items() for name in layers[:2]}
    found = []
    for name in trunk(names):
        layer, _, part = name.rpartition(".")
        block, _, last = layer.rpartition(".")
        if part == "weight" and start(name) is None:
            found.append(f"{block}.{of_layer[last]}" if block and last in of_layer else layer)
    return list(dict.fromkeys(found))


def parameters(bank: str) -> list[str]:
    """The parameters whose weights a bank holds, by its name as `banks_of` returns it."""
    block, _, half = bank.rpartition(".")
    return [f"{block}.{layer}.weight" for layer in HALVES[half][:2]] if half in HALVES else [f"{bank}.weight"]


def start(name: str) -> float | None:
    """What a parameter of a normalisation starts from, scale 1 and shift 0; None of others, which are drawn."""
    layer, _, part = name.rpartition(".")
    return float(part == "weight") if layer.rpartition(".")[2].rstrip("12") == "norm" else None
