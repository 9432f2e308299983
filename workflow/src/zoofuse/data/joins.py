"""The probability of an expression from those of its concepts. Imports no torch."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zoofuse.core import files

COMBINE = ("product", "minimum", "lukasiewicz")
Clauses = tuple[tuple[tuple[int, bool], ...], ...]  # places of concepts, and whether an image must show them


@dataclass(frozen=True)
class Join:
    """A conjunction of clauses over k concepts: joins their probabilities as `np.prod` does those of a plain one.

    product takes the concepts to be independent: inclusion and exclusion, exactly. minimum (Goedel) and lukasiewicz
    are fuzzy: `and` is the minimum or max(0, a + b - 1), `or` the maximum or min(1, a + b), `not` is 1 - a.
    """

    k: int
    clauses: Clauses
    combine: str = COMBINE[0]

    @classmethod
    def read(cls, written: Mapping) -> "Join":
        """As `written` says, from JSON."""
        clauses = tuple(tuple((abs(number) - 1, number > 0) for number in of) for of in written["clauses"])
        return cls(written["concepts"], clauses, written["combine"])

    def written(self) -> dict:
        """For JSON: clauses as in DIMACS files, 2 for the second concept and -2 for not the second one."""
        clauses = [[at + 1 if positive else -at - 1 for at, positive in clause] for clause in self.clauses]
        return {"concepts": self.k, "clauses": clauses, "combine": self.combine}

    def by(self, combine: str) -> "Join":
        """The same expression by another rule."""
        return replace(self, combine=combine)

    @property
    def rows(self) -> np.ndarray:
        """bool (r, k): which concepts an image may show so that the expression is true."""
        every = np.array(list(itertools.product((True, False), repeat=self.k)))
        return every[[all(any(row[at] == positive for at, positive in of) for of in self.clauses) for row in every]]

    def __call__(self, evidence: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
        """Probabilities of the concepts, k along `axis`, joined over it."""
        p = np.moveaxis(np.asarray(evidence), axis, 0)
        if self.combine == "product":
            shape = (-1, *[1] * (p.ndim - 1))
            return sum(np.prod(np.where(row.reshape(shape), p, 1 - p), axis=0) for row in self.rows)
        parts = [np.stack([p[at] if positive else 1 - p[at] for at, positive in of]) for of in self.clauses]
        if self.combine == "minimum":
            return np.min([part.max(0) for part in parts], axis=0)
        return np.maximum(0, np.sum([np.minimum(1, part.sum(0)) for part in parts], axis=0) - len(parts) + 1)


def of_test(path: Path) -> Callable[..., np.ndarray]:
    """What joins the probabilities of a fusion's concepts, from its test set."""
    return of_source(files.attributes(path, "test_images").get("source", {}))


def text(concepts: Sequence[str], join: Callable[..., np.ndarray]) -> str:
    """What is shown by an image of all concepts, or of the expression over them."""
    if not isinstance(join, Join):
        return " and ".join(concepts)
    parts = [" or ".join(f"{'' if positive else 'not '}{concepts[at]}" for at, positive in of) for of in join.clauses]
    return " and ".join(f"({part})" if " or " in part and len(parts) > 1 else part for part in parts)


def of_source(source: Mapping) -> Callable[..., np.ndarray]:
    """What joins the concepts' probabilities, from the source of test images, or from config.json."""
    return Join.read(source["join"]) if "join" in source else np.prod
