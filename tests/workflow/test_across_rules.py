"""Zoos of every two architectures by their target: snakemake across."""

import copy

import numpy as np
from small_project import CONFIG

from zoofuse.core import files
from zoofuse.evaluation import across_jobs


def test_zoos_of_two_architectures_are_fused(project):
    settings = copy.deepcopy(CONFIG)
    tiny = {"seeds": 2, "models": 1, "epochs": 1, "images_per_epoch": 20}
    settings["across"] = {"black_cat": tiny | {"architectures": ["published", "vit"], "students": ["published"]}}
    settings["distil"] |= {"images": 40, "epochs": 1, "loans": 1}
    planned = project.planned("across", config=settings)
    wanted = {"across_zoo": 4, "across_cell": 4, "across_similarity": 1, "across_tables": 1}
    assert {rule: planned[rule] for rule in wanted} == wanted
    cell = "results/across/black_cat/cells/published-vit.h5"
    run = project.snakemake(cell, config=settings)
    assert run.returncode == 0, run.stdout
    arrays, about = (of(project.folder / cell, across_jobs.KIND) for of in (files.read, files.attributes))
    assert about["architectures"] == ["published", "vit"]
    assert about["reasons"]["average"] == "the zoos have different architectures"
    assert "average: not applicable: the zoos have different architectures" in run.stdout
    assert {name for name in arrays if name.startswith("scores/")} == {
        "scores/student published", "scores/product", "scores/ensemble",
    }  # fmt: skip
    for name in ("scores/student published", "scores/product", "scores/ensemble"):
        assert arrays[name].shape == (2, 30)
        assert not np.array_equal(*arrays[name]), "each seed has zoos of its own"
    assert project.planned(cell, config=settings) == {}
