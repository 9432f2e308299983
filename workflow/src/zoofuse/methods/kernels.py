"""Banks: all kernels of one conv layer, of both layers as one volume, or all matrices of one layer of transformers.

Domain lies beside domain.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from zoofuse.core import files
from zoofuse.models.architectures import HALVES, parameters
from zoofuse.zoo import zoo


def extract(inputs: Mapping[str, Iterable[Path]], layer: str, output: Path, say: Callable[[str], None] = print) -> None:
    """Write one layer's bank, or that of both layers.

    Args:
        inputs: Domain, "A", "B" and so on, or its letter -> zoo files.
        layer: "conv1", "block1.mlp" and so on (`architectures.banks_of`), or "joint".
        output: The file to write, kind "kernels": A (n_a, out, in, k, k), B (n_b, out, in, k, k), ... float32,
            of matrices (n_a, out, in), and the CNNs' global indices model_A (n_a,), model_B (n_b,), ...
        say: Called with a line where a zoo's files were trained in ways that do not give the same bits.
    """
    layers = ("conv1", "conv2") if layer == "joint" else (layer,)
    names = [name for of_layer in layers for name in parameters(of_layer)]
    zoos = {side.upper(): list(paths) for side, paths in inputs.items()}
    sources = {domain: [files.fingerprint(path) for path in paths] for domain, paths in zoos.items()}
    with files.create(output, "kernels", layer=layer, sources=sources) as writer:
        for domain, paths in zoos.items():
            n = sum(zoo.sizes(paths))
            for cnns in zoo.blocks(paths, ["model", *names]):
                weights = [of(cnns, of_layer) for of_layer in layers]
                bank = joined(*weights) if layer == "joint" else weights[0]
                writer.append({domain: bank, f"model_{domain}": cnns["model"]}, of=n)
            zoo.tell_mixed(paths, f"Zoo {domain}", say)


def sizes(path: Path) -> dict[str, int]:
    """Domain -> kernel sets of a bank written by `extract`, A first."""
    shapes = files.shapes(path, "kernels")
    return {domain: shapes[domain][0] for domain in sorted(shapes) if not domain.startswith("model")}


def read(path: Path) -> dict[str, np.ndarray]:
    """Domain -> kernels (n, out, in, k, k) or matrices (n, out, in) of a bank written by `extract`, A first."""
    return files.read(path, "kernels", sizes(path))


def rows(path: Path, domain: str, rows: range) -> np.ndarray:
    """Some kernels or matrices (n, ...) of one domain of a bank, of which nothing else is read."""
    return files.read(path, "kernels", [domain], rows)[domain]


def of(arrays: Mapping[str, np.ndarray], bank: str) -> np.ndarray:
    """The weights of one bank among networks' parameters.

    Half of a transformer's block is one matrix with a row for each of its units, whose order has no meaning: all
    weights into the unit, then all weights out of it.

    Args:
        arrays: Parameter -> (n, ...).
        bank: As `architectures.banks_of` names it.

    Returns:
        (n, out, in, rows, columns), or of matrices (n, out, in).
    """
    first, *others = (arrays[name] for name in parameters(bank))
    if not others:
        return first
    n, width, units = others[0].shape
    into = first.reshape(n, -1, units, width).transpose(0, 2, 1, 3).reshape(n, units, -1)
    return np.concatenate([into, others[0].transpose(0, 2, 1)], axis=2)


def put(arrays: dict[str, np.ndarray], bank: str, weights: np.ndarray) -> None:
    """Set the weights of one bank, as `of` returns them, among networks' parameters."""
    first, *others = parameters(bank)
    if not others:
        arrays[first] = weights
        return
    n, units, values = weights.shape
    rows = HALVES[bank.rpartition(".")[2]][2]
    into, out = np.split(weights.reshape(n, units, rows + 1, values // (rows + 1)), [rows], axis=2)
    arrays[first] = into.transpose(0, 2, 1, 3).reshape(n, rows * units, -1)
    arrays[others[0]] = np.ascontiguousarray(out[:, :, 0].transpose(0, 2, 1))


def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """conv1 (n, out, in, k, k) and conv2 (n, out2, out, k, k) as one volume (n, in + out2, out, k, k).

    conv1's outputs are conv2's inputs: they are the volume's channels, so that whoever changes it sees both.
    """
    return np.concatenate([first.swapaxes(1, 2), second], axis=1)


def parted(volume: np.ndarray, inputs: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """conv1 and conv2 from the volume that `joined` returned; inputs: channels that conv1 reads."""
    return np.ascontiguousarray(volume[:, :inputs].swapaxes(1, 2)), volume[:, inputs:]
