# Zoos in one channel order, for fusions that ask for it.


use rule call as align_zoo with:
    input:
        zoo_files=of(run.unaligned_zoo),
        reference_files=of(run.reference_zoo),
    output:
        output="results/aligned/{fusion}/{side}.h5",
    log:
        "<logs>/align_zoo/{fusion}-{side}.log",
    wildcard_constraints:
        side="[a-e]",
    resources:
        **needs(minutes=30),
    params:
        **calls("zoo.align:write"),
    message:
        "Aligning the channels of zoo {wildcards.side} of {wildcards.fusion}"
