"""Structures shared with the C++ of this package, compared at load with what a library says of its own (fields.h)."""

import ctypes
import functools
from itertools import zip_longest
from pathlib import Path

import numpy as np

from zoofuse.native import build


@functools.cache
def pointer(kind: str) -> type[ctypes.c_void_p]:
    """The type of a pointer to values of a NumPy type, such as "float32"; it is set from an address or None."""
    return type(f"pointer_to_{kind}", (ctypes.c_void_p,), {"kind": kind})


def library(source: Path, kind: str, structure: type[ctypes.Structure], defines: tuple[str, ...] = ()) -> ctypes.CDLL:
    """`build.library`, whose struct is found to be `structure`, which otherwise raises TypeError."""
    loaded = build.library(source, kind, defines)
    loaded.zoofuse_fields.argtypes, loaded.zoofuse_fields.restype = [], ctypes.c_char_p
    check(loaded.zoofuse_fields().decode(), structure, source.name)
    return loaded


def available(source: Path, structure: type[ctypes.Structure], defines: tuple[str, ...] = ()) -> tuple[bool, str]:
    """`build.available`, but a struct that is not `structure` raises TypeError: no machine is to blame for that."""
    able, reason = build.available(source, defines)
    if able:
        library(source, build.instruction_set(), structure, defines)
    return able, reason


def check(described: str, structure: type[ctypes.Structure], source: str) -> None:
    """Compare a structure with a library's description of its own.

    Raises:
        TypeError: they differ; it names the first field that does.
    """
    (name, size), *theirs = (line.split() for line in described.splitlines())
    ours = [_described(structure, *field) for field in structure._fields_]
    for their, our in zip_longest(theirs, ours):
        if their != our:
            field = (our or their)[0]
            raise TypeError(
                f"{name} of {source} and {structure.__module__}.{structure.__name__} differ at field {field!r}: "
                f"C++ has {_words(their)}, Python has {_words(our)}"
            )
    if int(size) != ctypes.sizeof(structure):
        raise TypeError(
            f"{name} of {source} has {size} bytes, {structure.__module__}.{structure.__name__} has "
            f"{ctypes.sizeof(structure)}"
        )


def _described(structure: type[ctypes.Structure], name: str, kind: type) -> list[str]:
    field = getattr(structure, name)
    return [name, str(field.offset), str(field.size), _kind(kind)]


def _kind(kind: type) -> str:
    if issubclass(kind, ctypes.Array):
        return f"{_kind(kind._type_)}[{kind._length_}]"
    if issubclass(kind, ctypes.c_void_p):
        return f"{getattr(kind, 'kind', 'void')}*"
    return np.dtype(kind).name


def _words(field: list[str] | None) -> str:
    if field is None:
        return "no further field"
    name, offset, size, kind = field
    return f"{name!r} of kind {kind} at byte {offset}, {size} bytes"
