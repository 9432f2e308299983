"""What the published protocol's accuracy owes to the order of the test images, which says nothing about any CNN.

UMAP starts from a random layout whose rows are the images in their order, so another order of the same images gives
another embedding, other clusters and another accuracy. The published numbers hold for one order.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from zoofuse.core import logs, rng
from zoofuse.evaluation import protocols


def accuracies(
    zoo: Mapping[str, np.ndarray], images: np.ndarray, truth: np.ndarray, settings: dict, orders: int, seed: int
) -> pd.DataFrame:
    """The published accuracy of each CNN in the given order of the images and in others.

    Args:
        zoo: n CNNs, with model and domain.
        images: uint8 (m, 32, 32, 3).
        truth: (m,) bool, True for the conjunction.
        settings: the configuration's `evaluation` block.
        orders: how many orders besides the given one, which is number 0.
        seed: of the orders; the CNNs share them.

    Returns:
        domain, model, order, clusterer, accuracy.
    """
    features = protocols.finite_features(dict(zoo), images)
    sequences = [np.arange(len(truth)), *(rng.permutation(len(truth), seed, "orders", i) for i in range(orders))]
    rows = []
    with logs.bar(len(features) * len(sequences), "embeddings", "the same images in other orders") as bar:
        for domain, model, of_cnn in zip(zoo["domain"], zoo["model"], features, strict=True):
            points = protocols.umap_embeddings([of_cnn[order] for order in sequences], settings["umap"])
            for number, (order, embedded) in enumerate(zip(sequences, points, strict=True)):
                about = {"domain": str(domain), "model": int(model), "order": number}
                for row in protocols.evaluate(of_cnn[order], truth[order], settings, embedded)[0]:
                    rows.append(about | {key: row[key] for key in ("clusterer", "accuracy")})
            bar.update(len(sequences))
    return pd.DataFrame(rows)


def ranges(table: pd.DataFrame) -> pd.DataFrame:
    """For each CNN and clusterer: its accuracy in the given order, and how it spreads over the others.

    Returns:
        domain, model, clusterer, given, least, q25, median, q75, greatest, orders.
    """
    keys = ["domain", "model", "clusterer"]
    given = table[table["order"] == 0].set_index(keys)["accuracy"].rename("given")
    others = table[table["order"] > 0].groupby(keys)["accuracy"]
    spread = others.quantile([0, 0.25, 0.5, 0.75, 1]).unstack()
    spread.columns = ["least", "q25", "median", "q75", "greatest"]
    return given.to_frame().join(spread).assign(orders=others.size()).reset_index()
