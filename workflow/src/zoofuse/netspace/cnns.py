"""The zoo's CNNs in a NetSpace: both concepts of a fusion in one space, heads included.

A decoded CNN has one trunk and two linear heads, fc_a for concept a and fc_b for concept b. A CNN of concept a is
compared through head a on the images of concept a only, and one of concept b alike. Nothing here sees an image
of the conjunction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse.core import files, rng
from zoofuse.data import images
from zoofuse.models import cnn
from zoofuse.netspace import spaces
from zoofuse.zoo import align, training, zoo

SIDES = "ab"


def network(architecture: cnn.Architecture, side: str) -> spaces.Network:
    """The two-headed CNN that answers images uint8 (b, 32, 32, 3) through the head of this side."""
    shapes = {name: shape for name, shape in architecture.shapes.items() if not name.startswith("fc1")}
    for one in SIDES:
        shapes |= {f"fc_{one}.{kind}": architecture.shapes[f"fc1.{kind}"] for kind in ("weight", "bias")}

    def answers(weights: cnn.Weights, images: Tensor) -> Tensor:
        return cnn.head(weights, cnn.features(weights, cnn.normalise(images)), f"fc_{side}")

    return spaces.Network(shapes, answers)


def with_heads(weights: Mapping[str, Tensor], side: str) -> dict[str, Tensor]:
    """A zoo's CNNs as two-headed ones: fc1 becomes the head of their side, the other is zero."""
    both = {name: values for name, values in weights.items() if name.startswith("conv")}
    for one in SIDES:
        for kind in ("weight", "bias"):
            values = weights[f"fc1.{kind}"]
            both[f"fc_{one}.{kind}"] = values if one == side else torch.zeros_like(values)
    return both


def answered(answers, weights: Mapping[str, Tensor], images: np.ndarray, batch: int = 256) -> np.ndarray:
    """Logits (n, m, classes) of n CNNs on images uint8 (m, ...), some at a time; answers: of a `netspace.Network`."""
    device, n = next(iter(weights.values())).device, len(next(iter(weights.values())))
    rows = []
    with torch.no_grad():
        for first in range(0, n, 16):
            part = {name: values[first : first + 16] for name, values in weights.items()}
            parts = [
                answers(part, torch.from_numpy(images[i : i + batch]).to(device)) for i in range(0, len(images), batch)
            ]
            rows.append(torch.cat(parts, dim=1).cpu().numpy())
    return np.concatenate(rows)


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n, m, classes), (m,) -> (n,): mean over the classes of the share answered right; 0 if a logit is no number."""
    right = (logits.argmax(-1) == labels) & np.isfinite(logits).all(-1)
    return np.mean([right[:, labels == label].mean(1) for label in np.unique(labels)], axis=0)


def balanced(labels: np.ndarray, n: int, seed: int, *names) -> np.ndarray:
    """Rows of n images drawn for these names, half of each class."""
    members = [np.flatnonzero(labels == label) for label in rng.CLASSES]
    drawn = [rng.permutation(len(of), seed, *names, stream)[: n // 2] for stream, of in enumerate(members)]
    return np.concatenate([of[rows] for of, rows in zip(members, drawn, strict=True)])


# ---------------------------------------------------------------------------------------------- one concept


@dataclass
class Concept:
    """A concept's CNNs and images as the settings take them.

    A zoo may hold more CNNs than memory does: their weights stay in its files (paths) until `of` reads some.

    probes (n, p, 2): their answers to the probe images, which the encoder reads;
    rows: which training images, `compared` of them, the space compares answers on; answers (n, m, 2): to those.
    trained, held_out: rows of the CNNs that the space is trained on, and of those it is not.
    """

    side: str
    data: training.Data
    paths: Sequence[Path]
    sizes: Sequence[int]  # CNNs in each
    device: str
    probes: np.ndarray
    rows: np.ndarray
    answers: np.ndarray
    trained: np.ndarray
    held_out: np.ndarray
    architecture: cnn.Architecture

    @property
    def network(self) -> spaces.Network:
        return network(self.architecture, self.side)

    def of(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Weights of these CNNs, name -> (n, ...)."""
        arrays = zoo.pick(self.paths, self.sizes, list(self.architecture.shapes), rows)
        return {name: torch.from_numpy(values).to(self.device) for name, values in arrays.items()}

    def own(self, rows: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Logits (n, m, 2) of these CNNs, as they are, on images."""
        answers = [
            answered(self.network.answers, with_heads(self.of(part), self.side), images) for part in _parts(rows)
        ]
        return np.concatenate(answers)

    def mean(self, rows: np.ndarray) -> dict[str, Tensor]:
        """The mean of these CNNs' weights, name -> (1, ...)."""
        total = {}
        for part in _parts(rows):
            for name, values in self.of(part).items():
                total[name] = total.get(name, 0) + values.sum(0, keepdim=True)
        return {name: values / len(rows) for name, values in total.items()}

    def decoded(self, weights: Mapping[str, Tensor], images: np.ndarray) -> np.ndarray:
        """Logits (n, m, 2) of decoded CNNs, through this concept's head."""
        return answered(self.network.answers, {name: values.detach() for name, values in weights.items()}, images)

    @property
    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """Validation images to choose on, and those to report on: every other one of each class."""
        rank = np.empty(len(self.data.validation_labels), int)
        for label in (0, 1):
            members = np.flatnonzero(self.data.validation_labels == label)
            rank[members] = np.arange(len(members))
        return np.flatnonzero(rank % 2 == 0), np.flatnonzero(rank % 2 == 1)


def concepts(
    zoos: Mapping[str, Sequence[Path]],
    pictures: Mapping[str, Path],
    architecture: str,
    seed: int,
    *,
    held_out: float = 0.125,
    compared: int = 1000,
    probes: int = 128,
    answers: Path | None = None,
    device: str = "cpu",
) -> dict[str, Concept]:
    """Both concepts, "a" and "b". zoos: side -> zoo files; pictures: side -> images file.

    held_out: share of each zoo's CNNs that the space is not trained on; compared: photographs of each concept that
    answers are compared on; probes: photographs of each that the encoder reads answers to; answers: a file of
    `write_answers`, for the same arguments, so that nothing is answered twice.
    """
    architecture = cnn.ARCHITECTURES[architecture]
    data = {side: training.Data(**images.read_concept(pictures[side])) for side in SIDES}
    rows = {}
    for side in SIDES:
        rows[side] = rng.permutation(len(data[side].images), seed, "netspace", "photographs", side)[:compared]
    shown = np.concatenate([data[side].images[rows[side][:probes]] for side in SIDES])
    known = files.read(answers, "netspace answers") if answers else {}
    found = {}
    for side in SIDES:
        sizes = zoo.sizes(zoos[side])
        n = sum(sizes)
        order = rng.permutation(n, seed, "netspace", "held out", side)
        count = max(2, round(held_out * n))
        if n - count < 2:
            raise ValueError(f"netspace: a zoo of {n} CNNs is too small; write 4 or more models for each concept.")
        found[side] = Concept(
            side,
            data[side],
            list(zoos[side]),
            sizes,
            device,
            probes=known.get(f"{side}/probes"),
            rows=rows[side],
            answers=known.get(f"{side}/answers"),
            trained=np.sort(order[count:]),
            held_out=np.sort(order[:count]),
            architecture=architecture,
        )
        if answers is None:
            both = np.concatenate([shown, data[side].images[rows[side]]])
            found[side].probes, found[side].answers = np.split(found[side].own(np.arange(n), both), [len(shown)], 1)
    return found


def opened(space: Path, answers: Path, device: str, **cnns) -> tuple[spaces.Space, dict[str, Concept]]:
    """The space of a file and the concepts whose CNNs it was trained on; cnns: as `concepts` takes."""
    found = concepts(**cnns, answers=answers, device=device)
    return spaces.read(space, [found["a"].network], device), found


def _parts(rows: np.ndarray, size: int = 4096) -> list[np.ndarray]:
    """So many CNNs at a time, whose weights memory holds."""
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def write_answers(path: Path, found: Mapping[str, Concept]) -> None:
    """What every CNN answers, for later calls of `concepts`."""
    arrays = {f"{side}/probes": c.probes for side, c in found.items()}
    files.write(path, "netspace answers", arrays | {f"{side}/answers": c.answers for side, c in found.items()})


def read(concept: Concept, rows: np.ndarray, settings: spaces.Settings) -> np.ndarray:
    """What the encoder reads of these CNNs."""
    if settings.encoder == "answers":
        return spaces.read_answers(concept.probes[rows])
    shapes, needed = concept.network.shapes, spaces.rows_for([concept.network], settings.width)
    weights = with_heads(concept.of(rows), concept.side)
    return spaces.to_prep(weights, shapes, settings.width, needed).cpu().numpy()


def embed(
    found: Mapping[str, Concept],
    settings: spaces.Settings,
    seed: int,
    state: Path,
    *,
    device: str = "cpu",
    progress=None,
) -> spaces.Space:
    """The space of both zoos.

    Half way between a code of either zoo a CNN has to answer for both: as the one through head a on images of
    concept a, as the other through head b on images of concept b. Without this loss a walk between the concepts
    leaves the one before it has reached the other.
    """
    groups = [
        spaces.Group(c.network, read(c, c.trained, settings), c.data.images[c.rows], c.answers[c.trained])
        for c in found.values()
    ]
    tensors = [[torch.from_numpy(a).to(device) for a in (g.read, g.inputs, g.answers)] for g in groups]

    def between(p: spaces.Parameters, step: int) -> Tensor:
        n, key = min(settings.networks, *(len(g.read) for g in groups)) // 2, (seed, "netspace", "between", step)
        rows = [rng.permutation(len(g.read), *key, i)[:n].copy() for i, g in enumerate(groups)]
        codes = [spaces.encode(p, settings, of[0][r]) for of, r in zip(tensors, rows, strict=True)]
        weights = spaces.from_prep(spaces.decode(p, sum(codes) / 2), groups[0].network.shapes)
        total = torch.zeros((), device=device)
        for i, (group, (_, inputs, answers)) in enumerate(zip(groups, tensors, strict=True)):
            drawn = rng.permutation(len(inputs), *key, "inputs", i)[: settings.inputs // 2].copy()
            made = group.network.answers(weights, inputs[drawn])
            total = total + spaces.distance(settings, made, answers[rows[i]][:, drawn]).mean()
        return total / 2

    start = fresh(found["a"].architecture, seed)
    return spaces.train(
        [found["a"].network], groups, settings, [start], seed, state, device=device, progress=progress, between=between
    )


def fresh(architecture: cnn.Architecture, seed: int) -> dict[str, np.ndarray]:
    """One two-headed CNN as PyTorch initialises it, name -> (1, ...)."""
    weights = cnn.initial_weights(architecture, seed, "netspace", np.arange(2))
    both = {name: values[:1] for name, values in weights.items() if name.startswith("conv")}
    for row, side in enumerate(SIDES):
        both |= {f"fc_{side}.{kind}": weights[f"fc1.{kind}"][row : row + 1] for kind in ("weight", "bias")}
    return both


# ---------------------------------------------------------------------------------------------- one architecture


def reconstruct(space: spaces.Space, concept: Concept, seed: int) -> dict[str, np.ndarray]:
    """Held-out CNNs against what they decode to, on the concept's validation images; arrays (n,).

    original, decoded, noise and average are balanced accuracies: noise is the CNN plus Gaussian noise as large, in each
    layer, as the change that decoding makes; average is the mean of all CNNs trained on. agreement is the share of
    images that both answer alike, and agreement_control the same with the next held-out CNN for the decoded one.
    distance is that of the decoded CNN to the nearest CNN trained on, up to channel permutation, and distance_control
    that of the original.
    """
    images, labels, rows = concept.data.validation_images, concept.data.validation_labels, concept.held_out
    weights = space.decode(space.encode(read(concept, rows, space.settings)))
    own, made = concept.own(rows, images), concept.decoded(weights, images)
    original = with_heads(concept.of(rows), concept.side)
    noisy = {}
    for name, values in original.items():
        change = (weights[name].detach() - values).flatten(1)
        size = change.square().mean(1).sqrt().view(-1, *[1] * (values.ndim - 1))
        drawn = torch.from_numpy(rng.normal(tuple(values.shape), seed, "netspace", "noise", concept.side, name))
        noisy[name] = values + size * drawn.to(values.device)
    mean = concept.mean(concept.trained)
    averaged = answered(concept.network.answers, with_heads(mean, concept.side), images)
    answers, decoded_answers = own.argmax(-1), made.argmax(-1)
    conv = [name for name in weights if name.startswith("conv")]
    apart = dict.fromkeys(("distance", "distance_control"), np.inf)
    for part in _parts(concept.trained):
        parents = {name: values.cpu().numpy() for name, values in concept.of(part).items() if name in conv}
        for key, of in (("distance", weights), ("distance_control", original)):
            nearest = align.nearest_parent({name: of[name].detach().cpu().numpy() for name in conv}, parents)
            apart[key] = np.minimum(apart[key], nearest)
    return {
        "original": balanced_accuracy(own, labels),
        "decoded": balanced_accuracy(made, labels),
        "noise": balanced_accuracy(concept.decoded(noisy, images), labels),
        "average": np.repeat(balanced_accuracy(averaged, labels), len(rows)),
        "agreement": (answers == decoded_answers).mean(1),
        "agreement_control": (answers == np.roll(answers, 1, 0)).mean(1),
    } | apart


# ---------------------------------------------------------------------------------------------- interpolation


def interpolate(
    space: spaces.Space, start: Concept, stop: Concept, pairs: int, points: int, most: int = 250
) -> dict[str, np.ndarray]:
    """Walks between held-out CNNs, along codes and along raw weights: balanced accuracy (pairs, points, concepts).

    Within a concept each walk goes from a held-out CNN to the next one; between two concepts from the i-th of one to
    the i-th of the other, measured through both heads on their own concepts' validation images, at most `most`.
    """
    one = start is stop
    count = min(pairs, len(start.held_out) - one, len(stop.held_out))
    first, last = start.held_out[:count], stop.held_out[one : count + one]
    ends = [space.encode(read(c, rows, space.settings)) for c, rows in ((start, first), (stop, last))]
    raw = [with_heads(c.of(rows), c.side) for c, rows in ((start, first), (stop, last))]
    if not one:  # each concept's own head all the way
        for own, other in ((start, raw[1]), (stop, raw[0])):
            source = raw[0] if own is start else raw[1]
            other |= {name: source[name] for name in source if name.startswith(f"fc_{own.side}")}
    measured = [start] if one else [start, stop]
    result = {key: np.empty((count, points, len(measured))) for key in ("decoded", "raw")}
    for at, share in enumerate(np.linspace(0, 1, points)):
        ways = {
            "decoded": space.decode(torch.lerp(ends[0], ends[1], float(share))),
            "raw": {name: torch.lerp(raw[0][name], raw[1][name], float(share)) for name in raw[0]},
        }
        for key, weights in ways.items():
            for column, c in enumerate(measured):
                shown = np.unique(np.linspace(0, len(c.data.validation_labels) - 1, most).round().astype(int))
                made = c.decoded(weights, c.data.validation_images[shown])
                result[key][:, at, column] = balanced_accuracy(made, c.data.validation_labels[shown])
    return result


# ---------------------------------------------------------------------------------------------- latent optimisation


def optimise(
    space: spaces.Space, concept: Concept, seed: int, *, goal: str, starts: int, steps: int, batch: int = 64,
    learning_rate: float = 0.01,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Codes of held-out CNNs moved by behaviour on training images; balanced accuracy on the validation ones.

    goal "teacher": towards the mean answer of the TEACHERS CNNs of the zoo that are best on the training images
    compared on; "performance": towards the labels. A step takes half of its images from each class. Arrays:
    decoded (starts,) of the moved codes, start (starts,) of the codes before; scratch (starts,) of CNNs trained from
    fresh weights for as many steps on the same batches (Adam, learning rate 0.01, the zoo's); zoo (n,) of the zoo's
    CNNs. best, decoded_best and scratch_best (1,): of the best of the zoo, of the moved codes and of those from
    scratch, see `selected`.
    """
    data, device = concept.data, concept.device
    labels, everyone = data.validation_labels, np.arange(len(concept.answers))
    own = concept.own(everyone, data.validation_images)
    images, truth = (torch.from_numpy(array).to(device) for array in (data.images, data.labels.astype(np.int64)))
    if goal == "teacher":
        trained = balanced_accuracy(concept.answers, data.labels[concept.rows])
        teachers = np.argsort(-trained, kind="stable")[:TEACHERS]
        wanted = torch.from_numpy(concept.own(teachers, data.images).mean(0)).to(device)

    def loss(weights, step):
        rows = balanced(data.labels, batch, seed, "netspace", "optimise", concept.side, step)
        answers = concept.network.answers(weights, images[rows])
        if goal == "teacher":
            return spaces.distance(space.settings, answers, wanted[rows].expand_as(answers))
        known = truth[rows].expand(len(answers), -1)
        return F.cross_entropy(answers.transpose(1, 2), known, reduction="none").mean(1)

    before = space.encode(read(concept, concept.held_out[:starts], space.settings))
    codes = spaces.optimise(
        before, lambda c, step: loss(space.decode(c), step), steps=steps, learning_rate=learning_rate
    )
    flat = torch.cat([_flat(fresh(concept.architecture, seed + i), device) for i in range(len(codes))])
    scratch = spaces.optimise(
        flat, lambda f, step: loss(as_weights(concept, f), step), steps=steps, learning_rate=SCRATCH_RATE
    )
    made = {"start": space.decode(before), "decoded": space.decode(codes), "scratch": as_weights(concept, scratch)}
    answers = {key: concept.decoded(weights, data.validation_images) for key, weights in made.items()} | {"zoo": own}
    scores = {key: balanced_accuracy(of, labels) for key, of in answers.items()}
    scores |= {f"{key}_best": selected(concept, answers[key]) for key in ("decoded", "scratch")}
    return scores | {"best": selected(concept, own)}


def selected(concept: Concept, logits: np.ndarray) -> np.ndarray:
    """(1,) balanced accuracy of the best of n CNNs, by its answers (n, m, 2) to the validation photographs: chosen on
    one half of them and measured on the other, both ways round."""
    labels = concept.data.validation_labels
    first, second = (balanced_accuracy(logits[:, half], labels[half]) for half in concept.halves)
    return np.array([(second[first.argmax()] + first[second.argmax()]) / 2])


TEACHERS = 16
SCRATCH_RATE = 0.01


def as_weights(concept: Concept, flat: Tensor) -> dict[str, Tensor]:
    """Parameters (n, all of them) of two-headed CNNs by name."""
    return spaces.from_prep(flat[:, None], concept.network.shapes)


def _flat(weights: Mapping[str, np.ndarray], device) -> Tensor:
    return torch.cat([torch.from_numpy(values).flatten(1) for values in weights.values()], dim=1).to(device)


# ---------------------------------------------------------------------------------------------- fusion


def fuse(
    space: spaces.Space, found: Mapping[str, Concept], seed: int, *, models: int, steps: int, batch: int = 64,
    learning_rate: float = 0.01,
) -> dict[str, np.ndarray]:  # fmt: skip
    """CNNs for the conjunction from one code each, name -> (n, ...): a zoo file's conv layers, fc_a and fc_b.

    The i-th code starts half way between the codes of the i-th CNNs of both zoos and is moved so that the decoded CNN
    answers as the one through head a on images of concept a, as the other through head b on those of concept b.
    """
    device = found["a"].device
    n = min(models, *(len(c.answers) for c in found.values()))
    rows = np.arange(n)
    codes = sum(space.encode(read(c, rows, space.settings)) for c in found.values()) / 2
    images = {side: torch.from_numpy(c.data.images[c.rows]).to(device) for side, c in found.items()}
    wanted = {side: torch.from_numpy(c.answers[:n]).to(device) for side, c in found.items()}

    def loss(codes, part, step):
        weights, total = space.decode(codes), 0
        for side, c in found.items():
            drawn = rng.permutation(len(images[side]), seed, "netspace", "fuse", side, step)[:batch].copy()
            answers = c.network.answers(weights, images[side][drawn])
            total = total + spaces.distance(space.settings, answers, wanted[side][part][:, drawn])
        return total

    moved = []
    for first in range(0, n, 16):
        part = slice(first, min(first + 16, n))
        moved.append(
            spaces.optimise(
                codes[part], lambda c, step, part=part: loss(c, part, step), steps=steps, learning_rate=learning_rate
            )
        )
    return {name: values.cpu().numpy() for name, values in space.decode(torch.cat(moved)).items()}
