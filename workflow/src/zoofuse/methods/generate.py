"""CNNs that nobody trained for the conjunction: one function for each method, from zoos to a zoo file.

A generated zoo file has domain (n,) beside model (n,), no linear layer fc1 of its own, and, where the method has them,
linear heads on its features for the fusion's concepts: fc_a.weight (n, 2, features), fc_a.bias (n, 2), fc_b.*, and so
on. zoos: domain ("A", "B" and so on) -> zoo files.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from zoofuse.core import files, rng
from zoofuse.methods import kernels
from zoofuse.methods.cyclegan import io
from zoofuse.models.architectures import ARCHITECTURES, banks_of, start, trunk
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
    from zoofuse.methods.cyclegan import translation  # here, as it imports torch, which takes longer than the controls

    domains = kernels.sizes(next(iter(banks.values())))
    n, last = min(domains.values()), max(domains)
    trained = {layer: [io.read_generators(pair) for pair in generators[layer]] for layer in banks}
    models = files.read(next(iter(banks.values())), "kernels", ["model_A", f"model_{last}"])
    ways = {"A": [(layer, [pair["B2A"] for pair in reversed(pairs)]) for layer, pairs in trained.items()]}
    ways[last] = [(layer, [pair["A2B"] for pair in pairs]) for layer, pairs in trained.items()]
    of_files = {domain: zoo.sizes(paths) for domain, paths in zoos.items()}
    held = files.shapes(zoos["A"][0], "zoo")
    shapes = {name: held[name] for name in trunk(held)}

    def translated(domain: str, origin: str, rows: range) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for layer, steps in ways[domain]:
            made = kernels.rows(banks[layer], origin, rows)
            for generator in steps:
                made = translation.translate(generator, made)
            parts = zip(("conv1", "conv2"), kernels.parted(made), strict=True) if layer == "joint" else [(layer, made)]
            for name, weights in parts:
                kernels.put(arrays, name, weights)
        rest = [name for name in shapes if name not in arrays]
        if biases:
            arrays |= zoo.pick(zoos[origin], of_files[origin], rest, rows)
        else:
            blank = {name: (len(rows), *shapes[name][1:]) for name in rest}
            arrays |= {name: np.full(shape, start(name) or 0, np.float32) for name, shape in blank.items()}
        arrays |= {"model": models[f"model_{origin}"][rows.start : rows.stop], "domain": np.repeat([domain], len(rows))}
        return arrays | _heads(zoos, of_files, rows)

    sources = {layer: _fingerprints([banks[layer], *generators[layer]]) for layer in banks}
    with files.create(output, "zoo", method=method, sources=sources) as writer:
        for domain, origin in (("A", last), (last, "A")):
            kept = np.arange(n) if best is None else _best(zoos[origin], n, best)
            for rows in zoo.in_blocks(n):
                chosen = kept[(kept >= rows.start) & (kept < rows.stop)] - rows.start
                if len(chosen):
                    arrays = translated(domain, origin, rows)
                    writer.append({name: values[chosen] for name, values in arrays.items()}, of=2 * len(kept))


def random(n: int, architecture: str, seed: int, fusion: str, output: Path) -> None:
    """Control: n CNNs as PyTorch initialises them, never trained."""
    from zoofuse.models import cnn

    def made(rows: range) -> dict[str, np.ndarray]:
        models = np.arange(rows.start, rows.stop)
        weights = cnn.initial_weights(ARCHITECTURES[architecture], seed, f"{fusion}/random", models)
        arrays = {name: values for name, values in weights.items() if not name.startswith("fc")}
        return arrays | {"model": models.astype(np.int32), "domain": np.repeat(["-"], len(models))}

    _write(output, n, made, method="random", seed=seed)


def parent(paths: list[Path], domain: str, output: Path) -> None:
    """Control: the CNNs of one concept's zoo as they are, biases and linear layer included."""
    of_files, names = zoo.sizes(paths), [name for name in files.shapes(paths[0], "zoo") if "/" not in name]

    def made(rows: range) -> dict[str, np.ndarray]:
        return zoo.pick(paths, of_files, names, rows) | {"domain": np.repeat([domain], len(rows))}

    _write(output, sum(of_files), made, method=f"parent_{domain.lower()}", sources=_fingerprints(paths))


def average(zoos: Mapping[str, list[Path]], output: Path) -> None:
    """Control: mean kernels and biases of the CNNs of the same index in all zoos, with the head of each."""
    of_files = {domain: zoo.sizes(paths) for domain, paths in zoos.items()}
    names = trunk(files.shapes(next(iter(zoos.values()))[0], "zoo"))

    def made(rows: range) -> dict[str, np.ndarray]:
        a, *others = (zoo.pick(paths, of_files[domain], ["model", *names], rows) for domain, paths in zoos.items())
        arrays = {name: sum((other[name] for other in others), start=a[name]) / len(zoos) for name in names}
        return arrays | {"model": a["model"], "domain": np.repeat(["-"], len(rows))} | _heads(zoos, of_files, rows)

    sources = {domain: _fingerprints(paths) for domain, paths in zoos.items()}
    _write(output, min(map(sum, of_files.values())), made, method="average", sources=sources)


def noise(translated: Path, banks: dict[str, Path], seed: int, fusion: str, output: Path) -> None:
    """Control: what `translate` starts from, plus Gaussian noise as large as the change that it makes.

    For each CNN and layer the noise has the root mean square of translated minus untranslated kernels.
    """
    (n,) = zoo.sizes([translated])

    def made(rows: range) -> dict[str, np.ndarray]:
        arrays = files.read(translated, "zoo", rows=rows)
        for layer, path in banks.items():
            halves = [(max(kernels.sizes(path)), 0), ("A", n // 2)]
            parts = [(domain, first, _within(rows, range(first, first + n // 2))) for domain, first in halves]
            untranslated = np.concatenate(
                [
                    kernels.rows(path, domain, range(part.start - first, part.stop - first))
                    for domain, first, part in parts
                ]
            )
            change = kernels.of(arrays, layer) - untranslated
            size = np.sqrt(np.mean(change**2, axis=tuple(range(1, change.ndim)), keepdims=True))
            drawn = rng.normal((n, *change.shape[1:]), seed, fusion, "noise", layer, rows=rows)
            kernels.put(arrays, layer, untranslated + size * drawn)
        return arrays

    _write(output, n, made, method="noise", seed=seed, sources=_fingerprints([translated]))


def shuffled(translated: Path, seed: int, fusion: str, output: Path) -> None:
    """Control: the weights of `translate`, those of a CNN's layer in random order: the same values, no pattern."""
    (n,) = zoo.sizes([translated])

    def made(rows: range) -> dict[str, np.ndarray]:
        arrays = files.read(translated, "zoo", rows=rows)
        for layer in banks_of(arrays):
            weights = kernels.of(arrays, layer)
            shape, first = (len(weights), weights[0].size), rows.start * weights[0].size
            order = rng.uniform(shape, seed, fusion, "shuffled", layer, start=first).argsort(1, kind="stable")
            mixed = np.take_along_axis(weights.reshape(shape), order, 1).reshape(weights.shape)
            kernels.put(arrays, layer, mixed)
        return arrays

    _write(output, n, made, method="shuffled", seed=seed, sources=_fingerprints([translated]))


def matched(translated: Path, seed: int, fusion: str, output: Path) -> None:
    """Control: filters drawn from a normal distribution with mean and covariance of the translated filters of a domain.

    A filter is all weights of one output channel: 75 numbers in conv1, 150 in conv2 as published, a row of a matrix.
    """
    domains = zoo.names(translated)["domain"]
    layers = banks_of(files.shapes(translated, "zoo"))
    with files.create(output, "zoo", method="matched", seed=seed, sources=_fingerprints([translated])) as writer:
        for domain in dict.fromkeys(domains.tolist()):
            places = np.flatnonzero(domains == domain)  # beside each other
            normals = {layer: _normal(translated, layer, places) for layer in layers}
            for rows in zoo.in_blocks(len(places), _FITTED):
                arrays = files.read(translated, "zoo", rows=places[rows.start : rows.stop])
                for layer, (mean, root) in normals.items():
                    weights = kernels.of(arrays, layer)
                    out = weights.shape[1]
                    shape, filters = (len(places) * out, len(mean)), range(rows.start * out, rows.stop * out)
                    drawn = rng.normal(shape, seed, fusion, "matched", layer, domain, rows=filters) @ root.T + mean
                    kernels.put(arrays, layer, drawn.reshape(weights.shape).astype(weights.dtype))
                writer.append(arrays, of=len(domains))


_FITTED = 4096  # CNNs whose filters are in memory at once: 0.5 GB; of larger zoos, sums of parts round differently


def _normal(path: Path, layer: str, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (size,) of filters, and (size, size) a root of their covariance, as `np.cov` computes it."""

    def parts() -> Iterator[np.ndarray]:
        for rows in zoo.in_blocks(len(places), _FITTED):
            held = files.read(path, "zoo", kernels.parameters(layer), places[rows.start : rows.stop])
            weights = kernels.of(held, layer)
            yield weights.reshape(-1, weights[0, 0].size).astype(np.float64)

    n = sum(len(filters) for filters in parts())
    mean = functools.reduce(np.add, (filters.sum(0) for filters in parts())) / n
    products = (np.dot(apart.T, apart) for apart in (filters - mean for filters in parts()))
    values, vectors = np.linalg.eigh(functools.reduce(np.add, products) * np.true_divide(1, n - 1))
    return mean, vectors * np.sqrt(values.clip(0))


def _write(output: Path, n: int, made: Callable[[range], dict[str, np.ndarray]], **attributes) -> None:
    """Write the zoo file of n CNNs, some at a time."""
    with files.create(output, "zoo", **attributes) as writer:
        for rows in zoo.in_blocks(n):
            writer.append(made(rows), of=n)


def _within(rows: range, half: range) -> range:
    """Those of the rows that lie in a half of a zoo."""
    start = min(max(rows.start, half.start), half.stop)
    return range(start, max(start, min(rows.stop, half.stop)))


def _best(paths: list[Path], n: int, best: int) -> np.ndarray:
    """Of a zoo's first n CNNs the rows of those that did best on their own validation, in order."""
    name = "history/validation_balanced_accuracy"
    held = [name] if all(name in files.shapes(path, "zoo") for path in paths) else ["model"]
    scores = zoo.validation({key: values[:n] for key, values in zoo.read(paths, held).items()})
    return np.sort(np.argsort(-scores, kind="stable")[:best])


def _heads(zoos: Mapping[str, list[Path]], of_files: Mapping[str, Sequence[int]], rows: range) -> dict[str, np.ndarray]:
    """The linear layers of some CNNs of all zoos as heads for the concepts; of_files: CNNs in each file of a zoo."""
    heads = {}
    for domain, paths in zoos.items():
        linear = zoo.pick(paths, of_files[domain], ["fc1.weight", "fc1.bias"], rows)
        heads |= {name.replace("fc1", f"fc_{domain.lower()}"): values for name, values in linear.items()}
    return heads


def _fingerprints(paths: Iterable[Path]) -> list[str]:
    return [files.fingerprint(path) for path in paths]
