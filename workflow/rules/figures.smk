use rule call as zoo_figures with:
    input:
        shards=run.zoos(run.trained),
    output:
        table=shown("results/tables/zoo.csv", "zoo", "Zoo", shows="table"),
        histogram=shown("results/figures/zoo_histogram.png", "zoo_histogram", "Zoo", shows="final balanced accuracy"),
        curves=shown("results/figures/zoo_curves.png", "zoo_curves", "Zoo", shows="training curves"),
    log:
        "<logs>/zoo_figures.log",
    # as soon as the zoos are trained, so that there is a figure to look at in the first minute or two
    priority: 90
    params:
        **calls("report.jobs:zoo_figures"),
    message:
        "Writing the zoos' table and first figures, such as results/figures/zoo_histogram.png"


use rule call as example_figure with:
    input:
        concepts=[f"results/images/{concept}.h5" for concept in run.trained],
        tests=[f"results/test_images/{fusion}.h5" for fusion in config["fusions"]],
    output:
        output=shown("results/figures/examples.png", "examples", "Images", shows="examples"),
    log:
        "<logs>/example_figure.log",
    params:
        **calls("report.jobs:example_figure"),
    message:
        "Plotting example images"


use rule call as suspects_figure with:
    input:
        unpack(of(run.images.judges)),
        images=of(run.images.of_fusion),
    output:
        table="results/tables/{fusion}/suspects.csv",
        figure=shown("results/figures/{fusion}/suspects.png", "suspects", "Images", shows="suspects"),
    log:
        "<logs>/suspects_figure/{fusion}.log",
    params:
        **calls("report.prediction_figures:suspects_figure"),
        names=of(run.fusion_concepts),
    message:
        "Plotting the images of {wildcards.fusion} that may show the conjunction"


use rule call as orders_figure with:
    input:
        zoo=of(run.shown_zoo),
        images="results/test_images/{fusion}.h5",
    output:
        table="results/tables/{fusion}/orders.csv",
        figure=shown("results/figures/{fusion}/orders.png", "orders", "Figures", shows="orders of the test images"),
    log:
        "<logs>/orders_figure/{fusion}.log",
    resources:
        **needs(minutes=120),
    params:
        **calls("report.prediction_figures:orders_figure"),
        models=config["evaluation"]["orders"]["models"],
        orders=config["evaluation"]["orders"]["orders"],
        evaluation=run.evaluation_settings(),
        seed=run.seed,
    message:
        "Evaluating CNNs of {wildcards.fusion} with the test images in other orders"


use rule call as method_figure with:
    input:
        tables=[f"results/tables/{{fusion}}/{clusterer}.csv" for clusterer in CLUSTERERS],
        published=local(of(run.published)),
    output:
        output=shown("results/figures/{fusion}/methods.png", "methods", "Answer", shows="all methods, as published"),
    log:
        "<logs>/method_figure/{fusion}.log",
    params:
        **calls("report.jobs:method_figure"),
        variants=config["variants"],
    message:
        "Plotting all methods on {wildcards.fusion}"


use rule call as kernel_figure with:
    input:
        bank="results/kernels/{fusion}/{layer}.h5",
        generated="results/generated/{fusion}/cyclegan.h5",
    output:
        output=shown("results/figures/{fusion}/kernels_{layer}.png", "kernels", "Kernels", shows="{layer}"),
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
        output=shown("results/figures/{fusion}/cyclegan.png", "cyclegan", "CycleGAN", shows="losses and measures"),
    log:
        "<logs>/cyclegan_figure/{fusion}.log",
    params:
        **calls("report.jobs:cyclegan_figure"),
    message:
        "Plotting CycleGAN training curves"


use rule call as shown_figures with:
    input:
        leaderboard="results/tables/{fusion}/leaderboard.csv",
        predictions=of(run.shown_predictions),
        zoo=of(run.shown_zoo),
        images="results/test_images/{fusion}.h5",
    output:
        **{
            f"{kind}_{which}": shown(
                f"results/figures/{{fusion}}/{kind}_{which}.png",
                "cosine" if kind == "cosine" else "embedding",
                "Test images",
                shows=kind,
                CNN=which,
            )
            for kind in ("umap", "tsne", "cosine")
            for which in ("selected", "median")
        },
        shown="results/figures/{fusion}/shown.h5",
    log:
        "<logs>/shown_figures/{fusion}.log",
    params:
        **calls("report.jobs:shown_figures"),
        variants=config["variants"],
        tsne=config["evaluation"]["tsne"],
    message:
        "Plotting embeddings and cosine similarities of two CNNs of {wildcards.fusion}"
