"""The report's formulas, against scikit-learn, hand-computed cases and the published digits."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from zoofuse.core import metrics

rng = np.random.default_rng(0)


@pytest.mark.parametrize("n", [5, 89, 400])
def test_scores_agree_with_scikit_learn(n):
    truth, answer = rng.random(n) < 0.4, rng.random(n) < 0.5
    truth[:2] = True, False
    counts = metrics.confusion(truth, answer)
    assert sum(counts.values()) == n
    scores = metrics.scores(**counts)
    assert scores["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(truth, answer))
    assert scores["precision"] == pytest.approx(sklearn_metrics.precision_score(truth, answer, zero_division=0))
    assert scores["recall"] == pytest.approx(sklearn_metrics.recall_score(truth, answer))
    assert scores["balanced_accuracy"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(truth, answer))


def test_published_row_229_a():
    # KMeans, domain A: TP 29, FP 6, FN 5, TN 49; printed accuracy 0.876, "precision" 0.852, "recall" 0.828: swapped.
    scores = metrics.scores(tp=29, fp=6, fn=5, tn=49)
    assert scores["accuracy"] == pytest.approx(0.876, abs=5e-4)
    assert scores["recall"] == pytest.approx(0.8529, abs=5e-4)
    assert scores["precision"] == pytest.approx(0.8286, abs=5e-4)


def test_answering_never_is_no_error():
    assert metrics.scores(tp=0, fp=0, fn=4, tn=6) == {
        "accuracy": 0.6, "precision": 0, "recall": 0, "balanced_accuracy": 0.5,
    }  # fmt: skip


def test_entropy_and_purity_by_hand():
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
    clusters = np.array([0, 0, 0, 0, 1, 1, 1, -1])
    # cluster 0: 3 of 4 positive, 0.8113 bits; the others are pure; noise counts as a cluster of its own
    assert metrics.entropy(truth, clusters) == pytest.approx(4 / 8 * 0.811278, abs=1e-6)
    assert metrics.purity(truth, clusters) == 7 / 8
    assert metrics.entropy(truth, truth) == 0
    assert metrics.entropy(np.array([True, False]), np.zeros(2)) == 1


def test_positive_cluster_holds_most_true_positives():
    truth = np.array([1, 1, 1, 0, 0, 0], bool)
    assert metrics.positive_cluster(truth, np.array([4, 4, 2, 2, 2, 2])) == 4
    assert metrics.positive_cluster(truth, np.array([-1, -1, 2, 2, 5, 5])) == 2  # noise is no cluster
    assert metrics.positive_cluster(truth, np.full(6, -1)) is None


def test_cosine_similarity_agrees_with_scikit_learn_and_knows_zero():
    features = rng.normal(size=(7, 5))
    features[3] = 0
    expected = sklearn_metrics.pairwise.cosine_similarity(features)
    assert np.allclose(metrics.cosine_similarity(features), expected)


def test_density_validity_of_hand_computed_clusters():
    # Four points on a line each, 1 apart, 10 between the lines: every core distance from the mean of 1/d squared.
    points = np.array([[x, y] for y in (0.0, 10.0) for x in range(4)])
    clusters = np.repeat([0, 1], 4)
    core = {
        "end": np.mean([1, 1 / 4, 1 / 9]) ** -0.5,
        "inner": np.mean([1, 1, 1 / 4]) ** -0.5,
    }
    inside = max(core["inner"], 1)  # the one edge between inner points
    apart = 10.0
    assert metrics.density_validity(points, clusters) == pytest.approx((apart - inside) / apart)
    assert core["end"] > core["inner"]


def test_density_validity_ranks_clusterings():
    far = np.concatenate([rng.normal(size=(40, 2)), rng.normal(size=(40, 2)) + 20])
    right, wrong = np.repeat([0, 1], 40), np.arange(80) % 2
    assert metrics.density_validity(far, right) > 0.5 > 0 > metrics.density_validity(far, wrong)
    noisy = np.where(np.arange(80) % 8, right, -1)
    assert metrics.density_validity(far, noisy) < metrics.density_validity(far, right)
    assert np.isnan(metrics.density_validity(far, np.zeros(80, int)))
    assert metrics.density_validity(np.zeros((6, 2)), np.arange(6) % 2) == 0
    assert -1 <= metrics.density_validity(far, np.array([0] * 79 + [1])) <= 1
