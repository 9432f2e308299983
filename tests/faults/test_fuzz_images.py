"""Image files with wrong bytes: every one gives an image or a cause, in little time and memory.

ZOOFUSE_FUZZ is a factor for how many are tried.
"""

import os
import random
import resource
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoofuse.data import decoding, images

sys.path.insert(0, str(Path(__file__).parents[1] / "cases"))
import odd_images as odd

FACTOR = float(os.environ.get("ZOOFUSE_FUZZ", "1"))
SECONDS, MEMORY = 10, 600_000  # of CPU for two readings (80 megapixels with a profile: 7), KiB that all may add

_EXIF = b"Exif\0\0" + odd.orientation(6)
_RGB, _GREY = odd.rgb_profile(), odd.grey_profile(1.8)
_CMYK = odd.cmyk_profile(lambda c, m, y, k: (100 - 25 * (c + m + y + k), 40 * (m - c), 40 * (y - m)))


def seeds() -> dict[str, bytes]:
    scene = odd.scene().resize((40, 30))
    white = Image.new("RGB", (40, 30), "white")
    palette, saved = scene.quantize(32), odd.saved
    text = odd.chunk(b"zTXt", b"k\0\0" + zlib.compress(b"text" * 99)) + odd.chunk(
        b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0x"
    )
    rgba = scene.convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(scene.size))
    png = saved(rgba, "PNG", icc_profile=_RGB, exif=_EXIF)
    start = struct.pack("<IHHI", 1000, 0, 0, 1078)
    runs = struct.pack("<IiiHHIIiiII", 40, 40, 30, 1, 8, 1, 0, 1, 1, 0, 0) + bytes(range(256)) * 4
    return {
        "JPEG": saved(scene, "JPEG", icc_profile=_RGB, exif=_EXIF),
        "progressive JPEG": saved(scene, "JPEG", progressive=True, restart_marker_blocks=2, exif=_EXIF),
        "CMYK JPEG": saved(scene.convert("CMYK"), "JPEG", icc_profile=_CMYK),
        "MPO": saved(scene, "MPO", save_all=True, append_images=[white]),
        "JPEG without end": saved(scene, "JPEG", restart_marker_rows=1)[:-2],
        "PNG": png[:33] + text + png[33:],
        "grey PNG": saved(scene.convert("L"), "PNG", icc_profile=_GREY),
        "palette PNG": saved(palette, "PNG", transparency=3, exif=_EXIF),
        "16-bit PNG": saved(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50), "PNG"),
        "animated PNG": saved(scene, "PNG", save_all=True, append_images=[white]),
        "lossy WebP": saved(scene, "WEBP", icc_profile=_RGB, exif=_EXIF),
        "lossless WebP": saved(rgba, "WEBP", lossless=True, icc_profile=_RGB),
        "animated WebP": saved(scene, "WEBP", save_all=True, append_images=[white]),
        "GIF": saved(palette, "GIF", transparency=2, comment=b"x" * 400),
        "animated GIF": saved(palette, "GIF", save_all=True, append_images=[white.quantize(2)]),
        "BMP": saved(scene, "BMP"),
        "palette BMP": saved(palette, "BMP"),
        "run-length BMP": b"BM" + start + runs + (b"\x28\x07\0\0" * 30) + b"\0\1",
    }


SEEDS = seeds()
NUMBERS = [0, 1, 2, 7, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1]


def mutated(data: bytes, random: random.Random) -> bytes:
    """One to four changes: wrong bits and bytes, numbers that are extreme, parts that are gone, double or elsewhere."""
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        # Headers, where most goes wrong, more often than pixels.
        at = random.randrange(min(len(data), random.choice((40, 200, len(data))))) if data else 0
        length = random.choice((1, 2, 4, 16, 100))
        kind = random.randrange(8)
        if kind == 0:
            data[at : at + 1] = bytes([data[at] ^ 1 << random.randrange(8)]) if data else b""
        elif kind == 1:
            data[at : at + length] = random.randbytes(length)
        elif kind == 2:
            data[at : at + 4] = struct.pack(random.choice("<>") + "I", random.choice(NUMBERS))
        elif kind == 3:
            data[at : at + 2] = struct.pack(random.choice("<>") + "H", random.choice(NUMBERS) & 0xFFFF)
        elif kind == 4:
            del data[at : at + length]
        elif kind == 5:
            data[at:at] = data[at : at + length] * random.choice((1, 3, 50))
        elif kind == 6:
            del data[random.randrange(len(data) + 1) :]
        else:
            other = SEEDS[random.choice(list(SEEDS))]
            where = random.randrange(len(other))
            data[at:at] = other[where : where + random.choice((8, 100, len(other)))]
    return bytes(data)


def mended(data: bytes) -> bytes:
    """A PNG whose checksums are right again, so that what is wrong gets further."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        out += odd.chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        at += 12 + length
    return bytes(out + data[at:])


class Limits:
    """Every file that was read: whether as an image, and within its time and memory."""

    def __init__(self):
        self.before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.read = self.refused = 0

    def check(self, data: bytes, name: str) -> decoding.Decoded | str:
        start = time.process_time()
        found, shown = decoding.examine(data), decoding.thumbnail(data, 24)
        taken = time.process_time() - start
        assert taken < SECONDS, (name, taken, data.hex()[:2000])
        if isinstance(found, str):
            self.refused += 1
            assert found, name
            assert "\n" not in found, name
            assert isinstance(shown, str), name
        else:
            self.read += 1
            assert found.pixels.shape == (32, 32, 3), name
            assert found.pixels.dtype == np.uint8, name
            assert shown.mode == "RGB", name
            assert max(shown.size) <= 24, name
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.before < MEMORY, (name, data.hex()[:2000])
        return found


@pytest.mark.parametrize("name", SEEDS)
def test_wrong_bytes_give_an_image_or_a_cause(name):
    chance, limits = random.Random(f"images {name}"), Limits()
    assert not isinstance(limits.check(SEEDS[name], name), str)
    for _ in range(int(220 * FACTOR)):
        data = mutated(SEEDS[name], chance)
        if name.endswith("PNG") and chance.random() < 0.7:
            data = mended(data)
        limits.check(data, name)
    assert limits.refused > 10
    assert limits.read > 10
    print(f"{name}: {limits.read} read, {limits.refused} refused")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_wrong_exif_never_changes_a_pixel_but_by_turning_it(format):
    """Silent wrong values: whatever an EXIF block holds, the image is one of the eight it can be turned to."""
    scene = odd.scene().resize((40, 30))
    options = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}}[format]
    clean = odd.saved(scene, format, **options)
    turned = {images.decode(odd.saved(scene, format, **options)).tobytes()}
    for value in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = value
        turned.add(images.decode(odd.saved(scene, format, exif=exif, **options)).tobytes())
    chance, limits = random.Random(f"exif {format}"), Limits()
    for _ in range(int(300 * FACTOR)):
        block = mutated(odd.orientation(chance.randrange(10)) + chance.randbytes(chance.randrange(200)), chance)[
            :60_000
        ]
        if format == "JPEG":
            data = odd.into_jpeg(clean, odd.segment(0xE1, b"Exif\0\0" + block))
        elif format == "PNG":
            data = clean[:33] + odd.chunk(b"eXIf", block) + clean[33:]
        else:
            data = odd.saved(scene, format, exif=block or b"\0", **options)
        found = limits.check(data, format)
        assert found.pixels.tobytes() in turned


@pytest.mark.parametrize("name", ["RGB", "grey", "CMYK"])
def test_wrong_profiles_give_an_image(name):
    profile, mode = {"RGB": (_RGB, "RGB"), "grey": (_GREY, "L"), "CMYK": (_CMYK, "CMYK")}[name]
    scene = odd.scene().resize((40, 30)).convert(mode)
    plain = images.decode(odd.saved(scene, "JPEG"))
    chance, limits = random.Random(f"profile {name}"), Limits()
    for _ in range(int(300 * FACTOR)):
        found = limits.check(odd.saved(scene, "JPEG", icc_profile=mutated(profile, chance) or b"\0"), name)
        assert not isinstance(found, str), found
        if found.profile != "converted":
            assert np.array_equal(found.pixels, plain)
