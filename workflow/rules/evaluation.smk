rule evaluate_shard:
    input:
        zoo="results/generated/{fusion}/{method}.h5",
        images="results/test_images/{fusion}.h5",
    output:
        rows="results/evaluation/{fusion}/{method}/shard-{shard}.csv",
        arrays="results/evaluation/{fusion}/{method}/shard-{shard}.h5",
    log:
        "<logs>/evaluate_shard/{fusion}-{method}-{shard}.log",
    benchmark:
        "<benchmarks>/evaluate_shard/{fusion}-{method}-{shard}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        **needs(minutes=120),
    params:
        code=code_of("evaluate_shard"),
        part=of(run.evaluated_part),
        held_out=of(run.held_out),
        evaluation=run.evaluation_settings(),
        seed=run.seed,
    message:
        "Evaluating shard {wildcards.shard} of {wildcards.method} on {wildcards.fusion}"
    script:
        "../scripts/evaluate_shard.py"


rule clusterer_table:
    input:
        rows=of(run.rows),
    output:
        shown("results/tables/{fusion}/{held_out}{clusterer}.csv", "clusterer", "Tables", shows="{held_out}{clusterer}"),
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


use rule call as summary_table with:
    input:
        tables=[f"results/tables/{{fusion}}/{clusterer}.csv" for clusterer in CLUSTERERS],
    output:
        output="results/tables/{fusion}/summary.csv",
    log:
        "<logs>/summary_table/{fusion}.log",
    params:
        **calls("evaluation.jobs:summary_table"),
    message:
        "Writing the summary table of {wildcards.fusion}"
