import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from zoofuse.data import synthetic

TEST_NEGATIVE = ["black non-cat", "non-black cat", "non-black non-cat"]


def group(name):
    return name.split("_")[0]


def luminance(images):
    return images @ np.array([0.299, 0.587, 0.114])


def test_images_are_32_pixels_square_rgb_with_a_name_each():
    images, names = synthetic.draw(["cat"], 5, 0, "a")
    assert images.shape == (5, 32, 32, 3)
    assert images.dtype == np.uint8
    assert len(set(names)) == 5
    assert all(group(name).endswith("-cat") for name in names)


def test_a_longer_draw_begins_with_the_shorter_one():
    short, long = synthetic.draw(["non-cat"], 20, 7, "a"), synthetic.draw(["non-cat"], 50, 7, "a")
    assert np.array_equal(short[0], long[0][:20])
    assert short[1] == long[1][:20]


def test_the_same_call_in_another_process_draws_the_same():
    code = "from zoofuse.data.synthetic import draw; "
    code += "print(draw(['animal', 'thing'], 9, 3, 'a')[0].sum((1, 2, 3)).tolist())"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    here = synthetic.draw(["animal", "thing"], 9, 3, "a")[0].sum((1, 2, 3)).tolist()
    assert other.stdout.strip() == str(here)


@pytest.mark.parametrize(("seed", "stream"), [(1, "a"), (0, "b")])
def test_another_seed_or_stream_draws_other_images(seed, stream):
    ours, others = synthetic.draw(["cat"], 20, 0, "a")[0], synthetic.draw(["cat"], 20, seed, stream)[0]
    assert not any(np.array_equal(x, y) for x in ours for y in others)


def test_no_image_comes_twice_in_2000():
    images, _ = synthetic.draw(["black cat"], 2000, 0, "twice")
    assert len({image.tobytes() for image in images}) == 2000


@pytest.mark.parametrize(
    ("texts", "holds"),
    [
        (["non-black cat"], lambda g: g.endswith("-cat") and g != "black-cat"),
        (["black non-cat"], lambda g: g.startswith("black-") and g != "black-cat"),
        (["non-black"], lambda g: not g.startswith("black-")),
        (["dark grey"], lambda g: g.startswith("dark-grey-")),
        (["grey non-dark thing"], lambda g: g.startswith("grey-") and g.split("-")[-1] not in ("cat", "bird")),
        (["black dog", "white fish"], lambda g: g in ("black-dog", "white-fish")),
    ],
)
def test_the_groups_in_the_names_are_what_the_selectors_say(texts, holds):
    _, names = synthetic.draw(texts, 150, 0, "a")
    assert all(holds(group(name)) for name in names)
    allowed = {f"{colour} {kind}".replace(" ", "-") for colour, kind in synthetic.scenes(texts)}
    assert {group(name) for name in names} <= allowed


def test_what_is_no_cat_is_every_other_kind_in_every_colour_black_too():
    pairs = synthetic.scenes(["non-cat"])
    kinds = {kind for _, kind in pairs}
    assert len(kinds) == 10
    assert "cat" not in kinds
    assert {("black", kind) for kind in kinds} <= set(pairs)
    assert {colour for colour, kind in pairs if kind == "car"} >= {"black", "white", "red", "dark blue", "orange"}
    assert len(set(pairs)) == len(pairs)


def test_selectors_share_the_images_evenly_and_kinds_share_a_selector():
    _, names = synthetic.draw(TEST_NEGATIVE, 1500, 0, "shares")
    black = [group(name).startswith("black-") for name in names]
    cat = [group(name).endswith("-cat") for name in names]
    for share in (np.mean(black), np.mean(cat), 1 - np.mean(black) - np.mean(cat)):
        assert share == pytest.approx(1 / 3, abs=0.05)
    _, names = synthetic.draw(["non-cat"], 1000, 0, "shares")
    kinds = Counter(group(name).split("-")[-1] for name in names)
    assert len(kinds) == 10
    assert all(60 < count < 140 for count in kinds.values())


def test_black_is_the_darkest_colour_of_a_subject():
    def brightness(colour):  # a ball, so that the middle of the image is the subject and nothing else
        selector = colour if colour.startswith(("black", "dark")) else f"{colour} non-dark"
        images, _ = synthetic.draw([f"{selector} ball"], 150, 0, f"brightness of {colour}")
        return np.median(images[:, 12:20, 12:20].max(-1))

    colours = {colour for colour, _ in synthetic.scenes(["ball"])}
    black = brightness("black")
    assert all(brightness(colour) > 1.15 * black for colour in colours - {"black"})


def test_dark_pixels_alone_do_not_tell_a_black_cat():
    def dark_share(texts, stream):
        images, _ = synthetic.draw(texts, 400, 0, stream)
        return (luminance(images[:, 8:24, 8:24]) < 60).mean((1, 2))

    cats, others = dark_share(["black cat"], "p"), dark_share(TEST_NEGATIVE, "n")
    above = (cats[:, None] > others).mean() + 0.5 * (cats[:, None] == others).mean()  # area under the ROC curve
    assert 0.65 < above < 0.95


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([], "no selector"),
        (["black cat", "bleck cat"], "'bleck'; did you mean black"),
        (["black cat", "blue cat"], "'blue cat': no synthetic image"),
        (["animal thing"], "no synthetic image"),
    ],
)
def test_selectors_that_draw_nothing_are_refused_by_name(texts, says):
    with pytest.raises(ValueError, match=says):
        synthetic.scenes(texts)
    with pytest.raises(ValueError, match=says):
        synthetic.draw(texts, 1, 0, "a")


def test_a_contact_sheet_holds_every_image_enlarged():
    images, _ = synthetic.draw(["cat"], 5, 0, "a")
    sheet = np.asarray(synthetic.contact_sheet(images, columns=2, scale=3))
    assert sheet.shape == (3 * 96 + 2 * 2, 2 * 96 + 2, 3)
    assert np.array_equal(sheet[98:194:3, 98:194:3], images[3])
    assert (sheet[196:, 98:] == 255).all()
