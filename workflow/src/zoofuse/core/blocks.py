"""HDF5 content with a checksum for each block of its bytes, so that a part of a large file can be read and verified.

The file is a header of HEADER bytes, the content, and a table: the SHA-256 of each BLOCK bytes of the content. The
header has the content's length and the SHA-256 of length and table. HDF5 sees header and content, and no byte of
these that differs from what was written.
"""

import hashlib
import io
import os
import re
from collections import OrderedDict
from pathlib import Path

HEADER = 512  # bytes before the HDF5 content; HDF5's smallest "user block"
BLOCK = 2**17
_DIGEST = 32  # bytes of SHA-256
_KEPT = 32  # blocks in memory that were read in part
_STATED = re.compile(rb"zoofuse sha256 ([0-9a-f]{64}) of the blocks of ([0-9]{1,18})\0+")


class Sink(io.FileIO):
    """A new file that HDF5 writes its content to, which never sees an error: it would abort the process."""

    def __init__(self, path: Path):
        super().__init__(path, "w+")
        self.failed: OSError | None = None

    def write(self, data) -> int:
        view = memoryview(data).cast("B")
        written = 0
        while written < len(view) and self.failed is None:
            try:
                written += super().write(view[written:])
            except OSError as error:
                self.failed = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failed = self.failed or error
            return size or 0

    def check(self) -> None:
        """Raises the first error of writing."""
        if self.failed is not None:
            raise self.failed

    def seal(self) -> None:
        """Write header and table, when HDF5 has closed its file.

        Raises:
            OSError: this, or anything before it, could not be written.
        """
        self.check()
        length = self.seek(0, os.SEEK_END) - HEADER
        self.seek(HEADER)
        table = b"".join(hashlib.sha256(self.read(BLOCK)).digest() for _ in range(0, length, BLOCK))
        self.write(table)
        self.seek(0)
        self.write(_header(length, table))
        self.check()


class Content(io.RawIOBase):
    """Header and content of a file, as HDF5 reads them.

    Args:
        file: the open file.
        table: the checksums of the blocks.
        length: bytes of the content.
    """

    def __init__(self, file: io.RawIOBase, header: bytes, table: bytes, length: int):
        self._file, self._header, self._table, self._length = file, header, table, length
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: HEADER + self._length}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), HEADER + self._length)
        done = 0
        while self._position < end:
            if self._position < HEADER:
                piece = self._header[self._position : min(end, HEADER)]
                view[done : done + len(piece)] = piece
                count = len(piece)
            else:
                number, offset = divmod(self._position - HEADER, BLOCK)
                count = min(self._size(number) - offset, end - self._position)
                if offset == 0 and count == self._size(number) and number not in self._blocks:
                    self._fill(number, view[done : done + count])  # into place, as most of a large dataset
                else:
                    view[done : done + count] = memoryview(self._block(number))[offset : offset + count]
            done += count
            self._position += count
        return done

    def verify(self) -> None:
        """Read every block. Raises ValueError for one that is not as it was written."""
        buffer = bytearray(BLOCK)
        for number in range(len(self._table) // _DIGEST):
            self._fill(number, memoryview(buffer)[: self._size(number)])

    def _size(self, number: int) -> int:
        return min(BLOCK, self._length - number * BLOCK)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            block = bytearray(self._size(number))
            self._fill(number, memoryview(block))
            self._blocks[number] = bytes(block)
            if len(self._blocks) > _KEPT:
                self._blocks.popitem(last=False)
        return self._blocks[number]

    def _fill(self, number: int, view: memoryview) -> None:
        self._file.seek(HEADER + number * BLOCK)
        done = 0
        while done < len(view) and (count := self._file.readinto(view[done:])):
            done += count
        digest = self._table[_DIGEST * number : _DIGEST * (number + 1)]
        if done < len(view) or hashlib.sha256(view).digest() != digest:
            raise ValueError("checksum mismatch")


def content(file: io.RawIOBase, size: int) -> Content | None:
    """The content of an open file with a table, none of it read yet; None where the file says that it has no table.

    Args:
        file: at any position.
        size: of the file, in bytes.

    Raises:
        ValueError: header or table is not as it was written.
    """
    file.seek(0)
    header = file.read(HEADER)
    if not (stated := _STATED.fullmatch(header)):
        return None
    length = int(stated[2])
    tabled = -(-length // BLOCK) * _DIGEST
    if size != HEADER + length + tabled:
        raise ValueError("checksum mismatch")
    file.seek(HEADER + length)
    table = file.read(tabled)
    if header != _header(length, table):
        raise ValueError("checksum mismatch")
    return Content(file, header, table, length)


def _header(length: int, table: bytes) -> bytes:
    digest = hashlib.sha256(f"{length} ".encode() + table).hexdigest()
    return f"zoofuse sha256 {digest} of the blocks of {length}".encode().ljust(HEADER, b"\0")
