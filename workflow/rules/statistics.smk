rule leaderboard:
    input:
        of(run.leaderboard),
    output:
        **{
            name: report(
                f"results/tables/{{fusion}}/{name}.csv",
                caption=f"../report/{name}.rst",
                category="Tables",
                subcategory="{fusion}",
                labels={"shows": name},
            )
            for name in LEADERBOARD
        },
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
        seed=run.seed,
    message:
        "Writing the leaderboard and comparisons of {wildcards.fusion}"
    script:
        "../scripts/leaderboard.py"


rule replicates:
    input:
        of(run.replicates),
    output:
        **{
            name: report(
                f"results/tables/{{fusion}}/{name}.csv",
                caption=f"../report/{name}.rst",
                category="Tables",
                subcategory="{fusion}",
                labels={"shows": name},
            )
            for name in REPLICATES
        },
        figure=report(
            "results/figures/{fusion}/replicates.png",
            caption="../report/replicates.rst",
            category="Figures",
            subcategory="{fusion}",
            labels={"shows": "replicates"},
        ),
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
        runs=["this run", *config["replicates"]],
        seed=run.seed,
        own_images=of(run.own_images),
    message:
        "Combining the runs of {wildcards.fusion} from several seeds"
    script:
        "../scripts/replicates.py"
