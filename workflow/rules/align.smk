# Zoos in one channel order, for fusions that ask for it.


rule align_zoo:
    input:
        zoo=lambda wildcards: fusion_zoo(wildcards, wildcards.side),
        reference=lambda wildcards: fusion_zoo(wildcards, "a"),
    output:
        "results/aligned/{fusion}/{side}.h5",
    log:
        "<logs>/align_zoo/{fusion}-{side}.log",
    wildcard_constraints:
        side="[a-e]",
    conda:
        "../envs/zoofuse.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_of("align_zoo"),
    message:
        "Aligning the channels of zoo {wildcards.side} of {wildcards.fusion}"
    script:
        "../scripts/align_zoo.py"
