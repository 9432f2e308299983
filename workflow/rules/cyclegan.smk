rule train_cyclegan:
    input:
        bank="results/kernels/{fusion}/{layer}.h5",
    output:
        generators="results/cyclegan/{fusion}/{layer}{pair}/generators.h5",
        history="results/cyclegan/{fusion}/{layer}{pair}/history.csv",
    log:
        "<logs>/train_cyclegan/{fusion}-{layer}{pair}.log",
    benchmark:
        "<benchmarks>/train_cyclegan/{fusion}-{layer}{pair}.jsonl"
    wildcard_constraints:
        fusion=all_but(run.imported_fusions),
    conda:
        "../envs/zoofuse.yaml"
    threads: run.threads
    resources:
        **needs(minutes=240, gpu=run.gpus),
    params:
        code=code_of("train_cyclegan"),
        cyclegan=config["cyclegan"],
        domains=of(run.domains),
        seed=run.seed,
        # The state of an unfinished training run. It is not an output, because Snakemake deletes
        # outputs before a job starts.
        state=placed("results/cyclegan/{fusion}/{layer}{pair}/.state.h5"),
    message:
        "Training the CycleGAN of {wildcards.layer}{wildcards.pair} for {wildcards.fusion}"
    script:
        "../scripts/train_cyclegan.py"


use rule call as import_generators with:
    input:
        path=local(of(run.existing_generators)),
    output:
        output="results/cyclegan/{fusion}/{layer}{pair}/generators.h5",
    log:
        "<logs>/import_generators/{fusion}-{layer}{pair}.log",
    wildcard_constraints:
        fusion=only(run.imported_fusions),
    params:
        **calls("importers.imports:import_generators"),
        architecture=of(run.architectures.of_students),
    message:
        "Importing the generators of {wildcards.layer}{wildcards.pair} for {wildcards.fusion}"
