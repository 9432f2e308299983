"""How the AIML lab's code (ModelZoos, SANE, WeightCLIP) names networks, hyper-parameters and scores of a zoo.

Their classes hold all layers in one list, so that a layer's name is its place in it: module_list.4. CNN applies its
dropout outside the list; CNN3 has its dropout layers in it.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from zoofuse.models import architectures
from zoofuse.models.architectures import Architecture
from zoofuse.models.network import NETWORKS, Network, chain

MODULES = "module_list"
_CLASSES = {"cnn_s": ("CNN", False), "cnn3": ("CNN3", True)}  # our network -> their class, is dropout in its list
_ACTIVATIONS = {"relu": "nn.ReLU", "gelu": "nn.GELU", "silu": "nn.SiLU", "tanh": "nn.Tanh", "leaky": "nn.LeakyReLU"}
# PyTorch's default is a Kaiming-uniform one, and their loader refuses names that it doesn't know.
_INITIALISATIONS = {"default": "kaiming_uniform"}


def layout(
    attributes: Mapping, shapes: Mapping[str, Sequence[int]]
) -> tuple[Network | None, Mapping[str, tuple[int, ...]]]:
    """The architecture of a zoo file's CNNs, and the shapes of one CNN's tensors in PyTorch's order.

    Args:
        attributes: of the zoo file.
        shapes: array name -> shape in the file, the CNN first.

    Returns:
        None for the architecture of networks that are no chain of layers.
    """
    if kind := architectures.unchained({name: shape[1:] for name, shape in shapes.items()}):
        return None, architectures.ARCHITECTURES[kind].shapes
    network = network_of(attributes, {name: np.empty((0, *shape[1:])) for name, shape in shapes.items()})
    return network, network.shapes


def network_of(attributes: Mapping, weights: Mapping[str, np.ndarray]) -> Network:
    """The architecture of a zoo file's CNNs.

    Args:
        attributes: of the zoo file; its `network`, where it says so.
        weights: else a chain of blocks is read off the shapes of these, (n, ...) each.

    Raises:
        ValueError: the CNNs are no chain of layers.
    """
    if "network" in attributes:
        facts = dict(attributes["network"])
        return Network(tuple(facts.pop("layers")), **facts)
    layers = sorted({name.split(".")[0] for name in weights if name.startswith("conv")}, key=lambda name: int(name[4:]))
    if not layers:
        raise ValueError("Not applicable: these networks are not a chain of convolutions; name another zoo.")
    kernels = [weights[f"{layer}.weight"].shape[1:] for layer in layers]
    channels = (kernels[0][1], *(shape[0] for shape in kernels))
    return chain(Architecture(channels, kernels[0][-1]))


def class_of(network: Network) -> str | None:
    """The class of theirs that a network is, for any channels, classes and activation; None if there is none."""
    return _CLASSES[name][0] if (name := _named(network)) in _CLASSES else None


def modules(network: Network) -> dict[str, str]:
    """Name -> how PyTorch's module of each layer is written, by their names where they have a class for it."""
    name = _named(network)
    inside = _CLASSES.get(name, (None, False))[1]
    written: dict[str, str] = {}
    counts: dict[str, int] = {}

    def add(own_name: str, code: str) -> None:
        written[f"{MODULES}.{len(written)}" if name in _CLASSES else own_name] = code

    for step in network.steps:
        counts[step.kind] = counts.get(step.kind, 0) + 1
        if step.kind == "dropout" and not inside:
            continue
        if step.kind == "linear" and (counts["linear"] == 1):
            add("flatten", "nn.Flatten()")
        add(step.name or f"{step.kind}{counts[step.kind]}", _module(step))
    return written


def _module(step) -> str:
    match step.kind:
        case "conv":
            options = {"stride": (step.stride, 1), "padding": (step.padding, 0), "groups": (step.groups, 1)}
            options |= {"bias": (step.bias, True)}
            words = [f"{name}={value}" for name, (value, usual) in options.items() if value != usual]
            numbers = [str(step.takes[0]), str(step.gives[0]), str(step.kernel)]
            return f"nn.Conv2d({', '.join(numbers + words)})"
        case "linear":
            bias = "" if step.bias else ", bias=False"
            return f"nn.Linear({math.prod(step.takes)}, {step.gives[0]}{bias})"
        case "max" | "average":
            stride = "" if step.stride == step.kernel else f", {step.stride}"
            return f"nn.{'MaxPool2d' if step.kind == 'max' else 'AvgPool2d'}({step.kernel}{stride})"
        case "global":
            return "nn.AdaptiveAvgPool2d(1)"
        case "dropout":
            return "nn.Dropout()"
        case activation:
            return f"{_ACTIVATIONS[activation]}()"


def layer_names(network: Network) -> dict[str, str]:
    """Our layer -> theirs, where they have a class for the network; else empty."""
    if _named(network) not in _CLASSES:
        return {}
    theirs = [name for name, code in modules(network).items() if code.startswith(("nn.Conv2d", "nn.Linear"))]
    ours = [step.name for step in network.steps if step.name]
    return dict(zip(ours, theirs, strict=True))


def params(network: Network, factors: Mapping, settings: Mapping, epochs: int) -> dict:
    """The entries of params.json that their loaders read.

    Args:
        network: of the CNN.
        factors: how this CNN was trained, by the names of the zoo file's factors/.
        settings: the zoo's, for what no factor says.
        epochs: how many this CNN was trained.
    """
    of = dict(settings) | dict(factors)
    initialisation = of.get("initialisation", "default")
    entries = {
        "model::type": class_of(network) or _named(network) or "chain",
        "model::channels_in": network.channels,
        "model::o_dim": network.classes,
        "model::nlin": {"leaky": "leakyrelu"}.get(network.activation, network.activation),
        "model::dropout": of.get("dropout", 0.0),
        "model::init_type": _INITIALISATIONS.get(initialisation, initialisation),
        "model::use_bias": True,
        "optim::optimizer": of.get("optimiser", "adam"),
        "optim::lr": of.get("learning_rate"),
        "optim::wd": of.get("weight_decay", 0.0),
        "training::batchsize": of.get("batch_size"),
        "training::epochs_train": epochs,
        "training::start_epoch": 1,
    }
    return entries | ({"optim::momentum": of["momentum"]} if "momentum" in of else {})


def result(epoch: int, history: Mapping[str, float]) -> dict:
    """A line of result.json: the scores after an epoch, under our names and theirs.

    Args:
        epoch: 0 is before training. Their loaders take the line of epoch e as line e, counted from 0.
        history: what the zoo file says of this epoch; {} before training.

    Returns:
        test_acc is the accuracy on test images; of a concept's zoo, which has none, the balanced accuracy on
        validation images. train_acc, which only imported zoos have, is like every other
        score that is missing NaN, as they write it.
    """
    nan = float("nan")
    validation = history.get("validation_accuracy", history.get("validation_balanced_accuracy", nan))
    scores = {"val_acc": validation, "test_acc": history.get("test_accuracy", validation)}
    scores["train_acc"] = history.get("train_accuracy", nan)
    scores["train_loss"] = history.get("loss", nan)
    finite = {name: value for name, value in history.items() if math.isfinite(value)}
    return {"training_iteration": epoch} | finite | scores


def _named(network: Network) -> str | None:
    """The name of a network among NETWORKS, whatever its channels, size, classes and activation."""
    return next((name for name, known in NETWORKS.items() if known.layers == network.layers), None)
