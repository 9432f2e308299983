"""Every rule gives the function of the package that it calls what the function asks for."""

import json
import subprocess
import sys
from pathlib import Path

TARGETS = [
    *("all", "netspace", "check", "bench_zoo", "bench_cyclegan", "bench_evaluation", "bench_predict"),
    *("results/pytorch/cat", "results/tables/black_cat/search.csv", "results/generated/black_cat/netspace.h5"),
]
PLAN = """import importlib, inspect, json, sys
from snakemake import cli, dag
SAME_FOR_ALL = {"inputs", "outputs", "say", "threads", "device", "config"}  # of scripts/call.py
calls = {}
def stats(self, original=dag.DAG.stats):
    for job in self.jobs:
        if name := job.params.get("function"):
            module, _, function = name.partition(":")
            parameters = inspect.signature(getattr(importlib.import_module(module), function)).parameters.values()
            given = {key for files in (job.input, job.output, job.params) for key, _ in files.items()}
            asked = {one.name for one in parameters if one.default is one.empty}
            calls[job.rule.name] = sorted(asked - given - set(job.wildcards_dict) - SAME_FOR_ALL)
    json.dump(calls, open("calls.json", "w"))
    return original(self)
dag.DAG.stats = stats
cli.main(sys.argv[1:])
"""


def test_every_rule_gives_its_function_what_it_asks_for(root: Path, tmp_path: Path):
    (tmp_path / "my.yaml").write_text("fusions: {black_cat: {align: true}}\n")
    arguments = ["-s", str(root / "Snakefile"), "--cores", "2", "-n", *TARGETS, "--configfile", "my.yaml"]
    command = [sys.executable, "-c", PLAN, *arguments]
    run = subprocess.run(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout[-3000:]
    missing = json.loads((tmp_path / "calls.json").read_text())
    assert len(missing) > 25
    assert {rule: names for rule, names in missing.items() if names} == {}
