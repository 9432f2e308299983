"""Scores of an exported model for a folder of any size, and a gallery of them. Imports no torch.

A few threads decode and score images in small batches; only names and scores stay in memory. The gallery decodes the
images that it shows again.
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
from zoofuse.data import folders, images, joins
from zoofuse.data.decoding import ImageError, thumbnail
from zoofuse.report import pages

if TYPE_CHECKING:
    from zoofuse.export.models import Model

SUFFIXES = folders.SUFFIXES
MAX_SHOWN = 1000  # images in the gallery; about 3 kB each
BATCH = 64  # images that are scored together
ADVICE = " Write --config predict=FOLDER."  # ends the message about a folder that is not there
_LONGEST = 112  # pixels of the longer side of a thumbnail
_BARS = 60
_MAX_NAMED = 10


class Listing(NamedTuple):
    """The files in a folder and its subfolders; names are relative to it."""

    folder: str
    names: list[str]  # of images, folder by folder, sorted within each
    others: Counter  # suffix -> number of files that are not images
    unreadable: list[tuple[str, str]]  # name and cause: images that are not files, folders that can't be listed


class Predictions(NamedTuple):
    """Scores of images, the highest first, and what could not be read."""

    scores: pd.DataFrame  # file, score, prediction ("yes" or "no")
    unreadable: pd.DataFrame  # file, cause


def listed(folder: str | os.PathLike) -> Listing:
    """List the images under a folder by their suffixes. Nothing is opened.

    Args:
        folder: a folder, or one image. "~" is the home folder; Unicode names are found in any normal form.

    Returns:
        All images. Hidden files and files of NAS devices or macOS are ignored; links are followed once.

    Raises:
        ImageError: there is no such folder, or no image in it.
    """
    top = _existing(os.fspath(folder))
    if os.path.isfile(top):
        return Listing(os.path.dirname(top) or ".", [os.path.basename(top)], Counter(), [])
    walked, listing = folders.walk(top, every_name=True), Listing(top, [], Counter(), [])
    listing.unreadable.extend((os.path.relpath(path, top), cause) for path, cause in walked.unreachable)
    for path in walked.images:
        if cause := regular.fault(path):
            listing.unreadable.append((os.path.relpath(path, top), cause))
        else:
            listing.names.append(os.path.relpath(path, top))
    listing.others.update(os.path.splitext(path)[1].lower() or "no suffix" for path in walked.others)
    if not listing.names and not listing.unreadable:
        others = f"; it holds {_counted(listing.others)}" if listing.others else ""
        raise ImageError(f"predict: no images in {_quoted(folder)}{others}. Images are files that end in "
                         f"{', '.join(sorted(SUFFIXES))}.")  # fmt: skip
    return listing


def _existing(folder: str) -> str:
    """The folder or file as the file system spells it; raises an ImageError with a suggestion if there is none."""
    for name in (folder, os.path.expanduser(folder)) if folder and "\0" not in folder else ():
        with contextlib.suppress(OSError):  # a name that is too long
            name = os.fspath(folders.spelled(name))
        cause = regular.fault(name)
        if cause is None or os.path.isdir(name):
            return name
        if os.path.lexists(name):
            raise ImageError(f"predict: {_quoted(folder)} is {cause}.{ADVICE}")
    hint = ""
    with contextlib.suppress(OSError, ValueError):
        above, last = os.path.split(folder.rstrip("/"))
        names = sorted(os.listdir(above or "."))
        if commented := [name for name in names if name.startswith(f"{last} #")]:
            hint = (
                f" There is {_quoted(commented[0])}: in --config, a # after a space starts a comment, and Snakemake "
                'removes quotes. Write predict: "FOLDER" in the configuration file, or name a link (ln -s).'
            )
        elif close := difflib.get_close_matches(last, names, 1):
            hint = f" Did you mean {_quoted(close[0])}?"
    raise ImageError(f"predict: there is no folder {_quoted(folder)} (looked for "
                     f"{_quoted(os.path.abspath(folder))}).{hint}{ADVICE}")  # fmt: skip


def digest(folder: str | os.PathLike) -> str:
    """Digest of the images' names and sizes, which changes if an image is added; raises ImageError as `listed`."""
    listing = listed(folder)
    sizes = [(text.printable(name), regular.file_size(os.path.join(listing.folder, name))) for name in listing.names]
    return files.digest(sizes + [(text.printable(name), cause) for name, cause in listing.unreadable])


def predict(
    model: Model, folder: str | os.PathLike, *, threads: int = 1, say: Callable[[str], None] = print
) -> Predictions:
    """Score every image under a folder, with a progress bar. Unreadable images are reported and left out.

    Args:
        model: an exported model.
        folder: as for `listed`.
        threads: batches that are decoded and scored at a time.
        say: receives lines for the log.

    Returns:
        The scores, and the unreadable images.

    Raises:
        ImageError: as `listed`, or no image can be read.
    """
    listing = listed(folder)
    if listing.others:
        say(f"Ignored: {_counted(listing.others)}.")
    total = len(listing.names) + len(listing.unreadable)
    scores, unreadable = np.empty(len(listing.names), np.float32), list(listing.unreadable)
    with logs.bar(len(listing.names), "images", "predicting") as bar:
        for start, batch_scores, causes in scored(model, listing.folder, listing.names, threads):
            scores[start : start + len(batch_scores)] = batch_scores
            unreadable += [(listing.names[start + i], cause) for i, cause in causes.items()]
            bar.update(len(batch_scores))
    if unreadable:
        more = f"\n  and {len(unreadable) - _MAX_NAMED} more" if len(unreadable) > _MAX_NAMED else ""
        named = "\n".join(f"  {text.printable(name)}: {text.visible(cause)}" for name, cause in unreadable[:_MAX_NAMED])
        say(f"{len(unreadable)} of {total} images can't be read and are left out:\n{named}{more}")
    readable = np.flatnonzero(~np.isnan(scores))
    if not len(readable):
        name, cause = unreadable[0]
        raise ImageError(f"predict: none of the {total} images in {_quoted(folder)} can be read "
                         f"({text.printable(name)}: {text.visible(cause)}). Name a folder of images.")  # fmt: skip
    order = readable[np.argsort(-scores[readable], kind="stable")]
    table = pd.DataFrame({"file": [listing.names[i] for i in order], "score": scores[order]})
    table["prediction"] = np.where(table["score"] >= model.threshold, "yes", "no")
    return Predictions(table, pd.DataFrame(unreadable, columns=["file", "cause"]))


def scored(
    model: Model, folder: str | os.PathLike, names: Sequence[str], threads: int = 1
) -> Iterator[tuple[int, np.ndarray, dict[int, str]]]:
    """Score images in batches; only a few are in progress at a time, so that memory does not grow with the folder.

    Args:
        model: an exported model.
        folder: that the names are relative to.
        names: of the images.
        threads: batches in progress at a time.

    Yields:
        For each batch its first position in `names`, its scores (b,), NaN for unreadable images, and the causes of
        these by position in the batch.
    """
    size = model.config["architecture"]["image_size"]

    def score(start: int) -> tuple[int, np.ndarray, dict[int, str]]:
        decoded = [images.attempt(os.path.join(folder, name), size) for name in names[start : start + BATCH]]
        causes = {i: image for i, image in enumerate(decoded) if isinstance(image, str)}
        scores = np.full(len(decoded), np.nan, np.float32)
        readable = [i for i in range(len(decoded)) if i not in causes]
        scores[readable] = model.predict(images.stacked([decoded[i] for i in readable], size))
        return start, scores, causes

    pending = deque()
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for start in range(0, len(names), BATCH):
            pending.append(pool.submit(score, start))
            if len(pending) > 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def write_tables(predictions: Predictions, scores: str | os.PathLike, unreadable: str | os.PathLike) -> None:
    """Write two CSVs: file,score,prediction sorted by score, and file,cause. No cell is a formula.

    Args:
        predictions: of `predict`.
        scores: the first CSV.
        unreadable: the second CSV.
    """
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
    """Write the tables, then the gallery. The tables are kept if the gallery fails.

    Snakemake deletes all outputs of a job if one is missing. Therefore a placeholder page is written first; the
    gallery replaces it, or it stays and says why there is none.

    Args:
        predictions: of `predict`.
        model: the model that made them.
        folder: as for `predict`.
        scores: the CSV of scores to write.
        unreadable: the CSV of unreadable images to write.
        gallery: the page to write.
        threads: thumbnails that are made at a time.
        say: receives lines for the log.

    Raises:
        FileError: no space or no permission to write.
    """
    _placeholder(gallery, scores, "It is being written.")
    write_tables(predictions, scores, unreadable)
    try:
        page(gallery, predictions, model, folder, threads)
    except Exception as error:  # a full disk, no memory, a bug: the scores matter more
        cause = text.visible(str(error) or type(error).__name__)
        say(f"{gallery}: the gallery could not be written ({cause}). The tables are complete: {scores}.")
        with contextlib.suppress(Exception):
            _placeholder(gallery, scores, f"It could not be written: {cause}")


def _placeholder(path: str | os.PathLike, scores: str | os.PathLike, state: str) -> None:
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
    """Write the gallery, one HTML file that needs no network: images by descending score, and a threshold slider.

    It shows at most MAX_SHOWN images: half of them from the top, the others evenly from the rest. They link to the
    files, relative to `path`. An image that can't be shown is a grey tile with the cause.

    Args:
        path: the HTML file.
        predictions: of `predict`.
        model: the model that made them.
        folder: as for `predict`.
        threads: thumbnails that are made at a time.
    """
    path, table = Path(path), predictions.scores
    top = _existing(os.fspath(folder))
    top = top if os.path.isdir(top) else os.path.dirname(top) or "."
    ranks = shown(len(table))
    names, scores = table["file"].iloc[ranks].tolist(), table["score"].to_numpy(np.float32)
    above = os.path.relpath(top, path.parent)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        tiles = pool.map(_tile, [os.path.join(top, name) for name in names])
        shown_images = [
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
        images=shown_images,
        bars=np.quantile(scores, (np.arange(_BARS) + 0.5) / _BARS).tolist(),
        lowest=scores[-1],
        highest=scores[0],
        scores=_packed(scores),
        network=_network(model),
        unreadable=[
            (text.printable(name), text.visible(cause))
            for name, cause in predictions.unreadable.itertuples(index=False)
        ],
    )
    with atomic_path(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def _network(model: Model) -> dict:
    """What the page needs to score other images: shapes, and the weights layer after layer."""
    architecture = model.config["architecture"]
    if "channels" not in architecture:  # the page scores no other images
        return {"channels": [], "weights": ""}
    layers = [*(f"conv{i}" for i in range(1, len(architecture["channels"]))), "heads"]
    arrays = [model.weights[f"{layer}.{part}"].numpy().ravel() for layer in layers for part in ("weight", "bias")]
    return {
        "channels": architecture["channels"],
        "kernel": architecture["kernel_size"],
        "size": architecture["image_size"],
        "concepts": pages.shown(model.concepts),
        "join": _join(model),
        "weights": _packed(np.concatenate(arrays)),
    }


def _join(model: Model) -> dict | None:
    """Clauses, how they are combined, and the rows of the truth table; None where probabilities are multiplied."""
    join = model.join
    return join.written() | {"rows": join.rows.astype(int).tolist()} if isinstance(join, joins.Join) else None


def _packed(values: np.ndarray) -> str:
    """float32 values as the page's script reads them."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def shown(n: int) -> np.ndarray:
    """Increasing ranks of the images in the gallery: all n, or MAX_SHOWN of them."""
    if n <= MAX_SHOWN:
        return np.arange(n)
    half = MAX_SHOWN // 2
    return np.append(np.arange(half), np.linspace(half, n - 1, MAX_SHOWN - half).round().astype(int))


def _tile(path: str) -> tuple[str, str]:
    """The image as a data URI in its own proportions, and ""; or "" and why it can't be shown."""
    try:  # it could be read before, so an error now concerns only this tile
        small = thumbnail(path, _LONGEST)
        if isinstance(small, str):
            return "", text.visible(small)
        packed = io.BytesIO()
        small.save(packed, "WEBP", quality=72)
    except Exception as error:
        return "", text.visible(str(error) or type(error).__name__)
    return f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode()}", ""


def _counted(others: Counter) -> str:
    kinds = ", ".join(f"{count:,} {text.printable(suffix)}" for suffix, count in others.most_common(_MAX_NAMED))
    return f"{others.total():,} files of other kinds ({kinds})"


def _quoted(name: str | os.PathLike) -> str:
    return f"'{text.printable(name)}'"
