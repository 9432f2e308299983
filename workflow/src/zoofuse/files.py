"""Every HDF5 of the project: written whole or not at all, says what it is, and is checked when it is read."""

import contextlib
import errno
import functools
import glob
import hashlib
import io
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

import zoofuse

FORMAT_VERSION = 1
_OWN = 512  # bytes before the HDF5, its smallest "user block"
_FIRST = b"zoofuse sha256 "
_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


class FileError(ValueError):
    """A file that is missing, damaged, or not what its reader expects; the message names it and the way out."""


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error it is removed.

    Raises FileError where there is no room or no right to write.
    """
    path, host = Path(path), socket.gethostname()
    temporary = path.with_name(f".{path.name}.{host}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.{host}.*.tmp"):
            if not _lives(int(left.suffixes[-2][1:])):  # of a process that was killed
                left.unlink(missing_ok=True)
        yield temporary
        with open(temporary, "rb+") as handle:  # on disk before the name is, also after a power cut
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        raise FileError(
            f"{path}: can't be written ({os.strerror(error.errno)}). Make room, or make the folder writable, and run "
            "the same snakemake command again: what is finished is kept."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write(path: str | os.PathLike, kind: str, arrays: Mapping[str, np.ndarray], **attributes) -> None:
    """Write `arrays` (name -> array or list of str) as an HDF5 of this `kind`.

    Each dataset carries the SHA-256 of its bytes; `attributes` (anything JSON can hold: settings, seeds, source
    digests) are stored as JSON text, beside the kind, the format version and the version of zoofuse.
    The file begins with a line of its own, which HDF5 passes over: the SHA-256 of all that follows.
    """
    whole = io.BytesIO()  # HDF5 itself ends the process, or breaks off in the middle, when a disk is full
    with h5py.File(whole, "w", userblock_size=_OWN) as handle:
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
    content = whole.getbuffer()
    content[:_OWN] = (_FIRST + hashlib.sha256(content[_OWN:]).hexdigest().encode()).ljust(_OWN, b"\0")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


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
            if dataset.nbytes > os.path.getsize(path):  # nothing is packed; memory is not asked for on a damaged word
                raise FileError(f"{path}: dataset {name} is damaged (its shape is {dataset.shape}). {_REMAKE}")
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
        told = os.stat(path)
        if not _is_whole(os.path.abspath(path), told.st_ino, told.st_size, told.st_mtime_ns):
            raise FileError(f"{path}: truncated, damaged or not HDF5 (its digest does not match). {_REMAKE}")
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
            if outside := links_outside(handle):
                raise FileError(f"{path}: {outside} lies in another file, which is not read. {_REMAKE}")
            yield handle
    except FileError:
        raise
    except Exception as error:  # whatever HDF5 says about a damaged file
        raise FileError(f"{path}: truncated, damaged or not HDF5 ({error}). {_REMAKE}") from error


def links_outside(handle: h5py.File) -> str | None:
    """The first link or dataset of a file whose content lies in another file, which a forged file could name."""

    def outside(name: str, link) -> str | None:
        if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
            return name
        item = handle[name]
        return name if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external) else None

    return handle.visititems_links(outside)


@functools.lru_cache(1024)
def _is_whole(path: str, *_changed) -> bool:
    """Whether the file's bytes are those that were written, asked before HDF5 sees them: it can hang on a wrong bit."""
    with open(path, "rb") as file:
        first = file.read(_OWN)
        return (
            not first.startswith(_FIRST)
            or (  # files of before say nothing
                hashlib.file_digest(file, "sha256").hexdigest().encode() == first[len(_FIRST) :].rstrip(b"\0")
            )
        )


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
