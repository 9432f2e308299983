"""Figures of the report: each function takes arrays or frames and writes one image, PNG or SVG by the path's suffix."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from zoofuse.core import metrics
from zoofuse.evaluation.tables import CLUSTERERS, of_protocol
from zoofuse.methods import registry
from zoofuse.report.canvas import (
    ACCENT,
    BLUE,
    DASHES,
    GREY,
    INK,
    MARKERS,
    PALE,
    PURPLE,
    SERIES,
    SKY,
    WIDTH,
    Path,
    canvas,
    plain,
)

PUBLISHED_ALWAYS_NO = 55 / 89
_END = 1.02  # of an axis of scores: a mark at 1 is shown whole


def method_label(method: str, domain: str = "-") -> str:
    """How a method is called in figures and report: `cyclegan`, `A` -> generated A."""
    label = registry.get(method).label
    return label if domain == "-" or label.endswith(f" {domain}") else f"{label} {domain}"


def examples(sets: Mapping[str, tuple[np.ndarray, np.ndarray]], path: Path, columns: int = 16, rows: int = 2) -> None:
    """A contact sheet: for each set evenly spaced images of both classes, at most `rows` lines of `columns` each.

    sets: name -> (images uint8 (m, h, w, 3), labels (m,), class 1 = the concept).
    """
    strips = []
    for name, (images, labels) in sets.items():
        for label, title in ((1, "positive"), (0, "negative")):
            members = images[labels == label]
            n = len(members)
            shown = members[np.linspace(0, n - 1, min(n, rows * columns)).round().astype(int)]
            strips.append((f"{plain(name)}: {title} ({n:,})", shown, columns))
    contact_sheet(strips, path)


def contact_sheet(strips: Sequence[tuple[str, np.ndarray, int]], path: Path) -> None:
    """Strip below strip: (title, images uint8 (m, h, w, 3), images in a line); a line of text for no strip at all."""
    if not strips:
        with canvas(path, 0.5) as figure:
            figure.text(0.02, 0.5, "There is nothing to show.", va="center")
        return
    sheets = [_sheet(images, columns) for _, images, columns in strips]
    heights = [sheet.shape[0] / sheet.shape[1] * WIDTH + 0.28 for sheet in sheets]
    with canvas(path, sum(heights)) as figure:
        axes = figure.subplots(len(strips), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, sheet, (title, *_) in zip(axes, sheets, strips, strict=True):
            axis.imshow(sheet, interpolation="nearest", aspect="equal")
            axis.set_title(plain(title, 90), fontweight="normal")
            axis.set_axis_off()


def orders(ranges: pd.DataFrame, path: Path) -> None:
    """A CNN's published accuracy over orders of the same test images, a panel for each clusterer.

    ranges: of `evaluation.orders.ranges`.
    """
    names = ranges["clusterer"].drop_duplicates().tolist()
    with canvas(path, 3.2) as figure:
        axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
        for axis, name in zip(axes, names, strict=True):
            rows = ranges[ranges["clusterer"] == name].sort_values("median").reset_index(drop=True)
            axis.vlines(rows.index, rows["least"], rows["greatest"], color=PALE, linewidth=3, label="all orders")
            axis.vlines(rows.index, rows["q25"], rows["q75"], color=GREY, linewidth=3, label="half of them")
            axis.plot(rows.index, rows["given"], "D", color=ACCENT, markersize=4, label="the order given")
            axis.set_title(plain(name.replace("_", " ")))
            axis.set_xticks([])
            axis.grid(axis="y")
        axes[0].set_ylabel(f"accuracy over {ranges['orders'].max()} orders")
        axes[0].set_xlabel("CNNs")
        axes[-1].legend(loc="lower right")


def zoo_histogram(histories: Mapping[str, Mapping[str, np.ndarray]], path: Path) -> None:
    """Final validation balanced accuracy of every CNN, one panel per concept; degenerate CNNs stand out in vermilion.

    histories: concept -> `tables.zoo_history`.
    """
    bins = np.linspace(0, 1, 41)
    with canvas(path, 0.5 + 1.45 * len(histories)) as figure:
        axes = figure.subplots(len(histories), 1, squeeze=False, sharex=True)[:, 0]
        for axis, (concept, history) in zip(axes, histories.items(), strict=True):
            final, degenerate = history["validation_balanced_accuracy"][:, -1], history["degenerate"]
            sound = final[~degenerate]
            axis.hist(sound, bins, color=BLUE, label="not degenerate")
            stuck = np.nan_to_num(final[degenerate], nan=0.5)
            look = {"color": ACCENT, "hatch": "////", "edgecolor": "white", "linewidth": 0}
            words = f"degenerate: {degenerate.sum():,} of {len(final):,}"
            axis.hist(stuck, bins, bottom=np.histogram(sound, bins)[0], label=words, **look)
            axis.axvline(np.nanmedian(final), color=INK, linewidth=1, linestyle="--")
            axis.set_title(f"{plain(concept)}: median {np.nanmedian(final):.3f} over {len(final):,} CNNs")
            axis.set_ylabel("CNNs")
            axis.set_ylim(0, 1.06 * np.histogram(np.nan_to_num(final, nan=0.5), bins)[0].max())
            axis.legend(loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, borderaxespad=0)
        lowest = min(np.nanmin(history["validation_balanced_accuracy"][:, -1]) for history in histories.values())
        axes[-1].set_xlim(min(0.45, math.floor(lowest * 20) / 20), 1)
        axes[-1].set_xlabel("validation balanced accuracy after the last epoch (0.5 = chance)")


def zoo_curves(histories: Mapping[str, Mapping[str, np.ndarray]], path: Path) -> None:
    """Loss and validation balanced accuracy per epoch: median line and band between the quartiles of all CNNs.

    histories: concept -> `tables.zoo_history`.
    """
    names = {"loss": "training loss", "validation_balanced_accuracy": "validation balanced accuracy"}
    with canvas(path, 2.6) as figure:
        axes = figure.subplots(1, 2)
        for axis, (name, title) in zip(axes, names.items(), strict=True):
            for i, (concept, history) in enumerate(histories.items()):
                q25, median, q75 = np.nanquantile(history[name], [0.25, 0.5, 0.75], axis=0)
                epochs = np.arange(1, len(median) + 1)
                colour, dash = SERIES[i % len(SERIES)], DASHES[i % len(DASHES)]
                marker = "o" if len(epochs) == 1 else None
                axis.fill_between(epochs, q25, q75, color=colour, alpha=0.18, linewidth=0)
                axis.plot(
                    epochs, median, color=colour, linestyle=dash, linewidth=1.6, marker=marker, label=plain(concept)
                )
            axis.set_title(title)
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.grid(axis="y")
        axes[0].legend()


def methods(
    tables: Mapping[str, pd.DataFrame], path: Path, published: Mapping[str, pd.DataFrame] | None = None
) -> None:
    """Accuracy of every CNN by method and clusterer, the figure of generated CNNs beside their baselines.

    tables: clusterer -> `tables.clusterer_table`, of which the published protocol is shown; published: clusterer ->
    `tables.published`, shown as a last row.
    Every dot is a CNN, the box holds the middle half with the median as its line; the dashed line is what always
    predicting "no" scores on these test images, and for the published row on the published ones.
    """
    published = published or {}
    tables = {clusterer: of_protocol(table, "published") for clusterer, table in tables.items()}
    known = list(registry.known())
    keys = sorted(
        {key for table in tables.values() for key in zip(table["method"], table["domain"], strict=True)},
        key=lambda key: (
            not registry.get(key[0]).is_generated,
            known.index(key[0]) if key[0] in known else len(known),
            key,
        ),
    )
    rows = [plain(method_label(*key)) for key in keys] + (["published,\nselected by hand"] if published else [])
    with canvas(path, 0.85 + 0.42 * len(rows)) as figure:
        axes = figure.subplots(1, len(tables), squeeze=False, sharex=True, sharey=True)[0]
        lowest, dashed = 1.0, {"color": INK, "linewidth": 0.9, "linestyle": (0, (4, 3)), "zorder": 1}
        for axis, (clusterer, table) in zip(axes, tables.items(), strict=True):
            always = (table["fp"] + table["tn"]).iloc[0] / table[["tp", "fp", "fn", "tn"]].iloc[0].sum()
            axis.plot([always] * 2, [-0.6, len(keys) - 0.5], **dashed)
            for y, key in enumerate(keys):
                ours = table[(table["method"] == key[0]) & (table["domain"] == key[1])]["accuracy"].to_numpy()
                _distribution(axis, ours, y, ACCENT if registry.get(key[0]).is_generated else GREY)
                lowest = min([lowest, always, *ours])
            if clusterer in published:
                theirs = published[clusterer]["published_accuracy"].to_numpy()
                _distribution(axis, theirs, len(keys), BLUE)
                axis.plot([PUBLISHED_ALWAYS_NO] * 2, [len(keys) - 0.5, len(keys) + 0.55], **dashed)
                axis.plot(theirs.max(), len(keys), "D", color=BLUE, markersize=5, markeredgecolor="white", zorder=5)
                lowest = min(lowest, theirs.min())
            axis.set_title(plain(CLUSTERERS.get(clusterer, clusterer)))
            axis.grid(axis="x")
            axis.tick_params(axis="y", length=0)
            axis.spines["left"].set_visible(False)
        axes[0].set_yticks(range(len(rows)), rows)
        axes[0].set_ylim(len(rows) - 0.45, -0.6)
        axes[0].set_xlim(math.floor(lowest * 20 - 0.2) / 20, _END)
        handles = [Line2D([], [], label="always “no”", **dashed)]
        if published:
            handles.append(Line2D([], [], color=BLUE, marker="D", markersize=5, linestyle="", label="best published"))
        figure.supxlabel("accuracy on the test images", fontsize=9)
        figure.legend(handles=handles, loc="outside upper right", ncols=2)


def few_shot(table: pd.DataFrame, path: Path) -> None:
    """AUROC by the number of labelled images of each class, the median over the CNNs of each method.

    Zero-shot classification heads (at 0) and probes fitted to labelled images are two estimators: a line joins the
    probes only.

    Args:
        table: with the columns of `few_shot.COLUMNS`.
        path: the image to write.
    """
    with canvas(path, 3.6) as figure:
        axis = figure.subplots()
        places = {each: place for place, each in enumerate(sorted(table["each"].unique()))}
        looks = zip(itertools.cycle(SERIES), itertools.cycle(MARKERS), strict=False)
        for (method, rows), (colour, marker) in zip(table.groupby("method", sort=False), looks, strict=False):
            strong = registry.get(method).is_generated
            look = {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1.8 if strong else 0.9}
            label = plain(method_label(method))
            for _, part in rows.sort_values("each").groupby(rows["each"] > 0):
                x = part["each"].map(places)
                axis.plot(x, part["median"], label=label, alpha=1 if strong else 0.7, **look)
                label = None
        axis.axhline(0.5, color=GREY, linewidth=0.7, linestyle=":")
        if 0 in places:
            axis.axvline(0.5, color=PALE, linewidth=0.9)
        names = ["0\n(zero-shot heads)" if each == 0 else str(each) for each in places]
        axis.set_xticks(list(places.values()), names)
        axis.set_xlabel("labelled images of each class (from 1 on: fitted probes)")
        axis.set_ylabel("AUROC on the test half")
        axis.grid(axis="y")
        figure.legend(loc="outside right center")


def replicates(medians: Mapping, table: pd.DataFrame, path: Path) -> None:
    """A dot for each run's median over CNNs, and the interval of their mean, a line for each method.

    medians: (method, protocol, clusterer or head) -> `replicates.Medians`; table: `replicates` of `replicates.tables`.
    """
    panels = {
        ("held_out", "kmeans"): ("K-means", "balanced accuracy"),
        ("zero_shot", "own"): ("own classification heads", "AUROC"),
        ("zero_shot", "probe"): ("linear probes", "AUROC"),
    }
    kinds = pd.MultiIndex.from_frame(table[["protocol", "clusterer"]])
    shown = table[(table["against"] == "all") & kinds.isin(list(panels))]
    names = list(dict.fromkeys(shown["method"]))
    with canvas(path, 1.1 + 0.24 * len(names)) as figure:
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True)
        for axis, ((protocol, clusterer), (title, measure)) in zip(axes, panels.items(), strict=True):
            rows = shown[(shown["protocol"] == protocol) & (shown["clusterer"] == clusterer)]
            for row in rows.itertuples():
                y, colour = names.index(row.method), ACCENT if registry.get(row.method).is_generated else GREY
                found = medians[row.method, protocol, clusterer].found
                axis.plot([row.low, row.high], [y, y], color=colour, linewidth=4, alpha=0.25, solid_capstyle="butt")
                axis.plot(found, [y] * len(found), "o", color=colour, markersize=3.5, alpha=0.8, markeredgewidth=0)
                axis.plot(row.median, y, "|", color=INK, markersize=9)
            axis.axvline(0.5, color=GREY, linewidth=0.7, linestyle=":")
            axis.set_title(title)
            axis.set_xlabel(measure)
            axis.grid(axis="x")
            axis.tick_params(axis="y", length=0)
            axis.spines["left"].set_visible(False)
        axes[0].set_xlim(math.floor(10 * min(0.5, shown["least"].min())) / 10, _END)
        axes[0].set_yticks(range(len(names)), [plain(method_label(name)) for name in names])
        axes[0].set_ylim(len(names) - 0.5, -0.5)


def cosine_heatmap(
    features: np.ndarray, labels: np.ndarray, groups: Sequence[str], path: Path, title: str = ""
) -> None:
    """Cosine similarity of every two images' features, ordered by class and group, group names on both axes.

    features (m, f), labels (m,) with class 1 = the concept, groups (m,) names. A zero vector is similar to nothing.
    """
    groups = np.asarray(groups).astype(str)
    order = np.lexsort((groups, np.asarray(labels) == 0))
    similarity = metrics.cosine_similarity(features)[np.ix_(order, order)]
    low, high = np.quantile(similarity, [0.02, 0.98])
    keys = list(zip(np.asarray(labels)[order], groups[order], strict=True))
    starts = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
    middles = [(a + b - 1) / 2 for a, b in zip(starts, [*starts[1:], len(keys)], strict=True)]
    positives = int(np.sum(np.asarray(labels) == 1))
    with canvas(path, 5.6) as figure:
        axis = figure.subplots()
        image = axis.imshow(similarity, cmap="cividis", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
        names = [plain(keys[start][1], 24) for start in starts]
        _sparse_ticks(axis.set_yticks, middles, names, len(keys) / 40)
        _sparse_ticks(axis.set_xticks, middles, names, len(keys) / 40, rotation=90)
        for edge in starts[1:]:
            own = edge == positives
            for line in (axis.axhline, axis.axvline):
                line(edge - 0.5, color="white", linewidth=1.6 if own else 0.4, alpha=1 if own else 0.6)
        axis.spines[:].set_visible(False)
        axis.set_title(plain(title, 80))
        bar = figure.colorbar(image, ax=axis, shrink=0.7, extend="both")
        bar.outline.set_visible(False)
        bar.set_label("cosine similarity (scale cut at the 2nd and 98th percentile)")


def embedding_scatter(
    points: np.ndarray, labels: np.ndarray, groups: Sequence[str], clusters: np.ndarray, path: Path, title: str = ""
) -> None:
    """The two-dimensional embedding (UMAP, t-SNE) twice: by what the images are, and by the cluster they fell in.

    points (m, 2), labels (m,) with class 1 = the concept, groups (m,) names, clusters (m,) names or int,
    -1 = noise.
    """
    groups, labels, clusters = np.asarray(groups).astype(str), np.asarray(labels), np.asarray(clusters)
    # the largest groups have a sign of their own, the rest share one, so that the legend stays readable
    others, counts = np.unique(groups[labels == 0], return_counts=True)
    named = sorted(others[np.argsort(-counts, kind="stable")][: 7 if len(others) > 8 else 8])
    with canvas(path, 4.1) as figure:
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        for i, group in enumerate(named):
            mask = (labels == 0) & (groups == group)
            colour = [BLUE, SKY, GREY, PURPLE][i % 4]
            look = {"marker": MARKERS[i + 1], "facecolor": "none", "edgecolor": colour, "linewidth": 0.9}
            left.scatter(*points[mask].T, s=15, label=f"{plain(group, 30)} ({mask.sum()})", **look)
        if (rest := (labels == 0) & ~np.isin(groups, named)).any():
            left.scatter(*points[rest].T, s=9, marker=".", color=GREY, label=f"other groups ({rest.sum()})")
        positive = labels == 1
        look = {"color": ACCENT, "edgecolor": "white", "linewidth": 0.4, "zorder": 3}
        left.scatter(*points[positive].T, s=18, label=f"positive ({positive.sum()})", **look)
        left.set_title("by group")
        for i, cluster in enumerate(np.unique(clusters)):
            mask = clusters == cluster
            look = {"color": SERIES[i % len(SERIES)], "marker": MARKERS[i % len(MARKERS)], "edgecolor": "white"}
            if cluster == -1:
                look = {"color": GREY, "marker": "x"}
            name = "noise" if cluster == -1 else cluster if clusters.dtype.kind == "U" else f"cluster {cluster}"
            words = f"{plain(name, 30)} ({mask.sum()}, {np.sum(mask & positive)} positive)" if i < 10 else None
            right.scatter(*points[mask].T, s=18, linewidth=0.6, label=words, **look)
        right.set_title("by prediction or cluster")
        for axis in (left, right):
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(True)
            axis.spines[:].set_color(PALE)
            tight = {"handletextpad": 0.2, "columnspacing": 0.8, "borderpad": 0}
            axis.legend(
                loc="upper left", bbox_to_anchor=(0, -0.02), ncols=2 if axis is left else 1, fontsize=7.5, **tight
            )
        if title:
            figure.suptitle(plain(title, 100), x=0.01, ha="left", fontsize=9.5)


def _distribution(axis: Axes, values: np.ndarray, y: int, colour: str) -> None:
    """A row of dots, one per value, over a box of the quartiles with the median as a heavy line."""
    if not values.size:
        return
    # the golden ratio spreads neighbours evenly, without random numbers
    spread = (np.arange(values.size) * 0.6180339887 % 1 - 0.5) * 0.5
    size, alpha = (9, 0.45) if values.size <= 300 else (4, 0.2)
    axis.scatter(np.sort(values), y + spread, s=size, color=colour, alpha=alpha, linewidth=0, zorder=2, rasterized=True)
    q25, median, q75 = np.quantile(values, [0.25, 0.5, 0.75])
    axis.barh(y, q75 - q25, 0.62, q25, facecolor="none", edgecolor=colour, linewidth=1.1, zorder=3)
    axis.plot([median, median], [y - 0.31, y + 0.31], color=INK, linewidth=2.4, solid_capstyle="butt", zorder=4)


def _sparse_ticks(set_ticks, positions: list[float], names: list[str], gap: float, **style) -> None:
    """Ticks for the groups, leaving out a name that would overprint the one before it."""
    kept: list[int] = []
    for i, position in enumerate(positions):
        if not kept or position - positions[kept[-1]] >= gap:
            kept.append(i)
    set_ticks([positions[i] for i in kept], [names[i] for i in kept], fontsize=8, **style)


def _sheet(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """uint8 (m, h, w, 3) -> one white sheet (rows * (h + gap), columns * (w + gap), 3)."""
    m, h, w, _ = images.shape
    lines = max(1, math.ceil(m / columns))
    sheet = np.full((lines * (h + gap), columns * (w + gap), 3), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = divmod(i, columns)
        sheet[y * (h + gap) : y * (h + gap) + h, x * (w + gap) : x * (w + gap) + w] = image
    return sheet
