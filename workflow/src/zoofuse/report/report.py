"""The report: one HTML file that asks nothing of a network, filled from the run's tables, figures and photographs.

Figures are drawn by Plotly and tables sorted by DataTables (as bundled by itables). Both scripts, the images and
long tables lie compressed in the page.
"""

import base64
import functools
import gzip
import importlib.metadata
import importlib.resources
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from PIL import Image
from plotly.offline import get_plotlyjs

from zoofuse.core import csv_files, files, text
from zoofuse.core.errors import FileError
from zoofuse.core.temporary import atomic_path
from zoofuse.evaluation.tables import CLUSTERERS, of_protocol
from zoofuse.report import narrative, pages
from zoofuse.report.narrative import PROTOCOLS
from zoofuse.report.run_facts import flatten

ROWS = 60_000  # rows of long tables in one report, shared out among them; about 45 bytes each
PHOTOGRAPHS = 2000  # at most so many of a fusion are shown, evenly spaced
_SHORT = 250  # rows; a table that is longer is packed, and needs JavaScript
_LOSSLESS = 400  # images; more are stored as WebP of good quality
LIBRARIES = ("plotly", "datatables")

# What a reader who cannot see a figure should hear, by kind; {name} is filled in.
ALT = {
    "examples": "Contact sheet: example images of every concept and test set, positives above negatives.",
    "zoo_histogram": "Histogram of final validation balanced accuracy, a panel per concept; the table has its figures.",
    "zoo_curves": "Training loss and validation balanced accuracy per epoch, median and quartiles for each concept.",
    "kernels": "{name}: {layer} kernels as {look}, trained and translated side by side.",
    "few_shot": "{name}: AUROC over the number of labelled images, a line for each method; also a table.",
    "replicates": "{name}: for each method a dot for every run from another seed, with intervals; also a table.",
    "cyclegan": "{name}: losses and measures of the CycleGANs per epoch.",
    "cosine": "{name}: heat map of cosine similarity between the features of every two test images, ordered by group.",
}

# The tables a fusion may have, in the order shown: heading and what its columns are.
TABLES = {
    "leaderboard": (
        "Leaderboard",
        "median, q25, q75: over the CNNs of a method. selected: the CNN (domain/model) with the best validation score; "
        "test: its score on the test images, with a 95 % bootstrap interval; bias: validation less test.",
    ),
    "comparisons": (
        "Generated CNNs against baselines",
        "what: medians over CNNs, or the two selected CNNs on the same photographs. low, high: an interval corrected "
        "for the number of comparisons; the verdict is better or worse where it leaves zero out, else inconclusive. "
        "Classifiers from files of predictions are compared with the generated CNNs and the baselines, and their "
        "intervals are corrected for the number of these comparisons.",
    ),
    "zero_shot": (
        "Zero-shot conjunction",
        "Answers by the product of heads, one for each concept, that never saw the conjunction. median and test "
        "are the area under the ROC curve; the CNN is selected on the concepts' own validation images.",
    ),
    "replicates": (
        "From several seeds",
        "Each run made its zoos, CNNs and halves of the test images from a seed of its own. median: the mean of "
        "the runs' medians over CNNs, with a 95 % interval over runs and images; least, greatest: single runs. "
        "against: all negatives, or one group of them.",
    ),
    "replicate_comparisons": (
        "Generated CNNs against baselines, from several seeds",
        "Differences of medians, paired by run; low, high: an interval over runs and images, corrected for the "
        "number of comparisons; the verdict is better or worse where it leaves zero out, else inconclusive.",
    ),
    "selection": (
        "Ways to pick a CNN",
        "What a rule picks and what that is worth on the test. All but validation need no labels. chance: the median "
        "over the method's CNNs, which picking blindly gives.",
    ),
    "few_shot": (
        "A few labelled images",
        "AUROC on the test split of probes on so many images of each class (column each) of the validation split, "
        "the mean over draws; median, q25 and q75 are over CNNs. 0: the CNNs' own heads. No other tables, but for the "
        "supervised CNNs, show anyone the conjunction.",
    ),
    "nearest_parent": (
        "Distance to the nearest parent",
        "Over all conv weights, up to the order of channels: 0 is a copy, 1 and more unrelated. A parent is compared "
        "with the other parents.",
    ),
    "groups": (
        "By group of images",
        "Share of a group's images that the selected CNN answers rightly, and the median over CNNs.",
    ),
}
PER_CNN = "one row per CNN"

# NetSpace's settings, in the order shown: what original, decoded and control are in each.
NETSPACE = {
    "one_architecture": (
        "Held-out CNNs of both zoos as they were and decoded. Control: as much noise as decoding changes, the average "
        "of all CNNs, or another held-out CNN. nearest: distance to the nearest CNN trained on, 0 for a copy."
    ),
    "interpolation": (
        "Walks between held-out CNNs, half way. Original: the ends. Control: the same walk along raw weights."
    ),
    "latent_optimisation": (
        "Codes moved by behaviour. Original: the best CNN of the zoo. Control: training from scratch for as many steps "
        "each. best_of: the best of the moved codes, chosen as the zoo's is, on images that it is not measured on."
    ),
    "several_architectures": (
        "Held-out networks of several architectures in one space. Control: the average of all weights, another "
        "held-out network, or a blind guess of the architecture."
    ),
    "unseen_architectures": (
        "Architectures that the space saw no trained network of, made on the way between two that it saw. Original: "
        "trained networks. Control: untrained ones."
    ),
    "shapes": (
        "Small networks (SIRENs) that answer the signed distance to a chair, a table or a lamp. Accuracy: share of "
        "points within 0.01 of the true distance. Original: each held-out shape's own network. Control: the network "
        "trained on that answers most alike, or what is named. nearest: distance to the nearest network trained on; "
        "accuracy_trained_on: of shapes that the space was trained on."
    ),
}
ALT |= {
    f"netspace_{name}": f"NetSpace, {name.replace('_', ' ')}: the table above the figure has its numbers."
    for name in NETSPACE
}
_HIDDEN = [
    "noise",
    "cosine_within",
    "cosine_between",
    "measure",
    "selected_on",
]  # in the CSV, not in the table on the page


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
        "libraries": {name: _packed_library(name) for name in LIBRARIES},
    }
    html = pages.render("report", scripts=map(_library, LIBRARIES), styles_at_run_time=True, **context)
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
    answers: Mapping[str, np.ndarray],
) -> None:
    """Write what the report shows of single CNNs on a fusion's m test images (kind "shown").

    images (m, h, w, 3) uint8; labels (m,), 0 = the conjunction; groups (m,) str; validation (m,) bool; names: one
    sentence for each of k CNNs; embeddings: heading -> (k, m, 2); answers: clusterer -> (k, m) bool, True = positive.
    """
    arrays = {"images": images, "labels": labels, "groups": groups, "validation": validation, "names": list(names)}
    arrays |= {f"embedding/{name}": points for name, points in embeddings.items()}
    arrays |= {f"answer/{name}": answer for name, answer in answers.items()}
    files.write(path, "shown", arrays)


def _fusion(index: int, fusion: Mapping, folder: Path, rows: int) -> dict:
    name, paths = fusion["name"], fusion["tables"]
    frames = {key: csv_files.read(file) for key, file in paths.items()}
    known = {key: frame for key, frame in frames.items() if key in TABLES}
    of_cnns = {key: [name for name in (f"held_out_{key}", key) if name in frames] for key in CLUSTERERS}
    cnns = {key: pd.concat([frames[name] for name in names]) for key, names in of_cnns.items() if names}
    beside = {key: csv_files.read(file) for key, file in fusion.get("published", {}).items()}
    leaderboard, comparisons, zero_shot = (known.get(key) for key in ("leaderboard", "comparisons", "zero_shot"))
    shown = _shown(fusion["shown"]) if fusion.get("shown") else None
    data = {
        "name": name,
        "views": narrative.views(leaderboard, zero_shot, cnns, beside),
        "differences": [] if comparisons is None else narrative.differences(comparisons),
        "protocols": PROTOCOLS,
        "shown": shown,
    }
    return {
        "index": index,
        "name": name,
        "concepts": list(fusion["concepts"]),
        "counts": _counts(cnns),
        "answer": narrative.answer(leaderboard, comparisons, zero_shot),
        "has": {"views": bool(data["views"]), "differences": bool(data["differences"]), "shown": shown is not None},
        "data": _packed(_json(data)),
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
    frame = frame.drop(columns=_HIDDEN, errors="ignore")
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
    packed = _packed(_json(rows)) if total > _SHORT else None
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
    """kind -> [{src, alt}], every file embedded."""
    alts = {kind: _alt(kind) for kind in paths}
    if unknown := [kind for kind, alt in alts.items() if alt is None]:
        raise ValueError(f"figures: unknown kind {', '.join(unknown)}; known are {', '.join(ALT)}.")
    figures = {}
    for kind, some in paths.items():
        some = [some] if isinstance(some, str | os.PathLike) else some
        figures[kind] = [{"src": _data_uri(path), "alt": alts[kind].format(name=name)} for path in some]
    return figures


def _data_uri(path: str | os.PathLike) -> str:
    if Path(path).suffix == ".svg":
        return f"data:image/svg+xml;base64,{base64.b64encode(Path(path).read_bytes()).decode()}"
    try:
        with Image.open(path) as image:
            return _webp(image.convert("RGB"), True)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever Pillow says about a damaged file
        raise FileError(f"{path}: damaged or not a PNG ({error}). {files.REMAKE}") from error


def _webp(image: Image.Image, lossless: bool) -> str:
    """The same pixels as a PNG in half the bytes, or good ones in a tenth."""
    buffer = io.BytesIO()
    image.save(buffer, "webp", lossless=lossless, quality=50 if lossless else 85, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _shown(path: str | os.PathLike) -> dict:
    """A file of `write_shown` as the page's script wants it; every image is in it once, in one sheet."""
    arrays = files.read(path, "shown")
    m, height, width, _ = arrays["images"].shape
    kept = np.unique(np.linspace(0, m - 1, min(m, PHOTOGRAPHS)).round().astype(int))
    kept = kept[np.lexsort((arrays["groups"][kept], arrays["labels"][kept]))]  # group after group, positives first
    columns = 64
    sheet = np.zeros((-(-len(kept) // columns) * height, columns * width, 3), np.uint8)
    for i, photograph in enumerate(arrays["images"][kept]):
        y, x = divmod(i, columns)
        sheet[y * height : (y + 1) * height, x * width : (x + 1) * width] = photograph
    parts = {kind: [name for name in arrays if name.startswith(f"{kind}/")] for kind in ("embedding", "answer")}
    return {
        "sheet": _webp(Image.fromarray(sheet), len(kept) <= _LOSSLESS),
        "columns": columns,
        "rows": sheet.shape[0] // height,
        "total": m,
        "test_images": kept.tolist(),
        "groups": arrays["groups"][kept].tolist(),
        "positive": (arrays["labels"][kept] == 0).astype(int).tolist(),
        "validation": arrays["validation"][kept].astype(int).tolist(),
        "cnns": arrays["names"].tolist(),
        "embeddings": {
            name.split("/", 1)[1]: np.round(arrays[name][:, kept].astype(float), 3).tolist()
            for name in parts["embedding"]
        },
        "answers": {
            clusterer: {"label": label, "values": arrays[f"answer/{clusterer}"][:, kept].astype(int).tolist()}
            for clusterer, label in CLUSTERERS.items()
            if f"answer/{clusterer}" in parts["answer"]
        },
    }


def _json(data) -> str:
    return json.dumps(pages.shown(data), separators=(",", ":"), allow_nan=False)


def _packed(text: str) -> str:
    """Text as base64 of its gzip, which the page's script undoes; the same text gives the same bytes."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@functools.cache
def _library(name: str) -> str:
    """The text of a script element: Plotly, or a module that gives jQuery with DataTables away in an event."""
    if name == "plotly":
        return get_plotlyjs()
    bundle = importlib.resources.files("itables").joinpath("html", "dt_bundle.js").read_text(encoding="utf-8")
    exported = re.search(r"([\w$]+) as jQuery\b", bundle)
    if exported is None:
        version = importlib.metadata.version("itables")
        raise ValueError(f"itables {version}: its bundle of DataTables exports no jQuery; install another version.")
    return f'{bundle}\ndocument.dispatchEvent(new CustomEvent("datatables", {{detail: {exported[1]}}}));'


@functools.cache
def _packed_library(name: str) -> str:
    return _packed(_library(name))


def _digits(frame: pd.DataFrame) -> list[int | None]:
    """Per column how many decimals to show; None for text."""
    kinds = [frame[name].dtype for name in frame]
    return [None if not pd.api.types.is_numeric_dtype(kind) else 3 if kind.kind == "f" else 0 for kind in kinds]
