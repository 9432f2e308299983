# Grids of conjunctions. A job does all of a concept, and all of a pair, so that a grid of 30 held-out
# pairs starts about a hundred processes.
rule grid_pool:
    input:
        unpack(of(run.grids.archive)),
        folders=local(ancient(of(run.grids.folders))),
    output:
        pool="results/grid/{grid}/pool.h5",
        counts="results/grid/{grid}/counts.csv",
    log:
        "<logs>/grid_pool/{grid}.log",
    conda:
        "../envs/zoofuse.yaml"
    threads: 2
    resources:
        **needs(minutes=60),
    params:
        code=code_of("grid_pool"),
        grid=of(run.grids.facts),
        source=of(run.grids.source),
        images_root=config["images_root"],
        seed=run.seed,
    message:
        "Gathering the images of grid {wildcards.grid}"
    script:
        "../scripts/grid_pool.py"


rule grid_concept:
    input:
        pool="results/grid/{grid}/pool.h5",
    output:
        images="results/grid/{grid}/images/{concept}.h5",
        zoo="results/grid/{grid}/zoo/{concept}.h5",
    log:
        "<logs>/grid_concept/{grid}-{concept}.log",
    benchmark:
        "<benchmarks>/grid_concept/{grid}-{concept}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    threads: run.threads
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        code=code_of("grid_concept"),
        grid=of(run.grids.facts),
        concept=of(run.grids.concept),
        settings=of(run.grids.concept_settings),
        training=run.grids.training(),
        store=placed("results/grid/{grid}/zoo/.trained-{concept}"),
        seed=run.seed,
    message:
        "Training the zoo of {wildcards.concept} of grid {wildcards.grid}"
    script:
        "../scripts/grid_concept.py"


rule grid_pair:
    input:
        pool="results/grid/{grid}/pool.h5",
        images=of(run.grids.images),
        zoos=of(run.grids.zoos),
        others=of(run.grids.others),
    output:
        table="results/grid/{grid}/pairs/{conjunction}.csv",
        networks=directory("results/grid/{grid}/networks/{conjunction}"),
    log:
        "<logs>/grid_pair/{grid}-{conjunction}.log",
    benchmark:
        "<benchmarks>/grid_pair/{grid}-{conjunction}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    threads: run.grids.pair_threads
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        code=code_of("grid_pair"),
        methods_code=of(run.grids.method_codes),
        grid=of(run.grids.facts),
        pair=of(run.grids.pair),
        methods=of(run.grids.methods),
        settings=of(run.grids.pair_settings),
    message:
        "Measuring {wildcards.conjunction} of grid {wildcards.grid}"
    script:
        "../scripts/grid_pair.py"


rule grid_tables:
    input:
        # A function, so that a configuration without a grid is refused only when one is asked for.
        of(run.grids.tables),
    output:
        pairs="results/grid/pairs.csv",
        summary="results/grid/summary.csv",
        figure="results/grid/gains.png",
    log:
        "<logs>/grid_tables.log",
    conda:
        "../envs/zoofuse.yaml"
    params:
        code=code_of("grid_tables"),
        variants=config["variants"],
    message:
        "Writing the tables of the grids"
    script:
        "../scripts/grid_tables.py"


rule grid:
    input:
        rules.grid_tables.output,
    localrule: True
