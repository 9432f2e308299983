"""One picture read safely, whatever its bytes are: bounded in bytes, pixels, passes and memory. Imports no torch.

The containers are walked here first, and Pillow is given only what the pixels need: no text, no previews, no frames
after the first. So the size is known before anything is allocated, and EXIF blocks, profiles and comments cannot cost
more than their bytes.
"""

import contextlib
import errno
import functools
import io
import os
import re
import stat
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from zoofuse.core.text import printable, visible

MAX_PIXELS = 80_000_000  # of one picture; just below the size at which Pillow itself warns
MAX_JPEG_PIXELS = 300_000_000  # telephones take 200 million; above MAX_PIXELS they are decoded at a quarter
MAX_FILE = 256 * 2**20  # bytes
MAX_SCANS = 100  # of one JPEG; encoders write about 10
MAX_PASSES = 4_000_000_000  # pixels times scans
MAX_MEMORY = 1_400_000_000  # bytes that decoding one picture may take
MAX_PROFILE = 8 * 2**20  # bytes of an ICC profile; those of printing presses have up to 3 million

_BUDGET = 1_000_000_000  # bytes that all pictures being decoded at a time may take, unless one alone takes more
_ALONE = 16 * 2**20  # a file with more bytes is read while no other picture is decoded
_PARTS = 200_000  # segments, chunks or blocks of one file
_ARITHMETIC = 80_000_000  # pixels of an arithmetic-coded JPEG, which takes long
_RUNS = 8_000_000  # pixels of a run-length encoded BMP
_STRIP = 4_000_000  # pixels turned, converted and shrunk at a time
_CONVERTED = 4_000_000  # pixels of a picture with a profile that are converted at least
_TEXT = 2**20  # bytes of EXIF, XMP
_NEAR = 3  # of 255: a profile that changes no colour by more is sRGB


class ImageError(ValueError):
    """Pictures that are missing, unreadable or where they should not be; the message names them and the way out."""


class Decoded(NamedTuple):
    """A picture as it was read, and what is known of its file."""

    pixels: np.ndarray  # uint8 (size, size, 3)
    width: int
    height: int
    bytes: int
    quantiser: float  # mean of the JPEG's first table; 0: not a JPEG
    profile: str  # "" (none or sRGB), "converted" or "ignored"


class _Parsed(NamedTuple):
    """What the container says, and the bytes that Pillow needs for the first frame."""

    width: int
    height: int
    memory: int  # bytes that decoding takes, the file apart
    data: bytes
    exif: bytes = b""
    xmp: bytes = b""
    profile: bytes = b""
    tails: bool = False  # a JPEG without its end mark


def content_kind(data: bytes) -> str:
    """What a file's first bytes say it holds.

    Args:
        data: the file, or its first 512 bytes.

    Returns:
        "JPEG", "PNG", "WebP", "GIF" or "BMP" for what is read here, else a noun with its article such as "a Git LFS
        pointer" or "an AVIF image"; "" when nothing is recognised.
    """
    for kind, pattern in _KINDS.items():
        if re.match(pattern, data[:512], re.DOTALL | re.IGNORECASE):
            return kind
    return ""


_KINDS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WebP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{4}\0\0\0\0|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "a Git LFS pointer": rb"version https://git-lfs\.github\.com/spec/",
    "an AVIF image": rb"....ftyp(avif|avis)|....ftyp(mif1|msf1).{4,40}avi[fs]",
    "a HEIC image": rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    "a video": rb"....ftyp|....moov|\x1a\x45\xdf\xa3|RIFF....AVI ",
    "a JPEG XL image": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "a JPEG 2000 image": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    "a TIFF image (or a camera's raw file)": rb"II[\*\+]\0|MM\0[\*\+]|IIRO|IIU\0|FUJIFILMCCD-RAW",
    "a Photoshop file": rb"8BPS",
    "an icon": rb"\x00\x00[\x01\x02]\x00.\x00.",
    "a PDF": rb"\s*%PDF-",
    "a PostScript file": rb"%!PS",
    "an archive (ZIP)": rb"PK(\x03\x04|\x05\x06|\x07\x08)",
    "an archive": rb"\x1f\x8b|BZh|\xfd7zXZ\0|7z\xbc\xaf\x27\x1c|Rar!|\x28\xb5\x2f\xfd|.{257}ustar",
    "an SVG drawing": rb"(\xef\xbb\xbf)?\s*(<\?xml.*?|<!--.*?-->\s*|<!DOCTYPE\s+)*<?svg\b",
    "an HTML page": rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(!DOCTYPE\s+html|html|head|body|title)\b",
    "XML text": rb"(\xef\xbb\xbf)?\s*<\?xml\b|\s*<[a-z][\w:-]*[\s>].*",
    "JSON text": rb'(\xef\xbb\xbf)?\s*(\{\s*["}]|\[\s*[\[\{"\]\d-])',
    "another version's NumPy or HDF5 data": rb"\x93NUMPY|\x89HDF\r\n",
}
_ADVICE = {
    "a Git LFS pointer": "run `git lfs pull` where the images lie",
    "an HTML page": "a download that failed; fetch it again",
    "XML text": "a download that failed; fetch it again",
    "JSON text": "a download that failed; fetch it again",
    "a video": "save single frames of it as JPEG or PNG",
    "a PDF": "save its images as JPEG or PNG",
    "an archive (ZIP)": "unpack it",
    "an archive": "unpack it",
}
_READ = ("JPEG", "PNG", "WebP", "GIF", "BMP")
_NOT_READ = "not a JPEG, PNG, WebP, GIF or BMP inside"


def foreign(data: bytes) -> str:
    """The cause why content is no picture that is read here, with what to do about it.

    Args:
        data: the file's first bytes.

    Returns:
        One phrase, such as "a Git LFS pointer, not the image; run `git lfs pull` where the images lie".
    """
    if not data:
        return "empty file"
    kind = content_kind(data)
    if not kind:
        return "zeros only; copy it again" if not data.strip(b"\0") else _NOT_READ
    if kind in _ADVICE:
        return f"{kind}, not the image; {_ADVICE[kind]}"
    return f"{kind}, which is not read; save it as JPEG or PNG"


def examine(source: str | os.PathLike | bytes, size: int = 32) -> Decoded | str:
    """The whole picture (a file, or its bytes) at size x size, with what is known of its file.

    Turned upright by its EXIF orientation, an ICC profile's colours as sRGB, alpha on white, then Pillow's bilinear
    resize with antialiasing, which is what torchvision's Resize does to a PIL image. Of an animation the first frame.

    Args:
        source: a path, or the file's bytes.
        size: pixels of a side of the result.

    Returns:
        The picture, or the cause why it can't be read, as text; nothing is raised for any content.
    """
    return _examined(source, lambda width, height: (size, size), False)


def thumbnail(source: str | os.PathLike | bytes, longest: int) -> Image.Image | str:
    """A picture in its own proportions, for showing: read like `examine`, and never enlarged.

    Args:
        source: a path, or the file's bytes.
        longest: pixels of the longer side at most.

    Returns:
        An RGB image, or the cause why it can't be read, as text; nothing is raised for any content.
    """

    def fitted(width: int, height: int) -> tuple[int, int]:
        scale = min(1, longest / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))

    found = _examined(source, fitted, True)
    return found if isinstance(found, str) else Image.fromarray(found.pixels)


Target = Callable[[int, int], tuple[int, int]]  # width and height of the upright picture -> those of the result


def _examined(source: str | os.PathLike | bytes, target: Target, quick: bool) -> Decoded | str:
    try:
        size = len(source) if isinstance(source, bytes) else file_size(source)
        if isinstance(size, str):
            return size
        if size > MAX_FILE:
            return f"{size:,} bytes; at most {MAX_FILE:,} are read, make it smaller"
        with _BUDGETED(_BUDGET if size > _ALONE else 0):
            data = source if isinstance(source, bytes) else contents(source)
            if isinstance(data, str):
                return data
            kind = content_kind(data)
            if kind not in _READ:
                return foreign(data[:4096])
            parsed = _PARSERS[kind](data)
            if isinstance(parsed, str):
                return parsed
            if cause := _beyond(kind, parsed):
                return cause
            with contextlib.nullcontext() if size > _ALONE else _BUDGETED(parsed.memory + 2 * size):
                return _decoded(kind, parsed, len(data), target, quick)
    except MemoryError:
        return "there is not enough memory to decode it; make it smaller"
    except OSError as error:
        return error.strerror or f"damaged or truncated ({_words(error)})"
    except Exception as error:  # whatever a decoder says about a damaged file, it is one unreadable picture
        return f"damaged or truncated ({_words(error)})"


def _words(error: Exception) -> str:
    """What a decoder says, on one line; some raise errors without a word."""
    return visible(str(error)).replace("\n", " ")[:200] or type(error).__name__


class _Budget:
    """Lets pictures be decoded side by side as long as they fit into memory together; in the order they came."""

    def __init__(self, total: int):
        self.total, self.used = total, 0
        self.turn, self.change = threading.Lock(), threading.Condition()

    @contextlib.contextmanager
    def __call__(self, cost: int) -> Iterator[None]:
        cost = min(cost, self.total)
        with self.turn, self.change:
            self.change.wait_for(lambda: self.used + cost <= self.total)
            self.used += cost
        try:
            yield
        finally:
            with self.change:
                self.used -= cost
                self.change.notify_all()


_BUDGETED = _Budget(_BUDGET)


# --- files


def file_size(path: str | os.PathLike) -> int | str:
    """Bytes of a regular file. Nothing is opened: opening some devices alone does something.

    Args:
        path: the file; links are followed.

    Returns:
        Its size, or the cause why there is nothing to read, as text.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        return _unreachable(path, error)
    return found.st_size if stat.S_ISREG(found.st_mode) else _irregular(found.st_mode)


def contents(path: str | os.PathLike) -> bytes | str:
    """The bytes of a regular file. What has become a pipe or a device since it was listed is not waited for.

    Args:
        path: the file; links are followed.

    Returns:
        All bytes, or the cause why it can't be read, as text.
    """
    found = file_size(path)
    if isinstance(found, str):
        return found
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                return _irregular(mode)
            data = bytearray()
            while part := file.read(min(2**20 + len(data), MAX_FILE + 1 - len(data))):
                data += part
    except (OSError, ValueError) as error:
        return _unreachable(path, error)
    if len(data) > MAX_FILE:  # it grows
        return f"over {MAX_FILE:,} bytes; make it smaller"
    return bytes(data)


def _irregular(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe (FIFO)",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return f"{kinds.get(stat.S_IFMT(mode), 'something else')}, not a file"


def unreachable(path: str | os.PathLike) -> str:
    """Why there is nothing at a path.

    Args:
        path: a file or folder, or a link to one.

    Returns:
        The cause, for a link with where it leads; "" where something is there.
    """
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        return _unreachable(path, error)
    return ""


def _unreachable(path: str | os.PathLike, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.ELOOP:
        return "a link that leads to itself"
    with contextlib.suppress(OSError, ValueError):
        if os.path.islink(path) and code in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            why = "can't be read" if code == errno.EACCES else "is not there"
            return f"a link to {printable(os.readlink(path))!r}, which {why}"
    return getattr(error, "strerror", None) or _words(error)


# --- containers


def _beyond(kind: str, parsed: _Parsed) -> str:
    """Why a picture is too large to decode, or nothing."""
    most = MAX_JPEG_PIXELS if kind == "JPEG" else MAX_PIXELS
    if parsed.width * parsed.height > most:  # known from the header, nothing is decoded yet
        return f"{parsed.width} x {parsed.height} pixels; at most {most:,} are read, make it smaller"
    if parsed.memory > MAX_MEMORY:
        return (
            f"decoding its {parsed.width} x {parsed.height} pixels takes {parsed.memory / 1e9:.1f} GB of memory; "
            "save it smaller, or as a baseline JPEG"
        )
    return ""


# The next marker in scan data: 0xFF that is neither stuffed, nor a restart mark, nor filling.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_ANY_MARKER = re.compile(rb"\xff[^\xff]", re.DOTALL)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Quantisation, Huffman and arithmetic tables, restart interval, number of lines, JFIF and Adobe.
_NEEDED = {0xDB, 0xC4, 0xCC, 0xDD, 0xDC, 0xE0, 0xEE}


def _jpeg(data: bytes) -> _Parsed | str:
    view, kept, at = memoryview(data), [b"\xff\xd8"], 2
    exif, xmp, profile = bytearray(), b"", {}
    frame, scans, first, reached = None, 0, 0, {}
    for _ in range(_PARTS):
        found = _ANY_MARKER.search(data, at)
        at = found.start() if found else len(data)
        if at + 4 > len(data):
            ended = data[at:] == b"\xff\xd9" or data[at:-1] == b"\xff\xd9"
            break
        marker = data[at + 1]
        if marker == 0xD9:
            ended = True
            break
        if marker in (0, 1) or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        end = at + 2 + int.from_bytes(view[at + 2 : at + 4], "big")
        body = view[at + 4 : end]
        if end < at + 4 or end > len(data):
            ended = False
            break
        if marker in _FRAMES:
            if frame or len(body) < 6 or len(body) < 6 + 3 * body[5] or not 0 < body[5] <= 4:
                return "damaged or truncated (its header contradicts itself)"
            frame = (
                marker,
                *struct.unpack(">HH", body[1:5]),
                [bytes(body[i : i + 2]) for i in range(6, 6 + 3 * body[5], 3)],
            )
        elif marker == 0xE1 and bytes(body[:6]) == b"Exif\0\0" and len(exif) < _TEXT:
            exif += body[6:] if exif else body
        elif marker == 0xE1 and bytes(body[:29]) == b"http://ns.adobe.com/xap/1.0/\0":
            xmp = bytes(body[29:])
        elif marker == 0xE2 and bytes(body[:12]) == b"ICC_PROFILE\0" and len(body) > 14:
            profile.setdefault(body[12], bytes(body[14:]))
        if marker == 0xDA:
            if not frame or len(body) < 1 or len(body) < 4 + 2 * body[0]:
                return "damaged or truncated (a scan without a header)"
            scans += 1
            first = first or body[0]
            start, stop, low = body[1 + 2 * body[0]], body[2 + 2 * body[0]], body[3 + 2 * body[0]] & 15
            for component in body[1 : 1 + 2 * body[0] : 2]:
                reached.setdefault(component, {}).update(dict.fromkeys(range(start, min(stop, 63) + 1), low))
            found = _MARKER.search(data, end)
            end = found.start() if found else len(data)
        if marker == 0xDA or marker in _FRAMES or marker in _NEEDED:
            kept.append(view[at:end])
        at = end
    else:
        return f"over {_PARTS:,} segments; save it again"
    if not frame or not scans:
        return "damaged or truncated (no image in it)"
    kind, height, width, components = frame
    if not width or not height:
        return "damaged or truncated (no pixels)"
    pixels = width * height
    if kind > 0xC8 and pixels > _ARITHMETIC:
        return f"an arithmetic-coded JPEG of {pixels:,} pixels; save it again as a baseline JPEG"
    if scans > MAX_SCANS or pixels * scans > MAX_PASSES:
        return f"a progressive JPEG with {scans:,} scans of {pixels:,} pixels; save it again as a baseline JPEG"
    sampled = [(c[1] >> 4) * (c[1] & 15) for c in components]
    most = max(c[1] >> 4 for c in components) * max(c[1] & 15 for c in components)
    buffered = kind in (0xC2, 0xC6, 0xCA, 0xCE) or first < len(components)
    memory = 2 * pixels * sum(sampled) // max(1, most) if buffered else 0
    memory += pixels * (4 if len(components) > 1 else 1) // (16 if pixels > MAX_PIXELS else 1)
    whole = {c[0] for c in components} <= {c for c, low in reached.items() if [*low.values()] == [0] * 64}
    if not ended:
        if not whole:
            return "damaged or truncated (it ends before its last scan)"
        # Zeros at the end are what a failed download leaves, not scan data; after 0xFF one of them is.
        last = bytes(kept[-1]).rstrip(b"\0")
        kept[-1] = last + b"\0" if last.endswith(b"\xff") else last
    profile = b"".join(profile[i] for i in sorted(profile))
    ends = b"\xff\xd9" if ended else b""
    return _Parsed(width, height, memory, b"".join([*kept, ends]), bytes(exif), xmp, profile, not ended)


def _png(data: bytes) -> _Parsed | str:
    view, kept, at = memoryview(data), [data[:8]], 8
    width = height = memory = 0
    exif = xmp = profile = b""
    for _ in range(_PARTS):
        if at + 8 > len(data):
            break
        length, kind = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8])
        end = at + 12 + length
        body = view[at + 8 : min(end - 4, len(data))]
        if kind == b"IHDR":
            if width or len(body) < 13:
                return "damaged or truncated (its header contradicts itself)"
            width, height, depth, colours = struct.unpack(">IIBB", body[:10])
            memory = width * height * ({0: 1, 3: 1}.get(colours, 4) * (2 if depth == 16 and colours == 0 else 1))
        elif kind == b"eXIf" and length <= _TEXT:
            exif = bytes(body)
        elif kind == b"iCCP":
            name, _, rest = bytes(body[: 80 + MAX_PROFILE]).partition(b"\0")
            profile = _inflated(rest[1:], MAX_PROFILE) or b"?" if len(name) < 80 else b"?"
        elif kind in (b"iTXt", b"zTXt", b"tEXt") and length <= _TEXT:
            name, text = _png_text(kind, bytes(body))
            if name == b"XML:com.adobe.xmp":
                xmp = text
            elif name == b"Raw profile type exif" and not exif:
                with contextlib.suppress(ValueError):
                    exif = bytes.fromhex(b"".join(text.split()[2:]).decode("latin1"))
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(view[at:end])
        if kind == b"IEND" or end > len(data):
            break
        at = end
    else:
        return f"over {_PARTS:,} chunks; save it again"
    if not width or not height:
        return "damaged or truncated (no image in it)"
    return _Parsed(width, height, memory, b"".join(kept), exif, xmp, profile)


def _inflated(data: bytes, most: int) -> bytes:
    """What zlib data holds, or nothing where it is damaged or holds over `most` bytes."""
    unpacker = zlib.decompressobj()
    with contextlib.suppress(zlib.error):
        unpacked = unpacker.decompress(data, most)
        return unpacked if unpacker.eof else b""
    return b""


def _png_text(kind: bytes, body: bytes) -> tuple[bytes, bytes]:
    name, _, text = body.partition(b"\0")
    if kind == b"zTXt":
        text = _inflated(text[1:], _TEXT)
    elif kind == b"iTXt":
        packed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]
        text = _inflated(text, _TEXT) if packed else text
    return name, text


def _webp(data: bytes) -> _Parsed | str:
    view, at, width, height = memoryview(data), 12, 0, 0
    found = {b"EXIF": b"", b"XMP ": b"", b"ICCP": b""}
    for _ in range(_PARTS):
        if at + 8 > len(data):
            break
        kind, length = bytes(view[at : at + 4]), int.from_bytes(view[at + 4 : at + 8], "little")
        body = view[at + 8 : at + 8 + length]
        if kind == b"VP8X" and len(body) >= 10:
            width, height = (1 + int.from_bytes(body[i : i + 3], "little") for i in (4, 7))
        elif kind == b"VP8 " and len(body) >= 10 and not width:
            width, height = (value & 0x3FFF for value in struct.unpack("<HH", body[6:10]))
        elif kind == b"VP8L" and len(body) >= 5 and not width:
            bits = int.from_bytes(body[1:5], "little")
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif kind in found and not found[kind] and length <= MAX_PROFILE:
            found[kind] = bytes(body)
        at += 8 + length + length % 2
    else:
        return f"over {_PARTS:,} chunks; save it again"
    if not width or not height:
        return "damaged or truncated (no image in it)"
    # libwebp keeps two canvases, Pillow two copies of what it gives.
    memory = 16 * width * height
    return _Parsed(width, height, memory, data, found[b"EXIF"][:_TEXT], found[b"XMP "][:_TEXT], found[b"ICCP"])


def _gif(data: bytes) -> _Parsed | str:
    """The first frame alone: Pillow joins long comments in a time that grows with their square."""

    def palette(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    def after(at: int) -> int:
        """Where the blocks that begin at `at` end."""
        while at < len(data) and data[at]:
            at += 1 + data[at]
        return at + 1

    header = data[: 13 + palette(data[10] if len(data) > 10 else 0)]
    control, at = b"", len(header)
    for _ in range(_PARTS):
        start = at
        if data[at : at + 1] == b"!":
            at = after(at + 2)
            if data[start + 1 : start + 2] == b"\xf9":
                control = data[start:at]
        elif data[at : at + 1] == b"," and at + 10 < len(data):
            left, top, width, height, flags = struct.unpack("<HHHHB", data[at + 1 : at + 10])
            frame = data[start : after(at + 11 + palette(flags))]
            canvas = struct.unpack("<HH", data[6:10])
            width, height = max(canvas[0], left + width), max(canvas[1], top + height)
            memory = width * height * (4 if control else 1)
            return _Parsed(width, height, memory, header + control + frame + b"\0;")
        else:
            break
    return "damaged or truncated (no image in it)"


def _bmp(data: bytes) -> _Parsed | str:
    if len(data) < 30:
        return "damaged or truncated (no image in it)"
    if int.from_bytes(data[14:18], "little") == 12:
        width, height, _, bits = struct.unpack("<HHHH", data[18:26])
        packed = 0
    else:
        width, height, _, bits, packed = struct.unpack("<iiHHI", data[18:34].ljust(16, b"\0"))
    width, height = abs(width), abs(height)
    if not width or not height:
        return "damaged or truncated (no pixels)"
    if packed in (1, 2) and width * height > _RUNS:  # Pillow unpacks them in Python, byte after byte
        return f"a run-length encoded BMP of {width} x {height} pixels; save it as PNG"
    # What is not run-length encoded can't have more pixels than its bytes hold.
    return _Parsed(width, height, width * height * (4 if bits > 8 else 2), data)


_PARSERS = {"JPEG": _jpeg, "PNG": _png, "WebP": _webp, "GIF": _gif, "BMP": _bmp}
_OPENERS = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}


# --- pixels


def _decoded(kind: str, parsed: _Parsed, size: int, target: Target, quick: bool) -> Decoded | str:
    orientation = _orientation(parsed.exif, parsed.xmp)
    swapped = orientation >= 5
    upright = (parsed.height, parsed.width) if swapped else (parsed.width, parsed.height)
    wanted = target(*upright)
    scale = 4 if parsed.width * parsed.height > MAX_PIXELS else 1
    if quick:
        scale = max(scale, min(upright[0] // (2 * wanted[0]), upright[1] // (2 * wanted[1])))

    def loaded(data: bytes) -> Image.Image:
        image = _OPENERS[kind](io.BytesIO(data))
        if image.size != (parsed.width, parsed.height):
            raise ValueError("its header contradicts itself")
        if kind == "JPEG" and scale > 1:
            image.draft(image.mode, (parsed.width // scale, parsed.height // scale))
        image.load()
        return image

    if parsed.tails and not _same_with_any_tail(parsed.data, loaded):
        return "damaged or truncated (it ends before its last pixels)"
    image = loaded(parsed.data + b"\xff\xd9" if parsed.tails else parsed.data)
    tables = getattr(image, "quantization", None)
    quantiser = float(np.mean(tables.get(0, 0))) if tables else 0.0
    convert, profile = _conversion(parsed.profile, image.mode)
    if convert and image.mode in _MODES.values():
        # LittleCMS does 60 million pixels a second, decoding and shrinking 130. Below 16 million all are converted.
        image = image.reduce(max(1, int((image.width * image.height / _CONVERTED) ** 0.5)))
    pixels = np.array(_shrunk(image, orientation, convert, wanted))
    return Decoded(pixels, parsed.width, parsed.height, size, quantiser, profile)


def _same_with_any_tail(data: bytes, loaded: Callable[[bytes], Image.Image]) -> bool:
    """Whether a JPEG's scan data is whole, though its end mark is missing.

    A decoder leaves aside what follows the last pixel; where pixels are missing, it takes them from the bytes that
    come next. So a picture that any bytes can follow is whole.
    """
    digests = set()
    noise = (b"\x55\xaa" * 8, b"\xe7\x1b\x9c" * 8)  # with restart marks, for parts that are missing whole
    tails = [b"".join(part + bytes([0xFF, 0xD0 + i % 8]) for i in range(64)) for part in noise]
    for tail in (b"", *tails):
        image = loaded(data + tail + b"\xff\xd9")
        digests.add(hash(image.tobytes()) if image.width * image.height < _STRIP else _strip_hash(image))
    return len(digests) == 1


def _strip_hash(image: Image.Image) -> int:
    rows = max(1, _STRIP // image.width)
    strips = range(0, image.height, rows)
    return hash(tuple(hash(image.crop((0, y, image.width, min(y + rows, image.height))).tobytes()) for y in strips))


def _orientation(exif: bytes, xmp: bytes) -> int:
    """EXIF orientation 1 to 8; 1 where there is none that can be read.

    Pillow reads every tag of the block, each of which may claim all of its bytes.
    """
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    found = None
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    with contextlib.suppress(struct.error, KeyError, IndexError):
        if order:
            (start,) = struct.unpack_from(order + "4xI", exif)
            (count,) = struct.unpack_from(order + "H", exif, start)
            for at in range(start + 2, start + 2 + 12 * count, 12):
                tag, kind, length = struct.unpack_from(order + "HHI", exif, at)
                if tag == 0x0112:
                    number = order + {3: "H", 4: "I", 8: "h", 9: "i"}[kind]
                    inline = length * struct.calcsize(number) <= 4
                    where = at + 8 if inline else struct.unpack_from(order + "I", exif, at + 8)[0]
                    (found,) = struct.unpack_from(number, exif, where)
    if found is None and (match := re.search(rb'tiff:Orientation(?:="|>)([0-9])', xmp)):
        found = int(match[1])
    return found if found in _TURN else 1


_TURN = {  # EXIF orientation (tag 0x0112) -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _shrunk(image: Image.Image, orientation: int, convert: Callable | None, size: tuple[int, int]) -> Image.Image:
    """Upright, RGB, on white, resized; strip by strip where the picture is large, with the same result to the bit.

    Pillow resizes across before it resizes down, so strips that were shrunk across can be joined and shrunk down.
    """
    width, height = image.size[::-1] if orientation >= 5 else image.size
    rows = max(1, _STRIP // width)
    if rows >= height:
        turned = image.transpose(_TURN[orientation]) if orientation in _TURN else image
        return _rgb(turned, convert).resize(size, Image.Resampling.BILINEAR)
    joined = Image.new("RGB", (size[0], height))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = (height - bottom, height - top) if orientation in (3, 4, 7, 8) else (top, bottom)
        box = (first, 0, last, width) if orientation >= 5 else (0, first, width, last)
        strip = image.crop(box)
        strip = strip.transpose(_TURN[orientation]) if orientation in _TURN else strip
        strip = _rgb(strip, convert).resize((size[0], bottom - top), Image.Resampling.BILINEAR)
        joined.paste(strip, (0, top))
    return joined.resize(size, Image.Resampling.BILINEAR)


def _rgb(image: Image.Image, convert: Callable | None = None) -> Image.Image:
    """RGB on white; `convert` gives the sRGB colours of an image without alpha."""
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it
        levels = np.asarray(image).astype(np.int32)
        grey = (levels >> 8).clip(0, 255).astype(np.uint8)
        if isinstance(clear := image.info.get("transparency"), int):
            grey[levels == clear] = 255
        image = Image.fromarray(grey)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        if convert:
            alpha = image.getchannel("A")
            image = convert(image.convert("RGB"))
            image.putalpha(alpha)
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return (convert(image) if convert else image).convert("RGB")


# --- colours

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}


def _conversion(profile: bytes, mode: str) -> tuple[Callable | None, str]:
    """What makes the colours of an image of this mode sRGB, if anything, and what became of the profile."""
    if not profile:
        return None, ""
    if len(profile) > MAX_PROFILE or len(profile) < 128:
        return None, "ignored"
    space = _MODES.get(profile[16:20])
    grey = mode in ("1", "L", "LA") or mode.startswith("I")
    fits = {"RGB": mode != "CMYK", "L": grey, "CMYK": mode == "CMYK"}.get(space, False)
    transform = _transform(profile, space) if fits else "ignored"
    if isinstance(transform, str):
        return None, transform

    def convert(image: Image.Image) -> Image.Image:
        return ImageCms.applyTransform(image if image.mode == space else image.convert(space), transform)

    return convert, "converted"


@functools.lru_cache(32)
def _transform(profile: bytes, space: str) -> ImageCms.ImageCmsTransform | str:
    """From a profile to sRGB, by LittleCMS; "" where it changes next to nothing, "ignored" where it is absurd."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            space,
            "RGB",
            _INTENT,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        levels = np.linspace(0, 255, 17).round().astype(np.uint8)
        grid = levels[:, None] if space == "L" else np.stack(np.meshgrid(*[levels] * 3, indexing="ij"), -1)
        if space == "CMYK":
            grid = np.concatenate([grid, np.zeros_like(grid[..., :1])], -1)
        shape = (-1, 1) if space == "L" else (-1, 1, grid.shape[-1])
        image = Image.fromarray(grid.reshape(shape), mode=space)
        seen = np.asarray(ImageCms.applyTransform(image, transform)).reshape(-1, 3).astype(int)
    except Exception:  # PyCMSError, and what Pillow says of a profile that is none
        return "ignored"
    black, white = (seen[-1], seen[0]) if space == "CMYK" else (seen[0], seen[-1])
    if white.min() < 160 or black.max() > 100:
        return "ignored"
    if space != "CMYK" and abs(seen - grid.reshape(len(seen), -1)).max() <= _NEAR:
        return ""
    return transform
