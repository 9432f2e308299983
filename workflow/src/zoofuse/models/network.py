"""Any small CNN as data: a chain of layers, each written in a few words. Imports no torch.

conv OUT KERNEL [stride=1] [padding=0] [groups=1] [bias=yes]
max SIZE [stride=SIZE]       max-pooling
average SIZE [stride=SIZE]   average pooling
global                       the mean of each channel
activation                   the network's own; or one by its name, such as tanh
dropout                      of the network's own share
linear OUT [bias=yes]        the last one is written without OUT: it has an output for each class
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from zoofuse.models.architectures import ARCHITECTURES, Architecture

ACTIVATIONS = ("relu", "gelu", "silu", "tanh", "leaky")
"""gelu is the exact one, x Phi(x); leaky has slope 0.01, as in PyTorch."""

_OPTIONS = {
    "conv": {"stride": 1, "padding": 0, "groups": 1, "bias": "yes"},
    "max": {"stride": None},
    "average": {"stride": None},
    "linear": {"bias": "yes"},
}
_NUMBERS = {"conv": ("OUT", "KERNEL"), "max": ("SIZE",), "average": ("SIZE",), "linear": ("OUT",)}
_LARGEST = 4096  # of any number in a layer


@dataclass(frozen=True)
class Layer:
    """One step of a network, and the shapes that it takes and gives: (channels, rows, columns) or (values,)."""

    kind: str  # conv, max, average, global, an activation of ACTIVATIONS, dropout, linear
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    name: str = ""  # of its parameters: conv1, fc1
    kernel: int = 0  # rows and columns, of a pooling window too
    stride: int = 1
    padding: int = 0
    groups: int = 1
    bias: bool = True

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter name -> shape, as PyTorch has it."""
        if not self.name:
            return {}
        conv = (self.gives[0], self.takes[0] // self.groups, self.kernel, self.kernel)
        weight = conv if self.kind == "conv" else (self.gives[0], math.prod(self.takes))
        return {f"{self.name}.weight": weight} | ({f"{self.name}.bias": weight[:1]} if self.bias else {})

    @property
    def multiply_adds(self) -> int:
        """For one image."""
        positions = math.prod(self.gives[1:]) if self.kind == "conv" else 1
        return math.prod(self.shapes[f"{self.name}.weight"]) * positions if self.name else 0


@dataclass(frozen=True)
class Network:
    """A chain of layers from a square image to one logit for each class.

    Raises:
        ValueError: a layer can't be read or doesn't fit what comes before it; worded for users.
    """

    layers: tuple[str, ...]
    channels: int = 3  # of the image
    size: int = 32  # rows and columns of the image
    classes: int = 2
    activation: str = "relu"
    slower: float = field(default=1, compare=False)  # see `Architecture`

    def __post_init__(self):
        if self.channels not in (1, 3):
            raise ValueError(f"channels: {self.channels} is not possible; write 1 or 3.")
        if not 8 <= self.size <= 64:
            raise ValueError(f"size: {self.size} is not possible; write 8 to 64 pixels.")
        if not 2 <= self.classes <= 1000:
            raise ValueError(f"classes: {self.classes} is not possible; write 2 to 1000.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation: {self.activation!r} is unknown; write one of {', '.join(ACTIVATIONS)}.")
        _ = self.steps

    @cached_property
    def steps(self) -> tuple[Layer, ...]:
        """The layers with their shapes."""
        shape: tuple[int, ...] = (self.channels, self.size, self.size)
        steps: list[Layer] = []
        for at, text in enumerate(self.layers):
            try:
                steps.append(self._layer(text, shape, steps, last=at == len(self.layers) - 1))
            except ValueError as error:
                raise ValueError(f"layer {at + 1}, {text!r}: {error}") from None
            shape = steps[-1].gives
        if not steps or steps[-1].kind != "linear":
            raise ValueError("layers: the last one must be linear.")
        if not any(step.kind == "conv" for step in steps):
            raise ValueError("layers: at least one must be conv.")
        return tuple(steps)

    def _layer(self, text: str, shape: tuple[int, ...], before: Sequence[Layer], last: bool) -> Layer:
        kind, *words = str(text).split() or [""]
        if kind == "activation":
            kind = self.activation
        if kind in (*ACTIVATIONS, "dropout", "global"):
            if words:
                raise ValueError(f"{kind} takes no numbers.")
            if kind == "global" and len(shape) == 1:
                raise ValueError("there are no rows and columns left to average.")
            return Layer(kind, shape, shape[:1] if kind == "global" else shape)
        if kind not in _OPTIONS:
            known = ("conv", "max", "average", "global", "activation", *ACTIVATIONS, "dropout", "linear")
            raise ValueError(f"{kind!r} is not a layer; write one of {', '.join(known)}.")
        numbers, options = _read(kind, words, last)
        if kind == "linear":
            name = f"fc{1 + sum(step.kind == 'linear' for step in before)}"
            return Layer(kind, shape, (self.classes if last else numbers[0],), name, bias=options["bias"])
        if len(shape) == 1:
            raise ValueError(f"{kind} must come before every global and linear layer.")
        kernel = numbers[-1]
        stride = options["stride"] or kernel
        padding = options.get("padding", 0)
        rows = (shape[1] + 2 * padding - kernel) // stride + 1
        if rows < 1 or kernel > shape[1] + 2 * padding:
            raise ValueError(f"{kernel} pixels don't fit into the {shape[1]} that are left.")
        if padding >= kernel:
            raise ValueError(f"padding={padding} must be smaller than the kernel.")
        if kind != "conv":
            return Layer(kind, shape, (shape[0], rows, rows), kernel=kernel, stride=stride)
        out, groups = numbers[0], options["groups"]
        if shape[0] % groups or out % groups:
            raise ValueError(f"groups={groups} must divide {shape[0]} channels in and {out} out.")
        name = f"conv{1 + sum(step.kind == 'conv' for step in before)}"
        return Layer(kind, shape, (out, rows, rows), name, kernel, stride, padding, groups, options["bias"])

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter name -> shape of one network's tensor, in PyTorch's `parameters()` order."""
        return {name: shape for step in self.steps for name, shape in step.shapes.items()}

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def multiply_adds(self) -> int:
        """Of one image's forward pass."""
        return sum(step.multiply_adds for step in self.steps)


def _read(kind: str, words: Sequence[str], last: bool) -> tuple[list[int], dict]:
    """The numbers and the options of a layer."""
    wanted = () if kind == "linear" and last else _NUMBERS[kind]
    numbers = [word for word in words if "=" not in word]
    if len(numbers) != len(wanted):
        if kind == "linear" and last:
            raise ValueError("the last layer has an output for each class; write linear without a number.")
        raise ValueError(f"write {kind} {' '.join(wanted)}, with whole numbers.")
    options = dict(_OPTIONS[kind])
    for word in words:
        if "=" in word:
            name, _, value = word.partition("=")
            if name not in options:
                raise ValueError(f"{name} is unknown; write {', '.join(f'{known}=' for known in options)}.")
            if name == "bias":
                if value not in ("yes", "no"):
                    raise ValueError("write bias=yes or bias=no.")
                options[name] = value
            else:
                options[name] = _number(name, value, 0 if name == "padding" else 1)
    if "bias" in options:
        options["bias"] = options["bias"] == "yes"
    return [_number(name, value, 1) for name, value in zip(wanted, numbers, strict=True)], options


def _number(name: str, text: str, low: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= _LARGEST:
        raise ValueError(f"{name}: {text!r} is not a whole number from {low} to {_LARGEST}.")
    return int(text)


def chain(architecture: Architecture) -> Network:
    """An architecture of the fusions' zoos: blocks of convolution, ReLU and max-pooling, then one linear layer."""
    blocks = [(f"conv {out} {architecture.kernel_size}", "relu", "max 2") for out in architecture.channels[1:]]
    layers = (*(layer for block in blocks for layer in block), "linear")
    channels, size = architecture.channels[0], architecture.image_size
    return Network(layers, channels, size, architecture.classes, slower=architecture.slower)


# By the name that a configuration takes; a new one needs its line here and nothing else.
NETWORKS = {name: chain(kind) for name, kind in ARCHITECTURES.items() if isinstance(kind, Architecture)} | {
    # Schürholt et al. 2022, "Model Zoos: A Dataset of Diverse Populations of Neural Network Models", CNN-s: 2,464
    # parameters for one channel.
    "cnn_s": Network(
        (
            *("conv 8 5", "max 2", "activation", "dropout"),
            *("conv 6 5", "max 2", "activation", "dropout"),
            *("conv 4 2", "activation"),
            *("linear 20", "activation", "dropout", "linear"),
        ),
        channels=1,
        size=28,
        classes=10,
    ),
    # CNN3 of the same authors' code, the zoos of WeightCLIP (Asefaw et al. 2026): 10,853 parameters.
    "cnn3": Network(
        (
            *("conv 16 3", "max 2", "activation", "dropout"),
            *("conv 32 3", "max 2", "activation", "dropout"),
            *("conv 15 3", "max 2", "activation", "dropout"),
            *("linear 20", "activation", "dropout", "linear"),
        ),
        classes=10,
    ),
    # Unterthiner et al. 2020, "Predicting Neural Network Accuracy from Weights", the Small CNN Zoo: 4,970 parameters
    # for one channel.
    "small_cnn_zoo": Network(
        (*("conv 16 3 stride=2", "activation", "dropout") * 3, "global", "linear"),
        channels=1,
        size=32,
        classes=10,
    ),
}
