"""Figures: each is written whole, says the numbers it should, and is the same for the same numbers."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from zoofuse.netspace import figures as netspace_figures
from zoofuse.report import figures, kernel_figures
from zoofuse.report.canvas import DPI, WIDTH, plain

rng = np.random.default_rng(0)


def history(n=6, epochs=4, degenerate=0):
    accuracy = np.linspace(0.6, 0.95, n)[:, None] + np.linspace(-0.1, 0, epochs)
    dead = np.arange(n) < degenerate
    accuracy[dead] = 0.5
    return {"loss": 1 - accuracy, "validation_balanced_accuracy": accuracy, "degenerate": dead}


def table(**accuracies):
    """clusterer table of 4 positives and 6 negatives; names are method_domain."""
    rows = [
        {"method": name.rsplit("_", 1)[0], "domain": name.rsplit("_", 1)[1].replace("none", "-"), "model": i,
         "protocol": "published", "accuracy": accuracy, "tp": 2, "fp": 2, "fn": 2, "tn": 4}
        for name, values in accuracies.items()
        for i, accuracy in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def photographs(m=12):
    labels = 1 - np.arange(m) % 2
    groups = np.where(labels == 1, "cat", np.where(np.arange(m) < 6, "dog", "thing"))
    return labels, groups


def kernel_stacks(rows, out, channels):
    return [rng.normal(0, 0.1, (rows, out, channels, 5, 5)) for _ in range(4)]


ALL = {
    "examples": lambda path: figures.examples(
        {"cat": (rng.integers(0, 255, (9, 32, 32, 3), dtype=np.uint8), np.arange(9) % 2)}, path
    ),
    "zoo_histogram": lambda path: figures.zoo_histogram({"cat": history(degenerate=2), "black": history()}, path),
    "zoo_curves": lambda path: figures.zoo_curves({"cat": history(), "black": history(epochs=1)}, path),
    "methods": lambda path: figures.methods({"kmeans": table(cyclegan_A=[0.5, 0.7], random_none=[0.6])}, path),
    "few_shot": lambda path: figures.few_shot(
        pd.DataFrame({"method": ["distil"] * 3 + ["random"] * 2, "each": [0, 1, 5, 1, 5], "median": rng.random(5)}),
        path,
    ),
    "cosine_heatmap": lambda path: figures.cosine_heatmap(rng.random((12, 400)), *photographs(), path),
    "embedding_scatter": lambda path: figures.embedding_scatter(
        rng.random((12, 2)), *photographs(), np.arange(12) % 3 - 1, path, "UMAP"
    ),
    "kernels, colour": lambda path: kernel_figures.kernels(*kernel_stacks(2, 6, 3), path),
    "kernels, grey": lambda path: kernel_figures.kernels(*kernel_stacks(1, 16, 6), path),
    "cyclegan_curves": lambda path: kernel_figures.cyclegan_curves(
        {"conv1": {"loss_cycle": rng.random(5), "spread_A": np.array([np.nan, 1, np.nan, np.nan, 0.9])}}, path
    ),
}


@pytest.fixture
def texts(tmp_path):
    """A function that draws an SVG and gives the words in it."""

    def read(draw, *arguments, **options):
        path = tmp_path / "figure.svg"
        draw(*arguments, path, **options)
        return [re.sub("<[^>]+>", "", text).strip() for text in re.findall(r"<text.*?</text>", path.read_text(), re.S)]

    return read


@pytest.mark.parametrize("name", ALL)
def test_every_figure_is_an_image_of_the_reports_width(name, tmp_path):
    ALL[name](tmp_path / "folder" / "figure.png")
    with Image.open(tmp_path / "folder" / "figure.png") as image:
        assert image.width == round(WIDTH * DPI)
        assert len(image.convert("RGB").getcolors(1 << 24)) > 5
        assert np.asarray(image.convert("L"))[0].min() == 255  # white to the edge: nothing is cut off at the top


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for suffix in ("png", "svg"):
        for i in range(2):
            figures.zoo_histogram({"cat": history(degenerate=1)}, tmp_path / f"{i}.{suffix}")
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()


def test_an_unknown_format_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"figure\.pdf: figures are written as \.png or \.svg"):
        figures.zoo_curves({"cat": history()}, tmp_path / "figure.pdf")


def test_a_failed_figure_leaves_nothing_behind(tmp_path):
    with pytest.raises(KeyError):
        figures.zoo_curves({"cat": {"loss": np.ones((2, 2))}}, tmp_path / "figure.png")
    assert list(tmp_path.iterdir()) == []


def test_the_histogram_counts_the_collapsed(texts):
    words = texts(figures.zoo_histogram, {"cat": history(n=7, degenerate=3), "black": history(n=5)})
    assert "degenerate: 3 of 7" in words
    assert "degenerate: 0 of 5" in words


def test_methods_are_named_in_order_generated_first_and_unknown_ones_too(texts):
    frame = table(
        noise_none=[0.5],
        netspace_none=[0.5],
        parent_b_none=[0.5],
        random_none=[0.4],
        cyclegan_B=[0.5],
        cyclegan_A=[0.7],
    )
    published = pd.DataFrame({"published_accuracy": [0.6, 0.88]})
    words = texts(figures.methods, {"kmeans": frame}, published={"kmeans": published})
    wanted = [
        "CycleGAN A",
        "CycleGAN B",
        "NetSpace, between both zoos",
        "random initialisation",
        "parents B",
        "parents plus noise",
    ]
    assert [word for word in words if word in wanted] == wanted
    assert {"K-means", "best published", "always “no”"} <= set(words)


def test_without_published_rows_nothing_is_said_about_them(texts):
    words = texts(figures.methods, {"kmeans": table(cyclegan_A=[0.5])})
    assert not any("published" in word for word in words)


def drawn(draw, monkeypatch, *arguments, **options):
    """The axes that a figure was drawn on, as they are when it is saved."""
    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **how: saved.extend(figure.axes))
    draw(*arguments, **options)
    return saved


def test_zero_shot_heads_are_not_joined_with_fitted_probes(tmp_path, monkeypatch):
    rows = [
        {"method": name, "each": each, "median": 0.5 + each / 20} for name in ("distil", "noise") for each in range(4)
    ]
    axis = drawn(figures.few_shot, monkeypatch, pd.DataFrame(rows), tmp_path / "few_shot.png")[0]
    lines = [line.get_xdata().tolist() for line in axis.lines if line.get_marker() not in ("None", None)]
    assert lines == [[0], [1, 2, 3]] * 2
    assert axis.get_xticklabels()[0].get_text() == "0\n(zero-shot heads)"


def test_perfect_scores_are_not_cut_off(tmp_path, monkeypatch):
    axes = drawn(figures.methods, monkeypatch, {"kmeans": table(cyclegan_A=[0.5, 1.0])}, tmp_path / "m.png")
    summary = pd.DataFrame([{"method": "cyclegan", "protocol": "held_out", "clusterer": "kmeans", "against": "all",
                             "median": 1.0, "low": 0.9, "high": 1.0, "least": 0.9}])  # fmt: skip
    medians = {("cyclegan", "held_out", "kmeans"): SimpleNamespace(found=np.array([0.9, 1.0]))}
    axes += drawn(figures.replicates, monkeypatch, medians, summary, tmp_path / "r.png")
    for axis in axes:
        assert axis.get_xlim()[1] > 1.01


def test_the_heat_map_is_ordered_by_class_then_group(texts):
    labels = np.array([0, 1, 0, 1, 0, 0] * 4)
    groups = np.array(["dog", "bombay", "car", "web", "dog", "car"] * 4)
    words = texts(figures.cosine_heatmap, rng.random((24, 10)), labels, groups)
    names = [word for word in words if word in set(groups)]
    assert names == ["bombay", "web", "car", "dog"] * 2


@pytest.mark.filterwarnings("error")
def test_the_heat_map_takes_dead_features(tmp_path):
    labels, groups = photographs()
    figures.cosine_heatmap(np.zeros((12, 400)), labels, groups, tmp_path / "dead.png")
    assert (tmp_path / "dead.png").is_file()


def test_the_scatter_counts_noise_and_positives_per_cluster(texts):
    labels, groups = photographs(12)
    clusters = np.array([-1] * 4 + [0] * 8)
    words = texts(figures.embedding_scatter, rng.random((12, 2)), labels, groups, clusters)
    assert "noise (4, 2 positive)" in words
    assert "cluster 0 (8, 4 positive)" in words
    assert "positive (6)" in words


def test_many_groups_share_a_legend_entry(texts):
    m = 40
    labels = np.r_[np.ones(4), np.zeros(m - 4)]
    groups = [f"group{i % 12}" for i in range(m)]
    words = texts(figures.embedding_scatter, rng.random((m, 2)), labels, groups, np.zeros(m, int))
    assert sum(word.startswith("group") for word in words) == 7
    assert any(word.startswith("other groups (") for word in words)


def test_first_layer_kernels_are_shown_in_their_colours(tmp_path):
    kernels = np.zeros((1, 6, 3, 5, 5))
    kernels[:, :, 0] = 0.2  # red up, green and blue down
    kernels[:, :, 1:] = -0.2
    kernel_figures.kernels(kernels, kernels, kernels, -kernels, tmp_path / "k.png", ("black", "cat"))
    with Image.open(tmp_path / "k.png") as image:
        counts = {colour: n for n, colour in image.convert("RGB").getcolors(1 << 24)}
    assert counts[255, 0, 0] > 2.5 * counts[0, 255, 255] > 0  # three columns of red, one of its opposite


def test_translations_are_labelled_by_direction(texts):
    words = texts(lambda path: kernel_figures.kernels(*kernel_stacks(1, 6, 3), path, ("black", "cat")))
    assert [word for word in words if "black" in word or "cat" in word][:4] == [
        "black, trained", "black → cat", "cat, trained", "cat → black",
    ]  # fmt: skip


def test_cyclegan_panels_join_domains_and_layers(texts):
    layer = {"loss_cycle": rng.random(4), "spread_A": rng.random(4), "spread_B": rng.random(4)}
    words = texts(kernel_figures.cyclegan_curves, {"conv1": layer, "conv2": layer})
    assert words.count("spread") == words.count("loss cycle") == 1
    assert {"conv1", "conv2", "domain A", "domain B"} <= set(words)


def test_a_contact_sheet_counts_both_classes(texts):
    images = rng.integers(0, 255, (9, 32, 32, 3), dtype=np.uint8)
    words = texts(figures.examples, {"cat": (images, np.array([1] * 5 + [0] * 4))})
    assert words == ["cat: positive (5)", "cat: negative (4)"]


NAMES = [
    "$x_{$",
    "$\\frac{1}{0}$ 5$",
    "\\frac",
    "_hidden",
    "",
    "two\nlines",
    "\x00\x1b[2J\u202e",
    "<b>&amp;</b>",
    "猫 🐈‍⬛ \udcff",
    "long " + "ab" * 3000,
]
WITH_NAMES = {
    "examples": lambda path: figures.examples(
        {name: (np.zeros((2, 8, 8, 3), np.uint8), np.arange(2)) for name in NAMES}, path
    ),
    "zoo_histogram": lambda path: figures.zoo_histogram({name: history() for name in NAMES[:3]}, path),
    "zoo_curves": lambda path: figures.zoo_curves({name: history() for name in NAMES}, path),
    "methods": lambda path: figures.methods(
        {"$kmeans_{$": table(**{f"{name}_A": [0.5, 0.7] for name in NAMES}, cyclegan_A=[0.5])}, path
    ),
    "few_shot": lambda path: figures.few_shot(
        pd.DataFrame([{"method": name, "each": each, "median": 0.5} for name in NAMES for each in (1, 5)]), path
    ),
    "cosine_heatmap": lambda path: figures.cosine_heatmap(
        rng.random((100, 9)), np.arange(100) % 2, [NAMES[i % 10] for i in range(100)], path, NAMES[-1]
    ),
    "embedding_scatter": lambda path: figures.embedding_scatter(
        rng.random((16, 2)),
        np.arange(16) % 2,
        [NAMES[i // 2] for i in range(16)],
        np.repeat(NAMES[:8], 2),
        path,
        "$_{$",
    ),
    "kernels": lambda path: kernel_figures.kernels(*kernel_stacks(1, 6, 3), path, (NAMES[-1], NAMES[-1] + "c")),
    "cyclegan_curves": lambda path: kernel_figures.cyclegan_curves(
        {name: {f"loss_{name}": rng.random(3)} for name in NAMES[:4]}, path
    ),
    "one_architecture": lambda path: netspace_figures.one_architecture(
        {f"{name}/{key}": rng.random(4) for name in NAMES[:3] for key in ("original", "noise", "average", "decoded")},
        path,
    ),
    "several_architectures": lambda path: netspace_figures.several_architectures(
        {f"{name}/{key}": rng.random(4) for name in NAMES for key in ("original", "decoded")}, path
    ),
}


@pytest.mark.filterwarnings("error", "ignore:Glyph", "ignore:Matplotlib currently does not support")
@pytest.mark.parametrize("name", WITH_NAMES)
def test_no_name_stops_a_figure_or_is_left_out_of_it(name, texts, tmp_path):
    words = texts(WITH_NAMES[name])
    assert any("$" in word for word in words) or name == "kernels"
    if name in ("zoo_curves", "few_shot"):  # a legend of all names
        names = {"$x_{$", "\\frac", "_hidden", "two\\nlines"}
        assert names <= set(words)
    assert max(map(len, words)) < 160
    WITH_NAMES[name](tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.width == round(WIDTH * DPI)
        assert image.text == {}  # no name, date or version in the file


def test_a_long_name_keeps_both_its_ends():
    assert plain("photos of " + "x" * 500 + " number 12") == "photos of " + "x" * 14 + "…" + "xx number 12"
    assert plain("猫" * 50) == "猫" * 12 + "…" + "猫" * 6
    assert plain("_a") == " _a"
