"""Few-shot probes see only the images they were given, the same ones for every method."""

import numpy as np
import pytest

from zoofuse.evaluation import few_shot
from zoofuse.models import cnn

rng = np.random.default_rng(0)
HOW = {"draws": 4, "seed": 1, "fusion": "f"}
LABELS = 1 - np.arange(120) % 2
VALIDATION = np.arange(120) < 60


def features(apart: float, n: int = 3) -> np.ndarray:
    """(n, 120, 6), the first of which is lower by `apart` standard deviations for the conjunction."""
    found = rng.normal(size=(n, 120, 6)).astype(np.float32)
    found[:, LABELS == 1, 0] -= apart
    return found


def test_more_images_tell_more_and_chance_stays_chance():
    scores = few_shot.curve(features(3, 20), LABELS, VALIDATION, [1, 5, 25], **HOW)
    medians = [np.median(scores[k]) for k in (1, 5, 25)]
    assert medians == sorted(medians)
    assert medians[2] > 0.95
    nothing = few_shot.curve(features(0, 20), LABELS, VALIDATION, [25], **HOW)[25]
    assert abs(np.median(nothing) - 0.5) < 0.05


def test_images_are_of_the_validation_half_balanced_nested_and_the_same_for_all():
    five, ten = (few_shot.choices(LABELS, VALIDATION, k, 4, 1, "f") for k in (5, 10))
    for few, more in zip(five, ten, strict=True):
        assert VALIDATION[more].all()
        assert np.bincount(LABELS[more]).tolist() == [10, 10]
        assert set(few) < set(more)
    assert len({tuple(rows) for rows in five}) == 4
    assert all((a == b).all() for a, b in zip(five, few_shot.choices(LABELS, VALIDATION, 5, 4, 1, "f"), strict=True))


def test_labels_of_the_test_half_change_no_answer():
    planted = features(2)
    other = np.where(VALIDATION, LABELS, 1 - LABELS)
    found, turned = (few_shot.curve(planted, labels, VALIDATION, [5], **HOW)[5] for labels in (LABELS, other))
    np.testing.assert_allclose(found, 1 - turned, atol=1e-6)


def test_a_number_that_the_half_does_not_hold_is_left_out():
    assert list(few_shot.curve(features(1), LABELS, VALIDATION, [30, 31], **HOW)) == [30]


@pytest.mark.parametrize("own", [True, False])
def test_own_heads_answer_without_any_image(own):
    zoo = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "zoo", np.arange(2))
    heads = {f"fc_{side}.{name}": zoo[f"fc1.{name}"] for side in "ab" for name in ("weight", "bias")} if own else {}
    photographs = rng.integers(0, 255, (120, 32, 32, 3), dtype=np.uint8)
    found = few_shot.of_cnns(zoo | heads | {"model": np.arange(2)}, photographs, LABELS, VALIDATION, [1], **HOW)
    assert list(found) == ([0, 1] if own else [1])
    rows = few_shot.rows("distil", found, 4)
    assert [row["supervision"] for row in rows] == (["concept labels", "few-shot"] if own else ["few-shot"])
    assert all(list(row) == few_shot.COLUMNS and row["n"] == 2 for row in rows)
