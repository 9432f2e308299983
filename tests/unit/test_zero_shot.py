"""Products of concept heads answer what is linearly there, nothing else, and never see the conjunction's labels."""

import inspect

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn import metrics
from sklearn.covariance import ledoit_wolf

from zoofuse.core import files, intervals
from zoofuse.evaluation import combinations, prediction_jobs, predictions, protocols, zero_shot
from zoofuse.methods import registry
from zoofuse.models import cnn
from zoofuse.settings.evaluation import ZeroShot
from zoofuse.settings.training import Recipe

rng = np.random.default_rng(0)
ARCHITECTURE = cnn.ARCHITECTURES["published"]
QUICK = Recipe(images=96, epochs=10, batch_size=16)


def photographs(red: np.ndarray, green: np.ndarray) -> np.ndarray:
    """Noise; redder where `red` (m,) bool, greener where `green`: two concepts that mean colours tell."""
    images = rng.normal(100, 30, (len(red), 32, 32, 3))
    images[..., 0] += 40 * red[:, None, None]
    images[..., 1] += 40 * green[:, None, None]
    return images.clip(0, 255).astype(np.uint8)


def concept(which: str, k: int = 60, v: int = 40) -> zero_shot.Concept:
    def drawn(m):
        shown = {"red": rng.random(m) < 0.5, "green": rng.random(m) < 0.5} | {which: np.arange(m) < m // 2}
        return photographs(**shown), shown[which].astype(np.uint8)

    return zero_shot.Concept(*drawn(k), *drawn(v))


def zoo(n: int, name: str = "zoo") -> dict[str, np.ndarray]:
    weights = cnn.initial_weights(ARCHITECTURE, 1, name, np.arange(n))
    return weights | {"model": np.arange(n, dtype=np.int32), "domain": np.repeat(["-"], n)}


def conv_only(arrays: dict) -> dict:
    return {name: values for name, values in arrays.items() if not name.startswith("fc")}


@pytest.fixture(scope="module")
def concepts():
    return [concept("red"), concept("green")]


@pytest.fixture(scope="module")
def test():
    """Images of all four kinds and their labels: 1 where both concepts are shown."""
    red, green = np.arange(80) % 2 == 0, np.arange(80) // 2 % 2 == 0
    return photographs(red, green), (red & green).astype(np.uint8)


def test_two_concepts_that_are_linearly_there_give_their_conjunction(concepts, test):
    images, labels = test
    for found in (
        {name.removeprefix("probe/"): x for name, x in zero_shot.predict(conv_only(zoo(20)), concepts, images).items()},
        zero_shot.without_cnn(concepts, images)["colour"],
    ):
        assert intervals.auroc(found["scores"], labels == 1).min() > 0.999
        assert found["validation"].min() > 0.999
        answer = found["scores"] >= found["threshold"][:, None]
        assert min(metrics.balanced_accuracy_score(labels == 1, each) for each in answer) > 0.95


def test_noise_gives_chance():
    n, labels = 40, np.arange(120) % 2
    training_, validation, seen = (rng.normal(size=(n, 120, 30)).astype(np.float32) for _ in range(3))
    noise = zero_shot.Concept(None, labels, None, labels)
    heads = [zero_shot.probe(training_, validation, noise) for _ in range(2)]
    p = [zero_shot.probability(head, seen) for head in heads]
    found = intervals.auroc(zero_shot.conjunction(p, p, [labels, labels])["scores"], labels == 1)
    error = np.sqrt(121 / (12 * 60 * 60))  # of one AUROC of 60 + 60 images
    assert abs(found.mean() - 0.5) < 4 * error / np.sqrt(n)


def test_probe_is_the_discriminant_of_scikit_learns_ledoit_wolf():
    labels = (np.arange(90) < 50).astype(int)
    x = (rng.normal(size=(3, 90, 20)) @ rng.normal(size=(20, 20)) + 5).astype(np.float32)
    x[:, labels == 1, :3] += 2
    head = zero_shot.fit_probe(x, labels)
    for one, weight, bias in zip(x.astype(float), *head, strict=True):
        means = np.stack([one[labels == label].mean(0) for label in (1, 0)])
        within = one - means[1 - labels]
        spread = np.sqrt(within.var(0) + 0.05 * within.var(0).mean())
        covariance, _ = ledoit_wolf(within / spread, assume_centered=True)
        expected = np.linalg.solve(covariance, (means[0] - means[1]) / spread) / spread
        np.testing.assert_allclose(weight, expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(bias, -expected @ means.mean(0), rtol=1e-3, atol=1e-3)


def test_one_number_has_the_posterior_of_two_normal_classes():
    labels = np.array([1, 1, 0, 0])
    head = zero_shot.fit_probe(np.array([[[4.0], [6], [1], [3]]]), labels)  # means 5 and 2, variance 1
    np.testing.assert_allclose(zero_shot.logit(head, np.array([[[3.5], [5.5]]])), [[0, 6]], atol=1e-5)


def test_dead_features_and_dead_cnns_do_not_matter():
    labels = np.arange(40) % 2
    x = rng.normal(size=(4, 40, 6)).astype(np.float32)
    x[:, labels == 1] += 1
    more = np.concatenate([x, np.full((4, 40, 3), np.float32(1 / 3))], 2)
    more[1], more[2], more[3] = 0, np.float32(1 / 3), more[0] * 1e30  # dead, dead but for a bias, huge
    head = zero_shot.fit_probe(more, labels)
    p = zero_shot.probability(head, more)
    assert (head.weight[0, 6:] == 0).all()
    assert intervals.auroc(p[[0]], labels == 1) > 0.9
    assert (p[1:3] == 0.5).all()
    np.testing.assert_allclose(p[3], p[0], rtol=1e-3)


def test_a_cnn_that_breaks_answers_the_same_to_all(concepts, test):
    broken = conv_only(zoo(2))
    broken["conv1.weight"][1] = np.nan
    found = zero_shot.predict(broken, concepts, test[0])
    assert np.ptp(found["probe/scores"][1]) == 0
    assert found["probe/validation"][1] == 0.5
    assert found["probe/validation"][0] > 0.99
    assert np.isfinite(found["probe/threshold"]).all()


def test_calibration_brings_to_scale_and_keeps_the_order():
    labels = np.repeat([1, 0], 200)
    z = np.where(labels == 1, 1.0, -1.0) + rng.normal(size=400)  # true log odds: 2 z
    features = np.stack([z, -z])[..., None]
    sure = zero_shot.Head(np.full((2, 1), 50.0), np.full(2, 7.0))
    found = zero_shot.calibrated(sure, features, labels)
    np.testing.assert_allclose(found.weight[0], 2, atol=0.4)
    assert abs(found.bias[0]) < 0.3
    assert (
        zero_shot.probability(found, features)[1] == 0.5
    ).all()  # the other way round on validation: it knows nothing


def test_probe_is_no_surer_than_it_may_be():
    labels = np.arange(100) % 2
    training_, validation, new = (rng.normal(size=(20, 100, 60)).astype(np.float32) for _ in range(3))
    for x in (training_, validation, new):
        x[:, labels == 1, :2] += 1
    asked = zero_shot.Concept(None, labels, None, labels)
    losses = {}
    for name, head in (
        ("fitted", zero_shot.fit_probe(training_, labels)),
        ("probe", zero_shot.probe(training_, validation, asked)),
    ):
        p = zero_shot.probability(head, new)
        losses[name] = -np.log(np.where(labels == 1, p, 1 - p)).mean()
    assert losses["probe"] < min(losses["fitted"], np.log(2))


def test_own_heads_by_hand():
    head = zero_shot.own_head(
        {"fc_a.weight": np.array([[[1.0, 1], [2, 0]]]), "fc_a.bias": np.array([[0, 0.5]])}, "fc_a"
    )
    p = zero_shot.probability(head, np.array([[[1.0, 1], [0, 2]]]))  # logits 2.5 and 2; 0.5 and 2
    np.testing.assert_allclose(p, [[1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(1.5))]])


def test_own_heads_are_used_as_given(concepts, test):
    cnns, heads = zoo(zero_shot.CHUNK + 1), {}
    for side in "ab":
        own = zoo(zero_shot.CHUNK + 1, side)
        heads |= {f"fc_{side}.weight": own["fc1.weight"], f"fc_{side}.bias": own["fc1.bias"]}
    expected = np.ones((len(cnns["model"]), 80), np.float32)
    x = cnn.normalise(torch.from_numpy(test[0]))
    for side in "ab":
        weights = cnns | {f"fc1.{which}": heads[f"fc_{side}.{which}"] for which in ("weight", "bias")}
        tensors = {name: torch.from_numpy(values) for name, values in weights.items() if "." in name}
        expected *= cnn.logits(tensors, x).softmax(2)[..., 1].numpy()
    for brought, kinds in ((concepts, {"own", "probe"}), ((), {"own"})):
        found = zero_shot.predict(conv_only(cnns) | heads, brought, test[0])
        assert {name.split("/")[0] for name in found} == kinds
        np.testing.assert_allclose(found["own/scores"], expected, rtol=1e-4)
        assert np.isnan(found["own/validation"]).all() == (not brought)
    assert zero_shot.predict(conv_only(cnns), (), test[0]) == {}


def test_thresholds_by_hand():
    scores = np.array([[0.9, 0.6, 0.5, 0.2, 0.1], [0.9, 0.4, 0.6, 0.6, 0.1], [0.1, 0.2, 0.6, 0.7, 0.9], [0.5] * 5])
    labels = np.array([1, 1, 0, 0, 0])
    threshold, balanced = zero_shot.best_threshold(scores, labels)
    np.testing.assert_allclose(threshold, [0.55, 0.75, 0.1, 0.5])
    np.testing.assert_allclose(balanced, [1, 0.75, 0.5, 0.5])


def test_thresholds_are_the_best_there_are():
    scores, labels = rng.integers(0, 12, (30, 50)) / 7, (rng.random(50) < 0.6).astype(int)
    for one, threshold, balanced in zip(scores, *zero_shot.best_threshold(scores, labels), strict=True):
        reached = [metrics.balanced_accuracy_score(labels == 1, one >= cut) for cut in np.unique(one)]
        assert balanced == pytest.approx(max(reached))
        assert metrics.balanced_accuracy_score(labels == 1, one >= threshold) == pytest.approx(max(reached))


def test_conjunction_by_hand():
    seen = [np.array([[0.5, 0.8]]), np.array([[0.4, 0.5]])]
    own = [np.array([[0.9, 0.7, 0.8, 0.1]]), np.array([[0.6, 0.2]])]
    found = zero_shot.conjunction(seen, own, [np.array([1, 1, 0, 0]), np.array([1, 0])])
    np.testing.assert_allclose(found["scores"], [[0.2, 0.4]])
    assert found["validation"] == pytest.approx((0.75 + 1) / 2)
    assert found["threshold"] == pytest.approx(0.4 * 0.4)  # 0.75 from (0.1 + 0.7) / 2, 1.0 from (0.6 + 0.2) / 2


def parents(zoos, concepts, test):
    return combinations.parents(dict(zip("abc", zoos, strict=False)), concepts, test[0], 1, "f", ZeroShot())


def test_parents_by_hand(concepts, test):
    zoos = [zoo(3, "a"), zoo(2, "b")]
    z = [zero_shot.zoo_logits(one, test[0]) for one in zoos]
    p = [expit(one) for one in z]
    found = parents(zoos, concepts, test)
    mean = [one.mean(0) for one in p]
    soft = [expit(one / 4).mean(0) for one in z]
    wanted = {"product": p[0][:2] * p[1], "ensemble": [mean[0] * mean[1]], "ensemble_minimum": [np.minimum(*mean)]}
    wanted |= {"product_logits": z[0][:2] + z[1], "ensemble_logits": [z[0].mean(0) + z[1].mean(0)]}
    wanted["ensemble_softened"] = [soft[0] * soft[1]]
    for name, scores in wanted.items():
        np.testing.assert_allclose(found[name]["scores"], scores, rtol=1e-5, atol=1e-7)
    assert set(found) == {*wanted, "ensemble_calibrated", "ensemble_palettes"}
    assert set(found) == {name for name in registry.known() if name.startswith(("product", "ensemble"))}
    no_labels = parents(zoos, (), test)
    assert set(no_labels) == {name for name in found if registry.get(name).supervision == "none"}
    for name, answers in no_labels.items():
        np.testing.assert_array_equal(answers["scores"], found[name]["scores"])
        assert np.isnan(answers["threshold"]).all()
    assert parents([conv_only(zoos[0]), zoos[1]], concepts, test) == {}


def test_calibration_does_not_depend_on_the_scale_of_logits(concepts, test):
    """CNNs that are a hundred times too sure of themselves decide a product, but not a calibrated one."""
    zoos = [zoo(2, "a"), zoo(2, "b")]
    louder = zoos[0] | {name: 100 * zoos[0][name] for name in ("fc1.weight", "fc1.bias")}
    before, after = parents(zoos, concepts, test), parents([louder, zoos[1]], concepts, test)
    calibrated = [found["ensemble_calibrated"]["scores"] for found in (before, after)]
    np.testing.assert_allclose(*calibrated, rtol=1e-3)
    assert not np.allclose(before["ensemble"]["scores"], after["ensemble"]["scores"], rtol=0.01)


def test_three_concepts_multiply(concepts, test):
    zoos = [zoo(2, name) for name in "abc"]
    p = [expit(zero_shot.zoo_logits(one, test[0])) for one in zoos]
    found = parents(zoos, [*concepts, concepts[0]], test)
    np.testing.assert_allclose(found["product"]["scores"], p[0] * p[1] * p[2], rtol=1e-6)
    np.testing.assert_allclose(found["ensemble"]["scores"], [np.prod([each.mean(0) for each in p], 0)], rtol=1e-6)
    assert np.isfinite(found["product"]["threshold"]).all()
    heads = {f"fc_{side}.{part}": one[f"fc1.{part}"] for side, one in zip("abc", zoos, strict=True)
             for part in ("weight", "bias")}  # fmt: skip
    made = conv_only(zoos[0]) | heads
    seen = protocols.features(made, test[0])
    each = [zero_shot.probability(zero_shot.own_head(made, f"fc_{side}"), seen) for side in "abc"]
    answers = zero_shot.predict(made, (), test[0])
    np.testing.assert_allclose(answers["own/scores"], np.prod(each, axis=0), rtol=1e-6)


def test_supervised_learns_the_conjunction_from_its_half_only(test):
    images, labels = test
    half = np.arange(80) // 4 % 2 == 0
    asked = {"models": 2, "folds": 8, "recipe": QUICK, "seed": 1, "fusion": "red_green"}
    found = zero_shot.supervised(images, labels, half, **asked)
    assert intervals.auroc(found["scores"][:, ~half], labels[~half] == 1).max() > 0.9
    elsewhere = zero_shot.supervised(images, np.where(half, labels, 1 - labels), half, **asked)
    assert all(np.array_equal(found[name], elsewhere[name]) for name in found)
    assert len(np.unique(found["threshold"])) == len(np.unique(found["validation"])) == 1
    fold = zero_shot.oracle_folds(labels, half, 8, 1, "red_green")
    assert set(fold[half]) == set(range(8))
    assert (fold[~half] == -1).all()
    assert all(set(labels[fold == i]) == {0, 1} for i in range(8))
    hidden = zero_shot.supervised(np.where((fold == 0)[:, None, None, None], 0, images), labels, half, **asked)
    others = fold != 0
    assert np.array_equal(found["scores"][0][others], hidden["scores"][0][others])  # CNN 0 never sees fold 0
    assert not np.array_equal(found["scores"][1][others], hidden["scores"][1][others])


def test_probe_images_are_balanced_training_images(tmp_path):
    write_concept(tmp_path / "red.h5", "red", 60)
    split = files.read(tmp_path / "red.h5", "images")
    found = zero_shot.read_concept(tmp_path / "red.h5", 10, 1)
    held_out = {image.tobytes() for image in split["images"][split["split"] == 1]}
    assert np.bincount(found.labels).tolist() == [10, 10]
    assert not held_out & {image.tobytes() for image in found.images}
    assert held_out == {image.tobytes() for image in found.validation_images}
    training_ = split["labels"][split["split"] == 0]
    assert (
        np.bincount(zero_shot.read_concept(tmp_path / "red.h5", 999, 1).labels).tolist()
        == [np.bincount(training_).min()] * 2
    )


def write_concept(path, name: str, k: int) -> None:
    drawn = concept(name, k, k // 3)
    arrays = {
        "images": np.concatenate([drawn.images, drawn.validation_images]),
        "labels": np.concatenate([drawn.labels, drawn.validation_labels]),
        "split": np.repeat(np.arange(2, dtype=np.uint8), [k, k // 3]),
    }
    files.write(path, "images", arrays, concept=name)


def test_the_conjunctions_labels_reach_supervised_only(tmp_path, test):
    images, labels = test
    for name in ("red", "green"):
        write_concept(tmp_path / f"{name}.h5", name, 60)
        files.write(tmp_path / f"zoo_{name}.h5", "zoo", zoo(3, name))
    groups = np.repeat(["-"], len(labels))
    for name, given in (("given", labels), ("flipped", 1 - labels)):
        arrays = {"images": images, "labels": given, "names": groups, "groups": groups}
        files.write(tmp_path / f"{name}.h5", "test_images", arrays)

    def run(function, test_images, **named):
        output = tmp_path / f"{function.__name__}-{test_images}.h5"
        given = {"images": tmp_path / f"{test_images}.h5", "concepts": [tmp_path / "red.h5", tmp_path / "green.h5"]}
        given |= {"part": {"limit": 2, "start": 0, "stop": 9}, "probe_images": 9, "seed": 1, "output": output}
        given |= {"settings": {"probe_images": 9, "supervised": 2}, "fusion": "red_green", "method": "made"}
        given |= {"recipe": {"epochs": 1, "images": 16}, "architecture": "published", "device": "cpu", "inputs": named}
        asked = inspect.signature(function).parameters
        function(**{name: value for name, value in (given | named).items() if name in asked})
        return predictions.read(output)

    def same(one, other):
        arrays = [{"scores": of.scores, "model": of.model, "domain": of.domain} | of.measures for of in (one, other)]
        return all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])

    shards = [run(prediction_jobs.zero_shot_shard, name, zoo=tmp_path / "zoo_red.h5") for name in ("given", "flipped")]
    assert [of.key for of in shards[0]] == [("made", "zero_shot", "probe")]
    one, other = (of for (of,) in shards)
    assert set(one.measures) == {"validation", "threshold"}
    assert one.scores.shape == (2, 80)
    assert one.scores.dtype == np.float32
    assert same(one, other)
    assert np.array_equal(one.images.truth, ~other.images.truth)

    sides = {"a": [tmp_path / "zoo_red.h5"], "b": [tmp_path / "zoo_green.h5"]}
    given, flipped = (run(prediction_jobs.zero_shot_references, name, **sides) for name in ("given", "flipped"))
    methods = {"supervised", "brightness", "colour", "middle", "pixels", "product", "product_logits", "ensemble"}
    methods |= {f"ensemble_{rule}" for rule in ("logits", "softened", "calibrated", "minimum", "palettes")}
    assert {of.method for of in given} == methods
    assert [of.key for of in given] == [of.key for of in flipped]
    changed = {of.key for of, other in zip(given, flipped, strict=True) if not same(of, other)}
    assert changed == {("supervised", "zero_shot", "own")}
