"""Scores of an exported model for a folder of any size, and the page that shows them. Imports no torch.

Pictures are decoded and scored in small parts by a few threads and then forgotten: what stays in memory is a name and a
number for each. The page shows some of them, which are decoded once more.
"""

from __future__ import annotations

import base64
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
from PIL import Image, ImageOps

from zoofuse import files, images, logs, pages

if TYPE_CHECKING:
    from zoofuse.export import Model

SUFFIXES = images.SUFFIXES | {".gif", ".bmp"}
SHOWN = 1000  # pictures on the page at most; about 3 kB each
PART = 64  # pictures decoded before they are scored together
_THUMBNAIL = 112  # pixels of the longer side
_BARS = 60
_NAMED = 10


class Listing(NamedTuple):
    """What lies in a folder and its subfolders. Names are relative to it, as the file system has them."""

    names: list[str]  # of pictures, folder by folder, sorted within each
    others: Counter  # suffix -> number of files that are no pictures
    closed: list[tuple[str, str]]  # folders that can't be listed, and why


class Predictions(NamedTuple):
    """scores: file, score, answer ("yes" or "no"), highest first. unreadable: file, cause."""

    scores: pd.DataFrame
    unreadable: pd.DataFrame


def listed(folder: str | os.PathLike) -> Listing:
    """The pictures under `folder`, by the endings of their names; hidden files are left aside, links are followed once.

    Raises images.ImageError when there is no such folder, or no picture in it.
    """
    if not os.path.isdir(folder):
        raise images.ImageError(f"predict: there is no folder {printable(folder)!r} (looked for "
                                f"{printable(os.path.abspath(folder))!r}). Write --config predict=FOLDER.")  # fmt: skip
    found, seen = Listing([], Counter(), []), set()

    def closed(error: OSError) -> None:
        found.closed.append((os.path.relpath(error.filename, folder), error.strerror))

    for directory, inner, names in os.walk(folder, followlinks=True, onerror=closed):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if (real := os.path.realpath(directory)) in seen:  # a link to where we have been
            inner.clear()
            continue
        seen.add(real)
        for name in sorted(name for name in names if not name.startswith(".")):
            suffix = os.path.splitext(name)[1].lower()
            if suffix in SUFFIXES:
                found.names.append(os.path.relpath(os.path.join(directory, name), folder))
            else:
                found.others[suffix or "no ending"] += 1
    if not found.names:
        held = f"; it holds {_counted(found.others)}" if found.others else ""
        raise images.ImageError(f"predict: no picture lies in {printable(folder)!r}{held}. Pictures are files that end "
                                f"in {', '.join(sorted(SUFFIXES))}.")  # fmt: skip
    return found


def digest(folder: str | os.PathLike) -> str:
    """Digest of the pictures' names and sizes, so that an added picture is noticed; raises ImageError as `listed`."""
    found = listed(folder)
    return files.digest([(printable(name), _size(os.path.join(folder, name))) for name in found.names])


def predict(
    model: Model, folder: str | os.PathLike, *, threads: int = 1, say: Callable[[str], None] = print
) -> Predictions:
    """The model's answers to every picture under `folder`, with a progress bar; what can't be read is told and skipped.

    Raises images.ImageError as `listed`, and when no picture can be read.
    """
    found = listed(folder)
    if found.others:
        say(f"Left aside: {_counted(found.others)}.")
    scores, unreadable = np.empty(len(found.names), np.float32), list(found.closed)
    with logs.bar(len(found.names), "pictures", "predicting") as bar:
        for start, part, causes in scored(model, folder, found.names, threads):
            scores[start : start + len(part)] = part
            unreadable += [(found.names[start + place], cause) for place, cause in causes.items()]
            bar.update(len(part))
    if unreadable:
        more = f"\n  and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
        named = "\n".join(f"  {printable(name)}: {cause}" for name, cause in unreadable[:_NAMED])
        say(f"{len(unreadable)} of {len(found.names)} pictures can't be read and are left out:\n{named}{more}")
    read = np.flatnonzero(~np.isnan(scores))
    if not len(read):
        raise images.ImageError(f"predict: none of the {len(found.names)} pictures in {printable(folder)!r} can be "
                                "read. Name a folder of photographs.")  # fmt: skip
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
    """Two CSVs: file,score,answer sorted by score, and file,cause."""
    for table, path in ((predictions.scores, scores), (predictions.unreadable, unreadable)):
        with files.atomic_path(path) as temporary:
            table.assign(file=table["file"].map(printable)).to_csv(temporary, index=False, float_format="%.7g")


def page(
    path: str | os.PathLike, predictions: Predictions, model: Model, folder: str | os.PathLike, threads: int = 1
) -> None:
    """The gallery, one HTML file that needs no network: pictures by falling score, and a threshold to move.

    At most SHOWN pictures: the first half of them from the top, the others evenly from the rest. They link to the
    files, relative to `path`.
    """
    path, table = Path(path), predictions.scores
    ranks = shown(len(table))
    names, scores = table["file"].iloc[ranks].tolist(), table["score"].to_numpy(np.float32)
    above = os.path.relpath(folder, path.parent)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        thumbnails = pool.map(_thumbnail, [os.path.join(folder, name) for name in names])
        pictures = [
            {
                "rank": rank,
                "file": printable(name),
                "score": scores[rank],
                "link": quote(os.fsencode(os.path.join(above, name))),
                "source": source,
            }
            for rank, name, source in zip(ranks.tolist(), names, thumbnails, strict=True)
        ]
    html = pages.render(
        "gallery",
        what=model.config["labels"]["yes"],
        config=model.config,
        folder=printable(os.path.basename(os.path.abspath(folder))),
        threshold=float(np.float32(model.threshold)),
        yes=int((scores >= model.threshold).sum()),
        total=len(scores),
        pictures=pictures,
        bars=np.quantile(scores, (np.arange(_BARS) + 0.5) / _BARS).tolist(),
        lowest=scores[-1],
        highest=scores[0],
        scores=base64.b64encode(scores.astype("<f4").tobytes()).decode(),
        unreadable=[(printable(name), cause) for name, cause in predictions.unreadable.itertuples(index=False)],
    )
    with files.atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def shown(n: int) -> np.ndarray:
    """Ranks of the pictures on the page, rising: all, or SHOWN of them."""
    if n <= SHOWN:
        return np.arange(n)
    half = SHOWN // 2
    return np.append(np.arange(half), np.linspace(half, n - 1, SHOWN - half).round().astype(int))


def printable(name: str | os.PathLike) -> str:
    """A name that can be printed and stored: bytes that are no UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


def _thumbnail(path: str) -> str:
    """The picture as a data URI, in its own proportions."""
    with Image.open(path) as image:
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it
            image = Image.fromarray((np.asarray(image).astype(np.int32) >> 8).clip(0, 255).astype(np.uint8))
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    packed = io.BytesIO()
    image.save(packed, "WEBP", quality=72)
    return f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode()}"


def _counted(others: Counter) -> str:
    kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common(_NAMED))
    return f"{others.total():,} files of other kinds ({kinds})"


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # a broken link: predicting names it
        return -1
