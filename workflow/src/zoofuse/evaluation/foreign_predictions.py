"""Somebody else's classifier: scores of a fusion's test images in a file that anything can write.

A CSV with the columns image and score (and model, where the file holds several classifiers), or an
HDF5 with datasets of these names and one length, or a predictions file of zoofuse. Nothing is
registered: a file in the folder is a row in the tables, under the file's name.
"""

import csv
import io
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from zoofuse.core import files, text
from zoofuse.core.text import printable
from zoofuse.evaluation import predictions
from zoofuse.methods import registry

FOLDER = "resources/predictions"
HEAD = "scores"  # they come with no head or clusterer that the tables know
SUFFIXES = (".csv", ".h5")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
COLUMNS = ("image", "score")
_MOST = 3  # names in a message

Row = tuple[str, str, float, str]  # model, image, score, and where in the file it stands


class PredictionsError(ValueError):
    """A file of predictions that cannot be used; the message says what to write instead."""


def find(fusion: str, folder: str | os.PathLike = FOLDER) -> dict[str, Path]:
    """Name -> file of every classifier whose predictions lie in a fusion's folder, by name.

    Args:
        fusion: the fusion's name.
        folder: holds a folder for each fusion.

    Raises:
        PredictionsError: a file can't be used, by its name; or, of a CSV, by what it holds.
    """
    found: dict[str, Path] = {}
    place = Path(folder) / fusion
    for path in sorted(place.iterdir() if place.is_dir() else []):
        if path.name.startswith((".", "~")) or path.name.lower().startswith("readme"):
            continue
        shown, name = printable(path), path.stem
        if path.suffix not in SUFFIXES:
            raise PredictionsError(
                f"{shown}: predictions are read from {' and '.join(SUFFIXES)} files. Write one, or move this elsewhere."
            )
        if not NAME.fullmatch(name):
            raise PredictionsError(
                f"{shown}: the file's name is the name of a row, so it may have letters, digits, - and _ only, "
                "and begins with a letter or digit. Rename the file."
            )
        if name in registry.known():
            raise PredictionsError(f"{shown}: {name} is a method or baseline of zoofuse. Give the file another name.")
        if name in found:
            raise PredictionsError(f"{shown}: {found[name].name} has the same name. Rename one of the two.")
        if path.suffix == ".csv":
            read(path)
        found[name] = path
    return found


def read(path: str | os.PathLike) -> list[Row]:
    """The scores of a CSV or HDF5, looked through but not yet compared with the test images.

    Raises:
        PredictionsError: columns are missing, nothing is in it, a score is no finite number, or an image has two.
        FileError: the file can't be read.
    """
    rows = _csv_rows(path) if Path(path).suffix == ".csv" else _hdf5_rows(path)
    shown, seen, checked = printable(path), {}, []
    for model, image, score, where in rows:
        try:
            number = float(score)
        except ValueError:
            raise PredictionsError(f"{shown}: {where}: score {printable(str(score))!r} is not a number.") from None
        if not math.isfinite(number):
            raise PredictionsError(f"{shown}: {where}: score {number} is not finite. Write a number for every image.")
        if (model, image) in seen:
            raise PredictionsError(
                f"{shown}: {where}: {printable(image)} has a score already ({seen[model, image]}). Write each image "
                "once; where the file holds several classifiers, tell them apart in a column named model."
            )
        seen[model, image] = where
        checked.append((model, image, number, where))
    if not checked:
        raise PredictionsError(f"{shown}: holds no scores. Write a row with image and score for every test image.")
    return checked


def matched(rows: Sequence[Row], names: Sequence[str], path: str | os.PathLike, wanted: str) -> np.ndarray:
    """Scores (n, m) float64 of n classifiers for m test images.

    Args:
        rows: of `read`.
        names: (m,) of the test images.
        path: the file, for messages.
        wanted: the list of test images, for messages.

    Raises:
        PredictionsError: images are missing, or are no test images.
    """
    shown = printable(path)
    places = {text.cell(name): i for i, name in enumerate(names)} | {name: i for i, name in enumerate(names)}
    models = list(dict.fromkeys(row[0] for row in rows))
    if unknown := list(dict.fromkeys(row[1] for row in rows if row[1] not in places)):
        raise PredictionsError(
            f"{shown}: {len(unknown)} of its images are no test images: {_some(unknown)}. {wanted} lists their names."
        )
    scores = np.full((len(models), len(names)), np.nan)
    for model, image, score, _ in rows:
        scores[models.index(model), places[image]] = score
    for model, missing in zip(models, np.isnan(scores), strict=True):
        if missing.any():
            of = f" of model {printable(model)}" if len(models) > 1 else ""
            lacking = _some([names[i] for i in np.flatnonzero(missing)])
            raise PredictionsError(
                f"{shown}: {missing.sum()} of {len(names)} test images have no score{of}: {lacking}. {wanted} lists "
                "the images that are wanted."
            )
    return scores


def sets(name: str, scores: np.ndarray, images: predictions.Images) -> list[predictions.Predictions]:
    """What the tables need: the scores as they are, and predicted classes by a threshold.

    Args:
        name: of the classifier.
        scores: (n, m), higher for the conjunction.
        images: the test images; the threshold is the best one on their validation half.
    """
    from zoofuse.evaluation import zero_shot  # imports torch

    unknown = np.full(len(scores), np.nan)
    raw = predictions.zero_shot(name, HEAD, images, scores=scores, validation=unknown, threshold=unknown)
    half = images.validation
    threshold, validation = zero_shot.best_threshold(scores[:, half], images.labels[half])
    cut = predictions.Predictions(
        name, "held_out", "threshold", images, raw.domain, raw.model, scores >= threshold[:, None],
        {"validation": validation},
    )  # fmt: skip
    return [raw, cut]


def _csv_rows(path: str | os.PathLike):
    with files.reader(path) as file:
        content = file.read()
    shown = printable(path)
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = [name.strip() for name in next(lines, [])]
        _check_columns(shown, header)
        at = {name: header.index(name) for name in (*COLUMNS, "model") if name in header}
        for cells in lines:
            if not any(cells):
                continue
            where = f"line {lines.line_num}"
            if len(cells) != len(header):
                raise PredictionsError(f"{shown}: {where} has {len(cells)} values; the header has {len(header)}.")
            row = {name: cells[i] for name, i in at.items()}
            yield row.get("model", ""), row["image"], row["score"], where
    except UnicodeDecodeError:
        raise PredictionsError(f"{shown}: not UTF-8 text. Save the table as CSV in UTF-8.") from None
    except csv.Error as error:
        raise PredictionsError(f"{shown}: line {lines.line_num} is not CSV ({error}).") from None


def _hdf5_rows(path: str | os.PathLike):
    shown = printable(path)
    with files.reader(path) as file:
        if files.is_own(file):
            return _own_rows(path)
        try:
            with h5py.File(file, "r") as handle:
                if outside := files.external_link(handle):
                    raise PredictionsError(f"{shown}: {outside} lies in another file. Write the values themselves.")
                _check_columns(shown, list(handle))
                columns = {}
                for name in (*COLUMNS, *(["model"] if "model" in handle else [])):
                    values = handle[name]
                    is_text = h5py.check_string_dtype(values.dtype)
                    columns[name] = (values.asstr() if is_text else values)[...]
        except PredictionsError:
            raise
        except Exception as error:  # whatever HDF5 says about a damaged file
            raise PredictionsError(f"{shown}: truncated, corrupt or not HDF5 ({error}).") from None
    shapes = {name: values.shape for name, values in columns.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise PredictionsError(
            f"{shown}: image, score and model must have one length, but are {shapes}. Write a value for each image."
        )
    models = columns.get("model", np.full(shapes["score"], ""))
    return [
        (str(model), str(image), score, f"row {i}")
        for i, (model, image, score) in enumerate(zip(models, columns["image"], columns["score"], strict=True))
    ]


def _own_rows(path: str | os.PathLike):
    """Of a predictions file, the scores that were not fitted to test images."""
    scored = [of for of in predictions.read(path) if of.protocol == "zero_shot"]
    if len(scored) != 1:
        raise PredictionsError(
            f"{printable(path)}: holds {len(scored)} sets of zero-shot predictions; one is wanted. Write it alone."
        )
    (of,) = scored
    return [
        (of.name(i), str(image), score, f"CNN {of.name(i)}")
        for i in range(len(of))
        for image, score in zip(of.images.names, of.scores[i], strict=True)
    ]


def _check_columns(shown: str, held: Sequence[str]) -> None:
    if missing := [name for name in COLUMNS if name not in held]:
        raise PredictionsError(
            f"{shown}: has no {' and no '.join(missing)}; it holds {', '.join(map(printable, held)) or 'nothing'}. "
            "Name the columns image and score, and model where the file holds several classifiers."
        )
    if twice := [name for name in (*COLUMNS, "model") if list(held).count(name) > 1]:
        raise PredictionsError(f"{shown}: has {twice[0]} twice. Keep one.")


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    return ", ".join(printable(str(name)) for name in names[:_MOST]) + rest
