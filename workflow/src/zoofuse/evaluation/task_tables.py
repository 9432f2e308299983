"""Tables over tasks: what each way reaches on tasks that nothing was trained on."""

import pandas as pd

from zoofuse.core import intervals

COLUMNS = (
    "task", "held_out", "way", "given", "auroc", "balanced_accuracy", "seconds", "shared_seconds", "accuracy",
    "classes", "larger_share", "tasks",
)  # fmt: skip
AGAINST = ("retrained", "nearest_seen", "one_network", "larger_class")


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each way: its mean AUROC over unseen tasks, and its differences from some others, task by task.

    Args:
        rows: with COLUMNS.

    Returns:
        way, n_tasks, auroc, low, high, minus_{name} with _low and _high for each of AGAINST, then balanced_accuracy,
        accuracy, seconds (the median of a task), shared_seconds, given, seen (the mean AUROC over seen tasks, on which
        rules are chosen) and tasks (the set of tasks). Intervals are Student's t over tasks.
    """
    found = []
    for name, part in rows.groupby("tasks", sort=False):
        aurocs = part.pivot_table(index=["held_out", "task"], columns="way", values="auroc", sort=False)
        unseen, seen = (aurocs[aurocs.index.get_level_values("held_out") == which] for which in (True, False))
        for way, own in part.groupby("way", sort=False):
            held_out = own[own["held_out"]]
            row = {"way": way, "n_tasks": len(held_out)} | _interval("auroc", unseen[way], "")
            for other in AGAINST:
                pairs = unseen[way] - unseen[other] if other in unseen and other != way else pd.Series(dtype=float)
                row |= _interval(f"minus_{other}", pairs, f"minus_{other}_")
            row |= {key: held_out[key].mean() for key in ("balanced_accuracy", "accuracy")}
            row |= {"seconds": held_out["seconds"].median(), "shared_seconds": held_out["shared_seconds"].median()}
            row |= {"given": own["given"].iloc[0], "seen": seen[way].mean(), "tasks": name}
            found.append(row)
    return pd.DataFrame(found)


def _interval(name: str, values: pd.Series, prefix: str) -> dict[str, float]:
    keys = (name, f"{prefix}low", f"{prefix}high")
    least = -1 if prefix else 0  # of a difference, and of an AUROC
    return dict(zip(keys, intervals.over_repetitions(values.to_numpy(), least, 1), strict=True))


def sentence(table: pd.DataFrame, tasks: str) -> str:
    """What a set of tasks says of the best way that is not trained on the task."""
    own = table[(table["tasks"] == tasks) & (table["way"] != "retrained")]
    best = own.loc[own["auroc"].idxmax()]
    low, high = best["minus_retrained_low"], best["minus_retrained_high"]
    verdict = "better" if low > 0 else "worse" if high < 0 else "inconclusive"
    return (
        f"{tasks}: of {len(own)} ways {best['way']} is best, AUROC {best['auroc']:.3f} over {best['n_tasks']} unseen "
        f"tasks; minus a CNN trained on the task {best['minus_retrained']:+.3f} ({low:+.3f} to {high:+.3f}): {verdict}."
    )
