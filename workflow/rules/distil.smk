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
    params:
        code=code_of("align_zoo"),
    message:
        "Aligning the channels of zoo {wildcards.side} of {wildcards.fusion}"
    script:
        "../scripts/align_zoo.py"


rule distil:
    input:
        unpack(method_inputs),
    output:
        "results/generated/{fusion}/{method}.h5",
    log:
        "<logs>/distil/{fusion}-{method}.log",
    benchmark:
        "<benchmarks>/distil/{fusion}-{method}.jsonl"
    wildcard_constraints:
        method=only(methods_by_effort("training")),
    conda:
        "../envs/zoofuse.yaml"
    threads: config["zoo"]["threads"]
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=method_code,
        models=method_count,
        options=method_options,
        architecture=config["zoo"]["architecture"],
        seed=config["seed"],
    message:
        "Training {wildcards.method} CNNs for {wildcards.fusion}"
    script:
        "../scripts/generate.py"
