# Functions only: what follows from the configuration, and what each stage depends on.
import functools
import itertools
import math
import os
import shutil
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Where this workflow lies; `workflow.basedir` is the caller's folder where it is used as a module.
if not isinstance(workflow.current_basedir, os.PathLike):  # files of a repository elsewhere, fetched one by one
    raise WorkflowError(
        "zoofuse is used as a module from a local copy only, as its scripts need the whole folder. Clone it, and write "
        "the path of its Snakefile."
    )
HOME = Path(workflow.current_basedir).parents[1]
# The package needs no installation.
sys.path.insert(0, str(HOME / "workflow" / "src"))

from zoofuse import config_files, estimate, interruptions
from zoofuse.core import code, text
from zoofuse.importers import foreign, imports
from zoofuse.methods import registry
from zoofuse.models.architectures import ARCHITECTURES
from zoofuse.preflight.folder_checks import count_zoo, folder_faults, folders_digest, made_from, models_made
from zoofuse.config import complete, is_overlay, sides
from zoofuse.core.files import digest
from zoofuse.data.folders import spelled

code.run_this_package()

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"  # as the schema's $defs.name
CLUSTERERS = ["kmeans", "dbscan", "one_class_svm"]


def default_config():
    """What lies under a configuration whose concepts name no images: photographs if it says where they are, else drawn ones."""
    name = "photos.yaml" if "images_root" in config else "config.yaml"
    return str(HOME / "config" / name)


def told(message):
    """The error that ends the call, in words for the user."""
    return WorkflowError(text.visible(str(message)))


def refuse(message):
    """End the call in words, also where a file that exists would let Snakemake go on without the job.

    Snakemake passes over every exception of an input function where the job's output is there; this one it does not.
    """
    logger.error(text.visible(str(message)))
    raise SystemExit(1)


@functools.cache
def warn(message):
    """Log a warning once for each call of snakemake."""
    logger.warning(text.visible(message))


def checked(config):
    """The configuration with its defaults. Looks at no folder of images: that is left to the rules that read them."""
    begun = config.pop("begun", None)  # what a job on another node is told of the settings its run began with
    try:
        given = (workflow.configfiles, workflow.config_settings.config_args)
        config = complete(config, config_files.read(*given) if workflow.is_main_process else None)
    except ValueError as error:  # worded for the user
        raise told(error) from None
    settings = digest(config)
    existing = [concept for concept in config["concepts"].values() if "zoo" in concept]
    if begun is None:
        if workflow.is_main_process:
            interruptions.end_on_hangup()
            with foreign.reader():  # one child process for all of them
                for name, concept in config["concepts"].items():
                    concept["models"] = counted(config, name)
        # Jobs on other nodes are told the sizes of existing zoos, so that only those that import one look at it.
        sizes = ",".join(str(concept["models"] or "-") for concept in existing)
        workflow.config_settings.config_args = [*workflow.config_settings.config_args, f"begun={settings}/{sizes}"]
        return config
    begun, _, sizes = str(begun).partition("/")
    if begun != settings:
        raise told(
            "The configuration was changed while a run goes on, so its jobs that are left are not done. Run the same "
            "command again when it has ended: what was changed is done anew."
        )
    for concept, size in zip(existing, sizes.split(",") if existing else [], strict=True):
        concept["models"] = None if size == "-" else int(size)
    return config


# Snakemake starts each script by the interpreter's path without quotes around it. Where that can't work, the name that
# PATH finds it by can: `make run` and an activated environment put it there.
ODD = sorted(set(sys.executable) & set(" \t\n'\"$`&;|<>()\\"))
if ODD and os.path.dirname(shutil.which("python") or "") == os.path.dirname(sys.executable):
    sys.executable, ODD = "python", []


def check_interpreter():
    """Raises where no job could be started by this interpreter."""
    if ODD and not workflow.deployment_settings.deployment_method:
        raise told(
            f"The Python environment lies in {sys.executable}, and jobs can't be started from a path with "
            f"{' '.join(map(repr, ODD))}. Activate the environment (source .venv/bin/activate), or make it elsewhere."
        )


def counted(config, name):
    """How many CNNs a concept has; None where nobody can tell, as its existing zoo is gone, which ZOO_FAULTS says."""
    concept = config["concepts"][name]
    if "zoo" not in concept:
        return concept["models"]
    path = existing_path(config, concept["zoo"])
    try:
        return count_zoo(config, name)
    except ValueError as error:
        ZOO_FAULTS[name] = str(error)
        return models_made(Path(path), Path(f"results/zoo/{name}"), concept["models"])


ZOO_FAULTS = {}  # concept -> why its existing zoo can't be read


def models_of(concept):
    """CNNs of a concept's zoo: those that are asked for, else as many as its existing zoo holds."""
    of = config["concepts"][concept]
    if of["models"] is None and concept not in ZOO_FAULTS:
        of["models"] = counted(config, concept)
    if of["models"] is None:
        refuse(ZOO_FAULTS[concept])
    return of["models"]


# Code


def code_of(script):
    """The digest of the code that a rule's script runs: a parameter, so that an edit re-runs what depends on it."""
    return lambda wildcards: script_code(script)


@functools.cache
def script_code(script, functions=()):
    return code.digest(HOME / "workflow" / "scripts" / f"{script}.py", functions)


def method_code(wildcards):
    """As `code_of`, of the script that makes CNNs and of the one method that it calls."""
    make = registry.get(wildcards.method).make
    if make is None:
        return script_code("generate")
    return script_code("generate", (":".join([make.__module__, make.__qualname__.split(".")[0]]),))


def conv_layers():
    return ARCHITECTURES[config["zoo"]["architecture"]].conv_layers


@functools.cache
def shard_ranges(total, size):
    """Shard name -> (start, stop): static, so that a larger total only adds shards or lengthens the last one."""
    return {f"{start // size:04d}": (start, min(start + size, total)) for start in range(0, total, size)}


# Images


def picture_source(place):
    """What an images file is made from: the keys of a concept or of a fusion's test that name pictures."""
    source = {key: place.get(key) for key in ("source", "dataset", "positive", "negative")}
    if place["source"] == "folder":
        source["folders"] = folders_digest(config["images_root"], place["positive"] + place["negative"])
    if place["source"] == "drawn":
        source["images"] = config["drawn"]["images" if "models" in place else "test_images"]  # per class
    return source


def concept_source(wildcards):
    keys = ("validation_share", "validation_max", "unreadable", "duplicates")
    settings = {key: config["images"][key] for key in keys}
    return looked_at(known(config["concepts"], wildcards.concept, "concept")) | settings


def test_source(wildcards):
    settings = {key: config["images"][key] for key in ("unreadable", "duplicates", "leaks")}
    test = known(config["fusions"], wildcards.fusion, "fusion")["test"]
    if test["order"] != "positives_first":  # left out else, so that no finished run is done again
        settings["order"] = test["order"]
    return looked_at(test) | settings


def looked_at(place):
    """As `picture_source`, with its faults in words."""
    try:
        return picture_source(place)
    except ValueError as error:
        raise told(error) from None


def picture_inputs(place):
    """What a place's pictures come from: folders, whose content `picture_source` tells, or an archive."""
    if place["source"] == "torchvision":
        return {"archive": f"resources/downloads/{place['dataset']}.tar.gz"}
    if place["source"] == "folder":
        root = Path(config["images_root"])
        folders = [str(spelled(root / folder)) for folder in place["positive"] + place["negative"]]
        return {
            "folders": [local(ancient(folder)) for folder in folders]
        }  # read where they lie, also with remote storage
    return {}


@functools.cache
def place_faults():
    """Where in the configuration -> what is wrong with its folders; looked for once, by the first rule that reads any.

    Nothing in a job on another node: the run that submitted it has looked.
    """
    return folder_faults(config) if workflow.is_main_process else {}


def checked_folders(where, place, output):
    """A place's inputs; where its folders can't be used, they are missing for Snakemake too.

    Then Snakemake goes on with `output` where it exists, and it was made from these folders, and stops otherwise.
    """
    inputs, faults = picture_inputs(place), place_faults()
    if where in faults:
        every = "\n".join(dict.fromkeys(fault.words for fault in faults.values()))
        if not faults[where].gone or (os.path.exists(output) and not made_from(Path(output), place)):
            refuse(every)
        warn(f"{every}\nWhat was made of these images before is kept; nothing new is made of them.")
        inputs["folders"] = [local(str(Path(config["images_root"]) / f"(images of {where})"))]
    return inputs


def concept_pictures(wildcards):
    place = known(config["concepts"], wildcards.concept, "concept")
    return checked_folders(f"concepts.{wildcards.concept}", place, f"results/images/{wildcards.concept}.h5")


def test_pictures(wildcards):
    place = known(config["fusions"], wildcards.fusion, "fusion")["test"]
    return checked_folders(f"fusions.{wildcards.fusion}.test", place, f"results/test_images/{wildcards.fusion}.h5")


def fusion_images(wildcards):
    """The images of a fusion's concepts; an existing zoo brings none."""
    fusion = known(config["fusions"], wildcards.fusion, "fusion")
    return [f"results/images/{fusion[side]}.h5" for side in sides(fusion) if fusion[side] in trained_concepts()]


def known(named, name, what):
    if name not in named:
        raise told(f"There is no {what} {name!r} in the configuration; it has {', '.join(named) or 'none'}.")
    return named[name]


def trained_concepts():
    return [name for name, concept in config["concepts"].items() if "zoo" not in concept]


def only(names):
    """A wildcard constraint that holds for these names only."""
    return "|".join(names) or r"(?!)"


def all_but(names):
    """A wildcard constraint that holds for every other name, so that an unknown one is refused in words."""
    return rf"(?!(?:{only(names)})/){NAME}"


def all_but_methods(names):
    """As `all_but`, where the name is followed by a file's ending."""
    return rf"(?!(?:{only(names)})\.){NAME}"


def imported_concepts():
    return [name for name in config["concepts"] if name not in trained_concepts()]


def imported_fusions():
    return [name for name, fusion in config["fusions"].items() if "generators" in fusion]


# Check


def checked_places():
    """Where in the configuration -> concept or test that names pictures; an existing zoo has none."""
    concepts = {f"concepts.{name}": config["concepts"][name] for name in trained_concepts()}
    return concepts | {f"fusions.{name}.test": fusion["test"] for name, fusion in config["fusions"].items()}


def checked_pictures(wildcards):
    """The folders, and the archives by the names of their data sets."""
    inputs = {"folders": []}
    for where, place in checked_places().items():
        found = checked_folders(where, place, "")  # what was found out before stays as it is
        inputs["folders"] += found.get("folders", [])
        inputs |= {place["dataset"]: found["archive"]} if "archive" in found else {}
    return inputs


def checked_sources(wildcards):
    """Where in the configuration -> what its pictures are made from. A function, so that no other job looks at them."""
    return {where: looked_at(place) for where, place in checked_places().items()}


# Zoo


def existing_path(config, path):
    return str(Path(config["zoo_root"]) / path)


def existing(path):
    """A path under zoo_root."""
    return existing_path(config, path)


def existing_zoo(wildcards):
    """An existing zoo; where it can't be read it is missing for Snakemake too, which goes on with what was imported."""
    path = existing(config["concepts"][wildcards.concept]["zoo"])
    if wildcards.concept in ZOO_FAULTS:
        warn(f"{ZOO_FAULTS[wildcards.concept]}\nWhat was imported from it before is kept; nothing new is imported.")
        path = f"{path} (zoo of {wildcards.concept})"
    return path


def existing_zoo_digest(wildcards):
    """So that a changed zoo is read again."""
    try:
        return imports.digest(existing_zoo(wildcards), range(*shard_models(wildcards)))
    except ValueError as error:
        raise told(error) from None


def zoo_shards(concept):
    ranges = shard_ranges(models_of(concept), config["zoo"]["shard_size"])
    return [f"results/zoo/{concept}/shard-{shard}.h5" for shard in ranges]


def shard_models(wildcards):
    """[start, stop) of a zoo shard's global indices."""
    known(config["concepts"], wildcards.concept, "concept")
    ranges = shard_ranges(models_of(wildcards.concept), config["zoo"]["shard_size"])
    return known(ranges, wildcards.shard, f"shard of concept {wildcards.concept}")


def training_settings(wildcards):
    """What a CNN's numbers depend on, in a fixed order; nothing else may re-run its training."""
    concept, zoo = known(config["concepts"], wildcards.concept, "concept"), config["zoo"]
    keys = ("architecture", "epochs", "batch_size", "learning_rate", "schedule", "balance", "checkpoint_every")
    settings = {key: zoo[key] for key in keys}
    settings["images_per_epoch"] = concept["images_per_epoch"] or zoo["images_per_epoch"]
    return settings | {key: concept[key] for key in ("flip", "brightness", "colour")}


def gpus():
    """GPUs a training job asks for: one, unless the configuration says cpu."""
    return 0 if config["zoo"]["device"] == "cpu" else 1


# Fusion


def existing_generators(wildcards):
    return existing(config["fusions"][wildcards.fusion]["generators"])


def concepts_of(fusion):
    """Letter -> concept of a fusion."""
    found = known(config["fusions"], fusion, "fusion")
    return {side: found[side] for side in sides(found)}


def fusion_zoo(wildcards, side):
    """The shards of one of a fusion's zoos."""
    return zoo_shards(known(concepts_of(wildcards.fusion), side, f"concept of {wildcards.fusion}"))


def zoo_of(side):
    """The zoo files a fusion translates and compares: in one channel order where it asks for that."""

    def files(wildcards):
        fusion = known(config["fusions"], wildcards.fusion, "fusion")
        return [f"results/aligned/{wildcards.fusion}/{side}.h5"] if fusion["align"] else fusion_zoo(wildcards, side)

    return files


def fusion_zoos(wildcards):
    """All of them, by letter."""
    return {side: zoo_of(side)(wildcards) for side in concepts_of(wildcards.fusion)}


def volumes(fusion):
    """What has a kernel bank and a translator of its own: each conv layer, or both together."""
    return ["joint"] if known(config["fusions"], fusion, "fusion")["joint"] else conv_layers()


def translators(fusion):
    """A translator for each volume, and where there are more than two concepts for each two neighbours: conv1-ab, conv1-bc."""
    pairs = list(itertools.pairwise(concepts_of(fusion)))
    names = [""] if len(pairs) == 1 else [f"-{one}{other}" for one, other in pairs]
    return [f"{volume}{name}" for volume in volumes(fusion) for name in names]


def method_inputs(wildcards):
    """What a method makes its CNNs from, by what it says it needs (`registry.Method`)."""
    fusion = wildcards.fusion
    concepts = concepts_of(fusion)
    bank, made = f"results/kernels/{fusion}/{{}}.h5".format, f"results/generated/{fusion}/{{}}.h5".format
    inputs = {}
    for need in registry.get(wildcards.method).needs:
        match need:
            case "zoos":
                inputs |= fusion_parents(wildcards)
            case "own zoo":
                side = registry.get(wildcards.method).letter
                inputs[f"zoo_{side}"] = zoo_of(side)(wildcards)
            case "trained":  # an aligned zoo keeps no history
                inputs |= {f"zoo_{side}": fusion_zoo(wildcards, side) for side in concepts}
            case "volumes":
                inputs["banks"] = [bank(volume) for volume in volumes(fusion)]
            case "layers":
                inputs["banks"] = [bank(layer) for layer in conv_layers()]
            case "generators":
                names = translators(fusion)
                inputs["generators"] = [f"results/cyclegan/{fusion}/{name}/generators.h5" for name in names]
            case "images":
                inputs |= {f"images_{side}": f"results/images/{concept}.h5" for side, concept in concepts.items()}
            case other if other.startswith("method:"):
                name = other.removeprefix("method:")
                inputs[f"made_{name}"] = made(name)
    return inputs


def methods_by_effort(effort):
    return [name for name, of in registry.methods().items() if of.effort == effort]


def method_options(wildcards):
    """A method's parameters, so that a changed one makes its CNNs anew."""
    return dict(registry.get(wildcards.method).options)


def generated_counts(fusion):
    """Method -> number of CNNs it makes of each domain for a fusion."""
    return registry.counts({side: models_of(concept) for side, concept in concepts_of(fusion).items()}, config)


def method_count(wildcards):
    return known(generated_counts(wildcards.fusion), wildcards.method, f"method of {wildcards.fusion}")


def evaluated_limit(method):
    """The setting that bounds how many of a method's CNNs are evaluated; None for all."""
    return config["evaluation"]["models" if registry.get(method).is_generated else "controls"]


def generated_zoos(wildcards):
    """The CNNs of every method of a fusion."""
    methods = known(config["fusions"], wildcards.fusion, "fusion")["methods"]
    return [f"results/generated/{wildcards.fusion}/{method}.h5" for method in methods]


def fusion_parents(wildcards):
    """The zoos that all methods' CNNs come from, as they are compared."""
    return {f"zoo_{side}": shards for side, shards in fusion_zoos(wildcards).items()}


def evaluation_ranges(fusion, method):
    """Shard name -> (start, stop) among the evaluated CNNs of a method, domain after domain."""
    each = generated_counts(fusion)[method]
    domains = registry.get(method).domains
    return shard_ranges(domains * min(each, evaluated_limit(method) or each), config["evaluation"]["shard_size"])


def evaluation_shards(fusion, method):
    return [f"results/evaluation/{fusion}/{method}/shard-{shard}" for shard in evaluation_ranges(fusion, method)]


def evaluated_part(wildcards):
    """Which CNNs of a method a shard evaluates, for `evaluation.part`."""
    ranges = evaluation_ranges(wildcards.fusion, wildcards.method)
    start, stop = known(ranges, wildcards.shard, f"evaluation shard of {wildcards.method}")
    return {"limit": evaluated_limit(wildcards.method), "start": start, "stop": stop}


def held_out_limit(wildcards):
    """Of how many CNNs of each domain of a method the held-out protocol is asked for."""
    return config["evaluation"]["held_out"] if registry.get(wildcards.method).is_generated else None


def evaluation_settings(wildcards):
    return {key: config["evaluation"][key] for key in ("embeddings", "umap", "tsne", *CLUSTERERS)}


def fusion_rows(wildcards, suffix=".csv"):
    fusion = known(config["fusions"], wildcards.fusion, "fusion")
    methods = fusion["methods"]
    return [f"{shard}{suffix}" for method in methods for shard in evaluation_shards(wildcards.fusion, method)]


def fusion_tables(fusion):
    rows = [f"{prefix}{clusterer}" for prefix in ("", "held_out_") for clusterer in CLUSTERERS]
    replicates = REPLICATE_TABLES if config["replicates"] else []
    names = [*LEADERBOARD_TABLES, *replicates, "few_shot", "nearest_parent", *rows, "summary"]
    return [f"results/tables/{fusion}/{name}.csv" for name in names]


# Zero-shot, references, leaderboard, search

REFERENCES = ["always_no", "brightness", "colour", "pixels", "pca"]  # answers without a CNN
LEADERBOARD_TABLES = ["leaderboard", "comparisons", "zero_shot", "selection", "groups"]
REPLICATE_TABLES = ["replicates", "replicate_comparisons"]


def zero_shot_concepts(wildcards):
    """The images of a fusion's concepts; none where one is an existing zoo, as probes need all."""
    images = fusion_images(wildcards)
    return images if len(images) == len(concepts_of(wildcards.fusion)) else []


def zero_shot_shards(fusion, method):
    return [f"results/zero_shot/{fusion}/{method}/shard-{shard}.h5" for shard in evaluation_ranges(fusion, method)]


def supervised_settings():
    """What the CNNs of the zero-shot ceiling are trained with: the zoo's own settings."""
    keys = ("architecture", "epochs", "images_per_epoch", "batch_size", "learning_rate", "schedule")
    return {key: config["zoo"][key] for key in keys}


def reference_rows(fusion, suffix=".csv"):
    return [f"results/evaluation/{fusion}/references/{method}{suffix}" for method in REFERENCES]


def leaderboard_inputs(wildcards):
    """Rows and answers of every method and reference of a fusion, and their zero-shot answers."""
    fusion = wildcards.fusion
    methods = known(config["fusions"], fusion, "fusion")["methods"]
    return {
        "rows": fusion_rows(wildcards) + reference_rows(fusion),
        "arrays": fusion_rows(wildcards, ".h5") + reference_rows(fusion, ".h5"),
        "zero_shot": [shard for method in methods for shard in zero_shot_shards(fusion, method)],
        "references": [f"results/zero_shot/{fusion}/references.h5"],
    }


def replicate_inputs(wildcards):
    """What the leaderboard is made from, of this run and then of each run in `replicates`, folder after folder."""
    inputs = {key: list(paths) for key, paths in leaderboard_inputs(wildcards).items()}
    for folder in config["replicates"]:
        for key, paths in leaderboard_inputs(wildcards).items():
            there = [os.path.join(folder, path) for path in paths]
            if missing := [path for path in there if not os.path.exists(path)]:
                warn(
                    f"replicates: {folder} lacks {os.path.relpath(missing[0], folder)}. Make it first, with the same "
                    f"settings and another seed: snakemake tables --directory {folder} --config seed=NUMBER ..."
                )
            inputs[key] += there
    return inputs


def searched_methods(wildcards):
    methods = known(config["fusions"], wildcards.fusion, "fusion")["methods"]
    return [f"results/evaluation/{wildcards.fusion}/{method}/search.csv" for method in methods]


# Figures and report


def fusion_sides(wildcards):
    return list(concepts_of(wildcards.fusion).values())


def published_table(clusterer):
    return local(str(HOME / "resources" / "published" / f"{clusterer}.csv"))


def published_rows(wildcards):
    """The published tables, where the fusion is the published one."""
    return [published_table(c) for c in CLUSTERERS] if fusion_sides(wildcards) == ["black", "cat"] else []


def shown_method(fusion):
    """The method whose CNNs the figures look at: the first one named."""
    return known(config["fusions"], fusion, "fusion")["methods"][0]


def shown_arrays(wildcards):
    return [f"{shard}.h5" for shard in evaluation_shards(wildcards.fusion, shown_method(wildcards.fusion))]


def shown_zoo(wildcards):
    return f"results/generated/{wildcards.fusion}/{shown_method(wildcards.fusion)}.h5"


def report_tables(fusion):
    """Every table of a fusion that the report shows."""
    return [path for path in fusion_tables(fusion) if not path.endswith("summary.csv")]


def report_inputs(wildcards):
    """Every file the report shows, by `<kind>` or, of a fusion, `<kind>_<fusion>`."""
    inputs = {
        "images": [f"results/images/{concept}.h5" for concept in trained_concepts()],
        "tests": [f"results/test_images/{fusion}.h5" for fusion in config["fusions"]],
        "figures": ["results/figures/examples.png"],
    }
    if trained_concepts():
        inputs["zoo"] = "results/tables/zoo.csv"
        inputs["figures"] += [f"results/figures/{name}.png" for name in ("zoo_histogram", "zoo_curves")]
    for name, fusion in config["fusions"].items():
        figures = ["cosine_selected", "cosine_median", "few_shot"]
        if config["replicates"]:
            figures.append("replicates")
        if "cyclegan" in fusion["methods"]:
            figures += [f"kernels_{layer}" for layer in conv_layers()]
        if "cyclegan" in fusion["methods"] and "generators" not in fusion:
            figures.append("cyclegan")
            inputs[f"histories_{name}"] = [
                f"results/cyclegan/{name}/{each}/generators.h5" for each in translators(name)
            ]
        inputs[f"figures_{name}"] = [f"results/figures/{name}/{figure}.png" for figure in figures]
        inputs[f"shown_{name}"] = f"results/figures/{name}/shown.h5"
        inputs[f"tables_{name}"] = report_tables(name)
        if list(concepts_of(name).values()) == ["black", "cat"]:
            inputs[f"published_{name}"] = [f"results/tables/{name}/published_{c}.csv" for c in CLUSTERERS]
    # Files that a run leaves behind for `snakemake --report` and for readers of tables; the report has its own.
    inputs["beside"] = [f"results/figures/{name}/methods.png" for name in config["fusions"]]
    inputs["beside"] += [f"results/tables/{name}/summary.csv" for name in config["fusions"]]
    return inputs


# Measurements


def benched_images(wildcards):
    """The pictures that zoos are trained on to measure it: those of the first concept that has some."""
    if not trained_concepts():
        raise told(
            "bench_zoo trains CNNs on a concept's pictures, and every concept here is an existing zoo. Run it with a "
            "configuration whose concepts name pictures; without --configfile it takes drawn ones."
        )
    return f"results/images/{trained_concepts()[0]}.h5"


# Models


def exported_models():
    """A config.json for each fusion and method that makes CNNs; a control is exported when its file is named."""
    return [
        f"results/models/{name}/{method}/config.json"
        for name, fusion in config["fusions"].items()
        for method in fusion["methods"]
        if registry.get(method).is_generated
    ]


def shared_shards(wildcards):
    known(config["concepts"], wildcards.concept, "concept")
    return zoo_shards(wildcards.concept)


def predicted_folder(wildcards):
    if "predict" not in config:
        raise told("Say which pictures are to be scored: --config predict=FOLDER.")
    return config["predict"]


def predicted_digest(wildcards):
    from zoofuse.export import predict  # here, because pandas takes a while to import

    try:
        return predict.digest(predicted_folder(wildcards))
    except ValueError as error:  # worded for the user
        raise told(error) from None


# NetSpace, for fusions of two concepts

NETSPACE_SETTINGS = [
    "one_architecture",
    "interpolation",
    "latent_optimisation",
    "several_architectures",
    "unseen_architectures",
]


def netspace_images(wildcards):
    """The photographs of both concepts, "a" first; answers are compared on them, so an existing zoo alone won't do."""
    if len(concepts_of(wildcards.fusion)) > 2:
        raise told(f"NetSpace joins two concepts, and {wildcards.fusion} has more: name a fusion of two.")
    images = fusion_images(wildcards)
    if len(images) < 2:
        raise told("NetSpace compares answers to photographs: write positive and negative for both concepts.")
    return images


def netspace_cnns(wildcards, input):
    """What every job on the CNNs of both zoos takes, as `netspace_cnn.concepts` does."""
    sample = {key: config["netspace"][key] for key in ("held_out", "compared", "probes")}
    return sample | {
        "zoos": {"a": list(input.a), "b": list(input.b)},
        "pictures": dict(zip("ab", input.images)),
        "architecture": config["zoo"]["architecture"],
        "seed": config["seed"],
    }


def netspace_fusions():
    return [name for name in config["fusions"] if len(concepts_of(name)) == 2]


def netspace_tables(wildcards):
    """Every setting's table; shapes belong to no fusion."""
    if not netspace_fusions():
        raise told("NetSpace joins two concepts, and no fusion here has two: name one.")
    named = [f"{fusion}/{setting}" for fusion in netspace_fusions() for setting in NETSPACE_SETTINGS]
    return [f"results/netspace/{name}.csv" for name in [*named, "shapes"]]


def netspace_figures(wildcards):
    named = [f"{fusion}/netspace_{setting}" for fusion in netspace_fusions() for setting in NETSPACE_SETTINGS]
    return [f"results/figures/{name}.png" for name in [*named, "netspace_shapes"]]


def netspace_space(steps):
    """The settings of a space that is trained for this many steps."""
    keys = ("encoder", "code", "hidden", "width", "networks", "inputs", "learning_rate", "temperature", "mixed")
    return {key: config["netspace"][key] for key in keys} | {"steps": steps}


def netspace_concept(wildcards):
    fusion = known(config["fusions"], wildcards.fusion, "fusion")
    return fusion[config["netspace"]["architectures"]["side"]]


def netspace_concept_images(wildcards):
    return f"results/images/{netspace_concept(wildcards)}.h5"


def netspace_architectures(setting):
    return config["netspace"]["architectures"][setting.removesuffix("_architectures")]


def netspace_seen(wildcards):
    """The architectures that a space has trained networks of."""
    names = netspace_architectures(wildcards.setting)
    return [names[0], names[-1]] if wildcards.setting == "unseen_architectures" else names


def netspace_kinds(wildcards):
    names = netspace_architectures(wildcards.setting)
    folder = f"results/netspace/{wildcards.fusion}/networks"
    return {
        "images": netspace_concept_images(wildcards),
        "zoo": zoo_shards(netspace_concept(wildcards)) if "zoo" in names else [],
        "networks": [f"{folder}/{name}.h5" for name in names if name != "zoo"],
    }


def netspace_shapes_space():
    """The settings of the space of shapes: those of the others where it has none of its own."""
    own = config["netspace"]["shapes"]
    keys = ("networks", "inputs", "learning_rate", "loss", "mixed")
    return netspace_space(own["steps"]) | {key: own[key] for key in keys} | {"encoder": "answers"}
