"""What rules call to write the images of a concept or of a test."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zoofuse.data import images


def prepare_images(
    inputs: Mapping,
    source: Mapping,
    concept: str,
    images_root: str,
    seed: int,
    output: Path,
    threads: int,
    say: Callable[[str], None] = print,
) -> None:
    """Write one concept's images as one HDF5; inputs: the archive, where they come from one."""
    places = {"root": images_root, "archive": inputs.get("archive")}
    say(images.summary(images.prepare_concept(output, source, name=concept, seed=seed, threads=threads, **places)))


def prepare_test_images(
    inputs: Mapping,
    concepts: Sequence[Path],
    source: Mapping,
    fusion: str,
    images_root: str,
    seed: int,
    output: Path,
    threads: int,
    say: Callable[[str], None] = print,
) -> None:
    """Write one fusion's test images as one HDF5, none of them a training image."""
    how = {"root": images_root, "archive": inputs.get("archive"), "seed": seed, "threads": threads}
    say(images.summary(images.prepare_test(output, source, concepts, name=fusion, **how)))
