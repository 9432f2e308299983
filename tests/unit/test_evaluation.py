"""The published protocol tells what can be told apart from what can't."""

import numpy as np
import pytest
import yaml
from sklearn import metrics as sklearn_metrics

from zoofuse import config, evaluation

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def settings():
    fold = {"positive": ["a"], "negative": ["b"]}
    return config.complete({"concepts": {"a": fold}})["evaluation"]


def planted(distance: float, positives: int = 30, others: int = 50) -> tuple[np.ndarray, np.ndarray]:
    truth = np.arange(positives + others) < positives
    features = rng.normal(size=(len(truth), 400)).astype(np.float32)
    features[truth, :50] += distance
    return features, truth


def by_clusterer(rows):
    return {row["clusterer"]: row for row in rows}


def test_features_that_separate_are_told_apart(settings):
    features, truth = planted(5)
    rows, arrays = evaluation.evaluate(features, truth, settings)
    rows = by_clusterer(rows)
    for name in ("kmeans", "dbscan"):
        assert rows[name]["accuracy"] == 1, name
        assert rows[name]["entropy"] == 0, name
    assert rows["one_class_svm"]["recall"] == pytest.approx(0.9, abs=0.07)  # nu: a tenth are outliers
    assert arrays["umap"].shape == (80, 2)
    assert np.array_equal(arrays["one_class_svm"] == 1, arrays["one_class_svm"] != 0)


def test_noise_is_not(settings):
    features, truth = planted(0)
    rows, _ = evaluation.evaluate(features, truth, settings)
    # the protocol names clusters by the truth, so it flatters noise; it must not reach far above chance
    assert 0.35 < by_clusterer(rows)["kmeans"]["balanced_accuracy"] < 0.7


def test_rows_agree_with_scikit_learn(settings):
    features, truth = planted(1)
    rows, arrays = evaluation.evaluate(features, truth, settings)
    for row in rows:
        assert set(row) | {"method", "domain", "model"} == set(evaluation.COLUMNS)
        clusters = arrays[row["clusterer"]]
        contingency = sklearn_metrics.cluster.contingency_matrix(truth, clusters)
        assert row["purity"] == pytest.approx(contingency.max(0).sum() / len(truth))
        assert row["tp"] + row["fn"] == truth.sum()
        assert row["accuracy"] == pytest.approx((row["tp"] + row["tn"]) / len(truth))


def test_published_random_states_give_the_same_answer_twice(settings):
    features, truth = planted(1)
    first, second = (evaluation.evaluate(features, truth, settings) for _ in range(2))
    assert first[0] == second[0]
    assert np.array_equal(first[1]["umap"], second[1]["umap"])


@pytest.mark.parametrize(
    "features",
    [np.zeros((20, 400), np.float32), np.full((20, 400), np.nan, np.float32), np.full((20, 400), 3, np.float32)],
)
def test_a_dead_cnn_is_a_row_not_an_error(settings, features):
    rows, _ = evaluation.evaluate(features, np.arange(20) < 8, settings)
    for row in rows:
        assert row["dead"] == 1
        assert row["balanced_accuracy"] == 0.5


@pytest.mark.parametrize("m", [4, 5, 7])
def test_very_few_photographs(settings, m):
    features, truth = planted(3, 2, m - 2)
    rows, arrays = evaluation.evaluate(features, truth, settings | {"embeddings": ["umap", "tsne"]})
    assert len(rows) == 3
    assert arrays["tsne"].shape == (m, 2)


def test_parts_take_the_first_of_each_domain():
    zoo = {"model": np.array([0, 1, 2, 0, 1, 2]), "domain": np.array(["A", "A", "A", "B", "B", "B"])}
    assert evaluation.part(zoo, None, 0, 9)["model"].tolist() == [0, 1, 2, 0, 1, 2]
    assert evaluation.part(zoo, 2, 1, 3)["domain"].tolist() == ["A", "B"]
    assert evaluation.part(zoo, 2, 1, 3)["model"].tolist() == [1, 0]
    assert evaluation.part(zoo, 2, 8, 9)["model"].tolist() == []


def test_kmeans_k_is_a_setting(settings):
    features, truth = planted(3)
    rows, arrays = evaluation.evaluate(features, truth, settings | {"kmeans": {"k": 3, "random_state": 1}})
    assert by_clusterer(rows)["kmeans"]["clusters"] == 3
    assert len(np.unique(arrays["kmeans"])) == 3


def test_schema_has_the_published_random_states(root, settings):
    schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text())
    assert schema["title"]
    assert settings["umap"]["random_state"] == 47
    assert settings["kmeans"]["random_state"] == 1
    assert settings["one_class_svm"] == {"nu": 0.1, "gamma": "scale"}
