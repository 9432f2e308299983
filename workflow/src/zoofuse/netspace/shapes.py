"""Shapes as signed distances: seeded chairs, tables and lamps made of boxes and cylinders, and SIRENs that learn them.

A shape lies in the unit cube, [-0.5, 0.5]^3, y upwards. Its signed distance is the least of its parts', negative
inside: exact outside, and inside a bound where parts overlap. A SIREN (Sitzmann et al. 2020, "Implicit neural
representations with periodic activation functions") is a small perceptron with sines that predicts it for any point.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from skimage.measure import marching_cubes
from torch import Tensor

from zoofuse.core import files, rng
from zoofuse.models import fit
from zoofuse.netspace import spaces
from zoofuse.settings.netspace import Shapes

KINDS = ("chair", "table", "lamp")
OMEGA = 30.0  # published, of every sine
NEAR = 0.06  # a point near a shape lies in a part's box grown by this
TOLERANCE = 1e-2  # published
GRID = 48  # points along each side of the cube, for the meshes of the figure


@dataclass(frozen=True)
class Shape:
    """boxes (k, 6): centre and half sides; cylinders (l, 5), upright: centre, radius, half height."""

    kind: str
    boxes: np.ndarray
    cylinders: np.ndarray

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance (m,) of points (m, 3)."""
        q = np.abs(points[:, None] - self.boxes[:, :3]) - self.boxes[:, 3:]
        x, y, z = (points[:, None] - self.cylinders[:, :3]).transpose(2, 0, 1)
        across, along = np.hypot(x, z) - self.cylinders[:, 3], np.abs(y) - self.cylinders[:, 4]
        q = [q, np.stack([across, along], 2)]
        parts = [np.linalg.norm(np.maximum(each, 0), axis=2) + np.minimum(each.max(2), 0) for each in q]
        return np.concatenate(parts, axis=1).min(1).astype(np.float32)

    @property
    def bounds(self) -> np.ndarray:
        """(parts, 6): centre and half sides of each part's box."""
        radius, height = self.cylinders[:, 3:4], self.cylinders[:, 4:]
        return np.concatenate([self.boxes, np.hstack([self.cylinders[:, :3], radius, height, radius])])


def shape(seed: int, index: int) -> Shape:
    """The shape of this index; kinds take turns."""
    kind = KINDS[index % len(KINDS)]
    u = iter(rng.uniform((16,), seed, "shapes", index).astype(float))
    between = lambda low, high: low + (high - low) * next(u)  # noqa: E731
    boxes, cylinders = [], []
    floor = -0.4
    if kind == "lamp":
        foot, top = between(0.1, 0.2), between(0.05, 0.25)  # radius of the foot, top of the pole
        cylinders.append((0, floor + 0.03, 0, foot, 0.03))
        cylinders.append((0, (floor + top) / 2, 0, between(0.03, 0.05), (top - floor) / 2))
        cylinders.append((0, top, 0, between(0.12, 0.25), between(0.06, 0.12)))
        return Shape(kind, np.zeros((0, 6)), np.array(cylinders))
    wide, deep = between(0.15, 0.3), between(0.15, 0.3)
    top = between(-0.12, 0.0) if kind == "chair" else between(-0.05, 0.2)  # of the legs
    thick, leg = 0.04, between(0.03, 0.05)
    boxes.append((0, top + thick, 0, wide, thick, deep))
    if kind == "chair":
        back = between(0.12, 0.2)
        boxes.append((0, top + 2 * thick + back, thick - deep, wide, back, thick))
    height, round_legs, one_leg = (top - floor) / 2, next(u) < 0.5, next(u) < 0.3
    if kind == "table" and one_leg:
        cylinders.append((0, floor + height, 0, 1.3 * leg, height))
        cylinders.append((0, floor + 0.03, 0, 0.6 * min(wide, deep), 0.03))
    else:
        for x in (leg - wide, wide - leg):
            for z in (leg - deep, deep - leg):
                at = (x, floor + height, z)
                if round_legs:
                    cylinders.append((*at, leg, height))
                else:
                    boxes.append((*at, leg, height, leg))
    return Shape(kind, np.array(boxes), np.array(cylinders).reshape(-1, 5))


def uniform_points(n: int, seed: int, *names) -> np.ndarray:
    """(n, 3) float32, evenly in the cube."""
    return rng.uniform((n, 3), seed, *names) - np.float32(0.5)


def near_points(one: Shape, n: int, seed: int, *names) -> np.ndarray:
    """(n, 3) float32, each in the box of a part drawn at random, grown by NEAR."""
    bounds = one.bounds[rng.bits(n, seed, *names, "part") % np.uint64(len(one.bounds))]
    return (bounds[:, :3] + 2 * (bounds[:, 3:] + NEAR) * uniform_points(n, seed, *names)).astype(np.float32)


def siren(hidden: int, layers: int) -> spaces.Network:
    """A SIREN of so many hidden layers, from points (b, 3), or (n, b, 3) of each one's own, to distances (n, b, 1)."""
    sizes = [3, *[hidden] * layers, 1]
    shapes = {}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        shapes |= {f"layer{i}.weight": (outputs, inputs), f"layer{i}.bias": (outputs,)}

    def predict(weights: Mapping[str, Tensor], points: Tensor) -> Tensor:
        x = points.expand(len(weights["layer0.bias"]), -1, -1)
        for i in range(layers + 1):
            omega = OMEGA if i < layers else 1  # on the weights, which are fewer than the sums
            bias, weight = omega * weights[f"layer{i}.bias"], omega * weights[f"layer{i}.weight"]
            x = torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))
            x = torch.sin(x) if i < layers else x
        return x

    return spaces.Network(shapes, predict, gain=OMEGA)


def fresh(network: spaces.Network, models: np.ndarray, seed: int, name: str = "siren") -> dict[str, np.ndarray]:
    """SIRENs as published initialises them (section 3.2), each from its index, name -> float32 (n, ...)."""
    weights = {}
    for key, shape in network.shapes.items():
        fan_in = network.shapes[key.replace("bias", "weight")][1]
        bound = 1 / fan_in if key == "layer0.weight" else math.sqrt(6 / fan_in) / OMEGA
        if key == "layer0.bias":
            bound = 1 / math.sqrt(fan_in)
        drawn = [rng.uniform(shape, seed, "shapes", "initial", name, model, key) for model in models]
        weights[key] = (np.float32(bound) * (2 * np.stack(drawn) - 1)).astype(np.float32)
    return weights


def train(
    family: Sequence[Shape],
    seed: int,
    state_path: Path,
    settings: Shapes,
    *,
    device: str = "cpu",
    progress: fit.Progress | None = None,
) -> dict[str, Tensor]:
    """A SIREN for each shape, all in one batched product, name -> (n, ...).

    Adam on the error, absolute (l1) or squared (mse, published), at some points in a step, half of all near each one's
    shape. What was stopped goes on from the file `state_path` to the same bits.
    """
    network, models = siren(settings.hidden, settings.layers), np.arange(len(family))
    half = settings.pool // 2
    anywhere = [uniform_points(half, seed, "shapes", "uniform", i) for i in models]
    near = [near_points(one, half, seed, "shapes", "near", i) for i, one in enumerate(family)]
    pool = np.concatenate([np.stack(anywhere), np.stack(near)], axis=1)
    targets = np.stack([one.distance(points_of) for one, points_of in zip(family, pool, strict=True)])
    digest = hashlib.sha256(targets.tobytes()).hexdigest()
    identity = files.digest([seed, digest, asdict(settings), device])
    pool, targets = torch.from_numpy(pool).to(device), torch.from_numpy(targets)[..., None].to(device)
    size = {"l1": torch.abs, "mse": torch.square}[settings.loss]

    def error(weights: spaces.Parameters, step: int) -> Tensor:
        rows = rng.permutation(2 * half, seed, "shapes", "step", step)[: settings.points].copy()
        return size(network.predict(weights, pool[:, rows]) - targets[:, rows]).mean((1, 2)).sum()

    start = {name: torch.from_numpy(values) for name, values in fresh(network, models, seed).items()}
    weights, _ = spaces.descend(
        start,
        error,
        steps=settings.training_steps,
        learning_rate=settings.training_rate,
        state_path=state_path,
        identity=identity,
        device=device,
        progress=progress,
    )
    return weights


def predictions(network: spaces.Network, weights: Mapping[str, Tensor], points: np.ndarray) -> np.ndarray:
    """Distances (n, m) that n SIRENs predict at points (m, 3), or (n, m, 3), some networks at a time."""
    device, inputs = weights["layer0.bias"].device, torch.from_numpy(points)
    rows = []
    with torch.no_grad():
        for first in range(0, len(weights["layer0.bias"]), 8):
            part = {name: values[first : first + 8] for name, values in weights.items()}
            part_inputs = inputs if inputs.ndim == 2 else inputs[first : first + 8]
            rows.append(network.predict(part, part_inputs.to(device))[..., 0].cpu().numpy())
    return np.concatenate(rows)


def accuracy(predictions: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n, m), (n, m) -> (n,): the share of points predicted within TOLERANCE (published)."""
    return (np.abs(predictions - truth) < TOLERANCE).mean(-1)


def mesh(distance: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (v, 3) and triangles (t, 3) of the surface by marching cubes; none where there is no surface.

    distance: points (m, 3) -> signed distances (m,).
    """
    axis = np.linspace(-0.5, 0.5, GRID, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    field = distance(points).reshape(GRID, GRID, GRID)
    if not field.min() < 0 < field.max():
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    vertices, triangles, _, _ = marching_cubes(field, 0.0, spacing=[axis[1] - axis[0]] * 3)
    return (vertices - 0.5).astype(np.float32), triangles
