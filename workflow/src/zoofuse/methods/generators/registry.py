"""What the leaderboard knows of every method that samples networks of a zoo, each fact in one place.

    @generator("gaussian", label="Gaussian per tensor", about="...")
    def gaussian(given: Given) -> np.ndarray:
        ...  # (given.count, parameters)

The Snakefile imports these modules, so they import torch inside functions.
"""

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoofuse.core import rng
from zoofuse.models.network import Network

NOISE = "noise"
"""The control whose rows, one for each size, are the curve that methods are compared with."""


@dataclass(frozen=True)
class Given:
    """What a method samples networks from.

    Args:
        network: the architecture of all networks.
        weights: float32 (n, parameters), the training networks', flat in the order of `network.shapes`.
        accuracy: (n,) of the training networks on the images to select by.
        images: uint8 (m, size, size, channels), training images; `labels` (m,) their classes.
        labels: see images.
        held_out: float32 (h, parameters), networks of the zoo that no method but a control is given.
        count: networks to sample.
        steps: training steps of methods that are trained.
        stream: names the random numbers: seed, zoo, method and replicate.
        tasks: 2 where the first half of weights is of one task and the second half of another, as many of each, and
            networks of equal place are merged. A network has the outputs of both tasks, its own twice as large and the
            other's 0, so that the mean of two has the heads of both.
    """

    network: Network
    weights: np.ndarray
    accuracy: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray
    count: int
    steps: int
    stream: tuple
    tasks: int = 1

    def normal(self, *shape: int, name: str = "normal") -> np.ndarray:
        """Standard normal numbers of this shape; `name` tells several draws apart."""
        return rng.normal(shape, self.stream[0], "leaderboard", *self.stream[1:], name)

    def uniform(self, *shape: int, name: str = "uniform") -> np.ndarray:
        """Numbers in [0, 1), of this shape."""
        return rng.uniform(shape, self.stream[0], "leaderboard", *self.stream[1:], name)

    def drawn(self, most: int, *shape: int, name: str = "drawn") -> np.ndarray:
        """Whole numbers below `most`, of this shape."""
        draws = self.uniform(*shape, name=name)
        return np.minimum((draws * most).astype(np.int64), most - 1)

    def small(self) -> int:
        """A seed for PyTorch."""
        return rng.small(self.stream[0], "leaderboard", *self.stream[1:])


@dataclass(frozen=True)
class Generator:
    """A method that samples networks.

    Args:
        name: in the configuration and in tables.
        label: in the report.
        about: a sentence for the documentation.
        make: from what is given to float32 weights (count, parameters).
        given: what it is made from.
        cites: the source, where there is one.
        control: whether it is there to be compared with and does not count as a method.
        trained: whether it has a job of its own, as it takes a while.
    """

    name: str
    label: str
    about: str
    make: Callable[[Given], np.ndarray]
    given: str = "weights"
    cites: str = ""
    control: bool = False
    trained: bool = False


_GENERATORS: dict[str, Generator] = {}


def generator(name: str, **facts) -> Callable:
    """Register the decorated function as a method; facts: the fields of Generator.

    Raises:
        ValueError: the name is taken.
    """

    def register(make: Callable[[Given], np.ndarray]) -> Callable[[Given], np.ndarray]:
        if name in _GENERATORS:
            raise ValueError(f"generator {name}: registered twice.")
        _GENERATORS[name] = Generator(name=name, make=make, **facts)
        return make

    return register


@functools.cache
def known() -> Mapping[str, Generator]:
    """Every method by name, controls first, then by module."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path != Path(__file__) and f"from {__name__} import" in path.read_text(encoding="utf-8"):
            importlib.import_module(f"{__package__}.{path.stem}")
    order = sorted(_GENERATORS.values(), key=lambda entry: (not entry.control, entry.make.__module__))
    return {entry.name: entry for entry in order}
