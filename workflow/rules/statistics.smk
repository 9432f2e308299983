rule leaderboard:
    input:
        of(run.leaderboard),
    output:
        **{name: shown(f"results/tables/{{fusion}}/{name}.csv", name, "Tables", shows=name) for name in LEADERBOARD},
    log:
        "<logs>/leaderboard/{fusion}.log",
    benchmark:
        "<benchmarks>/leaderboard/{fusion}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        **needs(minutes=30),
    params:
        code=code_of("leaderboard"),
        variants=config["variants"],
        seed=run.seed,
    message:
        "Writing the leaderboard and comparisons of {wildcards.fusion}"
    script:
        "../scripts/leaderboard.py"


rule replicates:
    input:
        of(run.replicates),
    output:
        **{name: shown(f"results/tables/{{fusion}}/{name}.csv", name, "Tables", shows=name) for name in REPLICATES},
        figure=shown("results/figures/{fusion}/replicates.png", "replicates", "Figures", shows="replicates"),
    log:
        "<logs>/replicates/{fusion}.log",
    benchmark:
        "<benchmarks>/replicates/{fusion}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        **needs(minutes=30),
    params:
        code=code_of("replicates"),
        variants=config["variants"],
        runs=["this run", *config["replicates"]],
        seed=run.seed,
        own_images=of(run.own_images),
    message:
        "Combining the runs of {wildcards.fusion} from several seeds"
    script:
        "../scripts/replicates.py"
