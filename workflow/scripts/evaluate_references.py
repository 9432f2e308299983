"""What baselines without a CNN predict for a fusion's test images."""

from typing import TYPE_CHECKING

from zoofuse.core import files, logs
from zoofuse.data import images
from zoofuse.evaluation import baselines, predictions, protocols

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code):
    test, settings = images.read_test(snakemake.input.images), snakemake.params.evaluation
    about = protocols.test_images(test, snakemake.params.seed, snakemake.wildcards.fusion)
    rows, arrays = [], []
    for method, scores, behind in baselines.references(test["images"], about.truth, about.validation, settings):
        named = {"method": method, "domain": predictions.NO_DOMAIN, "model": 0}
        rows += [named | row for row in scores]
        arrays.append(named | behind)
    sources = {"images": files.fingerprint(snakemake.input.images)}
    predictions.write_evaluated(snakemake.output[0], rows, arrays, about, settings=settings, sources=sources)
