"""One channel order for many CNNs. A CNN's channels may be renumbered without changing what it computes.

Weight matching (Ainsworth et al. 2023, "Git Re-Basin: Merging models modulo permutation symmetries", section 3.2):
each layer's channels are assigned to a reference's so that the kernels agree best, layer after layer until nothing
changes. A layer's kernels see its own output channels and, as input channels, the order of the layer before.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from zoofuse.core import files
from zoofuse.zoo import align_transformers, zoo

ROUNDS = 20  # of passes over the layers; a handful are enough
CANDIDATES = 8  # parents whose whole distance is measured, the nearest ones by their first layer

NEAREST = ["method", "domain", "n", "median", "smallest"]

CNN = dict[str, np.ndarray]  # one CNN's tensors by name, or with a leading axis those of many


def match(cnn: CNN, reference: CNN) -> list[np.ndarray]:
    """For each conv layer the channels of `cnn`, (out,), in the order in which they stand in for the reference's."""
    layers = _layers(cnn)
    orders = [np.arange(len(cnn[f"{layer}.bias"])) for layer in layers]
    for sweep in range(ROUNDS):
        before = [order.copy() for order in orders]
        for at, layer in enumerate(layers):
            kernels, wanted = cnn[f"{layer}.weight"], reference[f"{layer}.weight"]
            if at:
                kernels = kernels[:, orders[at - 1]]
            agreement = wanted.reshape(len(wanted), -1) @ kernels.reshape(len(kernels), -1).T
            agreement += np.outer(reference[f"{layer}.bias"], cnn[f"{layer}.bias"])
            if sweep and at + 1 < len(layers):  # as input channels of the next layer
                follower = f"{layers[at + 1]}.weight"
                into, onto = cnn[follower][orders[at + 1]], reference[follower]
                agreement += np.einsum("oikl,ojkl->ij", onto, into)
            orders[at] = linear_sum_assignment(agreement, maximize=True)[1]
        if sweep and all((a == b).all() for a, b in zip(orders, before, strict=True)):
            break
    return orders


def permute(cnn: CNN, orders: list[np.ndarray]) -> CNN:
    """The same CNN with its channels in these orders; its linear layers, where it has some, follow."""
    permuted, before = dict(cnn), None
    for layer, order in zip(_layers(cnn), orders, strict=True):
        weight = cnn[f"{layer}.weight"][order]
        permuted[f"{layer}.weight"] = weight if before is None else weight[:, before]
        permuted[f"{layer}.bias"] = cnn[f"{layer}.bias"][order]
        before = order
    for name in cnn:
        if name.startswith("fc") and name.endswith(".weight"):
            maps = cnn[name].reshape(len(cnn[name]), len(before), -1)  # features are flattened channel, row, column
            permuted[name] = maps[:, before].reshape(cnn[name].shape)
    return permuted


def align(cnns: CNN, reference: CNN) -> CNN:
    """n networks (n, ...), each in the order of channels that agrees best with the reference's; of heads too."""
    aligned = {name: values.copy() for name, values in cnns.items()}
    matched, permuted = match, permute
    if "patch.weight" in cnns:
        matched, permuted = align_transformers.match, align_transformers.permute
    for row in range(len(next(iter(cnns.values())))):
        one = {name: values[row] for name, values in cnns.items()}
        for name, value in permuted(one, matched(one, reference)).items():
            aligned[name][row] = value
    return aligned


def write(zoo_files: list[Path], reference_files: list[Path], output: Path) -> None:
    """A zoo in canonical channel order: that of the reference zoo's first CNN, so that several zoos can share it.

    The zoo file holds all that its zoo did, checkpoints aside, whose channels would stand in another order.
    """
    cnns = zoo.Stored(zoo_files)
    names = [name for name in cnns.shapes if not name.startswith("checkpoints/")]
    first = files.read(reference_files[0], "zoo", rows=range(1))
    reference = {name: values[0] for name, values in first.items() if _parameter(name)}
    sources = [files.fingerprint(path) for path in zoo_files]
    order = files.fingerprint(reference_files[0])
    with files.create(output, "zoo", aligned=True, sources=sources, reference=order) as writer:
        for rows in zoo.in_blocks(len(cnns)):
            some = cnns.pick(names, rows)
            aligned = align({name: values for name, values in some.items() if _parameter(name)}, reference)
            writer.append(some | aligned, of=len(cnns))


def nearest_parent(cnns: CNN, parents: "CNN | Several") -> np.ndarray:
    """(n,) distance of each CNN to the nearest parent, up to channel permutation: 0 is a copy, over 1 unrelated.

    Euclidean over all conv weights and biases, divided by the root of both CNNs' mean square length. Parents are
    ranked by their first layer's best match; the whole CNN is matched for the CANDIDATES nearest.
    """
    names = [name for name in cnns if name.startswith("conv")]
    parents = parents if isinstance(parents, Several) else Several([(parents, 0)])
    candidates = _candidates(_first_layer(cnns), parents)
    wanted = np.unique(candidates)
    others = parents.pick(names, wanted)
    nearest = np.empty(len(cnns["conv1.bias"]), np.float32)
    for row, of_cnn in enumerate(candidates):
        one = {name: cnns[name][row] for name in names}
        distances = []
        for parent in np.searchsorted(wanted, of_cnn):
            other = {name: others[name][parent] for name in names}
            other = permute(other, match(other, one))
            apart = sum(float(((one[name] - other[name]) ** 2).sum()) for name in names)
            length = sum(float((one[name] ** 2).sum() + (other[name] ** 2).sum()) for name in names) / 2
            distances.append(np.sqrt(apart / length) if length else 0.0)
        nearest[row] = min(distances)
    return nearest


class Several:
    """The CNNs of several zoos, one zoo after another.

    Args:
        zoos: each with the row that its CNNs begin in.
    """

    def __init__(self, zoos: Sequence[tuple[zoo.CNNs, int]]):
        self._zoos = [(zoo.stored(of), start) for of, start in zoos]
        self._sizes = [max(0, len(of) - start) for of, start in self._zoos]

    def __len__(self) -> int:
        return sum(self._sizes)

    def pick(self, names: Sequence[str], rows: np.ndarray | range) -> CNN:
        """Arrays of the CNNs in these rows, in ascending order."""
        parts, before = [], 0
        for (of, start), size in zip(self._zoos, self._sizes, strict=True):
            here = np.asarray(rows)[(np.asarray(rows) >= before) & (np.asarray(rows) < before + size)]
            if len(here):
                parts.append(of.pick(names, here - before + start))
            before += size
        return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _candidates(kernels: np.ndarray, parents: Several) -> np.ndarray:
    """(n, CANDIDATES) rows of the parents whose first layers, best matched, are nearest to those of n CNNs."""
    gaps, rows = (np.empty((len(kernels), 0), kind) for kind in (np.float32, np.int64))
    for block in zoo.in_blocks(len(parents)):
        of_parents = _first_layer(parents.pick(["conv1.weight", "conv1.bias"], block))
        apart = np.empty((len(kernels), len(block)), np.float32)
        for row, one in enumerate(kernels):
            agreement = np.einsum("oi,pji->poj", one, of_parents)
            best = np.array([matrix[linear_sum_assignment(matrix, maximize=True)].sum() for matrix in agreement])
            apart[row] = (of_parents**2).sum((1, 2)) - 2 * best
        gaps = np.concatenate([gaps, apart], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(np.arange(block.start, block.stop), apart.shape)], axis=1)
        order = np.argsort(gaps, axis=1, kind="stable")[:, :CANDIDATES]
        gaps, rows = (np.take_along_axis(values, order, 1) for values in (gaps, rows))
    return rows


def alike(cnns: CNN, others: zoo.CNNs) -> bool:
    """Whether two zoos' CNNs have the same conv layers, so that there is a distance between them.

    Args:
        cnns: Tensors (n, ...) by name.
        others: The same of the other zoo.

    Returns:
        True where every conv tensor has its counterpart of equal shape; linear layers and heads are not looked at.
    """
    one, other = (
        {name: shape for name, shape in zoo.stored(of).shapes.items() if name.startswith("conv")}
        for of in (cnns, others)
    )
    return one == other


def together(cnns: CNN, zoos: Iterable[tuple[zoo.CNNs, int]]) -> Several | None:
    """Those zoos' CNNs that have a distance to some CNNs.

    Args:
        cnns: Tensors (n, ...) by name.
        zoos: The same of each zoo, in memory or in files, with the row that it begins in.

    Returns:
        None where no zoo is of their architecture, or where it is no chain of convolutions.
    """
    same = [(of, start) for of, start in zoos if alike(cnns, of)]
    return Several(same) if same and any(name.startswith("conv") for name in cnns) else None


def nearest_rows(zoos: Mapping[str, CNN], parents: Mapping[str, zoo.CNNs], limit: int) -> Iterator[dict]:
    """For each method and domain, how far its first `limit` CNNs are from the nearest parent: rows of NEAREST.

    zoos: method -> its CNNs, with their domain, at least the first `limit` of each; parents: method of a control -> the
    whole zoo, in memory or in files. A parent is measured
    against all others, which says what a distance means. Nothing for a zoo that is no larger than `limit`, or for CNNs
    of another architecture than every zoo.
    """
    for method, cnns in zoos.items():
        everyone = together(cnns, [(of, limit if key == method else 0) for key, of in parents.items()])
        if not everyone:
            continue
        names = [name for name in cnns if name.startswith("conv")]
        for domain in dict.fromkeys(cnns["domain"].tolist()):
            rows = np.flatnonzero(cnns["domain"] == domain)[:limit]
            nearest = nearest_parent({name: cnns[name][rows] for name in names}, everyone)
            yield dict(zip(NEAREST, (method, domain, len(rows), np.median(nearest), nearest.min()), strict=True))


def _first_layer(cnns: CNN) -> np.ndarray:
    weight = cnns["conv1.weight"]
    return np.concatenate([weight.reshape(*weight.shape[:2], -1), cnns["conv1.bias"][..., None]], axis=2)


def _layers(cnn: CNN) -> list[str]:
    return sorted({name.split(".")[0] for name in cnn if name.startswith("conv")}, key=lambda name: int(name[4:]))


def _parameter(name: str) -> bool:
    return "." in name and "/" not in name
