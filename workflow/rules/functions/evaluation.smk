# Functions: which CNNs are evaluated, and the tables made from that.


def evaluation_ranges(fusion, method):
    """Shard name -> (start, stop) among the evaluated CNNs of a method, domain after domain."""
    each = generated_counts(fusion)[method]
    domains = registry.get(method).domains
    return shard_ranges(domains * min(each, evaluated_limit(method) or each), config["evaluation"]["shard_size"])


def evaluation_shards(fusion, method):
    return [f"results/evaluation/{fusion}/{method}/shard-{shard}.h5" for shard in evaluation_ranges(fusion, method)]


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


def evaluated_shards(wildcards):
    """What the CNNs of every method of a fusion predict by the published and the held-out protocol."""
    methods = known(config["fusions"], wildcards.fusion, "fusion")["methods"]
    return [shard for method in methods for shard in evaluation_shards(wildcards.fusion, method)]


def fusion_tables(fusion):
    rows = [f"{prefix}{clusterer}" for prefix in ("", "held_out_") for clusterer in CLUSTERERS]
    replicates = REPLICATE_TABLES if config["replicates"] else []
    names = [*LEADERBOARD_TABLES, *replicates, "few_shot", "nearest_parent", *rows, "summary"]
    return [f"results/tables/{fusion}/{name}.csv" for name in names]


def evaluated_limit(method):
    """The setting that bounds how many of a method's CNNs are evaluated; None for all."""
    return config["evaluation"]["models" if registry.get(method).is_generated else "baselines"]


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


@functools.cache
def foreign_files(fusion):
    """Name -> file of somebody else's predictions for a fusion's test images, looked through."""
    known(config["fusions"], fusion, "fusion")
    try:
        return foreign_predictions.find(fusion)
    except ValueError as error:  # worded for the user
        refuse(error)


def leaderboard_inputs(wildcards):
    """The predictions of every method, baseline and foreign classifier of a fusion."""
    foreign = [f"results/foreign/{wildcards.fusion}/{name}.h5" for name in foreign_files(wildcards.fusion)]
    return own_predictions(wildcards) + foreign


def own_predictions(wildcards):
    """The predictions of every method and baseline of a fusion."""
    fusion = wildcards.fusion
    methods = known(config["fusions"], fusion, "fusion")["methods"]
    return [
        *evaluated_shards(wildcards),
        f"results/evaluation/{fusion}/baselines.h5",
        *(shard for method in methods for shard in zero_shot_shards(fusion, method)),
        f"results/zero_shot/{fusion}/baselines.h5",
    ]


def replicate_inputs(wildcards):
    """What the leaderboard is made from, of this run and then of each run in `replicates`, folder after folder."""
    inputs = own_predictions(wildcards)  # foreign classifiers have seen the test images of one run
    for folder in config["replicates"]:
        there = [os.path.join(folder, path) for path in own_predictions(wildcards)]
        if missing := [path for path in there if not os.path.exists(path)]:
            warn(
                f"replicates: {folder} lacks {os.path.relpath(missing[0], folder)}. Make it first, with the same "
                f"settings and another seed: snakemake tables --directory {folder} --config seed=NUMBER ..."
            )
        inputs += there
    return inputs


def searched_methods(wildcards):
    methods = known(config["fusions"], wildcards.fusion, "fusion")["methods"]
    return [f"results/evaluation/{wildcards.fusion}/{method}/search.csv" for method in methods]
