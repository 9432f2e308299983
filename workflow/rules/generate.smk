rule generate:
    input:
        unpack(of(run.method_inputs)),
    output:
        "results/generated/{fusion}/{method}.h5",
    log:
        "<logs>/generate/{fusion}-{method}.log",
    benchmark:
        "<benchmarks>/generate/{fusion}-{method}.jsonl"
    wildcard_constraints:
        method=all_but(run.methods_by_effort("training", "own rule"), then="."),
    conda:
        "../envs/zoofuse.yaml"
    resources:
        **needs(minutes=30),
    params:
        code=of(run.method_code),
        models=of(run.method_count),
        base=of(run.method_base),
        options=of(run.method_options),
        architecture=of(run.architectures.of_students),
        kinds=of(run.architectures.of_zoos),
        seed=run.seed,
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
        method=only(run.methods_by_effort("training")),
    threads: half_the_cores
    resources:
        **needs(minutes=120, gpu=run.gpus),
    message:
        "Training {wildcards.method} CNNs for {wildcards.fusion}"


use rule call as nearest_parent with:
    input:
        unpack(of(run.parents)),
        zoos=of(run.generated),
    output:
        output=shown("results/tables/{fusion}/nearest_parent.csv", "nearest_parent", "Tables", shows="nearest_parent"),
    log:
        "<logs>/nearest_parent/{fusion}.log",
    benchmark:
        "<benchmarks>/nearest_parent/{fusion}.jsonl"
    resources:
        **needs(minutes=60),
    params:
        **calls("evaluation.jobs:nearest_parent"),
        models=config["evaluation"]["nearest_parent"],
    message:
        "Measuring distances to the nearest parent for {wildcards.fusion}"
