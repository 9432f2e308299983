"""`zoofuse info`: what a file is, what it was made from, and whether it is intact."""

import os
from collections.abc import Mapping
from pathlib import Path

from zoofuse.core import csv_files, files, sums
from zoofuse.core.text import printable
from zoofuse.export import model_files
from zoofuse.importers import formats

KINDS = {
    "zoo": "CNNs",
    "images": "images of a concept",
    "test_images": "test images of a fusion",
    "kernels": "a kernel bank",
    "generators": "generators of a CycleGAN",
    "predictions": "predictions on test images",
    "shown": "what the figures of a report show",
    "netspace": "a NetSpace",
    "networks": "networks for a NetSpace",
}
LONGEST = 300  # characters of one value


def about(path: str) -> tuple[str, bool]:
    """What a file or folder is.

    Args:
        path: an HDF5 file or a table of a run; a folder of an exported model, or one of its files; a folder of a
            shared zoo.

    Returns:
        Lines for the user, and whether it is one of zoofuse's and intact.
    """
    shown = printable(path)
    try:
        place = Path(path)
        if not os.path.lexists(place):
            return f"{shown}: there is no such file or folder.", False
        if place.is_dir() and (place / files.ZOO_FACTS).exists():
            return _shared_zoo(place)
        if place.is_dir() and not (place / model_files.CONFIG).exists():
            return f"{shown}: a folder, but neither an exported model nor a shared zoo. Name a file in it.", False
        if place.is_dir() or place.name in (model_files.CONFIG, model_files.WEIGHTS, model_files.ONNX):
            return _model(path)
        with files.reader(place) as file:
            own = files.is_own(file)
        if own:
            return _hdf5(place)
        if place.suffix == ".csv":
            return _table(place)
        kind = formats.of_file(place) or "its format is unknown"
        if formats.is_hdf5(place):
            kind = "an HDF5 file without zoofuse's checksum"
        return f"{shown}: not a file of zoofuse's ({kind.partition(';')[0]}).", False
    except (ValueError, OSError) as error:  # worded for users; most begin with the path
        words = str(error)
        return words if words.startswith(shown) else f"{shown}: {words}", False


def _hdf5(path: Path) -> tuple[str, bool]:
    facts = files.facts(path)
    lines = [f"{len(facts.datasets)} datasets:"]
    lines += [
        f"  {name}  {' x '.join(map(str, shape)) or '1'} {dtype}" for name, (shape, dtype) in facts.datasets.items()
    ]
    return _said(
        path, f"{KINDS.get(facts.kind, facts.kind)} (kind {facts.kind})", facts.version, facts.attributes, lines
    )


def _model(path: str) -> tuple[str, bool]:
    config, _ = model_files.read(path)
    what = f"an exported CNN for {config['fusion']}, made by {config['method']}"
    kept = {
        key: value for key, value in config.items() if key not in ("format", "format_version", "zoofuse", "checksum")
    }
    return _said(path, what, config["zoofuse"], kept, ["The checksums cover model.safetensors and config.json."])


def _table(path: Path) -> tuple[str, bool]:
    with files.reader(path) as file:
        header = file.readline(10_000).decode("utf-8", "replace").strip()
    columns = header.split(",")
    if columns[:2] in (["file", "score"], ["file", "cause"]):
        return f"{printable(path)}: predictions for a folder of images. Such files have no checksum.", True
    if not columns[-1].startswith(csv_files.COLUMN):
        return f"{printable(path)}: not a table of zoofuse's: it has no column {csv_files.COLUMN}.", False
    table = csv_files.read(path)
    lines = [f"{len(table):,} rows; columns: {', '.join(table.columns)}"]
    return _said(path, "a table", None, {}, lines)


def _shared_zoo(folder: Path) -> tuple[str, bool]:
    """A zoo that `snakemake to_pytorch` wrote."""
    names = sums.check(folder)
    return f"{printable(folder)}: a shared zoo of {len(names) - 1} files. All checksums in {sums.NAME} hold.", True


def _said(
    path: str | os.PathLike, what: str, version: str | None, facts: Mapping, lines: list[str]
) -> tuple[str, bool]:
    by = f", written by zoofuse {version}" if version else ""
    head = f"{printable(path)}: {what}{by}. Its checksum holds."
    return "\n".join(
        [head, *(f"  {key}: {_short(value)}" for key, value in facts.items()), *(f"  {x}" for x in lines)]
    ), True


def _short(value) -> str:
    words = printable(str(value))
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}... ({len(words):,} characters)"
