use rule call as zoo_figures with:
    input:
        shards=run.zoos(run.trained),
    output:
        table=report("results/tables/zoo.csv", caption="../report/zoo.rst", category="Zoo", labels={"shows": "table"}),
        histogram=report(
            "results/figures/zoo_histogram.png",
            caption="../report/zoo_histogram.rst",
            category="Zoo",
            labels={"shows": "final balanced accuracy"},
        ),
        curves=report(
            "results/figures/zoo_curves.png",
            caption="../report/zoo_curves.rst",
            category="Zoo",
            labels={"shows": "training curves"},
        ),
    log:
        "<logs>/zoo_figures.log",
    params:
        **calls("report.jobs:zoo_figures"),
    message:
        "Writing the table and plotting the figures of the zoos"


use rule call as example_figure with:
    input:
        concepts=[f"results/images/{concept}.h5" for concept in run.trained],
        tests=[f"results/test_images/{fusion}.h5" for fusion in config["fusions"]],
    output:
        output=report(
            "results/figures/examples.png",
            caption="../report/examples.rst",
            category="Images",
            labels={"shows": "examples"},
        ),
    log:
        "<logs>/example_figure.log",
    params:
        **calls("report.jobs:example_figure"),
    message:
        "Plotting example images"


use rule call as method_figure with:
    input:
        tables=[f"results/tables/{{fusion}}/{clusterer}.csv" for clusterer in CLUSTERERS],
        published=of(run.published),
    output:
        output=report(
            "results/figures/{fusion}/methods.png",
            caption="../report/methods.rst",
            category="Answer",
            subcategory="{fusion}",
            labels={"shows": "all methods, as published"},
        ),
    log:
        "<logs>/method_figure/{fusion}.log",
    params:
        **calls("report.jobs:method_figure"),
    message:
        "Plotting all methods on {wildcards.fusion}"


use rule call as kernel_figure with:
    input:
        bank="results/kernels/{fusion}/{layer}.h5",
        generated="results/generated/{fusion}/cyclegan.h5",
    output:
        output=report(
            "results/figures/{fusion}/kernels_{layer}.png",
            caption="../report/kernels.rst",
            category="Kernels",
            subcategory="{fusion}",
            labels={"shows": "{layer}"},
        ),
    log:
        "<logs>/kernel_figure/{fusion}-{layer}.log",
    params:
        **calls("report.jobs:kernel_figure"),
        names=of(run.fusion_concepts),
    message:
        "Plotting {wildcards.layer} kernels before and after translation"


use rule call as cyclegan_figure with:
    input:
        histories=of(run.histories),
    output:
        output=report(
            "results/figures/{fusion}/cyclegan.png",
            caption="../report/cyclegan.rst",
            category="CycleGAN",
            subcategory="{fusion}",
            labels={"shows": "losses and measures"},
        ),
    log:
        "<logs>/cyclegan_figure/{fusion}.log",
    params:
        **calls("report.jobs:cyclegan_figure"),
    message:
        "Plotting CycleGAN training curves"


rule shown_figures:
    input:
        leaderboard="results/tables/{fusion}/leaderboard.csv",
        predictions=of(run.shown_predictions),
        zoo=of(run.shown_zoo),
        images="results/test_images/{fusion}.h5",
    output:
        **{
            f"{kind}_{which}": report(
                f"results/figures/{{fusion}}/{kind}_{which}.png",
                caption=f"../report/{'cosine' if kind == 'cosine' else 'embedding'}.rst",
                category="Test images",
                subcategory="{fusion}",
                labels={"shows": kind, "CNN": which},
            )
            for kind in ("umap", "tsne", "cosine")
            for which in ("selected", "median")
        },
        shown="results/figures/{fusion}/shown.h5",
    log:
        "<logs>/shown_figures/{fusion}.log",
    conda:
        "../envs/zoofuse.yaml"
    params:
        code=code_of("shown_figures"),
        tsne=config["evaluation"]["tsne"],
    message:
        "Plotting embeddings and cosine similarities of two CNNs of {wildcards.fusion}"
    script:
        "../scripts/shown_figures.py"
