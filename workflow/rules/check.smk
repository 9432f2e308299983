# Checks of the image folders before any training: snakemake check


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
        "Checking the images of all concepts and test sets"
    script:
        "../scripts/check_images.py"


# This rule has no output, so that every call prints the findings.
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
        "Writing the findings to results/check/report.html"
    script:
        "../scripts/check.py"
