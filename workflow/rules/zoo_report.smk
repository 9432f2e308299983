# Is it a good zoo? Not part of a normal run: snakemake --cores 2 zoo_report


use rule call as zoo_report with:
    input:
        unpack(of(run.factories.report)),
    output:
        table="results/zoo_report/accuracy_from_weights.csv",
        report="results/zoo_report/report.html",
    log:
        "<logs>/zoo_report.log",
    threads: 2
    resources:
        **needs(minutes=60),
    params:
        **calls("report.zoo_report:write"),
        zoos=run.factories.reported(),
        seed=run.seed,
    message:
        "Writing the report on zoos: results/zoo_report/report.html"
