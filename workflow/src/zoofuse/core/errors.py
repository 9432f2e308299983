"""What is said of files that can't be read or written."""


class FileError(ValueError):
    """A file that is missing, damaged, or not what its reader expects; the message names it and the way out."""


class AccessError(FileError):
    """A file that can't be read now (permissions, a disk, a network): it may be intact, so nothing deletes it."""
