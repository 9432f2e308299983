use rule call as published_table with:
    input:
        table="results/tables/{fusion}/{clusterer}.csv",
        published=local(of(run.published_table)),
    output:
        output=shown(
            "results/tables/{fusion}/published_{clusterer}.csv",
            "published",
            "Tables",
            shows="published rows",
            clusterer="{clusterer}",
        ),
    log:
        "<logs>/published_table/{fusion}-{clusterer}.log",
    params:
        **calls("evaluation.jobs:published_table"),
    message:
        "Writing the published {wildcards.clusterer} rows beside ours"


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
