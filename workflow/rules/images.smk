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


rule prepare_images:
    input:
        unpack(concept_pictures),
    output:
        "results/images/{concept}.h5",
    log:
        "<logs>/prepare_images/{concept}.log",
    # Bad images should be reported before any CNN is trained.
    priority: 100
    conda:
        "../envs/zoofuse.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_of("prepare_images"),
        source=concept_source,
        images_root=config["images_root"],
        seed=config["seed"],
    message:
        "Preparing the images of {wildcards.concept}"
    script:
        "../scripts/prepare_images.py"


rule prepare_test_images:
    input:
        unpack(test_pictures),
        concepts=fusion_images,
    output:
        "results/test_images/{fusion}.h5",
    log:
        "<logs>/prepare_test_images/{fusion}.log",
    priority: 100
    conda:
        "../envs/zoofuse.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_of("prepare_test_images"),
        source=test_source,
        images_root=config["images_root"],
        seed=config["seed"],
    message:
        "Preparing the test images of {wildcards.fusion}"
    script:
        "../scripts/prepare_test_images.py"
