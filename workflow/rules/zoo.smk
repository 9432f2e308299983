rule train_zoo_shard:
    input:
        images="results/images/{concept}.h5",
    output:
        "results/zoo/{concept}/shard-{shard}.h5",
    log:
        "<logs>/train_zoo_shard/{concept}-{shard}.log",
    benchmark:
        "<benchmarks>/train_zoo_shard/{concept}-{shard}.jsonl"
    wildcard_constraints:
        concept=all_but(imported_concepts()),
    conda:
        "../envs/zoofuse.yaml"
    threads: config["zoo"]["threads"]
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=code_of("train_zoo_shard"),
        training=training_settings,
        models=shard_models,
        seed=config["seed"],
        # CNNs that are already trained. Not an output, because Snakemake deletes outputs before a job
        # starts.
        store="results/zoo/{concept}/.trained",
    message:
        "Training CNNs {params.models} of the zoo of {wildcards.concept}"
    script:
        "../scripts/train_zoo_shard.py"


rule import_zoo_shard:
    input:
        local(ancient(existing_zoo)),
    output:
        "results/zoo/{concept}/shard-{shard}.h5",
    log:
        "<logs>/import_zoo_shard/{concept}-{shard}.log",
    wildcard_constraints:
        concept=only(imported_concepts()),
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_of("import_zoo_shard"),
        models=shard_models,
        layers=lambda wildcards: config["concepts"][wildcards.concept].get("layers", {}),
        concept_output=lambda wildcards: config["concepts"][wildcards.concept].get("concept_output", 0),
        architecture=config["zoo"]["architecture"],
        unreadable=config["images"]["unreadable"],
        digest=existing_zoo_digest,
    message:
        "Importing CNNs {params.models} of the zoo of {wildcards.concept}"
    script:
        "../scripts/import_zoo_shard.py"
