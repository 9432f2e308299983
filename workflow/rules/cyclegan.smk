rule train_cyclegan:
    input:
        bank=lambda wildcards: f"results/kernels/{wildcards.fusion}/{wildcards.translator.split('-')[0]}.h5",
    output:
        generators="results/cyclegan/{fusion}/{translator}/generators.h5",
        history="results/cyclegan/{fusion}/{translator}/history.csv",
    log:
        "<logs>/train_cyclegan/{fusion}-{translator}.log",
    benchmark:
        "<benchmarks>/train_cyclegan/{fusion}-{translator}.jsonl"
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
        seed=run.seed,
        # The state of an unfinished training run. It is not an output, because Snakemake deletes
        # outputs before a job starts.
        state="results/cyclegan/{fusion}/{translator}/.state.h5",
    message:
        "Training the CycleGAN of {wildcards.translator} for {wildcards.fusion}"
    script:
        "../scripts/train_cyclegan.py"


rule import_generators:
    input:
        local(of(run.existing_generators)),
    output:
        "results/cyclegan/{fusion}/{translator}/generators.h5",
    log:
        "<logs>/import_generators/{fusion}-{translator}.log",
    wildcard_constraints:
        fusion=only(run.imported_fusions),
    conda:
        "../envs/zoofuse.yaml"
    params:
        code=code_of("import_generators"),
        architecture=config["zoo"]["architecture"],
    message:
        "Importing the generators of {wildcards.translator} for {wildcards.fusion}"
    script:
        "../scripts/import_generators.py"
