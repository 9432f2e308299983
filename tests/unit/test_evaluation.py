"""The published protocol tells what can be told apart from what can't."""

import numpy as np
import pytest
import umap
from sklearn import metrics as sklearn_metrics

from zoofuse import config
from zoofuse.core import files
from zoofuse.core.errors import FileError
from zoofuse.evaluation import predictions, protocols
from zoofuse.zoo import zoo as zoo_files

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
    rows, arrays = protocols.evaluate(features, truth, settings)
    rows = by_clusterer(rows)
    for name in ("kmeans", "dbscan"):
        assert rows[name]["accuracy"] == 1, name
        assert rows[name]["entropy"] == 0, name
    assert rows["one_class_svm"]["recall"] == pytest.approx(0.9, abs=0.07)  # nu: a tenth are outliers
    assert arrays["umap"].shape == (80, 2)
    assert np.array_equal(arrays["one_class_svm"] == 1, arrays["one_class_svm"] != 0)


def test_noise_is_not(settings):
    features, truth = planted(0)
    rows, _ = protocols.evaluate(features, truth, settings)
    # the protocol names clusters by the truth, so it flatters noise; it must not reach far above chance
    assert 0.35 < by_clusterer(rows)["kmeans"]["balanced_accuracy"] < 0.7


def test_rows_agree_with_scikit_learn(settings):
    features, truth = planted(1)
    rows, arrays = protocols.evaluate(features, truth, settings)
    for row in rows:
        assert set(row) | {"method", "domain", "model"} == set(predictions.COLUMNS[:-4])
        clusters = arrays[row["clusterer"]]
        contingency = sklearn_metrics.cluster.contingency_matrix(truth, clusters)
        assert row["purity"] == pytest.approx(contingency.max(0).sum() / len(truth))
        assert row["tp"] + row["fn"] == truth.sum()
        assert row["accuracy"] == pytest.approx((row["tp"] + row["tn"]) / len(truth))


def test_published_random_states_give_the_same_answer_twice(settings):
    features, truth = planted(1)
    first, second = (protocols.evaluate(features, truth, settings) for _ in range(2))
    assert first[0] == second[0]
    assert np.array_equal(first[1]["umap"], second[1]["umap"])


@pytest.mark.parametrize(
    "features",
    [np.zeros((20, 400), np.float32), np.full((20, 400), np.nan, np.float32), np.full((20, 400), 3, np.float32)],
)
def test_a_dead_cnn_is_a_row_not_an_error(settings, features):
    rows, _ = protocols.evaluate(features, np.arange(20) < 8, settings)
    for row in rows:
        assert row["dead"] == 1
        assert row["balanced_accuracy"] == 0.5


@pytest.mark.parametrize("m", [4, 5, 7])
def test_very_few_images(settings, m):
    features, truth = planted(3, 2, m - 2)
    rows, arrays = protocols.evaluate(features, truth, settings | {"embeddings": ["umap", "tsne"]})
    assert len(rows) == 3
    assert arrays["tsne"].shape == (m, 2)


def test_umap_has_the_bits_of_umap_learn_called_plainly(settings):
    for distance, metric in ((1, "euclidean"), (0, "cosine"), (40, "euclidean")):
        features, _ = planted(distance)
        plain = umap.UMAP(n_components=2, random_state=47, n_jobs=1, metric=metric).fit_transform(features)
        own = protocols.umap_embedding(features, settings["umap"] | {"metric": metric})
        assert np.array_equal(own, plain), metric


def half(truth, seed=1):
    return protocols.split(truth.astype(int), np.where(np.arange(len(truth)) % 3, "x", "y"), seed, "f")


def test_the_split_halves_each_class_and_group():
    labels = np.array([1] * 21 + [0] * 40)
    groups = np.array(["bombay"] * 11 + ["eye"] * 10 + ["dog"] * 30 + ["shoe"] * 10)
    validation = protocols.split(labels, groups, 1, "black_cat")
    for group in np.unique(groups):
        assert abs(validation[groups == group].mean() - 0.5) <= 0.5 / (groups == group).sum()
    assert [validation[labels == label].sum() for label in (1, 0)] == [11, 20]
    assert np.array_equal(validation, protocols.split(labels, groups, 1, "black_cat"))
    assert not np.array_equal(validation, protocols.split(labels, groups, 2, "black_cat"))


def test_the_split_needs_images_of_both_classes():
    with pytest.raises(ValueError, match=r"fusions\.black_cat\.test\.positive: 3 images; at least 4"):
        protocols.split(np.array([1] * 3 + [0] * 9), np.repeat("g", 12), 1, "black_cat")


def test_held_out_tells_apart_what_separates(settings):
    features, truth = planted(5)
    validation = half(truth)
    rows, arrays = protocols.held_out(features, truth, validation, settings)
    rows = by_clusterer(rows)
    for name in ("kmeans", "dbscan"):
        assert rows[name]["balanced_accuracy"] == rows[name]["validation"] == 1, name
        assert np.array_equal(arrays[f"held_out/{name}"], truth)
        assert rows[name]["silhouette"] > 0.5
        assert rows[name]["density_validity"] > 0.5
    assert rows["kmeans"]["agreement"] > 0.5
    assert rows["kmeans"]["tp"] + rows["kmeans"]["fn"] == np.sum(truth & ~validation)
    assert set(rows["kmeans"]) | {"method", "domain", "model"} == set(predictions.COLUMNS)


def test_held_out_does_not_flatter_noise(settings):
    found = []
    for seed in range(12):
        features, truth = planted(0)
        rows, _ = protocols.held_out(features, truth, half(truth, seed), settings)
        found.append([row["balanced_accuracy"] for row in rows if row["clusterer"] != "one_class_svm"])
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)  # the published protocol: about 0.56


def test_test_labels_change_no_answer_and_no_choice(settings):
    features, truth = planted(2)
    validation = half(truth)
    other = np.where(validation, truth, ~truth)
    rows, arrays = protocols.held_out(features, truth, validation, settings)
    others, other_arrays = protocols.held_out(features, other, validation, settings)
    for name, values in arrays.items():
        assert np.array_equal(values, other_arrays[name]), name
    for row, same in zip(rows, others, strict=True):
        for key in ("validation", "silhouette", "density_validity", "agreement"):
            assert row[key] == same[key]
        assert row["balanced_accuracy"] == pytest.approx(1 - same["balanced_accuracy"])


@pytest.mark.parametrize("m", [8, 9, 12])
def test_held_out_with_very_few_images_or_a_dead_cnn(settings, m):
    features, truth = planted(3, 4, m - 4)
    for each in (features, np.zeros_like(features), np.full_like(features, np.nan)):
        rows, arrays = protocols.held_out(each, truth, half(truth), settings)
        assert len(rows) == 3
        assert arrays["held_out/umap"].shape == (m, 2)
    assert all(row["balanced_accuracy"] == 0.5 and row["dead"] == 1 for row in rows)


def test_parts_take_the_first_of_each_domain(tmp_path):
    zoo = tmp_path / "zoo.h5"
    files.write(zoo, "zoo", {"model": np.array([0, 1, 2] * 2), "domain": np.array(["A"] * 3 + ["B"] * 3)})
    assert zoo_files.part(zoo, None, 0, 9)["model"].tolist() == [0, 1, 2, 0, 1, 2]
    assert zoo_files.part(zoo, 2, 1, 3)["domain"].tolist() == ["A", "B"]
    assert zoo_files.part(zoo, 2, 1, 3)["model"].tolist() == [1, 0]
    assert zoo_files.part(zoo, 2, 8, 9)["model"].tolist() == []
    assert protocols.first(zoo, 1) == {("A", 0), ("B", 0)}
    assert len(protocols.first(zoo, None)) == 6


def test_a_part_reads_and_verifies_its_own_cnns_only(tmp_path):
    weights = np.random.default_rng(1).random((64, 5000), np.float32)
    names = {"model": np.arange(64), "domain": np.repeat(["-"], 64)}
    files.write(tmp_path / "zoo.h5", "zoo", names | {"conv1.weight": weights})
    content = (tmp_path / "zoo.h5").read_bytes()
    place = content.index(weights[40].tobytes())
    (tmp_path / "zoo.h5").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert np.array_equal(zoo_files.part(tmp_path / "zoo.h5", None, 0, 16)["conv1.weight"], weights[:16])
    for start, stop in ((32, 48), (40, 41), (0, 64)):
        with pytest.raises(FileError, match="checksum mismatch"):
            zoo_files.part(tmp_path / "zoo.h5", None, start, stop)


def test_kmeans_k_is_a_setting(settings):
    features, truth = planted(3)
    rows, arrays = protocols.evaluate(features, truth, settings | {"kmeans": {"k": 3, "random_state": 1}})
    assert by_clusterer(rows)["kmeans"]["clusters"] == 3
    assert len(np.unique(arrays["kmeans"])) == 3


def test_the_published_random_states_are_the_defaults(settings):
    assert settings["umap"]["random_state"] == 47
    assert settings["kmeans"]["random_state"] == 1
    assert settings["one_class_svm"] == {"nu": 0.1, "gamma": "scale"}
