# What rules have in common that call a function of the package, named in their params.
rule call:
    conda:
        "../envs/zoofuse.yaml"
    script:
        "../scripts/call.py"
