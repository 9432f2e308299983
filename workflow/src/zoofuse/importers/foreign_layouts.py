"""Layouts of foreign zoos: which one a path has, the files of each CNN, and their digest. Opens no CNN.

imports.py describes the four layouts.
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
from zoofuse.importers.layer_names import Mismatch, shown

MAX_FILE = 16 * 2**20  # bytes of one CNN's file, compressed and uncompressed; the published CNN has 15 thousand
CHECKPOINTS = ("checkpoints", "checkpoint", "checkpoint.pt", "checkpoint.pth", "model.pt", "model.pth")
ACCURACIES = ("accuracy", "mean_accuracy", "val_accuracy", "validation_accuracy", "acc", "val_acc", "test_acc")

_KINDS = {".pt": "state_dicts", ".pth": "state_dicts", ".safetensors": "safetensors", ".h5": "HDF5", ".hdf5": "HDF5"}
_EXPECTED = "Name an HDF5 of stacked parameters, or a folder of .pt, .pth or .safetensors files or Ray Tune trials."


class ZooError(ValueError):
    """A foreign zoo or generator file that can't be used; the message says why and what to write instead."""


@dataclass(frozen=True)
class Layout:
    """The zoo at a path; members are in natural order of their names (cnn_2 before cnn_10)."""

    kind: str  # "HDF5", "state_dicts", "safetensors" or "trials"
    path: Path
    members: tuple[Path, ...]  # the file or trial folder of each CNN; for an HDF5 just the file


def find_zoo(path: str | os.PathLike) -> Layout:
    """Detect which of the four layouts a path has.

    Hidden files and other kinds of files are ignored. A broken link or a pipe with the name of a CNN's file is a
    member, so that reading reports it.

    Args:
        path: The file or folder.

    Returns:
        The layout and its members.

    Raises:
        ZooError: The path is missing, is not a recognised zoo format, or mixes several layouts.
    """
    path = Path(path)
    if path.is_dir():
        return _folder_layout(path)
    if not os.path.lexists(path):
        raise ZooError(f"{printable(path)}: no such file or folder. {_EXPECTED}")
    try:
        if formats.is_hdf5(path):
            return Layout("HDF5", path, (path,))
        description = formats.of_file(path)
    except regular.NotRegular as error:
        raise ZooError(f"{printable(path)}: {error}. {_EXPECTED}") from None
    if (kind := _kind(path)) == "HDF5" and description != formats.LFS:
        description = "corrupt, or not HDF5" + (f": {description}" if description else "")
    elif kind and (not description or description.startswith("a safetensors file")):
        description = "holds one CNN; name its folder instead"
    raise ZooError(f"{printable(path)}: {description or 'not a recognised zoo format'}. {_EXPECTED}")


def digest(path: str | os.PathLike, models: range | None = None) -> str:
    """SHA-256 over the names and contents of the files that some CNNs are read from.

    An HDF5 is hashed as a whole. A file larger than MAX_FILE, which is never read, counts by its size; something that
    is not a file counts by its kind.

    Args:
        path: The zoo.
        models: Positions of the CNNs; default: all.

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


def declared_output(path: str | os.PathLike) -> int:
    """Which output of the linear layer stands for the concept, as zoo.json in a folder that `exporters` wrote says.

    Args:
        path: The zoo's file or folder.

    Returns:
        0 or 1; 0, as in the published zoo, where nothing says otherwise.
    """
    with contextlib.suppress(regular.NotRegular, OSError, ValueError, RecursionError):
        facts = json.loads(regular.read_regular(Path(path) / files.ZOO_FACTS, 2**20))
        if isinstance(facts, dict) and facts.get("concept_output") in (0, 1):
            return int(facts["concept_output"])
    return 0


def _folder_layout(path: Path) -> Layout:
    """The layout of a folder."""
    by_kind: dict[str, list[Path]] = {}
    unread: dict[str, int] = {}
    unreachable = []  # no telling suffix, so they may have been trials
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                member = path / entry.name
                try:
                    kind = "trials" if _is_trial(entry) else _kind(member)
                except OSError:
                    unreachable.append(member)
                    continue
                if kind:
                    by_kind.setdefault(kind, []).append(member)
                elif entry.is_symlink() and regular.fault(member) and not os.path.isdir(member):
                    unreachable.append(member)
                elif (suffix := member.suffix.lower()) in formats.UNREAD:
                    unread[suffix] = unread.get(suffix, 0) + 1
    except OSError as error:
        raise ZooError(f"{printable(path)}: can't be listed ({error.strerror}). Make it readable.") from None
    stacks = by_kind.pop("HDF5", [])
    if not by_kind:
        hint = ""
        if stacks:
            hint = f"It holds {shown(sorted(printable(p.name) for p in stacks))}: name one of them. "
        elif unread:
            kinds = ", ".join(f"{n} {suffix} ({formats.UNREAD[suffix]})" for suffix, n in sorted(unread.items()))
            hint = f"It holds {kinds}, which are not read: {formats.SAVE} as .pt, one file for each CNN. "
        raise ZooError(f"{printable(path)}: no CNN in this folder. {hint}{_EXPECTED}")
    if len(by_kind) > 1:
        counts = " and ".join(f"{len(members)} {kind}" for kind, members in sorted(by_kind.items()))
        raise ZooError(f"{printable(path)}: holds {counts}; put each kind in its own folder.")
    ((kind, members),) = by_kind.items()
    if kind == "trials":
        members += unreachable
    return Layout(kind, path, tuple(sorted(members, key=lambda member: _natural(member.name))))


def _kind(path: Path) -> str | None:
    return _KINDS.get(path.suffix.lower())


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder without permission
        return False


def _is_trial(entry: os.DirEntry) -> bool:
    names = os.listdir(entry.path) if _is_dir(entry) else []
    return any(name == "result.json" or name.startswith("checkpoint_") for name in names)


def _natural(name: str) -> tuple:
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _files(layout: Layout, member: Path) -> list[Path]:
    """The files that a member's CNN is read from."""
    if layout.kind != "trials":
        return [member]
    paths = [member / "result.json"] if regular.fault(member / "result.json") is None else []
    with contextlib.suppress(Mismatch):
        paths.append(checkpoint(member))
    return paths


def checkpoint(trial: Path) -> Path:
    """The file of a trial folder's highest-numbered checkpoint, which may be a broken link.

    Raises:
        Mismatch: There is none.
    """
    try:
        names = sorted(os.listdir(trial))
    except OSError:
        raise Mismatch(regular.fault(trial) or "can't be listed; make it readable") from None
    numbered = {int(name[11:]): trial / name for name in names if re.fullmatch("checkpoint_[0-9]+", name)}
    if not numbered:
        raise Mismatch("has no checkpoint_NNNNNN")
    last = numbered[max(numbered)]
    for name in CHECKPOINTS:
        if os.path.lexists(last / name):  # also a broken link, which reading reports
            return last / name
    raise Mismatch(f"{last.name} holds none of {', '.join(CHECKPOINTS)}")


def _sha256(path: Path, whole: bool) -> str:
    if fault := regular.fault(path):
        return fault
    stat = path.stat()
    if stat.st_size > MAX_FILE and not whole:
        return f"{stat.st_size} bytes"
    return _hashed(path, stat.st_size, stat.st_mtime_ns)


@functools.cache  # all shards share one HDF5
def _hashed(path: Path, size: int, changed: int) -> str:
    try:
        with regular.open_regular(path) as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except regular.NotRegular as error:
        return str(error)
    except OSError as error:
        raise ZooError(f"{printable(path)}: can't be read ({error.strerror}).") from None


def last_accuracy(result: Path) -> float:
    """The last accuracy in a result.json, ignoring truncated lines; NaN if there is none or the file can't be read."""
    try:
        with regular.open_regular(result) as handle:
            size = os.fstat(handle.fileno()).st_size
            for length in (2**20, MAX_FILE):  # a line holds a whole configuration, but hardly a megabyte
                handle.seek(max(0, size - length))
                if (accuracy := _last_accuracy(handle.read(length).splitlines())) is not None:
                    return accuracy
                if length >= size:
                    break
    except (regular.NotRegular, OSError):
        pass
    return float("nan")


def _last_accuracy(lines: list[bytes]) -> float | None:
    for line in reversed(lines[-10_000:]):
        with contextlib.suppress(ValueError, RecursionError, OverflowError):
            record = json.loads(line)
            for name in ACCURACIES if isinstance(record, dict) else ():
                if type(record.get(name)) in (int, float):
                    value = float(record[name])
                    return value if abs(value) < 1e6 else float("nan")
    return None
