"""Beyond the published case: three concepts at once and deeper CNNs, through the same files to the report."""

import copy
import re

import numpy as np
import pandas as pd
import pytest
from small_project import Project

from zoofuse.core import files
from zoofuse.export import models

# Three words of one drawing: "dark blue bird".
CONFIG = {
    "concepts": {
        "dark": {"positive": ["dark non-blue"], "negative": ["non-dark"], "source": "synthetic", "models": 5},
        "blue": {"positive": ["non-dark blue"], "negative": ["non-blue"], "source": "synthetic", "models": 4},
        "bird": {"positive": ["non-blue bird"], "negative": ["non-bird"], "source": "synthetic", "models": 6},
    },
    "fusions": {
        "dark_blue_bird": {
            "concepts": ["dark", "blue", "bird"],
            "methods": ["cyclegan", "parent_c"],
            "test": {
                "source": "synthetic",
                "positive": ["dark blue bird"],
                "negative": ["dark non-blue", "non-dark bird"],
            },
        }
    },
    "synthetic": {"images": 20, "test_images": 16},
    "zoo": {"architecture": "deep", "epochs": 1, "images_per_epoch": 16, "device": "cpu"},
    "cyclegan": {"epochs": 1, "hidden": 2},
    "evaluation": {"zero_shot": {"supervised": 0}},
}
SHAPES = {"conv1": (32, 3, 3, 3), "conv2": (64, 32, 3, 3), "conv3": (128, 64, 3, 3)}


@pytest.fixture
def empty(tmp_path, root) -> Project:
    """A folder without images: images are drawn."""
    return Project(tmp_path, root)


def test_three_concepts_of_deeper_cnns_walk_to_the_report(empty):
    run = empty.snakemake("all", "results/models/dark_blue_bird/cyclegan/config.json", config=CONFIG)
    assert run.returncode == 0, run.stdout
    results = empty.folder / "results"
    generated = files.read(results / "generated/dark_blue_bird/cyclegan.h5", "zoo")
    for layer, shape in SHAPES.items():
        bank = files.read(results / f"kernels/dark_blue_bird/{layer}.h5", "kernels")
        assert {domain: bank[domain].shape for domain in "ABC"} == {
            "A": (5, *shape),
            "B": (4, *shape),
            "C": (6, *shape),
        }
        assert generated[f"{layer}.weight"].shape == (8, *shape)
        assert (results / f"figures/dark_blue_bird/kernels_{layer}.png").exists()
    translators = sorted(path.name for path in (results / "cyclegan/dark_blue_bird").iterdir())
    assert translators == [f"{layer}-{pair}" for layer in SHAPES for pair in ("ab", "bc")]
    assert generated["domain"].tolist() == ["A"] * 4 + ["C"] * 4
    assert {f"fc_{side}.weight" for side in "abc"} <= set(generated)

    table = pd.read_csv(results / "tables/dark_blue_bird/zero_shot.csv")
    assert set(table["method"]) >= {"cyclegan", "parent_c", "product", "ensemble"}
    assert set(table.loc[table["method"] == "cyclegan", "head"]) == {"own", "probe"}
    assert set(table.loc[table["method"] == "parent_c", "n"]) == {6}

    model = models.load(results / "models/dark_blue_bird/cyclegan")
    assert (model.concepts, model.config["architecture"]["features"]) == (["dark", "blue", "bird"], 512)
    images = files.read(results / "test_images/dark_blue_bird.h5", "test_images")["images"]
    assert model.probabilities(images).shape == (len(images), 3)
    np.testing.assert_allclose(model.predict(images), model.probabilities(images).prod(1))

    report = (results / "report.html").read_text(encoding="utf-8")
    assert (
        "5 small CNNs were trained to detect <em>dark</em> (A), 4 to detect <em>blue</em> (B) and 6 to detect" in report
    )
    assert re.search(r"<strong>conv3-bc\.</strong>[^<]*(B to C|C to B)", report)
    assert "third-layer kernels" in report


def test_all_zoos_of_three_are_aligned_and_all_neighbours_translated(empty):
    config = copy.deepcopy(CONFIG)
    config["zoo"]["architecture"] = "published"
    config["fusions"]["dark_blue_bird"]["align"] = True
    planned = empty.planned(config=config)
    assert (planned["align_zoo"], planned["extract_kernels"], planned["train_cyclegan"]) == (3, 2, 4)
