# Many binary tasks from a few zoos. A job does a block of tasks, so that a thousand tasks are a hundred jobs.
use rule call as task_images with:
    input:
        unpack(of(run.tasks.archive)),
        folders=local(ancient(of(run.tasks.folders))),
    output:
        output="results/tasks/{tasks}/images.h5",
    log:
        "<logs>/task_images/{tasks}.log",
    priority: 100
    threads: 2
    resources:
        **needs(minutes=60),
    params:
        **calls("evaluation.task_jobs:images"),
        source=of(run.tasks.source),
        images_root=config["images_root"],
        seed=run.seed,
    message:
        "Preparing the images of tasks {wildcards.tasks}"


use rule call as task_networks with:
    input:
        images="results/tasks/{tasks}/images.h5",
    output:
        output="results/tasks/{tasks}/networks/{shard}.h5",
    log:
        "<logs>/task_networks/{tasks}-{shard}.log",
    benchmark:
        "<benchmarks>/task_networks/{tasks}-{shard}.jsonl"
    threads: run.threads
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        **calls("evaluation.task_jobs:networks"),
        plan=of(run.tasks.plan),
        part=of(run.tasks.trained_part),
        models=of(run.tasks.trained_models),
        recipe=of(run.tasks.recipe),
        seed=run.seed,
    message:
        "Training CNNs of tasks {wildcards.tasks}, part {wildcards.shard}"


use rule call as task_predictions with:
    input:
        images="results/tasks/{tasks}/images.h5",
        networks=of(run.tasks.networks),
    output:
        output="results/tasks/{tasks}/predictions.h5",
    log:
        "<logs>/task_predictions/{tasks}.log",
    threads: run.threads
    resources:
        **needs(minutes=60, gpu=run.gpus),
    params:
        **calls("evaluation.task_jobs:predictions"),
        plan=of(run.tasks.plan),
        recipe=of(run.tasks.recipe),
        seed=run.seed,
    message:
        "Computing what the zoos of tasks {wildcards.tasks} predict"


use rule call as task_hypernetwork with:
    input:
        images="results/tasks/{tasks}/images.h5",
    output:
        output="results/tasks/{tasks}/hypernetwork.h5",
    log:
        "<logs>/task_hypernetwork/{tasks}.log",
    benchmark:
        "<benchmarks>/task_hypernetwork/{tasks}.jsonl"
    resources:
        **needs(minutes=120),
    params:
        **calls("evaluation.task_jobs:hypernetwork"),
        plan=of(run.tasks.plan),
        chosen=of(run.tasks.hypernetwork),
        architecture=config["zoo"]["architecture"],
        seed=run.seed,
    message:
        "Training the hypernetwork of tasks {wildcards.tasks}"


use rule call as task_netspace with:
    input:
        images="results/tasks/{tasks}/images.h5",
        networks=of(run.tasks.networks),
        shared="results/tasks/{tasks}/predictions.h5",
    output:
        output="results/tasks/{tasks}/netspace.h5",
    log:
        "<logs>/task_netspace/{tasks}.log",
    benchmark:
        "<benchmarks>/task_netspace/{tasks}.jsonl"
    threads: run.threads
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        **calls("netspace.tasks:networks"),
        plan=of(run.tasks.plan),
        settings=of(run.tasks.netspace),
        code_steps=of(run.tasks.code_steps),
        architecture=config["zoo"]["architecture"],
        seed=run.seed,
    message:
        "Embedding the CNNs of tasks {wildcards.tasks} in a NetSpace"


use rule call as task_rows with:
    input:
        images="results/tasks/{tasks}/images.h5",
        networks=of(run.tasks.networks),
        shared="results/tasks/{tasks}/predictions.h5",
        generated=of(run.tasks.generated),
    output:
        output="results/tasks/{tasks}/measured/{shard}.csv",
    log:
        "<logs>/task_rows/{tasks}-{shard}.log",
    benchmark:
        "<benchmarks>/task_rows/{tasks}-{shard}.jsonl"
    resources:
        **needs(minutes=120, gpu=run.gpus),
    params:
        **calls("evaluation.task_jobs:rows"),
        plan=of(run.tasks.plan),
        part=of(run.tasks.measured_part),
        retrained=of(run.tasks.retrained),
        recipe=of(run.tasks.recipe),
        seed=run.seed,
    message:
        "Measuring tasks {wildcards.tasks}, part {wildcards.shard}"


use rule call as task_tables with:
    input:
        # A function, so that a configuration without tasks is refused only when they are asked for.
        tables=of(run.tasks.tables),
    output:
        tasks="results/tasks/tasks.csv",
        summary="results/tasks/summary.csv",
        figure="results/tasks/tasks.png",
    log:
        "<logs>/task_tables.log",
    params:
        **calls("report.task_figure:tables"),
    message:
        "Writing the tables of all tasks"


rule tasks:
    input:
        rules.task_tables.output,
    localrule: True
