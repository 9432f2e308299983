rule leaderboard:
    input:
        leaderboard_inputs,
    output:
        **{
            name: report(
                f"results/tables/{{fusion}}/{name}.csv",
                caption=f"../report/{name}.rst",
                category="Tables",
                subcategory="{fusion}",
                labels={"shows": name},
            )
            for name in LEADERBOARD_TABLES
        },
    log:
        "<logs>/leaderboard/{fusion}.log",
    benchmark:
        "<benchmarks>/leaderboard/{fusion}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_of("leaderboard"),
        seed=config["seed"],
    message:
        "Writing the leaderboard and comparisons of {wildcards.fusion}"
    script:
        "../scripts/leaderboard.py"


rule replicates:
    input:
        replicate_inputs,
    output:
        **{
            name: report(
                f"results/tables/{{fusion}}/{name}.csv",
                caption=f"../report/{name}.rst",
                category="Tables",
                subcategory="{fusion}",
                labels={"shows": name},
            )
            for name in REPLICATE_TABLES
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
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_of("replicates"),
        runs=["this run", *config["replicates"]],
        seed=config["seed"],
        own_images=lambda wildcards: config["fusions"][wildcards.fusion]["test"]["source"] == "synthetic",
    message:
        "Combining the runs of {wildcards.fusion} from several seeds"
    script:
        "../scripts/replicates.py"
