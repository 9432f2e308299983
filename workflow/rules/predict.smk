# Scores a folder of images with an exported model:
#   snakemake results/predictions/black_cat/cyclegan.csv --config predict=FOLDER

from zoofuse.core.text import printable


rule predict:
    input:
        weights="results/models/{fusion}/{method}/model.safetensors",
        config="results/models/{fusion}/{method}/config.json",
    output:
        scores="results/predictions/{fusion}/{method}.csv",
        unreadable="results/predictions/{fusion}/{method}.unreadable.csv",
        page="results/predictions/{fusion}/{method}.html",
    log:
        "<logs>/predict/{fusion}-{method}.log",
    benchmark:
        "<benchmarks>/predict/{fusion}-{method}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    threads: config["zoo"]["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        folder=predicted_folder,
        # Printed on a terminal, where a file name must not act as an escape sequence.
        shown=lambda wildcards: printable(predicted_folder(wildcards)),
        # Re-runs the job when images are added.
        digest=predicted_digest,
    message:
        "Scoring the images in {params.shown}: results/predictions/{wildcards.fusion}/{wildcards.method}.html"
    script:
        "../scripts/predict.py"


rule bench_predict:
    output:
        "results/bench/predict.csv",
    log:
        "<logs>/bench_predict.log",
    conda:
        "../envs/zoofuse.yaml"
    threads: config["zoo"]["threads"]
    message:
        "Benchmarking prediction (a minute or two)"
    script:
        "../scripts/bench_predict.py"
