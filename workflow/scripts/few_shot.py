"""What a few labelled images of the conjunction are worth to every method's CNNs."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from zoofuse.core import csv_files, files, logs
from zoofuse.data import images
from zoofuse.evaluation import few_shot, protocols
from zoofuse.methods import registry
from zoofuse.report import figures

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    registry.use(snakemake.params.variants)
    params, fusion = snakemake.params, snakemake.wildcards.fusion
    torch.set_num_threads(snakemake.threads)
    test = images.read_test(snakemake.input.images)
    validation = protocols.split(test["labels"], test["groups"], params.seed, fusion)
    zoos = {
        Path(path).stem: protocols.part(files.read(path, "zoo"), params.models, 0, None)
        for path in snakemake.input.zoos
    }
    how = {"draws": params.draws, "seed": params.seed, "fusion": fusion}
    rows = []
    with logs.bar(len(zoos), "methods", f"few-shot probes on {fusion}") as bar:
        for method, zoo in zoos.items():
            arguments = (zoo, test["images"], test["labels"], validation, params.images)
            scores = few_shot.of_cnns(*arguments, say=say, **how)
            rows += few_shot.rows(method, scores, params.draws)
            bar.update()
    for method, scores in few_shot.without_cnn(test["images"], test["labels"], validation, params.images, **how):
        rows += few_shot.rows(method, scores, params.draws)
    table = pd.DataFrame(rows, columns=few_shot.COLUMNS)
    figures.few_shot(table, snakemake.output.figure)
    csv_files.write(snakemake.output.table, table)
