"""Export one method's selected CNN: weights, configuration, ONNX and a model card."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from zoofuse.core import cards, csv_files, files, logs
from zoofuse.data import images
from zoofuse.evaluation import protocols, zero_shot
from zoofuse.export import models

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    inputs, params, fusion = snakemake.input, snakemake.params, snakemake.wildcards.fusion
    torch.set_num_threads(snakemake.threads)
    table, leaderboard = csv_files.read(inputs.zero_shot), csv_files.read(inputs.leaderboard)
    choice = models.choose_cnn(table, leaderboard, snakemake.wildcards.method)
    zoo = models.select_cnn(files.read(inputs.zoo, "zoo"), choice)
    concepts = [zero_shot.read_concept(path, params.probe_images, params.seed) for path in inputs.concepts]
    test = images.read_test(inputs.images)
    validation = protocols.split(test["labels"], test["groups"], params.seed, fusion)
    weights, threshold = models.with_heads(zoo, choice, concepts, test, validation)
    sources = {Path(path).stem: files.fingerprint(path) for path in inputs.concepts}
    sources |= {"zoo": files.fingerprint(inputs.zoo), "test": files.fingerprint(inputs.images)}
    about = {"fusion": fusion, "method": snakemake.wildcards.method} | choice._asdict()
    about |= {"threshold": threshold, "seed": params.seed, "sources": sources}
    config = models.configuration(weights, params.concepts, **about)
    model = models.Model({name: torch.from_numpy(values) for name, values in weights.items()}, config)
    config["test"] = models.measured(model, test["images"][~validation], test["labels"][~validation], params.seed)
    others = models.baselines(table, csv_files.read(inputs.comparisons), snakemake.wildcards.method, choice.head)
    image_files = [files.attributes(path, "images") for path in inputs.concepts]
    image_files.append(files.attributes(inputs.images, "test_images"))
    folder = Path(snakemake.output.config).parent
    models.write(folder, weights, config, models.card(config, others, image_files))
    value, low, high = (cards.score(number) for number in config["test"]["auroc"])
    say(f"{folder}: CNN {choice.domain}/{choice.model}, AUROC {value} ({low} to {high}) on the test split.")
