"""CSV tables: what was written is what is read, or the file is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoofuse.core import csv_files, text
from zoofuse.core.errors import FileError

TABLE = pd.DataFrame(
    {
        "method": ["distil", "=1+1", "'quoted", "-5", "@x", "NA"],
        "group": ["007", "NA", "nan", "a,b", 'say "hi"', "two\nlines"],
        "domain": ["A", "B", None, "A", "A", "B"],
        "n": [1, 2, 3, 4, 5, 6],
        "median": [0.1, np.nan, 1 / 3, -0.25, np.inf, 5e-324],
        "dead": [True, False, True, False, True, False],
    }
)


def test_a_table_is_read_as_it_was_written(tmp_path):
    csv_files.write(tmp_path / "t.csv", TABLE)
    pd.testing.assert_frame_equal(csv_files.read(tmp_path / "t.csv"), TABLE, check_dtype=False)


def test_a_table_without_rows(tmp_path):
    csv_files.write(tmp_path / "t.csv", TABLE.iloc[:0])
    back = csv_files.read(tmp_path / "t.csv")
    assert back.columns.tolist() == TABLE.columns.tolist()
    assert back.empty


def test_a_spreadsheet_sees_no_formula_and_pandas_sees_the_table(tmp_path):
    csv_files.write(tmp_path / "t.csv", TABLE)
    plain = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert plain["method"].tolist() == ["distil", "'=1+1", "''quoted", "'-5", "'@x", "NA"]
    assert plain["median"][3] == "-0.25"  # a number stays a number
    assert plain[csv_files.COLUMN].nunique() == 1


@pytest.mark.parametrize("rows", [6, 0])
def test_no_wrong_bit_is_read(tmp_path, rows):
    path = tmp_path / "t.csv"
    csv_files.write(path, TABLE.iloc[:rows])
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            with pytest.raises(FileError, match=r"checksum.*regenerated"):
                csv_files.read(path)


def test_cut_changed_and_missing_tables_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    csv_files.write(path, TABLE)
    lines = path.read_bytes().splitlines(keepends=True)
    for other in (lines[:-1], [*lines, lines[-1]], lines[:1], [], [b"a,b\n1,2\n"], [b"\xff\xfe\x00"]):
        path.write_bytes(b"".join(other))
        with pytest.raises(FileError, match=r"t\.csv.*checksum"):
            csv_files.read(path)
    with pytest.raises(FileError, match="no such file"):
        csv_files.read(tmp_path / "none.csv")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=12), st.floats(allow_nan=False)), min_size=1, max_size=5))
def test_any_text_and_any_number_come_back(tmp_path_factory, rows):
    table = pd.DataFrame(rows, columns=["group", "median"])
    table["group"] = table["group"].map(lambda name: text.visible(name.encode("utf-8", "replace").decode()) or np.nan)
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    csv_files.write(path, table)
    pd.testing.assert_frame_equal(csv_files.read(path), table, check_dtype=False)
