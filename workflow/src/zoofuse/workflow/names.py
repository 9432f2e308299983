"""Names and shards: wildcard constraints, and look-ups whose errors say what there is."""

import functools
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"  # as the schema's $defs.name


class Refused(ValueError):
    """An error that ends the call even where the job's output exists.

    Snakemake passes over an input function's other exceptions when the output is there.
    """


def only(names: Iterable[str]) -> str:
    """A wildcard constraint that these names alone fulfil."""
    return "|".join(names) or r"(?!)"


def all_but(names: Iterable[str], then: str = "/") -> str:
    """A wildcard constraint that every name fulfils but these.

    Unknown names fulfil it, so that the rule's functions can refuse them with a clear message.

    Args:
        names: what the wildcard may not be.
        then: the character that follows the wildcard in the path.
    """
    return rf"(?!(?:{only(names)}){re.escape(then)}){NAME}"


TRAINED, EVALUATED = 128, 64  # CNNs of a shard, where a configuration leaves it open
ON_GPU = 8192  # the same of those that a GPU trains, hundreds at a time
_MOST_SHARDS, _LARGEST = 64, 64  # of a zoo; and how many times as many CNNs a shard has at most, for the time of a job


def trained_shard(zoo: Mapping, models: int) -> int:
    """CNNs of each shard of a concept's zoo; `zoo` are its settings."""
    if zoo["device"] == "cuda" and zoo["shard_size"] is None:
        return ON_GPU
    return shard_size(models, zoo["shard_size"], TRAINED)


def shard_size(total: int, asked: int | None, least: int) -> int:
    """CNNs of each shard of a zoo: as many as asked for, or `least`, doubled until there are few enough shards."""
    if asked is not None:
        return asked
    size = least
    while size * _MOST_SHARDS < total and size < least * _LARGEST:
        size *= 2
    return size


@functools.cache  # every shard's job asks for its own
def shard_ranges(total: int, size: int) -> Mapping[str, tuple[int, int]]:
    """Shard name -> (start, stop); a larger total only adds shards or lengthens the last one."""
    ranges = {f"{start // size:04d}": (start, min(start + size, total)) for start in range(0, total, size)}
    return MappingProxyType(ranges)


def known(named: Mapping, name: str, what: str):
    """The item of this name.

    Raises:
        ValueError: says which names there are.
    """
    if name not in named:
        raise ValueError(f"There is no {what} {name!r} in the configuration; it has {', '.join(named) or 'none'}.")
    return named[name]
