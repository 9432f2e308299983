use rule call as zero_shot_shard with:
    input:
        zoo="results/generated/{fusion}/{method}.h5",
        images="results/test_images/{fusion}.h5",
        concepts=of(run.probe_images),
    output:
        output="results/zero_shot/{fusion}/{method}/shard-{shard}.h5",
    log:
        "<logs>/zero_shot_shard/{fusion}-{method}-{shard}.log",
    benchmark:
        "<benchmarks>/zero_shot_shard/{fusion}-{method}-{shard}.jsonl"
    resources:
        **needs(minutes=60),
    params:
        **calls("evaluation.prediction_jobs:zero_shot_shard"),
        part=of(run.evaluated_part),
        probe_images=config["evaluation"]["zero_shot"]["probe_images"],
        seed=run.seed,
    message:
        "Computing zero-shot predictions of shard {wildcards.shard} of {wildcards.method} on {wildcards.fusion}"


use rule call as zero_shot_references with:
    input:
        unpack(of(run.fusion_zoos)),
        images="results/test_images/{fusion}.h5",
        concepts=of(run.probe_images),
    output:
        output="results/zero_shot/{fusion}/baselines.h5",
    log:
        "<logs>/zero_shot_references/{fusion}.log",
    benchmark:
        "<benchmarks>/zero_shot_references/{fusion}.jsonl"
    threads: half_the_cores
    resources:
        **needs(minutes=60, gpu=run.gpus),
    params:
        **calls("evaluation.prediction_jobs:zero_shot_references"),
        settings=config["evaluation"]["zero_shot"],
        recipe=run.recipe(),
        architecture=of(run.architectures.of_students),
        seed=run.seed,
    message:
        "Computing zero-shot predictions of the parents, baselines and oracle on {wildcards.fusion}"


use rule call as evaluate_references with:
    input:
        images="results/test_images/{fusion}.h5",
    output:
        output="results/evaluation/{fusion}/baselines.h5",
    log:
        "<logs>/evaluate_references/{fusion}.log",
    benchmark:
        "<benchmarks>/evaluate_references/{fusion}.jsonl"
    resources:
        **needs(minutes=30),
    params:
        **calls("evaluation.prediction_jobs:evaluate_references"),
        evaluation=run.evaluation_settings(),
        seed=run.seed,
    message:
        "Evaluating the non-CNN baselines on {wildcards.fusion}"


use rule call as few_shot with:
    input:
        zoos=of(run.generated),
        test_images="results/test_images/{fusion}.h5",
    output:
        table=shown("results/tables/{fusion}/few_shot.csv", "few_shot", "Tables", shows="few_shot"),
        figure=shown("results/figures/{fusion}/few_shot.png", "few_shot", "Answer", shows="few-shot curve"),
    log:
        "<logs>/few_shot/{fusion}.log",
    benchmark:
        "<benchmarks>/few_shot/{fusion}.jsonl"
    resources:
        **needs(minutes=60),
    params:
        **config["evaluation"]["few_shot"],
        **calls("report.prediction_figures:few_shot"),
        variants=config["variants"],
        seed=run.seed,
    message:
        "Fitting few-shot linear probes on {wildcards.fusion}"
