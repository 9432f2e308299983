"""The learned operator, on a small grid of synthetic images of which it sees neither red nor balls."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from zoofuse import config
from zoofuse.core import files
from zoofuse.data import grid, images
from zoofuse.evaluation import zero_shot
from zoofuse.methods import operator, registry
from zoofuse.settings.training import Operator
from zoofuse.zoo import training

COLOURS, KINDS = ("black", "white", "red", "blue", "green", "yellow"), ("car", "house", "ball", "tree", "cup")
QUICK = Operator(images=600, epochs=40, teachers=3)
SPLIT = {"validation_share": 0.1, "validation_max": 20}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A zoo and an images file of every concept, and a test of red balls, of red things and of balls."""
    folder = tmp_path_factory.mktemp("operator")
    pairs = [(colour, kind) for colour in COLOURS for kind in KINDS]
    of = grid.build("g", COLOURS, KINDS, pairs, held_out=["red ball"], seen=0, seed=1)
    pool = grid.draw_pool(of, 40, 40, 1)
    made = SimpleNamespace(zoos={}, images={}, folder=folder)
    for concept in (*COLOURS, *KINDS):
        arrays, about = grid.concept_arrays(pool, *grid.concept_rows(pool, of, concept, 200, 1))
        made.images[concept], made.zoos[concept] = folder / f"{concept}.h5", folder / "zoo" / f"{concept}.h5"
        images.write_concept(made.images[concept], arrays, about, SPLIT, name=concept, seed=1)
        how = training.Settings(epochs=15, images_per_epoch=300)
        data = training.Data(**images.read_concept(made.images[concept]))
        weights = training.train(data, how, 1, concept, np.arange(3)).weights
        made.zoos[concept].parent.mkdir(exist_ok=True)
        files.write(made.zoos[concept], "zoo", weights | {"model": np.arange(3, dtype=np.int32)})
    positive, others, _ = grid.test_rows(pool, of, ("red", "ball"), 120, 1)
    made.test = pool["images"][np.concatenate([positive, others])]
    made.is_pair = np.arange(len(made.test)) < len(positive)
    return made


def generated(made, a, b, name="out"):
    """AUROC for red balls of the operator's CNN from the zoos of a and b, and the CNN."""
    others = {c: (made.zoos[c], made.images[c]) for c in made.zoos if c not in ("red", "ball")}
    zoos, output = {"A": [made.zoos[a]], "B": [made.zoos[b]]}, made.folder / f"{name}.h5"
    options = dict(vars(QUICK))
    job = registry.Job("operator", output, "g/red_ball", 1, 1, "published", options=options, zoos=zoos, others=others)
    registry.get("operator").make(job)
    cnn = files.read(output, "zoo")
    scores = zero_shot.predict(cnn, [], made.test, print)["own/scores"][0]
    return roc_auc_score(made.is_pair, scores), cnn


def test_a_conjunction_of_two_unseen_concepts_is_recognised_by_their_own_zoos_only(made):
    own, cnn = generated(made, "red", "ball")
    assert sum(cnn[name].size for name in ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias")) == 2872
    wrong = [generated(made, *pair, name="wrong")[0] for pair in (("blue", "ball"), ("red", "house"))]
    assert own > 0.85
    assert max(wrong) < own - 0.1


def test_the_order_of_the_parents_channels_makes_no_difference(made):
    _, before = generated(made, "red", "ball")
    arrays, order = files.read(made.zoos["red"], "zoo"), np.array([3, 1, 5, 0, 2, 4])
    permuted = {name: arrays[name][:, order] for name in ("conv1.weight", "conv1.bias")}
    permuted["conv2.weight"] = arrays["conv2.weight"][:, :, order]
    path = made.folder / "permuted" / "red.h5"
    path.parent.mkdir()
    files.write(path, "zoo", arrays | permuted)
    moved = SimpleNamespace(**vars(made) | {"zoos": made.zoos | {"red": path}})
    _, after = generated(moved, "red", "ball")
    for name in ("conv2.weight", "fc_a.weight", "fc_b.weight"):
        assert np.abs(after[name] - before[name]).max() < 1e-3 * np.abs(before[name]).max()


def test_no_image_shows_the_pairs_concepts(made):
    hidden = {"red", "ball"}
    names = {c: files.read(made.images[c], "images", ["images", "groups"]) for c in made.images}
    shown = {image.tobytes(): str(group) for of in names.values() for image, group in zip(*of.values(), strict=True)}
    paths = [made.images[c] for c in made.images if c not in hidden]
    chosen = operator.images_without(hidden, paths, 5000, 1, "name")
    groups = [shown[image.tobytes()] for image in chosen]
    assert len(groups) > 300
    assert not [group for group in groups if hidden & set(group.split("_"))]
    with pytest.raises(ValueError, match="every image of the other concepts shows one of"):
        operator.images_without({*COLOURS}, paths, 10, 1, "g/red_ball")


def test_a_head_predicts_as_its_zoo_does():
    """Planted: the zoo's softened predictions are linear in the features."""
    generator = np.random.default_rng(1)
    seen = np.column_stack([generator.normal(size=(500, 6)), np.ones(500)]).astype(np.float32)
    line = np.array([0.1, -0.05, 0.02, 0, 0.08, -0.1, -0.2])
    head = operator.solved(seen, (1 + seen @ line) / 2, Operator(ridge=1e-9))
    assert np.abs(head / Operator().temperature - line).max() < 1e-3


def test_fusions_have_no_other_concepts_and_grids_do():
    properties = config.full_schema({"varied": "operator"})["properties"]
    allowed = {
        block: properties[block]["additionalProperties"]["properties"]["methods"]["items"]["enum"]
        for block in ("fusions", "grid")
    }
    assert not {"operator", "varied"} & set(allowed["fusions"])
    assert {"operator", "varied"} <= set(allowed["grid"])
