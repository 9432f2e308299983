"""The containers of images, walked without decoding: sizes, metadata, and the bytes that the pixels need.

So the size is known before anything is allocated, and EXIF blocks, profiles and comments cannot cost more than their
bytes.
"""

import contextlib
import re
import struct
import zlib
from typing import NamedTuple

MAX_PIXELS = 80_000_000  # of one image; just below the size at which Pillow itself warns
MAX_JPEG_PIXELS = 300_000_000  # telephones take 200 million; above MAX_PIXELS they are decoded at a quarter
MAX_SCANS = 100  # of one JPEG; encoders write about 10
MAX_PASSES = 4_000_000_000  # pixels times scans
MAX_MEMORY = 1_400_000_000  # bytes that decoding one image may take
MAX_PROFILE = 8 * 2**20  # bytes of an ICC profile; those of printing presses have up to 3 million

_PARTS = 200_000  # segments, chunks or blocks of one file
_ARITHMETIC = 80_000_000  # pixels of an arithmetic-coded JPEG, which takes long
_RUNS = 8_000_000  # pixels of a run-length encoded BMP
_TEXT = 2**20  # bytes of EXIF, XMP


class Parsed(NamedTuple):
    """What the container says, and the bytes that Pillow needs for the first frame."""

    width: int
    height: int
    memory: int  # bytes that decoding takes, the file apart
    data: bytes
    exif: bytes = b""
    xmp: bytes = b""
    profile: bytes = b""
    tails: bool = False  # a JPEG without its end mark


def beyond(kind: str, parsed: Parsed) -> str:
    """Why an image is too large to decode, or nothing."""
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


def _jpeg(data: bytes) -> Parsed | str:
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
                return "corrupt or truncated (its header contradicts itself)"
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
                return "corrupt or truncated (a scan without a header)"
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
        return "corrupt or truncated (no image in it)"
    kind, height, width, components = frame
    if not width or not height:
        return "corrupt or truncated (no pixels)"
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
            return "corrupt or truncated (it ends before its last scan)"
        # Zeros at the end are what a failed download leaves, not scan data; after 0xFF one of them is.
        last = bytes(kept[-1]).rstrip(b"\0")
        kept[-1] = last + b"\0" if last.endswith(b"\xff") else last
    profile = b"".join(profile[i] for i in sorted(profile))
    ends = b"\xff\xd9" if ended else b""
    return Parsed(width, height, memory, b"".join([*kept, ends]), bytes(exif), xmp, profile, not ended)


def _png(data: bytes) -> Parsed | str:
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
                return "corrupt or truncated (its header contradicts itself)"
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
        return "corrupt or truncated (no image in it)"
    return Parsed(width, height, memory, b"".join(kept), exif, xmp, profile)


def _inflated(data: bytes, most: int) -> bytes:
    """What zlib data holds, or nothing where it is corrupt or holds over `most` bytes."""
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


def _webp(data: bytes) -> Parsed | str:
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
        return "corrupt or truncated (no image in it)"
    # libwebp keeps two canvases, Pillow two copies of what it gives.
    memory = 16 * width * height
    return Parsed(width, height, memory, data, found[b"EXIF"][:_TEXT], found[b"XMP "][:_TEXT], found[b"ICCP"])


def _gif(data: bytes) -> Parsed | str:
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
            return Parsed(width, height, memory, header + control + frame + b"\0;")
        else:
            break
    return "corrupt or truncated (no image in it)"


def _bmp(data: bytes) -> Parsed | str:
    if len(data) < 30:
        return "corrupt or truncated (no image in it)"
    if int.from_bytes(data[14:18], "little") == 12:
        width, height, _, bits = struct.unpack("<HHHH", data[18:26])
        packed = 0
    else:
        width, height, _, bits, packed = struct.unpack("<iiHHI", data[18:34].ljust(16, b"\0"))
    width, height = abs(width), abs(height)
    if not width or not height:
        return "corrupt or truncated (no pixels)"
    if packed in (1, 2) and width * height > _RUNS:  # Pillow unpacks them in Python, byte after byte
        return f"a run-length encoded BMP of {width} x {height} pixels; save it as PNG"
    # What is not run-length encoded can't have more pixels than its bytes hold.
    return Parsed(width, height, width * height * (4 if bits > 8 else 2), data)


PARSERS = {"JPEG": _jpeg, "PNG": _png, "WebP": _webp, "GIF": _gif, "BMP": _bmp}
