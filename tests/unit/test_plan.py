"""The plan that a dry run prints."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from zoofuse import config
from zoofuse.core import csv_files, files
from zoofuse.models import cnn
from zoofuse.workflow import estimate

METHODS = ["cyclegan", "random", "parent_a", "parent_b"]
TEST = {"source": "synthetic", "positive": ["black cat"], "negative": ["non-black"]}


def configured(**blocks) -> dict:
    drawn = {"source": "synthetic", "positive": ["cat"], "negative": ["non-cat"]}
    return config.complete(
        {
            "concepts": {"cat": drawn | {"models": 1000}, "black": drawn | {"models": 300, "images_per_epoch": 500}},
            "fusions": {"black_cat": {"concepts": ["black", "cat"], "methods": METHODS, "test": TEST}},
        }
        | blocks
    )


def by_name(found: list[estimate.Stage]) -> dict[str, estimate.Stage]:
    return {stage.name: stage for stage in found}


def test_what_it_knows_of_the_package():
    assert (
        cnn.ARCHITECTURES["published"].slower == 1 < cnn.ARCHITECTURES["wide"].slower < cnn.ARCHITECTURES["deep"].slower
    )


def test_factory_zoos_stand_below_the_table():
    classes = {word: [word] for word in ("cat", "dog", "car", "cup")}
    zoo = {"source": "synthetic", "classes": classes, "models": 1000, "images_per_epoch": 800, "held_out": 30}
    zoo |= {"architecture": "published", "factors": {"epochs": [2, 6]}}
    configuration = configured(factory={"kinds": zoo, "twice": zoo | {"factors": {"epochs": 8}, "checkpoint_every": 4}})
    once, twice = estimate.factory_stages(configuration, estimate.Rates(samples_per_second=1e5))
    assert (once.jobs, once.cnns) == (8, 128)
    assert once.hours * 3600 == pytest.approx(128 * 4 * (800 + 4 * 2 * 30 / 3) / 1e5, rel=0.01)
    assert twice.hours == pytest.approx(2 * once.hours)
    assert twice.gigabytes == pytest.approx(3 * once.gigabytes, rel=0.05), "two checkpoints beside the final weights"
    assert once.gigabytes == pytest.approx(1000 * 4 * 4476 / 1e9, rel=0.05)
    assert "the factory zoo kinds (snakemake factory), up to 128 CNNs in each of 8 jobs" in estimate.text(configuration)


def test_jobs_and_hours():
    rates = estimate.Rates(samples_per_second=1e6, ms_per_step={"conv1": 100, "conv2": 300}, cnns_per_second=2)
    found = by_name(estimate.stages(configured(), rates))
    cat, black = found["zoo of cat"], found["zoo of black"]
    assert (cat.jobs, cat.cnns) == (8, 128)
    assert (black.jobs, black.cnns) == (3, 128)
    assert cat.hours * 3600 == pytest.approx(128 * 20 * 1000 / 1e6)
    assert black.hours == pytest.approx(cat.hours / 2)  # half the images
    # 200 epochs of 1,000 pairs in batches of 64
    assert found["CycleGANs of black_cat"].hours * 3600 == pytest.approx(200 * 16 * 0.2)
    # 2 x 300, 300, 300 and 1,000 CNNs in shards of 64
    evaluation = found["evaluation of black_cat"]
    assert (evaluation.jobs, evaluation.cnns) == (10 + 5 + 5 + 16, 64)
    assert evaluation.hours * 3600 == pytest.approx(32)


def test_deeper_cnns_take_longer():
    before, after = (by_name(estimate.stages(configured(zoo={"architecture": name}), estimate.Rates()))
                     for name in ("published", "deep"))  # fmt: skip
    assert after["zoo of cat"].hours == pytest.approx(cnn.ARCHITECTURES["deep"].slower * before["zoo of cat"].hours)
    one, three = (found["CycleGANs of black_cat"] for found in (before, after))
    assert (one.jobs, three.jobs) == (2, 3)
    hours, ms = before["CycleGANs of black_cat"].hours * 2, estimate.Rates().ms_per_step
    expected = hours * (ms["conv1"] * 864 / 450 + ms["conv2"] * (18432 + 73728) / 2400) / sum(ms.values())
    assert three.hours * 3 == pytest.approx(expected)


def test_three_concepts_have_translators_between_neighbours():
    asked = configured()
    asked["concepts"]["small"] = asked["concepts"]["cat"] | {"models": 500}
    asked["fusions"]["black_cat"] |= {
        "concepts": ["black", "cat", "small"],
        "methods": ["cyclegan", "parent_c", "distil_weights"],
    }
    rates = estimate.Rates(ms_per_step={"conv1": 100, "conv2": 300})
    found = by_name(estimate.stages(asked, rates))
    cyclegans = found["CycleGANs of black_cat"]
    assert cyclegans.jobs == 4
    # 200 epochs of 1,000 pairs in batches of 64: 300 black with 1,000 cats, 1,000 cats with 500 small ones
    assert cyclegans.hours * 3600 == pytest.approx(200 * 16 * 0.2)
    assert found["evaluation of black_cat"].jobs == 10 + 8 + 1
    leaves = asked["distil_weights"]["images"] * asked["distil_weights"]["epochs"]
    seconds = 8 * leaves / rates.student_samples_per_second
    assert found["distilling of black_cat"].hours * 3600 == pytest.approx(seconds)
    asked["fusions"]["black_cat"]["methods"] = ["direct"]
    asked["distil"] |= {"images": 100, "epochs": 3, "models": 2}  # 100 of each concept, and of one of them once more
    few = by_name(estimate.stages(asked, rates))["distilling of black_cat"].hours * 3600
    assert few == pytest.approx(2 * 900 / rates.student_samples_per_second)


def test_settings_change_the_plan():
    limited = configured(evaluation={"models": 10, "baselines": 5}, cyclegan={"hidden": 32, "epochs": 100})
    before, after = (by_name(estimate.stages(c, estimate.Rates())) for c in (configured(), limited))
    assert after["CycleGANs of black_cat"].hours == pytest.approx(before["CycleGANs of black_cat"].hours / 4)
    assert (after["evaluation of black_cat"].jobs, after["evaluation of black_cat"].cnns) == (4, 20)
    existing = configured()
    existing["concepts"]["cat"] = {"zoo": "cat.h5", "models": 1000}
    existing["fusions"]["black_cat"]["generators"] = "generators.h5"
    names = [stage.name for stage in estimate.stages(existing, estimate.Rates())]
    assert names == [
        f"{stage} of black{'_cat' * (stage != 'zoo')}" for stage in ("zoo", "evaluation", "zero-shot", "references")
    ]


def test_cnns_that_are_trained_again(tmp_path):
    asked = configured(distil={"models": 5}, netspace={"fuse": {"models": 3}})
    asked["fusions"]["black_cat"]["methods"] = ["distil", "cyclegan_distil", "netspace", "parent_b"]
    # An hour for a student of the mean work, 12,000 images three times in 15 epochs and 10,000 in 20.
    rates = estimate.Rates(student_samples_per_second=370_000 / 3600, parents_per_second=1300 / 3600)
    found = by_name(estimate.stages(asked, rates))
    distilling = found["distilling of black_cat"]
    assert (distilling.jobs, distilling.cnns, distilling.hours) == (2, 5, pytest.approx(5))
    assert found["NetSpace of black_cat"].jobs == 3
    # 5, 2 x 5, 3 and 1,000 CNNs in shards of 64
    assert found["evaluation of black_cat"].jobs == found["zero-shot of black_cat"].jobs == 1 + 1 + 1 + 16
    oracle = asked["evaluation"]["zero_shot"]["supervised"] * 12_000 * 15 / 370_000
    assert found["references of black_cat"].hours == pytest.approx(1 + oracle)


def test_hours_of_the_target_netspace():
    rates = estimate.Rates()
    hours = estimate.netspace_hours(configured(), rates)
    assert 0.1 < hours < 1
    longer = configured(netspace={"steps": 3000})  # twice the default
    step = 8 * 64 * rates.netspace["prediction"]
    assert (estimate.netspace_hours(longer, rates) - hours) * 3600 == pytest.approx(1500 * step)
    fewer = configured(netspace={"architectures": {"several": ["zoo", "VanillaCNN"]}})
    assert estimate.netspace_hours(fewer, rates) < hours
    assert "snakemake netspace" in estimate.text(configured())
    three = configured()
    three["concepts"]["small"] = three["concepts"]["cat"]
    three["fusions"]["black_cat"]["concepts"] = ["black", "cat", "small"]
    assert estimate.netspace_hours(three, rates) == 0


def test_hours_fall_with_jobs_at_a_time_down_to_the_longest_job():
    stages = [estimate.Stage("zoo of cat", 10, 1, 1.0, 0), estimate.Stage("CycleGANs of x", 2, 0, 3.0, 0)]
    assert estimate.hours(stages, 1) == 16
    assert estimate.hours(stages, 2) == 8
    assert estimate.hours(stages, 100) == 4


def test_the_zoo_takes_the_disk_it_says(tmp_path):
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "cat", np.arange(300))
    names = ("loss", "validation_balanced_accuracy", "validation_positive_share")
    files.write(
        tmp_path / "zoo.h5", "zoo", weights | {f"history/{name}": np.zeros((300, 20)) for name in names}, settings={}
    )
    said = by_name(estimate.stages(configured(), estimate.Rates()))["zoo of black"].gigabytes * 1e9
    assert (tmp_path / "zoo.h5").stat().st_size == pytest.approx(said, rel=0.05)


def tabled(path, text):
    csv_files.write(path, pd.read_csv(io.StringIO(text)))


def test_rates_of_this_machine(tmp_path):
    assert estimate.measured(tmp_path) == estimate.Rates()
    tabled(
        tmp_path / "zoo_training.csv",
        "architecture,implementation,device,samples_per_second\n"
        "published,serial PyTorch,cpu,900000\npublished,batched (zoofuse),cuda,700000\n"
        "published,cpp (zoofuse),cpu,90000\ncnn_s,cpp (zoofuse),cpu,950000\n",
    )
    rates = estimate.measured(tmp_path)
    assert rates.samples_per_second == 700_000
    assert rates.ms_per_step == estimate.Rates().ms_per_step
    assert "this machine (zoos" in rates.source
    assert "the rest" in rates.source
    tabled(
        tmp_path / "cyclegan.csv",
        "layer,implementation,device,ms_per_step\n"
        "conv1,plain,cpu,1\nconv1,zoofuse,cpu,70\nconv1,zoofuse,cuda,7\nconv2,zoofuse,cpu,80\n",
    )
    tabled(
        tmp_path / "evaluation.csv",
        'implementation,processes,cnns_per_second\nobvious loop,1,9\n"zoofuse, both protocols",4,6\n',
    )
    rates = estimate.measured(tmp_path)
    assert rates.ms_per_step == {"conv1": 7, "conv2": 80}
    assert rates.cnns_per_second == 1.5
    assert "the rest" not in rates.source
    tabled(tmp_path / "evaluation.csv", "way,processes,cnns_per_second\nobvious loop,1,9\n")
    rates = estimate.measured(tmp_path)
    assert rates.cnns_per_second == estimate.Rates().cnns_per_second
    assert "evaluation.csv is of an older version; measure again" in rates.source
    tabled(
        tmp_path / "evaluation.csv",
        'implementation,processes,cnns_per_second\nobvious loop,1,9\n"zoofuse, both protocols",4,6\n',
    )
    # A table that cannot be trusted is named and not used; the plan is made all the same.
    (tmp_path / "cyclegan.csv").write_bytes((tmp_path / "cyclegan.csv").read_bytes().replace(b",7,", b",1,"))
    rates = estimate.measured(tmp_path)
    assert rates.ms_per_step == estimate.Rates().ms_per_step
    assert rates.cnns_per_second == 1.5
    assert "cyclegan.csv: corrupt or edited (checksum mismatch)" in rates.source


def test_the_published_size_on_the_terminal(root):
    whole = yaml.safe_load((root / "config/config.yaml").read_text())
    for name, concept in yaml.safe_load((root / "config/paper.yaml").read_text())["concepts"].items():
        whole["concepts"][name] |= concept
    lines = estimate.text(config.complete(whole))
    row = {line.split("  ")[0]: line.split() for line in lines.splitlines()}
    assert row["zoo of cat"][3:5] == ["14", "128"]
    assert row["zoo of black"][3:5] == ["22", "128"]
    assert "with 64" in lines
    assert max(map(len, lines.splitlines())) <= 120


def test_no_torch_for_a_plan():
    code = "import sys, zoofuse.workflow.estimate; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path}; {code}"], check=True)


def test_no_torch_to_plan_a_run():
    """It would take longer than all the rest of a dry run."""
    settings = {"concepts": {"cat": TEST}}
    code = f"from zoofuse import config; from zoofuse.workflow import run; run.Run(config.complete({settings}))"
    code = f"import sys; sys.path[:0] = {sys.path}; {code}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
