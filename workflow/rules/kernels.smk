rule extract_kernels:
    input:
        unpack(fusion_zoos),
    output:
        "results/kernels/{fusion}/{layer}.h5",
    log:
        "<logs>/extract_kernels/{fusion}-{layer}.log",
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_of("extract_kernels"),
    message:
        "Collecting the {wildcards.layer} kernels of {wildcards.fusion}"
    script:
        "../scripts/extract_kernels.py"
