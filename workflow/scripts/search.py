"""Look for better embedding and clusterer parameters for one method, on validation images."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoofuse.core import csv_files, files, logs
from zoofuse.data import images
from zoofuse.evaluation import protocols, search, zero_shot

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code):
    params, method = snakemake.params, snakemake.wildcards.method
    zoo = protocols.part(files.read(snakemake.input.zoo, "zoo"), params.models, 0, None)
    test = images.read_test(snakemake.input.images)
    validation = protocols.split(test["labels"], test["groups"], params.seed, snakemake.wildcards.fusion)
    weights = [None] * len(zoo["model"])
    if concepts := [
        zero_shot.read_concept(Path(path), params.probe_images, params.seed) for path in snakemake.input.concepts
    ]:
        probes = [zero_shot.fit_probe(protocols.features(zoo, c.images), c.labels).weight for c in concepts]
        # Each probe in units of its own, or the one that is surer would decide.
        weights = list(sum(np.abs(w) / np.maximum(np.abs(w).mean(1, keepdims=True), 1e-12) for w in probes))
    with logs.bar(len(weights), "CNNs", f"searching for {method}") as bar:
        table = search.search(
            method, protocols.features(zoo, test["images"]), weights, test["labels"] == 1, validation,
            params.evaluation, params.seed, bar.update,
        )  # fmt: skip
    csv_files.write(snakemake.output[0], table)
