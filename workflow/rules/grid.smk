rule grid_pool:
    input:
        unpack(grid_inputs),
    output:
        pool="results/grid/{grid}/pool.h5",
        counts="results/grid/{grid}/counts.csv",
    log:
        "<logs>/grid_pool/{grid}.log",
    conda:
        "../envs/zoofuse.yaml"
    threads: config["images"]["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_of("grid_pool"),
        grid=grid_facts,
        source=grid_source,
        images_root=lambda wildcards: config.get("images_root", "."),
        seed=config["seed"],
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
    threads: config["zoo"]["threads"]
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=code_of("grid_concept"),
        grid=grid_facts,
        concept=grid_concept_name,
        most=lambda wildcards: grid_settings(wildcards)["concept_images"],
        models=lambda wildcards: grid_settings(wildcards)["models"],
        images=lambda wildcards: {key: config["images"][key] for key in ("validation_share", "validation_max")},
        training=grid_training,
        store="results/grid/{grid}/zoo/.trained-{concept}",
        seed=config["seed"],
    message:
        "Training the zoo of {wildcards.concept} of grid {wildcards.grid}"
    script:
        "../scripts/grid_concept.py"


rule grid_pair:
    input:
        pool="results/grid/{grid}/pool.h5",
        images=lambda wildcards: grid_files(wildcards, "images"),
        zoos=lambda wildcards: grid_files(wildcards, "zoo"),
    output:
        table="results/grid/{grid}/pairs/{pair}.csv",
        networks=directory("results/grid/{grid}/networks/{pair}"),
    log:
        "<logs>/grid_pair/{grid}-{pair}.log",
    benchmark:
        "<benchmarks>/grid_pair/{grid}-{pair}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    threads: config["zoo"]["threads"]
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=grid_code,
        grid=grid_facts,
        pair=grid_pair_of,
        methods=lambda wildcards: grid_settings(wildcards)["methods"],
        most=lambda wildcards: grid_settings(wildcards)["pair_images"],
        config=grid_pair_settings,
    message:
        "Measuring {wildcards.pair} of grid {wildcards.grid}"
    script:
        "../scripts/grid_pair.py"


rule grid_tables:
    input:
        grid_pair_tables,
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
    message:
        "Writing the tables of the grids"
    script:
        "../scripts/grid_tables.py"


rule grid:
    input:
        "results/grid/pairs.csv",
        "results/grid/summary.csv",
    message:
        "Grids of conjunctions: results/grid/summary.csv"
