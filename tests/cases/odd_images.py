"""Images as telephones, printers, browsers and broken disks make them, as bytes."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 80, 60


def scene() -> Image.Image:
    """Smooth saturated colours with a hard edge, the same at every call."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    colours = np.stack([x * 3, y * 4, np.full_like(x, 40)], -1).astype(np.uint8)
    colours[10:20, 10:30] = [250, 10, 10]
    return Image.fromarray(colours)


def saved(image: Image.Image, format: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colours: int, rows: bytes = b"", extra: bytes = b"") -> bytes:
    """A PNG of raw rows; of zeros where none are given, packed tightly."""
    if not rows:
        row = 1 + (width * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours] * depth + 7) // 8
        packer = zlib.compressobj()
        rows = b"".join(packer.compress(bytes(row)) for _ in range(height)) + packer.flush()
    else:
        rows = zlib.compress(rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def into_jpeg(jpeg: bytes, inserted: bytes) -> bytes:
    return jpeg[:2] + inserted + jpeg[2:]


def orientation(value: int, kind: int = 3, count: int = 1) -> bytes:
    """An EXIF block (TIFF, little-endian) that holds the orientation alone."""
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, kind, count, value, 0) + b"\0\0\0\0"


# --- ICC profiles

# Colorants relative to D50, as Apple's and Adobe's profiles have them.
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
D50 = (0.9642, 1.0, 0.8249)


def _fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *[round(number * 65536) for number in numbers])


def _profile(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ", kind: bytes = b"mntr") -> bytes:
    data, table = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = start + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x04000000, kind, space, pcs)
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def curve(gamma: float | None) -> bytes:
    """A tone curve: a power, or sRGB's own."""
    if gamma is None:
        return b"para\0\0\0\0\0\3\0\0" + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(colorants=DISPLAY_P3, gamma: float | None = None, name: str = "test") -> bytes:
    tags = {b"desc": _text(name), b"cprt": _text("none"), b"wtpt": b"XYZ \0\0\0\0" + _fixed(*D50)}
    tags |= {
        letter + b"XYZ": b"XYZ \0\0\0\0" + _fixed(*c) for letter, c in zip((b"r", b"g", b"b"), colorants, strict=True)
    }
    return _profile(b"RGB ", tags | {letter + b"TRC": curve(gamma) for letter in (b"r", b"g", b"b")})


def grey_profile(gamma: float) -> bytes:
    return _profile(b"GRAY", {b"desc": _text("grey"), b"cprt": _text("none"), b"wtpt": b"XYZ \0\0\0\0" + _fixed(*D50),
                              b"kTRC": curve(gamma)})  # fmt: skip


def cmyk_profile(colour_of) -> bytes:
    """A press whose inks, full or not at all, give the Lab colours of `colour_of(c, m, y, k)`; between, a mixture."""
    nodes = b""
    for i in range(16):
        light, a, b = colour_of(*(i >> shift & 1 for shift in (3, 2, 1, 0)))
        nodes += bytes([round(light * 2.55), round(a + 128), round(b + 128)])
    identity = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += identity * 4 + nodes + identity * 3
    tags = {b"desc": _text("press"), b"cprt": _text("none"), b"wtpt": b"XYZ \0\0\0\0" + _fixed(*D50), b"A2B0": lut}
    tags |= {b"A2B1": lut, b"A2B2": lut}
    return _profile(b"CMYK", tags, b"Lab ", b"prtr")


def _linear(values: np.ndarray, gamma: float | None) -> np.ndarray:
    if gamma is not None:
        return values**gamma
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _encoded(linear: np.ndarray, gamma: float | None) -> np.ndarray:
    if gamma is not None:
        return linear ** (1 / gamma)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def in_space(image: Image.Image, colorants, gamma: float | None) -> Image.Image:
    """The numbers that show an sRGB image's colours in another space, reckoned here and not by LittleCMS."""
    linear = _linear(np.asarray(image) / 255, None) @ np.array(SRGB) @ np.linalg.inv(np.array(colorants))
    return Image.fromarray((_encoded(linear.clip(0, 1), gamma) * 255).round().astype(np.uint8))


def in_srgb(image: Image.Image, colorants, gamma: float | None) -> Image.Image:
    """The other way: what an image of another space shows, rounded once."""
    linear = _linear(np.asarray(image) / 255, gamma) @ np.array(colorants) @ np.linalg.inv(np.array(SRGB))
    return Image.fromarray((_encoded(linear.clip(0, 1), None) * 255).round().astype(np.uint8))


def lab_in_srgb(light: float, a: float, b: float) -> np.ndarray:
    """An sRGB colour of CIE Lab (D50)."""
    y = (light + 16) / 116
    ratios = np.array([y + a / 500, y, y - b / 200])
    xyz = np.where(ratios > 6 / 29, ratios**3, (ratios - 4 / 29) * 3 * (6 / 29) ** 2) * D50
    return _encoded((xyz @ np.linalg.inv(np.array(SRGB))).clip(0, 1), None) * 255
