"""Files of the kernel CycleGAN: trained generators with their history."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from zoofuse.core import files
from zoofuse.methods.cyclegan.settings import Settings


@dataclass(frozen=True)
class Trained:
    """generators: "A2B" and "B2A" -> name -> float32; history: name -> (epochs,) float32, NaN where not measured.

    way: backend and instruction set or device, such as "cpp avx2"; the same way gives the same bits. Empty for
    generators trained elsewhere.
    """

    generators: dict[str, dict[str, np.ndarray]]
    history: dict[str, np.ndarray]
    way: str = ""


def write_generators(path: str | Path, trained: Trained, **attributes) -> None:
    """Write a layer's generators and history; `attributes` (settings, seed, source digests) as `files.write` takes."""
    arrays = {f"{way}/{name}": value for way, g in trained.generators.items() for name, value in g.items()}
    arrays |= {f"history/{name}": values for name, values in trained.history.items()}
    files.write(path, "generators", arrays, **attributes)


def read_generators(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """ "A2B" and "B2A" -> name -> float32, as `translate` takes; raises FileError."""
    return {way: values for way, values in _groups(path).items() if way != "history"}


def read_history(path: str | Path) -> dict[str, np.ndarray]:
    """The history written beside the generators: name -> (epochs,) float32."""
    return _groups(path).get("history", {})


def _groups(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, value in files.read(path, "generators").items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = value
    return groups


def _identity(kernels: Mapping[str, np.ndarray], s: Settings, seed: int, way: str) -> str:
    """Digest of all that decides a training's bits, its way of computing included; see `fit.Fit`."""
    digests = {domain: hashlib.sha256(np.ascontiguousarray(values)).hexdigest() for domain, values in kernels.items()}
    shapes = {domain: values.shape for domain, values in kernels.items()}
    return files.digest({"settings": asdict(s), "seed": seed, "kernels": digests, "shapes": shapes, "way": way})
