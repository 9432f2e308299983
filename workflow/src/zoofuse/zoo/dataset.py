"""A zoo as a data set of PyTorch: each item is one CNN, its weights and what is known of it."""

import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from zoofuse.core import files
from zoofuse.core.errors import FileError
from zoofuse.zoo import aiml, population_shards

SPLITS = ("train", "validation", "test")
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio: its multiples fill an interval evenly, in any order


class Zoo(Dataset):
    """The CNNs of a zoo, or of one split of it; made by `zoofuse.load_zoo`, which says what an item is.

    Attributes:
        weights: float32 (n, parameters), flat, standardised where that was asked for.
        table: a pandas DataFrame of n rows: model, every factor, every final score, every score after each epoch.
        shapes: name -> shape of each tensor, in the order of the flat weights.
        network: the `models.network.Network`; None of networks that are no chain of layers (resnet8, vit).
        mean, std: float32 tensors (parameters,), by which weights were standardised; 0 and 1 where they were not. As
            trained, weights are `weights * std + mean`.
        attributes: of the first zoo file: classes, settings, seed and more.
    """

    def __init__(
        self,
        path: str | PathLike,
        *,
        split: str | None = None,
        shares: Sequence[float] = (0.7, 0.15, 0.15),
        per_layer: bool = False,
        standardise: bool = False,
        targets: Sequence[str] | None = None,
        epoch: int | None = None,
    ):
        paths = _paths(Path(path))
        facts = files.facts(paths[0])
        self.attributes, self.per_layer = facts.attributes, per_layer
        shapes = {name: shape for name, (shape, _) in facts.datasets.items()}
        self.network, self.shapes = aiml.layout(facts.attributes, shapes)
        self.table = population_shards.table(paths)
        flat = np.concatenate([self._flat(path, epoch) for path in paths])
        if unknown := [name for name in targets or () if name not in self.table]:
            raise ValueError(f"targets: {', '.join(unknown)}: unknown; write some of {', '.join(self.table)}.")
        if words := [name for name in targets or () if self.table[name].dtype.kind not in "biuf"]:
            raise ValueError(f"targets: {', '.join(words)}: holds words, not numbers; leave targets out, or code them.")
        places = splits(self.table["model"].to_numpy(), shares)
        if split is not None and split not in SPLITS:
            raise ValueError(f"split: {split!r} is unknown; write one of {', '.join(SPLITS)}.")
        self.mean, self.std = torch.zeros(flat.shape[1]), torch.ones(flat.shape[1])
        sound = np.isfinite(flat).all(1)
        if standardise:
            self._measure(flat[sound & (places == 0)])
        # A trajectory's CNNs that ended before the epoch have no weights then.
        wanted = np.ones(len(flat), bool) if epoch is None else ~np.isnan(flat).all(1)
        wanted &= True if split is None else places == SPLITS.index(split)
        self.weights = (torch.from_numpy(flat[wanted]) - self.mean) / self.std
        self.table = self.table[wanted].reset_index(drop=True)
        self._columns = {name: self.table[name].tolist() for name in self.table}
        self._chosen = None if targets is None else torch.tensor(self.table[list(targets)].to_numpy(np.float32))

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, item: int) -> tuple[Tensor | dict[str, Tensor], Tensor | dict]:
        weights = self.unflatten(self.weights[item]) if self.per_layer else self.weights[item]
        if self._chosen is not None:
            return weights, self._chosen[item]
        return weights, {name: values[item] for name, values in self._columns.items()}

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """Name -> tensor (..., *shape) of flat weights (..., parameters)."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = zip(self.shapes.items(), flat.split(sizes, -1), strict=True)
        return {name: part.unflatten(-1, shape) for (name, shape), part in parts}

    def _flat(self, path: Path, epoch: int | None) -> np.ndarray:
        """float32 (n, parameters) of one zoo file."""
        names, at = list(self.shapes), None
        if epoch is not None:
            every = self.attributes.get("settings", {}).get("checkpoint_every", 0)
            if not every or epoch % every:
                kept = f"every {every} epochs" if every else "none; write checkpoint_every before training"
                raise ValueError(f"epoch: {epoch} has no checkpoint in {path}, which holds {kept}.")
            names, at = [f"checkpoints/{name}" for name in names], epoch // every - 1
        arrays = files.read(path, "zoo", names)
        kept = min(values.shape[1] for values in arrays.values())
        if at is not None and not 0 <= at < kept:
            raise ValueError(f"epoch: {epoch} is not possible in {path}; write {every} to {every * kept}.")
        parts = [values if at is None else values[:, at] for values in arrays.values()]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def _measure(self, flat: np.ndarray) -> None:
        """Mean and standard deviation of each tensor over the CNNs of the training split."""
        if not len(flat):
            raise ValueError("standardise: the training split holds no CNN with finite weights.")
        start = 0
        for shape in self.shapes.values():
            part = slice(start, start + math.prod(shape))
            self.mean[part] = float(flat[:, part].mean(dtype=np.float64))
            self.std[part] = float(flat[:, part].std(dtype=np.float64)) or 1
            start = part.stop


def splits(models: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """The split of each CNN, by its index alone, so that a zoo that grows moves none of them.

    Args:
        models: (n,) indices.
        shares: of each of SPLITS; they add up to 1. Any range of indices has them to within a few CNNs.

    Returns:
        (n,) places in SPLITS.

    Raises:
        ValueError: the shares are not three that add up to 1.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or not math.isclose(sum(shares), 1):
        raise ValueError(f"shares: {tuple(shares)} is not possible; write three that add up to 1: (0.7, 0.15, 0.15).")
    place = (np.asarray(models).astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN)
    return np.searchsorted(np.cumsum(shares)[:-1], place.astype(np.float64) / 2.0**64, side="right")


def _paths(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if paths := sorted(path.glob("shard-*.h5")):
        return paths
    raise FileError(
        f"{path}: neither a zoo file nor a folder of them (shard-0000.h5). Write a folder such as results/zoo/kinds."
    )
