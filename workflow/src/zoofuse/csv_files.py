"""Tables that people open and later jobs compute from: CSV with a checksum that is verified on every read.

The last column, `checksum`, holds the same value in every row: the first 16 hexadecimal digits of the SHA-256 of the
file with that value replaced by a placeholder. A table without rows has it in the column's name. So the checksum
travels with the file, and a spreadsheet or pandas reads the table as usual.
"""

import hashlib
import io
import os
import re
from pathlib import Path

import pandas as pd

from zoofuse import text
from zoofuse.files import FileError, atomic_path

COLUMN = "checksum"
# Columns of names: "007" stays text, and "NA" is a name like any other.
TEXT = ("advice", "check", "clusterer", "concept", "control", "domain", "file", "fusion", "group", "head", "level",
        "message", "method", "place", "selected", "verdict")  # fmt: skip
_PLACEHOLDER = b"zoofuse-checksum"  # as long as a checksum, and none of its characters but a few are hexadecimal
# pandas 3.1 reads the very number that was written, and deprecates the option.
_EXACT = {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}
_REMAKE = "Delete the file and run the same snakemake command again: it will be regenerated."


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
    filled = table.map(text.cell).assign(**{name: _PLACEHOLDER.decode()})
    content = filled.to_csv(index=False, lineterminator="\n", **options).encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.replace(_PLACEHOLDER, _checksum(content)))


def read(path: str | os.PathLike) -> pd.DataFrame:
    """Read a table that `write` wrote.

    Returns:
        The rows without the checksum. Columns named in TEXT are text, with NaN where a cell is empty.

    Raises:
        FileError: the file is missing, or is not what was written.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"{path}: can't be read ({error.strerror}).") from error
    told = re.search(rb"[,:]([0-9a-f]{16})\n\Z", content)
    if told is None:
        raise FileError(f"{path}: has no checksum: an older zoofuse wrote it, or it is corrupt or edited. {_REMAKE}")
    if _checksum(content.replace(told[1], _PLACEHOLDER)) != told[1]:
        raise FileError(f"{path}: corrupt or edited (checksum mismatch). {_REMAKE}")
    table = pd.read_csv(
        io.BytesIO(content), dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""], **_EXACT
    )
    table = table[table.columns[:-1]]
    names = table.select_dtypes(exclude=["number", "bool"]).columns
    return table.assign(**{name: table[name].map(text.uncell, na_action="ignore") for name in names})


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest()[:16].encode()
