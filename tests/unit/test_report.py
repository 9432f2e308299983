"""The report: what its first screen claims, that it needs no network, and that it holds what it was given."""

import base64
import gzip
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from zoofuse.core import csv_files
from zoofuse.evaluation import tables
from zoofuse.report import charts, narrative, report, run_facts

VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Collects elements and refuses tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def unpacked(html):
    """Every packed text of a page but the libraries, as JSON."""
    found = re.findall(r'<script type="text/plain"(?: class="data")?>(.*?)</script>', html, re.S)
    return [json.loads(gzip.decompress(base64.b64decode(text))) for text in found]


def compared(verdicts, protocol="held_out", what="median"):
    """comparisons.csv of one clusterer: {(method, baseline): verdict}."""
    signs = {"better": 0.1, "worse": -0.1, "inconclusive": 0.0}
    rows = [
        {"method": method, "protocol": protocol, "clusterer": "kmeans", "baseline": baseline, "what": what,
         "difference": signs[verdict], "low": signs[verdict] - 0.05, "high": signs[verdict] + 0.05,
         "comparisons": len(verdicts), "verdict": verdict}
        for (method, baseline), verdict in verdicts.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def against(random, average):
    return compared({("cyclegan", "random"): random, ("cyclegan", "average"): average})


def entry(method, protocol="held_out", median=0.6, test=0.55, validation=0.7, clusterer="kmeans", n=40):
    held = protocol == "held_out"
    return {"method": method, "protocol": protocol, "clusterer": clusterer, "n": n, "median": median,
            "q25": median - 0.05, "q75": median + 0.05, "selected": "A/7", "test": test,
            "test_low": test - 0.1 if held else np.nan, "test_high": test + 0.1 if held else np.nan,
            "measure": "balanced_accuracy", "validation": validation if held else np.nan,
            "bias": validation - test if held else np.nan, "dead_share": 0.25, "test_images": 45,
            "selected_on": "validation" if held else "test",
            "supervision": tables.supervision(method), "median_low": median - 0.04 if held else np.nan,
            "median_high": median + 0.05 if held else np.nan}  # fmt: skip


def board():
    return pd.DataFrame(
        [
            entry("cyclegan", median=0.61, test=0.58, validation=0.74),
            entry("random", median=0.52, test=0.5, validation=0.66),
            entry("parent_a", median=0.55, test=0.57, validation=0.69),
            entry("always_no", median=0.5, test=0.5, validation=0.5, clusterer="threshold", n=1),
            entry("cyclegan", "published", median=0.66, test=0.876),
            entry("random", "published", median=0.64, test=0.881),
        ]
    )


def heads(method, head="own", median=0.6):
    return {"method": method, "head": head, "n": 40, "median": median, "selected": "A/7", "test": median,
            "test_low": median - 0.1, "test_high": median + 0.1, "q25": median - 0.05, "q75": median + 0.05,
            "validation": 0.8, "average_precision": 0.5, "balanced_accuracy": 0.5, "test_images": 45,
            "supervision": tables.supervision(method, head), "median_low": median - 0.06,
            "median_high": median + 0.05}  # fmt: skip


def cnn_rows(method, domain, accuracies, protocol):
    return [
        {"method": method, "domain": domain, "model": i, "accuracy": a, "precision": a, "recall": a, "entropy": 0.5,
         "purity": 0.7, "balanced_accuracy": a - 0.05, "protocol": protocol, "clusterer": "kmeans", "clusters": 2,
         "tp": 20, "fp": 10, "fn": 14, "tn": 45, "noise": 0.0, "dead": 0.0, "cosine_within": 0.9,
         "cosine_between": 0.8, "validation": 1 - a if protocol == "held_out" else np.nan}
        for i, a in enumerate(accuracies)
    ]  # fmt: skip


def cnns(n=40):
    rng = np.random.default_rng(0)
    rows = [
        row
        for protocol in ("published", "held_out")
        for method, domain in (("cyclegan", "A"), ("cyclegan", "B"), ("random", "-"))
        for row in cnn_rows(method, domain, rng.uniform(0.5, 0.9, n).round(4), protocol)
    ]
    cnn = ["method", "domain", "model", "protocol"]
    return pd.DataFrame(rows).drop(columns="clusterer").sort_values(cnn, ignore_index=True)


@pytest.fixture
def run(tmp_path):
    """Files of a small run, as keyword arguments of `report.build`."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "results" / "tables" / "black_cat"
    folder.mkdir(parents=True)
    made = {
        "leaderboard": board(),
        "comparisons": against("better", "worse"),
        "zero_shot": pd.DataFrame([heads("cyclegan"), heads("supervised", median=0.9)]),
        "kmeans": tables.of_protocol(cnns(), "published"),
        "held_out_kmeans": tables.of_protocol(cnns(), "held_out"),
    }
    for name, frame in made.items():
        csv_files.write(folder / f"{name}.csv", frame)
    published = pd.DataFrame({"model": [229], "domain": ["A"], "published_accuracy": [0.876], "accuracy": [np.nan]})
    csv_files.write(folder / "published_kmeans.csv", published)
    zoo = pd.DataFrame({"concept": ["black", "cat"], "n": [96, 2749], "degenerate": [0, 11]})
    csv_files.write(tmp_path / "results" / "tables" / "zoo.csv", zoo)
    picture = tmp_path / "picture.png"
    Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(picture)
    report.write_shown(
        tmp_path / "shown.h5",
        images=rng.integers(0, 255, (6, 32, 32, 3), dtype=np.uint8),
        labels=np.array([0, 1, 0, 1, 0, 0]),
        groups=np.array(["dog", "cat", "car", "cat", "car", "dog"]),
        validation=np.array([1, 1, 1, 0, 0, 0], bool),
        names=["CycleGAN A, CNN 7"],
        embeddings={"UMAP": rng.random((1, 6, 2)).astype(np.float32)},
        predictions={"kmeans": np.array([[1, 1, 0, 0, 0, 1]], bool)},
    )
    fusion = {
        "name": "black_cat",
        "concepts": ["black", "cat"],
        "tables": {name: folder / f"{name}.csv" for name in made},
        "published": {"kmeans": folder / "published_kmeans.csv"},
        "shown": tmp_path / "shown.h5",
        "verdicts": {"conv1": "Training failed: A to B degenerate."},
        "figures": {"kernels_conv1": picture, "cosine": [picture, picture]},
    }
    return {
        "path": tmp_path / "results" / "report.html",
        "title": "zoofuse",
        "fusions": [fusion],
        "zoo": tmp_path / "results" / "tables" / "zoo.csv",
        "images": [{"set": "cat", "positives": 5162, "duplicates dropped": 12, "validation": None}],
        "image_notes": ["cat/broken.jpg could not be read and was skipped."],
        "figures": {"examples": picture},
        "settings": {"seed": 47, "zoo": {"epochs": 20, "folders": ["cat", "cat_dark"]}},
        "environment": {"torch": "2.5.0"},
    }


def build(run, **changes):
    arguments = run | changes
    report.build(**arguments)
    return arguments["path"].read_text(encoding="utf-8")


class TestAnswer:
    @pytest.mark.parametrize(
        ("verdicts", "headline"),
        [
            (("better", "better"), "Better: CycleGAN scores higher than every baseline."),
            (("worse", "worse"), "Worse: CycleGAN scores lower than every baseline."),
            (("better", "worse"), "Worse: CycleGAN scores lower than average of parents."),
            (
                ("better", "inconclusive"),
                "Inconclusive: 1 of 2 comparisons with baselines show no significant difference.",
            ),
            (("worse", "inconclusive"), "Worse: CycleGAN scores lower than random initialisation."),
            (
                ("inconclusive", "inconclusive"),
                "Inconclusive: none of the 2 comparisons with baselines shows a significant difference.",
            ),
        ],
    )
    def test_headline_is_better_inconclusive_or_worse(self, verdicts, headline):
        said = narrative.summary(board(), against(*verdicts))
        assert said["headline"] == headline
        assert said["detectable"] == "A difference of 0.05 or more would have been detected."

    def test_nothing_significant_is_inconclusive_and_says_what_would_have_been_detected(self):
        baselines, clusterers = [f"control_{i}" for i in range(20)], ["kmeans", "dbscan", "one_class_svm"]
        rows = [
            compared({("cyclegan", baseline): "inconclusive" for baseline in baselines}).assign(clusterer=clusterer)
            for clusterer in clusterers
        ]
        frame = pd.concat(rows, ignore_index=True)
        half = np.linspace(0.041, 0.123, 60)
        frame["low"], frame["high"] = frame["difference"] - half, frame["difference"] + half
        said = narrative.summary(board(), frame)
        assert said["headline"] == (
            "Inconclusive: none of the 60 comparisons with baselines shows a significant difference."
        )
        assert said["detectable"] == (
            "A difference of 0.082 or more would have been detected (0.041 to 0.12, depending on the comparison)."
        )
        assert "0 are better, 60 inconclusive and 0 worse, by intervals corrected for making 60" in said["lead"]

    def test_worse_comparisons_under_one_of_two_clusterers_are_inconclusive(self):
        rows = pd.concat(
            [
                against("worse", "inconclusive"),
                against("inconclusive", "inconclusive").assign(clusterer="dbscan"),
            ]
        )
        headline = "Inconclusive: 3 of 4 comparisons with baselines show no significant difference."
        assert narrative.summary(board(), rows)["headline"] == headline

    def test_several_methods_that_lose_are_not_listed(self):
        rows = pd.concat([against("worse", "inconclusive"), compared({("netspace", "average"): "worse"})])
        headline = "Worse: every generated method scores lower than at least one baseline."
        assert narrative.summary(board(), rows)["headline"] == headline

    def test_without_intervals_no_number_is_made_up(self):
        rows = against("inconclusive", "inconclusive").assign(low=np.nan, high=np.nan)
        said = narrative.summary(board(), rows)
        assert said["headline"].startswith("Inconclusive: none of the 2 comparisons")
        assert said["detectable"] == ""
        assert "nan" not in " ".join(said["sentences"])

    def test_baselines_are_not_called_controls(self):
        rows = pd.concat([against("better", "better"), compared({("cyclegan", "brightness"): "better"})])
        headline = "Better: CycleGAN scores higher than every baseline."
        assert narrative.summary(board(), rows)["headline"] == headline

    def test_one_of_two_methods_wins_under_one_of_two_clusterers(self):
        rows = pd.concat([against("better", "better"), compared({("netspace", "random"): "worse"})])
        assert narrative.summary(board(), rows)["headline"] == "Better: CycleGAN scores higher than every baseline."
        rows = pd.concat([rows, against("better", "worse").assign(clusterer="dbscan")])
        assert narrative.summary(board(), rows)["headline"] == (
            "Better: CycleGAN with K-means scores higher than every baseline."
        )

    def test_neither_selected_cnns_nor_zero_shot_nor_the_published_protocol_make_the_headline(self):
        rows = [against("worse", "worse")]
        for protocol, what in (("held_out", "selected"), ("zero_shot", "median"), ("published", "median")):
            rows.append(compared({("cyclegan", "random"): "better"}, protocol, what))
        found = narrative.summary(board(), pd.concat(rows))
        assert found["headline"].startswith("Worse: CycleGAN scores lower than every baseline")
        assert found["lead"].startswith("Of 2 comparisons of the median generated CNN with a baseline, 0 are better")
        assert "0 inconclusive and 2 worse" in found["lead"]

    def test_sentences_give_intervals_and_the_selection_bias(self):
        text = " ".join(narrative.summary(board(), against("better", "better"))["sentences"]).replace("\u00a0", " ")
        assert "0.580 (95 % interval 0.480 to 0.680) on the test half and 0.740 on the validation half" in text
        assert "a selection bias of 0.160" in text
        assert "A/7 (parents A; K-means, best of 40), has a balanced accuracy of 0.570" in text

    def test_a_zero_shot_win_is_said_beside_the_headline(self):
        rows = [
            {"method": "distil", "clusterer": "own", "baseline": baseline, "verdict": "better"}
            for baseline in ("product", "ensemble")
        ]
        rows += [{"method": "cyclegan", "clusterer": "own", "baseline": "product", "verdict": "worse"}]
        rows += [{"method": "distil", "clusterer": "own", "baseline": "supervised", "verdict": "worse"}]
        frame = pd.DataFrame(rows).assign(protocol="zero_shot", what="median")
        said = narrative.summary(None, frame)["sentences"]
        who = "distilled from both zoos with own classification heads"
        assert said == [f"Zero-shot, {who} does best: significantly better than all 2 baselines."]
        frame.loc[0, "verdict"] = "inconclusive"
        assert "does best: significantly better than 1 of 2" in narrative.summary(None, frame)["sentences"][0]

    def test_students_are_judged_by_what_they_predict_themselves(self):
        own = {("distil", "product"): "better", ("distil", "ensemble"): "better", ("distil", "supervised"): "worse"}
        rows = compared(own, "zero_shot").assign(clusterer="own")
        rows = pd.concat([rows, compared({("distil", "random"): "worse"})])
        said = narrative.summary(None, rows)
        assert said["headline"] == "Better: distilled from both zoos scores higher than every baseline."
        assert said["lead"].startswith("Of 2 comparisons")  # the oracle is none of them, nor the held-out protocol
        assert charts.first_protocol(["distil", "product"]) == "zero_shot"
        assert charts.first_protocol(["distil", "cyclegan"]) == charts.first_protocol([]) == "held_out"

    def test_protocols_come_in_order_and_the_published_one_is_called_transductive(self):
        rows = pd.concat([against("better", "better"), compared({("cyclegan", "random"): "better"}, "zero_shot")])
        sentences = narrative.summary(board(), rows)["sentences"]
        kinds = [next(word for word in ("Zero-shot", "transductive", "") if word in s) for s in sentences]
        assert kinds == ["", "Zero-shot", "transductive"]
        assert (
            "the best generated CNN has a balanced accuracy of 0.876 and the best baseline, selected in" in sentences[2]
        )
        assert "in the same way, 0.881 (random initialisation)" in sentences[2]

    def test_nothing_to_compare_is_said(self):
        assert narrative.summary(None, None)["headline"].startswith("There is nothing to compare")
        assert narrative.summary(board(), against("better", "better")[:0])["headline"].startswith("There is nothing")


class TestViews:
    def views(self, tmp_path):
        beside = pd.DataFrame({"published_accuracy": [0.876, 0.842]})
        zero = pd.DataFrame([heads("cyclegan"), heads("supervised", median=0.9)])
        found = charts.views(board(), zero, {"kmeans": cnns()}, {"kmeans": beside})
        return {view["protocol"]: view for view in found}

    def test_a_view_holds_one_protocol_by_falling_score(self, tmp_path):
        views = self.views(tmp_path)
        labels = {protocol: [row["label"] for row in view["rows"]] for protocol, view in views.items()}
        assert labels == {
            "held_out": ["CycleGAN", "parents A", "random initialisation", "always “no”"],
            "zero_shot": ["supervised CNN", "CycleGAN"],
            "published": ["published, selected by hand", "random initialisation", "CycleGAN"],
        }
        for view in views.values():
            scores = [row["score"] for row in view["rows"]]
            assert scores == sorted(scores, reverse=True)
        roles = ["generated", "baseline", "baseline", "non-CNN baseline"]
        assert [row["role"] for row in views["held_out"]["rows"]] == roles
        assert views["zero_shot"]["rows"][0]["role"] == "oracle"

    def test_rows_are_the_leaderboards_and_the_cnns_of_the_same_protocol(self, tmp_path):
        views, frame = self.views(tmp_path), cnns()
        first, last = views["held_out"]["rows"][0], views["held_out"]["rows"][-1]
        own = frame[(frame["method"] == "cyclegan") & (frame["protocol"] == "held_out")]["balanced_accuracy"]
        assert (first["score"], first["low"], first["high"]) == (0.61, 0.57, 0.66)
        assert (first["test"], first["test_low"], first["test_high"]) == (0.58, 0.48, 0.68)
        assert (last["score"], last["low"], last["high"]) == (0.5, 0.4, 0.6)  # of one CNN: its own interval
        assert first["values"] == pytest.approx(sorted(own))
        assert first["note"] == "25% of the CNNs give every image the same features."
        published = views["published"]["rows"][-1]
        own = frame[(frame["method"] == "cyclegan") & (frame["protocol"] == "published")]["accuracy"]
        assert published["test"] == pytest.approx(own.max(), abs=1e-4)
        assert published["low"] is None
        assert views["published"]["constant"][0] == pytest.approx(55 / 89, abs=1e-4)

    def test_missing_tables_leave_views_out(self, tmp_path):
        assert charts.views() == []
        assert [view["protocol"] for view in charts.views(board())] == ["held_out"]
        assert {view["protocol"] for view in charts.views(cnns={"kmeans": cnns()})} == {"published"}

    def test_the_figure_has_every_method_on_its_axis_and_a_legend_of_roles(self, tmp_path):
        view = self.views(tmp_path)["held_out"]
        figure = charts.methods(view)
        assert list(figure.layout.yaxis.ticktext) == [row["label"] for row in view["rows"]]
        places = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
        assert places["CycleGAN"] > places["parents A"] > places["always “no”"]
        traces = {trace.name: trace for trace in figure.data if trace.type == "scatter"}
        assert list(traces) == ["generated", "baseline", "non-CNN baseline", "CNN selected on validation",
                                "constant prediction (0.500)"]  # fmt: skip
        ours = traces["generated"]
        assert (list(ours.x), list(ours.y)) == ([0.61], [places["CycleGAN"]])
        assert ours.error_x.arrayminus[0] == pytest.approx(0.04)
        assert ours.error_x.array[0] == pytest.approx(0.05)
        assert len([trace for trace in figure.data if trace.type == "violin"]) == 2  # those whose CNNs are known

    def test_differences_are_marked_by_verdict_and_sorted(self):
        figure = charts.differences(against("worse", "better"))
        assert list(figure.layout.yaxis.ticktext) == ["average of parents", "random initialisation"]
        found = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}
        assert found == {"better": ([0.1], [0]), "inconclusive": ([], []), "worse": ([-0.1], [-1])}

    def test_an_embedding_has_a_sign_for_each_group_or_outcome(self):
        points, positive = np.arange(12.0).reshape(6, 2), np.array([1, 1, 0, 0, 0, 0], bool)
        groups = np.array(["cat", "cat", "dog", "dog", "car", "<b>"])
        right = np.array([1, 0, 1, 1, 0, 1], bool)
        names = [trace.name for trace in charts.embedding(points, positive, groups, None).data]
        assert names == ["positive (2)", "dog (2)", "&lt;b&gt; (1)", "car (1)", None]
        outcomes = charts.embedding(points, positive, groups, right).data
        found = {trace.name: list(trace.customdata) for trace in outcomes if trace.name}
        assert found == {"positive, correct (1)": [0], "positive, wrong (1)": [1], "negative, correct (3)": [2, 3, 5],
                         "negative, wrong (1)": [4]}  # fmt: skip


class TestPage:
    def test_asks_nothing_of_a_network(self, run):
        html = build(run)
        page = Page(html)
        sources = [a[key] for _, a in page.elements for key in ("src", "href", "action", "data") if key in a]
        assert len(sources) > 10
        assert all(re.match(r"data:|#|tables/", source) for source in sources)
        assert not re.search(r"https?://|@import", re.sub(r'<script type="text/plain".*?</script>', "", html))
        assert "default-src 'none'" in html

    def test_tags_match_ids_are_unique_and_links_lead_somewhere(self, run):
        page = Page(build(run, fusions=run["fusions"] * 2))
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        named = [a[key] for _, a in page.elements for key in ("aria-labelledby", "data-fusion") if key in a]
        assert {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")} | set(named) <= set(ids)
        for a in page.all("a"):
            if a["href"].startswith("tables/"):
                assert (run["path"].parent / a["href"]).is_file()

    def test_every_figure_has_words_for_it(self, run):
        images = Page(build(run)).all("img")
        assert len(images) == 4
        assert all(len(image["alt"]) > 30 for image in images)
        assert any(image["alt"].startswith("black_cat: heat map") for image in images)

    def test_figures_keep_their_pixels(self, run, tmp_path):
        source = Page(build(run)).all("img")[0]["src"]
        shown = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
        given = Image.open(tmp_path / "picture.png")
        assert np.array_equal(np.asarray(shown.convert("RGB")), np.asarray(given))

    def test_says_what_was_given(self, run):
        text = Page(build(run)).text
        for words in (
            "96 small CNNs were trained to detect black (A) and 2,749 to detect cat (B)",
            "tested on 34 images of black_cat and 55 others",
            "cat/broken.jpg could not be read and was skipped.",
            "Training failed: A to B degenerate.",
            "duplicates dropped",
            "zoo.folders cat, cat_dark",
            "seed 47",
            "torch 2.5.0",
        ):
            assert words in text.replace(" .", ".").replace("( ", "("), words

    def test_no_table_holds_two_protocols(self, run):
        html = build(run)
        captions = re.findall(r"<caption>(.*?)</caption>", html)
        for caption in ("Leaderboard, held out", "Leaderboard, as published", "K-means, held out, one row per CNN"):
            assert f"black_cat: {caption}" in captions
        assert 'data-name="protocol"' not in html
        bodies = dict(zip(captions, re.findall(r"<table.*?</table>", html, re.S), strict=True))
        assert "0.876" in bodies["black_cat: Leaderboard, as published"]
        assert "0.876" not in bodies["black_cat: Leaderboard, held out"]

    def test_numbers_carry_what_they_sort_by_and_missing_ones_are_dashes(self, run):
        frame = csv_files.read(run["fusions"][0]["tables"]["leaderboard"])
        frame.loc[3, "dead_share"] = np.nan
        csv_files.write(run["fusions"][0]["tables"]["leaderboard"], frame)
        html = build(run)
        assert 'data-order="0.61">0.610</td>' in html
        assert ">–</td>" in html  # noqa: RUF001
        assert not re.search(r">(nan|NaN|None|&lt;NA&gt;)<", html)  # "none" is a supervision

    def test_tables_that_are_not_there_are_left_out(self, run):
        fusion = run["fusions"][0] | {"tables": {}, "published": {}, "shown": None, "figures": {}}
        text = Page(build(run, fusions=[fusion])).text
        assert "There is nothing to compare" in text
        assert "Zero-shot conjunction" not in text

    def test_names_cannot_break_the_page(self, run):
        frame = csv_files.read(run["fusions"][0]["tables"]["leaderboard"])
        frame.loc[0, "method"] = "</script><script>alert(1)"
        csv_files.write(run["fusions"][0]["tables"]["leaderboard"], frame)
        fusion = run["fusions"][0] | {"name": "<b>cat</b>"}
        html = build(run, fusions=[fusion], image_notes=["<img src=x>"])
        assert "<script>alert" not in html
        assert "<b>cat" not in html
        assert "<img src=x" not in html
        Page(html)

    def test_only_a_zoo_is_a_report_too(self, run):
        page = Page(build(run, fusions=[]))
        assert "The zoo" in page.text
        assert {a["href"] for a in page.all("a")} >= {"#zoo", "#settings"}
        assert "#tables" not in {a["href"] for a in page.all("a")}

    def test_the_same_files_give_the_same_bytes(self, run):
        assert build(run) == build(run)


class TestImages:
    def test_every_image_is_there_once_with_what_is_known_of_it(self, run):
        shown = unpacked(build(run))[0]["shown"]
        assert shown["groups"] == ["cat", "cat", "car", "car", "dog", "dog"]
        assert shown["test_images"] == [1, 3, 2, 4, 0, 5]
        assert shown["positive"] == [1, 1, 0, 0, 0, 0]
        assert shown["validation"] == [1, 0, 1, 0, 1, 0]
        assert shown["predictions"] == [[[1, 0, 0, 0, 1, 1]]]
        sheet = Image.open(io.BytesIO(base64.b64decode(shown["sheet"].split(",")[1])))
        original = report.files.read(run["fusions"][0]["shown"], "shown")["images"]
        assert np.array_equal(np.asarray(sheet.convert("RGB"))[:32, 64:96], original[2])

    def test_too_many_are_thinned_evenly_and_the_page_knows_how_many_there_are(self, run, monkeypatch):
        monkeypatch.setattr(report, "IMAGES", 3)
        shown = unpacked(build(run))[0]["shown"]
        assert sorted(shown["test_images"]) == [0, 2, 5]
        assert shown["total"] == 6


class TestLargeTables:
    @pytest.fixture
    def many(self, run, tmp_path):
        frame = cnns(200).assign(silhouette=np.nan)
        frame.loc[frame["protocol"] == "held_out", "silhouette"] = [np.nan] + [0.25] * 599
        for name, protocol in (("kmeans", "published"), ("held_out_kmeans", "held_out")):
            csv_files.write(run["fusions"][0]["tables"][name], tables.of_protocol(frame, protocol))
        return run, frame

    def test_all_rows_are_there_best_first(self, many):
        run, frame = many
        _, held, published = unpacked(build(run))
        assert len(held) == len(published) == 600
        assert [row[3] for row in published] == sorted((row[3] for row in published), reverse=True)
        own = frame[frame["protocol"] == "held_out"]["validation"].sort_values(ascending=False)
        assert [row[-2] for row in held] == pytest.approx(list(own))
        assert sorted(str(row[-1]) for row in held) == ["0.25"] * 599 + ["None"]

    def test_beyond_the_limit_the_ends_are_kept_and_the_page_says_so(self, many, monkeypatch):
        monkeypatch.setattr(report, "ROWS", 40)
        run, frame = many
        html = build(run)
        published = unpacked(html)[2]
        accuracy = frame[frame["protocol"] == "published"]["accuracy"].sort_values(ascending=False)
        assert [row[3] for row in published] == pytest.approx([*accuracy[:10], *accuracy[-10:]], abs=1e-4)
        assert "The 10 best and worst of 600 rows by accuracy; all of them are in the CSV." in Page(html).text


def test_a_report_of_netspace_alone_has_every_setting_with_its_table_and_figure(tmp_path):
    rows = [{"setting": name, "measure": f"measure_of_{name}", "decoded": 0.75, "n": 8} for name in report.NETSPACE]
    csv_files.write(tmp_path / "summary.csv", pd.DataFrame(rows))
    Image.new("RGB", (8, 8)).save(tmp_path / "figure.png")
    figures = {f"netspace_{name}": [tmp_path / "figure.png"] for name in report.NETSPACE}
    report.build(
        tmp_path / "report.html", title="NetSpace", fusions=[], netspace=tmp_path / "summary.csv", figures=figures
    )
    page = Page((tmp_path / "report.html").read_text())
    assert sum(tag == "img" for tag, _ in page.elements) == 6
    for name in report.NETSPACE:
        assert f"measure_of_{name}" in page.words
        assert any(a.get("alt", "").startswith(f"NetSpace, {name.replace('_', ' ')}") for _, a in page.elements)
    assert ("a", {"href": "summary.csv"}) in page.elements


def test_run_times_add_up_by_rule(tmp_path):
    for rule, seconds in (("train", [10, 30]), ("evaluate", [50])):
        (tmp_path / rule).mkdir()
        for i, s in enumerate(seconds):
            record = {"s": s, "cpu_time": 2 * s, "max_rss": 100.0 + i, "h:m:s": "0:00:10"}
            (tmp_path / rule / f"{i}.jsonl").write_text(json.dumps(record) + "\n")
    found = run_facts.run_times(tmp_path).to_dict("records")
    assert found[0] == {"rule": "evaluate", "jobs": 1, "seconds": 50, "longest (seconds)": 50,
                        "processor seconds": 100, "memory (MB)": 100}  # fmt: skip
    assert found[1] == {"rule": "train", "jobs": 2, "seconds": 40, "longest (seconds)": 30,
                        "processor seconds": 80, "memory (MB)": 101}  # fmt: skip
    assert run_facts.run_times(tmp_path / "none").empty


def test_folder_sizes_count_what_lies_in_them(tmp_path):
    (tmp_path / "zoo" / "cat").mkdir(parents=True)
    (tmp_path / "zoo" / "cat" / "shard.h5").write_bytes(bytes(250_000))
    (tmp_path / "zoo" / ".half.tmp").write_bytes(bytes(10))
    (tmp_path / "report.html").write_bytes(bytes(10))
    assert run_facts.folder_sizes(tmp_path).to_dict("records") == [{"folder": "zoo", "files": 1, "MB": 0.25}]


def test_an_unknown_kind_of_figure_is_refused_by_name(run):
    with pytest.raises(ValueError, match=r"unknown kind umpa; known are examples, .*cosine"):
        build(run, figures={"umpa": "x.png"})


def test_a_file_that_is_not_there_is_named(run):
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        build(run, figures={"examples": "gone.png"})
    assert not run["path"].exists()


def test_versions_name_what_made_the_run():
    found = run_facts.versions()
    assert found["numpy"] == np.__version__
    assert found["python"].startswith("3.")
