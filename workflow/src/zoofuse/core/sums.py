"""SHA256SUMS: the digests of a folder's files, as `sha256sum --check` reads them."""

import hashlib
from pathlib import Path

from zoofuse.core import text

NAME = "SHA256SUMS"


def of(folder: Path) -> str:
    """The content of a folder's SHA256SUMS: a line for every file in it but that one; links are left out."""
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        name = path.relative_to(folder).as_posix()
        if name != NAME:
            with open(path, "rb") as handle:
                lines.append(f"{hashlib.file_digest(handle, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)


def check(folder: Path) -> list[str]:
    """Compare a folder with its SHA256SUMS.

    Args:
        folder: the folder.

    Returns:
        The names of its files, SHA256SUMS first.

    Raises:
        ValueError: a file is missing, changed, not listed or a link.
    """
    listed = set((folder / NAME).read_text(encoding="utf-8", errors="replace").splitlines())
    there = set(of(folder).splitlines())
    if wrong := sorted(line.partition("  ")[2] for line in listed ^ there):
        raise ValueError(f"{text.printable(folder)}: {text.printable(wrong[0])} does not match {NAME}. Export the "
                         "folder again, or, if you changed it on purpose, write its new line there (sha256sum FILE)."
                         )  # fmt: skip
    return [NAME, *sorted(line.partition("  ")[2] for line in there)]
