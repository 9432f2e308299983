"""One channel order for many CNNs. A CNN's channels may be renumbered without changing what it computes.

Weight matching (Ainsworth et al. 2023, "Git Re-Basin: Merging models modulo permutation symmetries", section 3.2):
each layer's channels are assigned to a reference's so that the kernels agree best, layer after layer until nothing
changes. A layer's kernels see its own output channels and, as input channels, the order of the layer before.
"""

from collections.abc import Iterable, Iterator, Mapping
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
    everything = {name: values for name, values in zoo.read(zoo_files).items() if not name.startswith("checkpoints/")}
    first = zoo.read(reference_files[:1])
    reference = {name: values[0] for name, values in first.items() if _parameter(name)}
    aligned = align({name: values for name, values in everything.items() if _parameter(name)}, reference)
    sources = [files.fingerprint(path) for path in zoo_files]
    order = files.fingerprint(reference_files[0])
    files.write(output, "zoo", everything | aligned, aligned=True, sources=sources, reference=order)


def nearest_parent(cnns: CNN, parents: CNN) -> np.ndarray:
    """(n,) distance of each CNN to the nearest parent, up to channel permutation: 0 is a copy, over 1 unrelated.

    Euclidean over all conv weights and biases, divided by the root of both CNNs' mean square length. Parents are
    ranked by their first layer's best match; the whole CNN is matched for the CANDIDATES nearest.
    """
    names = [name for name in cnns if name.startswith("conv")]
    of_parents = _first_layer(parents)
    nearest = np.empty(len(cnns["conv1.bias"]), np.float32)
    for row, kernels in enumerate(_first_layer(cnns)):
        one = {name: cnns[name][row] for name in names}
        agreement = np.einsum("oi,pji->poj", kernels, of_parents)
        best = np.array([matrix[linear_sum_assignment(matrix, maximize=True)].sum() for matrix in agreement])
        gap = (of_parents**2).sum((1, 2)) - 2 * best
        distances = []
        for parent in np.argsort(gap, kind="stable")[:CANDIDATES]:
            other = {name: parents[name][parent] for name in names}
            other = permute(other, match(other, one))
            apart = sum(float(((one[name] - other[name]) ** 2).sum()) for name in names)
            length = sum(float((one[name] ** 2).sum() + (other[name] ** 2).sum()) for name in names) / 2
            distances.append(np.sqrt(apart / length) if length else 0.0)
        nearest[row] = min(distances)
    return nearest


def alike(cnns: CNN, others: CNN) -> bool:
    """Whether two zoos' CNNs have the same conv layers, so that there is a distance between them.

    Args:
        cnns: Tensors (n, ...) by name.
        others: The same of the other zoo.

    Returns:
        True where every conv tensor has its counterpart of equal shape; linear layers and heads are not looked at.
    """
    one, other = ({name: of[name].shape[1:] for name in of if name.startswith("conv")} for of in (cnns, others))
    return one == other


def together(cnns: CNN, zoos: Iterable[CNN]) -> CNN | None:
    """The conv layers of those zoos' CNNs that have a distance to some CNNs, one zoo after another.

    Args:
        cnns: Tensors (n, ...) by name.
        zoos: The same of each zoo.

    Returns:
        None where no zoo is of their architecture, or where it is no chain of convolutions.
    """
    same = [of for of in zoos if alike(cnns, of)]
    names = [name for name in cnns if name.startswith("conv")]
    return {name: np.concatenate([of[name] for of in same]) for name in names} if names and same else None


def nearest_rows(zoos: Mapping[str, CNN], parents: Mapping[str, CNN], limit: int) -> Iterator[dict]:
    """For each method and domain, how far its first `limit` CNNs are from the nearest parent: rows of NEAREST.

    zoos: method -> its CNNs, with their domain; parents: method of a control -> the whole zoo. A parent is measured
    against all others, which says what a distance means. Nothing for a zoo that is no larger than `limit`, or for CNNs
    of another architecture than every zoo.
    """
    for method, cnns in zoos.items():
        others = [{name: of[name][limit if key == method else 0 :] for name in of} for key, of in parents.items()]
        everyone = together(cnns, others)
        if not everyone or not len(everyone["conv1.bias"]):
            continue
        names = list(everyone)
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
