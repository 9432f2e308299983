rule generate:
    input:
        unpack(method_inputs),
    output:
        "results/generated/{fusion}/{method}.h5",
    log:
        "<logs>/generate/{fusion}-{method}.log",
    wildcard_constraints:
        method=all_but_methods([*DISTILLED, "netspace"]),
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        models=random_count,
        architecture=config["zoo"]["architecture"],
        seed=config["seed"],
    message:
        "Making the CNNs of {wildcards.fusion} by {wildcards.method}"
    script:
        "../scripts/generate.py"
