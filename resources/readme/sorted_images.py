"""Draw README's picture: test images of the default run, sorted by the score of its `distil` CNN.

Usage, where the default run's results are (`snakemake ... all models`):
    python resources/readme/sorted_images.py results resources/readme/sorted_images.png

Shows every second image of the test half, which neither trained nor selected the CNN, in the order
of the scores. Black cats have an orange frame. The images are synthetic.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import zoofuse
from zoofuse.core import files
from zoofuse.evaluation import protocols

COLUMNS, SCALE, FRAME, GAP, MARGIN = 10, 2, 4, 4, 26
ORANGE, GREY = "#d55e00", "#444444"


def sheet(images: np.ndarray, is_positive: np.ndarray) -> Image.Image:
    """Images (n, 32, 32, 3) uint8 in rows, best first; frames where `is_positive` (n,) bool."""
    step = 32 * SCALE + 2 * FRAME + GAP
    size = COLUMNS * step, -(-len(images) // COLUMNS) * step + 2 * MARGIN
    page = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    pen.text((4, 4), "highest score (orange frame: a black cat)", GREY, font)
    pen.text((size[0] - 4, size[1] - 4), "lowest score", GREY, font, anchor="rs")
    for i, image in enumerate(images):
        x, y = i % COLUMNS * step, i // COLUMNS * step + MARGIN
        if is_positive[i]:
            end = 32 * SCALE + 2 * FRAME - 1
            pen.rectangle((x, y, x + end, y + end), ORANGE)
        tile = Image.fromarray(image).resize((32 * SCALE, 32 * SCALE), Image.Resampling.LANCZOS)
        page.paste(tile, (x + FRAME, y + FRAME))
    return page


def main(results: Path, output: Path) -> None:
    model = zoofuse.load(results / "models/black_cat/distil")
    test = files.read(results / "test_images/black_cat.h5", "test_images")
    settings = json.loads((results / "models/black_cat/distil/config.json").read_text())
    validation = protocols.split(test["labels"], test["groups"], settings["seed"], "black_cat")
    images = test["images"][~validation]
    names = [name.decode() if isinstance(name, bytes) else name for name in test["names"][~validation]]
    is_positive = np.array(["black-cat" in name for name in names])
    order = np.argsort(-model.predict(images), kind="stable")[::2]
    # 128 colours keep the file small; at this size nobody sees the difference.
    sheet(images[order], is_positive[order]).quantize(128).save(output, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
