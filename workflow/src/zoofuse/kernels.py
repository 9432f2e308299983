"""Kernel banks: all kernels of one conv layer, domain A beside domain B."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from zoofuse import files


def extract(zoo_a: Iterable[Path], zoo_b: Iterable[Path], layer: str, output: Path) -> None:
    """Write one layer's bank from the zoo files of both concepts.

    `output` (kind "kernels"): A (n_a, out, in, k, k) and B (n_b, out, in, k, k) float32, and the CNNs' global
    indices model_A (n_a,), model_B (n_b,).
    """
    arrays, sources = {}, {}
    for domain, paths in (("A", list(zoo_a)), ("B", list(zoo_b))):
        zoos = [files.read(path, "zoo", ["model", f"{layer}.weight"]) for path in paths]
        arrays[domain] = np.concatenate([zoo[f"{layer}.weight"] for zoo in zoos])
        arrays[f"model_{domain}"] = np.concatenate([zoo["model"] for zoo in zoos])
        sources[domain] = [files.fingerprint(path) for path in paths]
    files.write(output, "kernels", arrays, layer=layer, sources=sources)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(A, B) of a bank written by `extract`."""
    bank = files.read(path, "kernels", ["A", "B"])
    return bank["A"], bank["B"]
