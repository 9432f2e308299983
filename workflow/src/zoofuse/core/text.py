"""Names and messages that come from outside, made safe for a terminal, a page or a spreadsheet."""

import os
import re

# Control characters (an escape sequence can rewrite what a terminal shows), line separators, and the marks that turn
# the direction of writing; a tab and a line break are written by ourselves.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_LONE = re.compile("[\ud800-\udfff]")  # what Python makes of bytes that are not UTF-8, and JSON of half a pair
_FORMULA = ("=", "+", "-", "@", "\t", "'")


def printable(name: str | os.PathLike) -> str:
    """A file's name that can be printed, stored and shown on one line.

    Bytes that are not UTF-8 become U+FFFD; control characters become visible escapes, such as \\x1b.
    """
    decoded = os.fspath(name)
    if isinstance(decoded, bytes):
        decoded = decoded.decode("utf-8", "surrogateescape")
    return visible(_LONE.sub("\ufffd", decoded)).replace("\n", "\\n").replace("\t", "\\t")


def visible(message: str) -> str:
    """A message with every control character but tabs and line breaks as a visible escape, such as \\x1b.

    Half a surrogate pair, which no terminal or file takes, becomes U+FFFD.
    """
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), _LONE.sub("\ufffd", message))


def cell(value):
    """A CSV cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe before it.

    Control characters become visible escapes. A single "-", as where there is one domain only, is no formula.
    """
    if not isinstance(value, str):
        return value
    value = visible(value)
    return f"'{value}" if value.startswith(_FORMULA) and value != "-" else value


def uncell(value):
    """The text that `cell` was given, control characters apart."""
    return value[1:] if isinstance(value, str) and value.startswith("'") else value
