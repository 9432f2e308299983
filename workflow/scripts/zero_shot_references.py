"""What zero-shot predictions are measured against: the parents, no CNN, CNNs trained on the conjunction itself."""

from typing import TYPE_CHECKING

import torch

from zoofuse.core import devices, files, logs
from zoofuse.data import images
from zoofuse.evaluation import combinations, predictions, protocols, zero_shot
from zoofuse.settings.evaluation import ZeroShot
from zoofuse.zoo import training, zoo

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    params, fusion, inputs = snakemake.params, snakemake.wildcards.fusion, snakemake.input
    torch.set_num_threads(snakemake.threads)
    recipe, settings = training.Settings(**params.training), ZeroShot(**params.settings)
    test = images.read_test(inputs.images)
    concepts = [zero_shot.read_concept(path, settings.probe_images, params.seed) for path in inputs.concepts]
    zoos = {name: zoo.read(paths) for name, paths in inputs.items() if name not in ("images", "concepts")}
    parents = combinations.parents(zoos, concepts, test["images"], params.seed, fusion, settings)
    about = protocols.test_images(test, params.seed, fusion)
    predicted = {(method, "own"): scored for method, scored in parents.items()}
    if concepts:
        without = zero_shot.without_cnn(concepts, test["images"])
        predicted |= {(method, "probe"): scored for method, scored in without.items()}
    if settings.supervised:
        say(
            f"{fusion}: training {settings.supervised} CNNs on {about.validation.sum()} of its test images: the oracle."
        )
        predicted["supervised", "own"] = zero_shot.supervised(
            test["images"],
            test["labels"],
            about.validation,
            models=settings.supervised,
            share=settings.supervised_held_out,
            settings=recipe,
            seed=params.seed,
            fusion=fusion,
            device=devices.choose_device(snakemake.config["zoo"]["device"]),
            threads=snakemake.threads,
        )
    sets = [predictions.zero_shot(*key, about, **scored) for key, scored in sorted(predicted.items())]
    sources = {name: [files.fingerprint(path) for path in paths] for name, paths in inputs.items() if name != "images"}
    sources["images"] = files.fingerprint(inputs.images)
    made = {"settings": params.settings, "training": params.training, "seed": params.seed}
    predictions.write(snakemake.output[0], about, sets, sources=sources, **made)
