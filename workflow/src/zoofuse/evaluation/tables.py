"""Predictions and zoo histories as tables: per clusterer, in summary, beside the published."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from zoofuse.core import files
from zoofuse.evaluation import predictions
from zoofuse.evaluation.predictions import Path
from zoofuse.methods import registry

CLUSTERERS = {"kmeans": "K-means", "dbscan": "DBSCAN", "one_class_svm": "one-class SVM"}
FIRST_COLUMNS = ["method", "domain", "model", "accuracy", "precision", "recall", "entropy", "purity"]
MEASURES = ["accuracy", "balanced_accuracy"]
ALWAYS_NO = "always_no"
PUBLISHED_METHOD = "cyclegan"


def supervision(method: str, head: str | None = None) -> str:
    """The most that a method, or a method's heads, were made from, of `registry.SUPERVISION`.

    Probes are fitted on the concepts' own images.
    """
    own = registry.get(method).supervision
    return "concept labels" if own in ("none", "other concepts") and head == "probe" else own


def clusterer_table(paths: Iterable[Path], protocol: str, clusterer: str) -> pd.DataFrame:
    """What every CNN reaches by one protocol and clusterer.

    Args:
        paths: predictions files; those without this clusterer are left out.
        protocol: `published` or `held_out`.
        clusterer: a key of CLUSTERERS.

    Returns:
        A row for each CNN, sorted by method, domain and model; the columns begin with FIRST_COLUMNS.

    Raises:
        ValueError: no file has this clusterer, or a CNN comes twice.
    """
    table = predictions.table(paths, protocol, clusterer).drop(columns="clusterer")
    if table.empty:
        raise ValueError(f"None of the predictions files has {clusterer} by the {protocol} protocol.")
    cnn = ["method", "domain", "model"]
    if (twice := table[table.duplicated(cnn)]).size:
        raise ValueError(f"{clusterer}: {' '.join(map(str, twice[cnn].iloc[0]))} comes twice; name each file once.")
    rest = [name for name in table if name not in FIRST_COLUMNS]
    return table[FIRST_COLUMNS + rest].sort_values(cnn, ignore_index=True)


def of_protocol(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """The rows of one protocol, `published` or `held_out`, of a `clusterer_table`: the two are never mixed."""
    return table[table["protocol"] == protocol]


def summary(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Per clusterer, method and domain: the distribution over CNNs, and last what always predicting "no" would score.

    By the published protocol. tables: clusterer -> `clusterer_table`. For accuracy and balanced accuracy: median,
    quartiles and `*_best_picked_on_test`, the maximum, which was selected on the test images it is measured on and is
    therefore no estimate of what its CNN would do on others; `model_picked_on_test` is the index of the most accurate
    CNN. constant_share is the share of CNNs that give every image the same prediction.
    Raises ValueError when the rows of a table do not come from one test set.
    """
    rows = []
    for clusterer, table in tables.items():
        table = of_protocol(table, "published")
        sizes = pd.DataFrame({"positive": table["tp"] + table["fn"], "negative": table["fp"] + table["tn"]})
        if len(sizes.drop_duplicates()) != 1:
            raise ValueError(f"{clusterer}: rows of more than one test set; evaluate all methods on the same one.")
        for (method, domain), group in table.groupby(["method", "domain"], sort=True):
            constant = (group["tp"] + group["fp"] == 0) | (group["fn"] + group["tn"] == 0)
            row = {"clusterer": clusterer, "method": method, "domain": domain, "n": len(group)}
            for measure in MEASURES:
                q25, median, q75 = group[measure].quantile([0.25, 0.5, 0.75])
                row |= {f"{measure}_median": median, f"{measure}_q25": q25, f"{measure}_q75": q75}
                row[f"{measure}_best_picked_on_test"] = group[measure].max()
            row |= {"model_picked_on_test": group.loc[group["accuracy"].idxmax(), "model"]}
            rows.append(row | {"constant_share": constant.mean()})
        positive, negative = sizes.iloc[0]
        always = {"clusterer": clusterer, "method": ALWAYS_NO, "domain": "-", "n": 1, "constant_share": 1.0}
        for measure, value in zip(MEASURES, (negative / (positive + negative), 0.5), strict=True):
            always |= {f"{measure}_{name}": value for name in ("median", "q25", "q75")}
        rows.append(always)
    table = pd.DataFrame(rows)
    return table.astype({"model_picked_on_test": "Int64"})


def published(path: Path) -> pd.DataFrame:
    """A table of resources/published under the names its columns deserve (see the README there).

    What is printed as precision is the recall and the other way round; entropy and purity are within each true class.
    """
    table = pd.read_csv(path, dtype={"domain": str})
    names = {
        "accuracy": "published_accuracy",
        "precision": "published_recall",
        "recall": "published_precision",
        "entropy": "published_entropy_within_class",
        "purity": "published_purity_within_class",
    }
    columns = ["model", "domain", "published_accuracy", "published_precision", "published_recall"]
    return table.rename(columns=names)[[*columns, "published_entropy_within_class", "published_purity_within_class"]]


def beside_published(table: pd.DataFrame, published_csv: Path) -> pd.DataFrame:
    """The published rows with our generated CNN of the same index and domain beside each; NaN where we have none.

    table: of `clusterer_table`. An equal index is an equal place in the procedure; unless the published zoo itself was
    evaluated it is another CNN, and the published rows were selected by their score. Our entropy and purity
    are within clusters, as the report defines them, and do not compare with the published ones.
    """
    table = of_protocol(table, "published")
    ours = table.loc[table["method"] == PUBLISHED_METHOD, FIRST_COLUMNS[1:]]
    rows = published(published_csv).merge(ours, how="left", on=["model", "domain"], indicator=True)
    rows["note"] = np.where(rows.pop("_merge") == "both", "same index and domain", "no such index in this run")
    return rows


def zoo_history(paths: Iterable[Path]) -> dict[str, np.ndarray]:
    """The histories of a zoo's shards as one, in the order of the CNNs' global indices.

    Returns model (n,), and loss, validation_balanced_accuracy, validation_positive_share (n, epochs); degenerate (n,)
    bool is true where the last epoch's prediction for every validation image is the same.
    Raises FileError when a shard cannot be read or has no history.
    """
    names = ["model", *(f"history/{x}" for x in ("loss", "validation_balanced_accuracy", "validation_positive_share"))]
    shards = [files.read(path, "zoo", names) for path in paths]
    history = {name.split("/")[-1]: np.concatenate([shard[name] for shard in shards]) for name in names}
    order = np.argsort(history["model"], kind="stable")
    history = {name: values[order] for name, values in history.items()}
    share = history["validation_positive_share"][:, -1]
    history["degenerate"] = (share == 0) | (share == 1)
    return history


def zoo_table(histories: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """One row per concept: number of CNNs, their final validation balanced accuracy, how many degenerate.

    histories: concept -> `zoo_history`. Median and quartiles are over all CNNs, the degenerate ones included.
    """
    rows = []
    for concept, history in histories.items():
        final = history["validation_balanced_accuracy"][:, -1]
        q25, median, q75 = np.nanquantile(final, [0.25, 0.5, 0.75])
        degenerate = history["degenerate"]
        row = {"concept": concept, "n": len(final), "epochs": history["loss"].shape[1]}
        row |= {"balanced_accuracy_median": median, "balanced_accuracy_q25": q25, "balanced_accuracy_q75": q75}
        rows.append(row | {"degenerate": int(degenerate.sum()), "degenerate_share": degenerate.mean()})
    return pd.DataFrame(rows)
