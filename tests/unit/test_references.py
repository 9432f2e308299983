"""Reference answers say what little a fusion's images give away by themselves."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.decomposition import PCA

from zoofuse import config
from zoofuse.evaluation import baselines, predictions, protocols
from zoofuse.methods import registry

M = 80
TRUTH = np.arange(M) % 2 == 0
VALIDATION = np.arange(M) // 2 % 2 == 0


@pytest.fixture(scope="module")
def settings():
    return config.complete({"concepts": {"a": {"positive": ["a"], "negative": ["b"]}}})["evaluation"]


def photographs(seed: int, brighter: float = 0, redder: float = 0) -> np.ndarray:
    """Noise of uneven brightness; the positives brighter, and redder at the same brightness."""
    rng = np.random.default_rng(seed)
    images = rng.normal(120, 20, (M, 32, 32, 3)) + rng.normal(0, 5, (M, 1, 1, 1))
    images[TRUTH] += brighter + redder * np.array([1, -0.5, -0.5])
    return images.clip(0, 255).astype(np.uint8)


def by_method(images, settings):
    return {
        method: (rows, arrays) for method, rows, arrays in baselines.references(images, TRUTH, VALIDATION, settings)
    }


def scored(rows, protocol, clusterer="threshold"):
    (row,) = (row for row in rows if (row["protocol"], row["clusterer"]) == (protocol, clusterer))
    return row


def test_rows_and_arrays_are_those_of_an_evaluation_shard(settings):
    found = by_method(photographs(0, brighter=60), settings)
    assert list(found) == registry.images_only()
    for method, (rows, arrays) in found.items():
        clusterers = protocols.CLUSTERERS if method in ("pixels", "pca") else ["threshold"]
        assert [(row["protocol"], row["clusterer"]) for row in rows] == [
            (protocol, clusterer) for protocol in ("published", "held_out") for clusterer in clusterers
        ]
        for row in rows:
            assert set(row) <= set(predictions.COLUMNS)
            assert row["tp"] + row["fp"] + row["fn"] + row["tn"] == (M if row["protocol"] == "published" else M // 2)
            if row["protocol"] == "held_out":
                answer = arrays[f"held_out/{row['clusterer']}"]
                assert answer.shape == (M,)
                for rows_of, name in ((~VALIDATION, "balanced_accuracy"), (VALIDATION, "validation")):
                    expected = metrics.balanced_accuracy_score(TRUTH[rows_of], answer[rows_of])
                    assert row[name] == pytest.approx(expected), (method, name)
    assert scored(found["always_no"][0], "held_out")["balanced_accuracy"] == 0.5
    assert scored(found["always_no"][0], "published") | {"tn": M // 2, "tp": 0, "accuracy": 0.5, "noise": 0} == scored(
        found["always_no"][0], "published"
    )
    for method, clusterer in (("brightness", "threshold"), ("pixels", "kmeans"), ("pca", "kmeans")):
        assert scored(found[method][0], "held_out", clusterer)["balanced_accuracy"] == 1, method


@pytest.mark.parametrize("sign", [1, -1])
def test_direction_is_found(sign):
    rows, _ = baselines.thresholded(
        baselines.zero_shot.brightness(photographs(1, brighter=40 * sign)), TRUTH, VALIDATION
    )
    assert [row["balanced_accuracy"] for row in rows] == [1, 1]


def test_colour_sees_what_brightness_does_not():
    images = photographs(2, redder=10)
    for look, low, high in ((baselines.zero_shot.brightness, 0.25, 0.75), (baselines.zero_shot.colour, 1, 1)):
        rows, _ = baselines.thresholded(look(images), TRUTH, VALIDATION)
        assert low <= scored(rows, "held_out")["balanced_accuracy"] <= high


def test_noise_is_chance_when_held_out_and_flattered_when_not():
    found = [
        baselines.thresholded(baselines.zero_shot.colour(photographs(seed)), TRUTH, VALIDATION)[0] for seed in range(40)
    ]
    held_out = np.mean([scored(rows, "held_out")["balanced_accuracy"] for rows in found])
    error = 0.5 / np.sqrt(M / 2)  # of one balanced accuracy on the 40 images held out
    assert abs(held_out - 0.5) < 4 * error / np.sqrt(40)
    assert np.mean([scored(rows, "published")["balanced_accuracy"] for rows in found]) > 0.55
    assert np.mean([scored(rows, "held_out")["validation"] for rows in found]) > 0.55


def test_labels_of_the_test_half_are_not_used():
    colours = baselines.zero_shot.colour(photographs(3, brighter=3))
    flipped = np.where(VALIDATION, TRUTH, ~TRUTH)
    answers = [baselines.thresholded(colours, truth, VALIDATION)[1]["held_out/threshold"] for truth in (TRUTH, flipped)]
    assert np.array_equal(*answers)


def test_principal_components_are_those_of_the_fitted_half():
    x = np.random.default_rng(4).normal(size=(M, 300)).astype(np.float32)
    found = baselines.principal_components(x, VALIDATION)
    assert found.shape == (M, VALIDATION.sum() - 1)
    np.testing.assert_allclose(found, PCA(39, svd_solver="full").fit(x[VALIDATION]).transform(x), atol=1e-4)
    x[~VALIDATION] *= 7
    np.testing.assert_allclose(baselines.principal_components(x, VALIDATION)[VALIDATION], found[VALIDATION], atol=1e-4)
    assert baselines.principal_components(x, np.ones(M, bool)).shape == (M, baselines.COMPONENTS)
