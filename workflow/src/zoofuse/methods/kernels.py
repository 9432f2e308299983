"""Kernel banks: all kernels of one conv layer, or of both layers as one volume, domain beside domain."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from zoofuse.core import files
from zoofuse.zoo import zoo


def extract(inputs: Mapping[str, Iterable[Path]], layer: str, output: Path, say: Callable[[str], None] = print) -> None:
    """Write one layer's bank, or that of both layers.

    Args:
        inputs: Domain, "A", "B" and so on, or its letter -> zoo files.
        layer: "conv1", "conv2" and so on, or "joint".
        output: The file to write, kind "kernels": A (n_a, out, in, k, k), B (n_b, out, in, k, k), ... float32,
            and the CNNs' global indices model_A (n_a,), model_B (n_b,), ...
        say: Called with a line where a zoo's files were trained in ways that do not give the same bits.
    """
    names = [f"{name}.weight" for name in (("conv1", "conv2") if layer == "joint" else (layer,))]
    zoos = {side.upper(): list(paths) for side, paths in inputs.items()}
    sources = {domain: [files.fingerprint(path) for path in paths] for domain, paths in zoos.items()}
    with files.create(output, "kernels", layer=layer, sources=sources) as writer:
        for domain, paths in zoos.items():
            n = sum(zoo.sizes(paths))
            for cnns in zoo.blocks(paths, ["model", *names]):
                bank = joined(*(cnns[name] for name in names)) if layer == "joint" else cnns[names[0]]
                writer.append({domain: bank, f"model_{domain}": cnns["model"]}, of=n)
            zoo.tell_mixed(paths, f"Zoo {domain}", say)


def sizes(path: Path) -> dict[str, int]:
    """Domain -> kernel sets of a bank written by `extract`, A first."""
    shapes = files.shapes(path, "kernels")
    return {domain: shapes[domain][0] for domain in sorted(shapes) if not domain.startswith("model")}


def read(path: Path) -> dict[str, np.ndarray]:
    """Domain -> kernels (n, out, in, k, k) of a bank written by `extract`, A first."""
    return files.read(path, "kernels", sizes(path))


def rows(path: Path, domain: str, rows: range) -> np.ndarray:
    """Some kernels (n, out, in, k, k) of one domain of a bank, of which nothing else is read."""
    return files.read(path, "kernels", [domain], rows)[domain]


def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """conv1 (n, out, in, k, k) and conv2 (n, out2, out, k, k) as one volume (n, in + out2, out, k, k).

    conv1's outputs are conv2's inputs: they are the volume's channels, so that whoever changes it sees both.
    """
    return np.concatenate([first.swapaxes(1, 2), second], axis=1)


def parted(volume: np.ndarray, inputs: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """conv1 and conv2 from the volume that `joined` returned; inputs: channels that conv1 reads."""
    return np.ascontiguousarray(volume[:, :inputs].swapaxes(1, 2)), volume[:, inputs:]
