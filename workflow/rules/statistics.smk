rule leaderboard:
    input:
        unpack(leaderboard_inputs),
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
        seed=config["seed"],
    message:
        "Leaderboard and comparisons of {wildcards.fusion}"
    script:
        "../scripts/leaderboard.py"
