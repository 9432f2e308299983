"""The report: one HTML file that needs no network, filled from the run's tables, figures and images.

Interactive figures are Plotly's (charts.py); tables are sorted by DataTables, as bundled by itables. Both
scripts, the figures, the images and long tables are stored compressed in the page.
"""

import base64
import io
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from markupsafe import Markup
from PIL import Image

from zoofuse.core import csv_files, files, text
from zoofuse.core.errors import FileError
from zoofuse.core.temporary import atomic_path
from zoofuse.evaluation.tables import CLUSTERERS, of_protocol
from zoofuse.report import charts, narrative, pages
from zoofuse.report.captions import ALT, CAPTIONS, HIDDEN, NETSPACE, PER_CNN, TABLES
from zoofuse.report.charts import PROTOCOLS
from zoofuse.report.embedded import as_json, library, pack, packed_library
from zoofuse.report.figures import method_label
from zoofuse.report.run_facts import flatten

ROWS = 60_000  # rows of long tables in one report, shared out among them; about 45 bytes each
IMAGES = 2000  # at most so many of a fusion's test images are shown, evenly spaced
_SHORT = 250  # rows; a table that is longer is packed, and needs JavaScript
_LOSSLESS = 400  # images; more are stored as WebP of good quality
LIBRARIES = ("plotly", "datatables")


def build(
    path: str | os.PathLike,
    *,
    title: str,
    fusions: Sequence[Mapping],
    zoo: str | os.PathLike | None = None,
    netspace: str | os.PathLike | None = None,
    images: Sequence[Mapping] = (),
    image_notes: Sequence[str] = (),
    figures: Mapping[str, str | os.PathLike] | None = None,
    settings: Mapping | None = None,
    environment: Mapping | None = None,
    times: pd.DataFrame | None = None,
    sizes: pd.DataFrame | None = None,
) -> None:
    """Write the report. Every file is named by the caller; CSVs are linked relative to `path`, the rest is embedded.

    fusions: one mapping each, in the order shown:
        name, concepts   the fusion and its concepts (domain A, domain B, and so on)
        tables       CSVs by name, any may be left out: those of TABLES, and for each clusterer its table of CNNs by
                     the published protocol (kmeans) and by the held-out one (held_out_kmeans)
        published    clusterer -> CSV of `tables.beside_published`; may be left out
        shown        file of `write_shown`; may be left out
        verdicts     layer -> a sentence on its CycleGAN; may be left out
        figures      kind -> image or list of images, kinds kernels_{layer}, cyclegan, cosine
        older_rows, older  what `run_facts.older_code` returns; may be left out
    zoo: CSV of `tables.zoo_table`. figures: examples, zoo_histogram, zoo_curves, netspace_<setting>.
    netspace: CSV of all of NetSpace's settings.
    images: one mapping per image set, heading -> text or number; image_notes: sentences, such as what was skipped.
    settings, environment: nested mappings, shown as they are; `run_facts.versions()` makes a good part of the second.
    times, sizes: of `run_facts.run_times` and `run_facts.folder_sizes`.
    Raises ValueError for a figure of an unknown kind and OSError for a file that is not there.
    """
    path = Path(path)
    long = sum(name not in TABLES for fusion in fusions for name in fusion["tables"]) or 1
    zoo_rows = csv_files.read(zoo) if zoo else None
    context = {
        "title": title,
        "models": {} if zoo_rows is None else dict(zip(zoo_rows["concept"], zoo_rows["n"], strict=True)),
        "fusions": [_fusion(i, fusion, path.parent, ROWS // long) for i, fusion in enumerate(fusions)],
        "zoo": None if zoo_rows is None else _table(zoo_rows, "CNNs of the zoo by concept", zoo, path.parent),
        "netspace": _netspace(netspace, path.parent) if netspace else [],
        "images": _table(pd.DataFrame(list(images)).convert_dtypes(), "Images by set") if images else None,
        "image_notes": image_notes,
        "figures": _figures(figures or {}, title),
        "settings": flatten(settings or {}),
        "environment": flatten(environment or {}),
        "times": None if times is None or times.empty else _table(times, "Run times by rule"),
        "sizes": None if sizes is None or sizes.empty else _table(sizes, "Sizes of result folders"),
        "templates": Markup(as_json(charts.templates()).replace("<", "\\u003c")),
        "libraries": {name: packed_library(name) for name in LIBRARIES},
    }
    html = pages.render(
        "report", shared=["plots.js", "plots.css"], scripts=map(library, LIBRARIES), styles_at_run_time=True, **context
    )
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def write_shown(
    path: str | os.PathLike,
    *,
    images: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    validation: np.ndarray,
    names: Sequence[str],
    embeddings: Mapping[str, np.ndarray],
    predictions: Mapping[str, np.ndarray],
) -> None:
    """Write what the report shows of single CNNs on a fusion's m test images (kind "shown").

    Args:
        path: the file to write.
        images: (m, h, w, 3) uint8.
        labels: (m,), 1 = the conjunction.
        groups: (m,) str.
        validation: (m,) bool.
        names: a sentence for each of k CNNs.
        embeddings: heading -> (k, m, 2).
        predictions: clusterer -> (k, m) bool, True = positive.
    """
    arrays = {"images": images, "labels": labels, "groups": groups, "validation": validation, "names": list(names)}
    arrays |= {f"embedding/{name}": points for name, points in embeddings.items()}
    arrays |= {f"prediction/{name}": predicted for name, predicted in predictions.items()}
    files.write(path, "shown", arrays)


def _fusion(index: int, fusion: Mapping, folder: Path, rows: int) -> dict:
    name, paths = fusion["name"], fusion["tables"]
    frames = {key: _marked(csv_files.read(file), fusion.get("older_rows", ())) for key, file in paths.items()}
    known = {key: frame for key, frame in frames.items() if key in TABLES}
    of_cnns = {key: [name for name in (f"held_out_{key}", key) if name in frames] for key in CLUSTERERS}
    cnns = {key: pd.concat([frames[name] for name in names]) for key, names in of_cnns.items() if names}
    beside = {key: csv_files.read(file) for key, file in fusion.get("published", {}).items()}
    leaderboard, comparisons, zero_shot = (known.get(key) for key in ("leaderboard", "comparisons", "zero_shot"))
    plots: list[dict] = []
    explorer = _explorer(charts.views(leaderboard, zero_shot, cnns, beside), comparisons, plots)
    shown = _shown(fusion["shown"], plots) if fusion.get("shown") else None
    return {
        "index": index,
        "name": name,
        "concepts": list(fusion["concepts"]),
        "counts": _counts(cnns),
        "older": fusion.get("older", ""),
        "summary": narrative.summary(leaderboard, comparisons),
        "explorer": explorer,
        "shown": shown,
        "data": pack(as_json({"figures": plots, "shown": shown})),
        "tables": [
            table
            for key in TABLES
            if key in known and len(known[key])
            for table in _by_protocol(known[key], f"{name}: {TABLES[key][0]}", paths[key], folder, TABLES[key][1])
        ],
        "cnns": [
            table
            for key, names in of_cnns.items()
            for file in names
            for table in _by_protocol(frames[file], f"{name}: {CLUSTERERS[key]}", paths[file], folder, PER_CNN, rows)
        ],
        "published": [
            _table(frame, f"{name}: {CLUSTERERS.get(key, key)}, published rows beside ours", file, folder)
            for (key, file), frame in zip(fusion.get("published", {}).items(), beside.values(), strict=True)
        ],
        "verdicts": dict(fusion.get("verdicts", {})),
        "figures": _figures(fusion.get("figures", {}), name),
    }


def _marked(frame: pd.DataFrame, older: Collection[str]) -> pd.DataFrame:
    """A table with a column `code` where some of its rows come from older code."""
    named = frame[[name for name in ("method", "baseline") if name in frame]]
    is_older = named.isin(list(older)).any(axis=1)
    return frame.assign(code=np.where(is_older, "older", "present")) if is_older.any() else frame


def _explorer(views: Sequence[Mapping], comparisons: pd.DataFrame | None, plots: list[dict]) -> list[dict]:
    """Protocol by protocol the views, with the places of their figures, which are added to `plots`."""

    def place(figure) -> int:
        plots.append(charts.specification(figure))
        return len(plots) - 1

    first = charts.first_protocol(() if comparisons is None else comparisons["method"])

    def compared(view: Mapping) -> list[dict]:
        if comparisons is None:
            return []
        same = (comparisons["protocol"] == view["protocol"]) & (comparisons["clusterer"] == view["name"])
        methods = comparisons[same].dropna(subset=["difference"]).groupby("method", sort=False)
        kinds = {"median": "medians over CNNs", "selected": "the selected CNNs"}
        return [
            {
                "label": method_label(method),
                "kinds": [
                    (label, place(charts.differences(part)))
                    for kind, label in kinds.items()
                    if len(part := rows[rows["what"] == kind])
                ],
            }
            for method, rows in methods
        ]

    return [
        {
            "name": protocol,
            "label": label,
            "caption": CAPTIONS[protocol],
            "views": [view | {"plot": place(charts.methods(view)), "compared": compared(view)} for view in mine],
        }
        for protocol, label in sorted(PROTOCOLS.items(), key=lambda of: of[0] != first)
        if (mine := [view for view in views if view["protocol"] == protocol])
    ]


def _netspace(file: str | os.PathLike, folder: Path) -> list[dict]:
    """Each setting's name, what its columns are, and its table."""
    rows = csv_files.read(file).rename(columns={"measure": "what"})  # a column "measure" is left out of tables
    parts = {name: rows[rows["setting"] == name].drop(columns="setting") for name in NETSPACE}
    return [
        {"name": name, "text": NETSPACE[name], "table": _table(part, pages.heading(name), file, folder)}
        for name, part in parts.items()
        if len(part)
    ]


def _counts(cnns: Mapping[str, pd.DataFrame]) -> dict | None:
    """Positives and negatives among the test images, as the published protocol counts them: all of them."""
    for frame in cnns.values():
        if len(part := of_protocol(frame, "published")):
            first = part.iloc[0]
            return {"positive": int(first["tp"] + first["fn"]), "negative": int(first["fp"] + first["tn"])}
    return None


def _by_protocol(
    frame: pd.DataFrame, caption: str, file: str | os.PathLike, folder: Path, note: str, limit: int = ROWS
) -> list[dict]:
    """One table for each protocol in `frame`, its first column that says so left out."""
    if "protocol" not in frame:
        return [_table(frame, caption, file, folder, note, limit)]
    named = [(key, of_protocol(frame, key).drop(columns="protocol")) for key in PROTOCOLS]
    named = [(key, part.dropna(axis="columns", how="all")) for key, part in named if len(part)]
    tables = []
    for key, part in named:
        words = note
        if key == "published" and "selected_on" in part:
            words = "Transductive: selected and test are the maximum, selected on the images it is measured on."
        if key == "zero_shot":
            part = part.rename(columns={"clusterer": "head"})
        text = f"{caption}, {PROTOCOLS[key].lower()}"
        tables.append(_table(part, text, file, folder, words, limit // len(named)) | {"protocol": key})
    return tables


def _table(
    frame: pd.DataFrame, caption: str, file=None, folder: Path | None = None, note: str = "", limit: int = ROWS
) -> dict:
    """A table for the template: rows in the HTML itself, or packed; beyond `limit` the best and worst."""
    total = len(frame)
    frame = frame.drop(columns=HIDDEN, errors="ignore")
    if "clusterer" in frame:
        frame = frame.assign(clusterer=frame["clusterer"].replace(CLUSTERERS))
    flags = [name for name in frame if frame[name].dtype == bool]
    frame = frame.assign(**{name: frame[name].map({True: "yes", False: "no"}) for name in flags})
    order = None
    if note == PER_CNN:
        order = next(x for x in ("validation", "accuracy") if x in frame)
        frame = frame.sort_values(order, ascending=False, kind="stable")
    if total > limit:
        frame = pd.concat([frame.head(limit // 2), frame.tail(limit // 2)])
    digits = _digits(frame)
    columns = [
        [None if pd.isna(value) else round(value, 4) if places else value for value in frame[name].tolist()]
        for name, places in zip(frame, digits, strict=True)
    ]
    rows = [list(row) for row in zip(*columns, strict=True)]
    packed = pack(as_json(rows)) if total > _SHORT else None
    return {
        "caption": f"{caption}, {note}" if note == PER_CNN else caption,
        "note": "" if note == PER_CNN else note,
        "columns": [str(name) for name in frame],
        "digits": digits,
        "choices": [_is_choice(frame[name], places) for name, places in zip(frame, digits, strict=True)],
        "rows": [] if packed else rows,
        "packed": packed,
        "order": None if order is None else list(frame).index(order),
        "total": total,
        "shown": len(frame),
        # A folder may be called javascript:, and a name hold # or ?: all of it is a path.
        "link": quote(os.fsencode(os.path.relpath(file, folder))) if file else None,
        "file": text.printable(os.path.relpath(file, folder)) if file else None,
        "protocol": None,
    }


def _is_choice(column: pd.Series, digits: int | None) -> bool:
    """Whether a column is worth a menu to filter by: names of which several rows share each."""
    return digits is None and column.name != "selected" and 1 < column.nunique() <= min(30, len(column) // 2)


def _alt(kind: str) -> str | None:
    """The alternative text of a figure, with {name} left open; None for an unknown kind."""
    if not kind.startswith("kernels_"):
        return ALT.get(kind)
    number = kind.removeprefix("kernels_conv")
    ordinals = {"1": "first-layer", "2": "second-layer", "3": "third-layer"}
    look = "colour patches" if number == "1" else "grey slices"
    return ALT["kernels"].format(name="{name}", layer=ordinals.get(number, f"conv{number}"), look=look)


def _figures(paths: Mapping, name: str) -> dict[str, list[dict]]:
    """kind -> [{src, alt, size}], every file embedded."""
    alts = {kind: _alt(kind) for kind in paths}
    if unknown := [kind for kind, alt in alts.items() if alt is None]:
        raise ValueError(f"figures: unknown kind {', '.join(unknown)}; known are {', '.join(ALT)}.")
    figures = {}
    for kind, some in paths.items():
        some = [some] if isinstance(some, str | os.PathLike) else some
        figures[kind] = [_image(path) | {"alt": alts[kind].format(name=name)} for path in some]
    return figures


def _image(path: str | os.PathLike) -> dict:
    """An embedded image and its width and height, by which a browser leaves room for it before it is decoded."""
    if Path(path).suffix == ".svg":
        data = Path(path).read_bytes()
        found = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', data[:2000])
        size = tuple(round(float(number)) for number in found.groups()) if found else None
        return {"src": f"data:image/svg+xml;base64,{base64.b64encode(data).decode()}", "size": size}
    try:
        with Image.open(path) as image:
            return {"src": _webp(image.convert("RGB"), True), "size": image.size}
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever Pillow says about a damaged file
        raise FileError(f"{path}: damaged or not a PNG ({error}). {files.REMAKE}") from error


def _webp(image: Image.Image, lossless: bool) -> str:
    """The same pixels as a PNG in half the bytes, or good ones in a tenth."""
    buffer = io.BytesIO()
    image.save(buffer, "webp", lossless=lossless, quality=50 if lossless else 85, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _shown(path: str | os.PathLike, plots: list[dict]) -> dict:
    """A file of `write_shown` as the page wants it, every image once, in one sheet; its figures go to `plots`."""
    arrays = files.read(path, "shown")
    m, height, width, _ = arrays["images"].shape
    kept = np.unique(np.linspace(0, m - 1, min(m, IMAGES)).round().astype(int))
    kept = kept[np.lexsort((arrays["groups"][kept], arrays["labels"][kept] == 0))]  # group after group, positives first
    columns = 64
    sheet = np.zeros((-(-len(kept) // columns) * height, columns * width, 3), np.uint8)
    for i, image in enumerate(arrays["images"][kept]):
        y, x = divmod(i, columns)
        sheet[y * height : (y + 1) * height, x * width : (x + 1) * width] = image
    names = arrays["names"].tolist()
    clusterers = [name for name in CLUSTERERS if f"prediction/{name}" in arrays]
    predictions = [arrays[f"prediction/{name}"][:, kept].astype(bool) for name in clusterers]
    embeddings = [name for name in arrays if name.startswith("embedding/")]
    points = [[np.round(arrays[name][cnn, kept].astype(float), 3) for name in embeddings] for cnn in range(len(names))]
    groups, positive = arrays["groups"][kept].astype(str), arrays["labels"][kept] == 1
    first = len(plots)
    for cnn, placed in enumerate(points):
        for at in placed:
            for right in [None, *(predicted[cnn] == positive for predicted in predictions)]:
                plots.append(charts.specification(charts.embedding(at, positive, groups, right)))
    return {
        "sheet": _webp(Image.fromarray(sheet), len(kept) <= _LOSSLESS),
        "columns": columns,
        "rows": sheet.shape[0] // height,
        "total": m,
        "first": first,
        "test_images": kept.tolist(),
        "groups": groups.tolist(),
        "group_names": sorted(set(groups.tolist())),
        "positive": positive.astype(int).tolist(),
        "validation": arrays["validation"][kept].astype(int).tolist(),
        "cnns": names,
        "embeddings": [name.split("/", 1)[1] for name in embeddings],
        "clusterers": [CLUSTERERS[name] for name in clusterers],
        "points": [[at.tolist() for at in placed] for placed in points],
        "predictions": [predicted.astype(int).tolist() for predicted in predictions],
    }


def _digits(frame: pd.DataFrame) -> list[int | None]:
    """Per column how many decimals to show; None for text."""
    kinds = [frame[name].dtype for name in frame]
    return [None if not pd.api.types.is_numeric_dtype(kind) else 3 if kind.kind == "f" else 0 for kind in kinds]
