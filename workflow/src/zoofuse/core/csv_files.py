"""Tables that people open and later jobs compute from: CSV with a checksum that is verified on every read.

The last column, `checksum`, holds the same value in every row: the first 16 hexadecimal digits of the SHA-256 of the
file with that value replaced by a placeholder. A table without rows has it in the column's name. So the checksum
travels with the file, and a spreadsheet or pandas reads the table as usual.
"""

import hashlib
import io
import os
import re

import pandas as pd

from zoofuse.core import text
from zoofuse.core.errors import FileError
from zoofuse.core.files import REMAKE, reader
from zoofuse.core.temporary import atomic_path

COLUMN = "checksum"
# Columns of text in all tables: a group "007" stays text, and "NA" is a name like any other. No name of
# such a column may be one of numbers in another table: NetSpace's has a "control".
TEXT = (
    "advice", "against", "baseline", "check", "clusterer", "concept", "device", "domain", "features", "file", "fusion",
    "group", "head", "layer", "level", "measure", "message", "method", "note", "other", "parameters", "picture",
    "place", "protocol", "rule", "selected", "selected_on", "setting", "supervision", "verdict", "way", "what",
)  # fmt: skip
_PLACEHOLDER = b"\x01" * 16  # as long as a checksum; `text.cell` lets no such character into a table
# pandas 3.1 reads the very number that was written, and deprecates the option.
_EXACT = {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}


def write(path: str | os.PathLike, table: pd.DataFrame, **options) -> None:
    """Write `table` whole or not at all, without its index, with a checksum.

    Args:
        path: the CSV to write.
        table: its rows. Text that a spreadsheet would take for a formula gets an apostrophe, which `read` takes off.
        options: further arguments of `DataFrame.to_csv`, such as float_format.

    Raises:
        FileError: there is no room or no permission to write.
    """
    name = COLUMN if len(table) else f"{COLUMN}:{_PLACEHOLDER.decode()}"
    # Numbers are left alone: `map` would make others of float32 and of integers with gaps.
    shown = {column: table[column].map(text.cell, na_action="ignore") for column in _other_than_numbers(table)}
    filled = table.assign(**shown, **{name: _PLACEHOLDER.decode()})
    # A name that is not Unicode keeps its bytes as escapes.
    content = filled.to_csv(index=False, lineterminator="\n", **options).encode(errors="backslashreplace")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.replace(_PLACEHOLDER, _checksum(content)))


def read(path: str | os.PathLike) -> pd.DataFrame:
    """Read a table that `write` wrote.

    Returns:
        The rows without the checksum. Columns named in TEXT are text, with NaN where a cell is empty.

    Raises:
        FileError: the file is missing, or is not what was written.
        AccessError: it can't be read now.
    """
    with reader(path) as file:
        content = file.read()
    told = re.search(rb"[,:]([0-9a-f]{16})\n\Z", content)
    if told is None:
        raise FileError(
            f"{path}: has no checksum: an older version of zoofuse wrote it, or it is corrupt or edited. {REMAKE}"
        )
    if _checksum(content.replace(told[1], _PLACEHOLDER)) != told[1]:
        raise FileError(f"{path}: corrupt or edited (checksum mismatch). {REMAKE}")
    try:
        table = pd.read_csv(
            io.BytesIO(content), dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""], **_EXACT
        )
    except ValueError as error:  # nobody's checksum protects what was never a table
        raise FileError(f"{path}: not a table of zoofuse ({error}). {REMAKE}") from error
    table = table[table.columns[:-1]]
    for name in _other_than_numbers(table):
        if table[name].map(lambda value: isinstance(value, str) and value.startswith("'")).any():
            table = table.assign(**{name: table[name].map(text.uncell, na_action="ignore")})
    return table


def _other_than_numbers(table: pd.DataFrame) -> list[str]:
    return [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]  # which booleans are, too


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest()[:16].encode()
