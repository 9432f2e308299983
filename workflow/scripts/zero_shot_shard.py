"""What the heads of some CNNs of one method predict for a fusion's test images."""

from typing import TYPE_CHECKING

import torch

from zoofuse.core import files, logs
from zoofuse.data import images
from zoofuse.evaluation import predictions, protocols, zero_shot

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    params, method = snakemake.params, snakemake.wildcards.method
    torch.set_num_threads(snakemake.threads)
    zoo = protocols.part(files.read(snakemake.input.zoo, "zoo"), **params.part)
    concepts = [zero_shot.read_concept(path, params.probe_images, params.seed) for path in snakemake.input.concepts]
    test = images.read_test(snakemake.input.images)
    predicted = zero_shot.predict(zoo, concepts, test["images"], say)
    about = protocols.test_images(test, params.seed, snakemake.wildcards.fusion)
    sets = [
        predictions.zero_shot(method, head, about, zoo["model"], zoo["domain"],
                              **{name: predicted[f"{head}/{name}"] for name in ("scores", "validation", "threshold")})
        for head in dict.fromkeys(name.split("/")[0] for name in predicted)
    ]  # fmt: skip
    sources = {"zoo": files.fingerprint(snakemake.input.zoo), "images": files.fingerprint(snakemake.input.images)}
    sources["concepts"] = [files.fingerprint(path) for path in snakemake.input.concepts]
    settings = {"probe_images": params.probe_images, "seed": params.seed, "sources": sources}
    predictions.write(snakemake.output[0], about, sets, **settings)
