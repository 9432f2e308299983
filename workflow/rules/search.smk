# Not part of a normal run: snakemake --cores 2 results/tables/{fusion}/search.csv


use rule call as search with:
    input:
        zoo="results/generated/{fusion}/{method}.h5",
        images="results/test_images/{fusion}.h5",
        concepts=of(run.probe_images),
    output:
        output="results/evaluation/{fusion}/{method}/search.csv",
    log:
        "<logs>/search/{fusion}-{method}.log",
    benchmark:
        "<benchmarks>/search/{fusion}-{method}.jsonl"
    resources:
        **needs(minutes=120),
    params:
        **calls("evaluation.prediction_jobs:search"),
        models=config["evaluation"]["search"],
        evaluation=run.evaluation_settings(),
        probe_images=config["evaluation"]["zero_shot"]["probe_images"],
        seed=run.seed,
    message:
        "Searching hyperparameters for {wildcards.method} on {wildcards.fusion}"


use rule call as search_table with:
    input:
        tables=of(run.searched),
    output:
        output="results/tables/{fusion}/search.csv",
    log:
        "<logs>/search_table/{fusion}.log",
    params:
        **calls("evaluation.jobs:search_table"),
    message:
        "Writing the table of the hyperparameter search on {wildcards.fusion}"
