"""A look at the folders before any job starts: there, not empty, no test photograph among the training ones."""

import functools
from pathlib import Path

from zoofuse import files, foreign, images, imports
from zoofuse.config import sides

LARGEST = 1_000_000  # CNNs of a concept, equal to the schema's


@functools.cache
def _listed(root: str, folders: tuple[str, ...], where: str) -> tuple[Path, ...]:
    return tuple(images.list_folder(root, folders, where))


def folders_digest(root: str, folders: list[str]) -> str:
    """Digest of the names and sizes of all images in the folders, so that an added photograph is noticed.

    Modification times are left out: a copied folder is the same folder.
    """
    found = [
        (path.relative_to(root).as_posix(), path.stat().st_size)
        for folder in sorted(folders)
        for path in _listed(root, (folder,), "folders")
    ]
    return files.digest(found)


def count_zoos(config: dict) -> None:
    """Fill in how many CNNs existing zoos hold.

    Args:
        config: As `config.complete` returns it.

    Raises:
        ValueError: A zoo is not there, empty, too small, or larger than the configuration allows.
    """
    zoos = {name: concept for name, concept in config["concepts"].items() if "zoo" in concept}
    with foreign.reader():  # one child process for all of them
        for name, concept in zoos.items():
            held = imports.count(Path(config["zoo_root"]) / concept["zoo"])
            if (wanted := concept["models"]) is not None and wanted > held:
                raise ValueError(
                    f"concepts.{name}.models: {wanted}, but its zoo holds {held} CNNs; write {held} or less."
                )
            if wanted is None and held > LARGEST:
                raise ValueError(
                    f"concepts.{name}.models: its zoo holds {held:,} CNNs; write how many are to be read, at most "
                    f"{LARGEST}."
                )
            concept["models"] = wanted or held


def check_folders(config: dict) -> None:
    """Raises images.ImageError, naming all faults, for a missing, empty or overlapping folder and for test photographs
    that are copies of training photographs (unless images.leaks is drop)."""
    places = {f"concepts.{name}": concept for name, concept in config["concepts"].items()}
    places |= {f"fusions.{name}.test": fusion["test"] for name, fusion in config["fusions"].items()}
    faults, listed = [], {}
    for where, place in places.items():
        listed[where] = []
        for side in ("positive", "negative") if place["source"] == "folder" and "zoo" not in place else ():
            try:
                listed[where] += _listed(config["images_root"], tuple(place[side]), f"{where}.{side}")
            except images.ImageError as error:
                faults.append(str(error))
    if not faults and config["images"]["leaks"] == "refuse":
        for name, fusion in config["fusions"].items():
            training = [path for side in sides(fusion) for path in listed[f"concepts.{fusion[side]}"]]
            where = f"fusions.{name}.test"
            if pairs := images.find_leaks(training, listed[where]):
                faults.append(str(images.leak_error(where, pairs)))
    if faults:
        raise images.ImageError("\n".join(dict.fromkeys(faults)))
