"""Distilled fusions, on images made here: red or not, and upright or lying stripes, never both red and upright."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from zoofuse import config
from zoofuse.core import files
from zoofuse.evaluation import protocols
from zoofuse.export import models
from zoofuse.methods import distil, generate
from zoofuse.models import cnn
from zoofuse.native import trainer
from zoofuse.settings.training import Distil, DistilWeights, Recipe
from zoofuse.zoo import align, training

QUICK = Distil(images=400, epochs=20, learning_rate=0.006, teachers=4)
LOANS = QUICK.loans
NAMED = {"fusion": "f", "architecture": "published"}
RED, OTHERS = (210, 50, 40), ((60, 170, 70), (50, 80, 200), (190, 190, 190), (60, 50, 70))


def striped(rng, n, red, upright):
    """uint8 (n, 32, 32, 3): stripes of one colour on a noisy ground."""
    pictures = np.clip(rng.normal(110, 30, (n, 32, 32, 3)), 0, 255)
    for image in pictures:
        colour = np.array(RED if red else OTHERS[rng.integers(4)]) + rng.normal(0, 15, 3)
        lines = (np.arange(32) + rng.integers(8)) % 8 < 4
        image[:, lines] = colour
        if not upright:
            image[:] = image.transpose(1, 0, 2).copy()
    return np.clip(pictures + rng.normal(0, 12, pictures.shape), 0, 255).astype(np.uint8)


def concept(rng, positive, negatives):
    """training.Data with 240 and 80 images, half of them positive."""
    parts = []
    for n in (120, 40):
        other = np.concatenate([striped(rng, n // len(negatives), *kind) for kind in negatives])
        parts += [np.concatenate([striped(rng, n, *positive), other]), np.repeat([1, 0], [n, len(other)]).astype("u1")]
    return training.Data(*parts)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Zoo files and images files of red (A) and upright (B), their data, and images of all four kinds."""
    folder, rng = tmp_path_factory.mktemp("distil"), np.random.default_rng(0)
    data = {
        "A": concept(rng, (True, False), [(False, False), (False, True)]),
        "B": concept(rng, (False, True), [(False, False), (True, False)]),  # what is red is never upright
    }
    zoos, concept_images = {}, {}
    for side, of in data.items():
        trained = training.train(of, training.Settings(epochs=8, images_per_epoch=240), 1, side, np.arange(6))
        history = {f"history/{name}": values for name, values in trained.history.items()}
        zoos[side] = [folder / f"{side}.h5"]
        files.write(zoos[side][0], "zoo", trained.weights | history | {"model": np.arange(6)})
        concept_images[side] = folder / f"images_{side}.h5"
        arrays = {
            "images": np.concatenate([of.images, of.validation_images]),
            "labels": np.concatenate([of.labels, of.validation_labels]),
            "split": np.repeat([0, 1], [len(of.images), len(of.validation_images)]).astype("u1"),
        }
        files.write(concept_images[side], "images", arrays)
    kinds = [(True, True), (True, False), (False, True), (False, False)]
    test = np.concatenate([striped(rng, 40, *kind) for kind in kinds])
    return {"zoos": zoos, "concept_images": concept_images, "data": data, "test": test, "folder": folder}


def answers(zoo, pictures):
    """(2, n, m): what each head gives the images, as probabilities."""
    kernels = {name: values for name, values in zoo.items() if name.startswith("conv")}
    seen = protocols.features(kernels | {"model": zoo["model"]}, pictures)
    found = []
    for head in ("fc_a", "fc_b"):
        logits = seen @ zoo[f"{head}.weight"].transpose(0, 2, 1) + zoo[f"{head}.bias"][:, None]
        found.append(1 / (1 + np.exp(logits[..., 0] - logits[..., 1])))
    return np.array(found)


def teachers(made, side, n=6):
    zoo = files.read(made["zoos"][side][0], "zoo")
    return {name: values[:n] for name, values in zoo.items() if name.startswith(("conv", "fc"))}


CONJUNCTION = np.repeat([True, False, False, False], 40)


@pytest.fixture(scope="module")
def distilled(made):
    path = made["folder"] / "distilled.h5"
    distil.from_parents(made["zoos"], made["concept_images"], path, n=2, settings=QUICK, seed=1, **NAMED)
    return path


def test_students_know_the_conjunction_that_nobody_showed_them(made, distilled):
    zoo = files.read(distilled, "zoo")
    a, b = answers(zoo, made["test"])
    assert min(roc_auc_score(CONJUNCTION, score) for score in a * b) > 0.95
    doubted = distil.probability(teachers(made, "B"), made["test"])[CONJUNCTION].mean()  # red was never upright
    assert b[:, CONJUNCTION].mean() > doubted + 0.2
    assert zoo["domain"].tolist() == ["-", "-"]
    assert zoo["model"].tolist() == [0, 1]
    assert (zoo["nearest_parent"] > 0.5).all()


def test_same_names_make_the_same_students(made, distilled, tmp_path):
    for seed in (1, 2):
        arguments = {"n": 1, "settings": QUICK, "seed": seed} | NAMED
        distil.from_parents(made["zoos"], made["concept_images"], tmp_path / f"{seed}.h5", **arguments)
    first, again, other = (files.read(path, "zoo") for path in (distilled, tmp_path / "1.h5", tmp_path / "2.h5"))
    np.testing.assert_array_equal(first["conv2.weight"][:1], again["conv2.weight"])
    assert (again["conv2.weight"] != other["conv2.weight"]).any()


def test_students_may_be_larger_than_their_teachers(made, tmp_path):
    settings = replace(QUICK, images=100, epochs=1, student="deep")
    arguments = {"n": 1, "settings": settings, "seed": 1} | NAMED
    distil.from_parents(made["zoos"], made["concept_images"], tmp_path / "deep.h5", **arguments)
    zoo = files.read(tmp_path / "deep.h5", "zoo")
    assert (zoo["conv3.weight"].shape, zoo["fc_b.weight"].shape) == ((1, 128, 64, 3, 3), (1, 2, 512))
    assert np.isfinite(answers(zoo, made["test"][:3])).all()
    cnns = {"distil_deep": zoo, "parent_a": teachers(made, "A") | {"domain": np.repeat("A", 6)}}
    rows = align.nearest_rows(cnns, {"parent_a": cnns["parent_a"]}, 3)
    assert [row["method"] for row in rows] == ["parent_a"]  # no distance between CNNs of different shapes


def test_no_place_for_the_conjunction():
    asked = {f: set(inspect.signature(f).parameters) for f in (distil.from_weights, distil.from_parents)}
    settings = {"zoos", "output", "n", "settings", "seed", "fusion", "architecture", "kinds", "how"}
    assert asked[distil.from_weights] == settings | {"start"}
    assert asked[distil.from_parents] == settings | {"concept_images"}


def test_students_without_a_remedy_see_as_many_images_but_others(made):
    """What ablation compares differs in the remedy only: in number, order and movement the images are the same."""
    cnns = {side: teachers(made, side) for side in "AB"}
    shown = {
        remedies: distil.training_images(cnns, made["data"], Recipe(images=200, remedies=remedies), 1, "f")
        for remedies in [("filtered_negatives", "colour_transfer"), ("filtered_negatives",), ("colour_transfer",), ()]
    }
    both, filtered, transferred, plain = shown.values()
    assert {pictures.shape for pictures, _ in shown.values()} == {(600, 32, 32, 3)}
    np.testing.assert_array_equal(both[0][200:400], filtered[0][200:400])  # upright ones, red negatives left out
    np.testing.assert_array_equal(transferred[0][200:400], plain[0][200:400])
    np.testing.assert_array_equal(both[0][400:], transferred[0][400:])

    def red(part):  # share of red ones among the negatives that are shown for B
        pictures, targets = (values[200:400] for values in part)
        return (pictures[targets[:, 1] == 0].mean((1, 2))[:, 0] > 140).mean()

    assert red(both) < 0.1 < 0.3 < red(plain)


def test_weights_alone_are_distilled(made, tmp_path):
    settings = DistilWeights(images=600, epochs=15, teachers=6, temperature=1)
    distil.from_weights(made["zoos"], tmp_path / "z.h5", n=1, settings=settings, seed=1, **NAMED)
    pictures = distil.leaves(200, 9, "others")
    for side, given in zip("AB", answers(files.read(tmp_path / "z.h5", "zoo"), pictures), strict=True):
        taught = distil.probability(teachers(made, side), pictures)
        assert np.corrcoef(given[0], taught)[0, 1] > 0.5


def test_students_begin_where_they_are_told(made, tmp_path):
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 5, "start", np.arange(6))
    start = weights | {"model": np.array([7, 8, 9, 7, 8, 9]), "domain": np.repeat(["A", "B"], 3)}
    files.write(tmp_path / "start.h5", "zoo", start)
    little = DistilWeights(images=64, epochs=1, teachers=1, learning_rate=1e-6)
    arguments = {"n": 2, "settings": little, "seed": 1, "start": tmp_path / "start.h5"} | NAMED
    distil.from_weights(made["zoos"], tmp_path / "z.h5", **arguments)
    zoo = files.read(tmp_path / "z.h5", "zoo")
    assert zoo["model"].tolist() == [7, 8, 7, 8]
    assert zoo["domain"].tolist() == ["A", "A", "B", "B"]
    np.testing.assert_allclose(zoo["conv1.weight"], weights["conv1.weight"][[0, 1, 3, 4]], atol=1e-4)


def test_colour_is_told_from_shape(made):
    red, upright = (distil.colour_share(teachers(made, side), made["data"][side], LOANS, 1) for side in "AB")
    shapes = concept(np.random.default_rng(3), (False, True), [(False, False)])  # nothing red on either side
    taught = training.train(shapes, training.Settings(epochs=8, images_per_epoch=240), 1, "shapes", np.arange(6))
    plain = distil.colour_share(taught.weights, shapes, LOANS, 1)
    assert red > QUICK.second_colour_from
    assert plain < QUICK.colour_from / 2
    assert (
        plain < upright < QUICK.second_colour_from / 2
    )  # red ones among its negatives only: somewhat a matter of colour


def test_targets_of_training_images(made):
    given = {side: teachers(made, side) for side in "AB"}
    pictures, targets = distil.training_images(given, made["data"], Recipe(images=100), 1, "f")
    assert (pictures.shape, targets.shape) == ((300, 32, 32, 3), (300, 2))
    a, plain, transferred = np.split(targets, 3)
    assert np.isnan(a[:, 1]).all()  # shapes are not told by a zoo that saw no red ones
    assert not np.isnan(targets[100:]).any()
    for own in (a[:, 0], plain[:, 1], transferred[:, 1]):
        np.testing.assert_array_equal(np.unique(own, return_counts=True), ([0, 1], [50, 50]))
    left_out = plain[plain[:, 1] == 0, 0]
    assert left_out.max() < 0.8  # red ones are no negatives of upright
    assert np.ptp(transferred[transferred[:, 1] == 1, 0]) > 0.5  # upright ones in red and in other colours


def test_what_is_colour_does_not_depend_on_the_seed(made):
    """One way to lend colours among few images differs from another by more than what is to be decided."""
    few = made["data"]["B"]
    rows = np.concatenate([np.flatnonzero(few.validation_labels == label)[:15] for label in (1, 0)])
    few = replace(few, validation_images=few.validation_images[rows], validation_labels=few.validation_labels[rows])
    shares = [distil.colour_share(teachers(made, "B"), few, LOANS, seed) for seed in range(12)]
    assert np.std(shares) < 0.06


def test_recoloured_image_takes_the_colours_and_keeps_the_shape():
    rng = np.random.default_rng(2)
    shown, lent = striped(rng, 30, False, True), striped(rng, 30, True, False)
    changed = distil.transfer_colours(shown, lent, 1, whole=True).astype(float)
    middle = np.s_[:, 12:20, 12:20]
    apart = [np.abs(changed[middle].mean((1, 2)) - other[middle].mean((1, 2))).mean() for other in (lent, shown)]
    assert apart[0] < apart[1] / 2
    across, down = np.abs(np.diff(changed, axis=2)).mean(), np.abs(np.diff(changed, axis=1)).mean()
    assert across > 1.2 * down
    partly = distil.transfer_colours(shown, lent, 1)
    assert 0 < np.abs(partly - shown.astype(float)).mean() < np.abs(changed - shown).mean()


def test_leaves_are_varied_and_repeatable():
    first = distil.leaves(40, 1, "f")
    np.testing.assert_array_equal(first, distil.leaves(40, 1, "f"))
    assert (first != distil.leaves(40, 2, "f")).any()
    assert first.dtype == np.uint8
    assert first.mean((1, 2, 3)).std() > 20  # dark and bright ones
    assert first.reshape(40, -1).std(1).min() > 3  # none is empty


@pytest.mark.parametrize("backend", ["serial", "batched", "cpp"])
def test_two_answers_are_learnt_alike_everywhere(backend):
    if backend == "cpp" and not trainer.available()[0]:
        pytest.skip("no compiler")
    pictures, rng = distil.leaves(80, 1, "f"), np.random.default_rng(1)
    targets = rng.random((80, 2)).astype(np.float32)
    targets[rng.random((80, 2)) < 0.3] = np.nan
    data = training.Data(pictures, np.zeros(80, "u1"), pictures[:0], np.zeros(0, "u1"), targets)
    settings = training.Settings(epochs=1, images_per_epoch=80, batch_size=32, balance="published")
    weights, loss = {}, {}
    for name in ("serial", backend):
        trained = training.train(data, settings, 1, "x", np.arange(2), backend=name)
        weights[name], loss[name] = trained.weights, trained.history["loss"]
    assert loss["serial"][0, 0] == pytest.approx(2 * 0.7 * np.log(2), rel=0.1)
    np.testing.assert_allclose(loss[backend], loss["serial"], rtol=1e-5)
    for name, value in weights["serial"].items():
        np.testing.assert_allclose(weights[backend][name], value, atol=1e-5)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"epochs\n.*greater than or equal to 1"):
        Distil(epochs=0)
    with pytest.raises(ValueError, match=r"distil\.epochs: 0 is out of range; write at least 1 \(the default is 15\)"):
        config.complete({"concepts": {"cat": {"zoo": "cat.h5"}}, "distil": {"epochs": 0}})
    with pytest.raises(ValueError, match="targets"):
        training.Data(np.zeros((3, 32, 32, 3), "u1"), np.zeros(3), np.zeros((0, 32, 32, 3), "u1"), np.zeros(0),
                      np.zeros((2, 2)))  # fmt: skip


def test_deeper_parents_have_deeper_students(tmp_path):
    deep, zoos = cnn.ARCHITECTURES["deep"], {}
    for side in "AB":
        zoos[side] = [tmp_path / f"{side}.h5"]
        weights = cnn.initial_weights(deep, 1, side, np.arange(2))
        files.write(zoos[side][0], "zoo", weights | {"model": np.arange(2)})
    few = DistilWeights(images=20, epochs=1)
    distil.from_weights(
        zoos, tmp_path / "made.h5", n=1, settings=few, seed=1, fusion="both", architecture="deep", threads=1
    )
    made = files.read(tmp_path / "made.h5", "zoo")
    assert {name: made[f"{name}.weight"].shape[1:] for name in (*deep.conv_layers, "fc_a", "fc_b")} == {
        "conv1": (32, 3, 3, 3), "conv2": (64, 32, 3, 3), "conv3": (128, 64, 3, 3), "fc_a": (2, 512), "fc_b": (2, 512),
    }  # fmt: skip


@pytest.mark.parametrize("other", ["wide", "vit"])
def test_zoos_of_different_architectures_have_a_common_student(made, tmp_path, other):
    """It is compared with the parents of its architecture only; a zoo that is not what it should be is refused."""
    zoos = dict(made["zoos"]) | {"B": [tmp_path / "B.h5"]}
    trained = training.train(made["data"]["B"], training.Settings(architecture=other, epochs=1, images_per_epoch=40), 1,
                             "B", np.arange(2))  # fmt: skip
    files.write(zoos["B"][0], "zoo", trained.weights | {"model": np.arange(2)})
    how = {"n": 1, "settings": Distil(images=40, epochs=1, loans=1), "seed": 1, "fusion": "f", "threads": 1}
    how |= {"architecture": "published", "kinds": {"A": "published", "B": other}}
    distil.from_parents(zoos, made["concept_images"], tmp_path / "student.h5", **how)
    student = files.read(tmp_path / "student.h5", "zoo")
    assert student["conv2.weight"].shape == (1, 16, 6, 5, 5)
    only = files.read(made["zoos"]["A"][0], "zoo")
    np.testing.assert_allclose(student["nearest_parent"], align.nearest_parent(student, only))
    distil.from_parents(zoos, made["concept_images"], tmp_path / "deep.h5", **how | {"architecture": "deep"})
    assert "nearest_parent" not in files.read(tmp_path / "deep.h5", "zoo")
    with pytest.raises(ValueError, match=r"B\.h5: its CNNs are not of architecture published"):
        distil.from_parents(zoos, made["concept_images"], tmp_path / "none.h5", **how | {"kinds": {}})


def test_an_architecture_like_another_in_its_first_layer_has_students_of_its_own(tmp_path, monkeypatch):
    """conv1 is the published one's; so students are of the architecture that is named, not of the first alike."""
    monkeypatch.setitem(cnn.ARCHITECTURES, "broad", cnn.Architecture(channels=(3, 6, 24), kernel_size=5))
    broad, zoos, few = cnn.ARCHITECTURES["broad"], {}, DistilWeights(images=20, epochs=1)
    for side in "AB":
        zoos[side] = [tmp_path / f"{side}.h5"]
        weights = cnn.initial_weights(broad, 1, side, np.arange(2))
        files.write(zoos[side][0], "zoo", weights | {"model": np.arange(2)})
    arguments = {"n": 1, "settings": few, "seed": 1, "fusion": "f", "threads": 1}
    output = tmp_path / "students.h5"
    distil.from_weights(zoos, output, architecture="broad", **arguments)
    students = files.read(output, "zoo")
    for name in [name for name in broad.shapes if name.startswith("conv")]:
        assert students[name].shape[1:] == broad.shapes[name]
    assert students["fc_a.weight"].shape == (1, 2, broad.features)
    assert students["nearest_parent"].shape == (1,)
    generate.average(zoos, tmp_path / "average.h5")
    generate.random(2, "broad", 1, "f", tmp_path / "random.h5")
    for made in (students, *(files.read(tmp_path / f"{name}.h5", "zoo") for name in ("average", "random"))):
        weights = {name: values[0] for name, values in made.items() if name.startswith("conv")}
        exported = models.configuration(weights, ["a", "b"])["architecture"]
        assert (exported["channels"], exported["features"]) == ([3, 6, 24], broad.features)
    with pytest.raises(ValueError, match=r"A\.h5: its CNNs are not of architecture published.*zoo\.architecture"):
        distil.from_weights(zoos, output, architecture="published", **arguments)
    kinds = {name: cnn.initial_weights(a, 1, "x", np.arange(2)) for name, a in cnn.ARCHITECTURES.items()}
    cnns = {name: kind | {"domain": np.repeat("-", 2)} for name, kind in kinds.items()}
    rows = align.nearest_rows(cnns, {"parent_a": kinds["broad"]}, 1)  # published differs in conv2 only
    assert [row["method"] for row in rows] == ["broad"]


def test_a_cnn_with_one_more_layer_is_not_taken_for_the_published_one():
    """Its first two conv layers and its linear layer have the published shapes."""
    deeper = cnn.Architecture(channels=(3, 6, 16, 100), kernel_size=5, image_size=48)
    weights = cnn.initial_weights(deeper, 1, "deeper", np.arange(2))
    published = cnn.ARCHITECTURES["published"].shapes
    assert {name: weights[name].shape[1:] for name in published} == published
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
    wanted = cnn.logits(tensors, cnn.normalise(torch.from_numpy(images))).numpy()
    np.testing.assert_allclose(trainer.outputs(weights, images), wanted, atol=1e-6)


def test_three_zoos_have_students_with_three_heads(made):
    """Green and lying ones, beside red and upright ones."""
    rng = np.random.default_rng(3)
    zoos = made["zoos"] | {"C": made["zoos"]["A"]}
    data = made["data"] | {"C": concept(rng, (True, False), [(False, False), (False, True)])}
    given = {side: teachers(made, "A" if side == "C" else side) for side in "ABC"}
    pictures, targets = distil.training_images(given, data, Recipe(images=100), 1, "f")
    assert (pictures.shape, targets.shape) == ((400, 32, 32, 3), (400, 3))  # A, B plain and recoloured, C
    assert np.isnan(targets[:100, 1]).all()
    assert not np.isnan(targets[100:300]).any()
    two, _ = distil.training_images({side: given[side] for side in "AB"}, made["data"], Recipe(images=100), 1, "f")
    np.testing.assert_array_equal(pictures[:200], two[:200])
    changed = (pictures[200:300] != two[200:300]).any((1, 2, 3))
    assert not changed[::2].any()  # by turns, every second one takes the colours of the other concept, as of two
    assert changed[1::2].mean() > 0.9

    few = DistilWeights(images=60, epochs=1)
    output = made["folder"] / "three.h5"
    named = NAMED | {"fusion": "three"}
    distil.from_weights(zoos, output, n=2, settings=few, seed=1, threads=1, **named)
    students = files.read(output, "zoo")
    for head in ("fc_a", "fc_b", "fc_c"):
        assert students[f"{head}.weight"].shape == (2, 2, 400)
    assert not np.array_equal(students["fc_a.weight"], students["fc_c.weight"])  # from other initial weights


def test_three_answers_are_learnt_alike_everywhere():
    pictures, rng = distil.leaves(40, 1, "f"), np.random.default_rng(1)
    data = training.Data(pictures, np.zeros(40, "u1"), pictures[:0], np.zeros(0, "u1"), rng.random((40, 3))[:, ::-1])
    settings = training.Settings(epochs=1, images_per_epoch=40, batch_size=16, balance="published")
    names = ("serial", "batched", "auto")  # auto: C++ where there is a compiler
    first, *others = (training.train(data, settings, 1, "x", np.arange(2), backend=name) for name in names)
    for name, value in first.weights.items():
        for other in others:
            np.testing.assert_allclose(other.weights[name], value, atol=1e-5)
    assert first.weights["fc1.weight"].shape == (2, 3, 400)
