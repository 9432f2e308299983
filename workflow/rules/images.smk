rule download_dataset:
    output:
        "resources/downloads/{dataset}.tar.gz",
    log:
        "<logs>/download_dataset/{dataset}.log",
    wildcard_constraints:
        dataset="cifar10|oxford_iiit_pet",
    retries: 2
    localrule: True
    conda:
        "../envs/zoofuse.yaml"
    params:
        source=lambda wildcards: config["downloads"].get(wildcards.dataset),
    message:
        "Downloading {wildcards.dataset}"
    script:
        "../scripts/download_dataset.py"


use rule call as prepare_images with:
    input:
        unpack(of(run.images.concept_archive)),
        folders=local(ancient(of(run.images.concept_folders))),
    output:
        output="results/images/{concept}.h5",
    log:
        "<logs>/prepare_images/{concept}.log",
    wildcard_constraints:
        concept=all_but(config["factory"], then="."),
    # Bad images should be reported before any CNN is trained.
    priority: 100
    threads: 2
    resources:
        **needs(minutes=60),
    params:
        **calls("data.jobs:prepare_images"),
        source=of(run.images.concept_source),
        images_root=config["images_root"],
        seed=run.seed,
    message:
        "Preparing the images of {wildcards.concept}"


use rule call as prepare_test_images with:
    input:
        unpack(of(run.images.test_archive)),
        folders=local(ancient(of(run.images.test_folders))),
        concepts=of(run.images.of_fusion),
    output:
        output="results/test_images/{fusion}.h5",
    log:
        "<logs>/prepare_test_images/{fusion}.log",
    priority: 100
    threads: 2
    resources:
        **needs(minutes=60),
    params:
        **calls("data.jobs:prepare_test_images"),
        source=of(run.images.test_source),
        images_root=config["images_root"],
        seed=run.seed,
    message:
        "Preparing the test images of {wildcards.fusion}"
