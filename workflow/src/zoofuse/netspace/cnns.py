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
from scipy import stats
from torch import Tensor

from zoofuse.core import files, rng
from zoofuse.data import images
from zoofuse.models import cnn
from zoofuse.netspace import spaces
from zoofuse.settings.netspace import Fuse, LatentOptimisation
from zoofuse.zoo import align, training, zoo

SIDES = "ab"


def network(architecture: cnn.Architecture, side: str) -> spaces.Network:
    """The two-headed CNN; it predicts images uint8 (b, 32, 32, 3) by the head of this side."""
    shapes = {name: shape for name, shape in architecture.shapes.items() if not name.startswith("fc1")}
    for one in SIDES:
        shapes |= {f"fc_{one}.{kind}": architecture.shapes[f"fc1.{kind}"] for kind in ("weight", "bias")}

    def predict(weights: cnn.Weights, images: Tensor) -> Tensor:
        return cnn.head(weights, cnn.features(weights, cnn.normalise(images)), f"fc_{side}")

    return spaces.Network(shapes, predict)


def with_heads(weights: Mapping[str, Tensor], side: str) -> dict[str, Tensor]:
    """A zoo's CNNs as two-headed ones: fc1 becomes the head of their side, the other is zero."""
    both = {name: values for name, values in weights.items() if name.startswith("conv")}
    for one in SIDES:
        for kind in ("weight", "bias"):
            values = weights[f"fc1.{kind}"]
            both[f"fc_{one}.{kind}"] = values if one == side else torch.zeros_like(values)
    return both


def predictions(
    network: spaces.Network, weights: Mapping[str, Tensor], images: np.ndarray, batch: int = 256
) -> np.ndarray:
    """Logits (n, m, classes) of n CNNs, name -> (n, ...), on images uint8 (m, ...), some at a time."""
    device, n = next(iter(weights.values())).device, len(next(iter(weights.values())))
    rows = []
    with torch.no_grad():
        for first in range(0, n, 16):
            part = {name: values[first : first + 16] for name, values in weights.items()}
            parts = [
                network.predict(part, torch.from_numpy(images[i : i + batch]).to(device))
                for i in range(0, len(images), batch)
            ]
            rows.append(torch.cat(parts, dim=1).cpu().numpy())
    return np.concatenate(rows)


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n, m, classes), (m,) -> (n,): mean of both classes' accuracies; 0 where a logit is not finite."""
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
    """A concept's CNNs and images as the experiments take them.

    A zoo may hold more CNNs than memory does: their weights stay in its files until `of` reads some.

    Args:
        side: "a" or "b".
        data: the concept's images.
        paths, sizes: the zoo's files, and how many CNNs each holds.
        device: where weights are read to.
        probes: (n, p, 2), the CNNs' logits on the probe images, which the encoder reads.
        rows: (m,), the training images that the space compares predictions on.
        predictions: (n, m, 2), the CNNs' logits on those.
        trained, held_out: rows of the CNNs that the space is trained on, and of those it is not.
        architecture: of the CNNs.
    """

    side: str
    data: training.Data
    paths: Sequence[Path]
    sizes: Sequence[int]
    device: str
    probes: np.ndarray
    rows: np.ndarray
    predictions: np.ndarray
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

    def logits(self, rows: np.ndarray, images: np.ndarray) -> np.ndarray:
        """(n, m, 2) of these CNNs, as they are, on images (m, ...)."""
        return np.concatenate(
            [predictions(self.network, with_heads(self.of(part), self.side), images) for part in _parts(rows)]
        )

    def mean(self, rows: np.ndarray) -> dict[str, Tensor]:
        """The mean of these CNNs' weights, name -> (1, ...)."""
        total = {}
        for part in _parts(rows):
            for name, values in self.of(part).items():
                total[name] = total.get(name, 0) + values.sum(0, keepdim=True)
        return {name: values / len(rows) for name, values in total.items()}

    def decoded(self, weights: Mapping[str, Tensor], images: np.ndarray) -> np.ndarray:
        """Logits (n, m, 2) of decoded CNNs, through this concept's head."""
        return predictions(self.network, weights, images)

    @property
    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """Validation images to select on, and those to report on: every other one of each class."""
        rank = np.empty(len(self.data.validation_labels), int)
        for label in (0, 1):
            members = np.flatnonzero(self.data.validation_labels == label)
            rank[members] = np.arange(len(members))
        return np.flatnonzero(rank % 2 == 0), np.flatnonzero(rank % 2 == 1)


def concepts(
    zoos: Mapping[str, Sequence[Path]],
    image_files: Mapping[str, Path],
    architecture: str,
    seed: int,
    *,
    held_out: float = 0.125,
    compared: int = 1000,
    probes: int = 128,
    predictions: Path | None = None,
    device: str = "cpu",
) -> dict[str, Concept]:
    """Both concepts, "a" and "b".

    Args:
        zoos: side -> zoo files.
        image_files: side -> the concept's images file.
        architecture: of the zoos' CNNs, by name.
        seed: of what is drawn.
        held_out: share of each zoo's CNNs that the space is not trained on, at least 2 CNNs.
        compared: images of each concept that predictions are compared on.
        probes: of these, images of each concept that the encoder reads predictions on.
        predictions: a file of `write_predictions`, for the same arguments, so that nothing is computed twice.
        device: where weights are read to.

    Raises:
        ValueError: a zoo has fewer than 4 CNNs.
    """
    architecture = cnn.ARCHITECTURES[architecture]
    data = {side: training.Data(**images.read_concept(image_files[side])) for side in SIDES}
    rows = {}
    for side in SIDES:
        rows[side] = rng.permutation(len(data[side].images), seed, "netspace", "photographs", side)[:compared]
    probe_images = np.concatenate([data[side].images[rows[side][:probes]] for side in SIDES])
    computed = files.read(predictions, "netspace predictions") if predictions else {}
    by_side = {}
    for side in SIDES:
        sizes = zoo.sizes(zoos[side])
        n = sum(sizes)
        order = rng.permutation(n, seed, "netspace", "held out", side)
        count = max(2, round(held_out * n))
        if n - count < 2:
            raise ValueError(f"netspace: a zoo of {n} CNNs is too small; write 4 or more models for each concept.")
        by_side[side] = concept = Concept(
            side,
            data[side],
            list(zoos[side]),
            sizes,
            device,
            probes=computed.get(f"{side}/probes"),
            rows=rows[side],
            predictions=computed.get(f"{side}/predictions"),
            trained=np.sort(order[count:]),
            held_out=np.sort(order[:count]),
            architecture=architecture,
        )
        if predictions is None:
            both = np.concatenate([probe_images, data[side].images[rows[side]]])
            logits = concept.logits(np.arange(n), both)
            concept.probes, concept.predictions = np.split(logits, [len(probe_images)], 1)
    return by_side


def opened(space: Path, predictions: Path, device: str, **cnns) -> tuple[spaces.Space, dict[str, Concept]]:
    """The space of a file and the concepts whose CNNs it was trained on; cnns: as `concepts` takes."""
    by_side = concepts(**cnns, predictions=predictions, device=device)
    return spaces.read(space, [by_side["a"].network], device), by_side


def _parts(rows: np.ndarray, size: int = 4096) -> list[np.ndarray]:
    """So many CNNs at a time, whose weights memory holds."""
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def write_predictions(path: Path, by_side: Mapping[str, Concept]) -> None:
    """Every CNN's logits on probe and compared images, for later calls of `concepts`."""
    arrays = {f"{side}/probes": concept.probes for side, concept in by_side.items()}
    arrays |= {f"{side}/predictions": concept.predictions for side, concept in by_side.items()}
    files.write(path, "netspace predictions", arrays)


def encoder_inputs(concept: Concept, rows: np.ndarray, settings: spaces.Settings) -> np.ndarray:
    """What the encoder reads of these CNNs."""
    if settings.encoder == "predictions":
        return spaces.read_predictions(concept.probes[rows])
    shapes, needed = concept.network.shapes, spaces.rows_for([concept.network], settings.width)
    weights = with_heads(concept.of(rows), concept.side)
    return spaces.to_prep(weights, shapes, settings.width, needed).cpu().numpy()


def embed(
    by_side: Mapping[str, Concept],
    settings: spaces.Settings,
    seed: int,
    state: Path,
    *,
    device: str = "cpu",
    progress=None,
) -> spaces.Space:
    """The space of both zoos.

    Half way between the codes of a CNN of each zoo, a CNN has to predict as both: as the one through head a on
    images of concept a, as the other through head b on images of concept b. Without this loss an interpolation
    path between the concepts leaves the one before it reaches the other. Arguments as of `spaces.train`.
    """
    groups = [
        spaces.Group(c.network, encoder_inputs(c, c.trained, settings), c.data.images[c.rows], c.predictions[c.trained])
        for c in by_side.values()
    ]
    tensors = [[torch.from_numpy(a).to(device) for a in (g.encoder_inputs, g.inputs, g.predictions)] for g in groups]

    def between(p: spaces.Parameters, step: int) -> Tensor:
        n = min(settings.networks, *(len(g.predictions) for g in groups)) // 2
        key = (seed, "netspace", "between", step)
        rows = [rng.permutation(len(g.predictions), *key, i)[:n].copy() for i, g in enumerate(groups)]
        codes = [spaces.encode(p, settings, of[0][r]) for of, r in zip(tensors, rows, strict=True)]
        weights = spaces.from_prep(spaces.decode(p, sum(codes) / 2), groups[0].network.shapes)
        total = torch.zeros((), device=device)
        for i, (group, (_, inputs, targets)) in enumerate(zip(groups, tensors, strict=True)):
            drawn = rng.permutation(len(inputs), *key, "inputs", i)[: settings.inputs // 2].copy()
            logits = group.network.predict(weights, inputs[drawn])
            total = total + spaces.distance(settings, logits, targets[rows[i]][:, drawn]).mean()
        return total / 2

    start = fresh(by_side["a"].architecture, seed)
    return spaces.train(
        [by_side["a"].network],
        groups,
        settings,
        [start],
        seed,
        state,
        device=device,
        progress=progress,
        between=between,
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

    original, decoded, noise, average and mean_code are balanced accuracies: noise of `spaces.with_noise`; average of
    the mean of all CNNs trained on; mean_code of the one CNN that the mean of their codes decodes to. agreement is the
    share of images on which both predict the same class, agreement_other the same with the next held-out CNN for the
    decoded one, agreement_mean_code with that one CNN, and agreement_majority with the majority vote of the CNNs
    trained on: a space embeds networks only as far as a decoded one agrees with its own original more than these do.
    specific is the agreement with its own original less the mean of that with the others, and correlation (1,) that
    of the balanced accuracies before and after (Spearman). distance is that of the decoded CNN
    to the nearest CNN trained on, up to channel permutation, and distance_control that of the original.
    """
    images, labels, rows = concept.data.validation_images, concept.data.validation_labels, concept.held_out
    weights = space.decode(space.encode(encoder_inputs(concept, rows, space.settings)))
    logits, decoded_logits = concept.logits(rows, images), concept.decoded(weights, images)
    original = with_heads(concept.of(rows), concept.side)
    noisy = spaces.with_noise(original, weights, seed, "netspace", "noise", concept.side)
    mean = concept.mean(concept.trained)
    averaged = concept.decoded(with_heads(mean, concept.side), images)
    codes = [space.encode(encoder_inputs(concept, part, space.settings)) for part in _parts(concept.trained)]
    one = concept.decoded(space.decode(torch.cat(codes).mean(0, keepdim=True)), images)
    votes = sum(concept.logits(part, images).argmax(-1).sum(0) for part in _parts(concept.trained))
    majority = votes > len(concept.trained) / 2
    classes, decoded_classes = logits.argmax(-1), decoded_logits.argmax(-1)
    pairwise = (classes[:, None] == decoded_classes).mean(2)  # originals by decoded ones
    others = (pairwise.sum(0) - pairwise.diagonal()) / max(1, len(rows) - 1)
    scores = {"original": balanced_accuracy(logits, labels), "decoded": balanced_accuracy(decoded_logits, labels)}
    varied = all(np.ptp(values) > 0 for values in scores.values())  # else it is not defined
    conv = [name for name in weights if name.startswith("conv")]
    apart = dict.fromkeys(("distance", "distance_control"), np.inf)
    for part in _parts(concept.trained):
        parents = {name: values.cpu().numpy() for name, values in concept.of(part).items() if name in conv}
        for key, of in (("distance", weights), ("distance_control", original)):
            nearest = align.nearest_parent({name: of[name].cpu().numpy() for name in conv}, parents)
            apart[key] = np.minimum(apart[key], nearest)
    return {
        **scores,
        "noise": balanced_accuracy(concept.decoded(noisy, images), labels),
        "average": np.repeat(balanced_accuracy(averaged, labels), len(rows)),
        "mean_code": np.repeat(balanced_accuracy(one, labels), len(rows)),
        "agreement": pairwise.diagonal(),
        "agreement_other": (classes == np.roll(classes, 1, 0)).mean(1),
        "agreement_mean_code": (classes == one.argmax(-1)).mean(1),
        "agreement_majority": (classes == majority).mean(1),
        "specific": pairwise.diagonal() - others,
        "correlation": np.array([stats.spearmanr(*scores.values()).statistic if varied else 0.0]),
    } | apart


# ---------------------------------------------------------------------------------------------- interpolation


def interpolate(
    space: spaces.Space, start: Concept, stop: Concept, pairs: int, points: int, most: int = 250
) -> dict[str, np.ndarray]:
    """Interpolation paths between held-out CNNs, along latent codes ("decoded") and along weights ("raw").

    Within a concept each path goes from a held-out CNN to the next one; between two concepts from the i-th of one to
    the i-th of the other, measured through both heads on their own concepts' validation images, at most `most`.

    Returns:
        "decoded" and "raw" -> balanced accuracy (pairs, points, concepts).
    """
    one = start is stop
    count = min(pairs, len(start.held_out) - one, len(stop.held_out))
    first, last = start.held_out[:count], stop.held_out[one : count + one]
    ends = [space.encode(encoder_inputs(c, rows, space.settings)) for c, rows in ((start, first), (stop, last))]
    raw = [with_heads(c.of(rows), c.side) for c, rows in ((start, first), (stop, last))]
    if not one:  # each concept's own head all the way
        for concept, end, other_end in ((start, *raw), (stop, *raw[::-1])):
            other_end |= {name: end[name] for name in end if name.startswith(f"fc_{concept.side}")}
    measured = [start] if one else [start, stop]
    result = {key: np.empty((count, points, len(measured))) for key in ("decoded", "raw")}
    for at, share in enumerate(np.linspace(0, 1, points)):
        paths = {
            "decoded": space.decode(torch.lerp(ends[0], ends[1], float(share))),
            "raw": {name: torch.lerp(raw[0][name], raw[1][name], float(share)) for name in raw[0]},
        }
        for key, weights in paths.items():
            for column, c in enumerate(measured):
                shown = np.unique(np.linspace(0, len(c.data.validation_labels) - 1, most).round().astype(int))
                logits = c.decoded(weights, c.data.validation_images[shown])
                result[key][:, at, column] = balanced_accuracy(logits, c.data.validation_labels[shown])
    return result


# ---------------------------------------------------------------------------------------------- latent optimisation


def optimise(
    space: spaces.Space, concept: Concept, seed: int, settings: LatentOptimisation, *, goal: str
) -> dict[str, np.ndarray]:
    """Latent codes of held-out CNNs optimised on training images; balanced accuracy on the validation ones.

    goal "teacher": towards the mean logits of the CNNs of the zoo that are best on the training images compared on;
    "performance": towards the labels. A step takes half of its images from each class. Arrays: decoded (starts,) of
    the optimised codes, start (starts,) of the codes before; scratch (starts,) of CNNs trained from fresh weights for
    as many steps on the same batches; zoo (n,) of the zoo's CNNs. best, decoded_best and scratch_best (1,): of the
    best of the zoo, of the optimised codes and of those from scratch, see `selected`.
    """
    data, device = concept.data, concept.device
    labels = data.validation_labels
    zoo_logits = concept.logits(np.arange(len(concept.predictions)), data.validation_images)
    images, truth = (torch.from_numpy(array).to(device) for array in (data.images, data.labels.astype(np.int64)))
    if goal == "teacher":
        accuracy = balanced_accuracy(concept.predictions, data.labels[concept.rows])
        teachers = np.argsort(-accuracy, kind="stable")[: settings.teachers]
        targets = torch.from_numpy(concept.logits(teachers, data.images).mean(0)).to(device)

    def loss(weights, step):
        rows = balanced(data.labels, settings.batch, seed, "netspace", "optimise", concept.side, step)
        logits = concept.network.predict(weights, images[rows])
        if goal == "teacher":
            return spaces.distance(space.settings, logits, targets[rows].expand_as(logits))
        classes = truth[rows].expand(len(logits), -1)
        return F.cross_entropy(logits.transpose(1, 2), classes, reduction="none").mean(1)

    before = space.encode(encoder_inputs(concept, concept.held_out[: settings.starts], space.settings))
    steps, rate = settings.steps, settings.learning_rate
    codes = spaces.optimise(before, lambda c, step: loss(space.decode(c), step), steps=steps, learning_rate=rate)
    shapes, size = concept.network.shapes, concept.network.size
    fresh_ones = [fresh(concept.architecture, seed + i) for i in range(len(codes))]
    preps = torch.cat([spaces.to_prep(weights, shapes, size, 1) for weights in fresh_ones]).to(device)
    rate = settings.scratch_rate
    scratch = spaces.optimise(
        preps, lambda p, step: loss(spaces.from_prep(p, shapes), step), steps=steps, learning_rate=rate
    )
    compared = {"start": space.decode(before), "decoded": space.decode(codes)}
    compared |= {"scratch": spaces.from_prep(scratch, shapes)}
    logits = {key: concept.decoded(weights, data.validation_images) for key, weights in compared.items()}
    logits |= {"zoo": zoo_logits}
    scores = {key: balanced_accuracy(of, labels) for key, of in logits.items()}
    scores |= {f"{key}_best": selected(concept, logits[key]) for key in ("decoded", "scratch")}
    return scores | {"best": selected(concept, zoo_logits)}


def selected(concept: Concept, logits: np.ndarray) -> np.ndarray:
    """(1,) balanced accuracy of the best of n CNNs, by logits (n, m, 2) on the validation images: selected on one half
    of them and measured on the other, both ways round."""
    labels = concept.data.validation_labels
    first, second = (balanced_accuracy(logits[:, half], labels[half]) for half in concept.halves)
    return np.array([(second[first.argmax()] + first[second.argmax()]) / 2])


# ---------------------------------------------------------------------------------------------- fusion


def fuse(space: spaces.Space, by_side: Mapping[str, Concept], seed: int, settings: Fuse) -> dict[str, np.ndarray]:
    """CNNs for the conjunction from one code each, name -> (n, ...): a zoo file's conv layers, fc_a and fc_b.

    The i-th code starts half way between the codes of the i-th CNNs of both zoos and is optimised so that the decoded
    CNN predicts as the one through head a on images of concept a, as the other through head b on those of concept b.
    """
    device = by_side["a"].device
    n = min(settings.models, *(len(c.predictions) for c in by_side.values()))
    rows = np.arange(n)
    codes = sum(space.encode(encoder_inputs(c, rows, space.settings)) for c in by_side.values()) / 2
    images = {side: torch.from_numpy(c.data.images[c.rows]).to(device) for side, c in by_side.items()}
    targets = {side: torch.from_numpy(c.predictions[:n]).to(device) for side, c in by_side.items()}

    def loss(codes, part, step):
        weights, total = space.decode(codes), 0
        for side, c in by_side.items():
            drawn = rng.permutation(len(images[side]), seed, "netspace", "fuse", side, step)[: settings.batch].copy()
            logits = c.network.predict(weights, images[side][drawn])
            total = total + spaces.distance(space.settings, logits, targets[side][part][:, drawn])
        return total

    moved, how = [], {"steps": settings.steps, "learning_rate": settings.learning_rate}
    for first in range(0, n, 16):
        part = slice(first, min(first + 16, n))
        moved.append(spaces.optimise(codes[part], lambda c, step, part=part: loss(c, part, step), **how))
    return {name: values.cpu().numpy() for name, values in space.decode(torch.cat(moved)).items()}
