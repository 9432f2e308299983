# Not part of a normal run: snakemake --cores 2 netspace


rule netspace_answers:
    input:
        images=netspace_images,
        a=zoo_of("a"),
        b=zoo_of("b"),
    output:
        "results/netspace/{fusion}/answers.h5",
    log:
        "<logs>/netspace_answers/{fusion}.log",
    benchmark:
        "<benchmarks>/netspace_answers/{fusion}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=code_of("netspace_answers"),
        cnns=netspace_cnns,
        names=fusion_sides,
    message:
        "Computing the predictions of both zoos of {wildcards.fusion}"
    script:
        "../scripts/netspace_answers.py"


rule netspace_embed:
    input:
        images=netspace_images,
        a=zoo_of("a"),
        b=zoo_of("b"),
        answers="results/netspace/{fusion}/answers.h5",
    output:
        "results/netspace/{fusion}/space.h5",
    log:
        "<logs>/netspace_embed/{fusion}.log",
    benchmark:
        "<benchmarks>/netspace_embed/{fusion}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        code=code_of("netspace_embed"),
        cnns=netspace_cnns,
        seed=config["seed"],
        settings=netspace_space(config["netspace"]["steps"]),
        # The state of an unfinished training run. It is not an output, because Snakemake deletes
        # outputs before a job starts.
        state="results/netspace/{fusion}/.space.h5",
    message:
        "Training the NetSpace of {wildcards.fusion}"
    script:
        "../scripts/netspace_embed.py"


rule netspace_setting:
    input:
        images=netspace_images,
        a=zoo_of("a"),
        b=zoo_of("b"),
        answers="results/netspace/{fusion}/answers.h5",
        space="results/netspace/{fusion}/space.h5",
    output:
        table="results/netspace/{fusion}/{setting}.csv",
        arrays="results/netspace/{fusion}/{setting}.h5",
    log:
        "<logs>/netspace_setting/{fusion}-{setting}.log",
    benchmark:
        "<benchmarks>/netspace_setting/{fusion}-{setting}.jsonl"
    wildcard_constraints:
        setting="one_architecture|interpolation|latent_optimisation",
    conda:
        "../envs/zoofuse.yaml"
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=code_of("netspace_setting"),
        cnns=netspace_cnns,
        names=fusion_sides,
        seed=config["seed"],
        chosen=lambda wildcards: config["netspace"].get(wildcards.setting, {}),
    message:
        "Running the NetSpace experiment {wildcards.setting} on {wildcards.fusion}"
    script:
        "../scripts/netspace_setting.py"


rule netspace_networks:
    input:
        images=netspace_concept_images,
    output:
        "results/netspace/{fusion}/networks/{architecture}.h5",
    log:
        "<logs>/netspace_networks/{fusion}-{architecture}.log",
    benchmark:
        "<benchmarks>/netspace_networks/{fusion}-{architecture}.jsonl"
    wildcard_constraints:
        architecture=r"VanillaCNN|ResNet\d+",
    conda:
        "../envs/zoofuse.yaml"
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        **{key: config["netspace"]["architectures"][key] for key in ("models", "batch")},
        code=code_of("netspace_networks"),
        steps=config["netspace"]["architectures"]["training_steps"],
        seed=config["seed"],
    message:
        "Training {wildcards.architecture} networks"
    script:
        "../scripts/netspace_networks.py"


rule netspace_architectures:
    input:
        unpack(netspace_kinds),
    output:
        table="results/netspace/{fusion}/{setting}.csv",
        arrays="results/netspace/{fusion}/{setting}.h5",
    log:
        "<logs>/netspace_architectures/{fusion}-{setting}.log",
    benchmark:
        "<benchmarks>/netspace_architectures/{fusion}-{setting}.jsonl"
    wildcard_constraints:
        setting="several_architectures|unseen_architectures",
    conda:
        "../envs/zoofuse.yaml"
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        **{key: config["netspace"][key] for key in ("compared", "probes")},
        code=code_of("netspace_architectures"),
        held_out=config["netspace"]["architectures"]["held_out"],
        names=lambda wildcards: netspace_architectures(wildcards.setting),
        # For unseen_architectures, only the first and last of the list.
        seen=netspace_seen,
        models=config["netspace"]["architectures"]["models"],
        settings=netspace_space(config["netspace"]["architectures"]["steps"])
        | {"encoder": "answers", "learning_rate": config["netspace"]["architectures"]["learning_rate"]}
        | {"clip": 1, "rise": 0.05},
        architecture=config["zoo"]["architecture"],
        folder="results/netspace/{fusion}/networks",
        seed=config["seed"],
        state="results/netspace/{fusion}/.{setting}.h5",
    message:
        "Running the NetSpace experiment {wildcards.setting} on {wildcards.fusion}"
    script:
        "../scripts/netspace_architectures.py"


rule netspace_fuse:
    input:
        images=netspace_images,
        a=zoo_of("a"),
        b=zoo_of("b"),
        answers="results/netspace/{fusion}/answers.h5",
        space="results/netspace/{fusion}/space.h5",
    output:
        "results/generated/{fusion}/netspace.h5",
    log:
        "<logs>/netspace_fuse/{fusion}.log",
    benchmark:
        "<benchmarks>/netspace_fuse/{fusion}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=code_of("netspace_fuse"),
        cnns=netspace_cnns,
        seed=config["seed"],
        chosen=config["netspace"]["fuse"],
    message:
        "Generating CNNs for {wildcards.fusion} with netspace"
    script:
        "../scripts/netspace_fuse.py"


ruleorder: netspace_fuse > generate


rule netspace_figure:
    input:
        "results/netspace/{fusion}/{setting}.h5",
    output:
        report(
            "results/figures/{fusion}/netspace_{setting}.png",
            caption="../report/netspace.rst",
            category="NetSpace",
            subcategory="{fusion}",
            labels={"shows": "{setting}"},
        ),
    log:
        "<logs>/netspace_figure/{fusion}-{setting}.log",
    wildcard_constraints:
        setting="|".join(NETSPACE_SETTINGS),
    conda:
        "../envs/zoofuse.yaml"
    params:
        code=code_of("netspace_figure"),
        setting="{setting}",
    message:
        "Plotting the NetSpace experiment {wildcards.setting}"
    script:
        "../scripts/netspace_figure.py"


rule netspace_sirens:
    output:
        "results/netspace/sirens.h5",
    log:
        "<logs>/netspace_sirens.log",
    benchmark:
        "<benchmarks>/netspace_sirens.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=code_of("netspace_sirens"),
        models=config["netspace"]["shapes"]["models"],
        settings={
            **{key: config["netspace"]["shapes"][key] for key in ("hidden", "layers", "points", "loss")},
            "steps": config["netspace"]["shapes"]["training_steps"],
            "learning_rate": config["netspace"]["shapes"]["training_rate"],
        },
        seed=config["seed"],
        state="results/netspace/.sirens.h5",
    message:
        "Training SIRENs for {params.models} chairs, tables and lamps"
    script:
        "../scripts/netspace_sirens.py"


rule netspace_shapes:
    input:
        "results/netspace/sirens.h5",
    output:
        table="results/netspace/shapes.csv",
        arrays="results/netspace/shapes.h5",
    log:
        "<logs>/netspace_shapes.log",
    benchmark:
        "<benchmarks>/netspace_shapes.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        gpu=gpus(),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=code_of("netspace_shapes"),
        held_out=config["netspace"]["shapes"]["held_out"],
        settings=netspace_shapes_space(),
        walks=config["netspace"]["interpolation"],
        seed=config["seed"],
        state="results/netspace/.shapes.h5",
    message:
        "Running the NetSpace experiment on shapes"
    script:
        "../scripts/netspace_shapes.py"


use rule netspace_figure as netspace_shapes_figure with:
    input:
        "results/netspace/shapes.h5",
    output:
        report(
            "results/figures/netspace_shapes.png",
            caption="../report/netspace.rst",
            category="NetSpace",
            labels={"shows": "shapes"},
        ),
    log:
        "<logs>/netspace_figure/shapes.log",
    params:
        code=code_of("netspace_figure"),
        setting="shapes",
    message:
        "Plotting the NetSpace experiment on shapes"


rule netspace_summary:
    input:
        tables=netspace_tables,
    output:
        "results/netspace/summary.csv",
    log:
        "<logs>/netspace_summary.log",
    conda:
        "../envs/zoofuse.yaml"
    params:
        code=code_of("netspace_summary"),
    message:
        "Writing the NetSpace table: results/netspace/summary.csv"
    script:
        "../scripts/netspace_summary.py"


rule netspace_report:
    input:
        table="results/netspace/summary.csv",
        figures=netspace_figures,
    output:
        report(
            "results/netspace/report.html",
            caption="../report/netspace.rst",
            category="Answer",
            labels={"shows": "NetSpace"},
        ),
    log:
        "<logs>/netspace_report.log",
    conda:
        "../envs/zoofuse.yaml"
    params:
        code=code_of("netspace_report"),
    message:
        "Writing the report: results/netspace/report.html"
    script:
        "../scripts/netspace_report.py"


rule netspace:
    input:
        "results/netspace/report.html",
    localrule: True
