use rule call as extract_kernels with:
    input:
        unpack(of(run.fusion_zoos)),
    output:
        output="results/kernels/{fusion}/{layer}.h5",
    log:
        "<logs>/extract_kernels/{fusion}-{layer}.log",
    benchmark:
        "<benchmarks>/extract_kernels/{fusion}-{layer}.jsonl"
    resources:
        **needs(minutes=30),
    params:
        **calls("methods.kernels:extract"),
    message:
        "Collecting the {wildcards.layer} kernels of {wildcards.fusion}"
