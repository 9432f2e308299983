"""All images of a grid of conjunctions, each with its attribute and its object."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zoofuse.core import csv_files, files, logs
from zoofuse.data import grid

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    params = snakemake.params
    wanted = grid.Grid(**params.grid)
    if params.source["source"] == "synthetic":
        measured = len(wanted.pairs) * (params.source["images"] + params.source["test_images"])
        with logs.bar(measured, "images", f"grid {wanted.name}") as bar:
            sizes = (params.source["images"], params.source["test_images"])
            pool = grid.draw_pool(wanted, *sizes, params.seed, bar.update)
    else:
        pool = grid.read_pool(
            wanted,
            params.source,
            test_share=params.source["test_share"],
            seed=params.seed,
            root=params.images_root,
            archive=snakemake.input.get("archive"),
            threads=snakemake.threads,
        )
    counts = pd.DataFrame({name: pool[name] for name in ("attribute", "object", "test")})
    counts["split"] = np.where(counts.pop("test"), "test", "training")
    counts = counts.value_counts(["attribute", "object", "split"]).rename("images").reset_index()
    csv_files.write(snakemake.output.counts, counts.sort_values(["attribute", "object", "split"]))
    say(f"{wanted.name}: {len(pool['images']):,} images of {len(wanted.pairs)} pairs; none of the "
        f"{len(wanted.held_out)} held-out ones is a training image.")  # fmt: skip
    files.write(snakemake.output.pool, "pool", pool, source=params.source, seed=params.seed)
