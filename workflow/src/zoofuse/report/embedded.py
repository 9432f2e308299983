"""Data and JavaScript libraries that a page holds, packed."""

import base64
import functools
import gzip
import importlib.metadata
import importlib.resources
import json
import re

from plotly.offline import get_plotlyjs

from zoofuse.report import pages


def as_json(data) -> str:
    """Data as a page's script reads them; text as `pages.shown` has it."""
    return json.dumps(pages.shown(data), separators=(",", ":"), allow_nan=False)


def pack(text: str) -> str:
    """Text as base64 of its gzip, which the page's script undoes; the same text gives the same bytes."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@functools.cache
def library(name: str) -> str:
    """The text of a script element: Plotly, or a module that gives jQuery with DataTables away in an event."""
    if name == "plotly":
        return get_plotlyjs()
    bundle = importlib.resources.files("itables").joinpath("html", "dt_bundle.js").read_text(encoding="utf-8")
    exported = re.search(r"([\w$]+) as jQuery\b", bundle)
    if exported is None:
        version = importlib.metadata.version("itables")
        raise ValueError(f"itables {version}: its bundle of DataTables exports no jQuery; install another version.")
    return f'{bundle}\ndocument.dispatchEvent(new CustomEvent("datatables", {{detail: {exported[1]}}}));'


@functools.cache
def packed_library(name: str) -> str:
    """`pack` of a library."""
    return pack(library(name))
