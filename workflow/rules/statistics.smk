use rule call as fusion_leaderboard with:
    input:
        predictions=of(run.leaderboard),
    output:
        **{name: shown(f"results/tables/{{fusion}}/{name}.csv", name, "Tables", shows=name) for name in LEADERBOARD},
    log:
        "<logs>/leaderboard/{fusion}.log",
    benchmark:
        "<benchmarks>/leaderboard/{fusion}.jsonl"
    resources:
        **needs(minutes=30),
    params:
        **calls("evaluation.jobs:leaderboard"),
        variants=config["variants"],
        seed=run.seed,
    message:
        "Writing the leaderboard and comparisons of {wildcards.fusion}"


use rule call as replicates with:
    input:
        predictions=of(run.replicates),
    output:
        **{name: shown(f"results/tables/{{fusion}}/{name}.csv", name, "Tables", shows=name) for name in REPLICATES},
        figure=shown("results/figures/{fusion}/replicates.png", "replicates", "Figures", shows="replicates"),
    log:
        "<logs>/replicates/{fusion}.log",
    benchmark:
        "<benchmarks>/replicates/{fusion}.jsonl"
    resources:
        **needs(minutes=30),
    params:
        **calls("report.jobs:replicates"),
        variants=config["variants"],
        runs=["this run", *config["replicates"]],
        seed=run.seed,
        own_images=of(run.own_images),
    message:
        "Combining the runs of {wildcards.fusion} from several seeds"
