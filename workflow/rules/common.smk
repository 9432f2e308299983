# Functions only: what follows from the configuration, and what each stage depends on.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# The package needs no installation; snakemake hands this path on to every script.
sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "src"))

from zoofuse import imports
from zoofuse.checks import check_folders, count_zoos, folders_digest
from zoofuse.config import complete, is_overlay

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"  # equal to the schema's $defs.name
LAYERS = ["conv1", "conv2"]
CLUSTERERS = ["kmeans", "dbscan", "one_class_svm"]


def default_config():
    """What lies under a configuration whose concepts name no images: photographs if it says where they are, else drawn ones."""
    name = "photos.yaml" if "images_root" in config else "config.yaml"
    return str(Path(workflow.basedir) / "config" / name)


def checked(config):
    """The configuration with its defaults, and its folders looked at, so that a fault shows before any job starts."""
    try:
        config = complete(config)
        count_zoos(config)
        if workflow.is_main_process:
            check_folders(config)
    except ValueError as error:  # worded for the user
        raise WorkflowError(str(error)) from None
    return config


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
    return picture_source(known(config["concepts"], wildcards.concept, "concept")) | settings


def test_source(wildcards):
    settings = {key: config["images"][key] for key in ("unreadable", "duplicates", "leaks")}
    return picture_source(known(config["fusions"], wildcards.fusion, "fusion")["test"]) | settings


def picture_inputs(place):
    """What a place's pictures come from: folders, whose content `picture_source` tells, or an archive."""
    if place["source"] == "torchvision":
        return {"archive": f"resources/downloads/{place['dataset']}.tar.gz"}
    if place["source"] == "folder":
        return {
            "folders": [ancient(str(Path(config["images_root"]) / f)) for f in place["positive"] + place["negative"]]
        }
    return {}


def concept_pictures(wildcards):
    return picture_inputs(known(config["concepts"], wildcards.concept, "concept"))


def test_pictures(wildcards):
    return picture_inputs(known(config["fusions"], wildcards.fusion, "fusion")["test"])


def fusion_images(wildcards):
    """The images of a fusion's concepts; an existing zoo brings none."""
    fusion = known(config["fusions"], wildcards.fusion, "fusion")
    return [f"results/images/{fusion[side]}.h5" for side in "ab" if fusion[side] in trained_concepts()]


def known(named, name, what):
    if name not in named:
        raise WorkflowError(f"There is no {what} {name!r} in the configuration; it has {', '.join(named) or 'none'}.")
    return named[name]


def trained_concepts():
    return [name for name, concept in config["concepts"].items() if "zoo" not in concept]


def only(names):
    """A wildcard constraint that holds for these names only."""
    return "|".join(names) or r"(?!)"


def all_but(names):
    """A wildcard constraint that holds for every other name, so that an unknown one is refused in words."""
    return rf"(?!(?:{only(names)})/){NAME}"


def imported_concepts():
    return [name for name in config["concepts"] if name not in trained_concepts()]


def imported_fusions():
    return [name for name, fusion in config["fusions"].items() if "generators" in fusion]


# Zoo


def existing(path):
    """A path under zoo_root."""
    return str(Path(config["zoo_root"]) / path)


def existing_zoo(wildcards):
    return existing(config["concepts"][wildcards.concept]["zoo"])


def existing_zoo_digest(wildcards):
    """So that a changed zoo is read again."""
    return imports.digest(existing_zoo(wildcards), range(*shard_models(wildcards)))


def zoo_shards(concept):
    ranges = shard_ranges(config["concepts"][concept]["models"], config["zoo"]["shard_size"])
    return [f"results/zoo/{concept}/shard-{shard}.h5" for shard in ranges]


def shard_models(wildcards):
    """[start, stop) of a zoo shard's global indices."""
    concept = known(config["concepts"], wildcards.concept, "concept")
    ranges = shard_ranges(concept["models"], config["zoo"]["shard_size"])
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


def zoo_of(side):
    return lambda wildcards: zoo_shards(known(config["fusions"], wildcards.fusion, "fusion")[side])


def method_inputs(wildcards):
    """What a method makes its CNNs from."""
    fusion, method = wildcards.fusion, wildcards.method
    if method == "cyclegan":
        return {
            "banks": [f"results/kernels/{fusion}/{layer}.h5" for layer in LAYERS],
            "generators": [f"results/cyclegan/{fusion}/{layer}/generators.h5" for layer in LAYERS],
        }
    if method in ("parent_a", "parent_b"):
        return {"zoo": zoo_of(method[-1])(wildcards)}
    return {}


def generated_counts(fusion):
    """Method -> number of CNNs it makes for a fusion."""
    known(config["fusions"], fusion, "fusion")
    sizes = {side: config["concepts"][config["fusions"][fusion][side]]["models"] for side in "ab"}
    n = min(sizes.values())
    return {"cyclegan": 2 * n, "random": n, "parent_a": sizes["a"], "parent_b": sizes["b"]}


def random_count(wildcards):
    """The number of random CNNs, and nothing where the method is another."""
    return generated_counts(wildcards.fusion)["random"] if wildcards.method == "random" else None


def evaluation_limit(method):
    """Evaluate at most so many CNNs of each domain; None for all."""
    return config["evaluation"]["models" if method == "cyclegan" else "controls"]


def evaluation_ranges(fusion, method):
    domains = 2 if method == "cyclegan" else 1
    each = generated_counts(fusion)[method] // domains
    return shard_ranges(domains * min(each, evaluation_limit(method) or each), config["evaluation"]["shard_size"])


def evaluation_shards(fusion, method):
    return [f"results/evaluation/{fusion}/{method}/shard-{shard}" for shard in evaluation_ranges(fusion, method)]


def evaluated_part(wildcards):
    """Which CNNs of a method a shard evaluates, for `evaluation.part`."""
    ranges = evaluation_ranges(wildcards.fusion, wildcards.method)
    start, stop = known(ranges, wildcards.shard, f"evaluation shard of {wildcards.method}")
    return {"limit": evaluation_limit(wildcards.method), "start": start, "stop": stop}


def evaluation_settings(wildcards):
    return {key: config["evaluation"][key] for key in ("embeddings", "umap", "tsne", *CLUSTERERS)}


def fusion_rows(wildcards, suffix=".csv"):
    fusion = known(config["fusions"], wildcards.fusion, "fusion")
    methods = fusion["methods"]
    return [f"{shard}{suffix}" for method in methods for shard in evaluation_shards(wildcards.fusion, method)]


def fusion_tables(fusion):
    return [f"results/tables/{fusion}/{name}.csv" for name in (*CLUSTERERS, "summary")]


# Figures and report


def fusion_sides(wildcards):
    fusion = known(config["fusions"], wildcards.fusion, "fusion")
    return [fusion["a"], fusion["b"]]


def published_table(clusterer):
    return str(Path(workflow.basedir) / "resources" / "published" / f"{clusterer}.csv")


def published_rows(wildcards):
    """The published tables, where the fusion is the published one."""
    return [published_table(c) for c in CLUSTERERS] if fusion_sides(wildcards) == ["black", "cat"] else []


def shown_method(fusion):
    """The method whose CNNs the figures look at: the first that generates."""
    return known(config["fusions"], fusion, "fusion")["methods"][0]


def shown_arrays(wildcards):
    return [f"{shard}.h5" for shard in evaluation_shards(wildcards.fusion, shown_method(wildcards.fusion))]


def shown_zoo(wildcards):
    return f"results/generated/{wildcards.fusion}/{shown_method(wildcards.fusion)}.h5"


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
        figures = [
            "methods",
            *(f"{kind}_{which}" for kind in ("umap", "tsne", "cosine") for which in ("median", "picked")),
        ]
        if "cyclegan" in fusion["methods"]:
            figures += [f"kernels_{layer}" for layer in LAYERS]
        if "cyclegan" in fusion["methods"] and "generators" not in fusion:
            figures.append("cyclegan")
            inputs[f"histories_{name}"] = [f"results/cyclegan/{name}/{layer}/generators.h5" for layer in LAYERS]
        inputs[f"figures_{name}"] = [f"results/figures/{name}/{figure}.png" for figure in figures]
        inputs[f"tables_{name}"] = [f"results/tables/{name}/{clusterer}.csv" for clusterer in CLUSTERERS]
        inputs[f"summary_{name}"] = f"results/tables/{name}/summary.csv"
        if (fusion["a"], fusion["b"]) == ("black", "cat"):
            inputs[f"published_{name}"] = [f"results/tables/{name}/published_{c}.csv" for c in CLUSTERERS]
    return inputs
