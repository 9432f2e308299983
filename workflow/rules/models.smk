# Exports: single models (snakemake models), and zoos in formats that other tools can read
# (snakemake to_pytorch, snakemake trials).


use rule call as export_model with:
    input:
        zoo="results/generated/{fusion}/{method}.h5",
        images="results/test_images/{fusion}.h5",
        concepts=of(run.probe_images),
        zero_shot_table="results/tables/{fusion}/zero_shot.csv",
        leaderboard="results/tables/{fusion}/leaderboard.csv",
        comparisons="results/tables/{fusion}/comparisons.csv",
    output:
        weights="results/models/{fusion}/{method}/model.safetensors",
        config="results/models/{fusion}/{method}/config.json",
        onnx="results/models/{fusion}/{method}/model.onnx",
        card="results/models/{fusion}/{method}/README.md",
    log:
        "<logs>/export_model/{fusion}-{method}.log",
    resources:
        **needs(minutes=30),
    params:
        **calls("export.jobs:export_model"),
        names=of(run.fusion_concepts),
        probe_images=config["evaluation"]["zero_shot"]["probe_images"],
        seed=run.seed,
    message:
        "Exporting a {wildcards.method} CNN for {wildcards.fusion}: results/models/{wildcards.fusion}/{wildcards.method}"


use rule call as share_zoo with:
    input:
        paths=of(run.factories.zoo),
    output:
        folder=directory("results/{layout}/{concept}"),
    log:
        "<logs>/share_zoo/{layout}-{concept}.log",
    wildcard_constraints:
        layout="pytorch|trials",
    resources:
        **needs(minutes=60),
    params:
        **calls("zoo.exporters:write"),
        source=of(run.factories.origin),
    message:
        "Exporting the zoo of {wildcards.concept}: results/{wildcards.layout}/{wildcards.concept}"
