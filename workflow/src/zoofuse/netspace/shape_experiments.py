"""SIRENs of shapes in one NetSpace: embedded by the distances they predict, decoded, and interpolated between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoofuse.core import rng
from zoofuse.netspace import shapes, spaces
from zoofuse.settings.netspace import Shapes
from zoofuse.zoo import align

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Family:
    """Shapes and their SIRENs.

    Args:
        shapes: n shapes.
        network, weights: their SIRENs, name -> (n, ...).
        points, predictions: (m, 3), what the space compares on, and the distances (n, m) predicted there.
        trained, held_out: rows of the SIRENs that the space is trained on, and of those it is not.
        settings: how many points the space compares on, the encoder reads, and accuracies are measured at.
    """

    shapes: Sequence[shapes.Shape]
    network: spaces.Network
    weights: Mapping[str, Tensor]
    points: np.ndarray
    predictions: np.ndarray
    trained: np.ndarray
    held_out: np.ndarray
    settings: Shapes

    def encoder_inputs(self, rows: np.ndarray) -> np.ndarray:
        """What the encoder reads, of the order of 1."""
        return 4 * self.predictions[rows, : self.settings.probes]

    def of(self, rows: np.ndarray) -> dict[str, Tensor]:
        return {name: values[rows] for name, values in self.weights.items()}


def family(of: Sequence[shapes.Shape], network: spaces.Network, weights, settings: Shapes, seed: int) -> Family:
    """The SIRENs of n shapes, by name -> (n, ...); a share of them, at least 2, is held out."""
    order = rng.permutation(len(of), seed, "shapes", "held out")
    count = max(2, round(settings.held_out * len(of)))
    trained, rest = np.sort(order[count:]), np.sort(order[:count])
    points = [shapes.uniform_points(settings.compared // 2, seed, "shapes", "compared")]
    share = settings.compared // 2 // len(trained)
    points += [shapes.near_points(of[i], share, seed, "shapes", "compared", i) for i in trained]
    points = np.concatenate(points)
    predictions = shapes.predictions(network, weights, points)
    return Family(of, network, weights, points, predictions, trained, rest, settings)


def embed(
    sirens: Family, settings: spaces.Settings, seed: int, state: Path, *, device: str = "cpu", progress=None
) -> spaces.Space:
    """The space of the SIRENs that are not held out; it sees their predictions, and no shape."""
    rows = sirens.trained
    group = spaces.Group(sirens.network, sirens.encoder_inputs(rows), sirens.points, sirens.predictions[rows, :, None])
    start = shapes.fresh(sirens.network, [0], seed, "start")
    return spaces.train([sirens.network], [group], settings, [start], seed, state, device=device, progress=progress)


def reconstruct(space: spaces.Space, sirens: Family, rows: np.ndarray, seed: int) -> Arrays:
    """SIRENs of these rows against what they decode to; arrays (n,).

    Accuracies against the shape's true distances, anywhere in the cube: of the original, the decoded SIREN, noise (of
    `spaces.with_noise`), average (of the weights of all trained on) and nearest (the SIREN trained on whose predictions
    are most like the original's, in its place); near_...: near the shape. agreement: share of points at which the
    decoded SIREN predicts as the original, agreement_nearest as the nearest one does. apart_original, apart_decoded:
    mean difference of predictions to the trained SIREN most alike.
    distance, distance_control: of the decoded SIREN's weights to the nearest trained on, up to permutation of units.
    """
    network, one_of = sirens.network, [sirens.shapes[i] for i in rows]
    original, decoded = sirens.of(rows), space.decode(space.encode(sirens.encoder_inputs(rows)))
    trained = sirens.of(sirens.trained)
    noisy = spaces.with_noise(original, decoded, seed, "shapes")
    average = {name: v.mean(0, keepdim=True).expand(len(rows), *v.shape[1:]) for name, v in trained.items()}

    anywhere = shapes.uniform_points(sirens.settings.measured, seed, "shapes", "measured")
    compared = {"original": original, "decoded": decoded}
    predictions = {key: shapes.predictions(network, of, anywhere) for key, of in compared.items()}
    trained_predictions = shapes.predictions(network, trained, anywhere)
    gaps = {key: _gaps(values, trained_predictions, rows, sirens.trained) for key, values in predictions.items()}
    nearest = {name: values[gaps["original"].argmin(1)] for name, values in trained.items()}
    compared |= {"noise": noisy, "average": average, "nearest": nearest}
    near = np.stack(
        [
            shapes.near_points(one, sirens.settings.measured, seed, "shapes", "near", i)
            for one, i in zip(one_of, rows, strict=True)
        ]
    )
    measured = {}
    for prefix, points in (("", np.repeat(anywhere[None], len(rows), 0)), ("near_", near)):
        truth = np.stack([one.distance(part) for one, part in zip(one_of, points, strict=True)])
        for key, of in compared.items():
            measured[prefix + key] = shapes.accuracy(shapes.predictions(network, of, points), truth)
    nearest_predictions = shapes.predictions(network, nearest, anywhere)
    measured["agreement"] = shapes.accuracy(predictions["decoded"], predictions["original"])
    measured["agreement_nearest"] = shapes.accuracy(nearest_predictions, predictions["original"])
    measured |= {f"apart_{key}": gap.min(1) for key, gap in gaps.items()}
    parents = _as_conv(trained)
    measured["distance"] = align.nearest_parent(_as_conv(decoded), parents)
    measured["distance_control"] = align.nearest_parent(_as_conv(original), parents)
    return measured


def _gaps(predictions: np.ndarray, trained: np.ndarray, rows: np.ndarray, trained_rows: np.ndarray) -> np.ndarray:
    """(n, trained) mean difference of predictions, infinite from a SIREN to itself."""
    gaps = np.stack([np.abs(one - trained).mean(1) for one in predictions])
    return np.where(rows[:, None] == trained_rows, np.inf, gaps)


def _as_conv(weights: Mapping[str, Tensor]) -> Arrays:
    """Hidden layers as convolutions 1x1, whose channels `align` knows how to match."""
    hidden = [name for name in weights if name.endswith("weight")][:-1]
    arrays = {}
    for i, name in enumerate(hidden, 1):
        arrays[f"conv{i}.weight"] = weights[name].cpu().numpy()[..., None, None]
        arrays[f"conv{i}.bias"] = weights[name.replace("weight", "bias")].cpu().numpy()
    return arrays


def paths(space: spaces.Space, sirens: Family, pairs: int, share: float) -> dict[str, dict[str, Tensor]]:
    """SIRENs at this share of the interpolation paths between held-out ones, each to the next: along codes ("decoded")
    and along weights ("raw")."""
    first, last = sirens.held_out[:-1][:pairs], sirens.held_out[1:][:pairs]
    codes = torch.lerp(*(space.encode(sirens.encoder_inputs(rows)) for rows in (first, last)), share)
    ends = sirens.of(first), sirens.of(last)
    return {
        "decoded": space.decode(codes),
        "raw": {name: torch.lerp(ends[0][name], ends[1][name], share) for name in ends[0]},
    }


def interpolate(space: spaces.Space, sirens: Family, seed: int, pairs: int, points: int) -> Arrays:
    """Interpolation paths between held-out shapes, arrays (pairs, points).

    The accuracy against the two shapes' true distances, mixed at the same share, along codes (decoded) and along
    weights (raw); and the mean difference of the predictions' slope from 1, a distance's (decoded_slope, raw_slope).
    """
    inputs = shapes.uniform_points(sirens.settings.measured // 4, seed, "shapes", "walk")
    truth = np.stack([sirens.shapes[i].distance(inputs) for i in sirens.held_out[: pairs + 1]])
    along_path = {key: [] for key in ("decoded", "raw", "decoded_slope", "raw_slope")}
    for share in np.linspace(0, 1, points, dtype=np.float32):
        targets = (1 - share) * truth[:-1] + share * truth[1:]
        for key, weights in paths(space, sirens, pairs, float(share)).items():
            along_path[key].append(shapes.accuracy(shapes.predictions(sirens.network, weights, inputs), targets))
            along_path[f"{key}_slope"].append(slope(sirens.network, weights, inputs))
    return {key: np.stack(values, 1) for key, values in along_path.items()}


def slope(network: spaces.Network, weights: Mapping[str, Tensor], points: np.ndarray) -> np.ndarray:
    """(n,) mean difference from 1 of the length of the gradient of n SIRENs at points (m, 3)."""
    n, device = len(weights["layer0.bias"]), weights["layer0.bias"].device
    inputs = torch.from_numpy(points).to(device).repeat(n, 1, 1).requires_grad_()
    network.predict(weights, inputs).sum().backward()
    return (inputs.grad.norm(dim=-1) - 1).abs().mean(1).cpu().numpy()


def meshes(space: spaces.Space, sirens: Family, columns: int = 5) -> dict[str, Arrays]:
    """Surfaces for the figure, `row/column` -> vertices (v, 3) and triangles (t, 3): of the first held-out shape of
    each kind the true one, its SIREN and the decoded one, then the path from the first held-out shape to the next."""
    network, surfaces = sirens.network, {}

    def add(key: str, of) -> None:
        surfaces[f"{key}/vertices"], surfaces[f"{key}/triangles"] = shapes.mesh(of)

    def distance(weights: Mapping[str, Tensor]):
        return lambda points: shapes.predictions(network, weights, points)[0]

    kinds = [sirens.shapes[i].kind for i in sirens.held_out]
    for kind in dict.fromkeys(kinds):
        row = sirens.held_out[[kinds.index(kind)]]
        add(f"{kind}/true", sirens.shapes[row[0]].distance)
        add(f"{kind}/SIREN", distance(sirens.of(row)))
        add(f"{kind}/decoded", distance(space.decode(space.encode(sirens.encoder_inputs(row)))))
    for at in range(columns):
        share = at / (columns - 1)
        for key, weights in paths(space, sirens, 1, share).items():
            add(f"{key}/{share:.2f}", distance(weights))
    return surfaces
