"""A look at all images before any training: findings, contact sheets and a page."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.preflight import audit
from zoofuse.preflight.places import gather
from zoofuse.report import figures

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    params, output = snakemake.params, snakemake.output
    places = []
    for where, source in params.sources.items():
        archive = snakemake.input.get(source["dataset"])
        places.append(gather(where, source, params.images_root, archive, params.seed, snakemake.threads))
    findings, named, strips = audit.check(places, params.fusions, params.policy, params.balance, params.seed)
    sheets = dict(zip(params.sources, map(Path, output.sheets), strict=True))
    for where, sheet in sheets.items():
        figures.contact_sheet(strips[where], sheet)
    audit.write(Path(output.report).parent, findings, named, sheets, places)
