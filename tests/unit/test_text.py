import os

import pytest

from zoofuse.core import text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain ä 猫.jpg", "plain ä 猫.jpg"),
        ("\x1b[2Jgone.jpg", "\\x1b[2Jgone.jpg"),
        ("two\nlines\t.jpg", "two\\nlines\\t.jpg"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("line\u2028end", "line\\u2028end"),
        (os.fsdecode(b"\xff.jpg"), "\ufffd.jpg"),
        (b"\xff.jpg", "\ufffd.jpg"),
        ("\ud800half a pair", "\ufffdhalf a pair"),
    ],
)
def test_a_name_is_shown_on_one_line_and_moves_no_cursor(name, shown):
    assert text.printable(name) == shown


def test_a_message_keeps_its_lines():
    assert text.visible("one\n\ttwo\x1b[31m\r") == "one\n\ttwo\\x1b[31m\\r"


@pytest.mark.parametrize("value", ["=1", "+1", "-1", "@a", "'", "''=", "plain", "", 3, None, -2.5])
def test_a_cell_comes_back(value):
    assert text.uncell(text.cell(value)) == value
    assert not str(text.cell(value)).startswith("=")
