"""SIRENs of shapes in one NetSpace: embedded by the distances they answer, decoded to working SIRENs, walked between"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoofuse.core import rng
from zoofuse.netspace import shapes, spaces
from zoofuse.zoo import align

COMPARED = 16384  # points that the space compares on, half of them near the shapes it is trained on
PROBES = 512  # of these, anywhere in the cube: what the encoder reads distances at
MEASURED = 4096  # points that accuracies are measured at

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Family:
    """Shapes, their SIRENs (weights name -> (n, ...)), and what these answer, (n, m), at the points (m, 3) compared on.

    trained, held_out: rows of the SIRENs that the space is trained on, and of those it is not.
    """

    shapes: Sequence[shapes.Shape]
    network: spaces.Network
    weights: Mapping[str, Tensor]
    points: np.ndarray
    answers: np.ndarray
    trained: np.ndarray
    held_out: np.ndarray

    def read(self, rows: np.ndarray) -> np.ndarray:
        """What the encoder reads, of the order of 1."""
        return 4 * self.answers[rows, :PROBES]

    def of(self, rows: np.ndarray) -> dict[str, Tensor]:
        return {name: values[rows] for name, values in self.weights.items()}


def family(shown: Sequence[shapes.Shape], network: spaces.Network, weights, held_out: float, seed: int) -> Family:
    """held_out: share of the SIRENs that the space is not trained on, at least 2."""
    order = rng.permutation(len(shown), seed, "shapes", "held out")
    count = max(2, round(held_out * len(shown)))
    trained, rest = np.sort(order[count:]), np.sort(order[:count])
    points = [shapes.uniform_points(COMPARED // 2, seed, "shapes", "compared")]
    each = COMPARED // 2 // len(trained)
    points += [shapes.near_points(shown[i], each, seed, "shapes", "compared", i) for i in trained]
    points = np.concatenate(points)
    return Family(shown, network, weights, points, shapes.answered(network, weights, points), trained, rest)


def embed(
    found: Family, settings: spaces.Settings, seed: int, state: Path, *, device: str = "cpu", progress=None
) -> spaces.Space:
    """The space of the SIRENs that are not held out; it sees what they answer, and no shape."""
    rows = found.trained
    group = spaces.Group(found.network, found.read(rows), found.points, found.answers[rows, :, None])
    start = shapes.fresh(found.network, [0], seed, "start")
    return spaces.train([found.network], [group], settings, [start], seed, state, device=device, progress=progress)


def decoded(space: spaces.Space, codes: Tensor) -> dict[str, Tensor]:
    return {name: values.detach() for name, values in space.decode(codes).items()}


def reconstruct(space: spaces.Space, found: Family, rows: np.ndarray, seed: int) -> Arrays:
    """SIRENs of these rows against what they decode to; arrays (n,).

    Accuracies against the shape's true distances, anywhere in the cube: of the original, the decoded SIREN, noise (the
    original plus noise as large, in each tensor, as the change that decoding makes), average (of the weights of all
    trained on) and nearest (the SIREN trained on that answers most like the original, in its place); near_...: near
    the shape. agreement: share of points that the decoded SIREN answers as the original, agreement_nearest that
    the nearest one does. apart_original, apart_decoded: mean difference of answers to the trained SIREN most alike.
    distance, distance_control: of the decoded SIREN's weights to the nearest trained on, up to permutation of units.
    """
    network, one_of = found.network, [found.shapes[i] for i in rows]
    original, made = found.of(rows), decoded(space, space.encode(found.read(rows)))
    known = found.of(found.trained)
    noisy = {}
    for name, values in original.items():
        size = (made[name] - values).flatten(1).square().mean(1).sqrt().view(-1, *[1] * (values.ndim - 1))
        noisy[name] = values + size * torch.from_numpy(rng.normal(tuple(values.shape), seed, "shapes", name)).to(size)
    average = {name: v.mean(0, keepdim=True).expand(len(rows), *v.shape[1:]) for name, v in known.items()}

    anywhere = shapes.uniform_points(MEASURED, seed, "shapes", "measured")
    answers = {key: shapes.answered(network, of, anywhere) for key, of in (("original", original), ("decoded", made))}
    trained = shapes.answered(network, known, anywhere)
    gaps = {key: _gaps(values, trained, rows, found.trained) for key, values in answers.items()}
    nearest = {name: values[gaps["original"].argmin(1)] for name, values in known.items()}
    compared = {"original": original, "decoded": made, "noise": noisy, "average": average, "nearest": nearest}
    near = np.stack(
        [shapes.near_points(one, MEASURED, seed, "shapes", "near", i) for one, i in zip(one_of, rows, strict=True)]
    )
    seen = {}
    for prefix, points in (("", np.repeat(anywhere[None], len(rows), 0)), ("near_", near)):
        truth = np.stack([one.distance(own) for one, own in zip(one_of, points, strict=True)])
        for key, of in compared.items():
            seen[prefix + key] = shapes.accuracy(shapes.answered(network, of, points), truth)
    nearest_answers = shapes.answered(network, nearest, anywhere)
    seen["agreement"] = shapes.accuracy(answers["decoded"], answers["original"])
    seen["agreement_nearest"] = shapes.accuracy(nearest_answers, answers["original"])
    seen |= {f"apart_{key}": gap.min(1) for key, gap in gaps.items()}
    parents = _as_conv(known)
    seen["distance"] = align.nearest_parent(_as_conv(made), parents)
    seen["distance_control"] = align.nearest_parent(_as_conv(original), parents)
    return seen


def _gaps(answers: np.ndarray, trained: np.ndarray, rows: np.ndarray, trained_rows: np.ndarray) -> np.ndarray:
    """(n, trained) mean difference of answers, endless from a SIREN to itself."""
    gaps = np.stack([np.abs(one - trained).mean(1) for one in answers])
    return np.where(rows[:, None] == trained_rows, np.inf, gaps)


def _as_conv(weights: Mapping[str, Tensor]) -> Arrays:
    """Hidden layers as convolutions 1x1, whose channels `align` knows how to match."""
    hidden = [name for name in weights if name.endswith("weight")][:-1]
    arrays = {}
    for i, name in enumerate(hidden, 1):
        arrays[f"conv{i}.weight"] = weights[name].cpu().numpy()[..., None, None]
        arrays[f"conv{i}.bias"] = weights[name.replace("weight", "bias")].cpu().numpy()
    return arrays


def ways(space: spaces.Space, found: Family, pairs: int, share: float) -> dict[str, dict[str, Tensor]]:
    """SIRENs at this share of the way between held-out ones, each to the next: along codes, and along raw weights."""
    first, last = found.held_out[:-1][:pairs], found.held_out[1:][:pairs]
    codes = torch.lerp(space.encode(found.read(first)), space.encode(found.read(last)), share)
    ends = found.of(first), found.of(last)
    return {
        "decoded": decoded(space, codes),
        "raw": {name: torch.lerp(ends[0][name], ends[1][name], share) for name in ends[0]},
    }


def interpolate(space: spaces.Space, found: Family, seed: int, pairs: int, points: int) -> Arrays:
    """Walks between held-out shapes, (pairs, points): the share of points answered as the two shapes' true distances,
    mixed at the same share, would be, along codes (decoded) and along raw weights (raw); and how far, on the average,
    the slope of the answers is from 1, which that of a distance is (decoded_slope, raw_slope)."""
    shown = shapes.uniform_points(MEASURED // 4, seed, "shapes", "walk")
    truth = np.stack([found.shapes[i].distance(shown) for i in found.held_out[: pairs + 1]])
    found_at = {key: [] for key in ("decoded", "raw", "decoded_slope", "raw_slope")}
    for share in np.linspace(0, 1, points, dtype=np.float32):
        wanted = (1 - share) * truth[:-1] + share * truth[1:]
        for key, weights in ways(space, found, pairs, float(share)).items():
            found_at[key].append(shapes.accuracy(shapes.answered(found.network, weights, shown), wanted))
            found_at[f"{key}_slope"].append(slope(found.network, weights, shown))
    return {key: np.stack(values, 1) for key, values in found_at.items()}


def slope(network: spaces.Network, weights: Mapping[str, Tensor], points: np.ndarray) -> np.ndarray:
    """(n,) mean difference from 1 of the length of the gradient of n SIRENs at points (m, 3)."""
    n, device = len(weights["layer0.bias"]), weights["layer0.bias"].device
    shown = torch.from_numpy(points).to(device).repeat(n, 1, 1).requires_grad_()
    network.answers(weights, shown).sum().backward()
    return (shown.grad.norm(dim=-1) - 1).abs().mean(1).cpu().numpy()


def meshes(space: spaces.Space, found: Family, columns: int = 5) -> dict[str, Arrays]:
    """Surfaces for the figure, `row/column` -> vertices (v, 3) and triangles (t, 3): of the first held-out shape of
    each kind the true one, its SIREN and the decoded one, then the walk from the first held-out shape to the next."""
    network, made = found.network, {}

    def add(key: str, distance) -> None:
        made[f"{key}/vertices"], made[f"{key}/triangles"] = shapes.mesh(distance)

    def answers(weights: Mapping[str, Tensor]):
        return lambda points: shapes.answered(network, weights, points)[0]

    kinds = [found.shapes[i].kind for i in found.held_out]
    for kind in dict.fromkeys(kinds):
        row = found.held_out[[kinds.index(kind)]]
        add(f"{kind}/true", found.shapes[row[0]].distance)
        add(f"{kind}/SIREN", answers(found.of(row)))
        add(f"{kind}/decoded", answers(decoded(space, space.encode(found.read(row)))))
    for at in range(columns):
        share = at / (columns - 1)
        for key, weights in ways(space, found, 1, share).items():
            add(f"{key}/{share:.2f}", answers(weights))
    return made
