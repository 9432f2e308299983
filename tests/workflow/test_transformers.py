"""Zoos of vision transformers, from training through banks and translators of matrices to a table."""

import copy

import pandas as pd
from small_project import CONFIG

from zoofuse.core import files
from zoofuse.models.architectures import ARCHITECTURES

METHODS = ["cyclegan", "noise", "matched"]


def test_translated_matrices_stand_beside_their_controls(project):
    settings = copy.deepcopy(CONFIG)
    settings["concepts"]["cat"]["models"] = settings["concepts"]["black"]["models"] = 4
    settings["fusions"]["black_cat"] |= {"methods": METHODS, "align": True}
    settings["zoo"] |= {"architecture": "vit", "epochs": 1, "learning_rate": 0.003}
    settings["cyclegan"] |= {"preset": "best"}
    layers = set(ARCHITECTURES["vit"].kernels)
    planned = project.planned(config=settings)
    assert planned["extract_kernels"] == planned["train_cyclegan"] == len(layers) == 6
    run = project.snakemake("results/tables/black_cat/few_shot.csv", config=settings)
    assert run.returncode == 0, run.stdout
    results = project.folder / "results"
    assert {path.stem for path in (results / "kernels/black_cat").iterdir()} == layers
    table = pd.read_csv(results / "tables/black_cat/few_shot.csv")
    assert set(METHODS) < set(table["method"])
    made = {name: files.read(results / f"generated/black_cat/{name}.h5", "zoo") for name in METHODS}
    for name in ("block1.qkv.weight", "block2.mlp2.weight", "place.weight"):
        different = {of[name].tobytes() for of in made.values()}
        assert len(different) == len(METHODS)
        assert made["cyclegan"][name].shape == made["noise"][name].shape
    assert (made["cyclegan"]["norm.weight"] == 1).all()
