"""What a run's jobs read, make and depend on: planted configurations, and exactly what follows."""

import copy
import importlib
import re
import subprocess
import sys

import pytest

from zoofuse import config
from zoofuse.core import files
from zoofuse.methods import registry
from zoofuse.workflow import names, netspace
from zoofuse.workflow.names import Refused, all_but, only, shard_ranges
from zoofuse.workflow.params import calls, code_of, method_code, needs
from zoofuse.workflow.run import CLUSTERERS, Run

SYNTHETIC = {"source": "synthetic", "positive": ["cat"], "negative": ["non-cat"]}
PLANTED = {
    "concepts": {
        "cat": SYNTHETIC | {"models": 10},
        "black": SYNTHETIC | {"models": 7, "images_per_epoch": 50},
        "small": SYNTHETIC | {"models": 9},
    },
    "fusions": {
        "black_cat": {
            "concepts": ["black", "cat"],
            "methods": ["cyclegan", "distil", "parent_b", "average"],
            "test": SYNTHETIC,
        },
        "three": {
            "concepts": ["black", "cat", "small"],
            "methods": ["cyclegan", "parent_c"],
            "align": True,
            "test": SYNTHETIC,
        },
    },
    "zoo": {"shard_size": 4, "images_per_epoch": 80, "threads": 3},
    "evaluation": {"shard_size": 5, "models": 6, "baselines": 4},
    "distil": {"models": 2},
}


def planted(**changes) -> Run:
    """The run of PLANTED; changes: dotted with two underscores, such as fusions__three__joint."""
    settings = copy.deepcopy(PLANTED)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = settings
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    return Run(config.complete(settings))


def zoo_files(concept: str, *shards: str) -> list[str]:
    return [f"results/zoo/{concept}/shard-{shard}.h5" for shard in shards]


BLACK, CAT = zoo_files("black", "0000", "0001"), zoo_files("cat", "0000", "0001", "0002")


@pytest.mark.parametrize(
    ("total", "size", "expected"),
    [
        (10, 4, {"0000": (0, 4), "0001": (4, 8), "0002": (8, 10)}),
        (8, 4, {"0000": (0, 4), "0001": (4, 8)}),
        (3, 4, {"0000": (0, 3)}),
        (0, 4, {}),
    ],
)
def test_shards(total, size, expected):
    assert shard_ranges(total, size) == expected


def test_zoos_are_cut_into_shards_of_global_indices():
    run = planted()
    assert run.zoo("cat") == CAT
    assert run.zoos(["black", "cat"]) == BLACK + CAT
    assert run.shard_models("cat", "0002") == (8, 10)
    with pytest.raises(ValueError, match=r"no shard of concept cat '0003' in the .* has 0000, 0001, 0002"):
        run.shard_models("cat", "0003")
    with pytest.raises(ValueError, match=r"no concept 'dog' in the configuration; it has cat, black, small"):
        run.zoo("dog")


def test_on_a_gpu_a_concept_is_one_job():
    run = planted(zoo__device="cuda", zoo__shard_size=None)
    assert run.zoo("cat") == zoo_files("cat", "0000")
    assert run.shard_models("cat", "0000") == (0, 10)
    assert planted(zoo__device="cuda").zoo("cat") == CAT, "shards of a size that was asked for"


def test_training_depends_on_the_concept_s_images_per_epoch():
    run = planted()
    assert run.training("black")["images_per_epoch"] == 50
    assert run.training("cat")["images_per_epoch"] == 80
    assert not {"shard_size", "threads", "device"} & set(run.training("cat"))


def test_concepts_may_have_architectures_of_their_own():
    concepts = {"cat": SYNTHETIC, "black": SYNTHETIC, "alone": SYNTHETIC | {"architecture": "wide"}}
    fusions = {"black_cat": {"concepts": ["black", "cat"], "test": SYNTHETIC}}
    run = Run(config.complete({"concepts": concepts, "fusions": fusions}))
    assert [run.training(name)["architecture"] for name in concepts] == ["published", "published", "wide"]
    assert next(iter(run.training("alone"))) == "architecture", "the order that finished runs have"


def test_what_compares_weights_is_not_applicable_to_zoos_of_different_architectures():
    concepts = {"black": SYNTHETIC, "cat": SYNTHETIC | {"architecture": "wide"}}
    fusion = {"concepts": ["black", "cat"], "test": SYNTHETIC}
    warnings = []
    mixed = config.complete({"concepts": concepts, "fusions": {"black_cat": fusion}})
    run = Run(mixed, warn=warnings.append)
    made = run.methods("black_cat")
    assert {"distil", "distil_weights", "direct", "random", "parent_a", "parent_b"} <= set(made)
    assert not {"cyclegan", "average", "repair", "noise", "shuffled", "matched", "netspace"} & set(made)
    (said,) = warnings
    assert {"average", "cyclegan"} <= set(said.replace(":", ",").replace(" ", "").split(","))
    assert said.endswith("not applicable: the zoos have different architectures (black: published, cat: wide)")
    assert (run.volumes("black_cat"), run.generators("black_cat"), run.translated()) == ([], [], {"black_cat": {}})
    assert (run.architectures.of_students("black_cat"), run.architectures.of_zoos("black_cat")) == (
        "published", {"a": "published", "b": "wide"},
    )  # fmt: skip
    assert config.complete(mixed) == mixed, "a job's process completes the configuration again"
    for setting, value in {"methods": ["average", "cyclegan"], "align": True}.items():
        with pytest.raises(config.ConfigError, match=f"{setting}: not applicable: the zoos have different"):
            config.complete({"concepts": concepts, "fusions": {"black_cat": fusion | {setting: value}}})
    same = {name: SYNTHETIC | {"architecture": "wide"} for name in concepts}
    run = Run(config.complete({"concepts": same, "fusions": {"black_cat": fusion}}), warn=warnings.append)
    assert "average" in run.methods("black_cat")
    assert run.architectures.of_students("black_cat") == "wide"
    assert len(warnings) == 1


def test_one_pair_has_no_name_and_neighbours_of_three_have():
    run = planted()
    assert run.pairs("black_cat") == [""]
    assert run.pairs("three") == ["-ab", "-bc"]
    assert run.domains("black_cat", "") == "AB"
    assert run.domains("three", "-bc") == "BC"
    with pytest.raises(ValueError, match=r"no pair of three '-ac' in the configuration; it has -ab, -bc"):
        run.domains("three", "-ac")
    assert run.histories("black_cat") == [f"results/cyclegan/black_cat/conv{i}/history.csv" for i in (1, 2)]
    assert run.generators("three") == [
        f"results/cyclegan/three/conv{i}-{pair}/generators.h5" for i in (1, 2) for pair in ("ab", "bc")
    ]
    assert run.translated() == {
        "black_cat": {"conv1": "AB", "conv2": "AB"},
        "three": {"conv1-ab": "AB", "conv1-bc": "BC", "conv2-ab": "AB", "conv2-bc": "BC"},
    }


def test_layers_are_translated_one_by_one_or_together():
    assert planted().volumes("three") == ["conv1", "conv2"]
    assert planted(fusions__three__joint=True).volumes("three") == ["joint"]
    assert planted(zoo__architecture="deep").volumes("black_cat") == ["conv1", "conv2", "conv3"]


def test_an_aligned_fusion_reads_aligned_zoos_only_where_they_do():
    run = planted()
    assert run.fusion_zoos("black_cat") == {"a": BLACK, "b": CAT}
    assert run.fusion_zoos("three") == {side: [f"results/aligned/three/{side}.h5"] for side in "abc"}
    assert run.unaligned_zoo("three", "c") == zoo_files("small", "0000", "0001", "0002")
    assert run.reference_zoo("three") == BLACK
    with pytest.raises(ValueError, match=r"no concept of black_cat 'c' in the configuration; it has a, b"):
        run.unaligned_zoo("black_cat", "c")


CYCLEGAN = {
    "zoo_a": BLACK,
    "zoo_b": CAT,
    "bank_conv1": ["results/kernels/black_cat/conv1.h5"],
    "bank_conv2": ["results/kernels/black_cat/conv2.h5"],
    "generators_conv1": ["results/cyclegan/black_cat/conv1/generators.h5"],
    "generators_conv2": ["results/cyclegan/black_cat/conv2/generators.h5"],
}


@pytest.mark.parametrize(
    ("fusion", "method", "expected"),
    [
        ("black_cat", "cyclegan", CYCLEGAN),
        ("black_cat", "parent_b", {"zoo_b": CAT}),
        ("black_cat", "average", {"zoo_a": BLACK, "zoo_b": CAT}),
        ("three", "parent_c", {"zoo_c": ["results/aligned/three/c.h5"]}),
        (
            "black_cat",
            "distil",
            {
                "zoo_a": BLACK,
                "zoo_b": CAT,
                "images_a": ["results/images/black.h5"],
                "images_b": ["results/images/cat.h5"],
            },
        ),
    ],
)
def test_a_method_reads_what_it_needs(fusion, method, expected):
    assert planted().method_inputs(fusion, method) == expected


def test_a_joint_fusion_of_three_has_two_generators_files_of_one_volume():
    inputs = planted(fusions__three__joint=True).method_inputs("three", "cyclegan")
    assert inputs["bank_joint"] == ["results/kernels/three/joint.h5"]
    assert inputs["generators_joint"] == [f"results/cyclegan/three/joint-{pair}/generators.h5" for pair in ("ab", "bc")]
    assert not {"bank_conv1", "generators_conv1"} & set(inputs)


def test_every_method_s_inputs_follow_from_its_needs():
    run = planted()
    for name, entry in registry.methods().items():
        if entry.letter not in ("c", "d", "e"):
            assert bool(run.method_inputs("black_cat", name)) == bool(set(entry.needs) - {"space"}), name


def test_counts_and_what_of_them_is_evaluated():
    run = planted()
    assert run.method_count("black_cat", "cyclegan") == 7  # of the smallest zoo
    assert run.method_count("black_cat", "distil") == 2
    assert run.method_count("black_cat", "parent_b") == 10
    with pytest.raises(ValueError, match="no method of black_cat 'pixels'"):
        run.method_count("black_cat", "pixels")
    # 6 of the 7 CNNs of both domains, in shards of 5; 4 of the 10 parents
    assert run.evaluation_ranges("black_cat", "cyclegan") == {"0000": (0, 5), "0001": (5, 10), "0002": (10, 12)}
    assert run.evaluated_part("black_cat", "cyclegan", "0002") == {"limit": 6, "start": 10, "stop": 12}
    assert run.evaluated_part("black_cat", "parent_b", "0000") == {"limit": 4, "start": 0, "stop": 4}
    with pytest.raises(ValueError, match=r"no evaluation shard of parent_b '0001'"):
        run.evaluated_part("black_cat", "parent_b", "0001")
    everything = planted(evaluation__models=None, evaluation__baselines=None, evaluation__held_out=3)
    assert everything.evaluation_ranges("black_cat", "parent_b") == {"0000": (0, 5), "0001": (5, 10)}
    assert (everything.held_out("cyclegan"), everything.held_out("parent_b")) == (3, None)


def test_the_leaderboard_reads_every_method_and_baseline():
    run = planted()
    evaluated = [
        *(f"results/evaluation/black_cat/cyclegan/shard-000{i}.h5" for i in range(3)),
        *(f"results/evaluation/black_cat/{name}/shard-0000.h5" for name in ("distil", "parent_b", "average")),
    ]
    assert run.leaderboard("black_cat") == [
        *evaluated,
        "results/evaluation/black_cat/baselines.h5",
        *(path.replace("evaluation", "zero_shot") for path in evaluated),
        "results/zero_shot/black_cat/baselines.h5",
    ]
    with pytest.raises(ValueError, match="no fusion 'black_dog' in the configuration; it has black_cat, three"):
        run.leaderboard("black_dog")


def test_a_file_of_predictions_joins_the_leaderboard_and_no_replicates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "resources/predictions/black_cat"
    folder.mkdir(parents=True)
    (folder / "mine.csv").write_text("image,score\na,1\n")
    run = planted()
    assert run.leaderboard("black_cat") == [*run.predictions("black_cat"), "results/foreign/black_cat/mine.h5"]
    assert run.foreign_file("black_cat", "mine") == "resources/predictions/black_cat/mine.csv"
    assert run.replicates("black_cat") == run.predictions("black_cat")
    assert run.leaderboard("three") == run.predictions("three")
    with pytest.raises(ValueError, match="no file in resources/predictions/black_cat 'other'"):
        run.foreign_file("black_cat", "other")
    (folder / "mine.csv").write_text("image,score\na,high\n")
    with pytest.raises(Refused, match="line 2: score 'high' is not a number"):
        planted().leaderboard("black_cat")


def test_replicates_read_the_same_files_of_other_runs_and_name_what_is_missing(tmp_path):
    warnings = []
    run = Run(config.complete(PLANTED | {"replicates": [str(tmp_path)]}), warn=warnings.append)
    here = run.leaderboard("black_cat")
    assert run.replicates("black_cat") == here + [f"{tmp_path}/{path}" for path in here]
    assert f"replicates: {tmp_path} lacks results/evaluation/black_cat/cyclegan/shard-0000.h5" in warnings[0]
    assert {"replicates.csv", "replicate_comparisons.csv"} <= {path.split("/")[-1] for path in run.tables("three")}
    assert not any("replicate" in path for path in planted().tables("three"))


def test_targets():
    run = planted()
    assert run.tables("black_cat") == [
        f"results/tables/black_cat/{name}.csv"
        for name in (
            *("leaderboard", "comparisons", "zero_shot", "selection", "groups", "few_shot", "nearest_parent"),
            *CLUSTERERS,
            *(f"held_out_{clusterer}" for clusterer in CLUSTERERS),
            "summary",
        )
    ]
    assert run.exported() == [
        "results/models/black_cat/cyclegan/config.json",
        "results/models/black_cat/distil/config.json",
        "results/models/three/cyclegan/config.json",
    ]
    assert run.shown_zoo("three") == "results/generated/three/cyclegan.h5"
    assert run.searched("three") == [f"results/evaluation/three/{name}/search.csv" for name in ("cyclegan", "parent_c")]


def test_the_report_shows_every_fusion_and_the_published_tables_of_the_published_one():
    inputs = planted().report()
    assert inputs["images"] == [f"results/images/{name}.h5" for name in ("cat", "black", "small")]
    assert inputs["tests"] == ["results/test_images/black_cat.h5", "results/test_images/three.h5"]
    assert inputs["generators_three"] == planted().generators("three")
    assert inputs["published_black_cat"] == [f"results/tables/black_cat/published_{name}.csv" for name in CLUSTERERS]
    assert "published_three" not in inputs
    assert "results/figures/three/kernels_conv2.png" in inputs["figures_three"]
    assert "results/tables/three/summary.csv" not in inputs["tables_three"]
    assert "results/tables/three/summary.csv" in inputs["beside"]


def test_a_row_comes_from_every_file_before_it():
    run = planted(fusions__black_cat__methods=["cyclegan", "noise", "average", "random"])
    sources, test = run.sources()["black_cat"], "results/test_images/black_cat.h5"
    images = ["results/images/black.h5", "results/images/cat.h5"]

    def ends(name):
        paths = run.predictions("black_cat")
        return {test, f"results/generated/black_cat/{name}.h5", *(path for path in paths if f"/{name}/" in path)}

    banks = {f"results/kernels/black_cat/{layer}.h5" for layer in run.architectures.layers("black_cat")}
    translated = {*images, *BLACK, *CAT, *banks, *run.generators("black_cat")}
    assert set(sources["random"]) == ends("random")
    assert set(sources["average"]) == {*images, *BLACK, *CAT} | ends("average")
    assert set(sources["cyclegan"]) == translated | ends("cyclegan")
    assert set(sources["noise"]) == translated | ends("noise") | {"results/generated/black_cat/cyclegan.h5"}
    baselines = [f"results/{folder}/black_cat/baselines.h5" for folder in ("evaluation", "zero_shot")]
    assert set(sources["product"]) == {test, *images, *BLACK, *CAT, *baselines}
    assert sources["pixels"] == [test, *baselines]
    assert set(run.sources()["three"]["parent_c"]) >= {"results/aligned/three/c.h5", *zoo_files("small", "0000")}
    assert set(run.report()["made_black_cat"]) == {path for paths in sources.values() for path in paths}


@pytest.fixture
def existing(tmp_path):
    """Settings of a fusion whose concepts are zoos under zoo_root that are not there."""
    settings = copy.deepcopy(PLANTED) | {"zoo_root": str(tmp_path)}
    settings["concepts"] = {"cat": {"zoo": "cat.h5"}, "black": {"zoo": "black.h5", "models": 3}}
    fusion = {"concepts": ["black", "cat"], "methods": ["cyclegan", "parent_a"], "test": SYNTHETIC}
    settings["fusions"] = {"black_cat": fusion | {"generators": "generators.h5"}}
    return settings


def test_an_existing_zoo_brings_no_images_and_no_training(existing, tmp_path):
    run = Run(config.complete(existing))
    run.resume(f"{run.settings}/9,3")
    assert (run.trained, run.imported, run.imported_fusions) == ([], ["cat", "black"], ["black_cat"])
    assert run.zoo("cat") == CAT
    assert run.method_count("black_cat", "cyclegan") == 3
    assert run.images.of_fusion("black_cat") == run.probe_images("black_cat") == []
    assert list(run.images.places) == ["fusions.black_cat.test"]
    assert run.existing_zoo("cat") == f"{tmp_path}/cat.h5"
    assert run.existing_generators("black_cat") == f"{tmp_path}/generators.h5"
    assert not {"zoo", "generators_black_cat"} & set(run.report())
    with pytest.raises(ValueError, match="every concept here is an existing zoo"):
        run.benched_images()
    with pytest.raises(ValueError, match="write positive and negative for both concepts"):
        run.netspace.images("black_cat")


def test_a_zoo_that_is_gone_is_refused_only_by_what_needs_its_size(existing):
    warnings = []
    run = Run(config.complete(existing), warn=warnings.append)
    run.count_zoos()
    assert run.models("black") == 3  # as many as are asked for
    assert run.existing_zoo("black").endswith("black.h5 (zoo of black)")
    assert "black.h5: no such file or folder" in warnings[0]
    with pytest.raises(Refused, match=r"cat\.h5: no such file or folder"):
        run.zoo("cat")
    assert run.begun() == f"{files.digest(config.complete(existing))}/-,3"


def test_jobs_on_other_nodes_are_told_settings_and_sizes(existing):
    first, second = Run(config.complete(existing)), Run(config.complete(existing), main=False)
    first.concepts["cat"]["models"] = 12
    second.resume(first.begun())
    assert second.models("cat") == 12
    with pytest.raises(ValueError, match="The configuration was changed while a run goes on"):
        Run(config.complete(existing | {"seed": 5}), main=False).resume(first.begun())
    planted().resume(planted().begun())


def folders(tmp_path) -> dict:
    """Settings whose images lie in folders that are not there."""
    settings = copy.deepcopy(PLANTED) | {"images_root": str(tmp_path / "photos")}
    settings["concepts"]["cat"] = {"positive": ["cat"], "negative": ["not_cat"], "models": 10}
    return settings


def test_folders_that_are_gone_are_missing_and_a_job_elsewhere_does_not_look(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    warnings = []
    run = Run(config.complete(folders(tmp_path)), warn=warnings.append)
    assert run.images.concept_folders("cat") == [f"{tmp_path}/photos/(images of concepts.cat)"]
    assert f"images_root: there is no folder '{tmp_path}/photos'" in warnings[0]
    assert run.images.concept_folders("black") == []  # synthetic
    elsewhere = Run(config.complete(folders(tmp_path)), main=False)
    assert elsewhere.images.concept_folders("cat") == [f"{tmp_path}/photos/{name}" for name in ("cat", "not_cat")]
    (tmp_path / "results/images").mkdir(parents=True)
    (tmp_path / "results/images/cat.h5").touch()  # not made from these folders
    with pytest.raises(Refused, match="images_root: there is no folder"):
        run.images.concept_folders("cat")


def test_what_images_are_made_from():
    run = planted(synthetic={"images": 40, "test_images": 20}, images={"leaks": "drop"})
    source = run.images.concept_source("black")
    assert (source["source"], source["images"], source["positive"]) == ("synthetic", 40, ["cat"])
    assert {"validation_share", "unreadable"} <= set(source)
    test = run.images.test_source("three")
    assert (test["images"], test["leaks"]) == (20, "drop")
    assert "order" not in test
    assert run.images.concept_archive("black") == {}


def test_an_archive_is_downloaded_once_for_all_its_concepts():
    concept = {"source": "torchvision", "dataset": "cifar10", "positive": ["cat"], "negative": ["dog"]}
    run = planted(concepts__cat=concept, concepts__black=concept)
    assert run.images.concept_archive("cat") == {"archive": "resources/downloads/cifar10.tar.gz"}
    assert run.images.checked_archives() == {"cifar10": "resources/downloads/cifar10.tar.gz"}
    assert run.images.checked_folders() == []


def test_netspace_is_for_fusions_of_two():
    run = planted(netspace__steps=11)
    assert run.netspace.fusions == ["black_cat"]
    assert run.netspace.images("black_cat") == ["results/images/black.h5", "results/images/cat.h5"]
    assert run.netspace.inputs("black_cat") == {"images": run.netspace.images("black_cat"), "a": BLACK, "b": CAT}
    with pytest.raises(ValueError, match="NetSpace joins two concepts, and three has more"):
        run.netspace.images("three")
    assert run.netspace.tables() == [
        *(f"results/netspace/black_cat/{setting}.csv" for setting in netspace.SETTINGS),
        "results/netspace/shapes.csv",
    ]
    assert run.netspace.zoo_space()["steps"] == 11
    assert run.netspace.shapes_space()["encoder"] == run.netspace.architectures_space()["encoder"] == "predictions"


def test_an_unseen_architecture_is_not_trained_on():
    run = planted(netspace__architectures={"unseen": ["zoo", "ResNet20", "ResNet32"], "side": "b"})
    assert run.netspace.seen("unseen_architectures") == ["zoo", "ResNet32"]
    assert run.netspace.networks("black_cat", "unseen_architectures") == {
        "images": "results/images/cat.h5",
        "zoo": CAT,
        "networks": [f"results/netspace/black_cat/networks/ResNet{n}.h5" for n in (20, 32)],
    }


@pytest.mark.parametrize(
    ("constraint", "yes", "no"),
    [
        (only(["a", "bc"]), ["a/x", "bc/x"], ["b/x", "abc/x"]),
        (only([]), [], ["a/x", "/x"]),
        (all_but(["a", "bc"]), ["b/x", "ab/x", "bcd/x"], ["a/x", "bc/x"]),
        (all_but([]), ["a/x"], ["/x", "-/x"]),
    ],
)
def test_constraints_of_names(constraint, yes, no):
    assert [text for text in yes + no if re.fullmatch(f"({constraint})/x", text)] == yes


def test_a_constraint_of_file_names():
    constraint = all_but(["distil"], then=".")
    assert re.fullmatch(rf"{constraint}\.h5", "distil_weights.h5")
    assert not re.fullmatch(rf"{constraint}\.h5", "distil.h5")


def test_the_code_of_a_method_is_its_own():
    codes = {name: method_code(name) for name in ("average", "distil", "cyclegan")}
    assert len(set(codes.values())) == 3


def test_every_function_that_a_rule_calls_is_there_and_has_code_of_its_own(root):
    text = "".join(path.read_text() for path in sorted((root / "workflow/rules").glob("*.smk")))
    names = set(re.findall(r'calls\("([^"]+)"\)', text))
    assert len(names) > 10
    codes = {calls(name)["code"](None) for name in names}
    assert len(codes) == len(names)
    for name in names:
        module, _, function = calls(name)["function"].partition(":")
        assert callable(getattr(importlib.import_module(module), function)), name


def test_every_script_is_run_by_a_rule_that_depends_on_its_code(root):
    text = "".join(path.read_text() for path in sorted((root / "workflow/rules").glob("*.smk")))
    scripts = {path.stem for path in (root / "workflow/scripts").glob("*.py")}
    assert set(re.findall(r"scripts/(\w+)\.py", text)) == scripts
    free = {"call", "generate", "download_dataset"}  # the last makes no numbers
    assert set(re.findall(r'code_of\("(\w+)"\)', text)) == scripts - free
    assert len({code_of(name)(None) for name in scripts}) == len(scripts)


def test_a_job_that_failed_asks_for_more():
    asked = needs(minutes=30, gpu=1)
    assert asked["gpu"] == 1
    assert [asked["mem_mb"](None, attempt) for attempt in (1, 3)] == [4000, 12000]
    assert [asked["runtime"](None, attempt) for attempt in (1, 3)] == [30, 90]


def test_no_torch_and_no_snakemake_for_a_run():
    code = "import sys, zoofuse.workflow.run; sys.exit(bool({'torch', 'snakemake', 'pandas'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path}; {code}"], check=True)


@pytest.mark.parametrize(("models", "threads", "expected"), [(1, 8, 1), (4, 8, 4), (4, 2, 2)])
def test_a_pair_of_a_grid_takes_no_core_that_trains_no_cnn(models, threads, expected):
    run = Run(config.complete(PLANTED | {"distil": {"models": models}, "zoo": {"threads": threads}}))
    assert run.grids.pair_threads == expected


def test_large_zoos_have_larger_shards_and_no_more_files():
    sizes = {total: names.shard_size(total, None, names.TRAINED) for total in (1, 2749, 8192, 8193, 50_000, 10**6)}
    assert sizes == {1: 128, 2749: 128, 8192: 128, 8193: 256, 50_000: 1024, 10**6: 8192}
    assert names.shard_size(50_000, 3, names.TRAINED) == 3
    run = planted(concepts__cat__models=50_000, concepts__black__models=50_000, zoo={}, evaluation={})
    assert len(run.zoo("cat")) == 49
    assert len(run.evaluation_ranges("black_cat", "cyclegan")) == 49
    assert run.shard_models("cat", "0048") == (48 * 1024, 50_000)
