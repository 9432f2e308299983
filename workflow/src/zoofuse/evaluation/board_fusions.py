"""Rows of the leaderboard's track fuse: what a fusion's methods reach zero-shot, from its tables."""

import numpy as np
import pandas as pd

from zoofuse.evaluation.board import COLUMNS
from zoofuse.methods import registry

AGAINST = "average"  # the mean of parents' weights: what merging without a thought gives
HEAD = "own"  # the heads that a CNN brings; probes are fitted to concept labels


def rows(fusion: str, zero_shot: pd.DataFrame, comparisons: pd.DataFrame, nearest: pd.DataFrame) -> pd.DataFrame:
    """A row for each method and baseline that scores images by heads of its own.

    Args:
        fusion: its name.
        zero_shot: its table of that name; quality is the median AUROC of a method's CNNs with its interval.
        comparisons: its table of that name; the verdict is that on a method minus AGAINST.
        nearest: its table nearest_parent; novelty in weights is a method's median distance over the parents' own.

    Returns:
        Columns of the leaderboard; novelty is missing where a method makes no CNN of the parents' architecture, and
        seconds are not known.
    """
    own = zero_shot[zero_shot["head"] == HEAD]
    against = comparisons[
        (comparisons["protocol"] == "zero_shot")
        & (comparisons["clusterer"] == HEAD)
        & (comparisons["baseline"] == AGAINST)
        & (comparisons["what"] == "median")
    ].set_index("method")["verdict"]
    distances = nearest.groupby("method")["median"].median()
    of_parents = distances[distances.index.str.startswith("parent_")].median()
    made = []
    for row in own.to_dict("records"):
        entry = registry.get(row["method"])
        made.append(
            {
                "track": "fuse",
                "zoo": fusion,
                "method": row["method"],
                "given": given(entry),
                "seeds": 1,
                "n": row["n"],
                "quality": row["median"],
                "quality_low": row["median_low"],
                "quality_high": row["median_high"],
                "novelty_weights": distances.get(row["method"], np.nan) / of_parents,
                "verdict": against.get(row["method"], "control"),
                "counted": entry.is_generated,
            }
        )
    return pd.DataFrame(made, columns=[*COLUMNS])


def given(entry: registry.Method) -> str:
    """What a method was made from, in words."""
    only_images = entry.images_only or entry.needs == ("images",)
    parts = [] if only_images else ["weights"]
    parts += ["images"] if only_images or entry.needs_images else []
    parts += [entry.supervision] if entry.supervision != "none" else []
    return ", ".join(parts)
