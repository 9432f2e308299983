rule zoo_figures:
    input:
        [shard for concept in trained_concepts() for shard in zoo_shards(concept)],
    output:
        table="results/tables/zoo.csv",
        histogram="results/figures/zoo_histogram.png",
        curves="results/figures/zoo_curves.png",
    log:
        "<logs>/zoo_figures.log",
    conda:
        "../envs/zoofuse.yaml"
    message:
        "Table and figures of the zoos"
    script:
        "../scripts/zoo_figures.py"


rule example_figure:
    input:
        concepts=[f"results/images/{concept}.h5" for concept in trained_concepts()],
        tests=[f"results/test_images/{fusion}.h5" for fusion in config["fusions"]],
    output:
        "results/figures/examples.png",
    log:
        "<logs>/example_figure.log",
    conda:
        "../envs/zoofuse.yaml"
    message:
        "Contact sheet of the images"
    script:
        "../scripts/example_figure.py"


rule method_figure:
    input:
        tables=[f"results/tables/{{fusion}}/{clusterer}.csv" for clusterer in CLUSTERERS],
        published=published_rows,
    output:
        "results/figures/{fusion}/methods.png",
    log:
        "<logs>/method_figure/{fusion}.log",
    conda:
        "../envs/zoofuse.yaml"
    message:
        "Figure of all methods on {wildcards.fusion}"
    script:
        "../scripts/method_figure.py"


rule kernel_figure:
    input:
        bank="results/kernels/{fusion}/{layer}.h5",
        generated="results/generated/{fusion}/cyclegan.h5",
    output:
        "results/figures/{fusion}/kernels_{layer}.png",
    log:
        "<logs>/kernel_figure/{fusion}-{layer}.log",
    conda:
        "../envs/zoofuse.yaml"
    params:
        names=fusion_sides,
    message:
        "Figure of {wildcards.layer} kernels before and after translation"
    script:
        "../scripts/kernel_figure.py"


rule cyclegan_figure:
    input:
        histories=[f"results/cyclegan/{{fusion}}/{layer}/history.csv" for layer in LAYERS],
    output:
        "results/figures/{fusion}/cyclegan.png",
    log:
        "<logs>/cyclegan_figure/{fusion}.log",
    conda:
        "../envs/zoofuse.yaml"
    message:
        "Figure of the CycleGANs' training"
    script:
        "../scripts/cyclegan_figure.py"


rule shown_figures:
    input:
        table="results/tables/{fusion}/kmeans.csv",
        arrays=shown_arrays,
        zoo=shown_zoo,
        images="results/test_images/{fusion}.h5",
    output:
        **{
            f"{kind}_{which}": f"results/figures/{{fusion}}/{kind}_{which}.png"
            for kind in ("umap", "tsne", "cosine")
            for which in ("median", "picked")
        },
    log:
        "<logs>/shown_figures/{fusion}.log",
    conda:
        "../envs/zoofuse.yaml"
    params:
        tsne=config["evaluation"]["tsne"],
    message:
        "Embeddings and cosine similarity of two CNNs of {wildcards.fusion}"
    script:
        "../scripts/shown_figures.py"
