use rule call as evaluate_shard with:
    input:
        zoo="results/generated/{fusion}/{method}.h5",
        images="results/test_images/{fusion}.h5",
    output:
        output="results/evaluation/{fusion}/{method}/shard-{shard}.h5",
    log:
        "<logs>/evaluate_shard/{fusion}-{method}-{shard}.log",
    benchmark:
        "<benchmarks>/evaluate_shard/{fusion}-{method}-{shard}.jsonl"
    resources:
        **needs(minutes=120),
    params:
        **calls("evaluation.prediction_jobs:evaluate_shard"),
        part=of(run.evaluated_part),
        held_out=of(run.held_out),
        evaluation=run.evaluation_settings(),
        seed=run.seed,
    message:
        "Evaluating shard {wildcards.shard} of {wildcards.method} on {wildcards.fusion}"


use rule call as clusterer_tables with:
    input:
        predictions=of(run.evaluated),
    output:
        **{
            name: shown(f"results/tables/{{fusion}}/{name}.csv", "clusterer", "Tables", shows=name)
            for clusterer in CLUSTERERS
            for name in (clusterer, f"held_out_{clusterer}")
        },
        summary="results/tables/{fusion}/summary.csv",
    log:
        "<logs>/clusterer_tables/{fusion}.log",
    params:
        **calls("evaluation.jobs:clusterer_tables"),
    message:
        "Writing the tables of {wildcards.fusion}, clusterer by clusterer"


use rule call as list_test_images with:
    input:
        images="results/test_images/{fusion}.h5",
    output:
        table="results/test_images/{fusion}.csv",
        folder=directory("results/test_images/{fusion}"),
    log:
        "<logs>/list_test_images/{fusion}.log",
    params:
        **calls("evaluation.prediction_jobs:list_test_images"),
        seed=run.seed,
    message:
        "Listing the test images of {wildcards.fusion} for other classifiers: results/test_images/{wildcards.fusion}.csv"


use rule call as import_predictions with:
    input:
        # read where it lies, also with remote storage
        scores=lambda wildcards: local(of(run.foreign_file)(wildcards)),
        images="results/test_images/{fusion}.h5",
    output:
        output="results/foreign/{fusion}/{name}.h5",
    log:
        "<logs>/import_predictions/{fusion}-{name}.log",
    wildcard_constraints:
        name=NAME,
    # A file that does not fit should be reported before any CNN is trained.
    priority: 100
    params:
        **calls("evaluation.prediction_jobs:import_predictions"),
        seed=run.seed,
    message:
        "Importing the predictions of {wildcards.name} on {wildcards.fusion}"
