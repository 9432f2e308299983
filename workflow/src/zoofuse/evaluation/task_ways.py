"""Ways to get a CNN for a task that nothing was trained on, each measured on the same images."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from zoofuse.core import intervals
from zoofuse.data import tasks
from zoofuse.evaluation import zero_shot
from zoofuse.evaluation.task_rules import RULES
from zoofuse.native import trainer
from zoofuse.zoo import training

GIVEN = {
    **{f"zoo_{rule}": "zoos" for rule in RULES},
    **{f"single_{rule}": "one CNN per class" for rule in RULES},
    "one_network": "images, class labels",
    "student": "zoos, images",
    "nearest_seen": "CNNs of seen tasks",
    "hypernetwork": "images, class labels",
    "netspace": "CNNs of tasks, zoos, images",
    "larger_class": "nothing",
    "retrained": "images, task labels",
}
"""Way -> what it is given. Only `retrained` knows the task before the CNNs are trained."""
SPLITS = ("training", "validation", "test")


class Split(NamedTuple):
    """Images uint8 (n, 32, 32, 3) and each one's class (n,)."""

    images: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class Shared:
    """What all tasks are measured with.

    logits: split -> the zoos' mean log odds, float32 (k, n) of k classes. first: the same of the first CNN of each
    zoo. one_network: split -> log odds (k, n) of one CNN of k outputs. rule: what students learn. networks: of the
    trained tasks, name -> (t, ...). generated: way -> networks of all measured tasks, of the hypernetwork and of
    NetSpace. seconds: way's source -> what it took to train, for all tasks together. each: way -> what it took for
    each task beside that.
    """

    plan: tasks.Plan
    data: Mapping[str, Split]
    logits: Mapping[str, np.ndarray]
    first: Mapping[str, np.ndarray]
    one_network: Mapping[str, np.ndarray]
    rule: str
    networks: Mapping[str, np.ndarray]
    generated: Mapping[str, Mapping[str, np.ndarray]]
    seconds: Mapping[str, float]
    each: Mapping[str, float] = field(default_factory=dict)


def train_task(
    data: Mapping[str, Split],
    task: tasks.Task,
    models: int,
    settings: training.Settings,
    seed: int,
    name: str,
    targets: np.ndarray | None = None,
    **how,
) -> dict[str, np.ndarray]:
    """CNNs that tell a task's classes from the others.

    Args:
        data: training and validation images.
        task: its classes.
        models: how many CNNs.
        settings: of training.
        seed, name: what random numbers depend on.
        targets: float32 (n, 2) probabilities of not and of being the task's, instead of labels.
        **how: as `training.train` takes it.

    Returns:
        Name -> float32 (models, ...); fc1 has two outputs, the second for the task.
    """
    labels, validation = (tasks.labels(data[split].classes, task) for split in SPLITS[:2])
    if targets is not None:  # no label of an image is used, not even to draw images
        n = min(settings.images_per_epoch, len(labels))
        settings, validation = replace(settings, balance="published", images_per_epoch=n), np.zeros(0, np.uint8)
    shown = data["validation"].images[: len(validation)]
    given = training.Data(data["training"].images, labels, shown, validation, targets)
    return training.train(given, settings, seed, name, np.arange(models), **how).weights


def log_odds(networks: Mapping[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """float32 (n, m) of n CNNs of two outputs for m images."""
    both = trainer.outputs(dict(networks), images)
    return np.nan_to_num(both[..., 1] - both[..., 0])


def choose_rule(plan: tasks.Plan, logits: np.ndarray, classes: np.ndarray) -> str:
    """The rule of the best mean AUROC over seen tasks on validation images; logits (k, n), classes (n,)."""
    k = len(plan.classes)

    def mean(rule: str) -> float:
        scores = [(RULES[rule](logits, tasks.indicator(task, k)), tasks.labels(classes, task)) for task in plan.seen]
        return float(np.mean([intervals.auroc(score[None], truth == 1)[0] for score, truth in scores]))

    return max(RULES, key=mean)


def measure(
    task: tasks.Task, shared: Shared, settings: training.Settings, seed: int, retrained: int, name: str, **how
) -> Iterator[dict]:
    """A row for each way.

    Args:
        task: a seen task, of which nothing is trained, or an unseen one.
        shared: what all tasks are measured with.
        settings: of the student and of the CNNs trained on the task.
        seed, name: what random numbers depend on.
        retrained: CNNs that are trained on the task.
        **how: as `training.train` takes it.

    Yields:
        task, held_out, way, given, auroc, balanced_accuracy (its threshold is chosen on validation images), seconds
        (for this task), shared_seconds (for all tasks together), classes (how many are the task's). Of several CNNs
        the median.
    """
    held_out = task in shared.plan.unseen
    truth = {split: tasks.labels(shared.data[split].classes, task) for split in SPLITS}
    larger = max(truth["test"].mean(), 1 - truth["test"].mean())
    ways: dict[str, tuple[Callable[[], dict[str, np.ndarray]], str]] = {}
    members = tasks.indicator(task, len(shared.plan.classes))
    for rule, score in RULES.items():
        for prefix, logits in (("zoo", shared.logits), ("single", shared.first)):
            ways[f"{prefix}_{rule}"] = (
                lambda score=score, logits=logits: {split: score(logits[split], members)[None] for split in SPLITS[1:]},
                prefix,
            )
    ways["one_network"] = (
        lambda: {split: RULES["odds"](shared.one_network[split], members)[None] for split in SPLITS[1:]},
        "one_network",
    )
    place = shared.plan.measured.index(task)
    for way, networks in shared.generated.items():
        ways[way] = (lambda networks=networks: _scored(shared, _rows(networks, [place])), way)
    if held_out:
        ways["nearest_seen"] = (lambda: _nearest(shared, members), "networks")

        def student():
            p = RULES[shared.rule](shared.logits["training"], members).astype(np.float32)
            targets = np.clip(np.stack([1 - p, p], 1), 0, 1)
            return _scored(shared, train_task(shared.data, task, 1, settings, seed, f"{name}/student", targets, **how))

        def again():
            return _scored(shared, train_task(shared.data, task, retrained, settings, seed, f"{name}/retrained", **how))

        ways |= {"student": (student, "zoo"), "retrained": (again, "")}
    else:
        own = len(shared.plan.single) + shared.plan.seen.index(task)
        ways["retrained"] = (lambda: _scored(shared, _rows(shared.networks, [own])), "")
    base = {"task": shared.plan.name(task), "held_out": held_out}
    about = {"classes": len(task), "larger_share": larger}
    for way, (scores, source) in ways.items():
        start = time.perf_counter()
        predicted = scores()
        seconds = time.perf_counter() - start + shared.each.get(way, 0.0)
        auroc = intervals.auroc(predicted["test"], truth["test"] == 1)
        threshold, _ = zero_shot.best_threshold(predicted["validation"], truth["validation"])
        right = (predicted["test"] >= threshold[:, None]) == (truth["test"] == 1)
        balanced = (right[:, truth["test"] == 1].mean(1) + right[:, truth["test"] == 0].mean(1)) / 2
        accuracy = right.mean(1)
        row = {"way": way, "given": GIVEN[way], "auroc": np.median(auroc), "balanced_accuracy": np.median(balanced)}
        row |= {"seconds": seconds, "shared_seconds": shared.seconds.get(source, 0.0), "accuracy": np.median(accuracy)}
        yield base | row | about
    floor = {"way": "larger_class", "given": GIVEN["larger_class"], "auroc": 0.5, "balanced_accuracy": 0.5}
    yield base | floor | {"seconds": 0.0, "shared_seconds": 0.0, "accuracy": larger} | about


def _scored(shared: Shared, networks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {split: log_odds(networks, shared.data[split].images) for split in SPLITS[1:]}


def _rows(networks: Mapping[str, np.ndarray], rows: list[int]) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in networks.items()}


def _nearest(shared: Shared, members: np.ndarray) -> dict[str, np.ndarray]:
    """The CNN of the nearest trained task, or its opposite."""
    place, sign = tasks.nearest(shared.plan, members)
    scores = _scored(shared, _rows(shared.networks, [place]))
    return {split: sign * values for split, values in scores.items()}
