"""Random EXIF, XMP and thumbnails through the whole of predict: tables and page are written, every image is scored.

ZOOFUSE_FUZZ=20 tries twenty times as many.
"""

import io
import os
import random
import struct
import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from PIL.TiffTags import TAGS_V2

from zoofuse.export import models, predict
from zoofuse.models import cnn

FACTOR = float(os.environ.get("ZOOFUSE_FUZZ", "1"))
IMAGES = 240
TAGS = [*TAGS_V2, 0x8769, 0x8825, 0xA005, 0x0201, 0x0202, 0x9C9B, 0x927C, 0x9204, 0x829A, 0xC4A5, 0, 0xFFFF]
TURNS = [None, *Image.Transpose]


@pytest.fixture(scope="module")
def model() -> models.Model:
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "predict", np.arange(1))
    weights = {name.replace("fc1", "heads"): values[0] for name, values in weights.items()}
    weights["heads.weight"] *= 30  # scores that differ
    about = {"fusion": "black_cat", "method": "cyclegan", "domain": "A", "model": 12, "threshold": 0.25}
    config = models.configuration(weights, ["black", "cat"], **about)
    return models.Model({name: torch.from_numpy(values) for name, values in weights.items()}, config)


def entry(draw: random.Random, order: str, tag: int | None = None) -> bytes:
    tag = draw.choice(TAGS) if tag is None else tag
    kind = draw.choice([draw.randrange(14), draw.randrange(14), draw.randrange(65536)])
    count = draw.choice([1, 1, 1, 0, 2, 4, 100, 70_000, 2**31, 2**32 - 1])
    value = draw.choice([draw.randbytes(4), struct.pack(order + "I", draw.choice([0, 1, 6, 8, 26, 40, 200, 2**32 - 1])),
                         struct.pack(order + "HH", draw.randrange(10), 0)])  # fmt: skip
    return struct.pack(order + "HHI", tag, kind, count) + value


def directory(draw: random.Random, order: str, turned: bool) -> bytes:
    entries = [entry(draw, order) for _ in range(draw.choice([0, 1, 1, 2, 5, 30]))]
    if turned:
        value = struct.pack(order + "HH", draw.choice([6, 6, 6, 8, 3, 1, 2, 5, 0, 9, 300]), 0)
        kind = draw.choice([3, 3, 3, 3, 1, 2, 4, 5, 7, 12])
        entries.insert(draw.randint(0, len(entries)), struct.pack(order + "HHI", 0x0112, kind, 1) + value)
    if draw.random() < 0.2:
        entries.append(entry(draw, order, 0x0112))
    after = struct.pack(order + "I", draw.choice([0, 0, 0, 8, 60, 2**32 - 1]))
    count = draw.choice([len(entries)] * 9 + [0, 65535])
    return struct.pack(order + "H", count) + b"".join(entries) + after


def exif(draw: random.Random) -> bytes:
    """A TIFF block: mostly well formed with odd entries, sometimes with a second directory, sometimes damaged."""
    order = draw.choice("<>")
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    block = head + directory(draw, order, True)
    for _ in range(draw.choice([0, 0, 1, 2])):
        block += directory(draw, order, False) + draw.randbytes(draw.randrange(60))
    if draw.random() < 0.3:  # a thumbnail, which may be of anything
        block += draw.choice([b"\xff\xd8\xff\xd9", draw.randbytes(50), picture_bytes("JPEG", b"")])
    if draw.random() < 0.3:
        block = bytearray(block)
        for _ in range(draw.choice([1, 1, 5])):
            block[draw.randrange(len(block))] = draw.randrange(256)
    if draw.random() < 0.1:
        block = block[: draw.randrange(len(block))]
    return draw.choice([b"Exif\0\0"] * 8 + [b"", b"Exif\0\0Exif\0\0"]) + bytes(block)


def xmp(draw: random.Random) -> bytes:
    value = draw.choice(["6", "6", "8", "0", "9", "-1", "six", "", "6" * 5000, "&#54;", "\ufffd"])
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="{value}"/></x:xmpmeta>'.encode()


def image() -> Image.Image:
    y, x = np.mgrid[:40, :60]
    pixels = np.stack([4 * x, 6 * y, (x * y) % 256], -1).astype(np.uint8)
    pixels[5:15, 5:25] = [250, 10, 10]
    return Image.fromarray(pixels)


def picture_bytes(kind: str, block: bytes, more: dict | None = None) -> bytes:
    stored = io.BytesIO()
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}}[kind]
    image().save(stored, kind, **options, **({"exif": block} if block else {}), **(more or {}))
    return stored.getvalue()


def chunked(draw: random.Random) -> tuple[str, bytes]:
    """An image with such a block, and the kind of its file."""
    kind, block = draw.choice(["JPEG", "JPEG", "PNG", "WEBP"]), exif(draw)
    more = {"xmp": xmp(draw)} if kind != "PNG" and draw.random() < 0.2 else {}
    data = picture_bytes(kind, block, more)
    if kind == "JPEG" and draw.random() < 0.2:  # a second block, before the first
        again = exif(draw)[:60_000]
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(again) + 2) + again + data[2:]
    return kind, data


@pytest.mark.parametrize("part", range(max(1, round(FACTOR))))
@pytest.mark.filterwarnings("ignore")  # Pillow says that the EXIF is odd
def test_images_with_odd_exif_are_scored_and_shown(tmp_path, model, part):
    folder = tmp_path / "pictures"
    folder.mkdir()
    kinds = {}
    for i in range(IMAGES):
        kind, data = chunked(random.Random(f"exif/{part}/{i}"))
        name = f"{i:04d}.{kind.lower()}"
        (folder / name).write_bytes(data)
        kinds[name] = kind
    said, start = [], time.process_time()
    found = predict.predict(model, folder, threads=2, say=said.append)
    paths = {"scores": tmp_path / "a.csv", "unreadable": tmp_path / "b.csv", "gallery": tmp_path / "a.html"}
    predict.write(found, model, folder, **paths, threads=2, say=said.append)
    assert time.process_time() - start < 60
    table, unreadable = pd.read_csv(paths["scores"]), pd.read_csv(paths["unreadable"])
    assert sorted([*table["file"], *unreadable["file"]]) == sorted(kinds)  # each is scored or named
    assert len(unreadable) < IMAGES / 20
    html = paths["gallery"].read_text(encoding="utf-8")
    assert html.count("data:image/webp") == len(table)
    assert "Not shown" not in html
    # The pixels are the same in all files of a kind, whatever the EXIF says: turned one of eight ways or not at all.
    for kind in set(kinds.values()):
        whole = Image.open(io.BytesIO(picture_bytes(kind, b"")))
        wanted = model.predict([whole if turn is None else whole.transpose(turn) for turn in TURNS])
        scores = table["score"][table["file"].map(kinds) == kind].to_numpy()
        apart = abs(scores[:, None] - wanted).min(1)
        assert apart.max() < 1e-5, kind
        assert len(np.unique(abs(scores[:, None] - wanted).argmin(1))) > 2  # some are turned
    print(f"{len(table)} scored and shown, {len(unreadable)} named as unreadable")
