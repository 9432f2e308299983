"""Predicted of a CNN to a conjunction it was never shown: the product of the probabilities of its concepts.

A head is a linear layer on a CNN's features for one concept. `own` heads come with the CNN (fc_a, fc_b and so on of a
generated zoo file) and are used as they are; `probe` heads are fitted in closed form on the concepts' own training
images and calibrated on their validation images, which also give the thresholds and the score that selects a
CNN. Nothing that fits takes a test image, and nothing but `supervised`, the oracle, takes the conjunction's
labels. Class 1 is the concept everywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor

from zoofuse.core import files, intervals, rng
from zoofuse.data import colour_words, images
from zoofuse.evaluation import protocols
from zoofuse.methods import distil
from zoofuse.native import trainer
from zoofuse.settings.training import Recipe
from zoofuse.zoo import training
from zoofuse.zoo.zoo import CNNs, Stored, in_blocks

CHUNK = 16  # CNNs whose features are held at once: some 100 MB
_LEAST_SHARE = 0.05  # of the mean variance, added to each feature's: one that seldom fires is not blown up
_LEAST_SHRINKAGE = 1e-3

Zoo = Mapping[str, np.ndarray]
Predicted = dict[str, np.ndarray]


class Concept(NamedTuple):
    """A concept's own images, uint8 (k, 32, 32, 3), and their labels (k,), 1 for the concept."""

    images: np.ndarray  # training, as many of either class
    labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray


class Head(NamedTuple):
    """n linear heads for one concept: its probability is the logistic function of weight . features + bias."""

    weight: np.ndarray  # (n, f)
    bias: np.ndarray  # (n,)


def read_concept(path: Path, probe_images: int, seed: int) -> Concept:
    """A concept's images: at most `probe_images` of each class for training, equally many, and all for validation.

    Raises FileError.
    """
    found = images.read_concept(path)
    name, labels = files.attributes(path, "images")["concept"], found["labels"]
    each = min(probe_images, *np.bincount(labels, minlength=2).tolist())
    chosen = []
    for stream, label in enumerate(rng.CLASSES):
        members = np.flatnonzero(labels == label)
        chosen.append(members[rng.permutation(len(members), seed, "probe", name, stream)[:each]])
    rows = np.concatenate(chosen)
    return Concept(found["images"][rows], labels[rows], found["validation_images"], found["validation_labels"])


def own_head(zoo: Zoo, layer: str) -> Head:
    """The zoo's own linear layer `layer`, weight (n, 2, f) and bias (n, 2), as a head: softmax of two is logistic."""
    weight, bias = zoo[f"{layer}.weight"], zoo[f"{layer}.bias"]
    return Head(weight[:, 1] - weight[:, 0], bias[:, 1] - bias[:, 0])


def own_heads(zoo: Zoo) -> list[Head]:
    """The heads that a generated zoo file brings for its concepts, fc_a first; none where it brings none."""
    layers = sorted(name.removesuffix(".weight") for name in zoo if name.startswith("fc_") and name.endswith(".weight"))
    return [own_head(zoo, layer) for layer in layers]


def fit_probe(features: np.ndarray, labels: np.ndarray) -> Head:
    """Linear discriminants of n CNNs in closed form, from features (n, k, f) of images with labels (k,).

    Gaussian classes of one covariance and equal priors; features standardised within the classes, the pooled covariance
    of these shrunk towards a multiple of the identity (Ledoit and Wolf 2004, J. Multivariate Analysis 88, 365-411).
    A feature that is the same for every image gets weight 0; a CNN with only such features predicts 1/2.
    """
    x = torch.from_numpy(np.ascontiguousarray(features, np.float32))
    concept = torch.from_numpy(labels == 1)
    first = x[:, 0]
    x = x - first[:, None]  # exactly 0 where a feature is the same for every image
    size = _positive(x.abs().amax((1, 2)))[:, None]
    x /= size[..., None]  # so that no square overflows
    means = torch.stack([x[:, concept].mean(1), x[:, ~concept].mean(1)])  # (2, n, f)
    x -= means[(~concept).long()].transpose(0, 1)
    variance = x.square().mean(1)
    spread = _positive((variance + _LEAST_SHARE * variance.mean(1, keepdim=True)).sqrt())  # (n, f)
    x /= spread[:, None]
    covariance = torch.bmm(x.transpose(1, 2), x) / x.shape[1]
    difference, middle = (means[0] - means[1]) / spread, (means[0] + means[1]) / 2
    weight = torch.cholesky_solve(difference[..., None], torch.linalg.cholesky(_shrunk(covariance, x)))[..., 0] / spread
    bias = -(weight * (middle + first / size)).sum(1)
    return Head((weight / size).numpy(), bias.numpy())


def _shrunk(covariance: Tensor, x: Tensor) -> Tensor:
    """Ledoit and Wolf's estimate from covariances (n, f, f) of centred x (n, k, f)."""
    f, k = covariance.shape[-1], x.shape[1]
    mean = covariance.diagonal(dim1=1, dim2=2).mean(1)
    squares = covariance.square().sum((1, 2))
    distance = (squares - f * mean.square()).clamp(min=0)
    error = (x.square().sum(2).square().mean(1) - squares) / k
    share = torch.where(distance > 0, error / distance, 1.0).clamp(_LEAST_SHRINKAGE, 1)[:, None]
    shrunk = (1 - share[..., None]) * covariance
    shrunk.diagonal(dim1=1, dim2=2).add_(share * _positive(mean)[:, None])
    return shrunk


def _positive(values: Tensor) -> Tensor:
    return torch.where(values > 0, values, 1.0)


def calibrated(head: Head, features: np.ndarray, labels: np.ndarray) -> Head:
    """The heads with their logits brought to scale on images they were not fitted on.

    features: (n, v, f), labels: (v,). The scale is the discriminant of one number. Without it a probe on many features
    is too sure of itself, and the head that is most so decides the product. The order of a head's predictions stays,
    or all become 1/2 where it would turn round.
    """
    line = fit_probe(logit(head, features)[..., None], labels)
    scale = np.maximum(line.weight[:, 0], 0)
    return Head(head.weight * scale[:, None], np.where(scale > 0, head.bias * scale + line.bias, 0))


def logit(head: Head, features: np.ndarray) -> np.ndarray:
    """(n, m) log odds of the concept, from features (n, m, f)."""
    return np.nan_to_num((features @ head.weight[..., None])[..., 0] + head.bias[:, None])


def probability(head: Head, features: np.ndarray) -> np.ndarray:
    """(n, m) float64 probability of the concept, from features (n, m, f)."""
    return expit(logit(head, features).astype(np.float64))


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds (n,) of best balanced accuracy for scores (n, m), and that accuracy (n,).

    The concept is predicted where the score is at least the threshold, which lies midway between two neighbouring
    scores, the lowest of the best ones on a tie; or is the lowest score, where a constant prediction is best.
    """
    scores = np.asarray(scores, np.float64)  # so that something lies midway
    order = np.argsort(scores, axis=1, kind="stable")
    ordered, concept = np.take_along_axis(scores, order, 1), (labels == 1)[order]
    right = concept / concept[0].sum() - ~concept / (~concept[0]).sum()  # lost by predicting no for this one
    lost = np.cumsum(right, 1) - right
    lost[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = np.inf  # no threshold lies between equal scores
    best = np.argmin(np.round(lost, 12), 1)[:, None]  # rounded: sums of shares tie
    below = np.take_along_axis(ordered, np.maximum(best - 1, 0), 1)
    threshold = (np.take_along_axis(ordered, best, 1) + below) / 2
    return threshold[:, 0], (0.5 - np.take_along_axis(lost, best, 1) / 2 + 0.0)[:, 0]


def conjunction(
    test: Sequence[np.ndarray],
    validation: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    join: Callable[..., np.ndarray] = np.prod,
) -> Predicted:
    """What n CNNs with a head for each concept predict for images that may show all concepts.

    test: the heads' probabilities (n, m) for the test images; validation: theirs (n, v) for their own
    concept's validation images, with `labels` (v,); both empty where a concept brings none.
    join: of the concepts' evidence, over axis 0; instead of probabilities any evidence for a concept will do.
    Returns scores (n, m) float32, joined; validation (n,), the mean of the AUROCs; threshold (n,), joined of
    the thresholds of best balanced accuracy; the last two NaN without validation images.
    """
    predictions = {"scores": join(test, axis=0).astype(np.float32)}
    if not len(validation):
        return predictions | dict.fromkeys(("validation", "threshold"), np.full(len(test[0]), np.nan))
    pairs = list(zip(validation, labels, strict=True))
    predictions["validation"] = np.mean([intervals.auroc(scores, label == 1) for scores, label in pairs], axis=0)
    predictions["threshold"] = join([best_threshold(*pair)[0] for pair in pairs], axis=0)
    return predictions


def fit_heads(zoo: Zoo, concepts: Sequence[Concept], validation: Sequence[np.ndarray]) -> dict[str, list[Head]]:
    """Kind of head -> the heads for all concepts, of every kind that the zoo and the concepts' images allow.

    validation: the features (n, v, f) of each concept's validation images.
    """
    heads = {"own": own} if (own := own_heads(zoo)) else {}
    if concepts:
        heads["probe"] = [probe(_features(zoo, c.images), v, c) for c, v in zip(concepts, validation, strict=True)]
    return heads


def probe(training: np.ndarray, validation: np.ndarray, concept: Concept) -> Head:
    """`fit_probe`, then `calibrated`, from the features of a concept's training and validation images."""
    return calibrated(fit_probe(training, concept.labels), validation, concept.validation_labels)


def predict(
    zoo: Zoo,
    concepts: Sequence[Concept],
    test: np.ndarray,
    say: Callable[[str], None] | None = None,
    join: Callable[..., np.ndarray] = np.prod,
) -> Predicted:
    """`{head}/scores`, `{head}/validation`, `{head}/threshold` (see `conjunction`) of a zoo's n CNNs.

    concepts: those of all domains, or () where any brings no images: then there are own heads only, and
    nothing to choose a CNN or a threshold by. test: uint8 (m, 32, 32, 3). say: called with a line for each CNN whose
    features overflow on test images, which counts as degenerate. join: as `conjunction` takes it.
    """
    parts = []
    for start in range(0, len(zoo["model"]), CHUNK):
        part = {name: values[start : start + CHUNK] for name, values in zoo.items()}
        validation = [_features(part, concept.validation_images) for concept in concepts]
        heads = fit_heads(part, concepts, validation)  # before any test image is looked at
        features = _features(part, test, say) if heads else None
        found = {}
        for kind, pair in heads.items():
            seen = [probability(head, features) for head in pair]
            own = [probability(*each) for each in zip(pair, validation, strict=False)]
            labels = [concept.validation_labels for concept in concepts]
            found |= {f"{kind}/{name}": values for name, values in conjunction(seen, own, labels, join).items()}
        parts.append(found)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


# References: what images without a CNN, and training on the conjunction itself reach.


def zoo_logits(zoo: CNNs, images: np.ndarray) -> np.ndarray:
    """(n, m) float64 log odds of the concept by the CNNs' own linear layer fc1, for uint8 images (m, 32, 32, 3)."""
    if isinstance(zoo, Stored):
        names = [name for name in zoo.shapes if "/" not in name]
        return np.concatenate([zoo_logits(zoo.pick(names, rows), images) for rows in in_blocks(len(zoo))])
    parts = []
    for start in range(0, len(zoo["model"]), CHUNK):
        part = {name: values[start : start + CHUNK] for name, values in zoo.items()}
        both = trainer.outputs(part, images)
        parts.append(np.nan_to_num(both[..., 1] - both[..., 0]).astype(np.float64))
    return np.concatenate(parts)


def brightness(images: np.ndarray) -> np.ndarray:
    """(m, 1) mean over all pixels and channels, 0 to 1."""
    return colour(images).mean(1, keepdims=True)


def colour(images: np.ndarray) -> np.ndarray:
    """(m, 3) mean red, green, blue, 0 to 1."""
    return images.mean((1, 2), dtype=np.float64) / 255


def pixels(images: np.ndarray) -> np.ndarray:
    """(m, 3072) raw pixels, 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def middle(images: np.ndarray) -> np.ndarray:
    """(m, 10) share of the image's middle that each colour word covers: where the object is, whatever it is."""
    return colour_words.shares(images)


WITHOUT_CNN = {"brightness": brightness, "colour": colour, "middle": middle, "pixels": pixels}


def without_cnn(
    concepts: Sequence[Concept], test: np.ndarray, join: Callable[..., np.ndarray] = np.prod
) -> dict[str, Predicted]:
    """`brightness`, `colour`, `middle`, `pixels`: the same probes and product on numbers that need no CNN."""
    predictions = {}
    for method, look in WITHOUT_CNN.items():
        validation = [look(concept.validation_images)[None] for concept in concepts]
        heads = [probe(look(c.images)[None], v, c) for c, v in zip(concepts, validation, strict=True)]
        own = [probability(*each) for each in zip(heads, validation, strict=True)]
        seen = [probability(head, look(test)[None]) for head in heads]
        predictions[method] = conjunction(seen, own, [concept.validation_labels for concept in concepts], join)
    return predictions


def supervised(
    images: np.ndarray,
    labels: np.ndarray,
    validation: np.ndarray,
    *,
    models: int,
    folds: int,
    recipe: Recipe,
    seed: int,
    fusion: str,
    architecture: str = "published",
    device: str = "cpu",
    threads: int = 1,
) -> Predicted:
    """The oracle: CNNs trained on the conjunction itself, on the validation half of the test images.

    The only ones that see its labels. They have the recipe of distilled students: as many images of either class,
    mirrored and moved a little. CNN i leaves out fold i of the half, counted round; what all CNNs predict for their
    own folds gives the threshold (cross-fitting), so that none is set on images that were trained on.

    Args:
        images: uint8 (m, 32, 32, 3), the test images.
        labels: (m,), 1 for the conjunction.
        validation: (m,) bool, the half that is trained on.
        models: CNNs to train.
        folds: of the half, at most.
        recipe: the students'.
        architecture: the CNNs'.
        seed, fusion: what random numbers depend on.
        device, threads: to train on.

    Returns:
        scores (models, m) for all images; validation and threshold (models,), AUROC and threshold over the folds left
        out, the same for every CNN: none is selected.
    """
    fold = oracle_folds(labels, validation, folds, seed, fusion)
    folds = fold.max() + 1
    settings = training.Settings(
        architecture=architecture, epochs=recipe.epochs, images_per_epoch=recipe.images, batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate, schedule="cosine", balance="published", flip=True,
    )  # fmt: skip
    name, scores = f"{fusion}/supervised", np.empty((models, len(labels)))

    def fit(left_out: int) -> None:
        train, held_out = validation & (fold != left_out), fold == left_out
        half = training.Data(images[train], labels[train], images[held_out], labels[held_out])
        shown, own = distil.plain_images(half, recipe, seed, name, left_out)
        data = replace(half, images=shown, labels=own.astype(np.uint8))
        indices = np.arange(left_out, models, folds)
        trained = training.train(data, settings, seed, name, indices, device=device)
        scores[indices] = expit(zoo_logits(trained.weights | {"model": indices}, images))

    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(fit, range(min(models, folds))))
    covered = (fold >= 0) & (fold < models)
    aside = np.array([scores[fold[i] :: folds, i].mean() for i in np.flatnonzero(covered)])
    auroc = intervals.auroc(aside[None], labels[covered] == 1)
    threshold, _ = best_threshold(aside[None], labels[covered])
    return {
        "scores": scores.astype(np.float32),
        "validation": np.repeat(auroc, models),
        "threshold": np.repeat(threshold, models),
    }


def oracle_folds(labels: np.ndarray, validation: np.ndarray, folds: int, seed: int, fusion: str) -> np.ndarray:
    """(m,) the fold of each image of the half, drawn by class; -1 for the others. None is without a class.

    Arguments as `supervised` takes them.
    """
    fold = np.full(len(labels), -1)
    members = [np.flatnonzero(validation & (labels == label)) for label in rng.CLASSES]
    folds = max(2, min(folds, *map(len, members)))
    for stream, rows in enumerate(members):
        fold[rows[rng.permutation(len(rows), seed, "supervised", fusion, stream)]] = np.arange(len(rows)) % folds
    return fold


def _features(zoo: Zoo, images: np.ndarray, say: Callable[[str], None] | None = None) -> np.ndarray:
    return protocols.finite_features(zoo, images, say)
