"""HDF5 files of the project: written completely or not at all, with a kind and checksums that every read verifies."""

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
from zoofuse.core import blocks, code, datasets
from zoofuse.core.errors import AccessError, FileError
from zoofuse.core.temporary import atomic_path

FORMAT_VERSION = 2  # 1 had the concept as class 0 in labels and in the outputs of CNNs
ZOO_FACTS = "zoo.json"  # beside the CNNs' files of a shared zoo: its concept, and which output stands for it
REMAKE = "Delete the file and run the same snakemake command again: it will be regenerated."
_HEADER = blocks.HEADER
_HEADER_START = b"zoofuse sha256 "
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MAX_DEPTH, _MAX_LINKS = 16, 10_000  # nested groups, and links, in a file
_MAX_TEXT = 2**30  # bytes of one dataset's text in memory
_STABLE_AFTER = 10  # seconds after which every file system shows a change in the file's times


# ---------------------------------------------------------------------------------------------- writing


def write(path: str | os.PathLike, kind: str, arrays: Mapping[str, np.ndarray], **attributes) -> None:
    """Write an HDF5 file, completely or not at all.

    The file starts with a header that HDF5 skips, and ends with a checksum of each block of its bytes (see `blocks`).
    Each dataset also carries the SHA-256 of its bytes, so that `fingerprint` need not read the data.

    Args:
        path: the file.
        kind: what it holds, such as "zoo"; `read` checks it.
        arrays: name -> array or list of str.
        attributes: stored as JSON text (settings, seeds, digests of sources), beside the versions of the
            format and of zoofuse and the code of the job.

    Raises:
        FileError: no space or no permission to write.
    """
    with create(path, kind, **attributes) as writer:
        for name, array in arrays.items():
            writer.append({name: (array := np.asarray(array))}, of=len(array) if array.ndim else None)


@contextlib.contextmanager
def create(path: str | os.PathLike, kind: str, **attributes) -> Iterator[datasets.Writer]:
    """Write an HDF5 file as `write` does, some rows at a time, so that it need not fit in memory.

    Args:
        path: the file. It is there, whole, when the block has ended without an error.
        kind: as for `write`.
        attributes: as for `write`.

    Yields:
        What takes the rows.

    Raises:
        FileError: no space or no permission to write.
        ValueError: a dataset did not get all its rows.
    """
    with atomic_path(path) as temporary, blocks.Sink(temporary) as sink:
        try:
            with h5py.File(sink, "w", userblock_size=_HEADER) as handle:
                handle.attrs["kind"] = kind
                handle.attrs["format_version"] = FORMAT_VERSION
                handle.attrs["zoofuse"] = zoofuse.__version__
                handle.attrs["code"] = code.running()
                for name, value in attributes.items():
                    handle.attrs[name] = json.dumps(value, sort_keys=True)
                writer = datasets.Writer(handle, sink)
                yield writer
                writer.finish()
        except Exception:
            sink.check()  # the cause, whatever HDF5 made of it
            raise
        sink.seal()


# ---------------------------------------------------------------------------------------------- reading


def read(
    path: str | os.PathLike, kind: str, names: Iterable[str] | None = None, rows: np.ndarray | range | None = None
) -> dict[str, np.ndarray]:
    """Read datasets and verify the checksum of each, or some rows of them and the checksums of these.

    Args:
        path: the file.
        kind: the kind that the file must have.
        names: datasets to read; default: all.
        rows: of each dataset, in this order; default: all. What is damaged elsewhere in the file is not noticed.

    Returns:
        Name -> array.

    Raises:
        FileError: the file is missing, truncated, corrupt, foreign, or of another kind or format version.
        AccessError: it can't be read now (permissions, a disk, a network).
    """
    with _opened(path, kind, whole=rows is None) as opened:
        names = list(opened.datasets) if names is None else list(names)
        if missing := [name for name in names if name not in opened.datasets]:
            there = ", ".join(opened.datasets) or "no datasets"
            raise FileError(f"{path}: has no {', '.join(missing)}; it holds {there}. {REMAKE}")
        arrays = {}
        for name in names:
            dataset = opened.datasets[name]
            # Nothing is compressed, so a larger shape is corrupt; allocate nothing for it.
            if dataset.shape is None or dataset.nbytes > opened.size:
                raise FileError(f"{path}: dataset {name} is corrupt (its shape is {dataset.shape}). {REMAKE}")
            text = h5py.check_string_dtype(dataset.dtype)
            if not text and dataset.dtype.kind not in "biuf":
                raise FileError(f"{path}: dataset {name} is corrupt (its type is {dataset.dtype}). {REMAKE}")
            if rows is not None:
                arrays[name] = _rows(path, dataset, rows, opened.size)
                continue
            array = _strings(path, dataset, opened.size) if text else dataset[...]
            if _attribute(dataset, "sha256") != datasets.digest(array):
                raise FileError(f"{path}: dataset {name} is corrupt (checksum mismatch). {REMAKE}")
            arrays[name] = array
        return arrays


def shapes(path: str | os.PathLike, kind: str) -> dict[str, tuple[int, ...]]:
    """The shape of each dataset, of which nothing else is read. Raises as `read`."""
    with _opened(path, kind, whole=False) as opened:
        return {name: dataset.shape or () for name, dataset in opened.datasets.items()}


def attributes(path: str | os.PathLike, kind: str) -> dict:
    """Read the attributes given to `write`, decoded. Arguments and errors as for `read`."""
    reserved = {"kind", "format_version", "zoofuse", "code"}
    with _opened(path, kind) as opened:
        names = [name for name in opened.handle.attrs if name not in reserved]
        return {name: json.loads(_attribute(opened.handle, name)) for name in names}


def made_with(path: str | os.PathLike) -> str:
    """The code that a file was made with (`code.description`); "" if the file does not say. Raises as `read`."""
    with _opened(path) as opened:
        return str(_attribute(opened.handle, "code") or "")


class Facts(NamedTuple):
    """What a file says of itself."""

    kind: str
    version: str  # of the zoofuse that wrote it
    datasets: dict[str, tuple[tuple[int, ...], str]]  # name -> shape, dtype
    attributes: dict  # as `attributes` returns them


def facts(path: str | os.PathLike) -> Facts:
    """What a file of any kind says of itself, its checksum verified. Errors as for `read`."""
    with _opened(path) as opened:
        kind, version = str(_attribute(opened.handle, "kind")), str(_attribute(opened.handle, "zoofuse"))
        shapes = {
            name: (item.shape or (), "text" if h5py.check_string_dtype(item.dtype) else str(item.dtype))
            for name, item in opened.datasets.items()
        }
    return Facts(kind, version, shapes, attributes(path, kind))


def read_state(path: str | os.PathLike, kind: str, identity: str) -> dict[str, np.ndarray] | None:
    """Read the saved state of an interrupted training run, if it belongs to this one.

    Args:
        path: the state file.
        kind: its kind.
        identity: digest of everything that decides the run's numbers; stored as an attribute of the file.

    Returns:
        The arrays, or None if training starts from the beginning; a printed line then says why.

    Raises:
        AccessError: the file can't be read now. It may be intact, and starting again would replace it.
    """
    if not os.path.exists(path):
        return None
    try:
        if attributes(path, kind).get("identity") != identity:
            print(f"{path}: saved with other inputs, settings, seed or backend; ignored, training restarts.")
            return None
        return read(path, kind)
    except AccessError:
        raise
    except FileError as error:
        print(f"{path}: ignored, training restarts ({error}).")
        return None


def fingerprint(path: str | os.PathLike, names: Iterable[str] | None = None) -> str:
    """SHA-256 of the names and checksums of datasets (default: all); equal for equal content. Raises as `read`.

    The datasets themselves are not read, and not verified.
    """
    with _opened(path, whole=False) as opened:
        names = opened.datasets if names is None else names
        return digest({name: str(_attribute(opened.datasets[name], "sha256")) for name in names})


def digest(value) -> str:
    """SHA-256 of any JSON value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def reader(path: str | os.PathLike) -> Iterator[io.BufferedReader]:
    """Open a regular file for reading, without a lock and without blocking on pipes or devices.

    Raises:
        FileError: the file is missing, or is a folder, a pipe or a device.
        AccessError: it can't be opened or read now (permissions, a disk, a network).
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
            if raw.failed is not None:  # the cause, whatever HDF5 turned it into
                raise _no_access(path, raw.failed) from error
            raise


class _Recorded(io.FileIO):
    """A file that keeps its last read error, which HDF5 does not pass on."""

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
        remedy = "Give this user permission to read it"
    else:
        remedy = "The file may be intact: check the disk or the network"
    return AccessError(f"{path}: can't be read ({error.strerror}). {remedy}, and run the same command again.")


class _File(NamedTuple):
    """A verified HDF5 file of zoofuse."""

    handle: h5py.File
    datasets: dict[str, h5py.Dataset]
    size: int  # bytes


@contextlib.contextmanager
def _opened(path: str | os.PathLike, kind: str | None = None, whole: bool = True) -> Iterator[_File]:
    """Open a file, verified as a whole or where it is read, if it has checksums of blocks."""
    try:
        # h5py reads through the Python file that was verified; a file that HDF5 opens itself would be locked.
        with reader(path) as file, h5py.File(_verified_file(path, file, whole), "r") as handle:
            stored_kind = _attribute(handle, "kind")
            if stored_kind is None:
                raise FileError(f"{path}: an HDF5 file, but {_NOT_ZOOFUSE} (no attribute 'kind'). {REMAKE}")
            if kind not in (None, stored_kind):
                raise FileError(f"{path}: holds {stored_kind!r}, expected {kind!r}. Check the file's name.")
            if (version := _attribute(handle, "format_version")) != FORMAT_VERSION:
                written = _attribute(handle, "zoofuse") or "?"
                age = "an older" if str(version).isdigit() and int(version) < FORMAT_VERSION else "another"
                raise FileError(
                    f"{path}: written by {age} zoofuse ({written}, format {version}; this one reads format "
                    f"{FORMAT_VERSION}). Delete results/ and run the same snakemake command again, or use the "
                    "zoofuse that wrote it."
                )
            if name := external_link(handle):
                raise FileError(f"{path}: {name} is stored in another file, which is not read. {REMAKE}")
            found = {name: item for name, _, item in _walk(handle) if isinstance(item, h5py.Dataset)}
            yield _File(handle, found, os.fstat(file.fileno()).st_size)
    except FileError:
        raise
    except MemoryError as error:
        raise AccessError(f"{path}: not enough memory to read it. Use a machine with more memory.") from error
    except Exception as error:  # HDF5 raises many types for a corrupt file
        raise FileError(f"{path}: truncated, corrupt or not HDF5 ({error}). {REMAKE}") from error


def is_own(file: io.BufferedReader) -> bool:
    """Whether a file, opened by `reader` at its beginning, says that `write` wrote it."""
    return file.peek(len(_HEADER_START)).startswith(_HEADER_START)


_NOT_ZOOFUSE = "not one of zoofuse's"
_verified: set[tuple] = set()  # identities of files whose checksum this process has verified


def _verified_file(path: str | os.PathLike, file: io.BufferedReader, whole: bool) -> io.IOBase:
    """What HDF5 may read: a file that was verified, or one whose blocks are verified when they are read.

    Before HDF5 sees a byte, because it can hang or crash on a flipped bit.
    """
    before = os.fstat(file.fileno())
    identity = (before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns)
    if identity in _verified:
        return file
    try:
        content = blocks.content(file, before.st_size)
        if content is not None and not whole:
            return content
        if content is not None:
            content.verify()
        else:
            _verify_at_once(path, file)
    except ValueError as error:
        raise FileError(f"{path}: truncated, corrupt or not HDF5 ({error}). {REMAKE}") from None
    after = os.fstat(file.fileno())
    if (after.st_mtime_ns, after.st_ctime_ns) != (before.st_mtime_ns, before.st_ctime_ns):
        raise AccessError(f"{path}: changed while it was read. Run the same command again.")
    # Two changes within one tick of the file system's clock give the same times.
    if time.time() - max(before.st_mtime, before.st_ctime) > _STABLE_AFTER:
        _verified.add(identity)
    return file


def _verify_at_once(path: str | os.PathLike, file: io.BufferedReader) -> None:
    """Verify a file without a table: of an earlier zoofuse, whose header has the checksum of all that follows it."""
    file.seek(0)
    header = file.read(_HEADER)
    if header.startswith(_HDF5):
        raise FileError(
            f"{path}: an HDF5 file, but {_NOT_ZOOFUSE}, or written by an older version (it has no checksum). {REMAKE}"
        )
    if header != _header(hashlib.file_digest(file, "sha256").hexdigest()):
        raise ValueError("checksum mismatch")


def _header(hexadecimal: str) -> bytes:
    return (_HEADER_START + hexadecimal.encode()).ljust(_HEADER, b"\0")


def external_link(handle: h5py.File) -> str | None:
    """Name of the first link or dataset that is stored in another file, as a forged file could have it."""
    for name, link, item in _walk(handle):
        if item is None or isinstance(link, h5py.SoftLink | h5py.ExternalLink):
            return name
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            return name
    return None


def _walk(handle: h5py.File) -> Iterator[tuple[str, object, h5py.Group | h5py.Dataset | None]]:
    """Yield (name, link, item) of everything in a file, depth first; the item is None if it is not in this file.

    Raises ValueError for groups nested too deeply (such as a group in itself) and for too many links.
    """
    links = 0

    def below(group: h5py.Group, prefix: str, depth: int):
        nonlocal links
        for name in group:
            links += 1
            if depth >= _MAX_DEPTH or links > _MAX_LINKS:
                raise ValueError(f"more than {_MAX_LINKS:,} groups and datasets, or groups more than {_MAX_DEPTH} deep")
            link = group.get(name, getlink=True)
            item = group[name] if isinstance(link, h5py.HardLink) else None
            yield prefix + name, link, item
            if isinstance(item, h5py.Group):
                yield from below(item, f"{prefix}{name}/", depth + 1)

    yield from below(handle, "", 0)


def _attribute(item: h5py.File | h5py.Dataset, name: str):
    """A scalar attribute's value, or None if there is no such attribute."""
    if name not in item.attrs:
        return None
    if item.attrs.get_id(name).shape != ():
        raise ValueError(f"attribute {name} is not a single value")
    return item.attrs[name]


def _rows(path: str | os.PathLike, dataset: h5py.Dataset, rows: np.ndarray | range, max_bytes: int) -> np.ndarray:
    """Some rows of a dataset, in their order; those that lie beside each other are read together."""
    wanted, places = np.unique(np.asarray(rows, np.int64), return_inverse=True)
    if not dataset.shape or (len(wanted) and not (0 <= wanted[0] <= wanted[-1] < len(dataset))):
        name = dataset.name.strip("/")
        raise FileError(f"{path}: dataset {name} has no rows {wanted[0]} to {wanted[-1]}: {dataset.shape}. {REMAKE}")
    runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1)
    parts = [slice(run[0], run[-1] + 1) if len(run) else slice(0) for run in runs]
    if h5py.check_string_dtype(dataset.dtype):
        found = np.concatenate([_strings(path, dataset, max_bytes, part) for part in parts])
    else:
        found = dataset[parts[0]] if len(parts) == 1 else np.concatenate([dataset[part] for part in parts])
    return found if len(places) == len(wanted) and (np.diff(places) > 0).all() else found[places]


def _strings(path: str | os.PathLike, dataset: h5py.Dataset, max_bytes: int, rows: slice = slice(None)) -> np.ndarray:
    """Read text in parts, because forged references can repeat one long text many times."""
    if not dataset.shape or not dataset.size:
        return dataset.asstr()[...].astype(str)
    first, last, _ = rows.indices(len(dataset))
    step, parts, total, longest = max(1, 256 * len(dataset) // dataset.size), [], 0, 0
    for start in range(first, last, step):
        parts.append(dataset.asstr()[start : min(start + step, last)])
        lengths = [len(text) for text in parts[-1].ravel()]
        total, longest = total + sum(lengths), max(longest, *lengths)
        if total > max_bytes or 4 * longest * dataset.size > _MAX_TEXT:
            name = dataset.name.strip("/")
            raise FileError(f"{path}: dataset {name} is corrupt (its text is too long). {REMAKE}")
    return np.concatenate(parts).astype(str) if parts else np.zeros((0, *dataset.shape[1:]), "U1")
