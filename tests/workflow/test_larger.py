"""Beyond the published case: deeper CNNs, and three concepts at once, through the same files to the report."""

import re

import numpy as np
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


# Three words of one drawing: "dark blue bird".
DARK_BLUE_BIRD = {key: BLACK_CAT[key] for key in ("zoo", "cyclegan", "drawn", "evaluation")} | {
    "concepts": {
        "dark": {"positive": ["dark non-blue"], "negative": ["non-dark"], "source": "drawn", "models": 5},
        "blue": {"positive": ["non-dark blue"], "negative": ["non-blue"], "source": "drawn", "models": 4},
        "bird": {"positive": ["non-blue bird"], "negative": ["non-bird"], "source": "drawn", "models": 6},
    },
    "fusions": {
        "dark_blue_bird": {
            "a": "dark",
            "b": "blue",
            "c": "bird",
            "methods": ["cyclegan", "parent_c", "average", "noise"],
            "align": True,
            "test": {"source": "drawn", "positive": ["dark blue bird"], "negative": ["dark non-blue", "non-dark bird"]},
        }
    },
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


def test_three_concepts_walk_to_the_report(empty):
    run = empty.snakemake("all", "results/models/dark_blue_bird/cyclegan/config.json", config=DARK_BLUE_BIRD)
    assert run.returncode == 0, run.stdout
    results = empty.folder / "results"
    bank = files.read(results / "kernels/dark_blue_bird/conv1.h5", "kernels")
    assert {domain: len(bank[domain]) for domain in "ABC"} == {"A": 5, "B": 4, "C": 6}
    assert sorted(path.name for path in (results / "cyclegan/dark_blue_bird").iterdir()) == [
        "conv1-ab", "conv1-bc", "conv2-ab", "conv2-bc",
    ]  # fmt: skip
    generated = files.read(results / "generated/dark_blue_bird/cyclegan.h5", "zoo")
    assert generated["domain"].tolist() == ["A"] * 4 + ["C"] * 4
    assert {"fc_a.weight", "fc_b.weight", "fc_c.weight"} <= set(generated)
    table = pd.read_csv(results / "tables/dark_blue_bird/zero_shot.csv")
    assert set(table["method"]) >= {"cyclegan", "average", "parent_c", "product", "ensemble"}
    assert set(table.loc[table["method"] == "cyclegan", "head"]) == {"own", "probe"}
    assert set(table.loc[table["method"] == "parent_c", "n"]) == {6}
    model = export.load(results / "models/dark_blue_bird/cyclegan")
    assert model.concepts == ["dark", "blue", "bird"]
    images = files.read(results / "test_images/dark_blue_bird.h5", "test_images")["images"]
    np.testing.assert_allclose(model.predict(images), model.probabilities(images).prod(1))
    assert model.probabilities(images).shape == (len(images), 3)
    report = (results / "report.html").read_text(encoding="utf-8")
    assert "5 tiny CNNs learned to tell <em>dark</em> (A), 4 to tell <em>blue</em> (B) and 6 to tell" in report
    assert re.search(r"<strong>conv1-bc\.</strong>[^<]*(B to C|C to B)", report)
