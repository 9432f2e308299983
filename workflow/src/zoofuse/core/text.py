"""Names and messages from outside, made safe for terminals, pages and spreadsheets."""

import os
import re

# Control characters (an escape sequence can rewrite a terminal), line separators and marks that change the direction
# of writing; tabs and line breaks are allowed, because our own messages contain them.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")  # Python's form of bytes that are not UTF-8; also half a pair in JSON
_FORMULA = ("=", "+", "-", "@", "\t", "'")


def printable(name: str | os.PathLike) -> str:
    """A file name that can be printed and stored on one line.

    Bytes that are not UTF-8 become U+FFFD; control characters become escapes such as \\x1b.
    """
    decoded = os.fspath(name)
    if isinstance(decoded, bytes):
        decoded = decoded.decode("utf-8", "surrogateescape")
    return visible(_SURROGATE.sub("\ufffd", decoded)).replace("\n", "\\n").replace("\t", "\\t")


def visible(message: str) -> str:
    """A message whose control characters, except tabs and line breaks, are escapes such as \\x1b.

    Surrogates, which no terminal or file accepts, become U+FFFD.
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), _SURROGATE.sub("\ufffd", message))


def cell(value):
    """A CSV cell that no spreadsheet runs: text that begins like a formula gets a leading apostrophe.

    Control characters become escapes. A single "-" (no domain) is not a formula.
    """
    if not isinstance(value, str):
        return value
    value = visible(value)
    return f"'{value}" if value.startswith(_FORMULA) and value != "-" else value


def uncell(value):
    """The inverse of `cell`, except for control characters."""
    return value[1:] if isinstance(value, str) and value.startswith("'") else value
