# Functions: what a zoo is trained on or read from.


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
