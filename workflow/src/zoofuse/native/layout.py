"""Many UMAPs at once: umap-learn makes each, but for the layout, which C++ computes side by side (layout.cpp).

A layout is one update after another, and most of the time that an evaluation takes. The result is what umap-learn
computes, bit for bit but where powers that differ by 1e-15 round differently: in about one layout of a thousand. A
private function of umap-learn is replaced for this, so only in versions that were tested.
"""

import ctypes
import functools
import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from zoofuse.core import logs
from zoofuse.native import bindings, build
from zoofuse.native.bindings import pointer

FEWEST = 4  # layouts that are faster side by side than one by one
TESTED = "0.5.8", "0.5.12"  # the first and the last version of umap-learn that tests/unit/test_layout.py passed with
_SOURCE = Path(__file__).with_name("layout.cpp")


class _Set(ctypes.Structure):  # SET of layout.cpp
    _fields_ = (
        [("head", pointer("float32")), ("tail", pointer("float32")), ("from", pointer("int32"))]
        + [("to", pointer("int32")), ("every", pointer("float64")), ("random", pointer("int64"))]
        + [(name, ctypes.c_int64) for name in ("edges", "epochs", "others", "move_other")]
        + [(name, ctypes.c_double) for name in ("a", "b", "strength", "rate", "negatives")]
    )


def fit(reducers: Sequence, data: Sequence[np.ndarray]) -> list[np.ndarray]:
    """`fit_transform` of n umap.UMAP with two components, each to its own data: n arrays (m, 2) float32."""
    found = _together([functools.partial(reducer.fit_transform, x) for reducer, x in zip(reducers, data, strict=True)])
    for reducer, points in zip(reducers, found, strict=True):
        reducer.embedding_ = points
    return found


def transform(reducers: Sequence, data: Sequence[np.ndarray]) -> list[np.ndarray]:
    """`transform` of n fitted umap.UMAP, each of its own new data: n arrays (k, 2) float32."""
    return _together([functools.partial(reducer.transform, x) for reducer, x in zip(reducers, data, strict=True)])


def available() -> tuple[bool, str]:
    """Whether the C++ runs here (building it if need be), and how or why not, in one line."""
    return bindings.available(_SOURCE, _Set)


def _together(calls: Sequence) -> list[np.ndarray]:
    """What the calls return, with the layouts that umap-learn asks for in them made at the end, all at once."""
    if len(calls) < FEWEST or not _tested() or not available()[0]:
        return [call() for call in calls]
    found, asked = [], []
    with _held_back() as layouts:
        for call in calls:
            layouts.clear()
            found.append(call())
            asked.append(layouts[0] if layouts else None)
    made = [layout for layout in asked if layout is not None]
    _lay_out(made)
    for i, layout in enumerate(asked):
        if layout is not None:  # a point without neighbours has no place
            found[i] = np.where(np.isnan(found[i]), np.float32(np.nan), layout["head_embedding"])
    return found


def _tested() -> bool:
    """Whether this version of umap-learn was tested with the C++; if not, a line on stderr says so, once."""
    import umap

    first, last = map(_numbers, TESTED)
    if first <= _numbers(umap.__version__) <= last:
        return True
    logs.once(
        f"umap-learn {umap.__version__} computes the layouts itself, more slowly: the C++ layout was tested with "
        f"versions {TESTED[0]} to {TESTED[1]} only."
    )
    return False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


@contextmanager
def _held_back() -> Iterator[list[dict]]:
    """While this lasts, umap-learn leaves points where they begin, and what it was to do with them is in the list."""
    import umap

    original = umap.umap_.optimize_layout_euclidean
    signature, layouts = inspect.signature(original), []

    def note(*args, **options):
        asked = signature.bind(*args, **options)
        asked.apply_defaults()
        layouts.append(asked.arguments)
        return asked.arguments["head_embedding"].copy()

    umap.umap_.optimize_layout_euclidean = note
    try:
        yield layouts
    finally:
        umap.umap_.optimize_layout_euclidean = original


def _lay_out(layouts: Sequence[dict]) -> None:
    """Move each `head_embedding` to its place; arguments as umap.layouts.optimize_layout_euclidean has them."""
    sets, kept = [], []
    for asked in layouts:
        head, tail = asked["head_embedding"], asked["tail_embedding"]
        seed = head[:, 0].astype(np.float64).view(np.int64)[:, None]  # each point draws its own numbers
        arrays = [
            *(np.ascontiguousarray(asked[name], np.int32) for name in ("head", "tail")),
            np.ascontiguousarray(asked["epochs_per_sample"], np.float64),
            np.ascontiguousarray(asked["rng_state"] + seed),
        ]
        assert all(x.dtype == np.float32 and x.flags.c_contiguous and x.shape[1] == 2 for x in (head, tail))
        kept.append(arrays)
        sizes = [len(arrays[0]), *(int(asked[name]) for name in ("n_epochs", "n_vertices", "move_other"))]
        numbers = [asked[name] for name in ("a", "b", "gamma", "initial_alpha", "negative_sample_rate")]
        sets.append(_Set(head.ctypes.data, tail.ctypes.data, *(x.ctypes.data for x in arrays), *sizes, *numbers))
    library = bindings.library(_SOURCE, build.instruction_set(), _Set)
    library.zoofuse_layout.argtypes, library.zoofuse_layout.restype = [ctypes.POINTER(_Set), ctypes.c_int64], None
    library.zoofuse_layout((_Set * len(sets))(*sets), len(sets))
