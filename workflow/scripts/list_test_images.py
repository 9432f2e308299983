"""A fusion's test images for other classifiers: their names, labels and halves, and the images themselves."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from PIL import Image

from zoofuse.core import csv_files, logs
from zoofuse.data import images
from zoofuse.evaluation import protocols

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code):
    test = images.read_test(snakemake.input[0])
    about = protocols.test_images(test, snakemake.params.seed, snakemake.wildcards.fusion)
    folder = Path(snakemake.output.folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:06d}.png" for i in range(len(about))]  # theirs may hold what no file's name can
    for image, name in zip(test["images"], names, strict=True):
        Image.fromarray(image).save(folder / name)
    halves = ["validation" if held else "test" for held in about.validation]
    table = {"image": about.names, "label": about.labels, "group": about.groups, "half": halves}
    csv_files.write(snakemake.output.table, pd.DataFrame(table | {"file": [f"{folder.name}/{name}" for name in names]}))
