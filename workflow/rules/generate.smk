rule generate:
    input:
        unpack(method_inputs),
    output:
        "results/generated/{fusion}/{method}.h5",
    log:
        "<logs>/generate/{fusion}-{method}.log",
    wildcard_constraints:
        method=all_but_methods(methods_by_effort("training") + methods_by_effort("own rule")),
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=method_code,
        models=method_count,
        options=method_options,
        architecture=config["zoo"]["architecture"],
        seed=config["seed"],
    message:
        "Generating CNNs for {wildcards.fusion} with {wildcards.method}"
    script:
        "../scripts/generate.py"


# Methods that train the CNNs they generate: threads, a GPU, hours.
use rule generate as generate_by_training with:
    log:
        "<logs>/generate_by_training/{fusion}-{method}.log",
    benchmark:
        "<benchmarks>/generate_by_training/{fusion}-{method}.jsonl"
    wildcard_constraints:
        method=only(methods_by_effort("training")),
    threads: config["zoo"]["threads"]
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    message:
        "Training {wildcards.method} CNNs for {wildcards.fusion}"


rule nearest_parent:
    input:
        unpack(fusion_parents),
        zoos=generated_zoos,
    output:
        report(
            "results/tables/{fusion}/nearest_parent.csv",
            caption="../report/nearest_parent.rst",
            category="Tables",
            subcategory="{fusion}",
            labels={"shows": "nearest_parent"},
        ),
    log:
        "<logs>/nearest_parent/{fusion}.log",
    benchmark:
        "<benchmarks>/nearest_parent/{fusion}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_of("nearest_parent"),
        models=config["evaluation"]["nearest_parent"],
    message:
        "Measuring distances to the nearest parent for {wildcards.fusion}"
    script:
        "../scripts/nearest_parent.py"
