"""The images of a concept or a test, with unreadable files listed instead of refused."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from zoofuse.data import images


class Place(NamedTuple):
    """The images of a concept or of a fusion's test as they were read, copies included."""

    where: str  # concepts.cat or fusions.black_cat.test
    images: np.ndarray  # uint8 (n, 32, 32, 3)
    positive: np.ndarray  # bool (n,)
    names: list[str]
    unreadable: list[tuple[str, str]]  # name and cause
    others: list[str]  # files that are no images
    headers: np.ndarray | None  # (n, 4) width, height, bytes, mean JPEG quantiser (0: not a JPEG); None for no files
    aside: Sequence[str] = ()  # hidden files and folders, and those of other software
    profiles: Sequence[str] = ()  # names of images whose colour profile was ignored

    @property
    def name(self) -> str:
        return self.where.split(".")[1]

    @property
    def is_test(self) -> bool:
        return self.where.endswith(".test")


def gather(where: str, source: Mapping, root: str, archive: str | None, seed: int, threads: int) -> Place:
    """Read the images of `source` (as for images.prepare_concept); unreadable ones are listed."""
    part = "test" if where.endswith(".test") else "train"
    source = {**source, "unreadable": "skip"}
    sides = [
        images.gathered(f"{where}.{side}", part, source, source[side], seed, root, archive, threads)
        for side in ("positive", "negative")
    ]
    names, read = [name for one in sides for name in one.names], [file for one in sides for file in one.files]
    return Place(
        where,
        np.concatenate([one.images for one in sides]),
        np.repeat([True, False], [len(one.names) for one in sides]),
        names,
        [pair for one in sides for pair in one.unreadable],
        [name for one in sides for name in one.others],
        np.array([one[1:5] for one in read]).reshape(-1, 4) if source["source"] == "folder" else None,
        [name for one in sides for name in one.aside],
        [name for name, one in zip(names, read, strict=False) if one.profile == "ignored"],
    )
