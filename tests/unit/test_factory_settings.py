"""Factory zoos in a configuration: every fault is reported before any job, with what to write instead."""

import pytest

from zoofuse import config
from zoofuse.workflow.run import Run

CONCEPTS = {"cat": {"source": "synthetic", "positive": ["cat"], "negative": ["non-cat"]}}
KINDS = {"source": "synthetic", "classes": {"cat": ["cat"], "dog": ["dog"], "car": ["car"]}}


def completed(**factory) -> dict:
    return config.complete({"concepts": CONCEPTS, "factory": factory})["factory"]


def test_factors_and_the_network_are_filled_in():
    done = completed(zoo=KINDS | {"factors": {"learning_rate": {"log_uniform": ["1e-3", 0.1]}, "epochs": [1, 2]}})
    assert done["zoo"]["factors"]["learning_rate"] == {"log_uniform": [0.001, 0.1]}
    assert done["zoo"]["factors"]["epochs"] == {"grid": [1, 2]}
    assert (done["zoo"]["channels"], done["zoo"]["size"]) == (1, 28), "those of cnn_s"
    assert completed(zoo={"source": "torchvision", "dataset": "cifar10"})["zoo"]["classes"]["ship"] == ["ship"]


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (KINDS | {"layers": ["conv 8 90", "linear"]}, "layers: layer 1, 'conv 8 90': 90 pixels don't fit into the 32"),
        (KINDS | {"layers": ["conv 8 3", "linear 3"]}, "layers: layer 2, 'linear 3': the last layer has an output for"),
        (KINDS | {"layers": ["linear"]}, "layers: at least one must be conv"),
        (KINDS | {"channels": 2}, "channels: 2 is not possible; write 1 or 3"),
        (KINDS | {"size": 8}, "layers: layer 5, 'conv 6 5': 5 pixels don't fit into the 2 that are left"),
        (
            KINDS | {"architecture": "cnn_x"},
            "architecture: 'cnn_x' is unknown; write one of published, wide, deep, cnn_s",
        ),
        (
            KINDS | {"layers": ["conv 8 3", "linear"], "factors": {"dropout": 0.1}},
            "factors.dropout: the layers have no",
        ),
        (KINDS | {"factors": {"optimiser": ["adam", "sdg"]}}, "factors.optimiser: 'sdg' is unknown; write one of adam"),
        (KINDS | {"factors": {"epochs": {"uniform": [1, 2.5]}}}, "factors.epochs: 2.5 is not a whole number"),
        (KINDS | {"factors": {"dropuot": 0.1}}, "factors.dropuot: unknown key; write dropout"),
        (KINDS | {"factors": {"epochs": 0}}, "factors.epochs: 0 is out of range; write at least 1"),
        (KINDS | {"classes": {"cat": ["catt"], "dog": ["dog"]}}, "classes.cat: selector 'catt': unknown word 'catt'"),
        (KINDS | {"classes": {"cat": ["cat"]}}, "classes: names 1; name at least 2"),
        (KINDS | {"models": 9, "factors": {"seed": [0, 1], "epochs": [1, 2]}}, "models: 9 .* only 4 different ones"),
        ({"classes": {}}, "classes: missing; name each class and what shows it"),
        (KINDS | {"dataset": "MNIST"}, "dataset: is for source torchvision only"),
        (
            {"source": "torchvision", "dataset": "mnist"},
            "'mnist' is unknown; write one of cifar10, .*did you mean MNIST",
        ),
        ({"classes": {"a": ["http://x/a"], "b": ["b"]}}, "classes.a: 'http://x/a' is an address"),
    ],
)
def test_faults_say_what_to_write(factory, words):
    with pytest.raises(config.ConfigError, match=rf"factory\.zoo.*{words}"):
        completed(zoo=factory)


def test_folders_are_looked_at_before_any_job(tmp_path):
    factory = {"zoo": {"classes": {"a": ["one"], "b": ["two"], "c": ["three"]}}}
    done = config.complete({"concepts": CONCEPTS, "factory": factory, "images_root": str(tmp_path)})
    for folder, n in (("one", 3), ("two", 2)):
        (tmp_path / folder).mkdir()
        for i in range(n):
            (tmp_path / folder / f"{i}.png").touch()
    with pytest.raises(ValueError, match=r"classes\.b: 2 usable images, at least 3.*\n.*no folder 'three'"):
        Run(done, results=str(tmp_path)).factories.folders("zoo")
    done["factory"]["zoo"]["classes"] = {"a": ["one"], "b": ["one"]}
    with pytest.raises(ValueError, match="Name folders that do not overlap"):
        Run(done, results=str(tmp_path)).factories.folders("zoo")


def test_a_factory_zoo_shares_no_name_with_another_zoo():
    with pytest.raises(config.ConfigError, match=r"factory\.cat: cat is the name of another zoo"):
        completed(cat=KINDS)
    with pytest.raises(config.ConfigError, match="Zoo and zoo differ in capitals only"):
        completed(Zoo=KINDS, zoo=KINDS)


def test_pruned_twins_are_zoos_of_their_own():
    done = config.complete({"concepts": CONCEPTS, "factory": {"zoo": KINDS | {"pruned": [50, 90]}}})
    run = Run(done).factories
    assert run.zoo("zoo-pruned-90") == ["results/zoo/zoo-pruned-90/shard-0000.h5"]
    assert run.pruning("zoo-pruned-90") == {"sparsity": 0.9, "epochs": 2}
    assert run.parents("zoo-pruned-90", "0000") == run.zoo("zoo")[0]
    with pytest.raises(config.ConfigError, match="zoo-pruned-50 is the name of another zoo"):
        completed(**{"zoo": KINDS | {"pruned": [50]}, "zoo-pruned-50": KINDS})


def test_a_larger_zoo_changes_nothing_that_a_cnn_depends_on():
    runs = []
    for models in (100, 300):
        settings = {"concepts": CONCEPTS, "factory": {"zoo": KINDS | {"models": models}}}
        runs.append(Run(config.complete(settings)).factories)
    few, many = runs
    assert few.training("zoo") == many.training("zoo")
    assert few.source("zoo") == many.source("zoo")
    assert (len(few.zoo("zoo")), many.shard_models("zoo", "0002")) == (1, (256, 300))
    assert many.zoo("cat") == ["results/zoo/cat/shard-0000.h5"], "a concept's"
    with pytest.raises(ValueError, match="There is no factory zoo 'zoos'"):
        many.training("zoos")
