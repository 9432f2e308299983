# Checks of the image folders before any training: snakemake check


use rule call as check_images with:
    input:
        unpack(of(run.images.checked_archives)),
        folders=local(ancient(of(run.images.checked_folders))),
    output:
        report="results/check/report.html",
        findings="results/check/checks.csv",
        images="results/check/images.csv",
        sheets=[f"results/check/{where}.png" for where in run.images.places],
    log:
        "<logs>/check_images.log",
    threads: 2
    resources:
        **needs(minutes=60),
    params:
        **calls("preflight.jobs:check_images"),
        sources=of(run.images.sources),
        fusions={name: run.fusion_concepts(name) for name in run.fusions},
        policy={key: config["images"][key] for key in ("unreadable", "duplicates", "leaks")},
        balance=config["zoo"]["balance"],
        images_root=config["images_root"],
        seed=run.seed,
    message:
        "Checking the images of all concepts and test sets"


# This rule has no output, so that every call prints the findings.
use rule call as check with:
    input:
        "results/check/report.html",
        findings="results/check/checks.csv",
    log:
        "<logs>/check.log",
    localrule: True
    params:
        **calls("preflight.jobs:check"),
    message:
        "Writing the findings to results/check/report.html"
