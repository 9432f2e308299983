# What rules that call a function of the package have in common; their params name it.
rule call:
    log:
        "<logs>/call.log",
    conda:
        "../envs/zoofuse.yaml"
    script:
        "../scripts/call.py"
