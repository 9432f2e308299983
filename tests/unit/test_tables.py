"""Tables: what is printed, what it means, and what ours say."""

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zoofuse.core import files, metrics
from zoofuse.core.errors import FileError
from zoofuse.evaluation import predictions, tables

PUBLISHED = Path(__file__).parents[2] / "resources" / "published"
POSITIVES, NEGATIVES = 34, 55


def row(model, accuracy=None, *, method="cyclegan", domain="A", clusterer="kmeans", protocol="published", tp=3, fp=1,
        fn=1, tn=5):  # fmt: skip
    """One row as the evaluation writes it; 4 positives and 6 negatives unless the counts say otherwise."""
    counts = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    accuracy = (tp + tn) / sum(counts.values()) if accuracy is None else accuracy
    first = {"method": method, "domain": domain, "model": model, "accuracy": accuracy}
    scores = {"precision": 0.7, "recall": 0.6, "entropy": 0.5, "purity": 0.8, "balanced_accuracy": accuracy - 0.1}
    rest = {"noise": 0.0, "dead": 0.1, "cosine_within": 0.9, "cosine_between": 0.8}
    return first | scores | {"protocol": protocol, "clusterer": clusterer, "clusters": 2} | counts | rest


def shard(path, *rows):
    images = predictions.Images(np.array(["a"]), np.array([1]), np.array(["-"]), np.array([False]))
    arrays = [one | {f"{one['protocol']}/{one['clusterer']}": np.array([True])} for one in rows]
    keys = ("method", "domain", "model")
    both = [
        {k: v for other in arrays if all(other[key] == one[key] for key in keys) for k, v in other.items()}
        for one in arrays
    ]
    predictions.write_evaluated(path, rows, both, images)
    return path


def printed_rows(clusterer):
    return pd.read_csv(PUBLISHED / f"{clusterer}.csv", dtype=str).to_dict("records")


def prints_as(value, text):
    """Whether `value`, cut or rounded to the digits of `text`, is `text`."""
    digits = len(text.split(".")[1])
    return any(math.isclose(float(text), x, abs_tol=1e-9) for x in (round(value, digits), cut(value, digits)))


def cut(value, digits):
    return math.floor(value * 10**digits + 1e-9) / 10**digits


def counts_that_fit(row, precision, recall):
    """All (tp, fp) that print as this row, its precision and recall read from the named columns."""
    return [
        (tp, fp)
        for tp, fp in itertools.product(range(POSITIVES + 1), range(NEGATIVES + 1))
        if prints_as(tp / POSITIVES, row[recall])
        and prints_as(tp / (tp + fp) if tp + fp else 0, row[precision])
        and prints_as((tp + NEGATIVES - fp) / (POSITIVES + NEGATIVES), row["accuracy"])
    ]


def entropy_within_classes(tp, fp):
    def bits(*counts):
        return -sum(n / sum(counts) * math.log2(n / sum(counts)) for n in counts if n)

    whole = POSITIVES + NEGATIVES
    return (POSITIVES * bits(tp, POSITIVES - tp) + NEGATIVES * bits(fp, NEGATIVES - fp)) / whole


class TestPublished:
    def test_three_tables_of_the_same_27_cnns(self):
        cnns = [sorted((r["model"], r["domain"]) for r in printed_rows(clusterer)) for clusterer in tables.CLUSTERERS]
        assert len(set(cnns[0])) == 27
        assert cnns[0] == cnns[1] == cnns[2]

    def test_digits_are_kept_as_printed(self):
        assert [r["recall"] for r in printed_rows("kmeans")][:3] == ["0.828", "0.848", "0.738"]
        assert "0.9411" in {r["precision"] for r in printed_rows("one_class_svm")}

    def test_precision_and_recall_are_swapped_in_every_row_that_can_tell(self):
        rows = [row for clusterer in tables.CLUSTERERS for row in printed_rows(clusterer)]
        swapped = [counts_that_fit(row, precision="recall", recall="precision") for row in rows]
        as_printed = [counts_that_fit(row, precision="precision", recall="recall") for row in rows]
        assert [len(fits) for fits in swapped] == [1] * 81
        assert sum(map(len, as_printed)) == 3
        for fits in filter(None, as_printed):
            tp, fp = fits[0]
            assert fp == POSITIVES - tp  # precision equals recall: no telling

    @pytest.mark.parametrize(("clusterer", "agreeing"), [("kmeans", 26), ("one_class_svm", 27)])
    def test_printed_entropy_is_within_true_classes(self, clusterer, agreeing):
        rows = printed_rows(clusterer)
        fits = [counts_that_fit(row, precision="recall", recall="precision")[0] for row in rows]
        same = [
            abs(entropy_within_classes(*fit) - float(row["entropy"])) < 0.001
            for fit, row in zip(fits, rows, strict=True)
        ]
        assert sum(same) == agreeing

    def test_dbscan_prints_what_the_reports_formulas_cannot_give(self):
        rows = printed_rows("dbscan")
        assert max(float(row["entropy"]) for row in rows) > 1
        assert min(float(row["purity"]) for row in rows) < NEGATIVES / (POSITIVES + NEGATIVES)

    def test_read_under_the_names_the_columns_deserve(self):
        best = tables.published(PUBLISHED / "kmeans.csv").iloc[0]
        assert best["published_recall"] == 0.852  # 29 of 34
        assert best["published_precision"] == 0.828  # 29 of 35

    def test_rows_are_recomputed_from_their_counts_and_the_columns_stand_swapped(self):
        for clusterer in tables.CLUSTERERS:
            read = tables.published(PUBLISHED / f"{clusterer}.csv")
            for printed, (_, named) in zip(printed_rows(clusterer), read.iterrows(), strict=True):
                ((tp, fp),) = counts_that_fit(printed, precision="recall", recall="precision")
                truth = np.repeat([True, False], [POSITIVES, NEGATIVES])
                answer = np.concatenate([np.arange(POSITIVES) < tp, np.arange(NEGATIVES) < fp])
                ours = metrics.scores(**metrics.confusion(truth, answer))
                assert prints_as(ours["accuracy"], printed["accuracy"])
                assert prints_as(ours["recall"], printed["precision"])
                assert prints_as(ours["precision"], printed["recall"])
                for name in ("accuracy", "precision", "recall"):
                    assert named[f"published_{name}"] == pytest.approx(ours[name], abs=0.001)


class TestClustererTable:
    def test_rows_of_one_clusterer_from_all_shards_in_order(self, tmp_path):
        first = shard(tmp_path / "1.h5", row(5), row(5, clusterer="dbscan"), row(4, domain="B"))
        second = shard(tmp_path / "0.h5", row(9, method="average", domain="-"), row(2))
        table = tables.clusterer_table([first, second], "published", "kmeans")
        names = list(zip(table["method"], table["domain"], table["model"], strict=True))
        assert names == [("average", "-", 9), ("cyclegan", "A", 2), ("cyclegan", "A", 5), ("cyclegan", "B", 4)]
        assert ",".join(table.columns[:8]) == "method,domain,model,accuracy,precision,recall,entropy,purity"
        assert "clusterer" not in table
        assert {"balanced_accuracy", "tp", "dead", "cosine_between"} <= set(table)

    def test_refuses_an_unknown_clusterer(self, tmp_path):
        path = shard(tmp_path / "a.h5", row(1), row(1, clusterer="dbscan"))
        with pytest.raises(ValueError, match="None of the predictions files has spectral by the published protocol"):
            tables.clusterer_table([path], "published", "spectral")

    def test_a_shard_that_is_not_clustered_is_left_out(self, tmp_path):
        ours = shard(tmp_path / "a.h5", row(1))
        reference = shard(tmp_path / "b.h5", row(0, method="brightness", clusterer="threshold"))
        assert tables.clusterer_table([reference, ours], "published", "kmeans")["method"].tolist() == ["cyclegan"]

    def test_both_protocols_of_a_cnn_are_kept_and_never_mixed(self, tmp_path):
        path = shard(tmp_path / "a.h5", row(1, 0.9), row(1, 0.5, protocol="held_out"))
        assert tables.clusterer_table([path], "held_out", "kmeans")["accuracy"].tolist() == [0.5]
        table = pd.concat(tables.clusterer_table([path], protocol, "kmeans") for protocol in ("published", "held_out"))
        assert tables.summary({"kmeans": table})["accuracy_median"].tolist() == [0.9, 0.6]  # the last is always_no
        beside = tables.beside_published(pd.concat([table, table.assign(model=229)]), PUBLISHED / "kmeans.csv")
        assert beside["accuracy"].dropna().tolist() == [0.9]

    def test_refuses_a_cnn_that_comes_twice(self, tmp_path):
        path = shard(tmp_path / "a.h5", row(7), row(8))
        with pytest.raises(ValueError, match="cyclegan A 7 comes twice"):
            tables.clusterer_table([path, path], "published", "kmeans")


class TestSummary:
    def table(self):
        accuracies = [0.5, 0.6, 0.9, 0.7, 0.8]
        ours = [row(i, accuracy) for i, accuracy in enumerate(accuracies)]
        silent = row(0, method="random", domain="-", tp=0, fp=0, fn=4, tn=6)
        loud = row(1, method="random", domain="-", tp=4, fp=6, fn=0, tn=0)
        return pd.DataFrame([*ours, silent, loud, row(2, method="random", domain="-")])

    def rows(self, **tables_by_clusterer):
        summary = tables.summary(tables_by_clusterer)
        return {(r["clusterer"], r["method"], r["domain"]): r for _, r in summary.iterrows()}

    def test_distribution_over_cnns(self):
        ours = self.rows(kmeans=self.table())["kmeans", "cyclegan", "A"]
        assert ours["n"] == 5
        assert [ours[f"accuracy_{x}"] for x in ("q25", "median", "q75")] == pytest.approx([0.6, 0.7, 0.8])
        assert ours["balanced_accuracy_median"] == pytest.approx(0.6)
        assert ours["constant_share"] == 0

    def test_the_best_is_labelled_as_picked_on_the_test(self):
        ours = self.rows(kmeans=self.table())["kmeans", "cyclegan", "A"]
        assert ours["accuracy_best_picked_on_test"] == 0.9
        assert ours["model_picked_on_test"] == 2

    def test_constant_answers_of_either_kind_are_counted(self):
        assert self.rows(kmeans=self.table())["kmeans", "random", "-"]["constant_share"] == pytest.approx(2 / 3)

    def test_always_no_comes_from_the_counts(self):
        rows = self.rows(kmeans=self.table(), dbscan=self.table())
        for clusterer in ("kmeans", "dbscan"):
            always = rows[clusterer, "always_no", "-"]
            assert always["accuracy_median"] == 0.6
            assert always["balanced_accuracy_median"] == 0.5
            assert always["constant_share"] == 1

    def test_refuses_rows_of_two_test_sets(self):
        table = pd.DataFrame([row(0), row(1, tp=30)])
        with pytest.raises(ValueError, match="kmeans: rows of more than one test set"):
            tables.summary({"kmeans": table})


class TestBesidePublished:
    def test_ours_of_the_same_index_and_domain_or_nothing(self):
        table = pd.DataFrame([row(229, 0.66), row(1486, 0.55, domain="B"), row(1234, 0.5, method="random")])
        beside = tables.beside_published(table, PUBLISHED / "kmeans.csv")
        assert len(beside) == 27
        assert beside["accuracy"].notna().sum() == 1
        best = beside.iloc[0]
        assert (best["model"], best["domain"], best["published_accuracy"], best["accuracy"]) == (229, "A", 0.876, 0.66)
        assert best["note"] == "same index and domain"
        assert beside.iloc[1]["note"] == "no such index in this run"


class TestZoo:
    def shard(self, path, models, final, share):
        epochs = 3
        history = np.full((len(models), epochs), 0.6)
        history[:, -1] = final
        shares = np.full((len(models), epochs), 0.5)
        shares[:, -1] = share
        arrays = {"model": np.array(models), "history/loss": history, "history/validation_balanced_accuracy": history}
        files.write(path, "zoo", arrays | {"history/validation_positive_share": shares})
        return path

    def shards(self, folder):
        late = self.shard(folder / "1.h5", [2, 3], [0.9, 0.5], [0.4, 1.0])
        early = self.shard(folder / "0.h5", [0, 1], [0.8, 0.5], [0.6, 0.0])
        return [late, early]

    def test_history_is_in_the_order_of_the_cnns_whatever_the_order_of_shards(self, tmp_path):
        history = tables.zoo_history(self.shards(tmp_path))
        assert history["model"].tolist() == [0, 1, 2, 3]
        assert history["validation_balanced_accuracy"][:, -1].tolist() == [0.8, 0.5, 0.9, 0.5]
        assert history["degenerate"].tolist() == [False, True, False, True]

    def test_table_counts_the_collapsed_and_keeps_them_in_the_median(self, tmp_path):
        table = tables.zoo_table({"cat": tables.zoo_history(self.shards(tmp_path))})
        row = table.iloc[0]
        assert (row["concept"], row["n"], row["epochs"], row["degenerate"]) == ("cat", 4, 3, 2)
        assert row["degenerate_share"] == 0.5
        assert row["balanced_accuracy_median"] == pytest.approx(0.65)

    def test_a_generated_zoo_has_no_history(self, tmp_path):
        files.write(tmp_path / "cyclegan.h5", "zoo", {"model": np.arange(2), "domain": np.array(["A", "B"])})
        with pytest.raises(FileError, match="has no history/loss"):
            tables.zoo_history([tmp_path / "cyclegan.h5"])
