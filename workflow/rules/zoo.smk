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
        concept=all_but([*run.imported, *config["factory"], *run.factories.pruned]),
    # before what needs no zoo, as nearly everything waits for these, the first figure too
    priority: 60
    conda:
        "../envs/zoofuse.yaml"
    threads: half_the_cores
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        code=code_of("train_zoo_shard"),
        training=of(run.training),
        models=of(run.shard_models),
        seed=run.seed,
        # CNNs that are already trained. Not an output, because Snakemake deletes outputs before a job
        # starts.
        store=placed("results/zoo/{concept}/.trained"),
    message:
        "Training CNNs {params.models} of the zoo of {wildcards.concept}"
    script:
        "../scripts/train_zoo_shard.py"


rule import_zoo_shard:
    input:
        local(ancient(of(run.existing_zoo))),
    output:
        "results/zoo/{concept}/shard-{shard}.h5",
    log:
        "<logs>/import_zoo_shard/{concept}-{shard}.log",
    wildcard_constraints:
        concept=only(run.imported),
    conda:
        "../envs/zoofuse.yaml"
    resources:
        **needs(minutes=60),
    params:
        code=code_of("import_zoo_shard"),
        models=of(run.shard_models),
        layers=of(run.layer_names),
        concept_output=of(run.concept_output),
        architecture=config["zoo"]["architecture"],
        unreadable=config["images"]["unreadable"],
        digest=of(run.existing_zoo_digest),
    message:
        "Importing CNNs {params.models} of the zoo of {wildcards.concept}"
    script:
        "../scripts/import_zoo_shard.py"
