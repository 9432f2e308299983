"""Datasets of HDF5 files, written some rows at a time, each with the SHA-256 of all its values."""

import hashlib
from collections.abc import Mapping

import h5py
import numpy as np

from zoofuse.core.blocks import Sink


class Writer:
    """Takes the rows of datasets; see `files.create`."""

    def __init__(self, handle: h5py.File, sink: Sink):
        self._handle, self._sink = handle, sink
        self._started: dict[str, _Started] = {}

    def append(self, arrays: Mapping[str, np.ndarray], of: int | None) -> None:
        """Write the next rows of datasets.

        Args:
            arrays: name -> rows. A name's first rows say its type and the shape of a row.
            of: rows that these datasets have in the end; None for a single value.

        Raises:
            OSError: no space.
            ValueError: more rows than that.
        """
        for name, array in arrays.items():
            if name not in self._started:
                self._started[name] = _Started(self._handle, name, array, of)
            self._started[name].append(array)
            self._sink.check()

    def finish(self) -> None:
        """Write the checksums. Raises ValueError where rows are missing."""
        for started in self._started.values():
            started.finish()


class _Started:
    """A dataset that is being written, its checksum that of `digest`."""

    def __init__(self, handle: h5py.File, name: str, first: np.ndarray, of: int | None):
        shape, self._text, self._row = () if of is None else (of, *first.shape[1:]), first.dtype.kind == "U", 0
        dtype = h5py.string_dtype() if self._text else first.dtype
        self._dataset = handle.create_dataset(name, shape, dtype)
        self._hasher = _hasher(first.dtype, shape)

    def append(self, array: np.ndarray) -> None:
        stop = self._row + (len(array) if array.ndim else 1)
        if stop > (len(self._dataset) if self._dataset.shape else 1):
            raise ValueError(f"{self._dataset.name}: {stop} rows of {self._dataset.shape}")
        if array.size:
            if self._row and self._text:
                self._hasher.update(b"\0")
            self._hasher.update(_bytes(array))
            place = slice(self._row, stop) if array.ndim else ()
            self._dataset[place] = array.astype(object) if self._text else array
        self._row = stop

    def finish(self) -> None:
        if self._row != (rows := len(self._dataset) if self._dataset.shape else 1):
            raise ValueError(f"{self._dataset.name}: {self._row} rows of {rows}")
        self._dataset.attrs["sha256"] = self._hasher.hexdigest()


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array's type, shape and values."""
    hasher = _hasher(array.dtype, array.shape)
    hasher.update(_bytes(array))
    return hasher.hexdigest()


def _hasher(dtype: np.dtype, shape: tuple[int, ...]):
    return hashlib.sha256(f"{'str' if dtype.kind == 'U' else dtype.str}{shape}".encode())


def _bytes(array: np.ndarray):
    if array.dtype.kind == "U":
        return "\0".join(array.ravel().tolist()).encode()
    return np.ascontiguousarray(array).data if array.size else b""
