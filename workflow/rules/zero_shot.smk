rule zero_shot_shard:
    input:
        zoo="results/generated/{fusion}/{method}.h5",
        images="results/test_images/{fusion}.h5",
        concepts=zero_shot_concepts,
    output:
        "results/zero_shot/{fusion}/{method}/shard-{shard}.h5",
    log:
        "<logs>/zero_shot_shard/{fusion}-{method}-{shard}.log",
    benchmark:
        "<benchmarks>/zero_shot_shard/{fusion}-{method}-{shard}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_of("zero_shot_shard"),
        part=evaluated_part,
        probe_images=config["evaluation"]["zero_shot"]["probe_images"],
        seed=config["seed"],
    message:
        "Computing zero-shot predictions of shard {wildcards.shard} of {wildcards.method} on {wildcards.fusion}"
    script:
        "../scripts/zero_shot_shard.py"


rule zero_shot_references:
    input:
        unpack(fusion_zoos),
        images="results/test_images/{fusion}.h5",
        concepts=zero_shot_concepts,
    output:
        "results/zero_shot/{fusion}/baselines.h5",
    log:
        "<logs>/zero_shot_references/{fusion}.log",
    benchmark:
        "<benchmarks>/zero_shot_references/{fusion}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    threads: config["zoo"]["threads"]
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_of("zero_shot_references"),
        probe_images=config["evaluation"]["zero_shot"]["probe_images"],
        supervised=config["evaluation"]["zero_shot"]["supervised"],
        training=supervised_settings(),
        seed=config["seed"],
    message:
        "Computing zero-shot predictions of the parents, baselines and oracle on {wildcards.fusion}"
    script:
        "../scripts/zero_shot_references.py"


rule evaluate_references:
    input:
        images="results/test_images/{fusion}.h5",
    output:
        "results/evaluation/{fusion}/baselines.h5",
    log:
        "<logs>/evaluate_references/{fusion}.log",
    benchmark:
        "<benchmarks>/evaluate_references/{fusion}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_of("evaluate_references"),
        evaluation=evaluation_settings,
        seed=config["seed"],
    message:
        "Evaluating the non-CNN baselines on {wildcards.fusion}"
    script:
        "../scripts/evaluate_references.py"


rule few_shot:
    input:
        zoos=generated_zoos,
        images="results/test_images/{fusion}.h5",
    output:
        table=report(
            "results/tables/{fusion}/few_shot.csv",
            caption="../report/few_shot.rst",
            category="Tables",
            subcategory="{fusion}",
            labels={"shows": "few_shot"},
        ),
        figure=report(
            "results/figures/{fusion}/few_shot.png",
            caption="../report/few_shot.rst",
            category="Answer",
            subcategory="{fusion}",
            labels={"shows": "few-shot curve"},
        ),
    log:
        "<logs>/few_shot/{fusion}.log",
    benchmark:
        "<benchmarks>/few_shot/{fusion}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        **config["evaluation"]["few_shot"],
        code=code_of("few_shot"),
        seed=config["seed"],
    message:
        "Fitting few-shot linear probes on {wildcards.fusion}"
    script:
        "../scripts/few_shot.py"
