"""What zero-shot answers are measured against: the parents, no CNN at all, CNNs trained on the conjunction itself."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from zoofuse.core import devices, files, logs
from zoofuse.data import images
from zoofuse.evaluation import combinations, protocols, zero_shot
from zoofuse.zoo import training, zoo

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    params, fusion, inputs = snakemake.params, snakemake.wildcards.fusion, snakemake.input
    torch.set_num_threads(snakemake.threads)
    settings = training.Settings(**params.training)
    test = images.read_test(inputs.images)
    concepts = [zero_shot.read_concept(path, params.probe_images, params.seed) for path in inputs.concepts]
    zoos = {name: zoo.read(paths) for name, paths in inputs.items() if name not in ("images", "concepts")}
    parents = combinations.parents(zoos, concepts, test["images"], params.seed, fusion)
    answers = {f"{method}/own": found for method, found in parents.items()}
    if concepts:
        without = zero_shot.without_cnn(concepts, test["images"])
        answers |= {f"{method}/probe": found for method, found in without.items()}
    if params.supervised:
        validation = protocols.split(test["labels"], test["groups"], params.seed, fusion)
        say(f"{fusion}: training {params.supervised} CNNs on {validation.sum()} of its test photographs: the ceiling.")
        answers["supervised/own"] = zero_shot.supervised(
            test["images"],
            test["labels"],
            validation,
            models=params.supervised,
            settings=settings,
            seed=params.seed,
            fusion=fusion,
            device=devices.choose_device(snakemake.config["zoo"]["device"]),
            threads=snakemake.threads,
        )
    arrays = {}
    for head, found in answers.items():
        method, n = head.split("/")[0], len(found["scores"])
        arrays |= {f"{head}/{name}": values for name, values in found.items()}
        arrays |= {f"{method}/model": np.arange(n, dtype=np.int32), f"{method}/domain": np.repeat(["-"], n)}
    sources = {name: [files.fingerprint(path) for path in paths] for name, paths in inputs.items() if name != "images"}
    sources["images"] = files.fingerprint(inputs.images)
    about = {"probe_images": params.probe_images, "training": params.training, "seed": params.seed, "sources": sources}
    files.write(snakemake.output[0], "zero_shot", arrays, **about)
