"""HDF5 files of the project: written whole or not at all, described by a kind, and checked whenever they are read."""

import contextlib
import errno
import hashlib
import io
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import h5py
import numpy as np

import zoofuse
from zoofuse.core.errors import AccessError, FileError
from zoofuse.core.temporary import atomic_path

FORMAT_VERSION = 2  # 1 had the concept as class 0 in labels and in the outputs of CNNs
REMAKE = "Delete the file and run the same snakemake command again: it will be regenerated."
_OWN = 512  # bytes before the HDF5, its smallest "user block"
_FIRST = b"zoofuse sha256 "
_HDF5 = b"\x89HDF\r\n\x1a\n"
_DEEPEST, _MOST = 16, 10_000  # groups within groups, and links, of a file that is read
_TEXT = 2**30  # bytes of text in memory, at most, of one dataset
_SETTLED = 10  # seconds after which a change of a file shows in its times, on every file system


# ---------------------------------------------------------------------------------------------- writing


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
    content[:_OWN] = _first_bytes(hashlib.sha256(content[_OWN:]).hexdigest())
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


# ---------------------------------------------------------------------------------------------- reading


def read(path: str | os.PathLike, kind: str, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Read the datasets `names` (all by default) of a file of this `kind`, each checked against its digest.

    Raises:
        FileError: the file is missing, truncated, foreign, of another kind or format, or damaged.
        AccessError: it can't be read now.
    """
    with _opened(path, kind) as opened:
        found = opened.datasets
        wanted = list(found) if names is None else list(names)
        if missing := [name for name in wanted if name not in found]:
            raise FileError(f"{path}: has no {', '.join(missing)}; it holds {', '.join(found) or 'nothing'}. {REMAKE}")
        arrays = {}
        for name in wanted:
            dataset = found[name]
            # Nothing is packed, and memory is not asked for on a damaged word.
            if dataset.shape is None or dataset.nbytes > opened.size:
                raise FileError(f"{path}: dataset {name} is damaged (its shape is {dataset.shape}). {REMAKE}")
            if h5py.check_string_dtype(dataset.dtype):
                array = _strings(path, dataset, opened.size)
            elif dataset.dtype.kind in "biuf":
                array = dataset[...]
            else:
                raise FileError(f"{path}: dataset {name} is damaged (its type is {dataset.dtype}). {REMAKE}")
            if _attribute(dataset, "sha256") != _digest(array):
                raise FileError(f"{path}: dataset {name} is damaged (its digest does not match). {REMAKE}")
            arrays[name] = array
        return arrays


def attributes(path: str | os.PathLike, kind: str) -> dict:
    """The attributes given to `write`, decoded; raises FileError like `read`."""
    own = {"kind", "format_version", "zoofuse"}
    with _opened(path, kind) as opened:
        names = [name for name in opened.handle.attrs if name not in own]
        return {name: json.loads(_attribute(opened.handle, name)) for name in names}


def read_state(path: str | os.PathLike, kind: str, identity: str) -> dict[str, np.ndarray] | None:
    """The state of an interrupted training, where there is one of this very training.

    Args:
        path: what the training saves as it goes.
        kind: of file.
        identity: digest of all that decides the training's numbers, saved as an attribute.

    Returns:
        The arrays; None, with a line that says why, where training starts at the beginning.

    Raises:
        AccessError: it can't be read now; it may be intact, and starting again would replace it.
    """
    if not os.path.exists(path):
        return None
    try:
        if attributes(path, kind).get("identity") != identity:
            others = "other inputs, settings, seed or way of computing"
            print(f"{path}: the state of a training with {others}; ignored, training starts anew.")
            return None
        return read(path, kind)
    except AccessError:
        raise
    except FileError as error:
        print(f"{path}: ignored, training starts anew ({error}).")
        return None


def fingerprint(path: str | os.PathLike, names: Iterable[str] | None = None) -> str:
    """SHA-256 over names and digests of the datasets `names` (all by default): equal for equal content."""
    with _opened(path) as opened:
        names = opened.datasets if names is None else names
        return digest({name: str(_attribute(opened.datasets[name], "sha256")) for name in names})


def digest(value) -> str:
    """SHA-256 of anything JSON can hold, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def reader(path: str | os.PathLike) -> Iterator[io.BufferedReader]:
    """Open a regular file to read its bytes; no lock is taken, and nothing but a regular file is waited for.

    Raises:
        FileError: there is no such file, or a folder, a pipe or a device has its name.
        AccessError: it can't be read now: permissions, a disk or a network. Errors while it is read are told so too.
    """
    try:
        raw = _Recorded(path, opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))
    except (FileNotFoundError, NotADirectoryError):
        dangling = f" It is a link to {os.readlink(path)}, which is missing." if os.path.islink(path) else ""
        raise FileError(f"{path}: no such file.{dangling}") from None
    except IsADirectoryError:
        raise FileError(f"{path}: a folder, not a file.") from None
    except OSError as error:
        raise _no_access(path, error) from error
    with raw, io.BufferedReader(raw) as file:
        if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            raise FileError(f"{path}: not a regular file (a pipe or a device). Remove it.")
        try:
            yield file
        except AccessError:
            raise
        except Exception as error:
            if raw.failed is not None:  # whatever was made of it on the way
                raise _no_access(path, raw.failed) from error
            raise


class _Recorded(io.FileIO):
    """A file that remembers why it could not be read: HDF5 tells no more than that it could not."""

    failed: OSError | None = None

    def readinto(self, buffer):
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failed = error
            raise

    def readall(self):
        try:
            return super().readall()
        except OSError as error:
            self.failed = error
            raise


def _no_access(path: str | os.PathLike, error: OSError) -> AccessError:
    if error.errno in (errno.EACCES, errno.EPERM):
        way_out = "Give this user permission to read it"
    else:
        way_out = "The file may be intact: check the disk or the network"
    return AccessError(f"{path}: can't be read ({error.strerror}). {way_out}, and run the same command again.")


class _File(NamedTuple):
    """An HDF5 that is whole, ours, and small enough to be looked through."""

    handle: h5py.File
    datasets: dict[str, h5py.Dataset]
    size: int  # bytes


@contextlib.contextmanager
def _opened(path: str | os.PathLike, kind: str | None = None) -> Iterator[_File]:
    try:
        # HDF5 reads from the very file that was checked, and through Python: it would lock a file that it opens itself.
        with reader(path) as file:
            _check_whole(path, file)
            with h5py.File(file, "r") as handle:
                found = _attribute(handle, "kind")
                if found is None:
                    raise FileError(f"{path}: an HDF5 file, but {_NOT_OURS} (no attribute 'kind'). {REMAKE}")
                if kind not in (None, found):
                    raise FileError(f"{path}: holds {found!r}, expected {kind!r}. Check which file is named.")
                if (version := _attribute(handle, "format_version")) != FORMAT_VERSION:
                    written = _attribute(handle, "zoofuse") or "?"
                    age = "an older" if str(version).isdigit() and int(version) < FORMAT_VERSION else "another"
                    raise FileError(
                        f"{path}: written by {age} zoofuse ({written}, format {version}; this one reads format "
                        f"{FORMAT_VERSION}). Delete results/ and run the same snakemake command again, or use the "
                        "zoofuse that wrote it."
                    )
                if outside := links_outside(handle):
                    raise FileError(f"{path}: {outside} lies in another file, which is not read. {REMAKE}")
                datasets = {name: item for name, _, item in _walk(handle) if isinstance(item, h5py.Dataset)}
                yield _File(handle, datasets, os.fstat(file.fileno()).st_size)
    except FileError:
        raise
    except MemoryError as error:
        raise AccessError(f"{path}: not enough memory to read it. Use a machine with more.") from error
    except Exception as error:  # whatever HDF5 says about a damaged file
        raise FileError(f"{path}: truncated, damaged or not HDF5 ({error}). {REMAKE}") from error


_NOT_OURS = "not one of zoofuse's"
_whole: set[tuple] = set()  # files that were checked and have not changed since


def _check_whole(path: str | os.PathLike, file: io.BufferedReader) -> None:
    """Refuse a file whose bytes are not those that were written, before HDF5 sees them: it can hang on a wrong bit."""
    told = os.fstat(file.fileno())
    identity = (told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns)
    if identity in _whole:
        return
    first = file.read(_OWN)
    if first.startswith(_HDF5):
        raise FileError(
            f"{path}: an HDF5 file, but {_NOT_OURS}, or written by an older version (it has no checksum). {REMAKE}"
        )
    if first != _first_bytes(hashlib.file_digest(file, "sha256").hexdigest()):
        raise FileError(f"{path}: truncated, damaged or not HDF5 (its digest does not match). {REMAKE}")
    now = os.fstat(file.fileno())
    if (now.st_mtime_ns, now.st_ctime_ns) != (told.st_mtime_ns, told.st_ctime_ns):
        raise AccessError(f"{path}: changed while it was read. Run the same command again.")
    # A file changed twice within one tick of the clock has the same times.
    if time.time() - max(told.st_mtime, told.st_ctime) > _SETTLED:
        _whole.add(identity)


def _first_bytes(hexadecimal: str) -> bytes:
    return (_FIRST + hexadecimal.encode()).ljust(_OWN, b"\0")


def links_outside(handle: h5py.File) -> str | None:
    """The first link or dataset of a file whose content lies in another file, which a forged file could name."""
    for name, link, item in _walk(handle):
        if item is None or isinstance(link, h5py.SoftLink | h5py.ExternalLink):
            return name
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            return name
    return None


def _walk(handle: h5py.File) -> Iterator[tuple[str, object, h5py.Group | h5py.Dataset | None]]:
    """(name, link, item) of everything in a file, depth first; the item is None where it is not in the file itself.

    Raises ValueError on more groups within groups than a file of ours has, as where a group holds itself, and on so
    many links that looking through them would take long.
    """
    seen = 0

    def below(group: h5py.Group, prefix: str, depth: int):
        nonlocal seen
        for name in group:
            seen += 1
            if depth >= _DEEPEST or seen > _MOST:
                raise ValueError(f"more than {_MOST:,} groups and datasets, or groups more than {_DEEPEST} deep")
            link = group.get(name, getlink=True)
            item = group[name] if isinstance(link, h5py.HardLink) else None
            yield prefix + name, link, item
            if isinstance(item, h5py.Group):
                yield from below(item, f"{prefix}{name}/", depth + 1)

    yield from below(handle, "", 0)


def _attribute(item: h5py.File | h5py.Dataset, name: str):
    """A single number or text; None where there is no such attribute."""
    if name not in item.attrs:
        return None
    if item.attrs.get_id(name).shape != ():
        raise ValueError(f"attribute {name} is not a single value")
    return item.attrs[name]


def _strings(path: str | os.PathLike, dataset: h5py.Dataset, most: int) -> np.ndarray:
    """Text of a dataset, a part at a time: forged references could name one long text again and again."""
    if not dataset.shape or not dataset.size:
        return dataset.asstr()[...].astype(str)
    step, parts, total, longest = max(1, 256 * len(dataset) // dataset.size), [], 0, 0
    for start in range(0, len(dataset), step):
        parts.append(dataset.asstr()[start : start + step])
        lengths = [len(text) for text in parts[-1].ravel()]
        total, longest = total + sum(lengths), max(longest, *lengths)
        if total > most or 4 * longest * dataset.size > _TEXT:
            name = dataset.name.strip("/")
            raise FileError(f"{path}: dataset {name} is damaged (its text is too long). {REMAKE}")
    return np.concatenate(parts).astype(str)


def _digest(array: np.ndarray) -> str:
    if array.dtype.kind == "U":
        data = "\0".join(array.ravel().tolist()).encode()
    else:
        data = np.ascontiguousarray(array).data if array.size else b""
    header = f"{'str' if array.dtype.kind == 'U' else array.dtype.str}{array.shape}".encode()
    hasher = hashlib.sha256(header)
    hasher.update(data)
    return hasher.hexdigest()
