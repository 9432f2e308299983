# Functions: NetSpace, for fusions of two concepts.

NETSPACE_SETTINGS = [
    "one_architecture",
    "interpolation",
    "latent_optimisation",
    "several_architectures",
    "unseen_architectures",
]


def netspace_images(wildcards):
    """The images of both concepts, "a" first; answers are compared on them, so an existing zoo alone won't do."""
    if len(concepts_of(wildcards.fusion)) > 2:
        raise told(f"NetSpace joins two concepts, and {wildcards.fusion} has more: name a fusion of two.")
    images = fusion_images(wildcards)
    if len(images) < 2:
        raise told("NetSpace compares answers to images: write positive and negative for both concepts.")
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
    return concepts_of(wildcards.fusion)[config["netspace"]["architectures"]["side"]]


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
