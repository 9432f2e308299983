"""Score every image of a folder by an exported model."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from zoofuse.core import logs
from zoofuse.export import models, predict

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    torch.set_num_threads(1)  # batches run in parallel threads
    output, folder, threads = snakemake.output, snakemake.params.folder, snakemake.threads
    model = models.load(Path(snakemake.input.config).parent)
    predictions = predict.predict(model, folder, threads=threads, say=say)
    paths = {"scores": output.scores, "unreadable": output.unreadable, "gallery": output.page}
    predict.write(predictions, model, folder, **paths, threads=threads, say=say)
    yes = (predictions.scores["prediction"] == "yes").sum()
    say(f"{yes:,} of {len(predictions.scores):,} images are predicted yes: {output.page}")
