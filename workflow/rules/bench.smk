# Benchmarks, never part of a normal run: snakemake --cores 2 bench_zoo


rule bench_zoo:
    input:
        images=of(run.benched_images),
    output:
        table="results/bench/zoo_training.csv",
        figure="results/bench/zoo_training.png",
    log:
        "<logs>/bench_zoo.log",
    conda:
        "../envs/zoofuse.yaml"
    threads: run.threads
    resources:
        gpu=run.gpus,
    message:
        "Benchmarking zoo training (up to 5 minutes)"
    script:
        "../scripts/bench_zoo.py"


rule bench_cyclegan:
    output:
        table="results/bench/cyclegan.csv",
        figure="results/bench/cyclegan.png",
    log:
        "<logs>/bench_cyclegan.log",
    conda:
        "../envs/zoofuse.yaml"
    threads: run.threads
    resources:
        gpu=run.gpus,
    message:
        "Benchmarking CycleGAN training (up to 5 minutes)"
    script:
        "../scripts/bench_cyclegan.py"


rule bench_evaluation:
    input:
        images=[f"results/test_images/{fusion}.h5" for fusion in list(config["fusions"])[:1]],
    output:
        table="results/bench/evaluation.csv",
        figure="results/bench/evaluation.png",
    log:
        "<logs>/bench_evaluation.log",
    conda:
        "../envs/zoofuse.yaml"
    threads: run.threads
    params:
        evaluation=run.evaluation_settings(),
    message:
        "Benchmarking evaluation (a few minutes)"
    script:
        "../scripts/bench_evaluation.py"
