# Scores a folder of images with an exported model:
#   snakemake results/predictions/black_cat/cyclegan.csv --config predict=FOLDER


use rule call as predict with:
    input:
        weights="results/models/{fusion}/{method}/model.safetensors",
        config="results/models/{fusion}/{method}/config.json",
        made=of(run.goals.scored_inputs),
    output:
        scores="results/predictions/{fusion}/{method}.csv",
        unreadable="results/predictions/{fusion}/{method}.unreadable.csv",
        page="results/predictions/{fusion}/{method}.html",
    log:
        "<logs>/predict/{fusion}-{method}.log",
    benchmark:
        "<benchmarks>/predict/{fusion}-{method}.jsonl"
    threads: run.threads
    resources:
        **needs(minutes=240),
    params:
        **calls("export.jobs:predict"),
        folder=of(run.goals.scored),
        # Printed on a terminal, where a file name must not act as an escape sequence.
        shown=of(lambda: text.printable(run.goals.scored())),
        # Re-runs the job when images are added.
        digest=of(run.goals.scored_digest),
    message:
        "Scoring the images in {params.shown}: results/predictions/{wildcards.fusion}/{wildcards.method}.html"


use rule call as bench_predict with:
    output:
        table="results/bench/predict.csv",
    log:
        "<logs>/bench_predict.log",
    threads: run.threads
    params:
        **calls("benchmarks.jobs:predict"),
    message:
        "Benchmarking prediction (a minute or two)"
