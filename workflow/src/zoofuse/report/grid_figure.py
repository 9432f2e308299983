"""The figure of a grid of conjunctions: what each method gains on CNNs trained without any zoo."""

import numpy as np
import pandas as pd

from zoofuse.methods import registry
from zoofuse.report.canvas import ACCENT, BLUE, GREY, INK, Path, canvas, plain


def gains(pairs: pd.DataFrame, summary: pd.DataFrame, path: Path) -> None:
    """Every held-out pair's AUROC minus that of `direct`, a line for each method, with the mean's interval.

    Args:
        pairs: rows with `grid_tables.PAIR_COLUMNS`.
        summary: of `grid_tables.summary`.
        path: PNG or SVG.
    """
    grids = summary["grid"].drop_duplicates().tolist()
    heights = [0.9 + 0.27 * (summary["grid"] == grid).sum() for grid in grids]
    with canvas(path, sum(heights)) as figure:
        axes = figure.subplots(len(grids), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, grid in zip(axes, grids, strict=True):
            _panel(axis, pairs[(pairs["grid"] == grid) & pairs["held_out"]], summary[summary["grid"] == grid])
            axis.set_title(f"{plain(grid)}: {summary.loc[summary['grid'] == grid, 'n_pairs'].max()} held-out pairs")
        axes[-1].set_xlabel("AUROC minus that of CNNs trained directly, without a zoo (dots: pairs; bars: mean, 95 %)")


def _panel(axis, pairs: pd.DataFrame, summary: pd.DataFrame) -> None:
    by_method = pairs.pivot_table(index="pair", columns="method", values="auroc")
    rows = summary[summary["method"] != "direct"].sort_values("mean")
    if "direct" not in by_method:
        axis.text(0.5, 0.5, "direct was not measured", transform=axis.transAxes, ha="center")
        return
    for y, (_, row) in enumerate(rows.iterrows()):
        colour = ACCENT if registry.get(row["method"]).is_generated else GREY
        difference = (by_method[row["method"]] - by_method["direct"]).dropna().to_numpy()
        spread = np.linspace(-0.18, 0.18, len(difference)) if len(difference) > 1 else [0]
        axis.plot(difference, y + np.array(spread), ".", color=colour, alpha=0.45, markersize=4)
        mean, low, high = row["minus_direct"], row["minus_direct_low"], row["minus_direct_high"]
        error = np.abs([[mean - low], [high - mean]])
        look = {"color": BLUE, "capsize": 3, "markersize": 5, "linewidth": 1.6}
        axis.errorbar(mean, y, xerr=error if np.isfinite(error).all() else None, fmt="D", **look)
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_yticks(range(len(rows)), [plain(registry.get(name).label) for name in rows["method"]])
    axis.set_ylim(-0.6, len(rows) - 0.4)
    axis.grid(axis="x")
