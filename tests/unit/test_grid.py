"""A grid of conjunctions: nothing of a held-out pair in training, and statistics over pairs."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from zoofuse.data import colour_words, grid, synthetic
from zoofuse.data.images import ImageError
from zoofuse.evaluation import grid_tables

COLOURS = ("black", "red", "dark red", "white", "blue")
KINDS = ("cat", "car", "house", "bird")
PAIRS = synthetic.pairs(COLOURS, KINDS)


def built(held_out=5, seen=4, seed=1):
    return grid.build("g", COLOURS, KINDS, PAIRS, held_out=held_out, seen=seen, seed=seed)


def test_cats_have_coats_only():
    assert ("blue", "cat") not in PAIRS
    assert ("blue", "car") in PAIRS
    assert len(PAIRS) == 4 * 5 - 3  # no cat is red, dark red or blue


@pytest.fixture(scope="module")
def pool():
    return grid.draw_pool(built(), 8, 9, 1)


def shown(pool, rows):
    return set(zip(pool["attribute"][rows].tolist(), pool["object"][rows].tolist(), strict=True))


def test_no_concept_shows_a_held_out_pair(pool):
    made = built()
    assert not shown(pool, ~pool["test"]) & set(made.held_out)  # not even drawn
    assert shown(pool, pool["test"]) == set(PAIRS)
    tampered = pool | {"test": np.zeros_like(pool["test"])}  # not taken even if there are some
    for concept in (*COLOURS, *KINDS):
        for of in (pool, tampered):
            positive, negative = grid.concept_rows(of, made, concept, 20, 1)
            assert 0 < len(positive) <= 20
            assert 0 < len(negative) <= 20
            assert all(concept in pair for pair in shown(of, positive))
            assert not any(concept in pair for pair in shown(of, negative))
            assert not shown(of, np.concatenate([positive, negative])) & set(made.held_out)
        assert not pool["test"][grid.concept_rows(pool, made, concept, 20, 1)[0]].any()


def test_a_concepts_images_come_from_its_pairs_in_equal_parts(pool):
    positive, _ = grid.concept_rows(pool, built(), "white", 12, 1)
    kept = [pair for pair in PAIRS if pair[0] == "white" and pair not in built().held_out]
    counts = np.unique(pool["object"][positive], return_counts=True)[1]
    assert len(counts) == len(kept)
    assert counts.max() - counts.min() <= 1


def test_red_is_not_dark_red(pool):
    names = pool["names"][pool["attribute"] == "red"]
    assert all(name.startswith("red-") for name in names)


def test_a_test_has_negatives_of_three_kinds_in_equal_parts(pool):
    made = built()
    for pair in made.measured:
        positive, others, groups = grid.test_rows(pool, made, pair, 9, 1)
        assert shown(pool, positive) == {pair}
        assert len(positive) == 9
        assert pool["test"][np.concatenate([positive, others])].all()
        assert np.unique(groups, return_counts=True)[1].tolist() == [3, 3, 3]
        for group, expected in (("same attribute", (True, False)), ("same object", (False, True)),
                                ("neither", (False, False))):  # fmt: skip
            for a, o in shown(pool, others[groups == group]):
                assert (a == pair[0], o == pair[1]) == expected


def test_every_concept_keeps_half_of_its_pairs():
    made = built(held_out=6)
    for concept in (*COLOURS, *KINDS):
        of = [pair for pair in PAIRS if concept in pair]
        kept = [pair for pair in of if pair not in made.held_out]
        assert len(kept) >= max(2, len(of) / 2)
    assert len(made.held_out) == 6
    assert len(made.seen) == 4
    assert not set(made.seen) & set(made.held_out)


def test_the_seed_decides_and_more_pairs_begin_with_the_fewer():
    assert built() == built()
    assert built().held_out != built(seed=2).held_out
    assert set(built(held_out=4).held_out) < set(built(held_out=6).held_out)


def test_held_out_pairs_can_be_named():
    assert built(held_out=["white cat", "dark red car"]).held_out == (("dark red", "car"), ("white", "cat"))


@pytest.mark.parametrize(
    ("held_out", "words"),
    [
        (["blue cat"], "there is no pair 'blue cat'; write an attribute and an object of the grid"),
        (["black cat", "white cat"], "every pair of 'cat' is held out"),
        (12, "12 pairs can't be held out; at most"),
    ],
)
def test_impossible_held_out_pairs_are_refused(held_out, words):
    with pytest.raises(ValueError, match=words):
        built(held_out=held_out)


# ------------------------------------------------------------------ colours of images that nobody labelled

SHADES = {"red": (190, 30, 30), "blue": (40, 70, 200), "black": (20, 20, 20), "white": (240, 240, 240),
          "green": (40, 150, 50), "brown": (120, 75, 40), "grey": (128, 128, 128), "yellow": (220, 210, 40),
          "orange": (240, 140, 30), "purple": (140, 40, 190)}  # fmt: skip


def flat(colour, n=1, around=None, seed=0):
    """Noisy images of a colour, within a frame of another one."""
    pixels = np.full((n, 32, 32, 3), SHADES[around or colour], float)
    pixels[:, 6:26, 6:26] = SHADES[colour]
    return np.clip(pixels + np.random.default_rng(seed).normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


def test_every_shade_has_its_word():
    assert set(SHADES) == set(colour_words.WORDS)
    assert {colour: colour_words.words(flat(colour))[0] for colour in SHADES} == {word: word for word in SHADES}


def test_the_middle_and_all_of_an_image_are_asked_apart():
    image = flat("red", around="green")
    assert colour_words.words(image, "middle")[0] == "red"
    assert colour_words.words(image, "everywhere")[0] == "green"
    np.testing.assert_allclose(colour_words.shares(image).sum(1), 1, rtol=1e-5)


def test_an_image_of_many_colours_has_no_word():
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    assert colour_words.words(image)[0] == ""
    assert colour_words.words(image[:0]).shape == (0,)


OF_FOLDERS = {
    "source": "folder", "attributes": ["red", "blue", "black"], "objects": ["cat", "car", "dog"], "seen": 0,
    "pairs": ["red cat", "blue car"], "held_out": 8,
}  # fmt: skip
SOURCE = {"source": "folder", "unreadable": "refuse", "colour_of": "middle",
          "folders": {thing: [thing] for thing in OF_FOLDERS["objects"]}}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for number, thing in enumerate(OF_FOLDERS["objects"]):
        (root / thing).mkdir()
        for colour in ("red", "blue", "black", "green"):  # green is no attribute of the grid
            for i, pixels in enumerate(flat(colour, 15, seed=number)):
                Image.fromarray(pixels).save(root / thing / f"{colour}_{i:02d}.png")
    shutil.copy(root / "cat/black_00.png", root / "cat/black_copy.png")
    shutil.copy(root / "cat/black_01.png", root / "dog/black_of_a_cat.png")
    return root


def test_folders_become_a_pool_by_the_colours_of_their_images(photos):
    made = grid.from_settings("f", OF_FOLDERS, 1)
    assert made.held_out == (("red", "cat"), ("blue", "car"))
    pool = grid.read_pool(made, SOURCE, test_share=0.4, seed=1, root=photos)
    assert set(pool["attribute"].tolist()) == {"red", "blue", "black"}
    assert [name.split("/")[1].split("_")[0] for name in pool["names"]] == pool["attribute"].tolist()
    assert [name.split("/")[0] for name in pool["names"]] == pool["object"].tolist()
    assert len({image.tobytes() for image in pool["images"]}) == len(pool["images"])  # no copy is left
    assert not {"cat/black_01.png", "dog/black_of_a_cat.png"} & set(pool["names"].tolist())  # cat or dog?
    for pair in made.held_out:
        of_pair = (pool["attribute"] == pair[0]) & (pool["object"] == pair[1])
        assert of_pair.sum() == 15
        assert pool["test"][of_pair].all()
    kept = (pool["attribute"] == "red") & (pool["object"] == "dog")
    assert pool["test"][kept].sum() == 6
    for concept in ("red", "blue", "black", "cat", "car", "dog"):
        positive, negative = grid.concept_rows(pool, made, concept, 12, 1)
        assert not shown(pool, np.concatenate([positive, negative])) & set(made.held_out)


def test_a_pair_with_few_images_is_refused_with_those_that_have_many(photos):
    made = grid.from_settings("f", OF_FOLDERS | {"attributes": ["red", "blue", "white"], "pairs": ["white cat"]}, 1)
    words = r"'white cat' has 0 test images, at least 10 are needed. Hold out another pair. .*red cat \(15\)"
    with pytest.raises(ImageError, match=words):
        grid.read_pool(made, SOURCE, test_share=0.4, seed=1, root=photos)


def test_a_seen_pair_with_few_test_images_asks_for_a_larger_share(photos):
    made = grid.from_settings("f", OF_FOLDERS | {"seen": 1}, 1)
    with pytest.raises(ImageError, match=r"has 6 test images, at least 10 are needed\. Write a larger test_share"):
        grid.read_pool(made, SOURCE, test_share=0.4, seed=1, root=photos)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attributes": ["red", "pink"]}, "grid.f.attributes: no rule finds 'pink'; write some of black, white"),
        ({"objects": ["cat", "red"]}, "'red' is both an attribute and an object"),
    ],
)
def test_a_grid_of_folders_that_cannot_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        grid.from_settings("f", OF_FOLDERS | change, 1)


# ------------------------------------------------------------------ statistics over pairs


def test_intervals_over_crossed_pairs_hold_what_they_promise():
    """Attributes and objects that differ, and an interval that must hold the truth in 95 of 100 grids."""
    generator = np.random.default_rng(0)
    for spread in ((0, 0, 1), (1, 1, 1), (2, 2, 0.5)):
        held = 0
        for _ in range(300):
            attribute, thing = generator.normal(0, spread[0], 15), generator.normal(0, spread[1], 11)
            cells = generator.permutation(165)[:30]
            a, o = cells // 11, cells % 11
            mean = grid_tables.mean_over_pairs(attribute[a] + thing[o] + generator.normal(0, spread[2], 30), a, o)
            held += mean.low <= 0 <= mean.high
        assert 0.90 <= held / 300 <= 0.99


def rows(method, gain, seed=0):
    generator = np.random.default_rng(seed)
    for held_out, count in ((True, 12), (False, 6)):
        for i in range(count):
            attribute, thing = COLOURS[i % 4], KINDS[i // 4 % 4] + ("" if held_out else "2")
            auroc = 0.8 + gain + 0.01 * generator.normal()
            yield {
                "grid": "g", "pair": f"{attribute} {thing}", "held_out": held_out, "method": method, "seed": 1,
                "supervision": "none", "n": 4, "auroc": auroc, "attribute": attribute, "object": thing,
            }  # fmt: skip


def test_the_summary_tells_what_was_planted():
    planted = {"direct": 0.0, "distil": 0.05, "product": -0.05, "ensemble": -0.02, "product_logits": -0.1}
    frame = pd.DataFrame([row for i, (name, gain) in enumerate(planted.items()) for row in rows(name, gain, i)])
    table = grid_tables.summary(frame)
    begin = "grid,method,supervision,n_pairs,mean,low,high,minus_direct,minus_direct_low,minus_direct_high"
    assert ",".join(table.columns).startswith(begin)
    distil = table.set_index("method").loc["distil"]
    assert distil["n_pairs"] == 12
    assert distil["mean"] == pytest.approx(0.85, abs=0.01)
    assert distil["minus_direct_low"] < 0.05 < distil["minus_direct_high"]
    assert distil["minus_direct_low"] > 0.03
    assert distil["best_rule"] == "ensemble"  # selected on seen pairs
    assert distil["minus_best_rule"] == pytest.approx(0.07, abs=0.015)
    assert distil["harmonic"] == pytest.approx(0.85, abs=0.01)
    near = table.set_index("method")["near_direct"]
    assert near["distil"] == near["direct"] == 1
    assert near["product_logits"] == 0  # 0.2 above chance where direct is 0.3
    assert np.isnan(table.set_index("method").loc["direct", "minus_direct"])
    assert grid_tables.sentence(table, "g", "distil").endswith("over 12 held-out pairs: better.")
    assert grid_tables.sentence(table, "g", "product").endswith(": worse.")


def test_two_seeds_of_a_pair_are_one_pair():
    frame = pd.DataFrame([*rows("direct", 0), *rows("distil", 0.1)])
    both = pd.concat([frame, frame.assign(seed=2, auroc=frame["auroc"] + 0.1)])
    table = grid_tables.summary(both).set_index("method")
    assert table.loc["distil", "n_pairs"] == 12
    assert table.loc["distil", "mean"] == pytest.approx(0.95, abs=0.01)
