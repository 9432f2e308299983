use rule call as published_tables with:
    input:
        tables=[f"results/tables/{{fusion}}/{clusterer}.csv" for clusterer in CLUSTERERS],
        published=local(of(run.published)),
    output:
        beside=[
            shown(
                f"results/tables/{{fusion}}/published_{clusterer}.csv",
                "published",
                "Tables",
                shows="published rows",
                clusterer=clusterer,
            )
            for clusterer in CLUSTERERS
        ],
    log:
        "<logs>/published_tables/{fusion}.log",
    params:
        **calls("evaluation.jobs:published_tables"),
    message:
        "Writing the published rows of {wildcards.fusion} beside ours"


rule report:
    input:
        unpack(of(run.report)),
    output:
        shown("results/report.html", "report", "Answer", shows="the report"),
    log:
        "<logs>/report.log",
    conda:
        "../envs/zoofuse.yaml"
    params:
        code=code_of("report"),
        translated=run.translated(),
        sources=of(run.sources),
    message:
        "Writing the report: results/report.html"
    script:
        "../scripts/report.py"
