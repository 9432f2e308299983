"""Zero-shot answers of some CNNs of one method to a fusion's test photographs."""

from typing import TYPE_CHECKING

import torch

from zoofuse.core import files, logs
from zoofuse.data import images
from zoofuse.evaluation import protocols, zero_shot

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    params = snakemake.params
    torch.set_num_threads(snakemake.threads)
    zoo = protocols.part(files.read(snakemake.input.zoo, "zoo"), **params.part)
    concepts = [zero_shot.read_concept(path, params.probe_images, params.seed) for path in snakemake.input.concepts]
    answers = zero_shot.answer(zoo, concepts, images.read_test(snakemake.input.images)["images"], say)
    sources = {"zoo": files.fingerprint(snakemake.input.zoo), "images": files.fingerprint(snakemake.input.images)}
    sources["concepts"] = [files.fingerprint(path) for path in snakemake.input.concepts]
    about = {"probe_images": params.probe_images, "seed": params.seed, "sources": sources}
    files.write(snakemake.output[0], "zero_shot", answers | {"model": zoo["model"], "domain": zoo["domain"]}, **about)
