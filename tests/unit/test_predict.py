"""A folder of images becomes a sorted table and a page; what can't be read is named; memory does not grow with it."""

import base64
import io
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from zoofuse.data import images, synthetic
from zoofuse.data.decoding import ImageError
from zoofuse.export import models, predict
from zoofuse.models import cnn

ODD = "sub folder/#1 50% <b>&\"'ü.png"


def model(threshold: float = 0.25) -> models.Model:
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "predict", np.arange(1))
    weights = {name.replace("fc1", "heads"): values[0] for name, values in weights.items()}
    weights["heads.weight"] *= 30  # scores that differ
    about = {"fusion": "black_cat", "method": "cyclegan", "domain": "A", "model": 12, "threshold": threshold}
    config = models.configuration(weights, ["black", "cat"], **about)
    return models.Model({name: torch.from_numpy(values) for name, values in weights.items()}, config)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """150 images of several kinds in subfolders, and five files that are none or damaged."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("sub folder/deep", ".hidden"):
        (folder / name).mkdir(parents=True)
    pictures = synthetic.draw(["cat", "non-cat"], 150, 1, "predict")[0]
    places = [f"{i:03d}.jpg" for i in range(100)] + [f"sub folder/deep/{i}.png" for i in range(46)]
    places += [ODD, "loud.JPEG", "moving.gif", "flat.bmp"]
    for i, (name, image) in enumerate(zip(places, pictures, strict=True)):
        Image.fromarray(image).resize((40 + i, 60)).save(folder / name)
    Image.fromarray(pictures[0]).save(folder / ".hidden/not.png")
    Image.fromarray(pictures[0]).save(folder / ".not.png")
    (folder / "007.jpg").write_bytes((folder / "008.jpg").read_bytes()[:400])
    (folder / "sub folder/empty.png").touch()
    (folder / "words.png").write_text("no image")
    (folder / "notes.txt").write_text("no image")
    (folder / "README").write_text("no image")
    os.symlink(folder, folder / "sub folder/round")
    return folder


UNREADABLE = ["007.jpg", "words.png", "sub folder/empty.png"]


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(folder, said) -> predict.Predictions:
    return predict.predict(model(), folder, threads=2, say=said.append)


def test_every_image_is_scored_as_the_model_scores_it_alone(folder, found):
    table = found.scores
    assert list(table.columns) == ["file", "score", "prediction"]
    assert len(table) == len(set(table["file"])) == 149
    assert {ODD, "loud.JPEG", "moving.gif", "flat.bmp", "sub folder/deep/45.png"} <= set(table["file"])
    alone = np.concatenate([model().predict(images.decode(folder / name)[None]) for name in table["file"]])
    np.testing.assert_allclose(table["score"], alone, atol=1e-6)


def test_the_table_is_sorted_and_answers_at_the_threshold(found):
    scores = found.scores["score"]
    assert (np.diff(scores) <= 0).all()
    assert ((scores >= 0.25) == (found.scores["prediction"] == "yes")).all()
    assert set(found.scores["prediction"]) == {"yes", "no"}


def test_unreadable_and_other_files_are_named(found, said):
    assert found.unreadable["file"].tolist() == UNREADABLE
    causes = dict(found.unreadable.itertuples(index=False))
    assert causes["sub folder/empty.png"] == "empty file"
    assert causes["words.png"] == "not a JPEG, PNG, WebP, GIF or BMP inside"
    assert "truncated" in causes["007.jpg"]
    assert said[0] == "Ignored: 2 files of other kinds (1 no suffix, 1 .txt)."
    assert said[1].startswith("3 of 152 images can't be read and are left out:\n  007.jpg: ")


def test_threads_and_parts_change_nothing(folder, found, monkeypatch):
    monkeypatch.setattr(predict, "BATCH", 7)
    again = predict.predict(model(), folder, threads=3, say=print)
    assert again.scores["file"].tolist() == found.scores["file"].tolist()
    np.testing.assert_allclose(again.scores["score"], found.scores["score"], atol=1e-6)


def test_a_large_folder_is_never_read_ahead_of_what_is_taken(folder, monkeypatch):
    """So memory does not grow with the folder: only parts under way hold images."""
    monkeypatch.setattr(predict, "BATCH", 4)
    names = ["001.jpg"] * 4000
    asked = []

    class Watched(list):
        def __getitem__(self, part):
            asked.append(part)
            return super().__getitem__(part)

    parts = predict.scored(model(), folder, Watched(names), threads=2)
    for taken in range(1, 20):
        start, scores, _ = next(parts)
        assert start == 4 * (taken - 1)
        assert len(scores) == 4
        assert len(asked) <= taken + 5
    parts.close()


def test_the_csvs_read_back(tmp_path, found):
    predict.write_tables(found, tmp_path / "a.csv", tmp_path / "b.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["file"].tolist() == found.scores["file"].tolist()
    np.testing.assert_allclose(table["score"], found.scores["score"], rtol=1e-6)
    assert pd.read_csv(tmp_path / "b.csv")["file"].tolist() == UNREADABLE


def test_names_that_are_no_utf8_are_printed_with_question_marks(tmp_path, folder):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        shutil.copy(folder / "flat.bmp", tmp_path / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (tmp_path / os.fsdecode(b"bad\xe9.png")).touch()
    found = predict.predict(model(), tmp_path, say=print)
    predict.write_tables(found, tmp_path / "a.csv", tmp_path / "b.csv")
    assert pd.read_csv(tmp_path / "a.csv")["file"].tolist() == ["caf�.png"]
    predict.page(tmp_path / "a.html", found, model(), tmp_path)
    assert 'href="./caf%E9.png"' in (tmp_path / "a.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "there is no folder '.*'.*Write --config predict=FOLDER"),
        ({}, "no images in '.*'. Images are files that end in .bmp, .gif, .jfif, .jpe, .jpeg"),
        ({"a.heic": "x", "b.heic": "x"}, r"it holds 2 files of other kinds \(2 .heic\)"),
        ({"a.jpg": "x"}, "none of the 1 images in '.*' can be read"),
    ],
)
def test_a_folder_without_images_is_refused_in_words(tmp_path, files, message):
    if files is not None:
        (tmp_path / "folder").mkdir()
        for name, text in files.items():
            (tmp_path / "folder" / name).write_text(text)
    with pytest.raises(ImageError, match=message):
        predict.predict(model(), tmp_path / "folder", say=print)


def test_an_added_or_replaced_image_changes_the_digest(tmp_path, folder):
    (tmp_path / "notes.txt").touch()
    shutil.copy(folder / "001.jpg", tmp_path / "1.jpg")
    before = predict.digest(tmp_path)
    (tmp_path / "notes.txt").write_text("not an image")
    assert predict.digest(tmp_path) == before
    shutil.copy(folder / "002.jpg", tmp_path / "1.jpg")
    assert (replaced := predict.digest(tmp_path)) != before
    (tmp_path / "2.png").symlink_to(tmp_path / "gone.png")
    assert predict.digest(tmp_path) != replaced


def items(html: str) -> list[str]:
    return re.findall(r"<li[^>]*data-rank.*?</li>", html, re.DOTALL)


def test_the_page_shows_every_image_in_order_and_asks_no_network(tmp_path, folder, found):
    path = tmp_path / "predictions/page.html"
    predict.page(path, found, model(), folder, threads=2)
    html = path.read_text(encoding="utf-8")
    pictures = items(html)
    assert len(pictures) == len(found.scores)
    marked = ['class="yes"' in image for image in pictures]
    assert marked == (found.scores["prediction"] == "yes").tolist()
    for image, score in zip(pictures, found.scores["score"], strict=True):
        assert f"<b>{score:.4f}</b>" in image
        assert 'src="data:image/webp;base64,' in image
    assert "3 files could not be read" in html
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", html)
    assert "<b>&\"'" not in html  # a name is text, never markup
    assert "&lt;b&gt;&amp;" in html
    links = re.findall(r'<a href="([^"]*)"', html)
    assert f"{os.path.relpath(folder, path.parent)}/sub%20folder/%231%2050%25%20%3Cb%3E%26%22%27%C3%BC.png" in links


def test_a_page_of_a_large_folder_shows_the_top_and_some_of_the_rest(tmp_path, folder, found, monkeypatch):
    monkeypatch.setattr(predict, "MAX_SHOWN", 20)
    predict.page(tmp_path / "page.html", found, model(), folder)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    ranks = [int(rank) for rank in re.findall(r'data-rank="(\d+)"', html)]
    assert ranks[:10] == list(range(10))
    assert ranks[-1] == 148
    assert len(ranks) == len(set(ranks)) == 20
    assert "20 of them are on this page: the first 10" in html


def test_thumbnails_keep_proportions_and_are_upright(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # lies on its side
    Image.new("RGB", (400, 200), "red").save(tmp_path / "1.jpg", exif=turned)
    Image.fromarray(np.full((50, 100), 40_000, np.uint16)).save(tmp_path / "2.png")
    Image.new("RGBA", (30, 30), (0, 0, 0, 0)).save(tmp_path / "3.png")
    found = predict.predict(model(), tmp_path, say=print)
    predict.page(tmp_path / "page.html", found, model(), tmp_path)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    shown = {}
    for name, source in zip(found.scores["file"], re.findall(r'src="(data:[^"]*)"', html), strict=True):
        shown[name] = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
    assert {name: image.size for name, image in shown.items()} == {
        "1.jpg": (56, 112),
        "2.png": (100, 50),
        "3.png": (30, 30),
    }
    assert 150 < np.asarray(shown["2.png"]).mean() < 162
    assert np.asarray(shown["3.png"]).min() > 250
