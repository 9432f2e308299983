"""The recipes of docs/contributing.md, followed: a method, an architecture and a classifier go the whole way."""

import contextlib
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from small_project import CONFIG, Project, draw_folders

import zoofuse
from zoofuse.core import files

FOLDERS = ("workflow", "config", "resources")


def recipe(root, heading: str) -> str:
    """The Python of a recipe, as it stands in the documentation."""
    section = (root / "docs/contributing.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


@pytest.fixture(scope="module")
def extended(tmp_path_factory, root):
    """A copy of the project with both recipes followed, and a run of it."""
    folder = tmp_path_factory.mktemp("recipes")
    ignore = shutil.ignore_patterns("__pycache__", "downloads")
    for name in FOLDERS:
        shutil.copytree(root / name, folder / "copy" / name, ignore=ignore)
    shutil.copy(root / "Snakefile", folder / "copy")
    package = folder / "copy/workflow/src/zoofuse"
    (package / "methods/midpoint.py").write_text(recipe(root, "A new method"))
    with (package / "models/architectures.py").open("a") as handle:
        handle.write("\n" + recipe(root, "A new architecture"))
    draw_folders(folder / "run/photos")
    project = Project(folder / "run", folder / "copy")
    config = json.loads(json.dumps(CONFIG))
    config["zoo"]["architecture"] = "four"
    methods = ["midpoint", "nearer", "cyclegan", "random", "parent_a", "parent_b", "average"]
    config["fusions"]["black_cat"]["methods"] = methods
    config["variants"] = {"nearer": {"method": "midpoint", "share": 0.25, "label": "nearer the first parent"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(package.parent))  # whatever else is installed or named there
        run = project.snakemake("test_images", config=config)
        assert run.returncode == 0, run.stdout
        classifier = recipe(root, "A classifier of your own, or somebody else's")
        subprocess.run([sys.executable, "-c", classifier], cwd=project.folder, check=True)
        run = project.snakemake("all", "models", config=config)
    assert run.returncode == 0, run.stdout
    return project


def test_the_classifier_of_a_file_stands_in_every_table_and_the_report(extended):
    tables = extended.folder / "results/tables/black_cat"
    row = pd.read_csv(tables / "zero_shot.csv").set_index("method").loc["darkness"]
    assert row["test_low"] < row["test"] < row["test_high"]
    assert row["supervision"] == "unknown"
    board = pd.read_csv(tables / "leaderboard.csv").set_index("method").loc["darkness"]
    assert (board["protocol"], board["clusterer"]) == ("held_out", "threshold")
    compared = pd.read_csv(tables / "comparisons.csv")
    ours = compared[compared["method"] == "darkness"]
    assert {"midpoint", "cyclegan", "random", "average", "always_no"} <= set(ours["baseline"])
    assert set(ours["verdict"]) <= {"better", "inconclusive", "worse"}
    assert ours[["difference", "low", "high"]].notna().all(axis=None)
    assert "darkness" not in set(compared["baseline"])
    assert "darkness" in (extended.folder / "results/report.html").read_text()


def test_its_file_is_an_input_of_the_tables_and_the_report_only(extended, tmp_path):
    other = Project(shutil.copytree(extended.folder, tmp_path / "other"), extended.root)
    file = other.folder / "resources/predictions/black_cat/darkness.csv"
    content, call = file.read_text(), ("all", "models", "--configfile", "config.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(extended.root / "workflow/src"))
        file.write_text(content.replace("score\n", "score\n", 1).rstrip() + "0\n")  # another digit
        planned = set(other.planned(*call))
        assert planned >= {"import_predictions", "fusion_leaderboard", "report"}
        assert not planned & {"generate", "evaluate_shard", "evaluate_references", "zero_shot_shard", "few_shot"}
        file.write_text(content + "nowhere.png,high\n")
        refused = other.snakemake("-n", *call)
        assert refused.returncode == 1
        assert "resources/predictions/black_cat/darkness.csv: line 32: score 'high' is not a number" in refused.stdout
        file.write_text(content + "nowhere.png,1\n")
        refused = other.snakemake("results/tables/black_cat/leaderboard.csv", "--configfile", "config.yaml")
        assert refused.returncode == 1
        assert "1 of its images are no test images: nowhere.png" in refused.stdout
        assert "Traceback" not in refused.stdout


def test_the_new_method_stands_in_tables_and_report(extended):
    table = pd.read_csv(extended.folder / "results/tables/black_cat/leaderboard.csv")
    assert "midpoint" in set(table["method"])
    assert set(table.loc[table["method"] == "midpoint", "supervision"]) <= {"none", "concept labels"}
    compared = pd.read_csv(extended.folder / "results/tables/black_cat/comparisons.csv")
    assert "midpoint" in set(compared["method"])  # a generated method: compared, not a baseline
    assert "middle of two parents" in (extended.folder / "results/report.html").read_text()


def test_a_variant_of_it_stands_beside_it(extended):
    results = extended.folder / "results"
    made = {name: files.read(results / f"generated/black_cat/{name}.h5", "zoo") for name in ("midpoint", "nearer")}
    first = files.read(results / "zoo/black/shard-0000.h5", "zoo")["conv1.weight"]
    n = len(first)
    apart = {name: arrays["conv1.weight"][:n] - first for name, arrays in made.items()}
    np.testing.assert_allclose(apart["nearer"], apart["midpoint"] / 2, atol=1e-6)
    compared = pd.read_csv(results / "tables/black_cat/comparisons.csv")
    assert {"midpoint", "nearer"} <= set(compared["method"])
    assert "nearer the first parent" in (results / "report.html").read_text()


def test_the_new_architecture_has_four_layers_everywhere(extended):
    results = extended.folder / "results"
    layers = [f"conv{i}" for i in range(1, 5)]
    for path in ("zoo/cat/shard-0000.h5", "generated/black_cat/midpoint.h5", "generated/black_cat/cyclegan.h5"):
        arrays = files.read(results / path, "zoo")
        assert [arrays[f"{layer}.weight"].shape[1:] for layer in layers] == [
            (4, 3, 2, 2), (5, 4, 2, 2), (6, 5, 2, 2), (7, 6, 2, 2)
        ]  # fmt: skip
    assert all((results / f"figures/black_cat/kernels_{layer}.png").is_file() for layer in layers)
    assert "conv4: filters across" in (results / "report.html").read_text()


def test_the_new_method_is_taken_home(extended):
    model = zoofuse.load(extended.folder / "results/models/black_cat/midpoint")
    scores = model.predict(files.read(extended.folder / "results/test_images/black_cat.h5", "test_images")["images"])
    assert scores.shape == (30,)


PROFILES = ("default", "slurm")
OF_AVERAGE = {"generate", "evaluate_shard", "zero_shot_shard", "few_shot", "nearest_parent", "fusion_leaderboard"}
NOT_OF_AVERAGE = {
    "prepare_images",
    "train_zoo_shard",
    "extract_kernels",
    "train_cyclegan",
    "generate_by_training",
    "evaluate_references",
}


@contextlib.contextmanager
def edit(project, path: str, old: str, new: str):
    """An edit of the code, which is then taken back."""
    file = project.root / path
    before = file.read_text()
    assert before.count(old) == 1
    file.write_text(before.replace(old, new))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(project.root / "workflow/src"))
            yield
    finally:
        file.write_text(before)


def edited(project, path: str, old: str, new: str) -> list[dict[str, int]]:
    """What each profile plans after an edit of the code, which is then taken back."""
    profiles = [project.root / "workflow/profiles" / name for name in PROFILES]
    with edit(project, path, old, new):
        call = ("all", "models", "--configfile", "config.yaml")
        return [project.planned(*call, "--workflow-profile", str(profile)) for profile in profiles]


def test_nothing_is_planned_after_the_run(extended):
    path = "workflow/src/zoofuse/methods/generate.py"
    assert edited(extended, path, "def average(", "def average(") == [{}, {}]


def test_an_edited_method_runs_what_depends_on_it_and_nothing_else(extended):
    path = "workflow/src/zoofuse/methods/generate.py"
    for planned in edited(extended, path, "/ len(zoos) for name in names}", "/ 2 for name in names}"):
        assert planned["generate"] == 1
        assert set(planned) >= OF_AVERAGE
        assert not set(planned) & NOT_OF_AVERAGE


def test_an_edited_recipe_trains_the_zoos_again(extended):
    for planned in edited(extended, "workflow/src/zoofuse/zoo/shards.py", "RECIPE = 1", "RECIPE = 2"):
        assert planned["train_zoo_shard"] == 4
        assert "prepare_images" not in planned


def test_an_edited_hidden_setting_runs_what_it_decides(extended):
    path = "workflow/src/zoofuse/evaluation/baselines.py"
    for planned in edited(extended, path, "COMPONENTS = 50", "COMPONENTS = 49"):
        assert planned["evaluate_references"] == 1
        assert not set(planned) & {"train_zoo_shard", "train_cyclegan", "generate", "evaluate_shard"}


def test_a_comment_or_docstring_runs_nothing(extended):
    path = "workflow/src/zoofuse/methods/generate.py"
    old = '"""Control: mean kernels'
    assert edited(extended, path, old, old.replace("mean", "average")) == [{}, {}]
    assert edited(extended, path, "def average(", "# a comment\ndef average(") == [{}, {}]


def test_results_of_older_code_are_kept_on_purpose_and_the_report_says_which(extended, tmp_path):
    """The commands of docs/tutorial.md; without them the edit runs what depends on it, see above."""
    kept = Project(shutil.copytree(extended.folder, tmp_path / "kept"), extended.root)
    call, settings = ("--configfile", "config.yaml"), "workflow/src/zoofuse/methods/generate.py"
    with edit(extended, settings, "/ len(zoos) for name in names}", "/ 2 for name in names}"):
        assert kept.planned(*call)["generate"] == 1
        touched = kept.snakemake("--touch", "predictions", *call)
        assert touched.returncode == 0, touched.stdout
        assert kept.planned(*call) == {}
        assert kept.planned("predictions", *call, "--config", "seed=2")["train_zoo_shard"] == 4  # settings still count
        made = kept.snakemake("all", *call, "-R", "report")
        assert made.returncode == 0, made.stdout
    html = (kept.folder / "results/report.html").read_text()
    assert "Made by older code and kept: CNNs of average. The present code may give other numbers." in html
    rows = re.findall(r"<tr>((?:<td[^>]*>[^<]*</td>)+)</tr>", html)
    rows = [re.findall(r">([^<]*)</td>", row) for row in rows]
    aged = [cells for cells in rows if cells[-1] in ("older", "present")]
    assert {cells[0] for cells in aged} >= {"midpoint", "average", "cyclegan"}
    assert all(("average" in cells) == (cells[-1] == "older") for cells in aged)
    assert "older code" not in (extended.folder / "results/report.html").read_text()
