"""Every HDF5 of the project: written whole or not at all, says what it is, and is checked when it is read."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

import zoofuse

FORMAT_VERSION = 1


class FileError(ValueError):
    """A file that is missing, damaged, or not what its reader expects; the message names it and the way out."""


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:  # on disk before the name is, also after a power cut
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: str | os.PathLike, kind: str, arrays: Mapping[str, np.ndarray], **attributes) -> None:
    """Write `arrays` (name -> array or list of str) as an HDF5 of this `kind`.

    Each dataset carries the SHA-256 of its bytes; `attributes` (anything JSON can hold: settings, seeds, source
    digests) are stored as JSON text, beside the kind, the format version and the version of zoofuse.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as handle:
        handle.attrs["kind"] = kind
        handle.attrs["format_version"] = FORMAT_VERSION
        handle.attrs["zoofuse"] = zoofuse.__version__
        for name, value in attributes.items():
            handle.attrs[name] = json.dumps(value, sort_keys=True)
        for name, array in arrays.items():
            array = np.asarray(array)
            if array.dtype.kind == "U":
                dataset = handle.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
            else:
                dataset = handle.create_dataset(name, data=array)
            dataset.attrs["sha256"] = _digest(array)


def read(path: str | os.PathLike, kind: str, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Read the datasets `names` (all by default) of a file of this `kind`, each checked against its digest.

    Raises FileError when the file is missing, truncated, foreign, of another kind or format, or damaged.
    """
    with _opened(path, kind) as handle:
        found = _dataset_names(handle)
        wanted = found if names is None else list(names)
        if missing := [name for name in wanted if name not in found]:
            raise FileError(f"{path}: has no {', '.join(missing)}; it holds {', '.join(found) or 'nothing'}. {_REMAKE}")
        arrays = {}
        for name in wanted:
            dataset = handle[name]
            array = dataset.asstr()[...].astype(str) if h5py.check_string_dtype(dataset.dtype) else dataset[...]
            if dataset.attrs.get("sha256") != _digest(array):
                raise FileError(f"{path}: dataset {name} is damaged (its digest does not match). {_REMAKE}")
            arrays[name] = array
        return arrays


def attributes(path: str | os.PathLike, kind: str) -> dict:
    """The attributes given to `write`, decoded; raises FileError like `read`."""
    own = {"kind", "format_version", "zoofuse"}
    with _opened(path, kind) as handle:
        return {name: json.loads(value) for name, value in handle.attrs.items() if name not in own}


def fingerprint(path: str | os.PathLike, names: Iterable[str] | None = None) -> str:
    """SHA-256 over names and digests of the datasets `names` (all by default): equal for equal content."""
    with _opened(path) as handle:
        names = _dataset_names(handle) if names is None else names
        return digest({name: str(handle[name].attrs["sha256"]) for name in names})


def digest(value) -> str:
    """SHA-256 of anything JSON can hold, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


_REMAKE = "Delete the file and run the same snakemake command again: it is made anew."


@contextlib.contextmanager
def _opened(path: str | os.PathLike, kind: str | None = None) -> Iterator[h5py.File]:
    if not Path(path).is_file():
        raise FileError(f"{path}: no such file.")
    try:
        with h5py.File(path, "r") as handle:
            found = handle.attrs.get("kind")
            if found is None:
                raise FileError(f"{path}: an HDF5 file, but not one of zoofuse's (no attribute 'kind'). {_REMAKE}")
            if kind not in (None, found):
                raise FileError(f"{path}: holds {found!r}, expected {kind!r}. Check which file is named.")
            if (version := handle.attrs.get("format_version")) != FORMAT_VERSION:
                raise FileError(
                    f"{path}: format version {version}, this zoofuse reads {FORMAT_VERSION}. "
                    "Use the version of zoofuse that wrote it, or delete the file to have it made anew."
                )
            yield handle
    except FileError:
        raise
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: truncated, damaged or not HDF5 ({error}). {_REMAKE}") from error


def _dataset_names(handle: h5py.File) -> list[str]:
    names: list[str] = []
    handle.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def _digest(array: np.ndarray) -> str:
    if array.dtype.kind == "U":
        data = "\0".join(array.ravel().tolist()).encode()
    else:
        data = np.ascontiguousarray(array).data if array.size else b""
    header = f"{'str' if array.dtype.kind == 'U' else array.dtype.str}{array.shape}".encode()
    hasher = hashlib.sha256(header)
    hasher.update(data)
    return hasher.hexdigest()
