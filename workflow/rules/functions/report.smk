# Functions: what figures, report, measurements and exported models are made from.


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


def shown_predictions(wildcards):
    return evaluation_shards(wildcards.fusion, shown_method(wildcards.fusion))


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


def benched_images(wildcards):
    """The images that zoos are trained on to measure it: those of the first concept that has some."""
    if not trained_concepts():
        raise told(
            "bench_zoo trains CNNs on a concept's images, and every concept here is an existing zoo. Run it with a "
            "configuration whose concepts name images; without --configfile it takes synthetic ones."
        )
    return f"results/images/{trained_concepts()[0]}.h5"


def exported_models():
    """A config.json for each fusion and method that makes CNNs; a baseline is exported when its file is named."""
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
        raise told("Say which images are to be scored: --config predict=FOLDER.")
    return config["predict"]


def predicted_digest(wildcards):
    from zoofuse.export import predict  # here, because pandas takes a while to import

    try:
        return predict.digest(predicted_folder(wildcards))
    except ValueError as error:  # worded for the user
        raise told(error) from None
