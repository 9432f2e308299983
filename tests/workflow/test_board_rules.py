"""The leaderboard by its target, with the method of docs/leaderboard.md: snakemake leaderboard."""

import re
import sys

import pandas as pd
import pytest
from small_project import Project

CONFIG = {
    "factory": {
        "tiny": {
            "source": "synthetic",
            "classes": {"cat": ["cat"], "car": ["car"], "tree": ["tree"]},
            "images": 60,
            "layers": ["conv 4 3 stride=2", "activation", "max 2", "linear"],
            "size": 16,
            "models": 24,
            "images_per_epoch": 100,
            "factors": {"learning_rate": 0.01, "epochs": 4},
        }
    },
    "leaderboard": {
        "zoos": ["tiny"],
        "generators": ["rebasin", "flow"],
        "held_out": 6,
        "networks": 4,
        "seeds": 2,
        "steps": 5,
        "methods": {"halved": {"command": f"{sys.executable} halved.py"}},
    },
    "zoo": {"backend": "serial"},
}
FIRST = "track,zoo,method,given,seeds,n,quality,quality_low,quality_high,novelty_weights,novelty_predictions,"


@pytest.fixture(scope="module")
def measured(tmp_path_factory, root) -> Project:
    folder = tmp_path_factory.mktemp("board")
    (example,) = re.findall(r"^```python\n(.*?)^```", (root / "docs/leaderboard.md").read_text(), re.M | re.S)
    assert len(example.splitlines()) <= 12
    (folder / "halved.py").write_text(example)
    project = Project(folder, root)
    run = project.snakemake("leaderboard", config=CONFIG)
    assert run.returncode == 0, run.stdout
    assert "methods are significantly better than noise of matched size at equal novelty." in run.stdout
    return project


def test_every_method_has_its_row_and_controls_are_what_they_are(measured):
    path = measured.folder / "results/leaderboard/leaderboard.csv"
    assert path.read_text().startswith(f"{FIRST}seconds_per_network,verdict,")
    rows = pd.read_csv(path).set_index("method")
    assert {"copy", "held_out", "noise_0.05", "noise_1.5", "rebasin", "flow", "halved"} <= set(rows.index)
    assert set(rows["n"]) == {8}
    assert rows.loc["copy", ["novelty_weights", "novelty_predictions"]].abs().max() < 1e-3
    assert rows.loc["copy", "verdict"] == "copies"
    assert 0.7 < rows.loc["held_out", "novelty_weights"] < 1.4
    noise = rows[rows.index.str.startswith("noise_")]
    assert noise["novelty_weights"].is_monotonic_increasing
    assert rows["counted"][rows["counted"]].index.tolist() == ["rebasin", "flow", "halved"]
    assert rows.loc["halved", "given"] == "weights"
    assert rows.loc["halved", "seconds_per_network"] > 0
    assert rows.loc["rebasin", "novelty_weights"] > 0.1
    report = (measured.folder / "results/leaderboard/report.html").read_text()
    assert "methods are significantly better than noise" in report
    assert report.count('data-plot="') == 2


def test_only_what_changed_runs_again(measured):
    assert measured.planned("leaderboard", config=CONFIG) == {}
    board = CONFIG["leaderboard"]
    planned = measured.planned("leaderboard", config=CONFIG | {"leaderboard": board | {"steps": 6}})
    assert planned == {"board_networks": 1, "board_measured": 1, "board_table": 1, "leaderboard": 1}
    script = measured.folder / "halved.py"
    text = script.read_text()
    script.write_text(text.replace("/ 2", "/ 3"))
    planned = measured.planned("leaderboard", config=CONFIG)
    script.write_text(text)
    assert planned == {"board_submission": 1, "board_measured": 1, "board_table": 1, "leaderboard": 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"zoos": ["tinny"]}, "leaderboard.zoos: 'tinny' is unknown; write some of tiny, "),
        ({"generators": ["flows"]}, "did you mean flow?"),
        ({"held_out": 7}, "12 for each of 2 seeds, and 7 are more than half of these; write at most 6, or more models"),
        ({"methods": {"copy": {"command": "x"}}}, "leaderboard.methods.copy: is the name of a method"),
        ({"zoos": []}, "Call with --configfile config/leaderboard.yaml"),
    ],
)
def test_what_can_t_be_is_said_before_any_job(tmp_path, root, change, words):
    project = Project(tmp_path, root)
    run = project.snakemake("-n", "leaderboard", config=CONFIG | {"leaderboard": CONFIG["leaderboard"] | change})
    assert run.returncode == 1
    assert words in run.stdout
    assert "Traceback" not in run.stdout
