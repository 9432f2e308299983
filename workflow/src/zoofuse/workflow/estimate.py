"""What a run will take before it starts: jobs, CNNs per job, hours and disk. Imports no torch.

Hours are arithmetic: the work that the configuration asks for over rates that were measured.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zoofuse.config import architectures, factories, sides
from zoofuse.methods import registry
from zoofuse.methods.cyclegan import settings as cyclegan
from zoofuse.models.architectures import ARCHITECTURES
from zoofuse.models.network import chain
from zoofuse.workflow import names
from zoofuse.zoo import recipes

HIDDEN, BATCH = 64, 64  # of the CycleGAN steps that are measured
LEAST_WORK = 0.8  # of the published CNN's: smaller layers fill no vector
EVALUATED = 9_000  # bytes for a CNN and 300 images, arrays and rows
LAYERS = {"zoo": 3, "VanillaCNN": 4}  # of the architectures in a NetSpace; of ResNet8 and so on the name says it
AT_ONCE = (1, 8, 64)  # jobs at a time that the plan gives hours for


@dataclass(frozen=True)
class Rates:
    """How fast one job is, and where the numbers come from. Defaults: the README's."""

    samples_per_second: float = 100_092
    # as published, in C++ with AVX2
    ms_per_step: Mapping[str, float] = field(default_factory=lambda: {"conv1": 16.5, "conv2": 84.8})
    cnns_per_second: float = 4.2  # evaluated, both protocols, 295 images; on one of 2 busy vCPUs of an AMD Zen 5
    # Roughly, from whole runs with 512 + 512 CNNs on one core of an AMD EPYC Zen 5; no bench measures these.
    zero_shot_per_second: float = 8  # CNNs, both kinds of heads
    parents_per_second: float = 30  # asked by the zero-shot references
    # Images times epochs of a student, what its teachers predict included; one core of an AMD EPYC Zen 4.
    student_samples_per_second: float = 34_000
    netspace_seconds: float = 120  # predictions, embedding and decoding, of `netspace` as a method
    # Seconds of what target `netspace` does beside the zoos, from one default run with two jobs at a time.
    netspace: Mapping[str, float] = field(
        default_factory=lambda: {
            "prediction": 1.6e-4,  # of one CNN to one image in a step that trains the space of a fusion
            "walk": 0.11,  # to a point of a walk, three ways
            "move": 0.09,  # of a code in a step of latent optimisation, and of a CNN from scratch, four times
            "layer": 1.6e-5,  # of one network for one image in a training step
            "point": 6e-10,  # of a SIREN's weight for one point in a training step
            "shapes": 0.018,  # a step of the space of shapes
        }
    )
    source: str = (
        "as measured on 2 AMD cores with AVX2; to measure here: snakemake bench_zoo bench_cyclegan bench_evaluation"
    )


@dataclass(frozen=True)
class Stage:
    """Jobs that may run at the same time."""

    name: str
    jobs: int
    cnns: int  # in each job; 0 where a job is not about single CNNs
    hours: float  # of one job
    gigabytes: float  # of all jobs


def measured(folder: Path) -> Rates:
    """Rates from the tables that the bench rules left in `folder`; the README's for what was not measured here."""
    found, tables = {}, {}
    unusable = []
    for name in ("zoo_training", "cyclegan", "evaluation"):
        try:
            tables[name] = _rows(folder / f"{name}.csv")
        except ValueError as error:  # a plan is made without it
            tables[name] = []
            unusable.append(f"; not used: {str(error).rstrip(chr(46))}")
    if rows := tables["zoo_training"]:
        found["samples_per_second"] = max(
            float(row["samples_per_second"])
            for row in rows
            if "zoofuse" in row["implementation"] and row.get("architecture", "published") == "published"
        )
    if rows := [row for row in tables["cyclegan"] if row["implementation"] != "plain"]:
        layers = {row["layer"] for row in rows}
        found["ms_per_step"] = {
            layer: min(float(row["ms_per_step"]) for row in rows if row["layer"] == layer) for layer in layers
        }
    if rows := [row for row in tables["evaluation"] if "both protocols" in row["implementation"]]:
        found["cnns_per_second"] = float(rows[0]["cnns_per_second"]) / int(rows[0]["processes"])
    if not found:
        return Rates(source=f"{Rates.source}{''.join(unusable)}")
    own = {"samples_per_second": "zoos", "ms_per_step": "CycleGANs", "cnns_per_second": "evaluation"}
    here = ", ".join(own[name] for name in found)
    rest = "" if len(found) == len(own) else "; the rest on 2 AMD cores with AVX2"
    return Rates(**found, source=f"as measured on this machine ({here}, {folder}){rest}{''.join(unusable)}")


def stages(config: dict, rates: Rates) -> list[Stage]:
    """The stages of a run from nothing; tables, figures and the report take seconds each.

    config: as `config.complete` returns it, with the number of CNNs of every concept.
    """
    zoo, evaluation = config["zoo"], config["evaluation"]
    sizes = {name: concept["models"] for name, concept in config["concepts"].items()}
    kept = 1 + (zoo["epochs"] // zoo["checkpoint_every"] if zoo["checkpoint_every"] else 0)
    found = []
    for name, concept in config["concepts"].items():
        if "zoo" not in concept:
            passes = zoo["epochs"] * (concept["images_per_epoch"] or zoo["images_per_epoch"])
            shard = min(names.trained_shard(zoo, sizes[name]), sizes[name])
            own = ARCHITECTURES[concept["architecture"] or zoo["architecture"]]
            hours = shard * passes * own.slower / rates.samples_per_second / 3600
            disk = sizes[name] * (kept * 4 * own.parameters + 24 * zoo["epochs"]) / 1e9
            found.append(Stage(f"zoo of {name}", math.ceil(sizes[name] / shard), shard, hours, disk))
    for name, fusion in config["fusions"].items():
        architecture = ARCHITECTURES[architectures.of_students(config, fusion)]
        slower, parameters = architecture.slower, 4 * architecture.parameters  # bytes
        parents = {side: sizes[concept] for side, concept in sides(fusion).items()}
        pairs = list(itertools.pairwise(parents.values()))
        banks = sum(parents.values()) * 4 * sum(architecture.kernels.values()) / 1e9
        if "cyclegan" in fusion["methods"] and "generators" not in fusion:
            volumes = {"joint": sum(architecture.kernels.values())} if fusion["joint"] else architecture.kernels
            tasks = [(layer, size, pair) for layer, size in volumes.items() for pair in pairs]
            hours = sum(_cyclegan_hours(config["cyclegan"], *task, rates) for task in tasks)
            found.append(Stage(f"CycleGANs of {name}", len(tasks), 0, hours / len(tasks), banks))
        counts = registry.counts(parents, config)
        entries = registry.known(config["variants"])
        methods = {method: entries[method] for method in fusion["methods"]}
        if trained := [of for of in methods.values() if of.effort == "training"]:
            work = []
            for of in trained:
                recipe = of.settings(config)
                student = recipe.get("student")
                own = ARCHITECTURES[student].slower if student else slower
                work.append(counts[of.name] * own * _samples(config["distil"] | recipe, "remedies" in recipe))
            hours = sum(work) / len(work) / rates.student_samples_per_second / 3600
            found.append(Stage(f"distilling of {name}", len(trained), config["distil"]["models"], hours, 0))
        if "netspace" in fusion["methods"]:
            found.append(Stage(f"NetSpace of {name}", 3, 0, rates.netspace_seconds / 3 / 3600, 0))
        made, evaluated = 0, []
        for method, of in methods.items():
            each = counts[method]
            limit = evaluation["models" if of.is_generated else "baselines"] or each
            made += of.domains * each
            evaluated.append(of.domains * min(each, limit))
        shards = [names.shard_size(count, evaluation["shard_size"], names.EVALUATED) for count in evaluated]
        shard = min(max(shards), max(evaluated))
        jobs = sum(math.ceil(count / size) for count, size in zip(evaluated, shards, strict=True))
        disk = (made * parameters + sum(evaluated) * EVALUATED) / 1e9
        found.append(Stage(f"evaluation of {name}", jobs, shard, shard / rates.cnns_per_second / 3600, disk))
        asked = shard / rates.zero_shot_per_second / 3600
        references = sum(parents.values()) / rates.parents_per_second
        samples = config["distil"]["images"] * config["distil"]["epochs"]
        references += evaluation["zero_shot"]["supervised"] * samples * slower / rates.student_samples_per_second
        found.append(Stage(f"zero-shot of {name}", jobs, shard, asked, 0))
        found.append(Stage(f"references of {name}", 1, 0, references / 3600, 0))
    return found


def netspace_hours(config: dict, rates: Rates) -> float:
    """Hours of target `netspace` with one job at a time, beside the zoos; 0 where no fusion has two concepts."""
    own, each = config["netspace"], rates.netspace
    fusions = sum(len(fusion["concepts"]) == 2 for fusion in config["fusions"].values())
    kinds, shapes = own["architectures"], own["shapes"]
    several, unseen = ([LAYERS.get(name) or int(name[6:]) for name in kinds[key]] for key in ("several", "unseen"))
    trained = {*kinds["several"], *kinds["unseen"]} - {"zoo"}
    predicted = kinds["models"] * kinds["training_steps"] * kinds["batch"]
    layers = predicted * sum(LAYERS.get(name) or int(name[6:]) for name in trained)
    # A step takes one of the seen architectures, of the unseen setting also half as many networks of an unseen one.
    step = own["networks"] * own["inputs"] * kinds["steps"]
    ends, between = (unseen[0], unseen[-1]), unseen[1:-1]
    layers += step * (_mean(several) + _mean(ends) + _mean(between) / 2)
    walks, moved = own["interpolation"], own["latent_optimisation"]
    seconds = each["prediction"] * own["steps"] * own["networks"] * own["inputs"] + each["layer"] * layers
    seconds += each["walk"] * walks["pairs"] * walks["points"] + each["move"] * moved["starts"] * moved["steps"]
    weights = shapes["hidden"] ** 2 * (shapes["layers"] - 1) + 5 * shapes["hidden"]
    points = shapes["models"] * shapes["training_steps"] * shapes["points"]
    siren = each["point"] * weights * points + each["shapes"] * shapes["steps"]
    return (fusions * seconds + siren) / 3600 if fusions else 0.0


def factory_stages(config: dict, rates: Rates) -> list[Stage]:
    """The factory zoos, which are trained by `snakemake factory`.

    Where only the images say how many of them a CNN sees, hours are those of 1000 for each class.
    """
    found, published = [], chain(ARCHITECTURES["published"]).multiply_adds
    for name, factory in config["factory"].items():
        of = factories.network(factory)
        epochs = _mean(recipes.values(factory["factors"]["epochs"]))
        per_epoch = factory["images_per_epoch"] or of.classes * (factory["images"] if factory["classes"] else 1000)
        scored = 2 * of.classes * factory["held_out"] / 3  # a prediction takes a third of a training step's time
        work = max(of.multiply_adds / published, LEAST_WORK) * epochs * (per_epoch + scored)
        kept = 1 + (epochs // factory["checkpoint_every"] if factory["checkpoint_every"] else 0)
        bytes_each = kept * 4 * of.parameters + 32 * epochs
        shard = min(names.shard_size(factory["models"], config["zoo"]["shard_size"], names.TRAINED), factory["models"])
        jobs = math.ceil(factory["models"] / shard)
        seconds = shard * work / rates.samples_per_second
        # The files of CNNs that are trained and those of the store are the same ones (hard links).
        found.append(Stage(name, jobs, shard, seconds / 3600, factory["models"] * bytes_each / 1e9))
    return found


def hours(found: list[Stage], at_once: int) -> float:
    """Hours from start to end with so many jobs at a time: zoos, then CNNs made from them, then their evaluation."""
    total = 0.0
    for kinds in (("zoo",), ("CycleGANs", "distilling", "NetSpace"), ("evaluation", "zero-shot", "references")):
        of_kind = [stage for stage in found if stage.name.split(" of ")[0] in kinds]
        work = sum(stage.jobs * stage.hours for stage in of_kind)
        total += max([work / at_once, *(stage.hours for stage in of_kind)])
    return total


def text(config: dict, folder: Path = Path("results/bench")) -> str:
    """The plan as a table for the terminal; `config` as `stages` takes it."""
    rates = measured(folder)
    found = stages(config, rates)
    lines = [("stage", "jobs", "CNNs per job", "one job", "all jobs", "disk")]
    for s in found:
        cnns = f"{s.cnns:,}" if s.cnns else "-"
        lines.append((s.name, f"{s.jobs:,}", cnns, _time(s.hours), _time(s.jobs * s.hours), _size(s.gigabytes)))
    jobs, disk = sum(s.jobs for s in found), sum(s.gigabytes for s in found)
    lines.append(("all of them", f"{jobs:,}", "", "", _time(hours(found, 1)), _size(disk)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ends = ", ".join(f"{_time(hours(found, n))} with {n}" for n in AT_ONCE)
    more = netspace_hours(config, rates)
    return "\n".join(
        [
            "A run from nothing; what is already made is not done again:",
            *("  ".join(f"{cell:{'>' if i else '<'}{widths[i]}}" for i, cell in enumerate(line)) for line in lines),
            f"From start to end by jobs at a time: {ends}.",
            *([f"Not in these: snakemake netspace, {_time(more)} of one core beside the zoos."] if more else []),
            *(
                f"Not in these: the factory zoo {zoo.name} (snakemake factory), up to {zoo.cnns:,} CNNs in each of "
                f"{zoo.jobs:,} jobs, {_time(zoo.jobs * zoo.hours)} with one job at a time, {_size(zoo.gigabytes)}."
                for zoo in factory_stages(config, rates)
            ),
            f"Rates {rates.source}.",
        ]
    )


def _samples(recipe: Mapping, of_concepts: bool) -> int:
    """Images times epochs of a student; of two concepts' own images it is shown those of a shape once more."""
    return recipe["images"] * recipe["epochs"] * (3 if of_concepts else 1)


def _mean(numbers) -> float:
    return sum(numbers) / len(numbers)


def _time(hours: float) -> str:
    seconds = 3600 * hours
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{hours:,.1f} h"


def _size(gigabytes: float) -> str:
    return f"{math.ceil(1000 * gigabytes):,} MB" if gigabytes < 1 else f"{gigabytes:,.1f} GB"


def _cyclegan_hours(settings: dict, layer: str, kernels: int, pair: tuple[int, int], rates: Rates) -> float:
    """Hours of one layer, whose CNNs have so many kernel weights; a step's work grows with them."""
    like = "conv1" if layer == "conv1" else "conv2"
    chosen = {name: settings[name] for name in ("epochs", "batch_size", "hidden") if settings[name]}
    training = cyclegan.settings(settings["preset"], layer, **chosen)
    sets = sum(pair) if training.batches == "mixed" else max(pair)
    steps = training.epochs * math.ceil(sets / training.batch_size)
    work = training.batch_size / BATCH * training.hidden / HIDDEN
    work *= kernels / ARCHITECTURES["published"].kernels[like]
    return steps * work * rates.ms_per_step[like] / 3.6e6


def _rows(path: Path) -> list[dict]:
    if not path.exists():
        return []
    from zoofuse.core import csv_files  # brings pandas with it, which most plans do without

    table = csv_files.read(path)
    if "implementation" not in table:
        raise ValueError(f"{path} is of an older version; measure again")
    return table.to_dict("records")
