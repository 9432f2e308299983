"""A concept's zoo, as its files hold it. Reading one needs no torch.

The zoo file (kind "zoo") is the one kind of file for every collection of CNNs, trained, generated or imported:
conv1.weight (n, 6, 3, 5, 5), conv1.bias (n, 6), conv2.weight (n, 16, 6, 5, 5), conv2.bias (n, 16), fc1.weight
(n, 2, 400), fc1.bias (n, 2), model (n,) the CNNs' global indices. Trained ones add history/... (n, epochs) and, where
asked for, checkpoints/... (n, checkpoints, ...); generated ones add domain (n,) and may lack the linear layer.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from zoofuse.core import files
from zoofuse.native import build

AT_ONCE = 512  # CNNs in memory where a whole zoo is read: 8 MB of the published ones; a multiple of 16


def count_degenerate(zoo: dict[str, np.ndarray]) -> int:
    """CNNs whose final prediction is the same class for every validation image, or no number any more."""
    share = zoo["history/validation_positive_share"][:, -1]
    return int(np.sum(~((share > 0) & (share < 1))))


def tell_mixed(paths: Sequence[Path], name: str, say: Callable[[str], None]) -> None:
    """Say so where a zoo's files were trained in ways that do not give the same bits.

    Args:
        paths: the zoo's files; imported and generated ones say nothing of how they were trained.
        name: the zoo's, for the message.
        say: called with one line, or not at all.
    """
    if len(ways := set().union(*(_ways(files.attributes(path, "zoo")) for path in paths))) > 1:
        say(
            f"{name}: its CNNs were trained in ways that differ by rounding ({', '.join(sorted(ways))}), which "
            "training amplifies. Each CNN is sound, but trained again in another way it has other weights. To "
            "compare bits, train the whole zoo on one kind of machine."
        )


def _ways(attributes: dict) -> set[str]:
    """How a zoo file's CNNs were trained, those with the same bits by the same name."""
    if "backend" not in attributes:
        return set()
    backends, devices, sets = (
        str(attributes.get(name, "unknown instruction set")).split(", ")
        for name in ("backend", "device", "instruction_set")
    )
    ways = {f"cpp on {build.arithmetic(kind)}" for kind in sets} if "cpp" in backends else set()
    for backend in set(backends) - {"cpp"}:
        ways |= {f"{backend} on {device} {kind}" for device in devices for kind in sets}
    return ways


def read(paths: list[Path], names: list[str] | None = None) -> dict[str, np.ndarray]:
    """The CNNs of several zoo files, one after another."""
    zoos = [files.read(path, "zoo", names) for path in paths]
    return {name: np.concatenate([zoo[name] for zoo in zoos]) for name in zoos[0]}


def validation(cnns: dict[str, np.ndarray]) -> np.ndarray:
    """(n,) balanced accuracy on a CNN's own validation images at the end; 0 where it is not known."""
    history = cnns.get("history/validation_balanced_accuracy")
    return np.zeros(len(next(iter(cnns.values())))) if history is None else np.nan_to_num(history[:, -1], nan=0.0)


def sizes(paths: Sequence[Path]) -> list[int]:
    """CNNs in each of several zoo files."""
    return [files.shapes(path, "zoo")["model"][0] for path in paths]


def names(path: Path) -> dict[str, np.ndarray]:
    """domain (n,) and model (n,) of the CNNs of a generated zoo file, which distinguish them."""
    return files.read(path, "zoo", ["domain", "model"], range(*sizes([path])))


def part(path: Path, limit: int | None, start: int = 0, stop: int | None = None) -> dict[str, np.ndarray]:
    """Read the CNNs [start, stop) of those of a zoo file that are evaluated, and no others.

    Args:
        path: the zoo file.
        limit: the first so many of each domain are evaluated, domain after domain; None for all.
        start: among these.
        stop: among these; None for all that are left.

    Raises:
        FileError: the file, or what is read of it, is damaged.
    """
    chosen = np.concatenate([rows[:limit] for rows in domains(names(path))])
    return files.read(path, "zoo", rows=chosen[start:stop])


def domains(cnns: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The rows of each domain's CNNs, of arrays as `names` returns them."""
    return [np.flatnonzero(cnns["domain"] == domain) for domain in dict.fromkeys(cnns["domain"].tolist())]


def pick(
    paths: Sequence[Path], sizes: Sequence[int], names: Sequence[str] | None, rows: np.ndarray | range
) -> dict[str, np.ndarray]:
    """The CNNs at these places (n,) of several zoo files taken one after another; no other is read.

    Args:
        paths: the files.
        sizes: CNNs in each, as `sizes` returns them.
        names: arrays to read, None for all.
        rows: in the order in which the CNNs are returned.
    """
    rows, parts, places, start = np.asarray(rows, np.int64), [], [], 0
    for path, size in zip(paths, sizes, strict=True):
        here = np.flatnonzero((rows >= start) & (rows < start + size))
        if len(here):
            parts.append(files.read(path, "zoo", names, rows[here] - start))
            places.append(here)
        start += size
    order = np.argsort(np.concatenate(places))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def in_blocks(n: int, at_once: int | None = None) -> Iterator[range]:
    """The rows of n CNNs, AT_ONCE or so many at a time."""
    at_once = at_once or AT_ONCE
    return (range(start, min(start + at_once, n)) for start in range(0, n, at_once))


def blocks(paths: Sequence[Path], names: Sequence[str] | None = None) -> Iterator[dict[str, np.ndarray]]:
    """The CNNs of several zoo files taken one after another, some at a time; names: arrays to read, default all."""
    of_files = sizes(paths)
    return (pick(paths, of_files, names, rows) for rows in in_blocks(sum(of_files)))


class Stored:
    """The CNNs of several zoo files taken one after another, of which only those are read that are asked for.

    Attributes:
        shapes: name -> shape of one CNN's array.
    """

    def __init__(self, paths: Sequence[Path]):
        self._paths, self._sizes = list(paths), sizes(paths)
        self.shapes = {name: shape[1:] for name, shape in files.shapes(paths[0], "zoo").items()}

    def __len__(self) -> int:
        return sum(self._sizes)

    def pick(self, names: Sequence[str], rows: np.ndarray | range) -> dict[str, np.ndarray]:
        """Arrays of the CNNs in these rows; raises FileError where what is read of a file is damaged."""
        return pick(self._paths, self._sizes, names, rows)


class Held:
    """CNNs in memory, name -> (n, ...), as `Stored` has those of files."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self._arrays = arrays
        self.shapes = {name: values.shape[1:] for name, values in arrays.items()}

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    def pick(self, names: Sequence[str], rows: np.ndarray | range) -> dict[str, np.ndarray]:
        """Arrays of the CNNs in these rows."""
        return {name: self._arrays[name][np.asarray(rows, np.int64)] for name in names}


CNNs = Mapping[str, np.ndarray] | Stored


def stored(cnns: CNNs) -> Stored | Held:
    """CNNs in memory or in files, to be read in the same way."""
    return cnns if isinstance(cnns, Stored) else Held(cnns)
