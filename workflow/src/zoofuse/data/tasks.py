"""Binary tasks: some classes of a set of images against the rest. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoofuse.core import rng

Task = tuple[int, ...]  # places of the classes that count as positive, in order


@dataclass(frozen=True)
class Plan:
    """Which tasks are trained on and which are not.

    Args:
        classes: their names.
        seen: tasks that a CNN is trained on.
        unseen: tasks that are only measured. No task here or in `seen` is another one or its complement, which is the
            same task with its labels exchanged.
    """

    classes: tuple[str, ...]
    seen: tuple[Task, ...]
    unseen: tuple[Task, ...]

    @classmethod
    def read(cls, written: Mapping) -> "Plan":
        """A plan as it comes from a file or from Snakemake's params: lists instead of tuples."""
        kinds = {kind: tuple(tuple(task) for task in written[kind]) for kind in ("seen", "unseen")}
        return cls(tuple(written["classes"]), **kinds)

    @property
    def single(self) -> tuple[Task, ...]:
        """Each class against the rest."""
        return tuple((place,) for place in range(len(self.classes)))

    @property
    def trained(self) -> tuple[Task, ...]:
        """`single`, then `seen`."""
        return self.single + self.seen

    @property
    def measured(self) -> tuple[Task, ...]:
        """`unseen`, then `seen`."""
        return self.unseen + self.seen

    def name(self, task: Task) -> str:
        """Such as "cat+dog"."""
        return "+".join(self.classes[place] for place in task)


def draw(classes: Sequence[str], seen: int, unseen: int, small: int, seed: int, where: str) -> Plan:
    """Draw the tasks by the seed.

    Args:
        classes: k names, at least 4.
        seen, unseen: how many tasks of each kind.
        small: how many of the unseen ones have two to five classes; they come first.
        seed: the run's.
        where: the configuration's block, for random numbers and messages.

    Raises:
        ValueError: there are not as many tasks.
    """
    k = len(classes)
    if small > unseen:
        raise ValueError(f"{where}.small: {small} of {unseen} unseen tasks is not possible; write at most {unseen}.")
    # One class, or all but one, is what each zoo is trained on. Of a task and its complement one is kept, by chance.
    masks = np.array([mask for mask in range(1, 2**k - 1) if 2 <= mask.bit_count() <= k - 2 and mask & 1])
    exchanged = rng.uniform((len(masks),), seed, "tasks", where, "sides") < 0.5
    masks = np.where(exchanged, 2**k - 1 - masks, masks)[rng.permutation(len(masks), seed, "tasks", where)]
    tasks = [tuple(place for place in range(k) if mask >> place & 1) for mask in masks.tolist()]
    if seen + unseen > len(tasks):
        raise ValueError(
            f"{where}: {k} classes have {len(tasks)} tasks of at least two classes on either side, not {seen} seen and "
            f"{unseen} unseen ones. Write fewer, or name more classes."
        )
    few = [task for task in tasks if len(task) <= 5][:small]
    if len(few) < small:
        raise ValueError(f"{where}.small: only {len(few)} tasks have two to five classes; write at most {len(few)}.")
    rest = [task for task in tasks if task not in set(few)]
    others = unseen - small
    return Plan(tuple(classes), tuple(rest[others : others + seen]), tuple(few + rest[:others]))


def labels(of_class: np.ndarray, task: Task) -> np.ndarray:
    """uint8 (n,), 1 where an image's class (n,) is among the task's."""
    return np.isin(of_class, task).astype(np.uint8)


def indicator(task: Task, k: int) -> np.ndarray:
    """bool (k,): which classes are the task's."""
    return np.isin(np.arange(k), task)


def nearest(plan: Plan, members: np.ndarray) -> tuple[int, int]:
    """The place of the trained task that agrees with this one, bool (k,), on most classes, and 1; or -1, where it
    disagrees on most: then its opposite is meant."""
    k = len(members)
    agree = np.array([(indicator(task, k) == members).sum() for task in plan.trained])
    place = int(np.argmax(np.maximum(agree, k - agree)))
    return place, 1 if agree[place] >= k - agree[place] else -1
