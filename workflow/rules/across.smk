# Fusions from zoos of every two architectures (docs/across.md). A job trains all zoos of one architecture, or measures
# all students of two.
use rule call as across_zoo with:
    input:
        images=of(run.across.image),
    output:
        output="results/across/{fusion}/zoo/{side}-{architecture}.h5",
    log:
        "<logs>/across_zoo/{fusion}-{side}-{architecture}.log",
    benchmark:
        "<benchmarks>/across_zoo/{fusion}-{side}-{architecture}.jsonl"
    wildcard_constraints:
        side="[ab]",
        architecture=NAME,
    threads: run.threads
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        **calls("evaluation.across_jobs:zoo"),
        recipe=of(run.across.training),
        counts=of(run.across.seeds),
        seed=run.seed,
    message:
        "Training {wildcards.architecture} CNNs of concept {wildcards.side} of {wildcards.fusion}"


use rule call as across_cell with:
    input:
        zoos=of(run.across.parents),
        images=of(run.across.images),
        test="results/test_images/{fusion}.h5",
    output:
        output="results/across/{fusion}/cells/{one}-{other}.h5",
    log:
        "<logs>/across_cell/{fusion}-{one}-{other}.log",
    benchmark:
        "<benchmarks>/across_cell/{fusion}-{one}-{other}.jsonl"
    wildcard_constraints:
        one=r"\w+",
        other=r"\w+",
    threads: run.threads
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        **calls("evaluation.across_jobs:cell"),
        counts=of(run.across.seeds),
        students=of(run.across.students),
        settings=config["distil"],
        seed=run.seed,
    message:
        "Fusing {wildcards.one} and {wildcards.other} CNNs for {wildcards.fusion}"


use rule call as across_similarity with:
    input:
        unpack(of(run.across.zoos)),
        cells=of(run.across.cells),
        test="results/test_images/{fusion}.h5",
    output:
        output="results/across/{fusion}/similarity.csv",
    log:
        "<logs>/across_similarity/{fusion}.log",
    params:
        **calls("evaluation.across_jobs:similarities"),
        counts=of(run.across.seeds),
        how=of(run.across.compared),
        concepts=of(run.fusion_concepts),
        seed=run.seed,
    message:
        "Comparing the features of parents and students of {wildcards.fusion}"


use rule call as across_tables with:
    input:
        # A function, so that a configuration without any is refused only when they are asked for.
        cells=of(run.across.all_cells),
        similarities=of(run.across.similarities),
    output:
        across="results/across/across.csv",
        similarity="results/across/similarity.csv",
        figure="results/across/across.png",
    log:
        "<logs>/across_tables.log",
    params:
        **calls("report.across_figure:tables"),
    message:
        "Writing the tables of fusions across architectures"


rule across:
    input:
        rules.across_tables.output,
    localrule: True
