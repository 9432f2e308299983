"""A look at the folders before any job starts: there, not empty, no test image among the training ones."""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

from zoofuse.config import missing_root
from zoofuse.core import files
from zoofuse.core.regular import file_size
from zoofuse.core.text import printable
from zoofuse.data import classes, folders, images
from zoofuse.data.decoding import ImageError
from zoofuse.importers import imports

LARGEST = 1_000_000  # CNNs of a concept, equal to the schema's


@functools.cache
def _listed(root: str, named: tuple[str, ...], where: str) -> folders.Listing:
    listing = folders.listing(root, named, where)
    if listing.unreachable and where != "folders":
        lines = [f"  {printable(path)}: {cause}" for path, cause in listing.unreachable[:10]]
        more = len(listing.unreachable) - len(lines)
        lines += [f"  and {more} more"] if more else []
        every = len(listing.images) + len(listing.unreachable)
        total = f"{where}: {len(listing.unreachable)} of {every} images can't be read"
        print("\n".join([f"{total}:", *lines]), file=sys.stderr)
    return listing


def folders_digest(root: str, named: list[str]) -> str:
    """Digest of the names and sizes of all images in the folders, so that an added image is noticed.

    Modification times are left out: a copied folder is the same folder. What can't be read counts with its cause.
    """
    base, contents = folders.spelled(root), []
    for folder in sorted(named):
        listing = _listed(root, (folder,), "folders")
        contents += [(path.relative_to(base).as_posix(), file_size(path)) for path in listing.images]
        contents += [(path.relative_to(base).as_posix(), cause) for path, cause in listing.unreachable]
    return files.digest(contents)


@dataclass(frozen=True)
class Fault:
    """Why the folders of one place in the configuration can't be used.

    gone: they can't be listed, so nothing is known to be wrong with what was made of them before.
    """

    words: str
    gone: bool


def folder_faults(config: dict) -> dict[str, Fault]:
    """What is wrong with the folders: missing, empty, too few images, overlapping, or test images that were trained on.

    Args:
        config: A complete configuration.

    Returns:
        Place in the configuration, such as "concepts.cat" or "fusions.black_cat.test" -> its fault. Test images that
        are copies of training images are a fault unless images.leaks is drop.
    """
    places = {f"concepts.{name}": concept for name, concept in config["concepts"].items()}
    places |= {f"fusions.{name}.test": fusion["test"] for name, fusion in config["fusions"].items()}
    faults, listed = {}, {where: [] for where in places}
    for where, place in places.items():
        least = images.LEAST_TEST if where.startswith("fusions.") else images.LEAST
        words, gone = [], False
        for side in ("positive", "negative") if place["source"] == "folder" and "zoo" not in place else ():
            try:
                there = _listed(config["images_root"], tuple(place[side]), f"{where}.{side}").images
            except ImageError as error:
                words.append(missing_root("images_root", config["images_root"]) or str(error))
                gone = True
                continue
            listed[where] += there
            if len(there) < least:
                words.append(images.too_few(f"{where}.{side}", len(there), least))
        if words:
            faults[where] = Fault("\n".join(dict.fromkeys(words)), gone)
    if not faults and config["images"]["leaks"] == "refuse":
        for name, fusion in config["fusions"].items():
            training = [path for concept in fusion["concepts"] for path in listed[f"concepts.{concept}"]]
            where = f"fusions.{name}.test"
            if pairs := images.find_leaks(training, listed[where]):
                faults[where] = Fault(str(images.leak_error(where, pairs)), gone=False)
    return faults


def class_fault(config: dict, name: str) -> Fault | None:
    """What is wrong with the folders of a factory zoo's classes: missing, empty, too few images, overlapping.

    Args:
        config: A complete configuration.
        name: Of a factory zoo whose images come from folders.
    """
    where, root, words, gone = f"factory.{name}.classes", config["images_root"], [], False
    named = config["factory"][name]["classes"]
    places = {f"{where}.{title}": tuple(of_class) for title, of_class in named.items()}
    places[where] = tuple(folder for of_class in named.values() for folder in of_class)
    for place, listed in places.items():
        if place == where and words:
            break  # what is wrong with one class is wrong with all
        try:
            there = _listed(root, listed, place).images
        except ImageError as error:
            words.append(missing_root("images_root", root) or str(error))
            gone = True
            continue
        if len(there) < classes.LEAST:
            words.append(images.too_few(place, len(there), classes.LEAST))
    return Fault("\n".join(dict.fromkeys(words)), gone) if words else None


def made_from(path: Path, place: dict) -> bool:
    """Whether a file of images was made from the folders that a place in the configuration names.

    Args:
        path: What `images.prepare_concept` or `images.prepare_test` wrote.
        place: A concept or a fusion's test.

    Returns:
        False also where the file can't be read.
    """
    try:
        source = files.attributes(path, "images" if "models" in place else "test_images")["source"]
    except (ValueError, KeyError):
        return False
    return all(source.get(key) == place.get(key) for key in ("source", "positive", "negative"))


def count_zoo(config: dict, name: str) -> int:
    """How many CNNs of a concept's existing zoo are used.

    Args:
        config: A complete configuration.
        name: The concept.

    Returns:
        `models` of the concept, else as many as the zoo holds.

    Raises:
        ValueError: The zoo is not there, empty, unreadable, too large, or holds fewer CNNs than `models`.
    """
    concept = config["concepts"][name]
    if fault := missing_root("zoo_root", config["zoo_root"]):
        raise ValueError(fault)
    held = imports.count(Path(config["zoo_root"]) / concept["zoo"])
    if (wanted := concept["models"]) is not None and wanted > held:
        raise ValueError(f"concepts.{name}.models: {wanted}, but its zoo holds {held} CNNs; write {held} or less.")
    if wanted is None and held > LARGEST:
        raise ValueError(
            f"concepts.{name}.models: its zoo holds {held:,} CNNs; write how many are to be read, at most {LARGEST}."
        )
    return wanted or held


def models_made(zoo: Path, folder: Path, wanted: int | None) -> int | None:
    """How many CNNs of an existing zoo that is gone are used, by what was imported from it before.

    Args:
        zoo: Where the zoo lay.
        folder: The concept's zoo files.
        wanted: `models` of the concept.

    Returns:
        None where the zoo is still there, so that its fault is to be mended, or nobody can tell.
    """
    if zoo.is_file() or (zoo.is_dir() and any(zoo.iterdir())):  # an empty folder: a disk that is not mounted
        return None
    ends = []
    for path in sorted(folder.glob("shard-*.h5")):
        try:
            attributes = files.attributes(path, "zoo")
            if attributes["source"]["path"] == str(zoo):
                ends.append(attributes["places"][1])
        except (ValueError, KeyError, TypeError):
            continue
    if not ends:
        return None if any(folder.glob("shard-*.h5")) else wanted
    return wanted or max(ends)
