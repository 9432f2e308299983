"""A run's files as the report takes them, planted: synthetic images and random scores, written by the real functions.

python tests/browser/planted.py FOLDER [CNNS] writes FOLDER/results/report.html, to be looked at.
"""

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from zoofuse.core import csv_files, rng
from zoofuse.data import synthetic
from zoofuse.evaluation import protocols, tables
from zoofuse.report import figures, kernel_figures, narrative, report, run_facts

METHODS = {  # method: (domains, median balanced accuracy)
    "cyclegan": ("AB", 0.58),
    "random": ("-", 0.53),
    "parent_a": ("-", 0.62),
    "parent_b": ("-", 0.55),
    "average": ("-", 0.54),
    "noise": ("AB", 0.56),
    "shuffled": ("AB", 0.55),
    "matched": ("AB", 0.54),
}
REFERENCES = {"always_no": 0.5, "brightness": 0.57, "colour": 0.61, "pixels": 0.56, "pca": 0.55}
POSITIVE, NEGATIVE = 34, 55


def arguments(folder: Path, n: int = 40) -> dict:
    """Keyword arguments of `report.build`, their files under folder/results; n CNNs of each method and domain."""
    results = folder / "results"
    name = "black_cat"
    place = results / "tables" / name
    place.mkdir(parents=True, exist_ok=True)
    cnns = {clusterer: cnn_rows(clusterer, n) for clusterer in tables.CLUSTERERS}
    made = {
        "leaderboard": pd.concat([leaderboard(frame, key) for key, frame in cnns.items()]),
        "zero_shot": zero_shot(n),
        "selection": selection(),
        **{key: tables.of_protocol(frame, "published") for key, frame in cnns.items()},
        **{f"held_out_{key}": tables.of_protocol(frame, "held_out") for key, frame in cnns.items()},
    }
    made["comparisons"] = comparisons(made["leaderboard"], made["zero_shot"])
    photographs, shown = shown_photographs(results / "figures" / name, cnns["kmeans"])
    made["groups"] = groups(photographs)
    for key, frame in made.items():
        csv_files.write(place / f"{key}.csv", frame)
    beside = pd.read_csv(Path(__file__).parents[2] / "resources" / "published" / "kmeans.csv")
    beside = beside.rename(columns={"accuracy": "published_accuracy"})[["model", "domain", "published_accuracy"]]
    csv_files.write(place / "published_kmeans.csv", beside.assign(accuracy=np.nan, note="no such index in this run"))
    return {
        "path": results / "report.html",
        "title": f"zoofuse: {name}",
        "fusions": [
            {
                "name": name,
                "concepts": ["black", "cat"],
                "tables": {key: place / f"{key}.csv" for key in made},
                "published": {"kmeans": place / "published_kmeans.csv"},
                "shown": shown,
                "verdicts": {"conv1": "Training failed: A to B degenerate."},
                "figures": fusion_figures(results / "figures" / name, photographs),
            }
        ],
        "images": [{"images of": "cat", "positive": 5162, "negative": 5000, "of them for validation": None}],
        "image_notes": ["cat/broken.jpg could not be read and was skipped."],
        **zoo(results),
        "settings": {"seed": 47, "zoo": {"epochs": 20, "folders": ["cat", "cat_dark"]}},
        "environment": run_facts.versions(),
        "times": run_times(results / "benchmarks"),
        "sizes": run_facts.folder_sizes(results),
    }


def cnn_rows(clusterer: str, n: int) -> pd.DataFrame:
    """results/tables/{fusion}/{clusterer}.csv: both protocols."""
    generator = np.random.default_rng(rng.small(0, clusterer))
    frames = []
    for protocol, share in (("published", 1.0), ("held_out", 0.5)):
        positive, negative = round(POSITIVE * share), round(NEGATIVE * share)
        for method, (domains, median) in METHODS.items():
            for domain in domains:
                level = np.clip(generator.normal(median + 0.06 * (protocol == "published"), 0.05, n), 0.3, 0.95)
                tp, tn = generator.binomial(positive, level), generator.binomial(negative, level)
                frame = pd.DataFrame({"method": method, "domain": domain, "model": np.arange(n)})
                frame["accuracy"] = (tp + tn) / (positive + negative)
                frame["precision"] = tp / np.maximum(tp + negative - tn, 1)
                frame["recall"] = tp / positive
                frame["entropy"], frame["purity"] = generator.uniform(0.3, 0.6, n), generator.uniform(0.6, 0.9, n)
                frame["balanced_accuracy"] = (tp / positive + tn / negative) / 2
                frame["protocol"], frame["clusters"] = protocol, 2
                frame["tp"], frame["fp"], frame["fn"], frame["tn"] = tp, negative - tn, positive - tp, tn
                for column in ("noise", "dead", "cosine_within", "cosine_between"):
                    frame[column] = generator.uniform(0, 1, n)
                for column in ("validation", "silhouette", "density_validity", "agreement"):
                    frame[column] = generator.normal(median, 0.06, n) if protocol == "held_out" else np.nan
                frames.append(frame)
    return pd.concat(frames)


def leaderboard(cnns: pd.DataFrame, clusterer: str) -> pd.DataFrame:
    rows = []
    for (protocol, method), part in cnns.groupby(["protocol", "method"], sort=False):
        held = protocol == "held_out"
        selected = part.sort_values("validation" if held else "balanced_accuracy").iloc[-1]
        test = selected["balanced_accuracy"]
        q25, median, q75 = part["balanced_accuracy"].quantile([0.25, 0.5, 0.75])
        name = f"{selected['domain']}/{selected['model']}" if selected["domain"] != "-" else str(selected["model"])
        rows.append(
            {"method": method, "protocol": protocol, "clusterer": clusterer, "n": len(part), "median": median,
             "q25": q25, "q75": q75, "selected": name, "test": test, "test_low": test - 0.11 if held else np.nan,
             "test_high": test + 0.1 if held else np.nan, "measure": "balanced_accuracy",
             "validation": selected["validation"], "bias": selected["validation"] - test, "dead_share": 0.02,
             "test_images": 45, "selected_on": "validation" if held else "test",
             "supervision": tables.supervision(method), "median_low": median - 0.04 if held else np.nan,
             "median_high": median + 0.05 if held else np.nan}
        )  # fmt: skip
    if clusterer == "kmeans":
        for method, value in REFERENCES.items():
            rows.append(
                {"method": method, "protocol": "held_out", "clusterer": "threshold", "n": 1, "median": value,
                 "q25": value, "q75": value, "selected": "0", "test": value,
                 "test_low": value - 0.1, "test_high": value + 0.1,
                 "measure": "balanced_accuracy", "validation": value, "bias": 0.0, "dead_share": 0.0,
                 "test_images": 45, "selected_on": "validation", "supervision": "none",
                 "median_low": value - 0.1, "median_high": value + 0.1}
            )  # fmt: skip
    return pd.DataFrame(rows)


def zero_shot(n: int) -> pd.DataFrame:
    medians = {"cyclegan": 0.56, "random": 0.5, "average": 0.6, "product": 0.82, "ensemble": 0.85, "supervised": 0.93}
    rows = []
    for head in ("own", "probe"):
        for method, median in medians.items():
            if head == "own" and method == "random":
                continue
            few = method in ("ensemble",)
            spread = 0 if few else 0.05
            rows.append(
                {"method": method, "head": head, "n": 1 if few else 2 * n, "median": median, "selected": "A/7",
                 "test": median + spread, "test_low": median + spread - 0.1, "test_high": median + spread + 0.08,
                 "q25": median - spread, "q75": median + spread, "validation": 0.8, "average_precision": median - 0.05,
                 "balanced_accuracy": median - 0.03, "test_images": 45,
                 "supervision": tables.supervision(method, head), "median_low": median - 0.06,
                 "median_high": median + 0.05}
            )  # fmt: skip
    return pd.DataFrame(rows)


def comparisons(board: pd.DataFrame, zero: pd.DataFrame) -> pd.DataFrame:
    held = board[board["protocol"] == "held_out"]
    zero = zero.assign(protocol="zero_shot", clusterer=zero["head"])
    rows = []
    for (protocol, clusterer), part in pd.concat([held, zero]).groupby(["protocol", "clusterer"], sort=False):
        part = part.set_index("method")
        for baseline in [name for name in part.index if name != "cyclegan" and "cyclegan" in part.index]:
            for what, column in (("median", "median"), ("selected", "test")):
                difference = part.loc["cyclegan", column] - part.loc[baseline, column]
                wide = 0.03 if what == "median" else 0.12
                verdict = "inconclusive" if abs(difference) <= wide else "better" if difference > 0 else "worse"
                rows.append({"method": "cyclegan", "protocol": protocol, "clusterer": clusterer, "baseline": baseline,
                             "what": what, "difference": difference, "low": difference - wide,
                             "high": difference + wide, "comparisons": 21, "verdict": verdict})  # fmt: skip
    return pd.DataFrame(rows)


def selection() -> pd.DataFrame:
    rows = [
        {"method": "cyclegan", "clusterer": clusterer, "rule": rule, "selected": "A/3", "validation": 0.7, "test": 0.6,
         "test_low": 0.5, "test_high": 0.7, "chance": 0.55}
        for clusterer in tables.CLUSTERERS
        for rule in ("validation", "silhouette", "density_validity", "agreement")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def groups(photographs: dict) -> pd.DataFrame:
    rows = [
        {"method": "cyclegan", "protocol": protocol, "clusterer": "kmeans", "group": group,
         "positive": group == "black cat", "n": int((photographs["groups"] == group).sum()),
         "selected_right": 0.6, "median_right": 0.5}
        for protocol in ("held_out", "published")
        for group in np.unique(photographs["groups"])
    ]  # fmt: skip
    return pd.DataFrame(rows)


def shown_photographs(folder: Path, cnns: pd.DataFrame) -> tuple[dict, Path]:
    """Synthetic images, and where two planted CNNs put them."""
    parts = [("black cat", POSITIVE), ("black dog", 15), ("white cat", 20), ("red car", 12), ("green tree", 8)]
    images = np.concatenate([synthetic.draw([text], n, 0, text)[0] for text, n in parts])
    names = np.concatenate([[text] * n for text, n in parts])
    labels = (names == "black cat").astype(np.uint8)
    validation = protocols.split(labels, names, 0, "black_cat")
    generator = np.random.default_rng(0)
    centre = images.reshape(len(images), -1).mean(1)[:, None] / 60 + 2.5 * (1 - labels)[:, None]
    points = np.stack([centre + generator.normal(0, spread, (len(images), 2)) for spread in (0.6, 1.5)]).astype(
        np.float32
    )
    predictions = {
        key: generator.uniform(size=(2, len(images))) < np.where(labels, 0.75, 0.3) for key in tables.CLUSTERERS
    }
    path = folder / "shown.h5"
    report.write_shown(
        path,
        images=images,
        labels=labels,
        groups=names,
        validation=validation,
        names=["CycleGAN A, CNN 7 (selected on validation)", "CycleGAN B, CNN 3 (the median)"],
        embeddings={"UMAP": points, "t-SNE": points[:, :, ::-1] * 3},
        predictions=predictions,
    )
    return {"images": images, "groups": names, "labels": labels, "points": points}, path


def fusion_figures(folder: Path, photographs: dict) -> dict:
    generator = np.random.default_rng(0)
    kernels = [generator.normal(size=(4, 6, 3, 5, 5)).astype(np.float32) for _ in range(4)]
    kernel_figures.kernels(*kernels, folder / "kernels_conv1.png", ("black", "cat"))
    features = photographs["images"].reshape(len(photographs["images"]), -1).astype(np.float32)
    figures.cosine_heatmap(features, photographs["labels"], photographs["groups"], folder / "cosine_selected.png")
    return {"kernels_conv1": folder / "kernels_conv1.png", "cosine": [folder / "cosine_selected.png"]}


def zoo(results: Path) -> dict:
    generator = np.random.default_rng(0)
    histories = {
        concept: {
            "loss": np.sort(generator.uniform(0.2, 0.7, (n, 20)))[:, ::-1],
            "validation_balanced_accuracy": np.sort(generator.uniform(0.5, 0.9, (n, 20))),
            "degenerate": np.arange(n) < n // 20,
        }
        for concept, n in (("black", 96), ("cat", 200))
    }
    csv_files.write(results / "tables" / "zoo.csv", tables.zoo_table(histories))
    paths = {name: results / "figures" / f"{name}.png" for name in ("zoo_histogram", "zoo_curves")}
    figures.zoo_histogram(histories, paths["zoo_histogram"])
    figures.zoo_curves(histories, paths["zoo_curves"])
    return {"zoo": results / "tables" / "zoo.csv", "figures": paths}


def run_times(folder: Path) -> pd.DataFrame:
    for rule, jobs in (("train_zoo_shard", 3), ("evaluate_shard", 5)):
        (folder / rule).mkdir(parents=True, exist_ok=True)
        for i in range(jobs):
            record = {"s": 10.0 + i, "h:m:s": "0:00:10", "cpu_time": 19.5, "max_rss": 900.0 + i, "mean_load": 190.0}
            (folder / rule / f"{i}.jsonl").write_text(json.dumps(record) + "\n")
    return run_facts.run_times(folder)


if __name__ == "__main__":
    matplotlib.use("agg")
    given = arguments(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 40)
    report.build(**given)
    print(given["path"], given["path"].stat().st_size, narrative.summary.__module__)
