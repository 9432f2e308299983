"""What follows from a configuration: what each job of the workflow reads, makes and depends on.

Plain Python: the rules call it through adapters (workflow/rules/common.smk), so everything that
Snakemake is given can be tested without it. Imports no torch.
"""
