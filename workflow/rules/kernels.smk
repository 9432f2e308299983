rule extract_kernels:
    input:
        unpack(of(run.fusion_zoos)),
    output:
        "results/kernels/{fusion}/{layer}.h5",
    log:
        "<logs>/extract_kernels/{fusion}-{layer}.log",
    conda:
        "../envs/zoofuse.yaml"
    resources:
        **needs(minutes=30),
    params:
        code=code_of("extract_kernels"),
    message:
        "Collecting the {wildcards.layer} kernels of {wildcards.fusion}"
    script:
        "../scripts/extract_kernels.py"
