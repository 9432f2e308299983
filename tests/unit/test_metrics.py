"""The report's formulas, against scikit-learn, hand-computed cases and the published digits."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from zoofuse import metrics

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
