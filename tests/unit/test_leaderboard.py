"""The five tables: planted truth comes out of them, nothing is selected on what it is measured on."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from zoofuse.core import metrics
from zoofuse.evaluation import leaderboard, predictions

M = 80
LABELS = np.repeat([1, 0], M // 2)
TRUTH = LABELS == 1
GROUPS = np.array(["black cat"] * 40 + ["white cat"] * 20 + ["black dog"] * 20)
VALIDATION = np.arange(M) % 2 == 0
TEST = ~VALIDATION
DRAWS = 300


def balanced(answers, where):
    return np.array([balanced_accuracy_score(TRUTH[where], row[where]) for row in answers])


def shard(
    folder, method, answers, domains="-", start=0, *, clusterers=("kmeans",), split=VALIDATION, held=None, **columns
):
    """An evaluation shard as the evaluation writes it, of CNNs whose answers (n, m) every clusterer gives.

    held: so many of them are evaluated by the held-out protocol.
    """
    n = len(answers)
    domains = np.broadcast_to(np.array(domains), n)
    rows, arrays = [], []
    for i, answer in enumerate(answers):
        cnn = {"method": method, "domain": str(domains[i]), "model": start + i}
        arrays.append(cnn | {f"{protocol}/{c}": answer for protocol in ("published", "held_out") for c in clusterers})
        for protocol, where in (("published", np.ones(M, bool)), ("held_out", ~split)):
            scores = metrics.scores(**metrics.confusion(TRUTH[where], answer[where])) | {"dead": 0.0}
            if protocol == "held_out":
                unknown = dict.fromkeys(("silhouette", "density_validity", "agreement"), np.nan)
                scores |= {"validation": balanced([answer], split)[0]} | unknown
                scores |= {name: np.broadcast_to(values, n)[i] for name, values in columns.items()}
            if protocol == "published" or held is None or i < held:
                rows += [cnn | {"protocol": protocol, "clusterer": clusterer} | scores for clusterer in clusterers]
    path = folder / f"{method}-{start}.h5"
    predictions.write_evaluated(path, rows, arrays, images(split))
    return path


def images(split=VALIDATION):
    return predictions.Images(np.arange(M).astype(str), LABELS, GROUPS, split)


def heads(folder, method, scores, validation, threshold=0.5, head="own"):
    """A zero-shot shard of CNNs that give these scores (n, m)."""
    path = folder / f"zero_shot_{method}.h5"
    measures = {"validation": np.array(validation, float), "threshold": np.full(len(scores), threshold)}
    scored = predictions.zero_shot(method, head, images(), scores=scores.astype(np.float32), **measures)
    predictions.write(path, images(), [scored])
    return path


def tables(*shards, seed=1, draws=DRAWS):
    return leaderboard.tables([path for some in shards for path in some], seed, draws)


def one(frame, **where):
    rows = frame[np.logical_and.reduce([frame[name] == value for name, value in where.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


def noise(rng, n, right=0.5):
    return (rng.random((n, M)) < right) == TRUTH


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class TestColumns:
    def test_they_are_the_contracts_and_an_empty_table_has_them(self, tmp_path, rng):
        found = tables([shard(tmp_path, "random", noise(rng, 3))])
        assert list(found) == ["leaderboard", "comparisons", "zero_shot", "selection", "groups"]
        first = "method,protocol,clusterer,n,median,q25,q75,selected,test,test_low,test_high"
        assert ",".join(found["leaderboard"].columns[:11]) == first
        assert ",".join(found["zero_shot"].columns[:8]) == "method,head,n,median,selected,test,test_low,test_high"
        assert found["comparisons"].empty
        assert "verdict" in found["comparisons"]


class TestPlantedTruth:
    def test_perfect_features_score_one_and_are_above_noise(self, tmp_path, rng):
        shards = [shard(tmp_path, "cyclegan", np.tile(TRUTH, (20, 1)), "A"), shard(tmp_path, "random", noise(rng, 20))]
        found = tables(shards)
        ours = one(found["leaderboard"], method="cyclegan", protocol="held_out")
        assert ours[["median", "q25", "q75", "test", "test_high", "validation"]].tolist() == [1.0] * 6
        assert ours["bias"] == 0
        assert 0.8 < ours["test_low"] < 1
        assert found["comparisons"]["verdict"].tolist() == ["better", "better"]
        assert (found["groups"].query("method == 'cyclegan'")["median_right"] == 1).all()

    def test_only_some_cnns_are_held_out(self, tmp_path, rng):
        right, wrong = np.tile(TRUTH, (4, 1)), np.tile(~TRUTH, (4, 1))
        shards = [shard(tmp_path, "cyclegan", right, "A", held=2)]
        shards += [shard(tmp_path, "cyclegan", wrong, "A", start, held=held) for start, held in ((4, 0), (8, 1))]
        found = tables(shards)["leaderboard"]
        assert one(found, protocol="published")["n"] == 12
        ours = one(found, protocol="held_out")
        assert ours[["n", "median", "q25", "test"]].tolist() == [3, 1, 0.5, 1]
        assert ours["selected"] in ("A/0", "A/1")

    def test_noise_is_chance_and_equals_its_control_over_repeated_seeds(self, tmp_path):
        covered, medians_covered, called, bias = [], [], [], []
        repeats = 100
        for seed in range(repeats):
            rng = np.random.default_rng(seed)
            shards = [shard(tmp_path, name, noise(rng, 30)) for name in ("cyclegan", "random")]
            found = tables(shards, seed=seed)
            ours = one(found["leaderboard"], method="cyclegan", protocol="held_out")
            covered.append(ours["test_low"] <= 0.5 <= ours["test_high"])
            medians_covered.append(ours["median_low"] <= 0.5 <= ours["median_high"])
            bias.append(ours["bias"])
            comparisons = found["comparisons"]
            called.append(comparisons["verdict"] != "inconclusive")
            assert ((comparisons["low"] <= 0) & (comparisons["high"] >= 0) != called[-1]).all()
        error = 3 * np.sqrt(0.05 * 0.95 / repeats)
        assert np.mean(covered) > 0.95 - error
        assert 0.95 - error < np.mean(medians_covered) < 1  # neither too narrow nor without end
        assert (np.mean(called, axis=0) < 0.05 + error).all()
        assert np.mean(bias) > 0.1  # the best of 30 on validation

    def test_zero_shot_separates_and_does_not(self, tmp_path, rng):
        shards = [shard(tmp_path, name, noise(rng, 10)) for name in ("cyclegan", "random")]
        perfect = TRUTH + 0.1 * rng.random((10, M))
        zero_shot = [
            heads(tmp_path, "cyclegan", perfect, np.full(10, 0.9)),
            heads(tmp_path, "random", rng.random((10, M)), np.full(10, 0.5)),
        ]
        found = tables(shards, zero_shot)
        ours, theirs = (one(found["zero_shot"], method=method) for method in ("cyclegan", "random"))
        assert ours[["median", "test", "average_precision", "balanced_accuracy"]].tolist() == [1.0] * 4
        assert theirs["test_low"] < 0.5 < theirs["test_high"]
        zero = found["comparisons"].query("protocol == 'zero_shot'")
        assert zero["verdict"].tolist() == ["better", "better"]


class TestLeaderboard:
    def test_distribution_selection_and_bias(self, tmp_path, rng):
        answers = noise(rng, 25, 0.7)
        found = tables([shard(tmp_path, "cyclegan", answers, ["A"] * 12 + ["B"] * 13)])["leaderboard"]
        row = one(found, protocol="held_out")
        tested, validated = balanced(answers, TEST), balanced(answers, VALIDATION)
        assert row[["q25", "median", "q75"]].tolist() == pytest.approx(np.quantile(tested, [0.25, 0.5, 0.75]), abs=1e-6)
        i = np.argmax(validated)
        assert row["selected"] == f"{'A' if i < 12 else 'B'}/{i}"
        assert row["test"] == pytest.approx(tested[i], abs=1e-6)
        assert row["bias"] == pytest.approx(validated[i] - tested[i], abs=1e-6)
        assert (row["test_images"], row["selected_on"], row["n"]) == (40, "validation", 25)
        published = one(found, protocol="published")
        assert published["test"] == pytest.approx(balanced(answers, np.ones(M, bool)).max(), abs=1e-6)
        assert (published["test_images"], published["selected_on"]) == (80, "test")
        assert published[["test_low", "test_high", "validation", "bias"]].isna().all()

    def test_of_equal_scores_the_lowest_index_then_the_first_domain(self):
        models, domains = np.array([4, 3, 3, 5]), np.array(["A", "C", "B", "A"])
        assert leaderboard.best(np.array([0.7, 0.7, 0.7, 0.6]), models, domains) == 2
        assert leaderboard.best(np.array([np.nan, 0.1, np.nan, 0.6]), models, domains) == 3

    def test_dead_share_counts_cnns_that_say_the_same_to_everything(self, tmp_path, rng):
        found = tables([shard(tmp_path, "random", noise(rng, 4), dead=[1.0, 0.99, 1.0, 0.0])])["leaderboard"]
        assert one(found, protocol="held_out")["dead_share"] == 0.5
        found = tables([shard(tmp_path, "pixels", noise(rng, 1), dead=np.nan)])["leaderboard"]
        assert np.isnan(one(found, protocol="held_out")["dead_share"])

    def test_the_tables_depend_neither_on_the_shards_nor_on_the_day(self, tmp_path, rng):
        answers, baseline = noise(rng, 9, 0.7), noise(rng, 9)
        for name in ("whole", "parts"):
            (tmp_path / name).mkdir()
        whole = [shard(tmp_path / "whole", "netspace", answers), shard(tmp_path / "whole", "random", baseline)]
        parts = [shard(tmp_path / "parts", "netspace", answers[i : i + 4], start=i) for i in (0, 4, 8)]
        parts.append(shard(tmp_path / "parts", "random", baseline))
        for name, frame in tables(whole).items():
            pd.testing.assert_frame_equal(frame, tables(parts)[name])
        other = tables(whole, seed=2)["comparisons"]
        assert not other["low"].equals(tables(whole)["comparisons"]["low"])

    def test_refuses_methods_of_different_images(self, tmp_path, rng):
        shards = [shard(tmp_path, "cyclegan", noise(rng, 3)), shard(tmp_path, "random", noise(rng, 3), split=TEST)]
        with pytest.raises(ValueError, match=r"random-0\.h5: validation differ.*Evaluate all methods on the same"):
            tables(shards)


class TestComparisons:
    def found(self, folder, rng):
        both = ("kmeans", "dbscan")
        shards = [shard(folder, name, noise(rng, 9, 0.8), clusterers=both) for name in ("cyclegan", "netspace")]
        shards += [shard(folder, name, noise(rng, 9), clusterers=both) for name in ("random", "shuffled")]
        shards.append(shard(folder, "always_no", np.zeros((1, M), bool), clusterers=("threshold",)))
        return tables(shards)

    def test_every_generated_method_with_every_control_and_reference(self, tmp_path, rng):
        found = self.found(tmp_path, rng)["comparisons"]
        assert set(found["method"]) == {"cyclegan", "netspace"}
        assert set(found["baseline"]) == {"random", "shuffled", "always_no"}
        assert len(found) == 2 * 2 * 3 * 2  # methods, clusterers, baselines, medians and selected
        assert (found["comparisons"] == 12).all()

    def test_an_interval_is_that_of_its_corrected_level(self, tmp_path, rng):
        found = self.found(tmp_path, rng)
        row = one(found["comparisons"], method="cyclegan", clusterer="kmeans", baseline="always_no", what="selected")
        single = one(found["leaderboard"], method="cyclegan", clusterer="kmeans", protocol="held_out")
        assert row["difference"] == pytest.approx(single["test"] - 0.5, abs=1e-6)
        wider = (row["high"] - row["low"]) / (single["test_high"] - single["test_low"])
        assert wider > 1.2  # 2.87 against 1.96 standard errors

    def test_controls_are_not_compared_with_one_another(self, tmp_path, rng):
        shards = [shard(tmp_path, name, noise(rng, 3)) for name in ("random", "matched", "average")]
        assert tables(shards)["comparisons"].empty


class TestZeroShot:
    def test_against_scikit_learn(self, tmp_path, rng):
        scores = rng.random((12, M)) + 0.4 * TRUTH
        validation = rng.random(12)
        zero_shot = [heads(tmp_path, "netspace", scores, validation, threshold=0.7)]
        row = tables([shard(tmp_path, "netspace", noise(rng, 12))], zero_shot)["zero_shot"].iloc[0]
        i = np.argmax(validation)
        given = scores[i].astype(np.float32)[TEST]
        assert row["selected"] == str(i)
        assert row["test"] == pytest.approx(roc_auc_score(TRUTH[TEST], given), abs=1e-6)
        assert row["average_precision"] == pytest.approx(average_precision_score(TRUTH[TEST], given), abs=1e-6)
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(TRUTH[TEST], given >= 0.7), abs=1e-6)
        assert row["median"] == pytest.approx(
            np.median([roc_auc_score(TRUTH[TEST], each[TEST]) for each in scores.astype(np.float32)]), abs=1e-6
        )
        assert row["test_low"] < row["test"] < row["test_high"]

    def test_references_stand_beside_and_a_head_they_lack_is_replaced_by_theirs(self, tmp_path, rng):
        scores = rng.random((5, M))
        sets = [
            predictions.zero_shot(
                method, "own", images(), scores=scores[:n], validation=rng.random(n), threshold=np.full(n, 0.5)
            )
            for method, n in (("product", 5), ("supervised", 3))
        ]
        predictions.write(tmp_path / "baselines.h5", images(), sets)
        zero_shot = [heads(tmp_path, "cyclegan", scores, rng.random(5), head="probe"), tmp_path / "baselines.h5"]
        found = tables([shard(tmp_path, "cyclegan", noise(rng, 5))], zero_shot)
        assert found["zero_shot"][["method", "head", "n"]].values.tolist() == [
            ["cyclegan", "probe", 5], ["product", "own", 5], ["supervised", "own", 3]
        ]  # fmt: skip
        assert set(found["comparisons"].query("protocol == 'zero_shot'")["baseline"]) == {"product", "supervised"}

    def test_without_validation_images_there_is_a_distribution_and_no_selected_cnn(self, tmp_path, rng):
        unknown = np.full(5, np.nan)
        paths = [heads(tmp_path, m, rng.random((5, M)), unknown, np.nan) for m in ("cyclegan", "random")]
        found = tables([shard(tmp_path, "cyclegan", noise(rng, 5))], paths)
        assert found["zero_shot"]["median"].notna().all()
        assert found["zero_shot"][["selected", "test", "balanced_accuracy"]].isna().all(axis=None)
        assert found["comparisons"].query("protocol == 'zero_shot'")["what"].tolist() == ["median"]


class TestSelection:
    def test_each_rule_picks_by_itself_and_is_measured_on_the_test(self, tmp_path, rng):
        answers = noise(rng, 6, 0.7)
        rules = {"silhouette": [0, 1, 2, 3, 9, 4], "density_validity": [np.nan, 5, 1, 1, 1, 1]}
        found = tables([shard(tmp_path, "cyclegan", answers, "A", **rules)])["selection"]
        assert found["rule"].tolist() == ["validation", "silhouette", "density_validity"]  # agreement is unknown
        assert found["selected"].tolist()[1:] == ["A/4", "A/1"]
        tested = balanced(answers, TEST)
        assert found["test"].tolist()[1:] == pytest.approx(tested[[4, 1]], abs=1e-6)
        assert found["chance"].tolist() == pytest.approx([np.median(tested)] * 3, abs=1e-6)
        assert ((found["test_low"] < found["test"]) & (found["test"] < found["test_high"])).all()

    def test_a_single_answer_has_nothing_to_select(self, tmp_path):
        path = shard(tmp_path, "brightness", TRUTH[None], clusterers=("threshold",))
        found = tables([path])
        assert found["selection"].empty
        assert one(found["leaderboard"], protocol="held_out")["n"] == 1


class TestGroups:
    def test_right_answers_by_group_of_the_test_split(self, tmp_path):
        answers = np.tile(TRUTH, (3, 1))
        answers[0, GROUPS == "black dog"] = True
        answers[1:, GROUPS == "black cat"] = False
        answers[0, VALIDATION] = TRUTH[VALIDATION]  # selected by validation, wrong about black dogs on the test
        found = tables([shard(tmp_path, "random", answers)])["groups"]
        rows = found[["group", "positive", "n", "selected_right", "median_right"]].values.tolist()
        assert rows == [
            ["black cat", True, 20, 1.0, 0.0], ["black dog", False, 10, 0.0, 1.0], ["white cat", False, 10, 1.0, 1.0]
        ]  # fmt: skip
