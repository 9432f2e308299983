"""The Small CNN Zoo's files (Unterthiner et al. 2020): all weights in one matrix, with metrics and layout beside it.

weights.npy has a row for each checkpoint, metrics.csv.gz what it was trained by and its scores, layout.csv which
columns are which variable. Kernels are Keras's: (rows, columns, in, out), and (in, out) of the dense layer.
"""

import functools
import gzip
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoofuse.core import files
from zoofuse.core.text import printable
from zoofuse.importers.foreign_layouts import ZooError

if TYPE_CHECKING:
    import pandas as pd  # the Snakefile reads this module, and pandas takes a while to import

LAYOUT = "Small CNN Zoo"
NAMES = ("weights.npy", "metrics.csv.gz", "layout.csv")
_MOST = 2**29  # bytes of the unpacked metrics; those of 270,000 checkpoints have some 10**8
# Our factor -> their column.
_FACTORS = {
    "learning_rate": "config.learning_rate",
    "optimiser": "config.optimizer",
    "weight_decay": "config.l2reg",
    "dropout": "config.dropout",
    "initialisation": "config.w_init",
    "activation": "config.activation",
    "data_share": "config.train_fraction",
    "seed": "config.random_seed",
}
_INITIALISATIONS = {
    "he_normal": "kaiming_normal",
    "he_uniform": "kaiming_uniform",
    "glorot_normal": "xavier_normal",
    "glorot_uniform": "xavier_uniform",
}
_SCORES = {"test_accuracy": "test_accuracy", "train_accuracy": "train_accuracy", "loss": "train_loss"}


def is_one(path: Path) -> bool:
    """Whether a path is a folder with the three files."""
    return all((path / name).is_file() for name in NAMES)


def count(path: Path) -> int:
    """CNNs in the zoo; a CNN's checkpoints count once.

    Raises:
        ZooError: the metrics can't be read.
    """
    return len(_last_rows(_metrics(path)))


def digest(path: Path) -> str:
    """SHA-256 over metrics and layout, and the size and time of the matrix, which has gigabytes."""
    small = {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in NAMES[1:]}
    stat = (path / NAMES[0]).stat()
    return files.digest([small, stat.st_size, stat.st_mtime_ns])


def members(path: Path, models: range, shapes: Mapping[str, tuple]) -> Iterator[tuple[str, Callable]]:
    """Label and a function that gives weights, factors, epochs and scores of each CNN, by its last checkpoint.

    Args:
        path: the folder.
        models: places of the CNNs, in the order in which the metrics first name them.
        shapes: our parameter -> its shape.

    Raises:
        ZooError: the files don't fit together, or don't fit the shapes.
    """
    table = _metrics(path)
    try:
        matrix = np.load(path / NAMES[0], mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ZooError(
            f"{printable(path / NAMES[0])}: not a NumPy array of numbers ({printable(str(error))})."
        ) from None
    columns = _columns(path, shapes)
    width = max(stop for _, stop, _ in columns.values())
    if matrix.ndim != 2 or matrix.dtype.kind != "f" or len(matrix) != len(table) or matrix.shape[1] < width:
        raise ZooError(
            f"{printable(path)}: weights.npy is {matrix.shape} of {matrix.dtype}; expected floats, a row for each of "
            f"the {len(table):,} rows of metrics.csv.gz and {width:,} columns, as layout.csv says."
        )
    for row in _last_rows(table)[models.start : models.stop]:
        entry = table.iloc[row]
        label = str(entry["modeldir"]) if "modeldir" in table else f"row {row}"
        yield printable(label), functools.partial(_taken, np.asarray(matrix[row]), columns, entry)


def _taken(values: np.ndarray, columns: Mapping[str, tuple], entry: "pd.Series") -> tuple[dict, dict, int, dict]:
    weights = {}
    for name, (start, stop, shape) in columns.items():
        array = values[start:stop].reshape(shape)
        array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        weights[name] = np.ascontiguousarray(array, np.float32)
    known = entry.dropna()
    factors = {ours: known[theirs] for ours, theirs in _FACTORS.items() if theirs in known}
    factors = {name: str(value) if isinstance(value, str) else float(value) for name, value in factors.items()}
    if "initialisation" in factors:
        spelled = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(factors["initialisation"])).lower()
        factors["initialisation"] = _INITIALISATIONS.get(spelled, spelled)
    epochs = max(1, int(entry["step"]))
    scores = {ours: {epochs: float(entry[theirs])} for ours, theirs in _SCORES.items() if theirs in entry}
    return weights, factors, epochs, scores


def _metrics(path: Path) -> "pd.DataFrame":
    import pandas as pd

    file = path / NAMES[1]
    try:
        with gzip.open(file) as handle:
            content = handle.read(_MOST + 1)
        if len(content) > _MOST:
            raise ZooError(f"{printable(file)}: more than {_MOST:,} bytes unpacked.")
        table = pd.read_csv(io.BytesIO(content))
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, ZooError):
            raise
        raise ZooError(f"{printable(file)}: not a gzipped CSV ({printable(str(error))}).") from None
    if "step" not in table or not np.issubdtype(table["step"].dtype, np.number) or table.empty:
        raise ZooError(f"{printable(file)}: has no column step with the epoch of each checkpoint.")
    return table


def _last_rows(table: "pd.DataFrame") -> list[int]:
    """The row of each CNN's last checkpoint."""
    if "modeldir" not in table:
        return np.flatnonzero(table["step"] == table["step"].max()).tolist()
    steps = table["step"].reset_index(drop=True)
    return steps.groupby(table["modeldir"].to_numpy(), sort=False).idxmax().tolist()


def _columns(path: Path, shapes: Mapping[str, tuple]) -> dict[str, tuple[int, int, tuple[int, ...]]]:
    """Our parameter -> its first column, the one after its last, and its shape as Keras has it."""
    import pandas as pd

    file = path / NAMES[2]
    layers: dict[str, dict[str, tuple]] = {}
    try:
        for row in pd.read_csv(file).to_dict("records"):
            layer, _, part = str(row["varname"]).rpartition("/")
            shape = tuple(map(int, re.findall(r"\d+", str(row["shape"]))))
            part = {"kernel:0": "weight", "bias:0": "bias"}[part]
            layers.setdefault(layer, {})[part] = (int(row["start_idx"]), int(row["end_idx"]), shape)
    except (OSError, ValueError, KeyError) as error:
        raise ZooError(
            f"{printable(file)}: expected columns varname (.../kernel:0 or .../bias:0), start_idx, end_idx and shape "
            f"({printable(str(error))})."
        ) from None
    theirs = [layer[part] for layer in layers.values() for part in ("weight", "bias") if part in layer]
    found = [(shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1] for *_, shape in theirs]
    fits = all(0 <= start < stop and stop - start == np.prod(shape) for start, stop, shape in theirs)
    if found != list(shapes.values()) or not fits:
        raise ZooError(f"{printable(file)}: has layers {found}; the architecture has {list(shapes.values())}.")
    return dict(zip(shapes, theirs, strict=True))
