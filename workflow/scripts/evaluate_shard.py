"""Evaluate some CNNs of one method on a fusion's test images."""

from typing import TYPE_CHECKING

from zoofuse.core import files, logs
from zoofuse.data import images
from zoofuse.evaluation import predictions, protocols
from zoofuse.native import build

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    zoo = files.read(snakemake.input.zoo, "zoo")
    held = protocols.first(zoo, snakemake.params.held_out)
    zoo = protocols.part(zoo, **snakemake.params.part)
    test = images.read_test(snakemake.input.images)
    settings, method = snakemake.params.evaluation, snakemake.wildcards.method
    about = protocols.test_images(test, snakemake.params.seed, snakemake.wildcards.fusion)
    rows, arrays = [], []
    with logs.bar(len(zoo["model"]), "CNNs", f"evaluating {method} {snakemake.wildcards.shard}") as bar:
        evaluated = protocols.evaluate_zoo(zoo, test["images"], about.truth, about.validation, settings, held, say)
        for scores, behind in evaluated:
            rows += [{"method": method} | row for row in scores]
            arrays.append({"method": method} | behind)
            bar.update()
    sources = {"zoo": files.fingerprint(snakemake.input.zoo), "images": files.fingerprint(snakemake.input.images)}
    predictions.write_evaluated(
        snakemake.output[0], rows, arrays, about, settings=settings, sources=sources,
        instruction_set=build.instruction_set(),
    )  # fmt: skip
