rule leaderboard:
    input:
        unpack(leaderboard_inputs),
    output:
        **{name: f"results/tables/{{fusion}}/{name}.csv" for name in LEADERBOARD_TABLES},
    log:
        "<logs>/leaderboard/{fusion}.log",
    benchmark:
        "<benchmarks>/leaderboard/{fusion}.jsonl"
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        seed=config["seed"],
    message:
        "Leaderboard and comparisons of {wildcards.fusion}"
    script:
        "../scripts/leaderboard.py"
