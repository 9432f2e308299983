"""Settings of factory zoos: populations of CNNs of k classes with varied hyper-parameters."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from zoofuse.models.network import ACTIVATIONS, NETWORKS
from zoofuse.settings.fields import (
    NAME,
    ONCE,
    Count,
    Held,
    Millions,
    Schedule,
    Selectors,
    Source,
    Text,
    Whole,
    block,
    says,
)

WORDS = {
    "optimiser": ("adam", "adamw", "sgd"),
    "initialisation": (
        *("default", "kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal", "orthogonal"),
    ),
    "activation": ACTIVATIONS,
    "schedule": get_args(Schedule),
}
"""The factors that are words -> what they may be."""


def number(about: str, default: float | None, kind: str = "number", **bounds) -> Any:
    """A factor that is a number: one, a list, or a mapping such as {log_uniform: [0.0001, 0.1]}.

    Args:
        about: as `says` takes it.
        default: the same.
        kind: number or integer, as JSON schema has them.
        bounds: of every value, as JSON schema has them: minimum, maximum, exclusiveMinimum, exclusiveMaximum.
    """
    kinds = [kind, "array", "object"] if default is not None else [kind, "array", "object", "null"]
    return says(about, default, extra={"type": kinds} | bounds)


def word(about: str, default: str, name: str) -> Any:
    """A factor that is one of WORDS[name]; arguments as of `number`."""
    return says(f"{about} Words: {', '.join(WORDS[name])}.", default, extra={"type": ["string", "array", "object"]})


@block
class Factors:
    """What may differ between the CNNs of a zoo. Each factor is one value for all CNNs, a grid ([1, 2] or
    {grid: [1, 2]}), or drawn for each CNN: {uniform: [low, high]}, {log_uniform: [low, high]} or {choice: [1, 2]}."""

    learning_rate: Any = number("The optimiser's learning rate.", 0.001, exclusiveMinimum=0, maximum=10)
    optimiser: Any = word("As in PyTorch.", "adam", "optimiser")
    momentum: Any = number("Of sgd.", 0.9, minimum=0, exclusiveMaximum=1)
    weight_decay: Any = number("As the optimiser has it: an L2 penalty, but decoupled with adamw.", 0, minimum=0)
    dropout: Any = number("Share of values that each dropout layer drops.", 0, minimum=0, maximum=0.9)
    initialisation: Any = word(
        "Of the weights; biases begin at 0, but with default, PyTorch's own.", "default", "initialisation"
    )
    activation: Any = word("What the layers called activation compute.", "relu", "activation")
    data_share: Any = number(
        "Share of the training images that a CNN may see, drawn for each CNN.", 1, exclusiveMinimum=0, maximum=1
    )
    label_noise: Any = number(
        "Share of a CNN's training images that have the label of another class.", 0, minimum=0, exclusiveMaximum=1
    )
    batch_size: Any = number(
        "Images per step; the last batch of an epoch may be shorter.", 32, "integer", minimum=1, maximum=65536
    )
    epochs: Any = number("Epochs per CNN.", 10, "integer", minimum=1, maximum=100_000)
    schedule: Any = word("Learning rate over the steps; cosine and linear end at zero.", "constant", "schedule")
    seed: Any = number(
        "CNNs of the same seed begin with the same weights and see the same images in the same order; null gives each "
        "CNN its own, its index.",
        None,
        "integer",
        minimum=0,
    )


@block
class Factory:
    """A population of CNNs of two or more classes (snakemake factory)."""

    zoo: Text = says(
        "An existing population under zoo_root instead of CNNs to train: a folder of trials in the AIML lab's layout "
        "(ModelZoos, SANE, WeightCLIP), the Small CNN Zoo's folder, or one of .safetensors, .pt or .pth files "
        "(docs/factory.md).",
        None,
    )
    source: Source = says("Where the images come from.", "folder")
    dataset: Text = says(
        "Of source torchvision: cifar10 or oxford_iiit_pet, which are downloaded, or a data set that lies under "
        "images_root as torchvision leaves it (MNIST, FashionMNIST, KMNIST, USPS, SVHN, STL10, CIFAR10, CIFAR100, "
        "GTSRB, Flowers102, Food101, DTD).",
        None,
    )
    classes: dict[str, Selectors] = says(
        "Name of a class: its folders under images_root or, for synthetic and torchvision, its words, such as "
        "{cat: [cat], other: [dog, rabbit]}. Of a data set all its classes by default.",
        {},
        extra=NAME,
    )
    images: Count = says("Synthetic images per class (source synthetic).", 300, ge=20, le=1_000_000)
    test_share: Held = says("Share of each class held out as test images, but where a data set has its own.", 0.1)
    held_out: Count = says(
        "At most so many images per class to validate on, a share of images.validation_share, and as many to test on.",
        100,
    )
    architecture: Literal[tuple(NETWORKS)] = says(
        "The CNN. cnn_s: that of the Model Zoos (2,464 parameters for one channel); small_cnn_zoo: that of the Small "
        "CNN Zoo (4,970 for one channel); the others as for zoo.architecture.",
        "cnn_s",
    )
    layers: list[Text] = says(
        "The CNN's layers instead of a named architecture, such as [conv 8 3 padding=1, activation, max 2, dropout, "
        "linear]; the last one is linear, without a number (docs/factory.md).",
        None,
        min_length=1,
    )
    channels: Annotated[int, Field(ge=1, le=3)] | None = says(
        "Of the images: 1 (grey) or 3; null takes the architecture's own, for layers 3.", None
    )
    size: Annotated[int, Field(ge=8, le=64)] | None = says(
        "Rows and columns of the images; null takes the architecture's own, for layers 32.", None
    )
    models: Millions = says("CNNs in the zoo; more of them train only those that are missing.", 64)
    images_per_epoch: Annotated[int, Field(ge=1, le=1_000_000)] | None = says(
        "Training images each CNN draws per epoch; null draws each image that it may see once.", None
    )
    checkpoint_every: Whole = says("As zoo.checkpoint_every.", 0)
    pruned: list[Annotated[int, Field(ge=1, le=99)]] = says(
        "Percentages of weights to prune: each makes a zoo of pruned twins beside this one, such as NAME-pruned-50, "
        "the smallest weights of each CNN set to 0.",
        [],
        extra=ONCE,
    )
    pruned_epochs: Annotated[int, Field(ge=1, le=100_000)] = says(
        "Epochs that pruned twins are trained on for, with what was set to 0 kept so.", 2
    )
    factors: Factors = Factors()
