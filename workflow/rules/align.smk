# Zoos in one channel order, for fusions that ask for it.


rule align_zoo:
    input:
        zoo=of(run.unaligned_zoo),
        reference=of(run.reference_zoo),
    output:
        "results/aligned/{fusion}/{side}.h5",
    log:
        "<logs>/align_zoo/{fusion}-{side}.log",
    wildcard_constraints:
        side="[a-e]",
    conda:
        "../envs/zoofuse.yaml"
    resources:
        **needs(minutes=30),
    params:
        code=code_of("align_zoo"),
    message:
        "Aligning the channels of zoo {wildcards.side} of {wildcards.fusion}"
    script:
        "../scripts/align_zoo.py"
