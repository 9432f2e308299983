# Functions: the zoos, banks and translators of a fusion, and what its methods make.


def existing_generators(wildcards):
    return existing(config["fusions"][wildcards.fusion]["generators"])


def concepts_of(fusion):
    """Letter -> concept of a fusion."""
    return sides(known(config["fusions"], fusion, "fusion"))


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


def generated_zoos(wildcards):
    """The CNNs of every method of a fusion."""
    methods = known(config["fusions"], wildcards.fusion, "fusion")["methods"]
    return [f"results/generated/{wildcards.fusion}/{method}.h5" for method in methods]


def fusion_parents(wildcards):
    """The zoos that all methods' CNNs come from, as they are compared."""
    return {f"zoo_{side}": shards for side, shards in fusion_zoos(wildcards).items()}
