# Benchmarks, never part of a normal run: snakemake --cores 2 bench_zoo


use rule call as bench_zoo with:
    input:
        images=of(run.benched_images),
    output:
        table="results/bench/zoo_training.csv",
        figure="results/bench/zoo_training.png",
    log:
        "<logs>/bench_zoo.log",
    threads: run.threads
    resources:
        gpu=run.gpus,
    params:
        **calls("benchmarks.jobs:zoo"),
    message:
        "Benchmarking zoo training (some 5 minutes)"


use rule call as bench_cyclegan with:
    output:
        table="results/bench/cyclegan.csv",
        figure="results/bench/cyclegan.png",
    log:
        "<logs>/bench_cyclegan.log",
    threads: run.threads
    resources:
        gpu=run.gpus,
    params:
        **calls("benchmarks.jobs:cyclegan"),
    message:
        "Benchmarking CycleGAN training (up to 5 minutes)"


use rule call as bench_evaluation with:
    input:
        images=[f"results/test_images/{fusion}.h5" for fusion in list(config["fusions"])[:1]],
    output:
        table="results/bench/evaluation.csv",
        figure="results/bench/evaluation.png",
    log:
        "<logs>/bench_evaluation.log",
    threads: run.threads
    params:
        **calls("benchmarks.jobs:evaluation"),
        evaluation=run.evaluation_settings(),
    message:
        "Benchmarking evaluation (a few minutes)"
