# One leaderboard of weight-space methods (docs/leaderboard.md). Methods that take seconds share a job.
use rule call as board_zoo with:
    input:
        paths=of(run.board.zoo),
        images=of(run.board.images),
    output:
        output="results/leaderboard/{zoo}/zoo.h5",
    log:
        "<logs>/board_zoo/{zoo}.log",
    threads: run.threads
    resources:
        **needs(minutes=30),
    params:
        **calls("evaluation.board_jobs:zoo"),
        seed=run.seed,
    message:
        "Reading the networks of {wildcards.zoo} for the leaderboard"


use rule call as board_networks with:
    input:
        zoo_file="results/leaderboard/{zoo}/zoo.h5",
    output:
        output="results/leaderboard/{zoo}/{group}.h5",
    log:
        "<logs>/board_networks/{zoo}-{group}.log",
    benchmark:
        "<benchmarks>/board_networks/{zoo}-{group}.jsonl"
    wildcard_constraints:
        group=only(run.board.groups),
    resources:
        **needs(minutes=120),
    params:
        **calls("evaluation.board_jobs:networks") | {"code": of(run.board.group_code)},
        methods=of(run.board.group),
        sampling=run.board.sampling(),
        sizes=of(run.board.sizes),
        steps=of(run.board.steps),
        seed=run.seed,
    message:
        "Sampling networks of {wildcards.zoo} for the leaderboard: {wildcards.group}"


use rule call as board_submission with:
    input:
        zoo_file="results/leaderboard/{zoo}/zoo.h5",
    output:
        output="results/leaderboard/{zoo}/{group}.h5",
    log:
        "<logs>/board_submission/{zoo}-{group}.log",
    benchmark:
        "<benchmarks>/board_submission/{zoo}-{group}.jsonl"
    wildcard_constraints:
        group=only(run.board.settings["methods"]),
    resources:
        **needs(minutes=120),
    params:
        **calls("evaluation.board_jobs:submitted"),
        command=of(run.board.command),
        files=of(run.board.command_digest),
        sampling=run.board.sampling(),
        seed=run.seed,
    message:
        "Running the command of {wildcards.group} on {wildcards.zoo}"


use rule call as board_measured with:
    input:
        zoo_file="results/leaderboard/{zoo}/zoo.h5",
        sampled=of(run.board.sampled),
    output:
        output="results/leaderboard/{zoo}/networks.csv",
    log:
        "<logs>/board_measured/{zoo}.log",
    benchmark:
        "<benchmarks>/board_measured/{zoo}.jsonl"
    threads: run.threads
    resources:
        **needs(minutes=120),
    params:
        **calls("evaluation.board_jobs:measured"),
        sampling=run.board.sampling(),
        seed=run.seed,
    message:
        "Measuring the sampled networks of {wildcards.zoo}"


use rule call as board_table with:
    input:
        # A function, so that a configuration without a leaderboard is refused only when it is asked for.
        unpack(of(run.board.fusions)),
        tables=of(run.board.tables),
    output:
        table="results/leaderboard/leaderboard.csv",
        report="results/leaderboard/report.html",
    log:
        "<logs>/board_table.log",
    params:
        **calls("report.board_page:write"),
        submissions=run.board.given(),
        variants=config["variants"],
        seed=run.seed,
    message:
        "Writing the leaderboard: results/leaderboard/report.html"


rule leaderboard:
    input:
        rules.board_table.output,
    localrule: True
