# Not part of a normal run: snakemake --cores 2 netspace


use rule call as netspace_predictions with:
    input:
        unpack(of(run.netspace.inputs)),
    output:
        output="results/netspace/{fusion}/predictions.h5",
    log:
        "<logs>/netspace_predictions/{fusion}.log",
    benchmark:
        "<benchmarks>/netspace_predictions/{fusion}.jsonl"
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        **calls("netspace.jobs:write_predictions"),
        cnns=lambda wildcards, input: run.netspace.cnns(input.a, input.b, input.images),
        names=of(run.fusion_concepts),
    message:
        "Computing the predictions of both zoos of {wildcards.fusion}"


use rule call as netspace_embed with:
    input:
        unpack(of(run.netspace.inputs)),
        predictions="results/netspace/{fusion}/predictions.h5",
    output:
        output="results/netspace/{fusion}/space.h5",
    log:
        "<logs>/netspace_embed/{fusion}.log",
    benchmark:
        "<benchmarks>/netspace_embed/{fusion}.jsonl"
    resources:
        **needs(minutes=240, gpu=run.gpus),
    params:
        **calls("netspace.jobs:embed"),
        cnns=lambda wildcards, input: run.netspace.cnns(input.a, input.b, input.images),
        seed=run.seed,
        settings=run.netspace.zoo_space(),
        # The state of an unfinished training run. It is not an output, because Snakemake deletes
        # outputs before a job starts.
        state=placed("results/netspace/{fusion}/.space.h5"),
    message:
        "Training the NetSpace of {wildcards.fusion}"


use rule call as netspace_setting with:
    input:
        unpack(of(run.netspace.inputs)),
        predictions="results/netspace/{fusion}/predictions.h5",
        space="results/netspace/{fusion}/space.h5",
    output:
        table="results/netspace/{fusion}/{setting}.csv",
        arrays="results/netspace/{fusion}/{setting}.h5",
    log:
        "<logs>/netspace_setting/{fusion}-{setting}.log",
    benchmark:
        "<benchmarks>/netspace_setting/{fusion}-{setting}.jsonl"
    wildcard_constraints:
        setting=only(netspace.ON_ZOOS),
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        **calls("netspace.jobs:experiment"),
        cnns=lambda wildcards, input: run.netspace.cnns(input.a, input.b, input.images),
        names=of(run.fusion_concepts),
        seed=run.seed,
        chosen=of(run.netspace.chosen),
    message:
        "Running the NetSpace experiment {wildcards.setting} on {wildcards.fusion}"


use rule call as netspace_networks with:
    input:
        images=of(run.netspace.concept_images),
    output:
        output="results/netspace/{fusion}/networks/{architecture}.h5",
    log:
        "<logs>/netspace_networks/{fusion}-{architecture}.log",
    benchmark:
        "<benchmarks>/netspace_networks/{fusion}-{architecture}.jsonl"
    wildcard_constraints:
        architecture=r"VanillaCNN|ResNet\d+",
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        **calls("netspace.jobs:networks"),
        **{key: run.netspace.architectures[key] for key in ("models", "batch")},
        steps=run.netspace.architectures["training_steps"],
        seed=run.seed,
    message:
        "Training {wildcards.architecture} networks"


use rule call as netspace_architectures with:
    input:
        unpack(of(run.netspace.networks)),
    output:
        table="results/netspace/{fusion}/{setting}.csv",
        arrays="results/netspace/{fusion}/{setting}.h5",
    log:
        "<logs>/netspace_architectures/{fusion}-{setting}.log",
    benchmark:
        "<benchmarks>/netspace_architectures/{fusion}-{setting}.jsonl"
    wildcard_constraints:
        setting=only(netspace.ON_ARCHITECTURES),
    resources:
        **needs(minutes=240, gpu=run.gpus),
    params:
        **calls("netspace.jobs:architecture_experiment"),
        **{key: run.netspace.settings[key] for key in ("compared", "probes")},
        held_out=run.netspace.architectures["held_out"],
        names=of(run.netspace.names),
        # For unseen_architectures, only the first and last of the list.
        seen=of(run.netspace.seen),
        models=run.netspace.architectures["models"],
        settings=run.netspace.architectures_space(),
        architecture=config["zoo"]["architecture"],
        seed=run.seed,
        state=placed("results/netspace/{fusion}/.{setting}.h5"),
    message:
        "Running the NetSpace experiment {wildcards.setting} on {wildcards.fusion}"


use rule call as netspace_fuse with:
    input:
        unpack(of(run.netspace.inputs)),
        predictions="results/netspace/{fusion}/predictions.h5",
        space="results/netspace/{fusion}/space.h5",
    output:
        output="results/generated/{fusion}/netspace.h5",
    log:
        "<logs>/netspace_fuse/{fusion}.log",
    benchmark:
        "<benchmarks>/netspace_fuse/{fusion}.jsonl"
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        **calls("netspace.jobs:fuse"),
        cnns=lambda wildcards, input: run.netspace.cnns(input.a, input.b, input.images),
        seed=run.seed,
        chosen=run.netspace.settings["fuse"],
    message:
        "Generating CNNs for {wildcards.fusion} with netspace"


ruleorder: netspace_fuse > generate


use rule call as netspace_figure with:
    input:
        arrays="results/netspace/{fusion}/{setting}.h5",
    output:
        output=shown("results/figures/{fusion}/netspace_{setting}.png", "netspace", "NetSpace", shows="{setting}"),
    log:
        "<logs>/netspace_figure/{fusion}-{setting}.log",
    wildcard_constraints:
        setting=only(netspace.SETTINGS),
    params:
        **calls("netspace.jobs:figure"),
        setting="{setting}",
    message:
        "Plotting the NetSpace experiment {wildcards.setting}"


use rule call as netspace_sirens with:
    output:
        output="results/netspace/sirens.h5",
    log:
        "<logs>/netspace_sirens.log",
    benchmark:
        "<benchmarks>/netspace_sirens.jsonl"
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        **calls("netspace.jobs:sirens"),
        models=run.netspace.shapes["models"],
        settings=run.netspace.sirens(),
        seed=run.seed,
        state=placed("results/netspace/.sirens.h5"),
    message:
        "Training SIRENs for {params.models} chairs, tables and lamps"


use rule call as netspace_shapes with:
    input:
        networks="results/netspace/sirens.h5",
    output:
        table="results/netspace/shapes.csv",
        arrays="results/netspace/shapes.h5",
    log:
        "<logs>/netspace_shapes.log",
    benchmark:
        "<benchmarks>/netspace_shapes.jsonl"
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        **calls("netspace.jobs:shape_experiment"),
        held_out=run.netspace.shapes["held_out"],
        settings=run.netspace.shapes_space(),
        walks=run.netspace.settings["interpolation"],
        seed=run.seed,
        state=placed("results/netspace/.shapes.h5"),
    message:
        "Running the NetSpace experiment on shapes"


use rule netspace_figure as netspace_shapes_figure with:
    input:
        arrays="results/netspace/shapes.h5",
    output:
        output=shown("results/figures/netspace_shapes.png", "netspace", "NetSpace", shows="shapes"),
    log:
        "<logs>/netspace_figure/shapes.log",
    params:
        **calls("netspace.jobs:figure"),
        setting="shapes",
    message:
        "Plotting the NetSpace experiment on shapes"


use rule call as netspace_summary with:
    input:
        tables=of(run.netspace.tables),
    output:
        output="results/netspace/summary.csv",
    log:
        "<logs>/netspace_summary.log",
    params:
        **calls("netspace.jobs:summary_table"),
    message:
        "Writing the NetSpace table: results/netspace/summary.csv"


use rule call as netspace_report with:
    input:
        table="results/netspace/summary.csv",
        figures=of(run.netspace.figures),
    output:
        output=shown("results/netspace/report.html", "netspace", "Answer", shows="NetSpace"),
    log:
        "<logs>/netspace_report.log",
    params:
        **calls("netspace.jobs:write_report"),
    message:
        "Writing the report: results/netspace/report.html"


rule netspace:
    input:
        "results/netspace/report.html",
    localrule: True
