"""Tables of a grid of conjunctions: what each method gains, over pairs that nobody trained on.

A pair is the unit: images and CNNs of one pair say how well that pair was measured, not what another pair
would give. Pairs share their attribute or their object with others, so their mean has a variance that is
clustered both ways (Cameron, Gelbach and Miller 2011, J. Business & Economic Statistics 29, 238-249).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from zoofuse.core import intervals
from zoofuse.methods import registry

PAIR_COLUMNS = (
    "grid", "pair", "held_out", "method", "supervision", "n", "auroc", "q25", "q75",
    "auroc_same_attribute", "auroc_same_object", "auroc_neither", "head", "seed", "attribute", "object",
)  # fmt: skip
# What every method's mean is compared with, pair by pair.
AGAINST = ("direct", "product", "best_rule", "direct_pair", "middle")
NEAR = 0.95  # of the gain over chance of `direct`, pair by pair


class Mean(NamedTuple):
    """A mean over pairs with its interval."""

    mean: float
    low: float
    high: float


def mean_over_pairs(
    values: Sequence[float],
    attributes: Sequence[str],
    objects: Sequence[str],
    level: float = intervals.LEVEL,
) -> Mean:
    """A mean over pairs, with an interval for further pairs of such attributes and objects.

    Args:
        values: (n,), one for each pair.
        attributes: (n,), each pair's attribute.
        objects: (n,), each pair's object.
        level: of the interval.

    Returns:
        Mean, low and high: Student's t with the two-way clustered variance, and as many degrees of
        freedom as the fewer of the attributes and objects, less one; NaN for fewer than two of either.
    """
    values = np.asarray(values, float)
    n, mean = len(values), float(np.mean(values)) if len(values) else float("nan")
    deviations = values - mean
    groups = [pd.factorize(np.asarray(of))[0] for of in (attributes, objects)]
    counts = [len(set(group.tolist())) for group in groups]
    if min(counts, default=0) < 2:
        return Mean(mean, float("nan"), float("nan"))
    single = np.sum(deviations**2) / n**2 * n / (n - 1)
    clustered = [
        np.sum(np.bincount(group, deviations) ** 2) / n**2 * count / (count - 1)
        for group, count in zip(groups, counts, strict=True)
    ]
    variance = max(sum(clustered) - single, single)  # the difference can fall below what independence gives
    half = stats.t.ppf((1 + level) / 2, min(counts) - 1) * np.sqrt(variance)
    return Mean(mean, mean - float(half), mean + float(half))


def summary(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row for each grid and method: its mean AUROC over held-out pairs, and the gain on baselines.

    Args:
        pairs: rows with PAIR_COLUMNS; several seeds of a pair are averaged first.

    Returns:
        grid, method, supervision, n_pairs, mean, low, high, and for each of AGAINST minus_{name} with
        _low and _high, pair by pair; `best_rule` is the rule that trains nothing with the best mean over the grid's
        seen pairs, so that it is not selected on what it is measured on. Then near_direct, the share of held-out pairs
        where it has at least NEAR of direct's gain over chance; seen, the mean over the seen pairs; and harmonic,
        the harmonic mean of both means.
    """
    rows = []
    for grid, part in pairs.groupby("grid", sort=False):
        by_pair = part.groupby(["method", "held_out", "attribute", "object"], sort=False)["auroc"].mean()
        table = by_pair.unstack("method")
        held_out = table.xs(True, level="held_out") if True in table.index.get_level_values(0) else table[:0]
        seen = table.xs(False, level="held_out") if False in table.index.get_level_values(0) else table[:0]
        rules = [name for name in table if not (registry.get(name).makes_cnns or registry.get(name).images_only)]
        best = seen[rules].mean().idxmax() if len(seen) and rules else (rules or [None])[0]
        against = {name: name for name in AGAINST} | {"best_rule": best}
        for method in part["method"].drop_duplicates():
            values = held_out[method].dropna()
            mean = mean_over_pairs(values, *_sides(values))
            row = {"grid": grid, "method": method}
            row["supervision"] = part.loc[part["method"] == method, "supervision"].iloc[0]
            row |= {"n_pairs": len(values), "mean": mean.mean, "low": mean.low, "high": mean.high}
            for name, other in against.items():
                difference = Mean(*[float("nan")] * 3)
                if other in held_out and other != method:
                    pairwise = (held_out[method] - held_out[other]).dropna()
                    difference = mean_over_pairs(pairwise, *_sides(pairwise))
                row |= {f"minus_{name}": difference.mean}
                row |= {f"minus_{name}_low": difference.low, f"minus_{name}_high": difference.high}
            row["best_rule"] = best
            if "direct" in held_out:
                row["near_direct"] = ((values - 0.5) >= NEAR * (held_out["direct"][values.index] - 0.5)).mean()
            row["seen"] = seen[method].mean() if len(seen) else float("nan")
            row["harmonic"] = float(stats.hmean([row["seen"], row["mean"]])) if row["seen"] > 0 else float("nan")
            rows.append(row)
    return pd.DataFrame(rows)


def sentence(table: pd.DataFrame, grid: str, method: str, against: str = "direct") -> str:
    """What the grid says of a method, in words: "distil minus direct is +0.012 (0.003 to 0.021) over 30 pairs"."""
    row = table[(table["grid"] == grid) & (table["method"] == method)].iloc[0]
    low, high = row[f"minus_{against}_low"], row[f"minus_{against}_high"]
    verdict = "better" if low > 0 else "worse" if high < 0 else "inconclusive"
    return (
        f"{method} minus {against} is {row[f'minus_{against}']:+.3f} ({low:+.3f} to {high:+.3f}) over "
        f"{row['n_pairs']} held-out pairs: {verdict}."
    )


def _sides(values: pd.Series) -> tuple[list[str], list[str]]:
    return (
        values.index.get_level_values("attribute").tolist(),
        values.index.get_level_values("object").tolist(),
    )
