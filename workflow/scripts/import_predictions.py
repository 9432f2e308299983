"""Somebody else's predictions for a fusion's test images, checked and put in the images' order."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import files, logs
from zoofuse.data import images
from zoofuse.evaluation import foreign_predictions, predictions, protocols

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    path, name, fusion = snakemake.input.predictions, snakemake.wildcards.name, snakemake.wildcards.fusion
    about = protocols.test_images(images.read_test(snakemake.input.images), snakemake.params.seed, fusion)
    rows = foreign_predictions.read(path)
    wanted = f"results/test_images/{fusion}.csv (snakemake {'results/test_images/' + fusion}.csv)"
    scores = foreign_predictions.matched(rows, about.names.tolist(), path, wanted)
    sources = {
        "predictions": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        "images": files.fingerprint(snakemake.input.images),
    }
    predictions.write(snakemake.output[0], about, foreign_predictions.sets(name, scores, about), sources=sources)
    say(f"{name}: scores of {len(scores):,} classifiers for {len(about):,} test images of {fusion}.")
