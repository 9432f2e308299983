"""From images to one HDF5 per concept and per test set: listed, decoded, deduplicated, split. Imports no torch."""

import contextlib
import hashlib
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from zoofuse.core import files, logs, rng
from zoofuse.core.text import printable
from zoofuse.data.decoding import Decoded, ImageError, contents, examine, file_size
from zoofuse.data.folders import listing, spelled

LEAST = 2  # images of each class of a concept: one to train on, one for validation
LEAST_TEST = 4  # of each class of a test, which is halved; two of each half are clustered, compared and resampled

_NAMED = 10  # files or pairs named in one message


class Gathered(NamedTuple):
    """One class as it was read, before duplicates are looked for."""

    images: np.ndarray  # uint8 (n, size, size, 3)
    names: list[str]  # relative to images_root, or as drawn, or as in the archive
    groups: list[str]
    unreadable: list[tuple[str, str]]  # name and cause of each image skipped
    others: Sequence[str] = ()  # names of files that are no images
    aside: Sequence[str] = ()  # names of hidden files and folders, and of those of other software
    files: Sequence[Decoded] = ()  # of `images`, where they come from folders


def list_folder(root: str | os.PathLike, folders: Sequence[str], where: str = "folders") -> list[Path]:
    """All image files in `folders` under `root` and in their subfolders, sorted, whatever the order given.

    As `folders.listing`, which also tells what was left aside.
    """
    return listing(root, folders, where).images


def decode(source: str | os.PathLike | bytes, size: int = 32) -> np.ndarray:
    """The whole image (a file, or its bytes) at size x size: uint8 (size, size, 3), RGB.

    Turned upright by its EXIF orientation, an ICC profile's colours as sRGB, alpha on white, then Pillow's bilinear
    resize with antialiasing, which is what torchvision's Resize does to a PIL image (published transform:
    Resize((32, 32)), no crop). Of an animation the first frame. Raises ImageError, naming file and cause, when it can't
    be read whole or is too large.
    """
    decoded = attempt(source, size)
    if isinstance(decoded, str):
        raise ImageError(f"{'image' if isinstance(source, bytes) else printable(source)}: {decoded}")
    return decoded


def attempt(source: str | os.PathLike | bytes, size: int = 32) -> np.ndarray | str:
    """As `decode`, but an image that can't be read gives the cause, as text, instead of an error."""
    found = examine(source, size)
    return found if isinstance(found, str) else found.pixels


def decode_all(
    paths: Sequence[Path],
    size: int = 32,
    on_unreadable: str = "refuse",
    threads: int = 1,
    progress: str | None = None,
) -> tuple[np.ndarray, list[Path], list[tuple[Path, str]]]:
    """Decode many files: images uint8 (n, size, size, 3), the paths they came from, and (path, cause) of the rest.

    `on_unreadable`: "refuse" raises ImageError that counts them and names the first ten, "skip" leaves them out.
    `progress` is the description of a progress bar; none without it.
    """
    found, kept, unreadable = _decoded(paths, size, threads, progress)
    refuse_unreadable([(printable(path), cause) for path, cause in unreadable], len(paths), on_unreadable)
    return stacked([one.pixels for one in found], size), kept, unreadable


def _decoded(
    paths: Sequence[Path], size: int, threads: int, progress: str | None
) -> tuple[list[Decoded], list[Path], list[tuple[Path, str]]]:
    results = []
    shown = logs.bar(len(paths), "images", progress) if progress else contextlib.nullcontext()
    with ThreadPoolExecutor(max(1, threads)) as pool, shown as bar:
        for result in pool.map(examine, paths, itertools.repeat(size)):
            results.append(result)
            if bar is not None:
                bar.update()
    unreadable = [(path, result) for path, result in zip(paths, results, strict=True) if isinstance(result, str)]
    kept = [path for path, result in zip(paths, results, strict=True) if not isinstance(result, str)]
    return [result for result in results if not isinstance(result, str)], kept, unreadable


def refuse_unreadable(unreadable: Sequence[tuple[str, str]], total: int, policy: str) -> None:
    """Raise ImageError that names what could not be read, unless there is nothing or the policy is "skip"."""
    if unreadable and policy != "skip":
        raise ImageError(
            f"{len(unreadable)} of {total} images can't be read:\n"
            f"{_listed(f'{name}: {cause}' for name, cause in unreadable)}\n"
            "Repair or remove them, or write images.unreadable: skip (they are then left out and counted)."
        )


def stacked(images: Sequence[np.ndarray], size: int) -> np.ndarray:
    """uint8 (n, size, size, 3), also when there are none."""
    return np.stack(images) if len(images) else np.empty((0, size, size, 3), np.uint8)


def groups(names: Sequence[str], folders: Sequence[str]) -> list[str]:
    """The group of each image: its subfolder within the named folder, else its file name up to the first "_".

    `names` and `folders` are relative to images_root. A name without "_" belongs to the group of its folder's name.
    """
    tops = [PurePosixPath(folder) for folder in folders]
    found = []
    for name in map(PurePosixPath, names):
        top = next(top for top in tops if name.is_relative_to(top))
        inner = name.relative_to(top)
        found.append(inner.parts[0] if len(inner.parts) > 1 else _prefix(name.stem) or top.name or "images")
    return found


def find_leaks(training: Iterable[Path], test: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Pairs (training file, test file) of equal bytes, found by size first, so that few files are opened.

    Finds copies of files only; `prepare_test` also finds an image that was saved twice, by its pixels at 32x32.
    """
    by_size: dict[int, list[Path]] = {}
    for path in training:
        by_size.setdefault(file_size(path), []).append(path)
    known: dict[int, dict[str, Path]] = {}
    pairs = []
    for path in test:
        size = file_size(path)
        if not size or isinstance(size, str) or size not in by_size:  # decoding names what can't be read
            continue
        if size not in known:
            known[size] = {_file_digest(other): other for other in reversed(by_size[size])}
            known[size].pop("", None)
        if (other := known[size].get(_file_digest(path))) is not None:
            pairs.append((other, path))
    return pairs


def leak_error(where: str, pairs: Sequence[tuple[str | Path, str | Path]]) -> ImageError:
    """The error for pairs (training image, test image) that are one image; `where` as in "fusions.black_cat.test"."""
    return ImageError(
        f"{where}: {len(pairs)} test images are also training images:\n"
        f"{_listed(f'{printable(test)} is {printable(training)}' for training, test in pairs)}\n"
        "Take each out of one of the two folders, or write images.leaks: drop (the test set then goes without them)."
    )


def prepare_concept(
    path: str | os.PathLike,
    source: Mapping,
    *,
    name: str,
    seed: int,
    root: str | os.PathLike = ".",
    archive: str | os.PathLike | None = None,
    threads: int = 1,
) -> dict:
    """Write the images of concept `name` to `path` (kind "images") and return the file's attributes (see `summary`).

    `source` holds the concept's own source, positive and negative (dataset too for torchvision, images per class for
    drawn) and the settings validation_share, validation_max, unreadable and duplicates. `root` is where folders lie,
    `archive` what archives.download fetched.
    Datasets: images uint8 (n, 32, 32, 3); labels uint8 (n,), 1 the concept, 0 other; split uint8 (n,), 0 training,
    1 validation; names, groups, digests (SHA-256 of the pixels) and unreadable (name: cause), all str.
    Raises ImageError for all that is wrong with the images.
    """
    arrays, attributes = _assembled(f"concepts.{name}", "train", source, seed, root, archive, threads)
    return write_concept(path, arrays, attributes, source, name=name, seed=seed)


def write_concept(
    path: str | os.PathLike,
    arrays: dict[str, np.ndarray],
    attributes: Mapping,
    settings: Mapping,
    *,
    name: str,
    seed: int,
) -> dict:
    """Write a concept's images with some of each class held out for validation; returns the attributes.

    Args:
        path: the file, of kind "images".
        arrays: as `prepare_concept` describes them, but for the split.
        attributes: of the file, beside those that say what is held out.
        settings: validation_share and validation_max.
        name: the concept.
        seed: the run's seed.
    """
    labels = arrays["labels"]
    arrays["split"] = np.zeros(len(labels), np.uint8)
    for label in rng.CLASSES:
        of_class = np.flatnonzero(labels == label)
        digests = arrays["digests"][of_class].tolist()
        arrays["split"][of_class] = split(digests, seed, settings["validation_share"], settings["validation_max"])
    held_out = [int(arrays["split"][labels == label].sum()) for label in rng.CLASSES]
    attributes = {"concept": name, "classes": ["other", name], "validation": held_out} | dict(attributes)
    files.write(path, "images", arrays, **attributes)
    return attributes


def prepare_test(
    path: str | os.PathLike,
    source: Mapping,
    training: Iterable[str | os.PathLike],
    *,
    name: str,
    seed: int,
    root: str | os.PathLike = ".",
    archive: str | os.PathLike | None = None,
    threads: int = 1,
) -> dict:
    """Write the test set of fusion `name` to `path` (kind "test_images"), like a concept's file less the split.

    `source` is as for a concept, with the setting leaks instead of those of validation, and order: "folders" for that
    of torchvision's ImageFolder, else positives first. `training` are the files of the fusion's concepts. A test image
    with the pixels of one of theirs (training or validation) is refused with
    ImageError or, leaks being "drop", left out and counted.
    """
    where = f"fusions.{name}.test"
    arrays, attributes = _assembled(where, "test", source, seed, root, archive, threads)
    known: dict[str, str] = {}
    for file in training:
        seen = files.read(file, "images", ["digests", "names"])
        concept = files.attributes(file, "images")["concept"]
        named = [f"{image} (concept {concept})" for image in seen["names"].tolist()]
        known |= dict(zip(seen["digests"].tolist(), named, strict=True))
    leaked = np.array([digest in known for digest in arrays["digests"].tolist()], dtype=bool)
    if leaked.any() and source["leaks"] != "drop":
        both = zip(arrays["digests"][leaked].tolist(), arrays["names"][leaked].tolist(), strict=True)
        raise leak_error(where, [(known[digest], image) for digest, image in both])
    arrays = _kept(arrays, ~leaked)
    if source.get("order") == "folders":
        folders = [*source["positive"], *source["negative"]]
        rows = np.array(sorted(range(len(arrays["names"])), key=lambda i: _place(str(arrays["names"][i]), folders)))
        arrays = {name: array if name == "unreadable" else array[rows] for name, array in arrays.items()}
    counts = _counted(where, arrays["labels"], f"{leaked.sum()} are also training images", LEAST_TEST)
    attributes |= {"fusion": name, "classes": ["other", name], "images": counts, "leaks_dropped": int(leaked.sum())}
    files.write(path, "test_images", arrays, **attributes)
    return attributes


def read_concept(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """A concept's images as training.Data takes them: images, labels, validation_images, validation_labels.

    Raises FileError. What else `prepare_concept` lists is read by files.read(path, "images").
    """
    arrays = files.read(path, "images", ["images", "labels", "split"])
    held_out = arrays["split"] == 1
    return {
        "images": arrays["images"][~held_out],
        "labels": arrays["labels"][~held_out],
        "validation_images": arrays["images"][held_out],
        "validation_labels": arrays["labels"][held_out],
    }


def read_test(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """A fusion's test set: images, labels, names and groups, as `prepare_concept` describes them.

    Raises FileError.
    """
    return files.read(path, "test_images", ["images", "labels", "names", "groups"])


def summary(attributes: Mapping) -> str:
    """One line for the log: how many images there are and what was left out, from what `prepare_*` returned."""
    positive, negative = attributes["images"]
    line = f"{attributes.get('concept') or attributes['fusion']}: {positive:,} images that show it, {negative:,} others"
    if "validation" in attributes:
        line += f"; {sum(attributes['validation']):,} of them for validation"
    left = {
        "copies": attributes["duplicates_dropped"],
        "images of both classes": attributes["conflicts_dropped"],
        "training images": attributes.get("leaks_dropped", 0),
        "unreadable": attributes["unreadable_skipped"],
        "files of other kinds": attributes["other_files"],
        "hidden or of other software": attributes.get("left_aside", 0),
    }
    if any(left.values()):
        line += "; left out: " + ", ".join(f"{count:,} {what}" for what, count in left.items() if count)
    if count := attributes.get("profiles_ignored", 0):
        line += f"; {count:,} have a colour profile that makes no sense and were read as sRGB"
    return line


def split(digests: Iterable[str], seed: int, share: float, most: int, stream: str = "validation") -> np.ndarray:
    """Which images of one class are held out: uint8 (n,), 1 for those that are, at least one and at most `most`.

    Every image has a random key from `seed` and its own pixels; the smallest keys are the validation set. So it does
    not depend on names, order or the other class; where the size of the validation set stays the same, added images
    never move one from training to validation.
    """
    keys = np.array([rng.bits(1, seed, stream, digest)[0] for digest in digests], dtype=np.uint64)
    held_out = min(max(1, round(share * len(keys))), most)
    chosen = np.zeros(len(keys), np.uint8)
    chosen[np.argsort(keys, kind="stable")[:held_out]] = 1
    return chosen


def _assembled(
    where: str,
    part: str,
    source: Mapping,
    seed: int,
    root: str | os.PathLike,
    archive: str | os.PathLike | None,
    threads: int,
) -> tuple[dict[str, np.ndarray], dict]:
    """Both classes of a concept or test set, without duplicates, and the attributes that both kinds of file share."""
    for side, other in (("positive", "negative"), ("negative", "positive")):
        if not source.get(side):
            raise ImageError(
                f"{where}: only {other} images are named, and both classes are needed. Write {where}.{side}: [...]."
            )
    if source["source"] == "folder":
        list_folder(root, [*source["positive"], *source["negative"]], where)  # no folder may be in both classes
    classes = []
    for side in ("positive", "negative"):
        classes.append(gathered(f"{where}.{side}", part, source, source[side], seed, root, archive, threads))
    images = np.concatenate([one.images for one in classes])
    names = [name for one in classes for name in one.names]
    unreadable = [f"{name}: {cause}" for one in classes for name, cause in one.unreadable]
    others = [name for one in classes for name in one.others]
    beside = {
        "left_aside": sum(len(one.aside) for one in classes),
        "profiles_ignored": sum(file.profile == "ignored" for one in classes for file in one.files),
    }
    arrays = {
        "images": images,
        "labels": np.repeat(np.uint8(rng.CLASSES), [len(one.images) for one in classes]),
        "names": np.array(names, dtype=str),
        "groups": np.array([group for one in classes for group in one.groups], dtype=str),
        "digests": np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images], dtype=str),
        "unreadable": np.array(unreadable, dtype=str),
    }
    sides = {1: "positive", 0: "negative"}
    kept, copies, conflicts = distinct(
        where, arrays["labels"].tolist(), names, arrays["digests"].tolist(), source["duplicates"], sides
    )
    arrays = _kept(arrays, kept)
    lost = f"{copies} are copies, {conflicts} lie in both classes, {len(unreadable)} can't be read"
    attributes = {
        "source": dict(source),
        "seed": seed,
        "images": _counted(where, arrays["labels"], lost),
        "duplicates_dropped": copies,
        "conflicts_dropped": conflicts,
        "unreadable_skipped": len(unreadable),
        "other_files": len(others),
        "other_files_named": others[:_NAMED],
    } | {name: count for name, count in beside.items() if count}
    return arrays, attributes


def gathered(
    where: str,
    part: str,
    source: Mapping,
    wanted: Sequence[str],
    seed: int,
    root: str | os.PathLike,
    archive: str | os.PathLike | None,
    threads: int,
) -> Gathered:
    """One class: the folders, or selectors, `wanted`; `part` is "train" for a concept and "test" for a test set.

    Images from folders have source["size"] rows and columns, by default 32; others 32.
    Raises ImageError as `list_folder` does, and for unreadable images unless source["unreadable"] is "skip".
    """
    if source["source"] == "folder":
        base = spelled(root)
        found = listing(root, wanted, where)
        size = source.get("size", 32)
        files_read, paths, skipped = _decoded(found.images, size, threads, where)
        lost = sorted([*found.unreachable, *skipped])
        total = len(found.images) + len(found.unreachable)
        refuse_unreadable([(printable(path), cause) for path, cause in lost], total, source["unreadable"])
        named = [(_name(path, base), cause) for path, cause in lost]
        names, others, aside = ([_name(path, base) for path in part] for part in (paths, found.others, found.aside))
        images = stacked([one.pixels for one in files_read], size)
        return Gathered(
            images,
            names,
            groups(names, [printable(folder) for folder in found.folders]),
            named,
            others,
            aside,
            files_read,
        )
    from zoofuse.data import synthetic, torchvision  # here, because archives needs this module

    if source["source"] == "synthetic":
        images, names = synthetic.draw(wanted, source["images"], seed, where)
        skipped = []
    else:
        images, names, skipped = torchvision.read_archive(
            source["dataset"], archive, wanted, part, on_unreadable=source["unreadable"], progress=where
        )
    return Gathered(images, names, [_prefix(name) or name for name in names], skipped)


def distinct(
    where: str, labels: list[int], names: list[str], digests: list[str], policy: str, classes: Mapping[int, str]
) -> tuple[np.ndarray, int, int]:
    """Which images stay where no two may have the same pixels.

    Args:
        where: place in the configuration, for messages.
        labels, names, digests: of each image.
        policy: "drop" keeps one copy of a class, and none of an image that lies in several; else ImageError.
        classes: label -> name of the class, for messages.

    Returns:
        Which images stay, bool (n,); how many go as copies within a class; how many as lying in several classes.
    """
    first: dict[str, dict[int, str]] = {}  # digest -> label -> name of its first image
    copies, pairs = [], []
    for label, name, digest in zip(labels, names, digests, strict=True):
        same = first.setdefault(digest, {})
        copies.append(label in same)
        if copies[-1]:
            pairs.append((same[label], name))
        elif same:
            other = next(iter(same))
            pairs.append((f"{same[other]} ({classes[other]})", f"{name} ({classes[label]})"))
        same.setdefault(label, name)
    conflicts = [len(first[digest]) > 1 for digest in digests]
    if pairs and policy != "drop":
        raise ImageError(
            f"{where}: {len(pairs)} images are copies of others (same pixels):\n"
            f"{_listed(f'{b} is {a}' for a, b in pairs)}\n"
            "Remove them, or write images.duplicates: drop (keeps one of each, and none that lies in several classes)."
        )
    kept = ~(np.array(copies, dtype=bool) | np.array(conflicts, dtype=bool))
    return kept, int((~kept).sum()) - sum(conflicts), sum(conflicts)


def too_few(where: str, count: int, least: int) -> str:
    """What to say of `count` usable images where `least` are needed; `where` as in "concepts.cat.positive"."""
    return (
        f"{where}: {count} usable {'image' if count == 1 else 'images'}, at least {least} are needed. "
        "Add images, or name more folders."
    )


def _counted(where: str, labels: np.ndarray, lost: str, least: int = LEAST) -> list[int]:
    """Images per class, positives first; raises ImageError where there are fewer than `least` of one."""
    counts = [int((labels == label).sum()) for label in rng.CLASSES]
    for side, count in zip(("positive", "negative"), counts, strict=True):
        if count < least:
            raise ImageError(f"{too_few(f'{where}.{side}', count, least)} Of all images of {where} {lost}.")
    return counts


def _kept(arrays: dict[str, np.ndarray], keep: np.ndarray) -> dict[str, np.ndarray]:
    return {name: array if name == "unreadable" else array[keep] for name, array in arrays.items()}


def _name(path: Path, root: str | os.PathLike) -> str:
    return printable(path.relative_to(root).as_posix())


def _prefix(name: str) -> str:
    before, underscore, _ = name.partition("_")
    return before if underscore else ""


def _listed(lines: Iterable[str]) -> str:
    lines = list(lines)
    more = [f"and {len(lines) - _NAMED} more"] if len(lines) > _NAMED else []
    return "\n".join(f"  {line}" for line in lines[:_NAMED] + more)


def _place(name: str, folders: Sequence[str]) -> tuple[str, str, str]:
    """By what torchvision's ImageFolder sorts: the folder of a class, the folder within it, and the file."""
    path = PurePosixPath(name)
    top = next(folder for folder in map(PurePosixPath, folders) if path.is_relative_to(folder))
    return str(top), str(path.parent), path.name


def _file_digest(path: Path) -> str:
    """SHA-256, or nothing where the file can't be read."""
    content = contents(path)
    return "" if isinstance(content, str) else hashlib.sha256(content).hexdigest()
