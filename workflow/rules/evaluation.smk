rule evaluate_shard:
    input:
        zoo="results/generated/{fusion}/{method}.h5",
        images="results/test_images/{fusion}.h5",
    output:
        "results/evaluation/{fusion}/{method}/shard-{shard}.h5",
    log:
        "<logs>/evaluate_shard/{fusion}-{method}-{shard}.log",
    benchmark:
        "<benchmarks>/evaluate_shard/{fusion}-{method}-{shard}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=code_of("evaluate_shard"),
        part=evaluated_part,
        held_out=held_out_limit,
        evaluation=evaluation_settings,
        seed=config["seed"],
    message:
        "Evaluating shard {wildcards.shard} of {wildcards.method} on {wildcards.fusion}"
    script:
        "../scripts/evaluate_shard.py"


rule clusterer_table:
    input:
        evaluated_shards,
    output:
        report(
            "results/tables/{fusion}/{held_out}{clusterer}.csv",
            caption="../report/clusterer.rst",
            category="Tables",
            subcategory="{fusion}",
            labels={"shows": "{held_out}{clusterer}"},
        ),
    log:
        "<logs>/clusterer_table/{fusion}-{held_out}{clusterer}.log",
    wildcard_constraints:
        held_out="|held_out_",
    conda:
        "../envs/zoofuse.yaml"
    params:
        code=code_of("clusterer_table"),
    message:
        "Writing the {wildcards.held_out}{wildcards.clusterer} table of {wildcards.fusion}"
    script:
        "../scripts/clusterer_table.py"


rule summary_table:
    input:
        tables=[f"results/tables/{{fusion}}/{clusterer}.csv" for clusterer in CLUSTERERS],
    output:
        "results/tables/{fusion}/summary.csv",
    log:
        "<logs>/summary_table/{fusion}.log",
    conda:
        "../envs/zoofuse.yaml"
    params:
        code=code_of("summary_table"),
    message:
        "Writing the summary table of {wildcards.fusion}"
    script:
        "../scripts/summary_table.py"


rule list_test_images:
    input:
        "results/test_images/{fusion}.h5",
    output:
        table="results/test_images/{fusion}.csv",
        folder=directory("results/test_images/{fusion}"),
    log:
        "<logs>/list_test_images/{fusion}.log",
    conda:
        "../envs/zoofuse.yaml"
    params:
        code=code_of("list_test_images"),
        seed=config["seed"],
    message:
        "Listing the test images of {wildcards.fusion} for other classifiers: results/test_images/{wildcards.fusion}.csv"
    script:
        "../scripts/list_test_images.py"


rule import_predictions:
    input:
        predictions=lambda wildcards: local(str(known(foreign_files(wildcards.fusion), wildcards.method, "file"))),
        images="results/test_images/{fusion}.h5",
    output:
        "results/foreign/{fusion}/{method}.h5",
    log:
        "<logs>/import_predictions/{fusion}-{method}.log",
    # A file that does not fit should be reported before any CNN is trained.
    priority: 100
    conda:
        "../envs/zoofuse.yaml"
    params:
        code=code_of("import_predictions"),
        seed=config["seed"],
    message:
        "Importing the predictions of {wildcards.method} on {wildcards.fusion}"
    script:
        "../scripts/import_predictions.py"
