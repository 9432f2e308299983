"""What rules call to plot the figures of a run."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoofuse.core import csv_files, files
from zoofuse.data import images as image_files
from zoofuse.evaluation import replicates as several
from zoofuse.evaluation import tables as of_clusterers
from zoofuse.methods import kernels
from zoofuse.report import figures, kernel_figures
from zoofuse.zoo import zoo as zoo_files

SHOWN = 4  # kernels of each domain


def zoo_figures(
    shards: Sequence[Path], table: Path, histogram: Path, curves: Path, say: Callable[[str], None] = print
) -> None:
    """Write how well each concept's CNNs learned, and how many are degenerate."""
    histories = {}
    for concept, paths in itertools.groupby(shards, lambda path: path.parent.name):
        own = list(paths)
        zoo_files.tell_mixed(own, concept, say)
        histories[concept] = of_clusterers.zoo_history(own)
    csv_files.write(table, of_clusterers.zoo_table(histories))
    figures.zoo_histogram(histories, histogram)
    figures.zoo_curves(histories, curves)


def example_figure(concepts: Sequence[Path], tests: Sequence[Path], output: Path) -> None:
    """Plot some of the training and test images."""
    sets = {path.stem: image_files.read_concept(path) for path in concepts}
    sets |= {f"{path.stem} (test)": image_files.read_test(path) for path in tests}
    figures.examples({name: (one["images"], one["labels"]) for name, one in sets.items()}, output)


def method_figure(tables: Sequence[Path], published: Sequence[Path], output: Path) -> None:
    """Plot every CNN's accuracy by method and clusterer."""
    ours = {path.stem: csv_files.read(path) for path in tables}
    figures.methods(ours, output, {path.stem: of_clusterers.published(path) for path in published})


def cyclegan_figure(histories: Sequence[Path], output: Path) -> None:
    """Plot how the CycleGANs' losses and measures went."""
    read = {path.parent.name: csv_files.read(path).set_index("epoch") for path in histories}
    arrays = {name: {column: table[column].to_numpy() for column in table} for name, table in read.items()}
    kernel_figures.cyclegan_curves(arrays, output)


def replicates(
    predictions: Sequence[Path], runs: Sequence[str], own_images: bool, seed: int, outputs: Mapping[str, Path]
) -> None:
    """Write what several runs of one fusion, from different seeds, say together."""
    each = len(predictions) // len(runs)  # every run has as many files; they lie one run after another
    read = {
        name: several.read(predictions[run * each : (run + 1) * each], folder=name if run else None)
        for run, name in enumerate(runs)
    }
    tables, medians = several.tables(read, seed, own_images=own_images)
    for name, table in tables.items():
        csv_files.write(outputs[name], table)
    figures.replicates(medians, tables["replicates"], outputs["figure"])


def kernel_figure(bank: Path, generated: Path, layer: str, names: Sequence[str], output: Path) -> None:
    """Plot some kernels before and after translation."""
    domains = kernels.sizes(bank)
    first, last = min(domains), max(domains)
    of_first, of_last = (kernels.rows(bank, domain, range(min(SHOWN, domains[domain]))) for domain in (first, last))
    domain, names_of = zoo_files.names(generated)["domain"], kernels.parameters(layer)
    shown = (np.flatnonzero(domain == one)[:SHOWN] for one in (first, last))
    to_a, to_b = (kernels.of(files.read(generated, "zoo", names_of, rows), layer) for rows in shown)
    stacks = (pictured(weights) for weights in (of_first, to_b, of_last, to_a))
    kernel_figures.kernels(*stacks, output, (names[0], names[-1]))


def pictured(weights: np.ndarray) -> np.ndarray:
    """Kernels (n, out, in, k, k) as they are; of a matrix (n, out, in) every weight as a kernel of one."""
    return weights if weights.ndim == 5 else weights[..., None, None]


def shown_figures(
    zoo: Path,
    leaderboard: Path,
    predictions: Sequence[Path],
    images: Path,
    tsne: Mapping,
    outputs: Mapping[str, Path],
) -> None:
    """Plot embeddings and cosine similarity of two CNNs: the one selected on validation, and the median one."""
    from zoofuse.evaluation import predictions as predicted_files
    from zoofuse.evaluation import protocols
    from zoofuse.report.report import write_shown

    cnns = zoo_files.names(zoo)
    sets = {of.head: of for of in predicted_files.iterate(predictions, "held_out")}
    held_out_umap = predicted_files.embedding(predictions, "held_out/umap")
    first, test = next(iter(sets.values())), image_files.read_test(images)
    about = test["labels"], test["groups"]
    names, embeddings = [], {"umap": [], "tsne": []}
    classes: dict[str, list] = {clusterer: [] for clusterer in of_clusterers.CLUSTERERS}
    for which, (row, how) in _two_cnns(csv_files.read(leaderboard), sets).items():
        domain, model = str(first.domain[row]), int(first.model[row])
        name = f"{figures.method_label(zoo.stem, domain)}, CNN {model} ({how})"
        kept = np.flatnonzero((cnns["model"] == model) & (cnns["domain"] == domain))
        features = protocols.features(files.read(zoo, "zoo", rows=kept), test["images"])[0]
        points = {"umap": held_out_umap[row], "tsne": protocols.tsne_embedding(features, tsne)}
        predicted = np.where(first.scores[row], "predicted positive", "predicted negative")
        for kind, title in (("umap", "UMAP"), ("tsne", "t-SNE")):
            figures.embedding_scatter(points[kind], *about, predicted, outputs[f"{kind}_{which}"], f"{title}: {name}")
            embeddings[kind].append(points[kind])
        figures.cosine_heatmap(features, *about, outputs[f"cosine_{which}"], name)
        names.append(name)
        for clusterer, of in classes.items():
            of.append(sets[clusterer].scores[row])
    write_shown(
        outputs["shown"],
        images=test["images"],
        labels=test["labels"],
        groups=test["groups"],
        validation=first.images.validation,
        names=names,
        embeddings={"UMAP": np.stack(embeddings["umap"]), "t-SNE": np.stack(embeddings["tsne"])},
        predictions={clusterer: np.stack(of) for clusterer, of in classes.items()},
    )


def _two_cnns(leaderboard: pd.DataFrame, sets: Mapping) -> dict[str, tuple[int, str]]:
    """Kind -> (row of the CNN, how it was chosen), under the clusterer whose selected CNN is best on validation."""
    method = next(iter(sets.values())).method
    held = leaderboard[(leaderboard["method"] == method) & (leaderboard["protocol"] == "held_out")]
    best = held.loc[held["validation"].idxmax()]
    of = sets[best["clusterer"]]
    names = [of.name(row) for row in range(len(of))]
    median = np.argsort(of.measures["balanced_accuracy"], kind="stable")[len(of) // 2]
    how = f"of {len(of):,}, {of_clusterers.CLUSTERERS[of.head]}"
    return {
        "selected": (names.index(best["selected"]), f"selected on validation {how}"),
        "median": (int(median), f"the median {how}"),
    }
