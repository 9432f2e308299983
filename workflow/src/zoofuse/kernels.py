"""Kernel banks: all kernels of one conv layer, domain beside domain."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from zoofuse import files


def extract(zoos: Mapping[str, Iterable[Path]], layer: str, output: Path) -> None:
    """Write one layer's bank from the zoo files of each domain, "A", "B" and so on.

    `output` (kind "kernels"): A (n_a, out, in, k, k), B (n_b, out, in, k, k), ... float32, and the CNNs' global
    indices model_A (n_a,), model_B (n_b,), ...
    """
    arrays, sources = {}, {}
    for domain, paths in zoos.items():
        zoos = [files.read(path, "zoo", ["model", f"{layer}.weight"]) for path in paths]
        arrays[domain] = np.concatenate([zoo[f"{layer}.weight"] for zoo in zoos])
        arrays[f"model_{domain}"] = np.concatenate([zoo["model"] for zoo in zoos])
        sources[domain] = [files.fingerprint(path) for path in paths]
    files.write(output, "kernels", arrays, layer=layer, sources=sources)


def read(path: Path) -> dict[str, np.ndarray]:
    """Domain -> kernels (n, out, in, k, k) of a bank written by `extract`, A first."""
    bank = files.read(path, "kernels")
    return {domain: bank[domain] for domain in sorted(bank) if not domain.startswith("model")}
