"""What zoos predict together without any student, by each rule that joins their predictions.

One CNN's logit for a concept becomes evidence (a probability or a logit), evidence is averaged over a zoo or taken
CNN by CNN, and the evidence for all concepts is joined. The CNNs' own linear layers predict.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from zoofuse.core import rng
from zoofuse.data.joins import Join
from zoofuse.evaluation import zero_shot
from zoofuse.methods import distil
from zoofuse.settings.evaluation import ZeroShot
from zoofuse.zoo.zoo import CNNs, stored


class Rule(NamedTuple):
    """evidence: from logits (n, m); join: of the concepts' evidence; whole: averaged over each zoo, or CNN by CNN."""

    evidence: Callable[[np.ndarray], np.ndarray]
    join: Callable[..., np.ndarray]
    whole: bool = True


def _same(logits: np.ndarray) -> np.ndarray:
    return logits


RULES = {  # but for ensemble_softened, whose evidence depends on a setting
    "product": Rule(expit, np.prod, whole=False),
    "product_logits": Rule(_same, np.sum, whole=False),
    "ensemble": Rule(expit, np.prod),
    "ensemble_logits": Rule(_same, np.sum),
    "ensemble_minimum": Rule(expit, np.min),
}
CALIBRATED = RULES["ensemble"]  # of calibrated logits, and of images in other palettes


def parents(
    zoos: Mapping[str, CNNs],
    concepts: Sequence[zero_shot.Concept],
    test: np.ndarray,
    seed: int,
    fusion: str,
    settings: ZeroShot,
    join: Callable[..., np.ndarray] = np.prod,
) -> dict[str, zero_shot.Predicted]:
    """Predictions of every rule for the test images, by the name of its baseline.

    Args:
        zoos: domain -> CNNs, in the order of the concepts; there are no predictions where a zoo has no linear layer.
        concepts: as `zero_shot.predict` takes them. `ensemble_calibrated` needs them, the others' scores do not.
        test: uint8 (m, 32, 32, 3).
        seed, fusion: for the palettes of `ensemble_palettes`.
        settings: of `ensemble_softened` and `ensemble_palettes`.
        join: np.prod, or of an expression, for which logits can't be summed.
    """
    if not all("fc1.weight" in stored(zoo).shapes for zoo in zoos.values()):
        return {}
    labels = [concept.validation_labels for concept in concepts]
    seen = [zero_shot.zoo_logits(zoo, test) for zoo in zoos.values()]
    validation = [concept.validation_images for concept in concepts]
    own = [zero_shot.zoo_logits(*each) for each in zip(zoos.values(), validation, strict=False)]
    softened = Rule(lambda logits: expit(logits / settings.temperature), np.prod)
    rules = RULES | {"ensemble_softened": softened}
    if isinstance(join, Join):
        joins = {np.prod: join, np.min: join.by("minimum")}
        rules = {name: rule._replace(join=joins[rule.join]) for name, rule in rules.items() if rule.join in joins}
    predictions = {name: _joined(rule, seen, own, labels) for name, rule in rules.items()}
    if concepts:
        lines = [zero_shot.calibrated(_one(v), v[..., None], known) for v, known in zip(own, labels, strict=True)]
        scaled = [
            [zero_shot.logit(line, values[..., None]) for line, values in zip(lines, side, strict=True)]
            for side in (seen, own)
        ]
        predictions["ensemble_calibrated"] = _joined(CALIBRATED._replace(join=join), *scaled, labels)
    palettes = Palettes(zoos, seed, fusion, settings)
    seen = [palettes.evidence(side, test) for side in zoos]
    own = [palettes.evidence(*each) for each in zip(zoos, validation, strict=False)]
    predictions["ensemble_palettes"] = zero_shot.conjunction(seen, own, labels, join)
    return predictions


class Palettes:
    """Predictions that do not depend on the palette, but those of a concept of colour.

    A concept that is not a colour must not depend on an image's colours. Its CNNs are shown the image in
    the palettes of invented images, and their mean probability is the evidence. Neither images nor
    labels of the concepts are used.
    """

    def __init__(self, zoos: Mapping[str, CNNs], seed: int, fusion: str, settings: ZeroShot):
        self.zoos = {side: _first(zoo, settings.palette_models) for side, zoo in zoos.items()}
        self.names, self.palettes = (seed, fusion, "palettes"), settings.palettes
        self.leaves = distil.leaves(settings.palette_images, *self.names)
        predict = {side: functools.partial(self._probability, side, settings.temperature) for side in zoos}
        self.coloured = distil.follows_colour(predict, self.leaves, *self.names)

    def evidence(self, side: str, images: np.ndarray) -> np.ndarray:
        """(1, m) mean probability of the concept."""
        shown = [images]
        if not self.coloured[side]:
            lenders = [self.leaves[self._lenders(len(images), i)] for i in range(self.palettes)]
            shown = [
                distil.transfer_colours(images, leaves, *self.names, palette, whole=True)
                for palette, leaves in enumerate(lenders)
            ]
        return np.mean([self._probability(side, 1.0, each) for each in shown], axis=0)[None]

    def _probability(self, side: str, temperature: float, images: np.ndarray) -> np.ndarray:
        return expit(zero_shot.zoo_logits(self.zoos[side], images) / temperature).mean(0)

    def _lenders(self, n: int, palette: int) -> np.ndarray:
        return (rng.uniform((n,), *self.names, "lenders", palette) * len(self.leaves)).astype(int)


def _first(cnns: CNNs, n: int) -> zero_shot.Zoo:
    cnns = stored(cnns)
    return cnns.pick([name for name in cnns.shapes if "/" not in name], range(min(n, len(cnns))))


def _one(values: np.ndarray) -> zero_shot.Head:
    """The head that takes n CNNs' logits (n, v) as they are."""
    return zero_shot.Head(np.ones((len(values), 1), np.float32), np.zeros(len(values), np.float32))


def _joined(rule: Rule, test, validation, labels) -> zero_shot.Predicted:
    test, validation = ([rule.evidence(values) for values in side] for side in (test, validation))
    n = min(map(len, test))
    kept = [[v.mean(0, keepdims=True) if rule.whole else v[:n] for v in side] for side in (test, validation)]
    return zero_shot.conjunction(*kept, labels, rule.join)
