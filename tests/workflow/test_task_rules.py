"""Many tasks by their target: snakemake tasks."""

import pandas as pd
import pytest
from small_project import Project

CONFIG = {
    "tasks": {
        "tiny": {
            "source": "folder",
            "classes": ["cat", "car", "tree", "cup", "bird"],
            "models": 2,
            "seen": 2,
            "unseen": 3,
            "small": 1,
            "epochs": 1,
            "images_per_epoch": 20,
            "retrained": 1,
            "hypernetwork": 2,
            "netspace": 2,
            "code_steps": 2,
        }
    },
    "images_root": "shown",
    "zoo": {"device": "cpu"},
}
RULES = ("odds", "share", "or", "or_and_not", "largest", "mean")


@pytest.fixture(scope="module")
def measured(tmp_path_factory, root) -> Project:
    from PIL import Image

    from zoofuse.data import synthetic

    folder = tmp_path_factory.mktemp("tasks")
    for part, n in (("train", 12), ("test", 6)):
        for kind in CONFIG["tasks"]["tiny"]["classes"]:
            (folder / "shown" / part / kind).mkdir(parents=True)
            images, names = synthetic.draw([kind], n, 1, f"{part}/{kind}")
            for image, name in zip(images, names, strict=True):
                Image.fromarray(image).save(folder / "shown" / part / kind / f"{name}.png")
    project = Project(folder, root)
    run = project.snakemake("tasks", config=CONFIG)
    assert run.returncode == 0, run.stdout
    assert "minus a CNN trained on the task" in run.stdout
    return project


def test_every_way_has_a_row_for_every_task(measured):
    table = pd.read_csv(measured.folder / "results/tasks/tasks.csv")
    assert list(table)[:7] == ["task", "held_out", "way", "given", "auroc", "balanced_accuracy", "seconds"]
    ways = {*(f"zoo_{rule}" for rule in RULES), *(f"single_{rule}" for rule in RULES)}
    ways |= {"one_network", "hypernetwork", "netspace", "retrained", "larger_class"}
    by_task = table.groupby(["held_out", "task"])["way"].agg(set)
    assert by_task[False].tolist() == [ways] * 2
    assert by_task[True].tolist() == [ways | {"student", "nearest_seen"}] * 3
    summary = pd.read_csv(measured.folder / "results/tasks/summary.csv")
    begin = ["way", "n_tasks", "auroc", "low", "high", "minus_retrained", "minus_retrained_low", "minus_retrained_high"]
    assert list(summary)[: len(begin)] == begin
    assert set(summary["n_tasks"]) == {3}
    assert (measured.folder / "results/tasks/tasks.png").stat().st_size > 10_000


def test_a_second_call_and_other_numbers_of_cnns_re_run_only_what_depends_on_them(measured):
    assert measured.planned("tasks", config=CONFIG) == {}
    tiny = CONFIG["tasks"]["tiny"]
    planned = measured.planned("tasks", config=CONFIG | {"tasks": {"tiny": tiny | {"retrained": 2}}})
    assert set(planned) == {"task_rows", "task_tables", "tasks"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seen": 20}, "5 classes have 10 tasks of at least two classes on either side"),
        ({"classes": ["cat", "car", "tree"]}, "tasks.tiny.classes"),
        ({"source": "synthetic", "classes": ["cat", "car", "tree", "cupp"]}, "did you mean cup"),
    ],
)
def test_what_can_t_be_is_said_before_any_job(measured, change, words):
    run = measured.snakemake("-n", "tasks", config=CONFIG | {"tasks": {"tiny": CONFIG["tasks"]["tiny"] | change}})
    assert run.returncode == 1
    assert words in run.stdout
    assert "Traceback" not in run.stdout


def test_a_thousand_tasks_are_few_jobs(tmp_path, root):
    kinds = ["cat", "dog", "rabbit", "bird", "fish", "car", "house", "tree", "cup", "ball", "shoe"]
    many = {"source": "synthetic", "classes": kinds, "seen": 12, "unseen": 1000}
    planned = Project(tmp_path, root).planned("tasks", config={"tasks": {"many": many}})
    assert planned["task_rows"] == 51  # of 20 tasks each
    assert sum(planned.values()) < 200
