"""Images of two or more classes as one HDF5, split into training, validation and test. Imports no torch itself."""

import hashlib
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoofuse.core import files
from zoofuse.core.text import printable
from zoofuse.data import images, on_disk
from zoofuse.data.decoding import ImageError
from zoofuse.data.torchvision import VOCABULARY

TRAINING, VALIDATION, TEST = 0, 1, 2
LEAST = 3  # images of each class: one for each part


class _Part(NamedTuple):
    """Images of all classes, one class after another, as they were read."""

    pixels: np.ndarray  # uint8 (n, size, size, channels)
    labels: np.ndarray
    names: list[str]
    digests: list[str]  # of the pixels
    unreadable: list[str]  # name: cause

    def kept(self, keep: np.ndarray) -> "_Part":
        names, digests = (np.array(of, dtype=str)[keep].tolist() for of in (self.names, self.digests))
        return self._replace(pixels=self.pixels[keep], labels=self.labels[keep], names=names, digests=digests)


def prepare(
    inputs: Mapping,
    source: Mapping,
    name: str,
    images_root: str | PathLike,
    seed: int,
    output: Path,
    threads: int,
    say: Callable[[str], None] = print,
    block: str = "factory",
) -> None:
    """Write the images of a factory zoo (kind "images").

    Datasets: images uint8 (n, size, size, channels); labels uint8 (n,), places of the attribute `classes`; split uint8
    (n,), 0 training, 1 validation, 2 test; names, digests (SHA-256 of the pixels) and unreadable (name: cause), str.
    No two images have the same pixels.

    Args:
        inputs: `archive`, where they come from one.
        source: the settings source, dataset, classes, images, size, channels, test_share, held_out, validation_share,
            unreadable, duplicates and leaks; of folders also `tests`, class -> folders of test images, instead of a
            test_share.
        name: of the zoo.
        images_root: where folders, and data sets of torchvision, lie.
        seed: the run's seed.
        output: the file.
        threads: that decode images.
        say: takes a line about what was read.
        block: of the configuration, for messages.

    Raises:
        ImageError: all that is wrong with the images.
    """
    where = f"{block}.{name}"
    classes, part = _read(where, "train", inputs, source, images_root, seed, threads)
    part, copies, conflicts = _distinct(where, part, classes, source)
    leaked = 0
    if source["source"] == "torchvision" or source.get("tests"):
        of_tests = source | {"classes": source["tests"]} if source.get("tests") else source
        _, test = _read(where, "test", inputs, of_tests, images_root, seed, threads)
        test, *_ = _distinct(f"{where} (test)", test, classes, source)
        known = dict(zip(part.digests, part.names, strict=True))
        same = [row for row, digest in enumerate(test.digests) if digest in known]
        pairs = [(known[test.digests[row]], test.names[row]) for row in same]
        if pairs and source["leaks"] != "drop":
            raise images.leak_error(where, pairs)
        leaked = len(same)
        test = test.kept(~np.isin(np.arange(len(test.labels)), same))
        test = test.kept(_held_out(test, np.ones(len(test.labels), bool), seed, 1, source["held_out"], "test"))
        split = np.repeat(np.uint8([TRAINING, TEST]), [len(part.labels), len(test.labels)])
        part = _Part(
            *(np.concatenate(both) for both in zip(part[:2], test[:2], strict=True)),
            *(one + other for one, other in zip(part[2:], test[2:], strict=True)),
        )
    else:
        split = np.zeros(len(part.labels), np.uint8)
        shares = (seed, source["test_share"], source["held_out"], "test")
        split[_held_out(part, np.ones(len(split), bool), *shares)] = TEST
    shares = (seed, source["validation_share"], source["held_out"], "validation")
    split[_held_out(part, split == TRAINING, *shares)] = VALIDATION
    counts = [
        [int((part.labels[split == which] == label).sum()) for label in range(len(classes))] for which in range(3)
    ]
    for label, of_class in enumerate(zip(*counts, strict=True)):
        if not all(of_class):
            raise ImageError(
                f"{images.too_few(f'{where}.classes.{classes[label]}', sum(of_class), LEAST)} Of all images of {where} "
                f"{copies} are copies, {conflicts} lie in several classes, {len(part.unreadable)} can't be read."
            )
    arrays = {
        "images": part.pixels,
        "labels": part.labels,
        "split": split,
        "names": np.array(part.names, dtype=str),
        "digests": np.array(part.digests, dtype=str),
        "unreadable": np.array(part.unreadable, dtype=str),
    }
    attributes = {
        "concept": name,
        "classes": classes,
        "source": dict(source),
        "seed": seed,
        "images": np.sum(counts, axis=0).tolist(),
        "training": counts[TRAINING],
        "validation": counts[VALIDATION],
        "test": counts[TEST],
        "duplicates_dropped": copies,
        "conflicts_dropped": conflicts,
        "leaks_dropped": leaked,
        "unreadable_skipped": len(part.unreadable),
    }
    files.write(output, "images", arrays, **attributes)
    left = {"copies": copies, "images of several classes": conflicts, "training images in the test": leaked}
    left = {what: count for what, count in (left | {"unreadable": len(part.unreadable)}).items() if count}
    totals = [f"{sum(of):,}" for of in counts]
    say(
        f"{name}: {totals[TRAINING]} images of {len(classes)} classes to train on, {totals[VALIDATION]} to validate "
        f"and {totals[TEST]} to test on"
        + ("; left out: " + ", ".join(f"{count:,} {what}" for what, count in left.items()) if left else "")
    )


def read(path: str | PathLike) -> tuple[dict[str, np.ndarray], list[str]]:
    """What CNNs are trained on: images, labels, validation_images, validation_labels, test_images and test_labels, all
    uint8, and the names of the classes. A concept's images have no test.

    Raises:
        FileError: the file can't be used.
    """
    arrays = files.read(path, "images", ["images", "labels", "split"])
    parts = {"": TRAINING, "validation_": VALIDATION, "test_": TEST}
    rows = {prefix: np.flatnonzero(arrays["split"] == which) for prefix, which in parts.items()}
    kinds = ("images", "labels")
    data = {f"{prefix}{kind}": np.ascontiguousarray(arrays[kind][at]) for prefix, at in rows.items() for kind in kinds}
    return data, list(files.attributes(path, "images")["classes"])


def _read(
    where: str, part: str, inputs: Mapping, source: Mapping, root: str | PathLike, seed: int, threads: int
) -> tuple[list[str], _Part]:
    size, wanted, unreadable = source["size"], dict(source["classes"]), []
    if source["source"] == "torchvision" and source["dataset"] in on_disk.CLASSES:
        pixels, labels, titles = on_disk.read(source["dataset"], root, part, size, where)
        names = [f"{source['dataset']}_{part}_{row:05d}" for row in range(len(labels))]
        pixels, labels, names = _chosen(where, wanted, titles, pixels, labels, names)
        classes = list(wanted) or titles
    else:
        if source["source"] == "folder":  # no folder may be in two classes
            images.list_folder(root, [folder for folders in wanted.values() for folder in folders], where)
        if not wanted:
            wanted = {word: [word] for word in sorted(VOCABULARY[source["dataset"]])}
        classes, gathered = list(wanted), []
        for title, selectors in wanted.items():
            place = f"{where}.classes.{title}"
            archive = inputs.get("archive")
            gathered.append(images.gathered(place, part, source, selectors, seed, root, archive, threads))
        pixels = np.concatenate([one.images for one in gathered])
        if pixels.shape[1] != size:
            pixels = np.stack([on_disk.resized(image, size) for image in pixels])
        labels = np.repeat(np.arange(len(gathered)), [len(one.images) for one in gathered])
        names = [name for one in gathered for name in one.names]
        unreadable = [f"{name}: {cause}" for one in gathered for name, cause in one.unreadable]
    if source["channels"] == 1:
        pixels = _grey(pixels)
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in pixels]
    return classes, _Part(pixels, labels.astype(np.uint8), names, digests, unreadable)


def _chosen(where: str, wanted: Mapping, titles: list[str], pixels: np.ndarray, labels: np.ndarray, names: list[str]):
    """Of a data set's images those of the wanted classes, in their order; all where no class is named."""
    if not wanted:
        return pixels, labels, names
    known = {title.lower(): label for label, title in enumerate(titles)}
    rows, new = [], []
    for label, (title, words) in enumerate(wanted.items()):
        for word in words:
            if word.lower() not in known:
                instead = f"write some of {', '.join(titles)}"
                raise ImageError(f"{where}.classes.{title}: there is no class {printable(word)!r}; {instead}.")
            rows.append(np.flatnonzero(labels == known[word.lower()]))
            new.append(np.full(len(rows[-1]), label))
    order = np.concatenate(rows)
    return pixels[order], np.concatenate(new), [names[row] for row in order]


def _distinct(where: str, part: _Part, classes: list[str], source: Mapping) -> tuple[_Part, int, int]:
    kept, copies, conflicts = images.distinct(
        where, part.labels.tolist(), part.names, part.digests, source["duplicates"], dict(enumerate(classes))
    )
    return part.kept(kept), copies, conflicts


def _held_out(part: _Part, among: np.ndarray, seed: int, share: float, most: int, stream: str) -> np.ndarray:
    """bool (n,): of each class `share` of the images `among` (n,), at least one and at most `most`."""
    held_out = np.zeros(len(part.labels), bool)
    for label in np.unique(part.labels):
        of_class = np.flatnonzero(among & (part.labels == label))
        chosen = images.split([part.digests[row] for row in of_class], seed, share, most, stream)
        held_out[of_class[chosen == 1]] = True
    return held_out


def _grey(pixels: np.ndarray) -> np.ndarray:
    """uint8 (n, size, size, 3) -> (n, size, size, 1), as Pillow's mode L: ITU-R 601-2 luma."""
    luma = np.empty((*pixels.shape[:3], 1), np.uint8)
    for start in range(0, len(pixels), 1000):
        some = slice(start, start + 1000)
        luma[some, ..., 0] = (pixels[some].astype(np.uint32) @ np.uint32([19595, 38470, 7471]) + 32768) >> 16
    return luma
