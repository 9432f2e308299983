"""What all figures share: colours, signs, sizes, names that fit, and the file that one is written to.

One look for all: generated CNNs in vermilion, baselines in grey, published values in blue (Okabe and Ito's palette,
distinct in every common colour blindness), never by colour alone. No pyplot, so nothing depends on a display.
"""

import contextlib
import os
import unicodedata
from collections.abc import Iterator

import matplotlib
from matplotlib.figure import Figure

from zoofuse.core import text
from zoofuse.core.temporary import atomic_path
from zoofuse.report import pages

ACCENT, BLUE, GREEN, PURPLE, AMBER, SKY = "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
INK, GREY, PALE = "#222222", "#767676", "#D9D9D9"
SERIES = [BLUE, ACCENT, GREEN, PURPLE, AMBER, SKY, INK]
DASHES = ["-", "--", "-.", ":"]
MARKERS = "osD^vPX*<>hp"
WIDTH = 7.2  # inches, for every figure: text keeps one size through the report
DPI = 160
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "text.parse_math": False,  # $ in a name is a dollar sign; no text here is mathematics
    "svg.fonttype": "none",
    "svg.hashsalt": "zoofuse",
}

Path = str | os.PathLike


def plain(name: str, most: int = 40) -> str:
    """A name from outside as a figure can show it: on one line, at most `most` letters wide, its middle left out.

    Args:
        name: of a concept, group, method or anything else that people or files named.
        most: the width in letters; letters of East Asian scripts and emoji count twice.

    Returns:
        The text. One that begins with "_", which matplotlib leaves out of legends, has a blank before it.
    """
    shown = text.printable(pages.shown(str(name)))
    if _width(shown) > most:
        head, tail = shown[:most], shown[-most:]
        while _width(head) > most * 0.6:
            head = head[:-1]
        while _width(tail) > most * 0.3:
            tail = tail[1:]
        shown = f"{head}…{tail}"
    return f" {shown}" if shown.startswith("_") else shown


def _width(shown: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in shown)


@contextlib.contextmanager
def canvas(path: Path, height: float) -> Iterator[Figure]:
    """A figure of the house's width, written atomically to `path` when the block ends."""
    suffix = os.path.splitext(path)[1].lstrip(".")
    if suffix not in ("png", "svg"):
        raise ValueError(f"{path}: figures are written as .png or .svg; end the name with one of them.")
    # no date or version inside, so that the same numbers give the same bytes
    metadata = {"Software": None} if suffix == "png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, height), layout="constrained")
        yield figure
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=suffix, dpi=DPI, metadata=metadata)
