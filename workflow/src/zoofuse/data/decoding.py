"""One image read safely, whatever its bytes are: bounded in bytes, pixels, passes and memory. Imports no torch.

The containers are walked first, and Pillow is given only what the pixels need: no text, no previews, no frames after
the first.
"""

import contextlib
import io
import os
import re
import struct
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from zoofuse.core.regular import NotRegular, file_size, read_regular
from zoofuse.core.text import visible
from zoofuse.data.containers import MAX_PIXELS, PARSERS, Parsed, beyond
from zoofuse.data.content import READ, content_kind, not_an_image
from zoofuse.data.profiles import MODES, conversion

MAX_FILE = 256 * 2**20  # bytes

_BUDGET = 1_000_000_000  # bytes that all images being decoded at a time may take, unless one alone takes more
_ALONE = 16 * 2**20  # a file with more bytes is read while no other image is decoded
_STRIP = 4_000_000  # pixels turned, converted and shrunk at a time
_CONVERTED = 4_000_000  # pixels of an image with a profile that are converted at least


class ImageError(ValueError):
    """Images that are missing, unreadable or where they should not be; the message names them and the way out."""


class Decoded(NamedTuple):
    """An image as it was read, and what is known of its file."""

    pixels: np.ndarray  # uint8 (size, size, 3)
    width: int
    height: int
    bytes: int
    quantiser: float  # mean of the JPEG's first table; 0: not a JPEG
    profile: str  # "" (none or sRGB), "converted" or "ignored"


def examine(source: str | os.PathLike | bytes, size: int = 32) -> Decoded | str:
    """The whole image (a file, or its bytes) at size x size, with what is known of its file.

    Turned upright by its EXIF orientation, an ICC profile's colours as sRGB, alpha on white, then Pillow's bilinear
    resize with antialiasing, which is what torchvision's Resize does to a PIL image. Of an animation the first frame.

    Args:
        source: a path, or the file's bytes.
        size: pixels of a side of the result.

    Returns:
        The image, or the cause why it can't be read, as text; nothing is raised for any content.
    """
    return _examined(source, lambda width, height: (size, size), False)


def thumbnail(source: str | os.PathLike | bytes, longest: int) -> Image.Image | str:
    """An image in its own proportions, for showing: read like `examine`, and never enlarged.

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


Target = Callable[[int, int], tuple[int, int]]  # width and height of the upright image -> those of the result


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
            if kind not in READ:
                return not_an_image(data[:4096])
            parsed = PARSERS[kind](data)
            if isinstance(parsed, str):
                return parsed
            if cause := beyond(kind, parsed):
                return cause
            with contextlib.nullcontext() if size > _ALONE else _BUDGETED(parsed.memory + 2 * size):
                return _decoded(kind, parsed, len(data), target, quick)
    except MemoryError:
        return "there is not enough memory to decode it; make it smaller"
    except OSError as error:
        return error.strerror or f"corrupt or truncated ({_words(error)})"
    except Exception as error:  # whatever a decoder says about a corrupt file, it is one unreadable image
        return f"corrupt or truncated ({_words(error)})"


def _words(error: Exception) -> str:
    """What a decoder says, on one line; some raise errors without a word."""
    return visible(str(error)).replace("\n", " ")[:200] or type(error).__name__


class _Budget:
    """Lets images be decoded side by side as long as they fit into memory together; in the order they came."""

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


def contents(path: str | os.PathLike) -> bytes | str:
    """The bytes of an image file (links are followed), or the cause why it can't be read, as text."""
    try:
        return read_regular(path, MAX_FILE)
    except NotRegular as error:
        return str(error)


_OPENERS = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}


# --- pixels


def _decoded(kind: str, parsed: Parsed, size: int, target: Target, quick: bool) -> Decoded | str:
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
        return "corrupt or truncated (it ends before its last pixels)"
    image = loaded(parsed.data + b"\xff\xd9" if parsed.tails else parsed.data)
    tables = getattr(image, "quantization", None)
    quantiser = float(np.mean(tables.get(0, 0))) if tables else 0.0
    convert, profile = conversion(parsed.profile, image.mode)
    if convert and image.mode in MODES.values():
        # LittleCMS does 60 million pixels a second, decoding and shrinking 130. Below 16 million all are converted.
        image = image.reduce(max(1, int((image.width * image.height / _CONVERTED) ** 0.5)))
    pixels = np.array(_shrunk(image, orientation, convert, wanted))
    return Decoded(pixels, parsed.width, parsed.height, size, quantiser, profile)


def _same_with_any_tail(data: bytes, loaded: Callable[[bytes], Image.Image]) -> bool:
    """Whether a JPEG's scan data is whole, though its end mark is missing.

    A decoder leaves aside what follows the last pixel; where pixels are missing, it takes them from the bytes that
    come next. So an image that any bytes can follow is whole.
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


_TURN = {  # EXIF orientation (tag 0x0112) -> what makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _shrunk(image: Image.Image, orientation: int, convert: Callable | None, size: tuple[int, int]) -> Image.Image:
    """Upright, RGB, on white, resized; strip by strip where the image is large, with the same result to the bit.

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
