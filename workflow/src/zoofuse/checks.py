"""A look at the folders before any job starts: there, not empty, no test photograph among the training ones."""

import functools
import sys
from pathlib import Path

from zoofuse import files, folders, images, imports
from zoofuse.config import sides
from zoofuse.text import printable


@functools.cache
def _listed(root: str, named: tuple[str, ...], where: str) -> folders.Listing:
    found = folders.listing(root, named, where)
    if found.unreachable and where != "folders":
        lines = [f"  {printable(path)}: {cause}" for path, cause in found.unreachable[:10]]
        more = len(found.unreachable) - len(lines)
        lines += [f"  and {more} more"] if more else []
        total = (
            f"{where}: {len(found.unreachable)} of {len(found.images) + len(found.unreachable)} images can't be read"
        )
        print("\n".join([f"{total}:", *lines]), file=sys.stderr)
    return found


def folders_digest(root: str, named: list[str]) -> str:
    """Digest of the names and sizes of all images in the folders, so that an added photograph is noticed.

    Modification times are left out: a copied folder is the same folder. What can't be read counts with its cause.
    """
    base, found = folders.spelled(root), []
    for folder in sorted(named):
        listing = _listed(root, (folder,), "folders")
        found += [(path.relative_to(base).as_posix(), images.file_size(path)) for path in listing.images]
        found += [(path.relative_to(base).as_posix(), cause) for path, cause in listing.unreachable]
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
                listed[where] += _listed(config["images_root"], tuple(place[side]), f"{where}.{side}").images
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
