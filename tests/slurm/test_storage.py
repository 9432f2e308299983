"""Nothing in the rules needs a shared disk: a whole run is planned on Snakemake's storage plugin for a plain folder."""

import copy

from small_project import CONFIG, Project, draw_folders

STORAGE = ("--default-storage-provider", "fs", "--default-storage-prefix", "store")


def test_a_run_is_planned_on_a_storage_provider(tmp_path, root):
    (tmp_path / "store").mkdir()
    drawn = copy.deepcopy(CONFIG)
    for place in (*drawn["concepts"].values(), drawn["fusions"]["black_cat"]["test"]):
        place |= {"source": "synthetic", "positive": ["black cat"], "negative": ["non-black non-cat"]}
    project = Project(tmp_path, root)
    plain, stored = project.planned(config=drawn), project.planned(*STORAGE, config=drawn)
    assert stored == plain
    assert stored["report"] == 1
    run = project.snakemake("-n", "results/zoo/cat/shard-0000.h5", *STORAGE, config=drawn)
    assert "store/results/zoo/cat/shard-0000.h5 (in storage)" in run.stdout


def test_images_stay_where_they_are(tmp_path, root):
    (tmp_path / "store").mkdir()
    draw_folders(tmp_path / "photos")
    stored = Project(tmp_path, root).planned(*STORAGE, config=CONFIG)
    assert stored["prepare_images"] == 2
