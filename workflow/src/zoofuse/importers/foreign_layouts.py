"""Where the CNNs of a foreign zoo lie: which layout a path has, the files of each CNN, their digest. Opens no CNN.

What imports.py reads; see there for the four layouts.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from zoofuse.core import files, regular
from zoofuse.core.text import printable
from zoofuse.importers import formats
from zoofuse.importers.layer_names import Misfit, shown

MAX_FILE = 16 * 2**20  # bytes of one CNN's file, as it lies there and unpacked; the published CNN takes 15 thousand
CHECKPOINTS = ("checkpoints", "checkpoint", "checkpoint.pt", "checkpoint.pth", "model.pt", "model.pth")
ACCURACIES = ("accuracy", "mean_accuracy", "val_accuracy", "validation_accuracy", "acc")

_KINDS = {".pt": "state_dicts", ".pth": "state_dicts", ".safetensors": "safetensors", ".h5": "HDF5", ".hdf5": "HDF5"}
_WANTED = "Name an HDF5 of stacked parameters, or a folder of .pt, .pth or .safetensors files, or of Ray Tune trials."


class ZooError(ValueError):
    """A foreign zoo or generator file that can't be used; the message names what is wrong and what to write instead."""


@dataclass(frozen=True)
class Layout:
    """What lies at a path, in natural order of the names (cnn_2 before cnn_10)."""

    kind: str  # "HDF5", "state_dicts", "safetensors" or "trials"
    path: Path
    members: tuple[Path, ...]  # one file, or one trial's folder, for each CNN; the one file of an HDF5


def find_zoo(path: str | os.PathLike) -> Layout:
    """Find out which of the four layouts lies at a path.

    Hidden files and files of other kinds are passed over. What has the name of a CNN's file but is none, such as a link
    that leads nowhere or a named pipe, is a member, so that it is told of when it is read.

    Args:
        path: The file or folder.

    Returns:
        The layout and its members.

    Raises:
        ZooError: There is nothing, nothing usable, or more than one layout at once.
    """
    path = Path(path)
    if path.is_dir():
        return _found(path)
    if not os.path.lexists(path):
        raise ZooError(f"{printable(path)}: no such file or folder. {_WANTED}")
    try:
        if formats.is_hdf5(path):
            return Layout("HDF5", path, (path,))
        told = formats.of_file(path)
    except regular.NotRegular as error:
        raise ZooError(f"{printable(path)}: {error}. {_WANTED}") from None
    if (kind := _kind(path)) == "HDF5" and told != formats.LFS:
        told = "corrupt, or not HDF5" + (f": {told}" if told else "")
    elif kind and (not told or told.startswith("a safetensors file")):
        told = "holds one CNN; name the folder it lies in"
    raise ZooError(f"{printable(path)}: {told or 'not a recognised zoo format'}. {_WANTED}")


def digest(path: str | os.PathLike, models: range | None = None) -> str:
    """SHA-256 over the names and bytes of what some CNNs are read from.

    An HDF5 counts as a whole. A file larger than MAX_FILE, which is never read, counts by its size, and what is no file
    by what it is.

    Args:
        path: The zoo.
        models: The places of the CNNs; all by default.

    Returns:
        The digest.

    Raises:
        ZooError: As `find_zoo`.
    """
    layout = find_zoo(path)
    members = layout.members if models is None or layout.kind == "HDF5" else layout.members[models.start : models.stop]
    read = [file for member in members for file in _files(layout, member)]
    whole = layout.kind == "HDF5"
    return files.digest({file.relative_to(layout.path).as_posix(): _sha256(file, whole) for file in read})


def _found(path: Path) -> Layout:
    """The layout of a folder."""
    found: dict[str, list[Path]] = {}
    unread: dict[str, int] = {}
    unreached = []  # without a suffix that tells: they may have been trials
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                member = path / entry.name
                try:
                    kind = "trials" if _is_trial(entry) else _kind(member)
                except OSError:
                    unreached.append(member)
                    continue
                if kind:
                    found.setdefault(kind, []).append(member)
                elif entry.is_symlink() and regular.fault(member) and not os.path.isdir(member):
                    unreached.append(member)
                elif (suffix := member.suffix.lower()) in formats.UNREAD:
                    unread[suffix] = unread.get(suffix, 0) + 1
    except OSError as error:
        raise ZooError(f"{printable(path)}: cannot be listed ({error.strerror}). Make it readable.") from None
    stacks = found.pop("HDF5", [])
    if not found:
        held = [f"It holds {shown(sorted(printable(p.name) for p in stacks))}: name one of them."] if stacks else []
        if unread and not stacks:
            kinds = ", ".join(f"{n} {suffix} ({formats.UNREAD[suffix]})" for suffix, n in sorted(unread.items()))
            held = [f"It holds {kinds}, which are not read: {formats.SAVE} as .pt, one file for each CNN."]
        raise ZooError(f"{printable(path)}: no CNN lies in this folder. {' '.join([*held, _WANTED])}")
    if len(found) > 1:
        counts = " and ".join(f"{len(members)} {kind}" for kind, members in sorted(found.items()))
        raise ZooError(
            f"{printable(path)}: holds {counts}; a zoo is of one kind. Put each kind in a folder of its own."
        )
    ((kind, members),) = found.items()
    if kind == "trials":
        members += unreached
    return Layout(kind, path, tuple(sorted(members, key=lambda member: _natural(member.name))))


def _kind(path: Path) -> str | None:
    return _KINDS.get(path.suffix.lower())


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that may not be entered
        return False


def _is_trial(entry: os.DirEntry) -> bool:
    names = os.listdir(entry.path) if _is_dir(entry) else []
    return any(name == "result.json" or name.startswith("checkpoint_") for name in names)


def _natural(name: str) -> tuple:
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _files(layout: Layout, member: Path) -> list[Path]:
    """What a member's CNN is read from."""
    if layout.kind != "trials":
        return [member]
    found = [member / "result.json"] if regular.fault(member / "result.json") is None else []
    with contextlib.suppress(Misfit):
        found.append(checkpoint(member))
    return found


def checkpoint(trial: Path) -> Path:
    """Find the file of the highest-numbered checkpoint.

    Args:
        trial: The trial's folder.

    Returns:
        The file, which may be a link that leads nowhere.

    Raises:
        Misfit: There is none.
    """
    try:
        names = sorted(os.listdir(trial))
    except OSError:
        raise Misfit(regular.fault(trial) or "cannot be listed; make it readable") from None
    numbered = {int(name[11:]): trial / name for name in names if re.fullmatch("checkpoint_[0-9]+", name)}
    if not numbered:
        raise Misfit("has no checkpoint_NNNNNN")
    last = numbered[max(numbered)]
    for name in CHECKPOINTS:
        if os.path.lexists(last / name):  # also a link that leads nowhere, which is told when it is read
            return last / name
    raise Misfit(f"{last.name} holds none of {', '.join(CHECKPOINTS)}")


def _sha256(path: Path, whole: bool) -> str:
    if fault := regular.fault(path):
        return fault
    stat = path.stat()
    if stat.st_size > MAX_FILE and not whole:
        return f"{stat.st_size} bytes"
    return _hashed(path, stat.st_size, stat.st_mtime_ns)


@functools.cache  # an HDF5 is one file to all shards
def _hashed(path: Path, size: int, changed: int) -> str:
    try:
        with regular.open_regular(path) as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except regular.NotRegular as error:
        return str(error)
    except OSError as error:
        raise ZooError(f"{printable(path)}: cannot be read ({error.strerror}).") from None


def last_accuracy(result: Path) -> float:
    """Read the last accuracy of a result.json; a line that was cut off is passed over.

    Args:
        result: The file.

    Returns:
        The accuracy, NaN where the file tells none or cannot be read.
    """
    try:
        with regular.open_regular(result) as handle:
            size = os.fstat(handle.fileno()).st_size
            for read in (2**20, MAX_FILE):  # a line holds a whole configuration, but hardly a megabyte
                handle.seek(max(0, size - read))
                if (told := _last_accuracy(handle.read(read).splitlines())) is not None:
                    return told
                if read >= size:
                    break
    except (regular.NotRegular, OSError):
        pass
    return float("nan")


def _last_accuracy(lines: list[bytes]) -> float | None:
    for line in reversed(lines[-10_000:]):
        with contextlib.suppress(ValueError, RecursionError, OverflowError):
            told = json.loads(line)
            for name in ACCURACIES if isinstance(told, dict) else ():
                if type(told.get(name)) in (int, float):
                    value = float(told[name])
                    return value if abs(value) < 1e6 else float("nan")
    return None
