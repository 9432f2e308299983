"""NetSpace's settings on two small zoos: what is held out stays out, walks end where they should."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from zoofuse.core import files, rng
from zoofuse.models import cnn
from zoofuse.netspace import architectures, cnns, experiments, figures, spaces
from zoofuse.settings.netspace import Fuse, LatentOptimisation
from zoofuse.zoo import align, training, zoo

NAMES = {"a": "black", "b": "cat"}
SETTINGS = spaces.Settings(code=16, hidden=32, steps=60, networks=4, inputs=16, learning_rate=3e-3)
ARCHITECTURE = cnn.ARCHITECTURES["published"]


def pictures(side: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Concept a is a bright image, concept b a red one; each with noise."""
    labels = (np.arange(n) % 2 == 0).astype(np.uint8)
    noise = 60 * rng.uniform((n, 32, 32, 3), 3, "pictures", side)
    bright = np.where(labels == 1, 150, 40)[:, None, None, None] * (
        np.ones(3) if side == "a" else np.array([1, 0.2, 0.2])
    )
    return (noise + bright).astype(np.uint8), labels


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("netspace")
    zoos, shown = {}, {}
    for side, concept in NAMES.items():
        images, labels = pictures(side, 96)
        split = (np.arange(96) // 2 % 3 == 0).astype(np.uint8)
        shown[side] = folder / f"{concept}_images.h5"
        files.write(shown[side], "images", {"images": images, "labels": labels, "split": split})
        keep = split == 0
        data = training.Data(images[keep], labels[keep], images[~keep], labels[~keep])
        made = training.train(
            data,
            training.Settings(epochs=3, images_per_epoch=64, batch_size=32),
            1,
            concept,
            np.arange(8),
            backend="serial",
        )
        zoos[side] = [folder / f"{concept}-{shard}.h5" for shard in range(2)]
        for path, part in zip(zoos[side], (np.arange(5), np.arange(5, 8)), strict=True):
            arrays = {name: values[part] for name, values in made.weights.items()}
            files.write(path, "zoo", arrays | {"model": part.astype(np.int32)})
    return zoos, shown


def concepts(sources, **options) -> dict[str, cnns.Concept]:
    return cnns.concepts(*sources, "published", 1, **{"held_out": 0.25, "compared": 48, "probes": 16} | options)


@pytest.fixture(scope="module")
def found(sources):
    return concepts(sources)


@pytest.fixture(scope="module")
def space(found, tmp_path_factory):
    return cnns.embed(found, SETTINGS, 1, tmp_path_factory.mktemp("space") / "state.h5")


def test_held_out_cnns_and_validation_images_stay_out_of_the_space(found, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(spaces, "train", lambda networks, groups, *_, **__: seen.extend(groups))
    cnns.embed(found, SETTINGS, 1, tmp_path / "state.h5")
    for concept, group in zip(found.values(), seen, strict=True):
        assert sorted([*concept.trained, *concept.held_out]) == list(range(8))
        assert len(concept.held_out) == 2
        assert len(group.predictions) == 6
        for row in concept.held_out:
            assert not (group.predictions == concept.predictions[row]).all((1, 2)).any()
        held_out = {image.tobytes() for image in concept.data.validation_images}
        assert not held_out & {image.tobytes() for image in group.inputs}
        first, second = concept.halves
        assert not set(first) & set(second)
        assert len(first) + len(second) == len(concept.data.validation_labels)


def test_weights_are_read_from_the_files_that_hold_them(sources, found):
    whole, rows = zoo.read(sources[0]["b"]), np.array([6, 1, 4])
    for name, values in found["b"].of(rows).items():
        np.testing.assert_array_equal(values, whole[name][rows])
    mean = found["b"].mean(rows)["conv1.weight"]
    np.testing.assert_allclose(mean[0], whole["conv1.weight"][rows].mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(zoo.pick(sources[0]["b"], [5, 3], ["model"], [7, 0])["model"], [7, 0])


def test_predictions_are_taken_from_their_file(sources, found, tmp_path):
    cnns.write_predictions(tmp_path / "predictions.h5", found)
    again = concepts(sources, predictions=tmp_path / "predictions.h5")
    for side, concept in found.items():
        np.testing.assert_array_equal(concept.predictions, again[side].predictions)
        np.testing.assert_array_equal(concept.probes, again[side].probes)
        x = cnn.normalise(torch.from_numpy(concept.data.images[concept.rows[:5]]))
        np.testing.assert_allclose(
            concept.predictions[:, :5], cnn.logits(concept.of(np.arange(8)), x), rtol=1e-4, atol=1e-4
        )


def test_the_encoder_of_parameters_reads_the_weights_with_the_head_in_its_concepts_place(found):
    settings, concept, rows = dataclasses.replace(SETTINGS, encoder="parameters"), found["b"], np.array([1, 4])
    weights = spaces.from_prep(torch.from_numpy(cnns.encoder_inputs(concept, rows, settings)), concept.network.shapes)
    assert torch.equal(weights["fc_b.weight"], concept.of(rows)["fc1.weight"])
    assert torch.equal(weights["conv2.weight"], concept.of(rows)["conv2.weight"])
    assert weights["fc_a.weight"].eq(0).all()


def test_decoded_cnns_answer_their_concept_and_the_average_of_raw_weights_is_a_control(space, found):
    rows, arrays = experiments.one_architecture(space, found, NAMES, 1)
    table = experiments.table(rows).set_index("measure")
    assert list(experiments.table(rows).columns[:6]) == [
        "setting",
        "measure",
        "original",
        "decoded",
        "control",
        "n",
    ]
    for concept in NAMES.values():
        assert table.loc[f"balanced_accuracy_{concept}", "decoded"] > 0.8
        assert table.loc[f"balanced_accuracy_{concept}", "n"] == 2
        assert table.loc[f"nearest_{concept}", "decoded"] > 0.1  # no copy
        assert {"original", "decoded", "noise", "average"} <= {key.split("/")[1] for key in arrays}


def test_a_walk_starts_and_ends_at_what_the_two_cnns_decode_to(space, found):
    for stop in "ab":
        seen = cnns.interpolate(space, found["a"], found[stop], pairs=1, points=3)
        concept = found["a"]
        start = concept.held_out[:1]
        images, labels = concept.data.validation_images, concept.data.validation_labels
        weights = space.decode(space.encode(cnns.encoder_inputs(concept, start, SETTINGS)))
        assert seen["decoded"][0, 0, 0] == cnns.balanced_accuracy(concept.decoded(weights, images), labels)[0]
        assert seen["raw"][0, 0, 0] == cnns.balanced_accuracy(concept.logits(start, images), labels)[0]
        last = found[stop].held_out[1:2] if stop == "a" else found[stop].held_out[:1]
        own = found[stop].logits(last, found[stop].data.validation_images)
        assert seen["raw"][0, -1, -1] == cnns.balanced_accuracy(own, found[stop].data.validation_labels)[0]
        assert seen["raw"].shape == (1, 3, 1 if stop == "a" else 2)
    # between concepts a raw walk keeps each concept's own head: at its end the trunk of b has the head of a
    last = found["b"].held_out[:1]
    trunk = {name: values for name, values in found["b"].of(last).items() if name.startswith("conv")}
    heads = {f"fc_a.{kind}": concept.of(start)[f"fc1.{kind}"] for kind in ("weight", "bias")}
    mixed = cnns.balanced_accuracy(concept.decoded(trunk | heads, images), labels)
    assert seen["raw"][0, -1, 0] == mixed[0]


def test_optimised_codes_learn_what_they_are_given(space, found):
    chosen = LatentOptimisation(starts=2, steps=15, learning_rate=0.05)
    rows, arrays = experiments.latent_optimisation(space, found, NAMES, 1, chosen)
    assert {row["measure"] for row in rows} >= {"teacher_black", "performance_cat"}
    for goal in ("teacher", "performance"):
        assert np.median(arrays[f"{goal}_cat/decoded"]) > 0.8
        assert len(arrays[f"{goal}_cat/scratch"]) == 2
        assert 0.5 < arrays[f"{goal}_cat/best"][0] <= 1
        assert 0.5 < arrays[f"{goal}_cat/decoded_best"][0] <= 1


def test_a_step_has_as_many_images_of_either_class_however_rare_one_is():
    labels = (np.arange(200) % 9 == 0).astype(np.uint8)
    rows = cnns.balanced(labels, 16, 1, "step")
    assert len(set(rows)) == 16
    assert labels[rows].sum() == 8
    assert set(cnns.balanced(labels, 16, 1, "next step")) != set(rows)


def test_the_best_is_measured_on_the_half_that_did_not_choose_it(found):
    """The first CNN is right on the first half only, the second on the second only: picking gains nothing."""
    concept = found["b"]
    labels, (first, second) = concept.data.validation_labels, concept.halves
    logits = np.zeros((2, len(labels), 2), np.float32)
    for row, (right, wrong) in enumerate(((first, second), (second, first))):
        logits[row, right, labels[right]] = 1
        logits[row, wrong, 1 - labels[wrong]] = 1
    assert cnns.selected(concept, logits)[0] == 0
    assert cnns.selected(concept, logits[:1])[0] == 0.5


def test_a_zoo_in_one_channel_order_has_the_same_codes(sources, found, space, tmp_path):
    zoos, shown = sources
    aligned = {side: [tmp_path / f"{side}.h5"] for side in "ab"}
    for side in "ab":
        align.write(zoos[side], zoos["a"], aligned[side][0])
    other = cnns.concepts(aligned, shown, "published", 1, held_out=0.25, compared=48, probes=16)
    for side, concept in found.items():
        rows = concept.held_out
        assert not torch.equal(other[side].of(rows)["conv2.weight"], concept.of(rows)["conv2.weight"])
        codes = [space.encode(cnns.encoder_inputs(c, rows, SETTINGS)) for c in (concept, other[side])]
        torch.testing.assert_close(*codes, rtol=1e-3, atol=1e-3)


def test_a_fused_cnn_answers_for_both_concepts_and_is_a_zoo_file(space, found, tmp_path):
    arrays = cnns.fuse(space, found, 1, Fuse(models=3, steps=40, learning_rate=0.05))
    assert {name: values.shape for name, values in arrays.items()} == {
        name: (3, *shape) for name, shape in cnns.network(ARCHITECTURE, "a").shapes.items()
    }
    files.write(tmp_path / "netspace.h5", "zoo", arrays)
    weights = architectures.tensors(arrays)
    for concept in found.values():
        logits = concept.decoded(weights, concept.data.validation_images)
        assert (cnns.balanced_accuracy(logits, concept.data.validation_labels) > 0.8).all()


def test_zoos_too_small_are_refused(sources, tmp_path):
    zoos, shown = sources
    few = {name: values[:3] for name, values in files.read(zoos["a"][0], "zoo").items()}
    files.write(tmp_path / "few.h5", "zoo", few)
    with pytest.raises(ValueError, match="4 or more models"):
        concepts(({"a": [tmp_path / "few.h5"], "b": zoos["b"]}, shown))


def test_an_architecture_never_seen_trained_is_made_between_two_that_were(found, tmp_path):
    data = found["b"].data
    ends = [architectures.VANILLA, architectures.resnet(8)]
    middle = architectures.resnet(8, (2, 4, 8))
    kinds = [
        architectures.members(
            kind.name,
            kind.network,
            architectures.train(kind, data, 6, 1, steps=25, batch=16, learning_rate=0.01),
            data.images,
            16,
            0.34,
            1,
        )
        for kind in (*ends, middle)
    ]
    seen, unseen = kinds[:2], kinds[2:]
    for kind in seen:
        accuracy = cnns.predictions(kind.network, kind.weights, data.validation_images)
        assert (cnns.balanced_accuracy(accuracy, data.validation_labels) > 0.8).all()
    longer = dataclasses.replace(SETTINGS, steps=150)
    space = architectures.embed(
        seen, data.images, longer, 1, tmp_path / "state.h5", unseen=[("small", unseen[0].network)]
    )
    rows, arrays = experiments.unseen_architectures(
        space, seen, unseen, data.validation_images, data.validation_labels, 1
    )
    table = experiments.table(rows)
    assert set(table["setting"]) == {"unseen_architectures"}
    assert np.median(arrays[f"{middle.name}/decoded"]) > 0.8
    assert arrays[f"{middle.name}/named"].mean() == 1
    rows, _ = experiments.several_architectures(space, seen, data.validation_images, data.validation_labels)
    named = [row["decoded"] for row in rows if row["measure"].startswith("architecture_named")]
    assert named == [1.0, 1.0]


def test_every_setting_has_a_figure(tmp_path):
    draws = rng.uniform((4,), 1, "figure")
    of = dict.fromkeys(("original", "noise", "average", "decoded", "zoo", "scratch", "start", "fresh"), draws)
    arrays = {f"cat/{key}": values for key, values in of.items()} | {"cat/best": draws[:1]}
    walk = {f"cat/{key}": rng.uniform((4, 5), 1, key) for key in ("decoded", "raw")}
    for setting, draw in figures.FIGURES.items():
        if setting == "shapes":  # tests/unit/test_shapes.py
            continue
        draw(walk if setting == "interpolation" else arrays, tmp_path / f"{setting}.png")
        assert (tmp_path / f"{setting}.png").stat().st_size > 5000


def test_a_table_has_medians_and_quartiles_and_leaves_out_what_there_is_none_of():
    row = experiments.row("one_architecture", "x", None, np.array([1.0, 2.0, 3.0]), np.array([5.0]))
    table = experiments.table([row])
    assert table.loc[0, ["decoded", "decoded_q25", "decoded_q75", "control", "n"]].tolist() == [2, 1.5, 2.5, 5, 3]
    assert pd.isna(table.loc[0, "original"])
