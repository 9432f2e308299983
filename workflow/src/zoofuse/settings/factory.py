"""Settings of factory zoos: populations of CNNs of k classes with varied hyper-parameters."""

from typing import Any

from zoofuse.models.network import ACTIVATIONS
from zoofuse.settings.fields import block, says

OPTIMISERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "linear")
INITIALISATIONS = ("default", "kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal", "orthogonal")


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


def word(about: str, default: str, choices: tuple[str, ...]) -> Any:
    """A factor that is one of some words; arguments as of `number`."""
    extra = {"type": ["string", "array", "object"], "words": [*choices]}
    return says(f"{about} Words: {', '.join(choices)}.", default, extra=extra)


@block
class Factors:
    """What may differ between the CNNs of a zoo. Each factor is one value for all CNNs, a grid ([1, 2] or
    {grid: [1, 2]}), or drawn for each CNN: {uniform: [low, high]}, {log_uniform: [low, high]} or {choice: [1, 2]}."""

    learning_rate: Any = number("The optimiser's learning rate.", 0.001, exclusiveMinimum=0, maximum=10)
    optimiser: Any = word("As in PyTorch.", "adam", OPTIMISERS)
    momentum: Any = number("Of sgd.", 0.9, minimum=0, exclusiveMaximum=1)
    weight_decay: Any = number("As the optimiser has it: an L2 penalty, but decoupled with adamw.", 0, minimum=0)
    dropout: Any = number("Share of values that each dropout layer drops.", 0, minimum=0, maximum=0.9)
    initialisation: Any = word(
        "Of the weights; biases begin at 0, but with default, PyTorch's own.", "default", INITIALISATIONS
    )
    activation: Any = word("What the layers called activation compute.", "relu", ACTIVATIONS)
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
    schedule: Any = word("Learning rate over the steps; cosine and linear end at zero.", "constant", SCHEDULES)
    seed: Any = number(
        "CNNs of the same seed begin with the same weights and see the same images in the same order; null gives each "
        "CNN its own, its index.",
        None,
        "integer",
        minimum=0,
    )
