"""A look at the folders before any job starts: there, not empty, no test photograph among the training ones."""

import functools
from pathlib import Path

from zoofuse import files, images, imports
from zoofuse.config import ConfigError, missing_root, sides


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
    """Fill in how many CNNs existing zoos hold; raises ValueError for one that is not there, empty or too small."""
    for name, concept in config["concepts"].items():
        if "zoo" in concept:
            held = imports.count(Path(config["zoo_root"]) / concept["zoo"])
            if (wanted := concept["models"]) is not None and wanted > held:
                raise ValueError(
                    f"concepts.{name}.models: {wanted}, but its zoo holds {held} CNNs; write {held} or less."
                )
            concept["models"] = wanted or held


def check_roots(config: dict) -> None:
    """Raises ConfigError for a folder that is not there because of how it is written; other checks name the rest."""
    read = {"zoo_root": any("zoo" in concept for concept in config["concepts"].values()), "predict": True}
    read["images_root"] = "folder" in [place["source"] for place in _places(config).values()]
    faults = [missing_root(root, config[root]) for root in sorted(read) if read[root] and root in config]
    faults += [missing_root(f"replicates.{i}", folder) for i, folder in enumerate(config["replicates"])]
    if any(faults):
        raise ConfigError("\n".join(filter(None, faults)))


def _places(config: dict) -> dict[str, dict]:
    """Where in the configuration -> concept or test."""
    places = {f"concepts.{name}": concept for name, concept in config["concepts"].items()}
    return places | {f"fusions.{name}.test": fusion["test"] for name, fusion in config["fusions"].items()}


def check_folders(config: dict) -> None:
    """Raises images.ImageError, naming all faults, for a missing, empty or overlapping folder and for test photographs
    that are copies of training photographs (unless images.leaks is drop)."""
    faults, listed = [], {}
    for where, place in _places(config).items():
        listed[where] = []
        least = images.LEAST_TEST if where.startswith("fusions.") else images.LEAST
        for side in ("positive", "negative") if place["source"] == "folder" and "zoo" not in place else ():
            try:
                there = _listed(config["images_root"], tuple(place[side]), f"{where}.{side}")
            except images.ImageError as error:
                faults.append(str(error))
                continue
            listed[where] += there
            if len(there) < least:
                faults.append(images.too_few(f"{where}.{side}", len(there), least))
    if not faults and config["images"]["leaks"] == "refuse":
        for name, fusion in config["fusions"].items():
            training = [path for side in sides(fusion) for path in listed[f"concepts.{fusion[side]}"]]
            where = f"fusions.{name}.test"
            if pairs := images.find_leaks(training, listed[where]):
                faults.append(str(images.leak_error(where, pairs)))
    if faults:
        raise images.ImageError("\n".join(dict.fromkeys(faults)))
