"""Scores of an exported model for a folder of any size, and the page that shows them. Imports no torch.

Images are decoded and scored in small parts by a few threads and then forgotten: what stays in memory is a name and a
number for each. The page shows some of them, which are decoded once more.
"""

from __future__ import annotations

import base64
import contextlib
import difflib
import html
import io
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd

from zoofuse.core import files, logs, regular, text
from zoofuse.core.temporary import atomic_path
from zoofuse.data import folders, images
from zoofuse.data.decoding import ImageError, thumbnail
from zoofuse.report import pages

if TYPE_CHECKING:
    from zoofuse.export.models import Model

SUFFIXES = folders.SUFFIXES
SHOWN = 1000  # images on the page at most; about 3 kB each
PART = 64  # images decoded before they are scored together
_LONGEST = 112  # pixels of the longer side of a thumbnail
_BARS = 60
_NAMED = 10


class Listing(NamedTuple):
    """What lies in a folder and its subfolders. Names are relative to it, as the file system has them."""

    folder: str
    names: list[str]  # of images, folder by folder, sorted within each
    others: Counter  # suffix -> number of files that are not images
    unreadable: list[tuple[str, str]]  # name and cause: images that are not files, folders that can't be listed


class Predictions(NamedTuple):
    """scores: file, score, answer ("yes" or "no"), highest first. unreadable: file, cause."""

    scores: pd.DataFrame
    unreadable: pd.DataFrame


def listed(folder: str | os.PathLike) -> Listing:
    """The images under `folder`, by the endings of their names. Nothing is opened.

    Args:
        folder: a folder, or one image. "~" is the home folder; letters may be composed differently than on the disk.

    Returns:
        All images. Hidden files and what a NAS or macOS keeps for itself are left aside; links are followed once.

    Raises:
        ImageError: there is no such folder, or no image in it.
    """
    top = _existing(os.fspath(folder))
    if os.path.isfile(top):
        return Listing(os.path.dirname(top) or ".", [os.path.basename(top)], Counter(), [])
    walked, found = folders.walk(top, every_name=True), Listing(top, [], Counter(), [])
    found.unreadable.extend((os.path.relpath(path, top), cause) for path, cause in walked.unreachable)
    for path in walked.images:
        if cause := regular.fault(path):
            found.unreadable.append((os.path.relpath(path, top), cause))
        else:
            found.names.append(os.path.relpath(path, top))
    found.others.update(os.path.splitext(path)[1].lower() or "no ending" for path in walked.others)
    if not found.names and not found.unreadable:
        held = f"; it holds {_counted(found.others)}" if found.others else ""
        raise ImageError(f"predict: no image lies in {_quoted(folder)}{held}. Images are files that end "
                                f"in {', '.join(sorted(SUFFIXES))}.")  # fmt: skip
    return found


def _existing(folder: str) -> str:
    """The folder or file as the file system has it; raises ImageError that says what is wrong with the name."""
    for name in (folder, os.path.expanduser(folder)) if folder and "\0" not in folder else ():
        with contextlib.suppress(OSError):  # a name that is too long
            name = os.fspath(folders.spelled(name))
        cause = regular.fault(name)
        if cause is None or os.path.isdir(name):
            return name
        if os.path.lexists(name):
            raise ImageError(f"predict: {_quoted(folder)} is {cause}. Write --config predict=FOLDER.")
    hint = ""
    with contextlib.suppress(OSError, ValueError):
        above, last = os.path.split(folder.rstrip("/"))
        there = sorted(os.listdir(above or "."))
        if commented := [name for name in there if name.startswith(f"{last} #")]:
            hint = (
                f" There is {_quoted(commented[0])}: in --config a # after a space begins a comment, and Snakemake "
                'takes quotes away. Write it in the configuration file, predict: "FOLDER", or name a link (ln -s).'
            )
        elif close := difflib.get_close_matches(last, there, 1):
            hint = f" Did you mean {_quoted(close[0])}?"
    raise ImageError(f"predict: there is no folder {_quoted(folder)} (looked for "
                            f"{_quoted(os.path.abspath(folder))}).{hint} Write --config predict=FOLDER.")  # fmt: skip


def digest(folder: str | os.PathLike) -> str:
    """Digest of the images' names and sizes, so that an added image is noticed; raises ImageError as `listed`."""
    found = listed(folder)
    sizes = [(text.printable(name), _size(os.path.join(found.folder, name))) for name in found.names]
    return files.digest(sizes + [(text.printable(name), cause) for name, cause in found.unreadable])


def predict(
    model: Model, folder: str | os.PathLike, *, threads: int = 1, say: Callable[[str], None] = print
) -> Predictions:
    """Score every image under `folder`, with a progress bar; what cannot be read is named and left out.

    Args:
        model: an exported model.
        folder: as for `listed`.
        threads: parts that are decoded and scored at a time.
        say: takes a line for the log.

    Raises:
        ImageError: as `listed`, or no image can be read.
    """
    found = listed(folder)
    if found.others:
        say(f"Left aside: {_counted(found.others)}.")
    total = len(found.names) + len(found.unreadable)
    scores, unreadable = np.empty(len(found.names), np.float32), list(found.unreadable)
    with logs.bar(len(found.names), "pictures", "predicting") as bar:
        for start, part, causes in scored(model, found.folder, found.names, threads):
            scores[start : start + len(part)] = part
            unreadable += [(found.names[start + place], cause) for place, cause in causes.items()]
            bar.update(len(part))
    if unreadable:
        more = f"\n  and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
        named = "\n".join(f"  {text.printable(name)}: {text.visible(cause)}" for name, cause in unreadable[:_NAMED])
        say(f"{len(unreadable)} of {total} images can't be read and are left out:\n{named}{more}")
    read = np.flatnonzero(~np.isnan(scores))
    if not len(read):
        name, cause = unreadable[0]
        raise ImageError(f"predict: none of the {total} images in {_quoted(folder)} can be read "
                                f"({text.printable(name)}: {text.visible(cause)}). Name a folder of photographs."
                                )  # fmt: skip
    order = read[np.argsort(-scores[read], kind="stable")]
    table = pd.DataFrame({"file": [found.names[i] for i in order], "score": scores[order]})
    table["answer"] = np.where(table["score"] >= model.threshold, "yes", "no")
    return Predictions(table, pd.DataFrame(unreadable, columns=["file", "cause"]))


def scored(
    model: Model, folder: str | os.PathLike, names: Sequence[str], threads: int = 1
) -> Iterator[tuple[int, np.ndarray, dict[int, str]]]:
    """Part after part of `names`: where it starts, its scores (p,), NaN for what can't be read, and place -> cause.

    Only a few parts are under way at any time, so that memory does not grow with the folder.
    """
    size = model.config["architecture"]["image_size"]

    def part(start: int) -> tuple[int, np.ndarray, dict[int, str]]:
        found = [images.attempt(os.path.join(folder, name), size) for name in names[start : start + PART]]
        causes = {place: picture for place, picture in enumerate(found) if isinstance(picture, str)}
        scores = np.full(len(found), np.nan, np.float32)
        readable = [place for place in range(len(found)) if place not in causes]
        scores[readable] = model.predict(images.stacked([found[place] for place in readable], size))
        return start, scores, causes

    under_way = deque()
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for start in range(0, len(names), PART):
            under_way.append(pool.submit(part, start))
            if len(under_way) > 2 * threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def write_tables(predictions: Predictions, scores: str | os.PathLike, unreadable: str | os.PathLike) -> None:
    """Two CSVs: file,score,answer sorted by score, and file,cause. Names are `text.printable`, and never a formula."""
    for table, path in ((predictions.scores, scores), (predictions.unreadable, unreadable)):
        table = table.assign(file=table["file"].map(text.printable).map(text.cell))
        if "cause" in table:
            table["cause"] = table["cause"].map(text.cell)
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")


def write(
    predictions: Predictions,
    model: Model,
    folder: str | os.PathLike,
    *,
    scores: str | os.PathLike,
    unreadable: str | os.PathLike,
    gallery: str | os.PathLike,
    threads: int = 1,
    say: Callable[[str], None] = print,
) -> None:
    """Write the tables, then the gallery. A gallery that cannot be made does not lose the tables.

    Snakemake deletes all outputs of a job of which one is missing. So a page that only names the tables is written
    first; the gallery takes its place, or it stays and says why there is none.

    Args:
        predictions: what `predict` found.
        model: the model that was asked.
        folder: as for `predict`.
        scores: the CSV of scores to write.
        unreadable: the CSV of images that could not be read.
        gallery: the page to write.
        threads: images that are reduced at a time.
        say: takes a line for the log.

    Raises:
        FileError: there is no room or no permission to write.
    """
    _note(gallery, scores, "It is being made.")
    write_tables(predictions, scores, unreadable)
    try:
        page(gallery, predictions, model, folder, threads)
    except Exception as error:  # a full disk, no memory, a fault of ours: the numbers are what was asked for
        cause = text.visible(str(error) or type(error).__name__)
        say(f"{gallery}: the gallery could not be made ({cause}). The tables are complete: {scores}.")
        with contextlib.suppress(Exception):
            _note(gallery, scores, f"It could not be made: {cause}")


def _note(path: str | os.PathLike, scores: str | os.PathLike, state: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>No gallery</title>\n'
            """<meta http-equiv="Content-Security-Policy" content="default-src 'none'">\n"""
            f"<p>There is no gallery here. {html.escape(state)}</p>\n"
            f"<p>The scores are complete in {html.escape(text.printable(os.path.basename(scores)))}, beside this page."
            "</p>\n</html>\n",
            encoding="utf-8",
        )


def page(
    path: str | os.PathLike, predictions: Predictions, model: Model, folder: str | os.PathLike, threads: int = 1
) -> None:
    """The gallery, one HTML file that needs no network: images by falling score, and a threshold to move.

    At most SHOWN images: the first half of them from the top, the others evenly from the rest. They link to the
    files, relative to `path`. One that cannot be shown is a grey tile with the cause.
    """
    path, table = Path(path), predictions.scores
    top = _existing(os.fspath(folder))
    top = top if os.path.isdir(top) else os.path.dirname(top) or "."
    ranks = shown(len(table))
    names, scores = table["file"].iloc[ranks].tolist(), table["score"].to_numpy(np.float32)
    above = os.path.relpath(top, path.parent)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        tiles = pool.map(_tile, [os.path.join(top, name) for name in names])
        pictures = [
            {
                "rank": rank,
                "file": text.printable(name),
                "score": scores[rank],
                "link": quote(os.fsencode(os.path.join(above, name))),
                "source": source,
                "cause": cause,
            }
            for rank, name, (source, cause) in zip(ranks.tolist(), names, tiles, strict=True)
        ]
    content = pages.render(
        "gallery",
        what=model.config["labels"]["yes"],
        config=model.config,
        folder=text.printable(os.path.basename(os.path.abspath(folder))),
        threshold=float(np.float32(model.threshold)),
        yes=int((scores >= model.threshold).sum()),
        total=len(scores),
        pictures=pictures,
        bars=np.quantile(scores, (np.arange(_BARS) + 0.5) / _BARS).tolist(),
        lowest=scores[-1],
        highest=scores[0],
        scores=base64.b64encode(scores.astype("<f4").tobytes()).decode(),
        unreadable=[
            (text.printable(name), text.visible(cause))
            for name, cause in predictions.unreadable.itertuples(index=False)
        ],
    )
    with atomic_path(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def shown(n: int) -> np.ndarray:
    """Ranks of the images on the page, rising: all, or SHOWN of them."""
    if n <= SHOWN:
        return np.arange(n)
    half = SHOWN // 2
    return np.append(np.arange(half), np.linspace(half, n - 1, SHOWN - half).round().astype(int))


def _tile(path: str) -> tuple[str, str]:
    """The image as a data URI in its own proportions, and ""; or "" and why it cannot be shown."""
    try:  # it was read a moment ago; whatever happens now is a matter of this tile
        small = thumbnail(path, _LONGEST)
        if isinstance(small, str):
            return "", text.visible(small)
        packed = io.BytesIO()
        small.save(packed, "WEBP", quality=72)
    except Exception as error:
        return "", text.visible(str(error) or type(error).__name__)
    return f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode()}", ""


def _counted(others: Counter) -> str:
    kinds = ", ".join(f"{count:,} {text.printable(suffix)}" for suffix, count in others.most_common(_NAMED))
    return f"{others.total():,} files of other kinds ({kinds})"


def _quoted(name: str | os.PathLike) -> str:
    return f"'{text.printable(name)}'"


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # a broken link: predicting names it
        return -1
