"""Beyond the published case: deeper CNNs, through the same files to the report."""

import pandas as pd
import pytest
from small_project import Project

from zoofuse import export, files

BLACK_CAT = {
    "concepts": {
        "cat": {"source": "drawn", "positive": ["non-black cat"], "negative": ["non-cat"], "models": 4},
        "black": {"source": "drawn", "positive": ["black non-cat"], "negative": ["non-black"], "models": 4},
    },
    "fusions": {
        "black_cat": {
            "a": "black",
            "b": "cat",
            "methods": ["cyclegan", "parent_a", "noise"],
            "test": {"source": "drawn", "positive": ["black cat"], "negative": ["black non-cat", "non-black"]},
        }
    },
    "drawn": {"images": 20, "test_images": 16},
    "zoo": {"epochs": 1, "images_per_epoch": 16, "device": "cpu"},
    "cyclegan": {"epochs": 1, "hidden": 2},
    "evaluation": {"zero_shot": {"supervised": 0}},
}


@pytest.fixture
def empty(tmp_path, root) -> Project:
    """A folder without photographs: images are drawn."""
    return Project(tmp_path, root)


def test_deeper_cnns_walk_to_the_report(empty):
    config = BLACK_CAT | {"zoo": BLACK_CAT["zoo"] | {"architecture": "deep"}}
    run = empty.snakemake("all", "results/models/black_cat/cyclegan/config.json", config=config)
    assert run.returncode == 0, run.stdout
    results = empty.folder / "results"
    shapes = {"conv1": (32, 3, 3, 3), "conv2": (64, 32, 3, 3), "conv3": (128, 64, 3, 3)}
    generated = files.read(results / "generated/black_cat/cyclegan.h5", "zoo")
    for layer, shape in shapes.items():
        bank = files.read(results / f"kernels/black_cat/{layer}.h5", "kernels")
        assert bank["A"].shape == bank["B"].shape == (4, *shape)
        assert generated[f"{layer}.weight"].shape == (8, *shape)
        assert (results / f"cyclegan/black_cat/{layer}/generators.h5").exists()
        assert (results / f"figures/black_cat/kernels_{layer}.png").exists()
    table = pd.read_csv(results / "tables/black_cat/zero_shot.csv")
    assert {"cyclegan", "parent_a", "noise", "product", "ensemble"} <= set(table["method"])
    assert export.load(results / "models/black_cat/cyclegan").config["architecture"]["features"] == 512
    assert "third-layer kernels" in (results / "report.html").read_text(encoding="utf-8")
