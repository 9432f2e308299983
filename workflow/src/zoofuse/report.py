"""The report: one HTML file that asks nothing of a network, filled from the run's tables and figures."""

import base64
import importlib.metadata
import io
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup
from PIL import Image

from zoofuse import tables
from zoofuse.figures import method_label
from zoofuse.files import atomic_path
from zoofuse.tables import ALWAYS_NO, CLUSTERERS, GENERATED

ROWS = 40_000  # table rows in one report, shared out among its tables; about 80 bytes each
PACKAGES = [
    "zoofuse",
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "umap-learn",
    "h5py",
    "pandas",
    "matplotlib",
    "snakemake",
]

# What a reader who cannot see a figure should hear, by kind; {name} and the concepts are filled in.
ALT = {
    "examples": "Contact sheet: example images of every concept and test set, positives above negatives.",
    "zoo_histogram": "Histogram of final validation balanced accuracy, a panel per concept; the table has its figures.",
    "zoo_curves": "Training loss and validation balanced accuracy per epoch, median and quartiles for each concept.",
    "methods": "{name}: accuracy of every CNN by method and clusterer; the table below has the medians.",
    "kernels_conv1": "{name}: first-layer kernels as colour patches, trained and translated side by side.",
    "kernels_conv2": "{name}: second-layer kernels as grey slices, trained and translated side by side.",
    "cyclegan": "{name}: losses and measures of both CycleGANs per epoch.",
    "umap": "{name}: UMAP of the test images, left by what they are, right by the cluster they fell in.",
    "tsne": "{name}: t-SNE of the test images, left by what they are, right by the cluster they fell in.",
    "cosine": "{name}: heat map of cosine similarity between the features of every two test images, ordered by group.",
}
_HIDDEN = ["noise", "cosine_within", "cosine_between"]  # in the CSV, not in the table on the page


def build(
    path: str | os.PathLike,
    *,
    title: str,
    fusions: Sequence[Mapping],
    zoo: str | os.PathLike | None = None,
    images: Sequence[Mapping] = (),
    image_notes: Sequence[str] = (),
    figures: Mapping[str, str | os.PathLike] | None = None,
    settings: Mapping | None = None,
    environment: Mapping | None = None,
) -> None:
    """Write the report. Every file is named by the caller; CSVs are linked relative to `path`, figures embedded.

    fusions: one mapping each, in the order shown:
        name, a, b   the fusion and its two concepts (domain A, domain B)
        tables       clusterer -> CSV of `tables.clusterer_table`
        summary      CSV of `tables.summary`
        published    clusterer -> CSV of `tables.beside_published`; may be left out
        verdicts     layer -> a sentence on its CycleGAN; may be left out
        figures      kind -> image or list of images, kinds: methods, kernels_conv1, kernels_conv2, cyclegan,
                     umap, tsne, cosine; any may be left out
    zoo: CSV of `tables.zoo_table`. figures: examples, zoo_histogram, zoo_curves.
    images: one mapping per image set, heading -> text or number; image_notes: sentences, such as what was skipped.
    settings, environment: nested mappings, shown as they are; `versions()` makes a good part of the second.
    Raises ValueError for a figure of an unknown kind and OSError for a file that is not there.
    """
    path = Path(path)
    count = sum(len(fusion["tables"]) for fusion in fusions) or 1
    zoo_rows = pd.read_csv(zoo) if zoo else None
    context = {
        "title": title,
        "sizes": {} if zoo_rows is None else dict(zip(zoo_rows["concept"], zoo_rows["n"], strict=True)),
        "fusions": [_fusion(fusion, path.parent, ROWS // count) for fusion in fusions],
        "zoo": None if zoo_rows is None else _small(zoo_rows, "CNNs of the zoo by concept", zoo, path.parent),
        "images": _small(pd.DataFrame(list(images)).convert_dtypes(), "Images by set") if images else None,
        "image_notes": image_notes,
        "figures": _figures(figures or {}, title),
        "settings": flatten(settings or {}),
        "environment": flatten(environment or {}),
    }
    loader = jinja2.PackageLoader("zoofuse", ".")
    template = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template.filters |= {"value": _value, "heading": _heading, "signed": lambda x: f"{x:+.3f}".replace("-", "\u2212")}
    html = template.get_template("report.html").render(context)
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def answer(summary: pd.DataFrame) -> dict:
    """Whether generated CNNs beat their controls, in words, from `tables.summary`: headline, sentences, comparisons.

    The headline goes by `tables.against_controls` and accuracy: a generated domain wins under a clusterer when it is
    clearly above every control, not only above the weakest. "Yes" when all win, "No" when none does.
    """
    comparisons = tables.against_controls(summary)
    if comparisons.empty:
        return {"headline": "There is nothing to compare: no generated CNNs, or no controls.", "sentences": [],
                "comparisons": comparisons}  # fmt: skip
    n = len(comparisons)
    above, below = (int((comparisons["verdict"] == verdict).sum()) for verdict in ("above", "below"))
    wins = comparisons.groupby(["clusterer", "domain"])["verdict"].agg(lambda verdicts: (verdicts == "above").all())
    if wins.all():
        headline = "Yes: the generated CNNs beat all their controls."
    elif below == n:
        headline = "No: the generated CNNs do worse than all their controls."
    elif not wins.any():
        headline = "No: nowhere do the generated CNNs beat all their controls."
    else:
        headline = f"In part: the generated CNNs beat all their controls in {wins.sum()} of {len(wins)} cases."
    clusterer = summary["clusterer"].iloc[0]
    rows = summary[summary["clusterer"] == clusterer]
    always = rows.loc[rows["method"] == ALWAYS_NO, "accuracy_median"].iloc[0]
    medians = [
        f"{row['accuracy_median']:.3f} for {method_label(row['method'], row['domain'])} (n\u00a0=\u00a0{row['n']:,})"
        for _, row in _ordered(rows).iterrows()
    ]
    sentences = [
        f"Of {n} comparisons (each generated domain with each control, under each clusterer) the generated median is "
        f"clearly above in {above}, clearly below in {below}, and not clearly different in {n - above - below}.",
        f"With {CLUSTERERS.get(clusterer, clusterer)} the median accuracy is {_and(medians)}; "
        f"always answering “no” scores {always:.3f}.",
        *_best(summary),
    ]
    balanced = tables.against_controls(summary, "balanced_accuracy")["verdict"].value_counts()
    sentences.append(
        f"By balanced accuracy, for which a constant answer scores 0.5, it is above in {balanced.get('above', 0)} and "
        f"below in {balanced.get('below', 0)} of the {n}."
    )
    return {"headline": headline, "sentences": sentences, "comparisons": comparisons}


def versions() -> dict[str, str]:
    """Python's and the packages' versions, for `environment`; a package that is not installed is left out."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def flatten(settings: Mapping, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as (dotted name, text), in their order: {"zoo": {"epochs": 20}} -> [("zoo.epochs", "20")]."""
    rows = []
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            rows += flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            rows.append((f"{prefix}{name}", ", ".join(map(str, value)) or "none"))
        else:
            rows.append((f"{prefix}{name}", "none" if value is None or value == {} else str(value)))
    return rows


def _fusion(fusion: Mapping, folder: Path, rows: int) -> dict:
    name, files = fusion["name"], fusion["tables"]
    summary = pd.read_csv(fusion["summary"]).astype({"model_picked_on_test": "Int64"})
    frames = {clusterer: pd.read_csv(file) for clusterer, file in files.items()}
    titles = {clusterer: f"{name}: {CLUSTERERS.get(clusterer, clusterer)}" for clusterer in files}
    first = next(iter(frames.values())).iloc[0]
    found = answer(summary)
    return {
        "name": name,
        "a": fusion["a"],
        "b": fusion["b"],
        "positives": int(first["tp"] + first["fn"]),
        "negatives": int(first["fp"] + first["tn"]),
        "headline": found["headline"],
        "sentences": found["sentences"],
        "comparisons": _matrix(found["comparisons"]),
        "summary": _small(_named(summary), f"{name}: summary by clusterer and method", fusion["summary"], folder),
        "tables": [_large(frame, titles[key], files[key], folder, rows) for key, frame in frames.items()],
        "published": [
            _small(pd.read_csv(file), f"{titles[key]}, published rows beside ours", file, folder)
            for key, file in fusion.get("published", {}).items()
        ],
        "verdicts": dict(fusion.get("verdicts", {})),
        "figures": _figures(fusion.get("figures", {}), name),
    }


def _figures(files: Mapping, name: str) -> dict[str, list[dict]]:
    """kind -> [{src, alt}], every file embedded."""
    if unknown := [kind for kind in files if kind not in ALT]:
        raise ValueError(f"figures: unknown kind {', '.join(unknown)}; known are {', '.join(ALT)}.")
    figures = {}
    for kind, paths in files.items():
        paths = [paths] if isinstance(paths, str | os.PathLike) else paths
        figures[kind] = [{"src": _data_uri(path), "alt": ALT[kind].format(name=name)} for path in paths]
    return figures


def _data_uri(path: str | os.PathLike) -> str:
    if Path(path).suffix == ".svg":
        kind, data = "svg+xml", Path(path).read_bytes()
    else:  # the same pixels in half the bytes
        buffer = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").save(buffer, "webp", lossless=True, quality=50)
        kind, data = "webp", buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _small(frame: pd.DataFrame, caption: str, file=None, folder: Path | None = None) -> dict:
    """A table whose rows stand in the HTML itself."""
    digits = _digits(frame)
    rows = [[None if pd.isna(cell) else cell for cell in row] for row in frame.itertuples(index=False)]
    link = os.path.relpath(file, folder) if file else None
    return {"caption": caption, "columns": list(frame), "digits": digits, "rows": rows, "link": link, "sorted": None}


def _large(frame: pd.DataFrame, caption: str, file, folder: Path, limit: int) -> dict:
    """A table whose rows are JSON, paged by the page's script: all of them, or the best and worst by accuracy."""
    total = len(frame)
    frame = _named(frame.drop(columns=_HIDDEN, errors="ignore")).sort_values("accuracy", ascending=False, kind="stable")
    if total > limit:
        frame = pd.concat([frame.head(limit // 2), frame.tail(limit // 2)])
    digits = _digits(frame)
    cells = frame.astype(object).where(frame.notna(), None)
    for name, places in zip(frame, digits, strict=True):
        if places:
            cells[name] = [None if value is None else round(value, 4) for value in cells[name]]
    # inside <script> only "<" can end the data early
    data = json.dumps(cells.values.tolist(), separators=(",", ":")).replace("<", "\\u003c")
    return {"caption": caption, "columns": list(frame), "digits": digits, "data": Markup(data), "total": total,
            "shown": len(frame), "sorted": "accuracy", "link": os.path.relpath(file, folder)}  # fmt: skip


def _matrix(comparisons: pd.DataFrame) -> dict:
    """`tables.against_controls` as rows of clusterer and generated domain by columns of controls."""
    controls = list(dict.fromkeys(zip(comparisons["control"], comparisons["control_domain"], strict=True)))
    controls.sort(key=lambda key: (key[0] != "random", key))
    rows = []
    for (clusterer, domain), group in comparisons.groupby(["clusterer", "domain"], sort=False):
        cells = {(row["control"], row["control_domain"]): row for _, row in group.iterrows()}
        label = (CLUSTERERS.get(clusterer, clusterer), method_label(GENERATED, domain))
        rows.append({"label": label, "cells": [cells.get(control) for control in controls]})
    return {"controls": [method_label(*control) for control in controls], "rows": rows}


def _best(summary: pd.DataFrame) -> list[str]:
    """The best CNN of the generated ones and of the controls, each with how many it was picked from."""
    real = summary[summary["method"] != ALWAYS_NO]
    name, parts, clusterers = "accuracy_best_picked_on_test", [], summary["clusterer"].nunique()
    for generated in (True, False):
        rows = real[(real["method"] == GENERATED) == generated]
        best = rows.loc[rows[name].idxmax()]
        pool = int(rows[rows["clusterer"] == best["clusterer"]]["n"].sum())
        clusterer = CLUSTERERS.get(best["clusterer"], best["clusterer"])
        label = method_label(best["method"], best["domain"])
        parts.append(
            f"{best[name]:.3f} ({label}, {clusterer}; the best of {pool:,} CNNs under {clusterers} clusterers)"
        )
    return [
        f"The single best generated CNN reaches {parts[0]}. It was picked on the test images themselves, so this is a "
        f"maximum and no estimate; picked the same way, the best control reaches {parts[1]}."
    ]


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """Generated first, then random initialisation, then the rest; without the reference answer."""
    rows = rows[rows["method"] != ALWAYS_NO]
    rank = rows["method"].map({GENERATED: 0, "random": 1}).fillna(2)
    return rows.assign(rank=rank).sort_values(["rank", "method", "domain"]).drop(columns="rank")


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Clusterers under the names readers know; methods keep the names of the files and the config."""
    return frame.assign(clusterer=frame["clusterer"].replace(CLUSTERERS)) if "clusterer" in frame else frame


def _digits(frame: pd.DataFrame) -> list[int | None]:
    """Per column how many decimals to show; None for text."""
    kinds = [(name, frame[name].dtype) for name in frame]
    return [None if not pd.api.types.is_numeric_dtype(kind) else 3 if kind.kind == "f" else 0 for _, kind in kinds]


def _value(cell, digits: int | None) -> str:
    if cell is None:
        return "–"  # noqa: RUF001
    if digits is None or (digits == 0 and abs(cell) < 10_000):
        return str(cell)
    return f"{cell:,.{digits}f}"


def _heading(column: str) -> str:
    return str(column).replace("_", " ")


def _and(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
