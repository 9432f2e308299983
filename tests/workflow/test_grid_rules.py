"""A small grid of conjunctions, from its images to the tables over held-out pairs."""

import pandas as pd
import pytest
from small_project import Project

from zoofuse.core import files

CONFIG = {
    "grid": {
        "tiny": {
            "attributes": ["black", "white", "red"],
            "objects": ["cat", "car", "house", "ball"],
            "held_out": 2,
            "seen": 0,
            "models": 3,
            "images": 20,
            "test_images": 15,
            "methods": ["direct", "random", "operator", "product", "ensemble_softened"],
        }
    },
    "zoo": {"images_per_epoch": 60, "epochs": 2},
    "distil": {"models": 1, "images": 200, "epochs": 2},
    "operator": {"images": 100, "epochs": 2},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory, root):
    project = Project(tmp_path_factory.mktemp("grid"), root)
    run = project.snakemake("grid", config=CONFIG)
    assert run.returncode == 0, run.stdout
    return project


def test_every_pair_and_method_has_a_row(made):
    pairs = pd.read_csv(made.folder / "results/grid/pairs.csv")
    assert ",".join(pairs.columns).startswith("grid,pair,held_out,method,supervision,n,auroc")
    assert pairs.groupby("pair")["method"].apply(list).map(tuple).unique().tolist() == [
        tuple(CONFIG["grid"]["tiny"]["methods"])
    ]
    assert pairs.groupby("held_out")["pair"].nunique().to_dict() == {True: 2}
    assert pairs["auroc"].between(0, 1).all()
    summary = pd.read_csv(made.folder / "results/grid/summary.csv").set_index("method")
    product = pairs[pairs["held_out"]].pivot_table(index="pair", columns="method", values="auroc")
    expected = (product["product"] - product["direct"]).mean()
    assert summary.loc["product", "minus_direct"] == pytest.approx(expected)
    assert summary.loc["direct", "supervision"] == "concept labels"
    assert summary.loc["operator", "supervision"] == "other concepts"
    assert (made.folder / "results/grid/gains.png").stat().st_size > 10_000


def test_no_training_image_shows_a_held_out_pair(made):
    pairs = pd.read_csv(made.folder / "results/grid/pairs.csv")
    held_out = {pair.replace(" ", "_") for pair in pairs.loc[pairs["held_out"], "pair"]}
    concepts = list((made.folder / "results/grid/tiny/images").glob("*.h5"))
    assert len(concepts) >= 3  # those of the measured pairs
    for path in concepts:
        shown = files.read(path, "images", ["groups"])["groups"].tolist()
        assert not held_out & set(shown)


def test_other_methods_measure_pairs_again_and_train_no_zoo(made):
    changed = {"grid": {"tiny": CONFIG["grid"]["tiny"] | {"methods": ["random", "product"]}}}
    planned = made.snakemake("-n", "grid", config=CONFIG | changed).stdout
    assert "grid_pair" in planned
    assert "rule grid_concept" not in planned
    assert "rule grid_pool" not in planned


def test_a_configuration_without_a_grid_says_where_one_is(made):
    run = made.snakemake("-n", "grid", config={"seed": 1})
    assert run.returncode == 1
    assert "There is no grid in the configuration. Call with --configfile config/grid.yaml." in run.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"held_out": 9}, "grid.tiny.held_out: 9 pairs can't be held out"),
        ({"attributes": ["black", "blakc"]}, "'blakc' is not a colour of synthetic images"),
        ({"source": "folder"}, "grid.tiny: write pairs: [...]"),
        ({"methods": ["cyclegan"]}, "grid.tiny.methods.0"),
    ],
)
def test_an_impossible_grid_is_refused_before_any_job(made, change, words):
    run = made.snakemake("-n", "grid", config=CONFIG | {"grid": {"tiny": CONFIG["grid"]["tiny"] | change}})
    assert run.returncode == 1
    assert words in run.stdout
    assert "Traceback" not in run.stdout
