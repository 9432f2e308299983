"""Training images that may show the conjunction, planted among others."""

import numpy as np

from zoofuse.core import csv_files, files
from zoofuse.evaluation import suspects
from zoofuse.report import prediction_figures


def dark_lovers(n: int) -> dict[str, np.ndarray]:
    """n CNNs of the published shapes whose concept is darkness: negative means of pixels, summed up."""
    zoo = {"conv1.weight": np.full((n, 6, 3, 5, 5), -1 / 75), "conv1.bias": np.zeros((n, 6))}
    zoo |= {"conv2.weight": np.full((n, 16, 6, 5, 5), 1 / 150), "conv2.bias": np.zeros((n, 16))}
    head = np.zeros((n, 2, 400))
    head[:, 1] = np.linspace(0.01, 0.02, n)[:, None]
    zoo |= {"fc1.weight": head, "fc1.bias": np.tile([2.0, 0.0], (n, 1))}
    return {name: values.astype(np.float32) for name, values in zoo.items()} | {"model": np.arange(n, dtype=np.int32)}


def planted() -> dict[str, np.ndarray]:
    """Forty bright positives of cat but for three dark ones, and dark negatives, which are not asked for."""
    generator = np.random.default_rng(0)
    images = generator.integers(130, 255, (60, 32, 32, 3)).astype(np.uint8)
    images[[7, 23, 31]] = generator.integers(0, 40, (3, 32, 32, 3))
    images[40:] = 0
    labels = np.repeat([1, 0], [40, 20]).astype(np.uint8)
    return {"images": images, "labels": labels, "names": np.array([f"cat/{i:02d}.jpg" for i in range(60)])}


def test_the_planted_images_come_first():
    table = suspects.ranked({"cat": planted()}, {"black": dark_lovers(3), "cat": dark_lovers(2)})
    assert set(table["concept"]) == {"cat"}
    assert set(table["other"]) == {"black"}
    assert len(table) == 40
    assert set(table["file"][:3]) == {"cat/07.jpg", "cat/23.jpg", "cat/31.jpg"}
    assert table["probability"].is_monotonic_decreasing
    assert table["probability"][2] > 0.5 > table["probability"][3]


def test_a_zoo_without_linear_layers_is_not_asked(tmp_path):
    conv = {name: values for name, values in dark_lovers(2).items() if not name.startswith("fc1")}
    assert suspects.ranked({"cat": planted()}, {"black": conv, "cat": conv}).empty
    files.write(tmp_path / "cat.h5", "images", planted())
    files.write(tmp_path / "zoo.h5", "zoo", conv)
    zoos = {"zoo_a": tmp_path / "zoo.h5", "zoo_b": tmp_path / "zoo.h5"}
    written = tmp_path / "t.csv", tmp_path / "f.png"
    prediction_figures.suspects_figure([tmp_path / "cat.h5"], ["black", "cat"], zoos, *written)
    assert csv_files.read(tmp_path / "t.csv").empty
    assert (tmp_path / "f.png").stat().st_size > 100
