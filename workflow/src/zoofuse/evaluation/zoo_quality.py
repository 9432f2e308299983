"""What a zoo of CNNs holds: its factors and scores, statistics of its weights, and how far its CNNs agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from zoofuse.core import files
from zoofuse.evaluation import accuracy_from_weights
from zoofuse.models.network import Network
from zoofuse.zoo import aiml

COMPARED = 200  # CNNs whose predictions are compared with each other, evenly spaced
IMAGES = 500  # held-out images that they predict, evenly spaced


@dataclass
class Zoo:
    """n CNNs: `table` (n rows), a row for each as models.csv has it; `features` (n, f), statistics of their weights;
    `network` and `parameters`, their architecture and tensors, as `aiml.layout` gives them; `paths`, their files."""

    name: str
    table: pd.DataFrame
    features: np.ndarray
    network: Network | None
    parameters: Sequence[str]
    paths: Sequence[Path]

    @property
    def scores(self) -> list[str]:
        """Columns of scores after the last epoch: those that have columns of their epochs beside them."""
        return [name for name in self.table if f"{name}_1" in self.table]

    @property
    def factors(self) -> list[str]:
        """Columns of factors in which CNNs differ, but a seed that is each CNN's index."""
        epochs = {f"{name}_{epoch}" for name in self.scores for epoch in range(1, len(self.table.columns))}
        columns = [name for name in self.table if name not in {"model", *self.scores} | epochs]
        different = [name for name in columns if self.table[name].nunique() > 1]
        return [name for name in different if not self.table[name].equals(self.table["model"])]

    @property
    def accuracy(self) -> str | None:
        """The score to predict: on test images, else on validation images; None for a zoo without any."""
        names = ("test_accuracy", "validation_accuracy", "validation_balanced_accuracy")
        return next((name for name in names if name in self.scores), None)

    @property
    def degenerate(self) -> np.ndarray | None:
        """(n,) bool: the final prediction is the same class for every validation image, or NaN; None if not known."""
        if "largest_class_share" in self.table:
            return ~(self.table["largest_class_share"] < 1).to_numpy()
        if "validation_positive_share" in self.table:
            share = self.table["validation_positive_share"]
            return ~((share > 0) & (share < 1)).to_numpy()
        return None


def read(name: str, paths: Sequence[Path], table: pd.DataFrame) -> Zoo:
    """Read a zoo, one file at a time.

    Args:
        name: of the zoo.
        paths: its files.
        table: its models.csv.

    Raises:
        ValueError: the table is not of these files.
    """
    features, models, network, shapes = [], [], None, {}
    for path in paths:
        arrays = files.read(path, "zoo")
        stored = {name: values.shape for name, values in arrays.items()}
        network, shapes = aiml.layout(files.attributes(path, "zoo"), stored)
        names = [parameter for parameter in shapes if parameter in arrays]
        features.append(accuracy_from_weights.statistics(arrays, names))
        models += arrays["model"].tolist()
    if models != table["model"].tolist():
        raise ValueError(f"{name}: models.csv lists other CNNs than the zoo's files hold; delete it, and run again.")
    return Zoo(name, table, np.concatenate(features), network, list(shapes), paths)


def agreement(zoo: Zoo, images: np.ndarray) -> np.ndarray | None:
    """How often every two CNNs predict the same class.

    Args:
        zoo: at most COMPARED of its CNNs are taken, evenly spaced.
        images: uint8 (m, size, size, channels); at most IMAGES are taken, evenly spaced.

    Returns:
        The shares of each two of k CNNs, (k * (k - 1) / 2,); None where the zoo has no linear layer to predict with,
        fewer than two CNNs or no images.
    """
    rows = _spaced(len(zoo.table), COMPARED)
    if len(rows) < 2 or len(images) == 0:
        return None
    classes = _predictions(zoo, rows, images[_spaced(len(images), IMAGES)])
    if classes is None:
        return None
    one, other = np.triu_indices(len(rows), 1)
    return np.array([np.mean(classes[i] == classes[j]) for i, j in zip(one, other, strict=True)])


def _predictions(zoo: Zoo, rows: np.ndarray, images: np.ndarray) -> np.ndarray | None:
    """(k, m) predicted classes of the CNNs in these rows."""
    import torch

    from zoofuse.models import cnn, forward
    from zoofuse.zoo.zoo import pick, sizes

    held = set(files.facts(zoo.paths[0]).datasets)
    if not held.issuperset(zoo.parameters):
        return None
    weights = pick(zoo.paths, sizes(zoo.paths), zoo.parameters, rows)
    activations = zoo.table.get("activation")
    x = cnn.normalise(torch.from_numpy(np.ascontiguousarray(images)))

    def logits(place: int, row: int) -> torch.Tensor:
        own: Mapping = {name: torch.from_numpy(values[place]) for name, values in weights.items()}
        if zoo.network is None:
            return cnn.logits({name: values[None] for name, values in own.items()}, x)[0]
        network = zoo.network if activations is None else replace(zoo.network, activation=activations.iloc[row])
        return forward.logits(network, own, x)

    with torch.inference_mode():
        return np.stack([logits(place, row).argmax(1).numpy() for place, row in enumerate(rows)])


def _spaced(n: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64)) if n else np.zeros(0, np.int64)
