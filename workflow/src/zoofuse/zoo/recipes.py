"""What each CNN of a factory zoo is trained by: its factors, fixed, on a grid or drawn. Imports no torch.

A recipe is a function of the run's seed, the zoo's name, the CNN's index and the zoo's factors.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from zoofuse import settings
from zoofuse.core import rng
from zoofuse.models.network import NETWORKS, Network
from zoofuse.settings.factory import WORDS, Factors

DRAWN = ("uniform", "log_uniform", "choice")  # ways to draw a factor for each CNN; grid goes through all values
_DEFAULTS = Factors()


@dataclass(frozen=True)
class Recipe:
    """What one CNN is trained by; `zoofuse.settings.factory.Factors` says what each factor means."""

    learning_rate: float = _DEFAULTS.learning_rate
    optimiser: str = _DEFAULTS.optimiser
    momentum: float = _DEFAULTS.momentum
    weight_decay: float = float(_DEFAULTS.weight_decay)
    dropout: float = float(_DEFAULTS.dropout)
    initialisation: str = _DEFAULTS.initialisation
    activation: str = _DEFAULTS.activation
    data_share: float = float(_DEFAULTS.data_share)
    label_noise: float = float(_DEFAULTS.label_noise)
    batch_size: int = _DEFAULTS.batch_size
    epochs: int = _DEFAULTS.epochs
    schedule: str = _DEFAULTS.schedule
    seed: int = 0

    def batches(self, per_epoch: int) -> list[slice]:
        """Where each batch lies in an epoch of so many images."""
        starts = range(0, per_epoch, self.batch_size)
        return [slice(start, min(start + self.batch_size, per_epoch)) for start in starts]

    def learning_rates(self, per_epoch: int) -> np.ndarray:
        """(steps,) float64, for epochs of so many images."""
        steps = self.epochs * len(self.batches(per_epoch))
        done = np.arange(steps) / steps
        shape = {"constant": 1 + 0 * done, "cosine": (1 + np.cos(np.pi * done)) / 2, "linear": 1 - done}
        return self.learning_rate * shape[self.schedule]


NAMES = tuple(field.name for field in fields(Recipe))
"""Every factor, in the order in which grids go through them (the first one fastest) and tables have their columns."""


def recipe(factors: Mapping[str, Any], seed: int, zoo: str, model: int) -> Recipe:
    """The recipe of one CNN.

    Args:
        factors: name -> value, {"grid": values} or {one of DRAWN: values}, as `checked` returns them; those that are
            missing have their defaults.
        seed: the run's seed.
        zoo: the zoo's name.
        model: the CNN's index. Grids are a product over it: after the last combination the first one comes again.

    Returns:
        The recipe. Numbers drawn from a range have six digits, so that tables hold them whole.
    """
    values, place = {}, int(model)
    for name in NAMES:
        factor = factors.get(name, getattr(_DEFAULTS, name))
        if isinstance(factor, Mapping):
            (how, of), *_ = factor.items()
            if how == "grid":
                place, at = divmod(place, len(of))
                factor = of[at]
            else:
                factor = _drawn(how, of, int(rng.bits(1, seed, "factor", zoo, int(model), name)[0] >> 11) * 2.0**-53)
                factor = round(factor) if _kind(name) == "integer" else factor
        values[name] = int(model) if factor is None else float(factor) if _kind(name) == "number" else factor
    return Recipe(**values)


def network(named: Mapping[str, Any], classes: int) -> Network:
    """The CNN of a factory zoo, whose activation is still each recipe's.

    Args:
        named: the settings layers (or None or missing), architecture, channels and size.
        classes: number of its outputs.

    Raises:
        ValueError: a layer can't be read or doesn't fit; worded for users, without the zoo's name.
    """
    own = NETWORKS[named["architecture"]]
    layers, channels, size = (named["layers"], 3, 32) if named.get("layers") else (own.layers, own.channels, own.size)
    return Network(tuple(layers), named["channels"] or channels, named["size"] or size, classes)


def combinations(factors: Mapping[str, Any]) -> int:
    """After how many CNNs the grids begin again; 1 without a grid. Arguments as of `recipe`."""
    grids = (factor["grid"] for factor in factors.values() if isinstance(factor, Mapping) and "grid" in factor)
    return math.prod(len(values) for values in grids)


def values(factor: Any) -> list:
    """All values of a factor, or the ends of the range that it is drawn from."""
    return [*next(iter(factor.values()))] if isinstance(factor, Mapping) else [factor]


def varied(factors: Mapping[str, Any]) -> list[str]:
    """The factors that differ between CNNs, a seed of each CNN's own among them."""
    return [
        name
        for name in NAMES
        if (name == "seed" and factors.get(name) is None) or len({*map(str, values(factors.get(name)))}) > 1
    ]


def checked(name: str, factor: Any) -> Any:
    """A factor as `recipe` takes it: lists are grids, and numbers written as text are numbers.

    Args:
        name: of the factor.
        factor: what the configuration says.

    Raises:
        ValueError: it can't be used; worded for users, without the setting's name.
    """
    if isinstance(factor, list):
        factor = {"grid": factor}
    if not isinstance(factor, Mapping):
        return _value(name, factor)
    how, *others = factor
    kind = _kind(name)
    ways = ["grid", "choice"] if kind == "string" else ["grid", *DRAWN]
    if others or how not in ways:
        raise ValueError(f"write one of {', '.join(ways)}, such as {{{ways[-1]}: {_example(name, ways[-1])}}}.")
    if not isinstance(factor[how], list) or not factor[how]:
        raise ValueError(f"{how}: write a list, such as {_example(name, how)}.")
    given = [_value(name, value) for value in factor[how]]
    if how in ("uniform", "log_uniform"):
        if len(given) != 2 or not given[0] < given[1]:
            raise ValueError(f"{how}: write the lowest and the highest value, such as {_example(name, how)}.")
        if how == "log_uniform" and given[0] <= 0:
            raise ValueError("log_uniform: the lowest value must be more than 0; a logarithm has no zero.")
    if how == "grid" and len({*map(str, given)}) < len(given):
        raise ValueError("grid: names a value twice; write it once.")
    return {how: given}


def _drawn(how: str, of: list, share: float) -> Any:
    if how == "choice":
        return of[int(share * len(of))]
    low, high = of
    drawn = low + share * (high - low) if how == "uniform" else low * (high / low) ** share
    return min(max(float(f"{drawn:.6g}"), low), high)


def _schema(name: str) -> dict:
    return settings.schema(Factors)["properties"][name]


def _kind(name: str) -> str:
    """number, integer or string."""
    return _schema(name)["type"][0]


def _example(name: str, how: str) -> str:
    if name in WORDS:
        return f"[{', '.join(WORDS[name][:2])}]"
    return "[1, 4]" if _kind(name) == "integer" else "[0.1, 0.5]"


def _value(name: str, value: Any) -> Any:
    """One value, checked by its schema."""
    schema, kind = _schema(name), _kind(name)
    if kind == "string":
        if value not in WORDS[name]:
            raise ValueError(f"{value!r} is unknown; write one of {', '.join(WORDS[name])}.")
        return value
    if value is None and "null" in schema["type"]:
        return value
    if isinstance(value, str):
        try:
            value = float(value)  # YAML reads 1e-3 as text
        except ValueError:
            raise ValueError(f"{value!r} is not a number.") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number.")
    if kind == "integer":
        if value != int(value):
            raise ValueError(f"{value} is not a whole number.")
        value = int(value)
    limits = {
        "minimum": ("at least", lambda limit: value >= limit),
        "exclusiveMinimum": ("more than", lambda limit: value > limit),
        "maximum": ("at most", lambda limit: value <= limit),
        "exclusiveMaximum": ("less than", lambda limit: value < limit),
    }
    if any(key in schema and not holds(schema[key]) for key, (_, holds) in limits.items()):
        words = " and ".join(f"{words} {schema[key]}" for key, (words, _) in limits.items() if key in schema)
        raise ValueError(f"{value} is out of range; write {words}.")
    return value
