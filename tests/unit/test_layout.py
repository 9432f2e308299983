"""UMAPs that are laid out together are those that umap-learn makes one by one."""

import re
from pathlib import Path

import numpy as np
import pytest
import umap

from zoofuse.core import logs
from zoofuse.evaluation import protocols
from zoofuse.native import build, layout

rng = np.random.default_rng(0)
RANGE = layout.TESTED
PUBLISHED = {"n_neighbors": 15, "min_dist": 0.1, "metric": "euclidean", "random_state": 47}
SETTINGS = PUBLISHED | {"held_out_epochs": 200}

if not layout.available()[0]:
    pytest.skip(f"no layouts in C++: {layout.available()[1]}", allow_module_level=True)


@pytest.fixture(autouse=True)
def any_version(monkeypatch):
    """The C++ lays out for the installed umap-learn, so that these tests show whether RANGE may be widened to it."""
    monkeypatch.setattr(layout, "TESTED", (umap.__version__, umap.__version__))


def sets(n: int) -> list[np.ndarray]:
    """Features of n CNNs of different sizes, two clusters each, the last one with twins among its points."""
    found = []
    for i in range(n):
        features = rng.normal(size=(60 + 7 * i, 30)).astype(np.float32)
        features[: 20 + i] += i
        found.append(features)
    found[-1][30:40] = found[-1][30]
    return found


def plain(features, new=None):
    reducer = umap.UMAP(n_components=2, n_jobs=1, **PUBLISHED)
    points = reducer.fit_transform(features)
    return points if new is None else (points, reducer.transform(new))


def test_the_bits_are_those_of_umap_learn():
    features = sets(20)  # more than there are lanes, so that some begin where others have come to an end
    for own, of_cnn in zip(protocols.umap_embeddings(features, SETTINGS), features, strict=True):
        assert np.array_equal(own, plain(of_cnn))


def test_so_are_those_of_new_points(monkeypatch):
    pairs = [(x[::2], x[1::2]) for x in sets(5)]
    together = protocols.places(pairs, SETTINGS)
    monkeypatch.setattr(layout, "FEWEST", 1000)
    for (points, new), pair in zip(together, pairs, strict=True):
        alone, new_alone = protocols.place(*pair, SETTINGS)
        assert np.array_equal(points, alone)
        assert np.array_equal(new, new_alone)
        assert len(np.unique(new, axis=0)) > 1


def test_a_dead_cnn_among_others_is_at_zero():
    features = sets(6)
    features[2][:] = 3
    points = protocols.umap_embeddings(features, SETTINGS)
    assert not points[2].any()
    assert np.array_equal(points[3], plain(features[3]))


def test_umap_learn_is_left_as_it_was():
    before = umap.umap_.optimize_layout_euclidean
    with pytest.raises(ValueError, match="NaN"):
        layout.fit([umap.UMAP(n_jobs=1, **PUBLISHED) for _ in range(5)], [np.full((20, 3), np.nan)] * 5)
    assert umap.umap_.optimize_layout_euclidean is before


def of_version(version: str, monkeypatch) -> None:
    monkeypatch.setattr(umap, "__version__", version)
    monkeypatch.setattr(layout, "TESTED", RANGE)
    logs.once.cache_clear()


def test_an_untested_umap_learn_computes_the_layouts_itself(monkeypatch, capfd):
    of_version("0.6.0", monkeypatch)
    monkeypatch.setattr(layout, "_held_back", lambda: pytest.fail("umap-learn was patched"))
    features = sets(4)
    for _ in range(2):
        for own, of_cnn in zip(protocols.umap_embeddings(features, SETTINGS), features, strict=True):
            assert np.array_equal(own, plain(of_cnn))
    assert capfd.readouterr().err.splitlines() == [
        "umap-learn 0.6.0 computes the layouts itself, more slowly: the C++ layout was tested with versions "
        f"{RANGE[0]} to {RANGE[1]} only."
    ]


@pytest.mark.parametrize("version", RANGE)
def test_a_tested_umap_learn_leaves_the_layouts_to_the_cpp(version, monkeypatch, capfd):
    of_version(version, monkeypatch)
    asked, lay_out = [], layout._lay_out
    monkeypatch.setattr(layout, "_lay_out", lambda layouts: (asked.append(len(layouts)), lay_out(layouts)))
    protocols.umap_embeddings(sets(4), SETTINGS)
    assert asked == [4]
    assert not capfd.readouterr().err


def test_versions_are_in_the_order_of_their_numbers(monkeypatch):
    inside = ["0.5.8", "0.5.9.post2", "0.5.11", "0.5.12"]
    outside = ["0.5.7", "0.5.13", "0.6.0", "0.5-dev", "0.50.9", "1.0.0rc1", ""]
    found = {}
    for version in inside + outside:
        of_version(version, monkeypatch)
        found[version] = layout._tested()
    assert found == dict.fromkeys(inside, True) | dict.fromkeys(outside, False)


def test_the_locked_version_is_a_tested_one(monkeypatch):
    lock = Path(__file__).parents[2] / "requirements.lock"
    of_version(re.search(r"^umap-learn==(\S+)", lock.read_text(), re.M)[1], monkeypatch)
    assert layout._tested()


@pytest.mark.parametrize("kind", ["generic", build.instruction_set()])
def test_other_vectors_give_layouts_as_good(kind, monkeypatch):
    monkeypatch.setattr(build, "instruction_set", lambda: kind)
    features = sets(4)[3]
    for points in protocols.umap_embeddings([features] * 4, SETTINGS):
        inside = np.linalg.norm(points[:23] - points[:23].mean(0), axis=1).mean()
        assert np.linalg.norm(points[:23].mean(0) - points[23:].mean(0)) > 2 * inside
