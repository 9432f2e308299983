"""CNNs trained on the concepts' labels alone, beside distil's students of the same images."""

from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from test_distil import CONJUNCTION, QUICK, answers, made

from zoofuse.core import files
from zoofuse.evaluation import zero_shot
from zoofuse.methods import distil, no_zoo, registry
from zoofuse.settings.training import Distil, DistilWeights, Recipe

__all__ = ["made"]  # the fixture


def job(made, output, method, remedies=("filtered_negatives", "colour_transfer"), count=2):
    """Without zoos: there is no place for one."""
    images = {side: str(path) for side, path in made["concept_images"].items()}
    options = {field.name: getattr(QUICK, field.name) for field in fields(Recipe)}
    options |= {"judges": 2, "remedies": remedies}
    return registry.Job(method, output, "f", 1, count, "published", options=options, images=images)


def test_direct_follows_distil_s_recipe_but_for_its_own_remedies():
    blocks = {"distil": {"epochs": 3, "teachers": 5, "remedies": []}, "direct": {"judges": 4}}
    options = registry.get("direct").settings(blocks)
    assert (options["epochs"], options["judges"], options["images"]) == (3, 4, Distil().images)
    assert options["remedies"] == ["filtered_negatives", "colour_transfer"]
    assert "teachers" not in options  # what it does not depend on
    options = registry.get("cyclegan_distil").settings({"distil_weights": {"temperature": 2}})
    assert DistilWeights(**options) == DistilWeights(temperature=2)


def scored(made, output, method, remedies):
    registry.get(method).make(job(made, output, method, remedies, count=4))
    return [roc_auc_score(CONJUNCTION, score) for score in answers(files.read(output, "zoo"), made["test"]).prod(0)]


def test_labels_and_remedies_make_the_conjunction_known(made, tmp_path):
    """What is red was never upright in training."""
    with_remedies = scored(made, tmp_path / "with.h5", "direct", ("filtered_negatives", "colour_transfer"))
    without = scored(made, tmp_path / "without.h5", "direct", ())
    assert np.median(with_remedies) > 0.95
    assert np.mean(with_remedies) > np.mean(without) + 0.05
    assert min(scored(made, tmp_path / "pair.h5", "direct_pair", ("filtered_negatives", "colour_transfer"))) > 0.95


def test_direct_is_shown_what_distil_is_shown(made, tmp_path, monkeypatch):
    """The same images in the same order, targets without what teachers predict, and the same initial weights."""
    seen = {}

    def keep(pictures, targets, sides, models, settings, seed, name, **how):
        seen[name] = pictures, targets
        quick = replace(settings, epochs=1) if name == "f/distil_parents" else settings
        return trained(pictures, targets, sides, models, quick, seed, name, **how)

    trained = distil.students
    monkeypatch.setattr(distil, "students", keep)
    registry.get("direct").make(job(made, tmp_path / "direct.h5", "direct", count=1))
    pictures, targets = seen["f/distil_parents"]
    arguments = {"n": 1, "settings": QUICK, "seed": 1, "fusion": "f", "architecture": "published"}
    distil.from_parents(made["zoos"], made["concept_images"], tmp_path / "distil.h5", **arguments)
    others, taught = seen["f/distil_parents"]
    assert pictures.shape == others.shape
    np.testing.assert_array_equal(pictures[:400], others[:400])
    own = np.repeat([0, 1, 1], 400)
    np.testing.assert_array_equal(np.isnan(targets), np.arange(2) != own[:, None])
    rows = np.arange(len(own))
    np.testing.assert_array_equal(targets[rows, own][:400], taught[rows, own][:400])
    assert not np.isnan(taught[400:]).any()


def test_side_by_side_is_both(made, tmp_path):
    """One CNN of twice the channels predicts by each head what the CNN alone does, also of deeper CNNs."""
    rng = np.random.default_rng(0)
    shapes = {"conv1": (4, 3, 3, 3), "conv2": (5, 4, 3, 3), "conv3": (6, 5, 3, 3)}
    alone = []
    for _ in "AB":
        cnns = {f"{name}.weight": rng.normal(0, 0.3, (2, *shape)).astype("f4") for name, shape in shapes.items()}
        cnns |= {f"{name}.bias": rng.normal(0, 0.3, (2, shape[0])).astype("f4") for name, shape in shapes.items()}
        for head in "ab":
            cnns |= {
                f"fc_{head}.weight": rng.normal(size=(2, 2, 24)).astype("f4"),
                f"fc_{head}.bias": np.ones((2, 2), "f4"),
            }
        alone.append(cnns | {"model": np.arange(2)})
    joined = no_zoo.side_by_side(alone, "AB")
    images = made["test"][::20]
    both = answers(joined | {"model": np.arange(2)}, images)
    for row, cnns in enumerate(alone):
        np.testing.assert_allclose(both[row], answers(cnns, images)[row], atol=1e-5)
    scores = zero_shot.predict(joined | {"model": np.arange(2)}, (), images)["own/scores"]
    np.testing.assert_allclose(scores, both.prod(0), atol=1e-5)


def test_teachers_may_be_random_or_chosen_without_labels(made):
    """The choice by validation takes the zoo's best; without it, the first, whatever the zoo's history says."""
    zoo = files.read(made["zoos"]["A"][0], "zoo")
    zoo["history/validation_balanced_accuracy"] = np.array([[0.6], [0.7], [0.9], [0.8], [0.5], [0.4]])
    how = ({"A": zoo}, 2, 1, "f", {"A": "published"})
    picked = {choice: distil.chosen(choice, *how)["A"] for choice in distil.CHOICES}
    for choice, rows in {"best": [2, 3], "first": [0, 1]}.items():
        np.testing.assert_array_equal(picked[choice]["conv1.weight"], zoo["conv1.weight"][rows])
    assert picked["random"]["fc1.weight"].shape == (2, 2, 400)
    pictures = made["test"]
    assert np.std(distil.probability(picked["random"], pictures)) < np.std(distil.probability(picked["best"], pictures))
    with pytest.raises(ValueError, match="choice: 'none' is unknown; write one of best, first, random"):
        distil.chosen("none", *how)


def test_which_concept_is_a_colour_is_told_from_weights_and_the_other_one_is_averaged(made):
    teachers = {side: files.read(made["zoos"][side][0], "zoo") for side in "AB"}
    teachers = distil.chosen("best", teachers, 6, 1, "f", dict.fromkeys("AB", "published"))
    leaves = distil.leaves(300, 1, "leaves")
    predict = {side: partial(distil.probability, teachers[side], temperature=4.0) for side in "AB"}
    assert distil.follows_colour(predict, leaves, 1, "f") == {"A": True, "B": False}  # red, upright
    swapped = {"A": predict["B"], "B": predict["A"]}
    assert distil.follows_colour(swapped, leaves, 1, "f") == {"A": False, "B": True}
    assert distil.follows_colour({"A": lambda images: np.zeros(len(images))}, leaves, 1, "f") == {"A": False}
    plain, averaged = (distil.on_leaves(teachers, leaves, 4.0, n, 1, "f") for n in (0, 6))
    np.testing.assert_array_equal(plain[:, 0], averaged[:, 0])
    assert np.std(averaged[:, 1]) < np.std(plain[:, 1])
