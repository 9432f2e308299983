"""Which images lie in a folder: one walk for training, check and predict. Imports no torch."""

import difflib
import os
import stat
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from zoofuse.core.regular import file_size, unreachable
from zoofuse.core.text import printable
from zoofuse.data.decoding import ImageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp"})
"""Endings of image files, in small letters; what is inside counts, not which of these it is."""

_NAMED = 10  # files or folders named in one message
# What NAS, operating systems and photo programs keep beside images, in small letters; hidden names apart.
_ASIDE = {
    *("@eadir", "#recycle", "#snapshot", "@sharebin", "@sharesnap", "@recycle", "@recently-snapshot", "@__thumb"),
    *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder", "icon\r"),
    *("$recycle.bin", "recycler", "recycled", "system volume information", "found.000"),
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini"),
    *("lost+found", "lost.dir", "~snapshot", "lightroom previews", "lightroom catalog previews", "_picasaoriginals"),
}


class Walk(NamedTuple):
    """What lies in a folder and its subfolders: paths that begin with the folder's own, in the order of the walk."""

    images: list[str]
    others: list[str]  # files with other endings
    aside: list[str]  # hidden files and folders, and those of other software
    unreachable: list[tuple[str, str]]  # broken links, pipes, devices, folders that can't be listed: and why
    places: list[str]  # real paths of the folders that were listed


class Listing(NamedTuple):
    """The images of one class: all paths sorted."""

    images: list[Path]
    others: list[Path]
    aside: list[Path]
    unreachable: list[tuple[Path, str]]
    folders: list[str]  # as they were named, but spelled as on disk


def left_aside(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or belongs to a NAS, an operating system or a photo program.

    Args:
        name: one name, without its folder.

    Returns:
        True for ".thumbnails", "@eaDir" or "Thumbs.db", False for a user's own "@home".
    """
    return name.startswith(".") or name.lower() in _ASIDE or name.lower().endswith(".lrdata")


def walk(top: str | os.PathLike, every_name: bool = False) -> Walk:
    """List a folder and its subfolders, however it is named itself.

    Links are followed, each folder and each file once, so that links to folders above do no harm and an image that is
    reached through several links is one image.

    Args:
        top: the folder.
        every_name: list an image that is reached through several links by each of its names.

    Returns:
        What lies there. A folder that can't be listed, also `top`, is named in `unreachable`.
    """
    found, seen = Walk([], [], [], [], []), set()
    pending = [os.fspath(top)]
    while pending:
        folder = pending.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            found.unreachable.append((folder, error.strerror or str(error)))
            continue
        found.places.append(real)
        inner = []
        for entry in entries:
            if left_aside(entry.name):
                found.aside.append(entry.path)
            elif _is_folder(entry):
                inner.append(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                linked = entry.is_symlink()
                cause = file_size(entry.path) if linked or not entry.is_file() else 0
                file = os.path.realpath(entry.path) if linked else os.path.join(real, entry.name)
                if isinstance(cause, str):
                    found.unreachable.append((entry.path, cause))
                elif every_name or file not in seen:
                    seen.add(file)
                    found.images.append(entry.path)
            elif entry.is_symlink() and (cause := unreachable(entry.path)):  # perhaps a folder of images
                found.unreachable.append((entry.path, cause))
            else:
                found.others.append(entry.path)
        pending += reversed(inner)
        if not entries and os.path.splitext(folder)[1].lower() in SUFFIXES and folder != os.fspath(top):
            found.unreachable.append((folder, "an empty folder, not a file"))
    return found


def listing(root: str | os.PathLike, folders: Sequence[str], where: str = "folders") -> Listing:
    """The images in `folders` under `root` and in their subfolders, sorted, whatever the order given.

    Args:
        root: the folder that holds them all, images_root.
        folders: relative to it, with "/" between names.
        where: the setting in messages, such as "concepts.cat.positive".

    Returns:
        The images, and what else was found.

    Raises:
        ImageError: the root or a folder is missing or without images, or folders overlap.
    """
    base = spelled(root)
    if not base.is_dir():
        raise ImageError(
            f"images_root: there is no folder {printable(root)!r} (looked for {printable(base.absolute())}). Write "
            "images_root: FOLDER in the configuration, or --config images_root=FOLDER: where your folders lie, "
            "with its whole path or seen from here."
        )
    every, walked = Listing([], [], [], [], []), {}
    for folder in folders:
        top = _existing(base, folder, where)
        found = walk(top)
        for real in found.places:
            if real in walked:
                raise ImageError(
                    f"{where}: {printable(real)} is read twice, through {walked[real]!r} and {folder!r}. "
                    "Name folders that do not overlap."
                )
        walked |= dict.fromkeys(found.places, folder)
        if not found.images:
            raise ImageError(f"{where}: {_without_images(top, found)}")
        every.folders.append(top.relative_to(base).as_posix())
        for name in ("images", "others", "aside"):
            getattr(every, name).extend(map(Path, getattr(found, name)))
        every.unreachable.extend((Path(path), cause) for path, cause in found.unreachable)
    return Listing(*(sorted(part) for part in every[:4]), every.folders)


def counted(aside: Sequence[str | os.PathLike]) -> str:
    """How many files and folders were left aside, and what they are called.

    Args:
        aside: their paths.

    Returns:
        Such as "3 hidden or of other software (2 @eaDir, 1 Thumbs.db)"; "" for none.
    """
    names = [printable(os.path.basename(path)) for path in aside]
    kinds = sorted(set(names), key=lambda name: (-names.count(name), name)) if len(names) < 1000 else []
    shown = ", ".join(f"{names.count(name)} {name}" for name in kinds[:_NAMED])
    return f"{len(names):,} hidden or of other software" + (f" ({shown})" if shown else "") if names else ""


def spelled(path: str | os.PathLike) -> Path:
    """A path as the disk spells it: letters with accents may be stored in one piece (NFC) or composed of two (NFD).

    Args:
        path: as it was written, in either spelling.

    Returns:
        The path that is there, or `path` itself where none, or more than one, is equal in NFC.
    """
    path = Path(path)
    if path.exists() or os.fspath(path).isascii():
        return path
    there = Path(path.anchor)
    for part in path.parts[1 if path.anchor else 0 :]:
        same = [] if (there / part).exists() else _same_names(there, part)
        there /= same[0] if len(same) == 1 else part
    return there if there.exists() else path


def _same_names(folder: Path, name: str) -> list[str]:
    """Names in a folder that are equal to `name` but for how their letters are composed."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    wanted = unicodedata.normalize("NFC", name)
    return sorted(other for other in names if unicodedata.normalize("NFC", other) == wanted)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _existing(base: Path, folder: str, where: str) -> Path:
    parts = PurePosixPath(folder).parts
    if ".." in parts or PurePosixPath(folder).is_absolute():
        raise ImageError(
            f"{where}: {folder!r} does not lie under images_root ({printable(base)}). Write a folder relative to it, "
            "or set images_root to a folder that holds them all (links are followed)."
        )
    near = base
    for part in parts:
        same = [] if part.isascii() else _same_names(near, part)
        if len(same) > 1:
            raise ImageError(
                f"{where}: {printable(near)} holds {len(same)} folders named {part!r} that differ only in how their "
                "accented letters are composed (Unicode NFC and NFD). Rename all but one."
            )
        there = near / (same[0] if same else part)
        if not there.is_dir():
            break
        near = there
    else:
        return near
    names = [printable(path.relative_to(base).as_posix()) for path in near.iterdir() if _shown(path)]
    names.sort()
    alike = [name for name in names if name.casefold() == folder.casefold()]
    close = alike or difflib.get_close_matches(folder, names, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    there = f"There: {', '.join(names[:20])}" if names else "There are no folders in it"
    raise ImageError(f"{where}: there is no folder {folder!r} under images_root ({printable(base)}); {hint}{there}.")


def _shown(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode) and not left_aside(path.name)
    except OSError:
        return False


def _without_images(top: Path, found: Walk) -> str:
    if found.unreachable:
        path, cause = found.unreachable[0]
        more = f" and {len(found.unreachable) - 1} more" if len(found.unreachable) > 1 else ""
        return f"no image in {printable(top)} can be reached ({printable(path)}: {cause}{more}). Check the folder."
    kinds = sorted({os.path.splitext(path)[1] or os.path.basename(path) for path in found.others})
    held = f"; it holds {len(found.others)} other files ({', '.join(map(printable, kinds[:_NAMED]))})" if kinds else ""
    aside = f"; {counted(found.aside)}" if found.aside else ""
    return f"no JPEG, PNG, WebP, GIF or BMP in {printable(top)}{held}{aside}. Put images there."
