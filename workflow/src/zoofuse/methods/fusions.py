"""The project's own methods and the baselines, registered with all their facts.

Torch, and what imports torch, is imported inside the functions: the Snakefile reads this module.
"""

import math

from zoofuse.methods.registry import LETTERS, Job, baseline, method, smallest
from zoofuse.settings.training import Distil, DistilWeights, Translation


def _students(sizes, config, options) -> int:
    return options.get("models") or config["distil"]["models"]


def _labels_of_teachers(options) -> str:
    return "none" if options["choice"] != "best" else "concept labels"


def _labels_of_parents(options) -> str:
    return "concept labels" if options["parents"] == "best" else "none"


def _translated_students(sizes, config, options) -> int:
    return min(smallest(sizes, config, options), config["distil"]["models"])  # each begins from a translated CNN


def _translated(sizes, config, options) -> int:
    every = smallest(sizes, config, options)
    return math.ceil(every / options["best_of"]) if options["parents"] == "best" else every


@method(
    "cyclegan",
    label="CycleGAN",
    role="generated",
    domains=2,
    needs=("zoos", "volumes", "generators"),
    count=_translated,
    default=True,
    options=Translation,
    asks=_labels_of_parents,
    about="The published method: kernels translated by a CycleGAN per conv layer, biases zero.",
    cites="Patel and Jain 2024; Zhu et al. 2017",
)
def cyclegan(job: Job) -> None:
    from zoofuse.methods import generate

    kept = job.count if job.options["parents"] == "best" else None
    biases = job.options["biases"] == "parents"
    generate.translate(job.zoos, job.banks, job.generators, job.output, biases=biases, best=kept, method=job.method)


@method(
    "distil",
    label="distilled from both zoos",
    role="generated",
    supervision="concept labels",
    needs=("trained", "images"),
    effort="training",
    count=_students,
    default=True,
    options=Distil,
    about="CNNs that learn what all zoos predict for the concepts' own images, a head for each concept.",
    cites="Hinton, Vinyals and Dean 2015",
)
def distil(job: Job) -> None:
    from zoofuse.methods import distil

    distil.from_parents(job.zoos, job.images, job.output, settings=Distil(**job.options), **_how(job))


@method(
    "distil_weights",
    label="distilled, no images",
    role="generated",
    supervision="concept labels",  # of the validation scores that teachers are chosen by
    needs=("trained",),
    effort="training",
    count=_students,
    default=True,
    options=DistilWeights,
    asks=_labels_of_teachers,
    about="distil without any image of the concepts: on dead leaves, images made of random shapes.",
    cites="Baradad et al. 2021",
)
def distil_weights(job: Job) -> None:
    from zoofuse.methods import distil

    distil.from_weights(job.zoos, job.output, settings=DistilWeights(**job.options), **_how(job))


@method(
    "cyclegan_distil",
    label="CycleGAN, then distilled",
    role="generated",
    supervision="concept labels",
    domains=2,
    needs=("trained", "method:cyclegan"),
    effort="training",
    count=_translated_students,
    shared=("distil_weights", DistilWeights),
    about="distil_weights that begins from translated kernels.",
)
def cyclegan_distil(job: Job) -> None:
    from zoofuse.methods import distil

    settings, start = DistilWeights(**job.options), job.made["cyclegan"]
    distil.from_weights(job.zoos, job.output, settings=settings, start=start, **_how(job))


@method(
    "repair",
    label="average, renormalised",
    role="generated",
    needs=("zoos", "method:average"),
    about="average, its channels renormalised to the statistics of the parents' on dead leaves.",
    cites="Jordan et al. 2023 (REPAIR)",
)
def repair(job: Job) -> None:
    from zoofuse.methods import merging

    merging.write(job.made["average"], job.zoos, job.seed, job.fusion, job.output)


@method(
    "netspace",
    label="NetSpace, between both zoos",
    role="generated",
    supervision="concept labels",
    needs=("space",),
    effort="own rule",
    concepts=2,
    count=lambda sizes, config, options: min(min(sizes.values()), config["netspace"]["fuse"]["models"]),
    about="CNNs decoded between the latent codes of two zoos, optimised on the concepts' own images.",
    cites="NetSpace",
)
def netspace(job: Job) -> None:
    raise NotImplementedError("netspace has a rule of its own, netspace_fuse")


baseline("always_no", images_only=True, in_grids=False, label="always “no”",
         about="Always the class that is not the conjunction.")  # fmt: skip


@method(
    "random",
    label="random initialisation",
    role="baseline",
    default=True,
    about="CNNs as PyTorch initialises them, never trained.",
)
def random(job: Job) -> None:
    from zoofuse.methods import generate

    generate.random(job.count, job.architecture, job.seed, job.fusion, job.output)


def _parent(letter: str) -> None:
    @method(
        f"parent_{letter}",
        label=f"parents {letter.upper()}",
        role="baseline",
        needs=("own zoo",),
        letter=letter,
        count=lambda sizes, config, options: sizes[letter],
        default=letter in "ab",
        about=f"The CNNs of the fusion's concept {letter} as they are.",
    )
    def parent(job: Job) -> None:
        from zoofuse.methods import generate

        domain = letter.upper()
        generate.parent(job.zoos[domain], domain, job.output)


for _letter in LETTERS:
    _parent(_letter)


@method(
    "average",
    label="average of parents",
    role="baseline",
    needs=("zoos",),
    zoos="one architecture",
    default=True,
    about="Mean kernels and biases of the CNNs of equal index in all zoos.",
)
def average(job: Job) -> None:
    from zoofuse.methods import generate

    generate.average(job.zoos, job.output)


@method(
    "noise",
    label="parents plus noise",
    role="baseline",
    domains=2,
    needs=("layers", "method:cyclegan"),
    default=True,
    about="What cyclegan starts from, plus Gaussian noise as large as the change that it makes.",
)
def noise(job: Job) -> None:
    from zoofuse.methods import generate

    generate.noise(job.made["cyclegan"], job.banks, job.seed, job.fusion, job.output)


@method(
    "shuffled",
    label="shuffled weights",
    role="baseline",
    domains=2,
    needs=("method:cyclegan",),
    default=True,
    about="cyclegan's weights, those of a CNN's layer in random order.",
)
def shuffled(job: Job) -> None:
    from zoofuse.methods import generate

    generate.shuffled(job.made["cyclegan"], job.seed, job.fusion, job.output)


@method(
    "matched",
    label="matched kernels",
    role="baseline",
    domains=2,
    needs=("method:cyclegan",),
    default=True,
    about="Filters drawn with mean and covariance of cyclegan's.",
)
def matched(job: Job) -> None:
    from zoofuse.methods import generate

    generate.matched(job.made["cyclegan"], job.seed, job.fusion, job.output)


baseline("brightness", images_only=True, label="mean brightness", about="A discriminant on an image's mean brightness.")
baseline("colour", images_only=True, label="mean colour", about="A discriminant on an image's mean colour.")
baseline("middle", images_only=True, label="colours of the middle",
         about="A discriminant on how much of an image's middle each colour word covers.")  # fmt: skip
baseline("pixels", images_only=True, label="raw pixels", about="The pixels instead of a CNN's features.")
baseline("pca", images_only=True, in_grids=False, label="PCA of pixels",
         about="The first 50 principal components of the pixels.")  # fmt: skip
baseline("product", label="product of two parents", about="One CNN of each zoo, their probabilities multiplied.")
baseline("ensemble", label="ensemble of all parents", about="The mean probability of each zoo, multiplied.")
baseline("product_logits", label="two parents, logits summed", about="One CNN of each zoo, their logits added.")
baseline("ensemble_logits", label="ensemble, logits summed", about="The mean logit of each zoo, added.")
baseline("ensemble_softened", label="ensemble, softened",
         about="The mean probability of each zoo at temperature 4, multiplied.")  # fmt: skip
baseline("ensemble_calibrated", label="ensemble, calibrated", supervision="concept labels",
         about="The same of logits brought to scale on the concepts' validation images.")  # fmt: skip
baseline("ensemble_minimum", label="ensemble, minimum", about="The smaller one of the zoos' mean probabilities.")
baseline("ensemble_palettes", label="ensemble, palettes averaged",
         about="The ensemble; predictions for concepts that are not colours are averaged over palettes.")  # fmt: skip
baseline("supervised", label="supervised CNN", supervision="target labels",
         about="CNNs trained on the conjunction itself, on the validation half: the oracle.")  # fmt: skip


def _how(job: Job) -> dict:
    """What every distillation takes."""
    return {"n": job.count, "seed": job.seed, "fusion": job.fusion, "architecture": job.architecture,
            "kinds": job.kinds, "device": job.device, "threads": job.threads}  # fmt: skip
