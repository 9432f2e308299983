"""The search finds what helps, on validation images only."""

import numpy as np
import pytest

from zoofuse import config
from zoofuse.evaluation import protocols, search

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def settings():
    return config.complete({"concepts": {"a": {"positive": ["a"], "negative": ["b"]}}})["evaluation"]


@pytest.fixture(scope="module", autouse=True)
def small_grid():
    """Less to wait for; the real grid is the same in kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "N_NEIGHBORS", (15,))
        patch.setattr(search, "MIN_DIST", (0.0,))
        yield


@pytest.fixture(scope="module")
def planted():
    """Two CNNs whose truth lies in one small feature beneath large ones that say nothing."""
    truth = np.arange(96) < 40
    features = rng.normal(size=(2, 96, 12)).astype(np.float32) * 20
    features[:, :, 0] = 4.0 * truth + rng.normal(size=(2, 96)) * 0.3
    validation = protocols.split((~truth).astype(int), np.repeat("g", 96), 1, "f")
    return features, truth, validation


@pytest.fixture(scope="module")
def found(planted, settings):
    features, truth, validation = planted
    weight = np.zeros(12, np.float32)
    weight[0] = 1
    return search.search("m", features, [weight, weight], truth, validation, settings, 1)


def test_the_way_that_helps_is_chosen_and_holds_on_the_test_split(found):
    chosen = found[found["chosen"]].set_index("clusterer")
    configured = found[found["configured"]].set_index("clusterer")
    assert chosen.loc["kmeans", "features"] == "probe_weighted"
    assert chosen.loc["kmeans", "validation"] == chosen.loc["kmeans", "test"] == 1
    assert configured.loc["kmeans", "test"] < 0.75
    assert list(chosen.index) == list(configured.index) == ["dbscan", "kmeans", "one_class_svm"]


def test_only_the_chosen_and_the_configured_touch_the_test(found):
    touched = found["test"].notna()
    assert (touched == (found["chosen"] | found["configured"])).all()
    assert 3 <= touched.sum() <= 6
    assert list(found) == search.COLUMNS


def test_test_labels_choose_nothing(found, planted, settings):
    features, truth, validation = planted
    other = np.where(validation, truth, ~truth)
    weight = np.eye(12, dtype=np.float32)[0]
    again = search.search("m", features, [weight, weight], other, validation, settings, 1)
    assert found.drop(columns=["test", "test_q25", "test_q75"]).equals(
        again.drop(columns=["test", "test_q25", "test_q75"])
    )


def test_without_probes_and_with_dead_cnns(planted, settings):
    _, truth, validation = planted
    table = search.search("m", np.zeros((1, 96, 12), np.float32), [None], truth, validation, settings, 1)
    assert "probe_weighted" not in set(table["features"])
    assert (table["validation"] == 0.5).all()


def test_the_configured_parameters_are_among_the_combinations(settings):
    own = settings | {"umap": settings["umap"] | {"n_neighbors": 21}, "kmeans": {"k": 3, "random_state": 1}}
    grid = search.combinations(own, probes=False)
    assert grid["plain", 21, 0.1, "kmeans", 0]["kmeans"]["k"] == 3
    assert sum(each.get("kmeans") == own["kmeans"] for each in grid.values()) == len({key[:3] for key in grid})
