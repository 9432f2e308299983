"""Errors of reading and writing files."""


class FileError(ValueError):
    """A file that is missing, corrupt or not of the expected kind; the message names it and what to do."""


class AccessError(FileError):
    """A file that can't be read now (permissions, a disk, a network). It may be intact, so nothing deletes it."""
