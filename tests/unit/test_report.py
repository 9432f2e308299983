"""The report: what its first screen claims, that it needs no network, and that it holds what it was given."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from zoofuse import report, tables

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


def rows(method, domain, accuracies, clusterer="kmeans"):
    return [
        {"method": method, "domain": domain, "model": i, "accuracy": a, "precision": a, "recall": a, "entropy": 0.5,
         "purity": 0.7, "balanced_accuracy": a - 0.05, "clusterer": clusterer, "clusters": 2, "tp": 20, "fp": 10,
         "fn": 14, "tn": 45, "noise": 0.0, "dead": 0.0, "cosine_within": 0.9, "cosine_between": 0.8}
        for i, a in enumerate(accuracies)
    ]  # fmt: skip


def summary(ours, control):
    """Generated A and B, random and one parent, spread evenly by 0.1 around these medians."""
    spread = np.linspace(-0.05, 0.05, 41)
    frame = pd.DataFrame(
        rows("cyclegan", "A", ours[0] + spread)
        + rows("cyclegan", "B", ours[1] + spread)
        + rows("random", "-", control[0] + spread)
        + rows("parent_a", "-", control[1] + spread)
    )
    return tables.summary({"kmeans": frame})


@pytest.fixture
def run(tmp_path):
    """Files of a small run, as keyword arguments of `report.build`."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "results" / "tables" / "black_cat"
    folder.mkdir(parents=True)
    evaluation = [
        row
        for clusterer in tables.CLUSTERERS
        for method, domain in (("cyclegan", "A"), ("cyclegan", "B"), ("random", "-"))
        for row in rows(method, domain, rng.uniform(0.5, 0.9, 40), clusterer)
    ]
    pd.DataFrame(evaluation).to_csv(tmp_path / "evaluation.csv", index=False)
    found = {c: tables.clusterer_table([tmp_path / "evaluation.csv"], c) for c in tables.CLUSTERERS}
    for clusterer, table in found.items():
        table.to_csv(folder / f"{clusterer}.csv", index=False)
    tables.summary(found).to_csv(folder / "summary.csv", index=False)
    published = pd.DataFrame({"model": [229], "domain": ["A"], "published_accuracy": [0.876], "accuracy": [np.nan]})
    published.to_csv(folder / "kmeans_published.csv", index=False)
    zoo = pd.DataFrame({"concept": ["black", "cat"], "n": [96, 2749], "collapsed": [0, 11]})
    zoo.to_csv(tmp_path / "results" / "tables" / "zoo.csv", index=False)
    picture = tmp_path / "picture.png"
    Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(picture)
    fusion = {
        "name": "black_cat",
        "a": "black",
        "b": "cat",
        "tables": {c: folder / f"{c}.csv" for c in tables.CLUSTERERS},
        "summary": folder / "summary.csv",
        "published": {"kmeans": folder / "kmeans_published.csv"},
        "verdicts": {"conv1": "Training failed: A to B collapsed."},
        "figures": {"methods": picture, "umap": [picture, picture], "cosine": picture},
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
        ("ours", "control", "headline"),
        [
            ((0.8, 0.8), (0.6, 0.7), "Yes: the generated CNNs beat all their controls."),
            ((0.5, 0.5), (0.6, 0.7), "No: the generated CNNs do worse than all their controls."),
            ((0.6, 0.5), (0.6, 0.7), "No: nowhere do the generated CNNs beat all their controls."),
            ((0.65, 0.5), (0.6, 0.7), "No: nowhere do the generated CNNs beat all their controls."),
            ((0.8, 0.5), (0.6, 0.7), "In part: the generated CNNs beat all their controls in 1 of 2 cases."),
        ],
    )
    def test_headline_goes_both_ways(self, ours, control, headline):
        assert report.answer(summary(ours, control))["headline"] == headline

    def test_sentences_give_n_medians_and_what_always_no_scores(self):
        text = " ".join(report.answer(summary((0.6, 0.5), (0.7, 0.8)))["sentences"]).replace("\u00a0", " ")
        assert "clearly above in 0, clearly below in 4, and not clearly different in 0" in text
        assert "0.600 for generated A (n = 41), 0.500 for generated B (n = 41), 0.700 for random init" in text
        assert "always answering “no” scores 0.618" in text

    def test_the_best_is_called_a_maximum_picked_on_the_test_images(self):
        text = " ".join(report.answer(summary((0.6, 0.5), (0.7, 0.8)))["sentences"])
        assert "best generated CNN reaches 0.650 (generated A, K-means; the best of 82 CNNs" in text
        assert "picked on the test images themselves" in text
        assert "best control reaches 0.850 (parents A" in text

    def test_nothing_to_compare_is_said(self):
        only = tables.summary({"kmeans": pd.DataFrame(rows("random", "-", [0.5, 0.6]))})
        assert report.answer(only)["headline"].startswith("There is nothing to compare")


class TestPage:
    def test_asks_nothing_of_a_network(self, run):
        html = build(run)
        page = Page(html)
        sources = [a[key] for _, a in page.elements for key in ("src", "href", "action", "data") if key in a]
        assert len(sources) > 10
        assert all(re.match(r"data:|#|tables/", source) for source in sources)
        assert not re.search(r"https?://|url\(|@import", html)
        assert "default-src 'none'" in html

    def test_tags_match_ids_are_unique_and_links_lead_somewhere(self, run):
        page = Page(build(run, fusions=run["fusions"] * 2))
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        assert {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")} <= set(ids)
        for a in page.all("a"):
            if a["href"].startswith("tables/"):
                assert (run["path"].parent / a["href"]).is_file()

    def test_every_figure_has_words_for_it(self, run):
        images = Page(build(run)).all("img")
        assert len(images) == 5
        assert all(len(image["alt"]) > 30 for image in images)
        assert any(image["alt"].startswith("black_cat: UMAP") for image in images)

    def test_figures_keep_their_pixels(self, run, tmp_path):
        source = Page(build(run)).all("img")[0]["src"]
        shown = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
        given = Image.open(tmp_path / "picture.png")
        assert np.array_equal(np.asarray(shown.convert("RGB")), np.asarray(given))

    def test_says_what_was_given(self, run):
        text = Page(build(run)).text
        for words in (
            "96 tiny CNNs learned to tell black (A) and 2,749 to tell cat (B)",
            "34 test images of black_cat from 55 others",
            "cat/broken.jpg could not be read and was skipped.",
            "Training failed: A to B collapsed.",
            "duplicates dropped",
            "zoo.folders cat, cat_dark",
            "seed 47",
            "torch 2.5.0",
        ):
            assert words in text.replace(" .", ".").replace("( ", "("), words

    def test_headings_sort_by_button_and_numbers_carry_their_full_value(self, run):
        html = build(run)
        assert re.search(r"<th scope=\"col\"[^>]*><button type=\"button\">", html)
        assert not re.search(r"<th scope=\"col\"[^>]*data-digits[^>]*>(?!<button)", html)
        median = pd.read_csv(run["fusions"][0]["summary"])["accuracy_median"].iloc[0]
        assert f'data-value="{median}"' in html

    def test_a_missing_number_is_a_dash_not_nan(self, run):
        html = build(run)
        assert ">–</td>" in html  # noqa: RUF001
        assert not re.search(r">(nan|None|&lt;NA&gt;)<", html, re.I)

    def test_names_cannot_break_the_page(self, run):
        frame = pd.read_csv(run["fusions"][0]["tables"]["kmeans"])
        frame.loc[0, "method"] = "</script><script>alert(1)"
        frame.to_csv(run["fusions"][0]["tables"]["kmeans"], index=False)
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


class TestLargeTables:
    def data(self, html):
        found = re.findall(r'<script type="application/json">(.*?)</script>', html, re.S)
        return [json.loads(text) for text in found]

    def test_all_rows_are_there_best_first(self, run):
        kmeans, *others = self.data(build(run))
        assert len(kmeans) == 120
        assert len(others) == 2
        assert [row[3] for row in kmeans] == sorted((row[3] for row in kmeans), reverse=True)

    def test_beyond_the_limit_the_ends_are_kept_and_the_page_says_so(self, run, monkeypatch):
        monkeypatch.setattr(report, "ROWS", 60)
        html = build(run)
        kmeans = self.data(html)[0]
        accuracy = pd.read_csv(run["fusions"][0]["tables"]["kmeans"])["accuracy"].sort_values(ascending=False)
        kept = [*accuracy[:10], *accuracy[-10:]]
        assert [row[3] for row in kmeans] == pytest.approx(kept, abs=1e-4)
        assert "The 10 most and least accurate of 120 rows; all of them are in the CSV." in Page(html).text

    def test_a_published_size_run_stays_small(self, run):
        path = run["fusions"][0]["tables"]["kmeans"]
        accuracies = np.random.default_rng(0).uniform(0.4, 0.9, 3498)
        big = pd.DataFrame(
            [row for m in ("cyclegan", "random", "parent_a", "average") for row in rows(m, "A", accuracies)]
        )
        big.drop(columns="clusterer").to_csv(path, index=False)
        fusion = run["fusions"][0] | {"tables": dict.fromkeys(tables.CLUSTERERS, path)}
        assert len(build(run, fusions=[fusion])) < 5e6


def test_an_unknown_kind_of_figure_is_refused_by_name(run):
    with pytest.raises(ValueError, match=r"unknown kind umpa; known are examples, .*umap"):
        build(run, figures={"umpa": "x.png"})


def test_a_file_that_is_not_there_is_named(run):
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        build(run, figures={"examples": "gone.png"})
    assert not run["path"].exists()


def test_versions_name_what_made_the_run():
    found = report.versions()
    assert found["numpy"] == np.__version__
    assert found["python"].startswith("3.")
