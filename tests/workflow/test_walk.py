"""The whole walk, by the commands that users type."""

import copy
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from small_project import CONFIG

from zoofuse.core import files

FIRST_COLUMNS = ["method", "domain", "model", "accuracy", "precision", "recall", "entropy", "purity"]


def changed(**blocks) -> dict:
    """CONFIG with keys of some blocks changed."""
    config = copy.deepcopy(CONFIG)
    for name, keys in blocks.items():
        config[name] = config.get(name, {}) | keys
    return config


@pytest.fixture
def copied(made, tmp_path):
    """The finished project, free to be changed."""
    shutil.copytree(made.folder, tmp_path / "copy", copy_function=shutil.copy2)
    return type(made)(tmp_path / "copy", made.root)


def test_files_that_others_rely_on(made):
    results = made.folder / "results"
    images = files.read(results / "images/cat.h5", "images")
    assert images["images"].shape == (60, 32, 32, 3)
    assert images["images"].dtype == np.uint8
    shard = files.read(results / "zoo/cat/shard-0001.h5", "zoo")
    assert shard["conv1.weight"].shape == (2, 6, 3, 5, 5)
    assert shard["fc1.weight"].shape == (2, 2, 400)
    assert shard["model"].tolist() == [4, 5]
    bank = files.read(results / "kernels/black_cat/conv2.h5", "kernels")
    assert bank["A"].shape == (5, 16, 6, 5, 5)
    assert bank["B"].shape == (6, 16, 6, 5, 5)
    counts = {"cyclegan": 10, "random": 5, "parent_a": 5, "parent_b": 6, "average": 5}
    counts |= dict.fromkeys(("noise", "shuffled", "matched"), 10) | dict.fromkeys(
        ("distil", "distil_weights", "direct"), 1
    )
    for method, count in counts.items():
        assert len(files.read(results / f"generated/black_cat/{method}.h5", "zoo")["model"]) == count, method
    for clusterer in ("kmeans", "dbscan", "one_class_svm"):
        table = pd.read_csv(results / f"tables/black_cat/{clusterer}.csv")
        assert list(table.columns[:8]) == FIRST_COLUMNS
        assert table.groupby("method").size().to_dict() == counts
        assert table["accuracy"].between(0, 1).all()
        assert (table[["tp", "fp", "fn", "tn"]].sum(axis=1) == 30).all()


def test_tables_of_both_protocols_are_never_mixed(made):
    tables = made.folder / "results/tables/black_cat"
    for clusterer in ("kmeans", "dbscan", "one_class_svm"):
        assert set(pd.read_csv(tables / f"{clusterer}.csv")["protocol"]) == {"published"}
        assert set(pd.read_csv(tables / f"held_out_{clusterer}.csv")["protocol"]) == {"held_out"}
    leaderboard = pd.read_csv(tables / "leaderboard.csv")
    columns = "method,protocol,clusterer,n,median,q25,q75,selected,test,test_low,test_high"
    assert ",".join(leaderboard.columns[:11]) == columns
    assert not leaderboard.duplicated(["method", "protocol", "clusterer"]).any()
    published = leaderboard["protocol"] == "published"
    assert leaderboard.loc[published, "test_low"].isna().all()  # a maximum selected on the test has no interval
    honest = leaderboard[~published]
    assert (honest["test_low"] <= honest["test"]).all()
    assert (honest["test"] <= honest["test_high"]).all()
    zero_shot = pd.read_csv(tables / "zero_shot.csv")
    assert ",".join(zero_shot.columns[:8]) == "method,head,n,median,selected,test,test_low,test_high"
    assert {"direct", "product", "ensemble", "supervised", "colour", "cyclegan"} <= set(zero_shot["method"])
    comparisons = pd.read_csv(tables / "comparisons.csv")
    assert set(comparisons["method"]) == {"cyclegan", "distil", "distil_weights"}
    assert {"direct", "random", "noise", "ensemble", "pixels"} <= set(comparisons["baseline"])


def test_an_aligned_and_joint_fusion_is_one_of_the_same_cnns(copied):
    config = copy.deepcopy(CONFIG)
    config["fusions"]["black_cat"]["align"] = True
    config["variants"] = {
        "cyclegan_biases": {"method": "cyclegan", "biases": "parents"},
        "cyclegan_chosen": {"method": "cyclegan", "parents": "best"},
    }
    made = [
        f"results/generated/black_cat/{name}.h5" for name in ("cyclegan_distil", "cyclegan_biases", "cyclegan_chosen")
    ]
    planned = copied.planned(*made, config=config)
    assert planned["align_zoo"] == planned["extract_kernels"] == planned["train_cyclegan"] == 2
    config["fusions"]["black_cat"]["joint"] = True
    planned = copied.planned(*made, config=config)
    assert (planned["align_zoo"], planned["extract_kernels"], planned["train_cyclegan"]) == (2, 1, 1)
    made.append("results/generated/black_cat/repair.h5")
    run = copied.snakemake(*made, config=config)
    assert run.returncode == 0, run.stdout
    results = copied.folder / "results"
    first = files.read(results / "zoo/black/shard-0000.h5", "zoo")
    aligned = files.read(results / "aligned/black_cat/a.h5", "zoo")
    assert np.array_equal(aligned["conv1.weight"][0], first["conv1.weight"][0])  # the reference itself
    order = np.sort(aligned["conv1.weight"][3].reshape(6, -1), axis=0)
    assert np.array_equal(order, np.sort(first["conv1.weight"][3].reshape(6, -1), axis=0))
    distilled, biases, chosen, repaired = (files.read(copied.folder / path, "zoo") for path in made)
    assert distilled["domain"].tolist() == ["A", "B"]
    assert (distilled["nearest_parent"] > 0.3).all()  # not a copy
    plain = files.read(results / "generated/black_cat/cyclegan.h5", "zoo")
    n = len(plain["model"]) // 2
    assert np.array_equal(biases["conv2.weight"], plain["conv2.weight"])
    assert np.array_equal(biases["conv1.bias"][n:], aligned["conv1.bias"][:n])  # in the order of the kernels
    assert len(chosen["model"]) == 2 * -(-n // 4)
    assert repaired["domain"].tolist() == ["-"] * n


def test_better_parameters_are_looked_for_when_asked(copied):
    config = copy.deepcopy(CONFIG)
    config["fusions"]["black_cat"]["methods"] = ["random"]
    config["evaluation"] = {"search": 1}
    run = copied.snakemake("results/tables/black_cat/search.csv", config=config)
    assert run.returncode == 0, run.stdout
    table = pd.read_csv(copied.folder / "results/tables/black_cat/search.csv")
    assert set(table["features"]) == {"plain", "cosine", "mahalanobis", "probe_weighted"}
    assert table.groupby("clusterer")["chosen"].sum().to_dict() == {"dbscan": 1, "kmeans": 1, "one_class_svm": 1}


def test_the_report_needs_no_network(made):
    html = (made.folder / "results/report.html").read_text()
    assert len(html) < 10e6
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)
    assert not re.search(r"url\(['\"]?(https?:)?//|@import", html)
    assert html.count("data:image/") >= 8  # examples, zoo 2, kernels 2, cyclegan, cosine 2


def test_a_second_run_has_nothing_to_do(made):
    assert made.planned(config=CONFIG) == {}


def test_two_cores_train_two_things_at_once(made):
    log = (made.folder / "results/logs/generate_by_training/black_cat-direct.log").read_text()
    assert "Training on cpu, threads: 1." in log


def test_order_of_keys_and_unrelated_settings_re_run_nothing(made):
    turned = {key: CONFIG[key] for key in reversed(CONFIG)}
    turned["zoo"] = dict(reversed(CONFIG["zoo"].items()))
    turned["concepts"] = dict(reversed(CONFIG["concepts"].items()))
    unrelated = {"zoo": {"threads": 1, "backend": "serial"}, "synthetic": {"images": 77}, "downloads": {"cifar10": {}}}
    assert made.planned("tables", config=turned) == {}
    assert made.planned(config=changed(**unrelated)) == {}


def test_a_setting_re_runs_what_depends_on_it_only(made):
    planned = made.planned("tables", config=changed(evaluation={"dbscan": {"eps": 1}}))
    assert set(planned) == {
        "tables", "evaluate_shard", "evaluate_references", "fusion_leaderboard", "clusterer_tables",
    }  # fmt: skip
    planned = made.planned("tables", config=changed(cyclegan={"epochs": 3}))
    assert "train_zoo_shard" not in planned
    assert planned["train_cyclegan"] == 2


def test_growing_a_zoo_trains_only_the_new(copied):
    before = files.read(copied.folder / "results/zoo/cat/shard-0001.h5", "zoo")
    grown = copy.deepcopy(CONFIG)
    grown["concepts"]["cat"]["models"] = 11  # shards of 4: one is full, one grows from 2 to 4, one is new
    assert copied.planned("zoos", config=grown) == {"train_zoo_shard": 2, "zoos": 1}
    run = copied.snakemake("zoos", config=grown)
    assert run.returncode == 0, run.stdout
    assert "2 of 4 CNNs are already trained" in run.stdout
    after = files.read(copied.folder / "results/zoo/cat/shard-0001.h5", "zoo")
    for name in before:
        assert np.array_equal(before[name], after[name][:2]), name


def test_other_shards_train_nothing(copied):
    run = copied.snakemake("zoos", config=changed(zoo={"shard_size": 3}))
    assert run.returncode == 0, run.stdout
    assert "3 of 3 CNNs are already trained" in run.stdout
    assert "image passes; " not in run.stdout


def test_a_copied_project_with_an_added_image_notices_it(copied):
    assert copied.planned(config=CONFIG) == {}
    added = next((copied.folder / "photos/black").iterdir())
    shutil.copy(added, copied.folder / "photos/cat_random/added.png")
    assert copied.planned("results/images/cat.h5", config=CONFIG) == {"prepare_images": 1}
    assert copied.planned("results/images/black.h5", config=CONFIG) == {}


def test_asking_for_one_file_makes_only_what_it_needs(project):
    planned = project.planned("results/zoo/cat/shard-0000.h5", config=CONFIG)
    assert planned == {"prepare_images": 1, "train_zoo_shard": 1}
    planned = project.planned("results/tables/black_cat/kmeans.csv", config=CONFIG)
    assert planned == {
        "prepare_images": 2, "prepare_test_images": 1, "train_zoo_shard": 4, "extract_kernels": 2,
        "train_cyclegan": 2, "generate": 8, "generate_by_training": 3, "evaluate_shard": 11, "clusterer_tables": 1,
    }  # fmt: skip


def test_the_published_size_is_planned(project):
    config = ["--configfile", str(project.root / "config/paper.yaml")]
    planned = project.planned(*config)
    assert planned["train_zoo_shard"] == 14 + 22  # 1,749 and 2,749 CNNs in shards of 128
    assert planned["train_cyclegan"] == planned["extract_kernels"] == 2
    # alone it lies on the synthetic images; with images_root on the images
    run = project.snakemake("-n", "-p", *config, "--config", "images_root=nowhere")
    assert run.returncode != 0
    assert "nowhere" in run.stdout


def test_the_default_and_a_single_shard_of_it(project):
    assert project.planned()["report"] == 1
    small = {"concepts": {"cat": {"models": 4}}, "zoo": {"epochs": 1}, "synthetic": {"images": 40}}
    run = project.snakemake("results/zoo/cat/shard-0000.h5", config=small)
    assert run.returncode == 0, run.stdout
    assert len(files.read(project.folder / "results/zoo/cat/shard-0000.h5", "zoo")["model"]) == 4


def test_a_workflow_without_fusions_makes_zoos(project):
    config = {key: value for key, value in CONFIG.items() if key != "fusions"}
    assert project.planned("zoos", config=config)["train_zoo_shard"] == 4


def test_files_that_nobody_configured_are_refused_by_name(project):
    run = project.snakemake("-n", "results/zoo/dog/shard-0000.h5", config=CONFIG)
    assert run.returncode != 0
    assert "There is no concept 'dog' in the configuration; it has cat, black" in run.stdout


def test_runs_from_several_seeds_are_put_together(made, copied):
    """The commands of docs/results: the same settings in another folder, with another seed, then both together."""
    config = changed(evaluation={"zero_shot": {"supervised": 1}})
    config["images_root"] = str(copied.folder / "photos")
    config["fusions"]["black_cat"]["methods"] = ["distil_weights", "random"]
    table, folder = "results/tables/black_cat/replicates.csv", copied.folder / "runs/2"
    early = copied.snakemake(table, "-n", config=config | {"replicates": ["runs/2"]})
    assert early.returncode
    assert "snakemake tables --directory runs/2 --config seed=NUMBER" in early.stdout
    folder.mkdir(parents=True)
    leaderboard = "results/tables/black_cat/leaderboard.csv"
    run = copied.snakemake(leaderboard, "--directory", "runs/2", config=config | {"seed": 2})
    assert run.returncode == 0, run.stdout
    run = copied.snakemake(leaderboard, table, config=config | {"replicates": ["runs/2"]})
    assert run.returncode == 0, run.stdout
    found = pd.read_csv(copied.folder / table).set_index(["method", "clusterer", "against"])
    ours, theirs = (pd.read_csv(place / leaderboard) for place in (copied.folder, folder))
    for method in ("distil_weights", "random"):
        medians = [
            of[(of["method"] == method) & (of["clusterer"] == "kmeans") & (of["protocol"] == "held_out")][
                "median"
            ].item()
            for of in (ours, theirs)
        ]
        row = found.loc[(method, "kmeans", "all")]
        assert row["runs"] == 2
        assert [row["least"], row["greatest"]] == pytest.approx(sorted(medians), abs=1e-5)
    assert (copied.folder / "results/figures/black_cat/replicates.png").stat().st_size > 10_000
