# What rules have in common.


def shown(path, caption, category, **labels):
    """An output that `snakemake --report` shows."""
    group = {"subcategory": "{fusion}"} if "{fusion}" in path else {}
    return report(path, caption=f"../report/{caption}.rst", category=category, labels=labels, **group)


# Rules that call a function of the package, named in their params.
rule call:
    conda:
        "../envs/zoofuse.yaml"
    script:
        "../scripts/call.py"
