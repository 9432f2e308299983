# Distillation (CNNs that learn to predict what both zoos predict) and channel alignment of zoos.


rule align_zoo:
    input:
        zoo=lambda wildcards: fusion_zoo(wildcards, wildcards.side),
        reference=lambda wildcards: fusion_zoo(wildcards, "a"),
    output:
        "results/aligned/{fusion}/{side}.h5",
    log:
        "<logs>/align_zoo/{fusion}-{side}.log",
    wildcard_constraints:
        side="[a-e]",
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Aligning the channels of zoo {wildcards.side} of {wildcards.fusion}"
    script:
        "../scripts/align_zoo.py"


rule distil:
    input:
        unpack(distil_inputs),
    output:
        "results/generated/{fusion}/{method}.h5",
    log:
        "<logs>/distil/{fusion}-{method}.log",
    benchmark:
        "<benchmarks>/distil/{fusion}-{method}.jsonl"
    wildcard_constraints:
        method=only(DISTILLED),
    conda:
        "../envs/zoofuse.yaml"
    threads: config["zoo"]["threads"]
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        models=lambda wildcards: generated_counts(wildcards.fusion)[wildcards.method],
        architecture=config["zoo"]["architecture"],
        seed=config["seed"],
    message:
        "Distilling the zoos of {wildcards.fusion} with {wildcards.method}"
    script:
        "../scripts/distil.py"
