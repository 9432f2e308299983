# A look at the folders before any training: snakemake check


rule check_images:
    input:
        unpack(checked_pictures),
    output:
        report="results/check/report.html",
        findings="results/check/checks.csv",
        pictures="results/check/pictures.csv",
        sheets=[f"results/check/{where}.png" for where in checked_places()],
    log:
        "<logs>/check_images.log",
    conda:
        "../envs/zoofuse.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_of("check_images"),
        sources=checked_sources,
        fusions={name: list(concepts_of(name).values()) for name in config["fusions"]},
        policy={key: config["images"][key] for key in ("unreadable", "duplicates", "leaks")},
        balance=config["zoo"]["balance"],
        images_root=config["images_root"],
        seed=config["seed"],
    message:
        "Looking at the pictures of all concepts and tests"
    script:
        "../scripts/check_images.py"


# Without an output, so that the findings are told at every call.
rule check:
    input:
        "results/check/report.html",
        findings="results/check/checks.csv",
    log:
        "<logs>/check.log",
    localrule: True
    conda:
        "../envs/zoofuse.yaml"
    message:
        "What was found: results/check/report.html"
    script:
        "../scripts/check.py"
