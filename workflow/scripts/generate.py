"""Make a fusion's CNNs by one method."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.methods import generate, merging

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def paths(name):
    return [Path(path) for path in snakemake.input.get(name, [])]


with logs.job(snakemake.log[0]):
    method, fusion, output = snakemake.wildcards.method, snakemake.wildcards.fusion, Path(snakemake.output[0])
    params = snakemake.params
    zoos = {name[-1].upper(): paths(name) for name, _ in snakemake.input.items() if name.startswith("zoo_")}
    banks = {path.stem: path for path in paths("banks")}
    match method:
        case "cyclegan":
            generators = {layer: [] for layer in banks}
            for path in paths("generators"):
                generators[path.parent.name.split("-")[0]].append(path)
            generate.translate(zoos, banks, generators, output)
        case "cyclegan_biases":
            generate.biases(Path(snakemake.input.translated), zoos, output)
        case "cyclegan_chosen":
            generate.chosen(Path(snakemake.input.translated), zoos, params.models, output)
        case "repair":
            merging.write(Path(snakemake.input.average), zoos, params.seed, fusion, output)
        case "random":
            generate.random(params.models, params.architecture, params.seed, fusion, output)
        case parent if parent.startswith("parent_"):
            domain = method[-1].upper()
            generate.parent(zoos[domain], domain, output)
        case "average":
            generate.average(zoos, output)
        case "noise":
            generate.noise(Path(snakemake.input.translated), banks, params.seed, fusion, output)
        case "shuffled":
            generate.shuffled(Path(snakemake.input.translated), params.seed, fusion, output)
        case "matched":
            generate.matched(Path(snakemake.input.translated), params.seed, fusion, output)
