"""Several runs together say what is left when everything is made anew."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from zoofuse.evaluation import replicates
from zoofuse.evaluation.predictions import Images

LABELS = np.repeat([1, 0], [40, 60])
GROUPS = np.array(["cat"] * 40 + ["dog"] * 25 + ["thing"] * 35)


def run(seed, validation_seed=None, **strength):
    """A run whose methods' CNNs tell images apart by so many standard deviations; supervised is a reference."""
    rng = np.random.default_rng(seed)
    validation = np.zeros(100, bool)
    half = np.random.default_rng(1000 + (seed if validation_seed is None else validation_seed))
    for members in (np.flatnonzero(LABELS), np.flatnonzero(LABELS == 0)):
        validation[half.permutation(members)[: len(members) // 2]] = True
    answers = {}
    for method, d in strength.items():
        scores = d * LABELS + rng.normal(size=(5, 100)) * 0.3 + rng.normal(size=100)
        answers[method, "zero_shot", "own"] = scores.astype(np.float32)
        answers[method, "held_out", "kmeans"] = scores > d / 2
    return replicates.Run(Images(np.arange(100).astype(str), LABELS, GROUPS, validation), answers)


def runs(n, **strength):
    return {f"runs/{seed}": run(seed, **strength) for seed in range(n)}


def test_what_is_better_in_every_run_is_above():
    tables, medians = replicates.tables(runs(5, distil=3.0, random=0.0, cyclegan=0.0), 1)
    found = tables["replicate_comparisons"].set_index(["method", "clusterer", "baseline"])
    assert found.loc[("distil", "own", "random"), "verdict"] == "better"
    assert found.loc[("distil", "kmeans", "random"), "verdict"] == "better"
    assert found.loc[("cyclegan", "own", "random"), "verdict"] == "inconclusive"
    assert set(found["comparisons"]) == {2}
    row = tables["replicates"].set_index(["method", "clusterer", "against"]).loc[("distil", "own", "all")]
    own = medians["distil", "zero_shot", "own"].found
    assert row["median"] == pytest.approx(own.mean(), abs=1e-5)
    assert (row["runs"], row["n"], row["supervision"]) == (5, 5, "concept labels")
    assert row["low"] < row["least"] < row["greatest"] <= row["high"]


def test_a_group_of_negatives_has_an_auroc_of_its_own():
    some = runs(3, distil=2.0)
    for each in some.values():
        each.scores["distil", "zero_shot", "own"][:, GROUPS == "dog"] += 9
    table = replicates.tables(some, 1)[0]["replicates"]
    of = table[table["protocol"] == "zero_shot"].set_index("against")["median"]
    assert of["dog"] < 0.1 < 0.85 < of["thing"]
    assert set(of.index) == {"all", "dog", "thing"}


def test_runs_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="name at least one folder"):
        replicates.tables(runs(1, distil=1.0), 1)
    twins = {"this run": run(1, distil=1.0), "runs/2": run(2, 1, distil=1.0)}
    with pytest.raises(ValueError, match=r"runs/2 and this run split .* one seed"):
        replicates.tables(twins, 1)
    other = run(2, distil=1.0)
    other = other._replace(images=replace(other.images, labels=1 - LABELS))
    with pytest.raises(ValueError, match="runs/2 has other test images than this run"):
        replicates.tables({"this run": run(1, distil=1.0), "runs/2": other}, 1)


def test_runs_with_test_images_of_their_own_need_not_agree_on_them():
    one, other = run(1, distil=2.0), run(2, distil=2.0)
    turned = np.random.default_rng(0).permutation(100)
    scores = {kind: values[:, turned] for kind, values in other.scores.items()}
    arrays = {name: values[turned] for name, values in vars(other.images).items()}
    other = replicates.Run(Images(**arrays), scores)
    tables, medians = replicates.tables({"this run": one, "runs/2": other}, 1, own_images=True)
    row = tables["replicates"].set_index(["clusterer", "against"]).loc[("own", "all")]
    found = medians["distil", "zero_shot", "own"].found
    half = stats.t.ppf(0.975, 1) * np.std(found, ddof=1) / 2**0.5  # Student's t between runs, nothing else
    assert (row["low"], row["high"]) == pytest.approx(
        (max(0, found.mean() - half), min(1, found.mean() + half)), abs=1e-5
    )
    assert set(tables["replicates"]["against"]) == {"all", "dog", "thing"}


@pytest.mark.parametrize("own_images", [False, True])
def test_intervals_cover_what_they_are_about(own_images):
    """Images from a population, seeds that shift a method: 95 % intervals of 5 runs hold it about so often."""
    rng, hits, times, truth = np.random.default_rng(3), 0, 150, LABELS == 1
    expected = 0.76  # AUROC of N(1, 1) against N(0, 1)
    for _ in range(times):
        some = {}
        for seed in range(5):
            if own_images or not some:
                photographs = truth + rng.normal(size=100)
            one = run(int(rng.integers(1 << 30)))
            scores = photographs + rng.normal(size=(1, 100)) * 0.1
            one.scores["distil", "zero_shot", "own"] = scores
            some[f"runs/{seed}"] = one
        row = replicates.tables(some, 1, draws=200, own_images=own_images)[0]["replicates"].iloc[0]
        hits += row["low"] <= expected <= row["high"]
    assert 0.89 <= hits / times <= 0.995
