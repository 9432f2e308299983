rule train_zoo_shard:
    input:
        images="results/images/{concept}.h5",
    output:
        "results/zoo/{concept}/shard-{shard}.h5",
    log:
        "<logs>/train_zoo_shard/{concept}-{shard}.log",
    benchmark:
        "<benchmarks>/train_zoo_shard/{concept}-{shard}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    threads: config["zoo"]["threads"]
    resources:
        gpu=gpus(),
        mem_mb=4000,
        runtime=240,
    params:
        training=training_settings,
        models=shard_models,
        seed=config["seed"],
        # CNNs already trained; not an output, because snakemake removes outputs before a job.
        store="results/zoo/{concept}/.trained",
    message:
        "Training CNNs {params.models} of the zoo of {wildcards.concept}"
    script:
        "../scripts/train_zoo_shard.py"
