"""CNNs that nobody trained for the conjunction: one function for each method, from zoos to a zoo file.

A generated zoo file has domain (n,) beside model (n,), no linear layer fc1 of its own, and, where the method has them,
linear heads on its features for the fusion's concepts: fc_a.weight (n, 2, features), fc_a.bias (n, 2), fc_b.*, and so
on. zoos: domain ("A", "B" and so on) -> zoo files.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from zoofuse.core import files, rng
from zoofuse.methods import kernels
from zoofuse.methods.cyclegan import io, translation
from zoofuse.models import cnn
from zoofuse.models.architectures import banks as layers_with_banks
from zoofuse.models.architectures import start, trunk
from zoofuse.zoo import zoo


def translate(
    zoos: Mapping[str, list[Path]],
    banks: Mapping[str, Path],
    generators: Mapping[str, Sequence[Path]],
    output: Path,
    *,
    biases: bool = False,
    best: int | None = None,
    method: str = "cyclegan",
) -> None:
    """The published method (`generatedCNN`), for the first n CNNs of all zoos, n the size of the smallest one.

    Domain A = G_B2A(kernels of B's CNN), domain B = G_A2B(kernels of A's CNN), each layer's kernels or matrices by
    their own CycleGAN; biases zero, normalisations as before training. Of more than two concepts kernels are translated
    all the way from one end to the other:
    domain A = G_B2A(G_C2B(kernels of C's CNN)), domain C = G_B2C(G_A2B(kernels of A's CNN)).
    A generated CNN has the index of the CNN that its kernels come from. The published system translates
    no linear layer, so the heads are those of the CNNs with this index in every zoo, as they are.

    Args:
        zoos: domain -> zoo files.
        banks: layer (or "joint", both layers as one volume) -> file.
        generators: the same -> files, one for each two neighbouring concepts, A and B's first.
        output: the zoo file to write.
        biases: give a translated CNN the biases, and normalisations, of the CNN that its kernels come from.
        best: keep only so many of each domain, those whose kernels come from the CNNs best on their own validation
            images; the first ones where a zoo has no history.
        method: the name that the file says.
    """
    arrays: dict[str, np.ndarray] = {}
    for layer, path in banks.items():
        bank = kernels.read(path)
        n, last = min(map(len, bank.values())), max(bank)
        to_a, to_last = bank[last][:n], bank["A"][:n]
        trained = [io.read_generators(pair) for pair in generators[layer]]
        for backwards, forwards in zip(reversed(trained), trained, strict=True):
            to_a = translation.translate(backwards["B2A"], to_a)
            to_last = translation.translate(forwards["A2B"], to_last)
        made = np.concatenate([to_a, to_last])
        layers = dict(zip(("conv1", "conv2"), kernels.parted(made), strict=True)) if layer == "joint" else {layer: made}
        for name, weights in layers.items():
            kernels.put(arrays, name, weights)
        models = files.read(path, "kernels", ["model_A", f"model_{last}"])
        arrays["model"] = np.concatenate([models[f"model_{last}"][:n], models["model_A"][:n]])
        arrays["domain"] = np.repeat(["A", last], n)
    origins = [_first(zoos[domain], n, history=True) for domain in (last, "A")]
    for name in [name for name in trunk(origins[0]) if name not in arrays]:
        kept = np.concatenate([origin[name] for origin in origins])
        arrays[name] = kept if biases else np.full_like(kept, start(name) or 0)
    arrays |= {name: np.tile(head, (2, *[1] * (head.ndim - 1))) for name, head in _heads(zoos, n).items()}
    if best is not None:
        orders = [np.argsort(-zoo.validation(origin), kind="stable")[:best] for origin in origins]
        rows = np.concatenate([half * n + np.sort(order) for half, order in enumerate(orders)])
        arrays = {name: values[rows] for name, values in arrays.items()}
    sources = {layer: _fingerprints([banks[layer], *generators[layer]]) for layer in banks}
    files.write(output, "zoo", arrays, method=method, sources=sources)


def random(n: int, architecture: str, seed: int, fusion: str, output: Path) -> None:
    """Control: n CNNs as PyTorch initialises them, never trained."""
    weights = cnn.initial_weights(cnn.ARCHITECTURES[architecture], seed, f"{fusion}/random", np.arange(n))
    arrays = {name: values for name, values in weights.items() if not name.startswith("fc")}
    arrays |= {"model": np.arange(n, dtype=np.int32), "domain": np.repeat(["-"], n)}
    files.write(output, "zoo", arrays, method="random", seed=seed)


def parent(paths: list[Path], domain: str, output: Path) -> None:
    """Control: the CNNs of one concept's zoo as they are, biases and linear layer included."""
    arrays = zoo.read(paths)
    arrays = {name: values for name, values in arrays.items() if "/" not in name}
    arrays["domain"] = np.repeat([domain], len(arrays["model"]))
    files.write(output, "zoo", arrays, method=f"parent_{domain.lower()}", sources=_fingerprints(paths))


def average(zoos: Mapping[str, list[Path]], output: Path) -> None:
    """Control: mean kernels and biases of the CNNs of the same index in all zoos, with the head of each."""
    a, *others = (_first(paths, _count(zoos)) for paths in zoos.values())
    names = trunk(a)
    arrays = {name: sum((other[name] for other in others), start=a[name]) / len(zoos) for name in names}
    arrays |= {"model": a["model"], "domain": np.repeat(["-"], len(a["model"]))}
    sources = {domain: _fingerprints(paths) for domain, paths in zoos.items()}
    files.write(output, "zoo", arrays | _heads(zoos, len(a["model"])), method="average", sources=sources)


def noise(translated: Path, banks: dict[str, Path], seed: int, fusion: str, output: Path) -> None:
    """Control: what `translate` starts from, plus Gaussian noise as large as the change that it makes.

    For each CNN and layer the noise has the root mean square of translated minus untranslated kernels.
    """
    arrays = files.read(translated, "zoo")
    for layer, path in banks.items():
        bank, n = kernels.read(path), len(arrays["model"]) // 2
        untranslated = np.concatenate([bank[max(bank)][:n], bank["A"][:n]])
        change = kernels.of(arrays, layer) - untranslated
        size = np.sqrt(np.mean(change**2, axis=tuple(range(1, change.ndim)), keepdims=True))
        kernels.put(arrays, layer, untranslated + size * rng.normal(change.shape, seed, fusion, "noise", layer))
    files.write(output, "zoo", arrays, method="noise", seed=seed, sources=_fingerprints([translated]))


def shuffled(translated: Path, seed: int, fusion: str, output: Path) -> None:
    """Control: the weights of `translate`, those of a CNN's layer in random order: the same values, no pattern."""
    arrays = files.read(translated, "zoo")
    for layer in layers_with_banks(arrays):
        weights = kernels.of(arrays, layer)
        order = rng.uniform((len(weights), weights[0].size), seed, fusion, "shuffled", layer).argsort(1, kind="stable")
        mixed = np.take_along_axis(weights.reshape(order.shape), order, 1).reshape(weights.shape)
        kernels.put(arrays, layer, mixed)
    files.write(output, "zoo", arrays, method="shuffled", seed=seed, sources=_fingerprints([translated]))


def matched(translated: Path, seed: int, fusion: str, output: Path) -> None:
    """Control: filters drawn from a normal distribution with mean and covariance of the translated filters of a domain.

    A filter is all weights of one output channel: 75 numbers in conv1, 150 in conv2 as published, a row of a matrix.
    """
    arrays = files.read(translated, "zoo")
    for layer in layers_with_banks(arrays):
        made = kernels.of(arrays, layer).copy()
        for domain in dict.fromkeys(arrays["domain"].tolist()):
            rows = arrays["domain"] == domain
            weights = made[rows]
            filters = weights.reshape(-1, weights[0, 0].size).astype(np.float64)
            values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(filters, rowvar=False)))
            root = vectors * np.sqrt(values.clip(0))
            drawn = rng.normal(filters.shape, seed, fusion, "matched", layer, domain) @ root.T + filters.mean(0)
            made[rows] = drawn.reshape(weights.shape)
        kernels.put(arrays, layer, made)
    files.write(output, "zoo", arrays, method="matched", seed=seed, sources=_fingerprints([translated]))


def _count(zoos: Mapping[str, list[Path]]) -> int:
    """CNNs of the smallest zoo."""
    return min(sum(len(files.read(path, "zoo", ["model"])["model"]) for path in paths) for paths in zoos.values())


def _first(paths: Iterable[Path], n: int, history: bool = False) -> dict[str, np.ndarray]:
    arrays = zoo.read(list(paths))
    return {name: values[:n] for name, values in arrays.items() if history or "/" not in name}


def _heads(zoos: Mapping[str, list[Path]], n: int) -> dict[str, np.ndarray]:
    """The linear layers of all zoos' first n CNNs as heads for the concepts."""
    heads = {}
    for domain, paths in zoos.items():
        linear = zoo.read(list(paths), ["fc1.weight", "fc1.bias"])
        heads |= {name.replace("fc1", f"fc_{domain.lower()}"): values[:n] for name, values in linear.items()}
    return heads


def _fingerprints(paths: Iterable[Path]) -> list[str]:
    return [files.fingerprint(path) for path in paths]
