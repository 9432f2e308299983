# Factory zoos: populations of CNNs of two or more classes with varied hyper-parameters (docs/factory.md).
use rule call as prepare_classes with:
    input:
        unpack(of(run.factories.archive)),
        folders=local(ancient(of(run.factories.folders))),
    output:
        output="results/images/{concept}.h5",
    log:
        "<logs>/prepare_classes/{concept}.log",
    wildcard_constraints:
        concept=only(run.factories.trained),
    priority: 100
    threads: 2
    resources:
        **needs(minutes=60),
    params:
        **calls("data.classes:prepare"),
        source=of(run.factories.source),
        name="{concept}",
        images_root=config["images_root"],
        seed=run.seed,
    message:
        "Preparing the images of {wildcards.concept}"


use rule call as train_population with:
    input:
        images="results/images/{concept}.h5",
    output:
        output="results/zoo/{concept}/shard-{shard}.h5",
    log:
        "<logs>/train_population/{concept}-{shard}.log",
    benchmark:
        "<benchmarks>/train_population/{concept}-{shard}.jsonl"
    wildcard_constraints:
        concept=only(run.factories.trained),
    threads: half_the_cores
    resources:
        **needs(minutes=120),
    params:
        **calls("zoo.population_shards:train"),
        training=of(run.factories.training),
        models=of(run.factories.shard_models),
        seed=run.seed,
        store=placed("results/zoo/{concept}/.trained"),
    message:
        "Training CNNs {params.models} of the factory zoo {wildcards.concept}"


use rule call as import_population with:
    input:
        path=local(ancient(of(run.factories.existing))),
    output:
        output="results/zoo/{concept}/shard-{shard}.h5",
    log:
        "<logs>/import_population/{concept}-{shard}.log",
    wildcard_constraints:
        concept=only(run.factories.imported),
    resources:
        **needs(minutes=60),
    params:
        **calls("importers.populations:import_shard"),
        training=of(run.factories.training),
        models=of(run.factories.shard_models),
        classes=of(run.factories.classes),
        digest=of(run.factories.existing_digest),
    message:
        "Importing CNNs {params.models} of the factory zoo {wildcards.concept}"


use rule call as prune_population with:
    input:
        images=of(run.factories.images),
        parents=of(run.factories.parents),
    output:
        output="results/zoo/{concept}/shard-{shard}.h5",
    log:
        "<logs>/prune_population/{concept}-{shard}.log",
    benchmark:
        "<benchmarks>/prune_population/{concept}-{shard}.jsonl"
    wildcard_constraints:
        concept=only(run.factories.pruned),
    threads: run.threads
    resources:
        **needs(minutes=120),
    params:
        **calls("zoo.pruned:train"),
        parent=of(run.factories.parent),
        training=of(run.factories.training),
        pruning=of(run.factories.pruning),
        models=of(run.factories.shard_models),
        seed=run.seed,
        store=placed("results/zoo/{concept}/.trained"),
    message:
        "Pruning CNNs {params.models} of {params.parent}"


use rule call as models_table with:
    input:
        paths=of(run.factories.zoo),
    output:
        output="results/zoo/{concept}/models.csv",
    log:
        "<logs>/models_table/{concept}.log",
    params:
        **calls("zoo.population_shards:write_table"),
    message:
        "Writing the CNNs of {wildcards.concept} as a table: results/zoo/{wildcards.concept}/models.csv"


rule factory:
    input:
        of(run.factories.all),
    localrule: True
