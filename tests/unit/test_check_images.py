"""The look at images before training: what it warns of is there, and what it is silent about is not."""

import functools
import os

import numpy as np
import pytest
from PIL import Image

from zoofuse.data import synthetic
from zoofuse.preflight import audit
from zoofuse.preflight.places import gather
from zoofuse.preflight.statistics import auroc
from zoofuse.report import figures

POLICY = {"unreadable": "refuse", "duplicates": "drop", "leaks": "refuse"}
FUSIONS = {"black_cat": ["black", "cat"]}


def save(folder, images, suffix=".png", **options):
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(images):
        Image.fromarray(picture).resize((48, 48)).save(folder / f"picture_{i:03d}{suffix}", **options)


@functools.cache
def images(words: str, n: int, seed: int = 1) -> np.ndarray:
    return synthetic.draw([words], n, seed, words)[0]


def gathered(root, where, positive, negative):
    source = {"source": "folder", "dataset": None, "positive": [positive], "negative": [negative]}
    return gather(where, source, root, None, 1, 1)


@pytest.fixture
def root(tmp_path):
    """Two draws of one kind of image as cat and dog; black things; a test. Only that blackness tells black is odd."""
    save(tmp_path / "cat", images("orange cat", 120))
    save(tmp_path / "dog", images("orange cat", 120, 6))
    save(tmp_path / "black", images("black non-cat", 120, 2))
    save(tmp_path / "other", images("non-black non-cat", 120, 3))
    save(tmp_path / "yes", images("black cat", 40, 4))
    save(tmp_path / "no", images("non-black non-cat", 40, 5))
    return tmp_path


def checked(root, policy=POLICY, balance="balanced"):
    places = [gathered(root, *names) for names in (
        ("concepts.cat", "cat", "dog"), ("concepts.black", "black", "other"), ("fusions.black_cat.test", "yes", "no"),
    )]  # fmt: skip
    return places, *audit.check(places, FUSIONS, policy, balance, 1)


def odd(findings, place=None):
    """Checks that are not in order, of one place."""
    found = findings[findings["level"].isin(["stop", "warning"])]
    return set((found[found["place"] == place] if place else found)["check"])


def test_good_folders_get_no_warning_but_for_what_the_concept_means(root):
    findings = checked(root)[1]
    assert odd(findings, "concepts.cat") == set()
    assert odd(findings, "fusions.black_cat") == set()
    assert {"saturation", "darkness of the centre"} <= odd(findings, "concepts.black")
    assert "stop" not in set(findings["level"])


def test_dark_means_not_cat_is_told(root):
    """The negatives of cat become dark: what tells black then speaks against cat."""
    save(root / "dog", images("black dog", 60))
    findings = checked(root)[1].set_index(["place", "check"])
    against = findings.loc[("fusions.black_cat", "darkness of the centre: black against cat")]
    assert against["level"] == "warning"
    assert against["high"] < audit.AGAINST
    assert "speaks against cat" in against["message"]
    assert "Add positives of cat that are like black" in against["advice"]
    alone = findings.loc[("concepts.cat", "darkness of the centre")]
    assert alone["low"] > audit.SEPARATES


def test_the_conjunction_among_the_positives_is_shown_first(root):
    save(root / "cat_dark", images("black cat", 6, 9))
    for path in (root / "cat_dark").iterdir():
        path.rename(root / "cat" / f"planted_{path.name}")
    (cat, *_), _, _, strips = checked(root)
    (strip,) = [strip for strip in strips["concepts.cat"] if "most like black" in strip[0]]
    assert strip[0].endswith("is any black_cat?")
    shown = [image.tobytes() for image in strip[1]]
    planted = {image.tobytes() for image, name in zip(cat.images, cat.names, strict=True) if "planted" in name}
    assert len(planted) == 6
    assert planted <= set(shown[:12])
    assert set(shown) <= {image.tobytes() for image in cat.images[cat.positive]}


def test_a_way_of_saving_that_tells_the_classes_is_told(root):
    for path in (root / "dog").iterdir():
        path.unlink()
    save(root / "dog", images("orange cat", 120, 6), ".jpg", quality=40)
    assert "file" in odd(checked(root)[1], "concepts.cat")
    for path in (root / "dog").iterdir():
        Image.open(path).resize((30, 90)).save(path.with_suffix(".png"))
        path.unlink()
    findings = checked(root)[1]
    assert {"size", "small", "long"} <= odd(findings, "concepts.cat")
    assert findings.set_index(["place", "check"]).loc[("concepts.cat", "small"), "value"] == 120


def test_copies_are_found_however_they_were_saved(root):
    def copy(source, target, change=lambda image: image, **options):
        change(Image.open(root / source)).save(root / target, **options)

    copy("cat/picture_001.png", "cat/again.png")
    copy("cat/picture_002.png", "cat/mirrored.png", lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    copy("cat/picture_003.png", "dog/again.jpg", quality=85)
    copy("black/picture_004.png", "cat/black.png")
    copy("black/picture_005.png", "yes/leak.png")
    copy("black/picture_005.png", "other/leak.png")  # also in another class, and still a leak
    copy("dog/picture_006.png", "no/leak.jpg", quality=95)
    _, findings, named, strips = checked(root)
    by = findings.set_index(["place", "check"])
    assert by.loc[("concepts.cat", "copies"), "value"].tolist() == [1, 1]  # equal, and mirrored
    assert by.loc[("concepts.cat", "both classes"), "level"] == "warning"
    assert "dog/again.jpg (cat/picture_003.png)" in by.loc[("concepts.cat", "both classes"), "message"]
    assert "black/picture_004.png" in by.loc[("fusions.black_cat", "both concepts"), "message"]
    leaks = by.loc[("fusions.black_cat.test", "leak")].set_index("level")
    assert "yes/leak.png" in leaks.loc["stop", "message"]  # equal pixels: preparing the test refuses it
    assert "no/leak.jpg" in leaks.loc["warning", "message"]
    pairs = set(zip(named["check"], named["file"], named["other"], strict=True))
    assert ("mirrored", "cat/mirrored.png", "cat/picture_002.png (concepts.cat)") in pairs
    assert len(pairs) == 8  # and no others
    assert strips["concepts.cat"][-1][0] == "copies, in pairs"


def test_the_same_images_in_the_tests_of_two_fusions_are_no_leak(root):
    places = [gathered(root, f"fusions.{name}.test", "yes", "no") for name in ("one", "two")]
    save(root / "further", images("black cat", 40, 4))
    places.append(gathered(root, "fusions.three.test", "further", "no"))
    fusions = {name: ["black", "cat"] for name in ("one", "two", "three")}
    findings = audit.check(places, fusions, POLICY, "balanced", 1)[0]
    assert "leak" not in set(findings["check"])


def test_one_folder_of_two_concepts_makes_no_copies(root):
    places = [gathered(root, "concepts.cat", "cat", "other"), gathered(root, "concepts.black", "black", "other")]
    findings = audit.check(places, FUSIONS, POLICY, "balanced", 1)[0]
    assert not {"copies", "both classes", "both concepts"} & set(findings["check"])


def test_unreadable_and_other_files_are_named(root):
    (root / "cat/bad.jpg").write_text("no image")
    Image.new("RGB", (50, 50), "red").save(os.fsdecode(bytes(root) + b"/cat/caf\xe9.png"))  # no UTF-8
    (root / "cat/notes.txt").write_text("no image")
    _, findings, named, _ = checked(root)
    assert odd(findings, "concepts.cat") >= {"unreadable"}
    assert findings.iloc[0]["level"] == "stop"  # the gravest first
    assert set(named["file"]) >= {"cat/bad.jpg", "cat/notes.txt"}
    skipped = checked(root, POLICY | {"unreadable": "skip"})[1].set_index("check")
    assert skipped.loc["unreadable", "level"] == "note"


def test_few_and_unbalanced_images_are_told(root):
    for path in sorted((root / "cat").iterdir())[20:]:
        path.unlink()
    findings = checked(root)[1].set_index(["place", "check"])
    assert findings.loc[("concepts.cat", "count"), "level"].tolist() == ["warning", "ok"]
    assert findings.loc[("concepts.cat", "imbalance"), "level"] == "note"
    published = checked(root, balance="published")[1].set_index(["place", "check"])
    assert published.loc[("concepts.cat", "imbalance"), "level"] == "warning"
    for path in sorted((root / "cat").iterdir())[5:]:
        path.unlink()
    assert ("concepts.cat", "statistics") in checked(root)[1].set_index(["place", "check"]).index


def test_drawn_images_need_no_files():
    source = {"source": "synthetic", "dataset": None, "positive": ["cat"], "negative": ["non-cat"], "images": 40}
    place = gather("concepts.cat", source, ".", None, 1, 1)
    findings = audit.check([place], {}, POLICY, "balanced", 1)[0]
    assert "brightness" in set(findings["check"])
    assert not {"size", "file", "copies"} & set(findings["check"])


def test_the_intervals_cover():
    """Normal scores one deviation apart: AUROC 0.760; and no error at all is not certainty."""
    random = np.random.default_rng(1)
    truth = np.arange(90) < 40
    found = [auroc(random.normal(size=90) + truth, truth) for _ in range(400)]
    covered = np.mean([low < 0.7602 < high for _, low, high in found])
    assert 0.92 < covered < 0.98
    value, low, high = auroc(truth.astype(float), truth)
    assert (value, high) == (1, 1)
    assert 0.7 < low < 0.98


def test_what_is_written_reads_back(root, tmp_path):
    places, findings, named, strips = checked(root)
    sheets = {place.where: tmp_path / f"{place.where}.png" for place in places}
    for where, sheet in sheets.items():
        figures.contact_sheet(strips[where], sheet)
    audit.write(tmp_path, findings, named, sheets, places)
    html = (tmp_path / "report.html").read_text()
    assert audit.headline(findings) in html
    assert html.count("data:image/png") == 3
    assert "Darkness of the centre alone separates black" in html
