"""CSV tables that people open and later jobs read, with a checksum that every read verifies.

The last column, `checksum`, holds the same value in every row: the first 16 hexadecimal digits of the SHA-256 of
the file with these digits replaced by a placeholder, and the code of the job that wrote it (`code.description`). A
table without rows has it in the column's name. Spreadsheets and pandas read the table as usual.
"""

import hashlib
import io
import os
import re

import pandas as pd

from zoofuse.core import code, text
from zoofuse.core.errors import FileError
from zoofuse.core.files import REMAKE, reader
from zoofuse.core.temporary import atomic_path

COLUMN = "checksum"
# Text columns of all tables, so that a group "007" stays text and "NA" is a name like any other. A name in this
# list must not be a numeric column of another table.
TEXT = (
    "activation", "advice", "against", "architecture", "balance", "baseline", "check", "clusterer", "concept", "device",
    "domain", "features", "file", "fusion", "group", "half", "head", "image", "implementation", "initialisation",
    "layer", "level", "measure", "message", "method", "note", "optimiser", "other", "parameters", "place",
    "predictor", "protocol", "rule", "schedule", "selected", "selected_on", "setting", "supervision", "verdict", "what",
    "zoo",
)  # fmt: skip
_PLACEHOLDER = b"\x01" * 16  # as long as a checksum; `text.cell` lets no such character into a table
_STORED = re.compile(rb"[,:]([0-9a-f]{16})((?: [\w.:-]+)*)\n\Z")
# pandas 3.1 reads the very number that was written, and deprecates the option.
_EXACT = {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}


def write(path: str | os.PathLike, table: pd.DataFrame, **options) -> None:
    """Write a table with a checksum, without its index, completely or not at all.

    Args:
        path: the CSV.
        table: its rows. Text that a spreadsheet would run as a formula gets an apostrophe, which `read` removes.
        options: further arguments of `DataFrame.to_csv`, such as float_format.

    Raises:
        FileError: no space or no permission to write.
    """
    value = f"{_PLACEHOLDER.decode()} {code.running()}".rstrip()
    name = COLUMN if len(table) else f"{COLUMN}:{value}"
    # Numeric columns are left alone: `map` changes float32 and integers with gaps.
    escaped = {column: table[column].map(text.cell, na_action="ignore") for column in _text_columns(table)}
    escaped_table = table.assign(**escaped, **{name: value})
    # Bytes that are not Unicode are written as escapes.
    content = escaped_table.to_csv(index=False, lineterminator="\n", **options).encode(errors="backslashreplace")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.replace(_PLACEHOLDER, _checksum(content)))


def read(path: str | os.PathLike) -> pd.DataFrame:
    """Read a table that `write` wrote.

    Returns:
        The table without the checksum. Columns named in TEXT are text, with NaN in empty cells.

    Raises:
        FileError: the file is missing, corrupt or edited.
        AccessError: it can't be read now (permissions, a disk, a network).
    """
    content, _ = _verified(path)
    try:
        table = pd.read_csv(
            io.BytesIO(content), dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""], **_EXACT
        )
    except ValueError as error:
        raise FileError(f"{path}: not a zoofuse table ({error}). {REMAKE}") from error
    table = table[table.columns[:-1]]
    for name in _text_columns(table):
        if table[name].map(lambda value: isinstance(value, str) and value.startswith("'")).any():
            table = table.assign(**{name: table[name].map(text.uncell, na_action="ignore")})
    return table


def made_with(path: str | os.PathLike) -> str:
    """The code that a table was made with (`code.description`); "" if the table does not say. Raises as `read`."""
    return _verified(path)[1]


def _verified(path: str | os.PathLike) -> tuple[bytes, str]:
    """A table's bytes, and the code that it was made with."""
    with reader(path) as file:
        content = file.read()
    stored = _STORED.search(content)
    if stored is None:
        raise FileError(
            f"{path}: has no checksum: an older version of zoofuse wrote it, or it is corrupt or edited. {REMAKE}"
        )
    if _checksum(content.replace(stored[1], _PLACEHOLDER)) != stored[1]:
        raise FileError(f"{path}: corrupt or edited (checksum mismatch). {REMAKE}")
    return content, stored[2].decode().strip()


def _text_columns(table: pd.DataFrame) -> list[str]:
    return [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]  # booleans count as numeric


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest()[:16].encode()
