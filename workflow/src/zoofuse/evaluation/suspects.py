"""Training images that may show the conjunction: positives of one concept that another concept's zoo is surest of.

Folders of one's own hold the conjunction sooner than one thinks: dark cats are black cats. Nothing but eyes can
tell, so these are the images to look at first.
"""

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import expit

from zoofuse.evaluation import zero_shot

LISTED = 100  # images of each two concepts
CNNS = 64  # of a zoo, at most, that are asked


def ranked(images: Mapping[str, Mapping[str, np.ndarray]], zoos: Mapping[str, zero_shot.Zoo]) -> pd.DataFrame:
    """The positives of every concept by how sure each other concept's zoo is of them.

    Args:
        images: concept -> images, labels and names of an images file; an existing zoo brings none.
        zoos: concept -> its CNNs; those without a linear layer are not asked.

    Returns:
        concept, other, file, probability (the mean over the other's CNNs), row (of the concept's images); at most
        LISTED rows for each two concepts, the surest first.
    """
    tables = []
    for concept, other in itertools.product(images, zoos):
        if concept == other or "fc1.weight" not in zoos[other]:
            continue
        rows = np.flatnonzero(images[concept]["labels"] == 1)
        cnns = {name: values[:CNNS] for name, values in zoos[other].items()}
        probability = expit(zero_shot.zoo_logits(cnns, images[concept]["images"][rows])).mean(0)
        first = np.argsort(-probability, kind="stable")[:LISTED]
        names = np.asarray(images[concept]["names"])[rows[first]]
        about = {"concept": concept, "other": other, "file": names, "probability": probability[first]}
        tables.append(pd.DataFrame(about | {"row": rows[first]}))
    columns = ["concept", "other", "file", "probability", "row"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
