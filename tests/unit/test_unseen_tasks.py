"""Binary tasks from one-against-rest networks."""

import numpy as np
import pandas as pd
import pytest

from zoofuse.data import tasks
from zoofuse.evaluation import task_tables, task_ways
from zoofuse.evaluation.task_rules import RULES
from zoofuse.methods import hypernetwork

NAMES = ("cat", "dog", "car", "tree", "cup", "fish")


class TestDrawing:
    def test_no_task_is_another_one_or_its_complement(self):
        plan = tasks.draw(NAMES, 12, 13, 5, 1, "tasks.x")
        every = [frozenset(task) for task in plan.measured]
        assert len(every) == 25
        both = {*every, *(frozenset(range(6)) - task for task in every)}
        assert len(both) == 50
        assert {len(task) for task in both} == {2, 3, 4}  # one class against the rest is what the zoos do
        assert plan.trained[:6] == ((0,), (1,), (2,), (3,), (4,), (5,))

    def test_small_ones_come_first_and_the_seed_decides(self):
        ten = [f"c{i}" for i in range(10)]
        plan = tasks.draw(ten, 60, 60, 20, 1, "tasks.x")
        assert all(2 <= len(task) <= 5 for task in plan.unseen[:20])
        assert plan == tasks.draw(ten, 60, 60, 20, 1, "tasks.x")
        assert plan.unseen != tasks.draw(ten, 60, 60, 20, 2, "tasks.x").unseen
        assert not set(plan.seen) & set(plan.unseen)

    @pytest.mark.parametrize(
        ("numbers", "words"),
        [
            ((20, 6, 2), "have 25 tasks of at least two classes on either side, not 20 seen and 6 unseen"),
            ((2, 2, 3), "write at most 2"),
        ],
    )
    def test_what_there_is_not_is_refused(self, numbers, words):
        with pytest.raises(ValueError, match=words):
            tasks.draw(NAMES, *numbers, 1, "tasks.x")

    def test_labels(self):
        assert tasks.labels(np.array([0, 1, 2, 1]), (1, 2)).tolist() == [0, 1, 1, 1]


class TestRules:
    logits = np.random.default_rng(0).normal(size=(6, 40)) * 3
    members = np.array([True, False, True, False, False, True])

    @pytest.mark.parametrize("rule", RULES)
    def test_networks_that_know_the_class_solve_every_task(self, rule):
        classes = np.arange(60) % 6
        logits = np.where(classes == np.arange(6)[:, None], 4.0, -4.0)
        score = RULES[rule](logits, self.members)
        assert score[self.members[classes]].min() > score[~self.members[classes]].max()

    def test_odds_are_what_independence_and_one_class_give(self):
        p = 1 / (1 + np.exp(-self.logits))
        only = np.stack([p[c] * np.delete(1 - p, c, 0).prod(0) for c in range(6)])
        expected = only[self.members].sum(0) / only.sum(0)
        np.testing.assert_allclose(RULES["odds"](self.logits, self.members), expected, rtol=1e-9)

    @pytest.mark.parametrize("rule", ["odds", "share"])
    def test_a_task_and_its_complement_add_up(self, rule):
        both = RULES[rule](self.logits, self.members) + RULES[rule](self.logits, ~self.members)
        np.testing.assert_allclose(both, 1, rtol=1e-6)

    def test_or_is_the_complement_of_no_class(self):
        p = 1 / (1 + np.exp(-self.logits[self.members]))
        np.testing.assert_allclose(RULES["or"](self.logits, self.members), 1 - (1 - p).prod(0))


def test_the_best_rule_is_chosen_on_seen_tasks():
    plan = tasks.Plan(NAMES, ((0, 1),), ((2, 3),))
    classes = np.arange(120) % 6
    sure = np.where(classes == np.arange(6)[:, None], 4.0, -4.0)
    sure[:1, classes == 0], sure[5, classes == 0] = -1.0, 9.0  # misleads rules that weigh classes by their odds
    assert task_ways.choose_rule(plan, sure, classes) == "share"  # as good as "or", and named first


def test_the_nearest_task_may_be_the_opposite_one(monkeypatch):
    plan = tasks.Plan(NAMES, ((0, 1, 2, 3),), ((4, 5, 3),))
    asked = []
    monkeypatch.setattr(task_ways, "log_odds", lambda networks, images: asked.append(networks) or np.ones((1, 2)))
    networks = {"fc1.bias": np.arange(7)}
    data = dict.fromkeys(task_ways.SPLITS, task_ways.Split(np.zeros((2, 1, 1, 3)), np.zeros(2)))
    shared = task_ways.Shared(plan, data, {}, {}, {}, "odds", networks, {}, {})
    scores = task_ways._nearest(shared, tasks.indicator((4, 5), 6))
    assert asked[0]["fc1.bias"].tolist() == [6]  # the seen task: all six classes the other way round
    assert (scores["test"] == -1).all()


def test_the_summary_pairs_tasks():
    rows = [
        {"task": task, "held_out": held_out, "way": way, "auroc": value, "tasks": "x", "given": "zoos"}
        for task, held_out, values in (("a", True, (0.9, 0.8)), ("b", True, (0.7, 0.65)), ("c", False, (0.5, 0.9)))
        for way, value in zip(("retrained", "zoo_odds"), values, strict=True)
    ]
    frame = pd.DataFrame(rows).reindex(columns=task_tables.COLUMNS)
    frame = frame.fillna({"balanced_accuracy": 0.5, "accuracy": 0.5, "seconds": 1.0, "shared_seconds": 0.0})
    row = task_tables.summary(frame).set_index("way").loc["zoo_odds"]
    assert row["n_tasks"] == 2
    assert row["auroc"] == pytest.approx(0.725)
    assert row["minus_retrained"] == pytest.approx(-0.075)
    # Student's t of one degree of freedom: 12.706 standard errors of 0.025
    assert row["minus_retrained_high"] == pytest.approx(-0.075 + 12.706 * 0.025, abs=1e-3)
    assert row["seen"] == pytest.approx(0.9)
    assert "worse" not in task_tables.sentence(task_tables.summary(frame), "x")


def test_a_hypernetwork_learns_its_tasks_the_same_way_each_time():
    colours = np.array([[250, 20, 20], [20, 250, 20], [20, 20, 250], [230, 230, 20], [230, 20, 230]], np.uint8)
    classes = np.arange(100) % 5
    noise = np.random.default_rng(0).integers(-20, 20, (100, 32, 32, 3))
    images = np.clip(colours[classes][:, None, None] + noise, 0, 255).astype(np.uint8)
    plan = tasks.draw([f"c{i}" for i in range(5)], 4, 3, 0, 1, "tasks.x")
    trained = np.stack([tasks.indicator(task, 5) for task in plan.trained])
    how = {"architecture": "published", "hidden": 32, "seed": 1, "name": "test"}
    made = [
        hypernetwork.weights(hypernetwork.train(images, classes, trained, steps=steps, **how), trained)
        for steps in (30, 2, 2)
    ]
    assert np.array_equal(made[1]["fc1.weight"], made[2]["fc1.weight"])
    right = [
        [
            ((score > 0) == tasks.labels(classes, task)).mean()
            for score, task in zip(task_ways.log_odds(networks, images), plan.trained, strict=True)
        ]
        for networks in made[:2]
    ]
    assert np.mean(right[0]) > 0.9 > np.mean(right[1])
