"""The probability of an expression from those of its concepts, wherever it is computed."""

import itertools

import numpy as np
import pytest

from zoofuse.config import complete
from zoofuse.core import files
from zoofuse.data import joins
from zoofuse.evaluation import combinations, zero_shot
from zoofuse.export import models
from zoofuse.models import cnn
from zoofuse.settings.evaluation import ZeroShot
from zoofuse.workflow.run import Run

EITHER = joins.Join(3, (((0, True),), ((1, True), (2, False))))  # a and (b or not c)


def test_the_product_is_what_independent_concepts_give():
    drawn = np.random.default_rng(1).uniform(size=(200_000, 3)) < np.array([0.7, 0.4, 0.2])
    p = np.array([0.7, 0.4, 0.2])
    expected = (drawn[:, 0] & (drawn[:, 1] | ~drawn[:, 2])).mean()
    assert EITHER(p) == pytest.approx(expected, abs=0.005)
    a, b, c = p
    assert EITHER(p) == pytest.approx(a * (b + (1 - c) - b * (1 - c)))  # inclusion and exclusion
    plain = joins.Join(3, (((0, True),), ((1, True),), ((2, True),)))
    assert plain(p) == np.prod(p)


def test_a_word_that_stands_in_two_parts_is_one_concept():
    exactly_one = joins.Join(2, (((0, True), (1, True)), ((0, False), (1, False))))
    assert exactly_one(np.array([0.5, 0.5])) == pytest.approx(0.5)  # the parts multiplied: 0.5625


@pytest.mark.parametrize("combine", joins.COMBINE)
def test_what_is_certain_has_the_value_of_the_expression(combine):
    for a, b, c in itertools.product((0.0, 1.0), repeat=3):
        assert EITHER.by(combine)(np.array([a, b, c])) == float(a and (b or not c))


def test_fuzzy_rules():
    p = np.array([[0.9, 0.6], [0.3, 0.8], [0.5, 0.1]])
    assert EITHER.by("minimum")(p).tolist() == [0.5, 0.6]
    np.testing.assert_allclose(EITHER.by("lukasiewicz")(p), [0.7, 0.6])
    np.testing.assert_allclose(EITHER.by("minimum")(p.T, axis=1), [0.5, 0.6])


def stack(seed: int) -> dict[str, np.ndarray]:
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], seed, "joins", np.arange(2))
    return weights | {"model": np.arange(2)}


def test_every_way_to_join_zoos_joins_the_expression():
    images = np.random.default_rng(1).integers(0, 255, (8, 32, 32, 3), np.uint8)
    zoos = {side: stack(i) for i, side in enumerate("abc")}
    settings = ZeroShot(palettes=1, palette_models=1, palette_images=20)
    scored = combinations.parents(zoos, [], images, 1, "x", settings, EITHER)
    assert set(scored) == {"product", "ensemble", "ensemble_minimum", "ensemble_softened", "ensemble_palettes"}
    p = np.stack([1 / (1 + np.exp(-zero_shot.zoo_logits(zoo, images))) for zoo in zoos.values()])
    np.testing.assert_allclose(scored["product"]["scores"], p[0] * (1 - (1 - p[1]) * p[2]), rtol=1e-5)
    mean = p.mean(1)
    least = np.minimum(mean[0], np.maximum(mean[1], 1 - mean[2]))
    np.testing.assert_allclose(scored["ensemble_minimum"]["scores"][0], least, rtol=1e-5)


@pytest.mark.parametrize("combine", joins.COMBINE)
def test_an_exported_model_scores_the_expression_and_so_does_its_onnx(tmp_path, combine):
    runtime = pytest.importorskip("onnxruntime")
    rng, join = np.random.default_rng(2), EITHER.by(combine)
    weights = {name: values[0] for name, values in stack(3).items() if name.startswith("conv")}
    weights |= {"heads.weight": rng.normal(size=(3, 400)).astype(np.float32)}
    weights |= {"heads.bias": np.zeros(3, np.float32)}
    digest = "0" * 64
    about = {"fusion": "x", "method": "distil", "domain": "-", "model": 0, "head": "own", "seed": 1, "threshold": 0.5}
    about |= {"supervision": "concept labels", "sources": {"zoo": digest}}
    config = models.configuration(weights, ["a", "b", "c"], join, **about)
    assert config["labels"]["yes"] == "a and (b or not c)"
    models.write(tmp_path, weights, config, "")
    model, images = models.load(tmp_path), rng.integers(0, 255, (6, 32, 32, 3), np.uint8)
    expected = join(model.probabilities(images).T)
    np.testing.assert_allclose(model.predict(images), expected, rtol=1e-6)
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    (score,) = session.run(["score"], {"images": images})
    np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-6)


def test_a_configuration_says_it_to_whoever_reads_the_test_images(tmp_path):
    concepts = {name: {"source": "synthetic", "positive": [name], "negative": [f"non-{name}"]} for name in
                ("black", "cat", "dog")}  # fmt: skip
    test = {"source": "synthetic", "positive": ["black cat", "black dog"], "negative": ["car"]}
    fusion = {"expression": "black and (cat or dog)", "combine": "minimum", "test": test}
    fusions = {"x": fusion, "y": {"concepts": ["black", "cat"], "test": test}}
    run = Run(complete({"concepts": concepts, "fusions": fusions}))
    assert run.fusion_concepts("x") == ["black", "cat", "dog"]
    path = tmp_path / "test.h5"
    files.write(path, "test_images", {}, source=run.images.test_source("x"))
    read = joins.of_test(path)
    assert read == joins.Join(3, (((0, True),), ((1, True), (2, True))), "minimum")
    assert "join" not in run.images.test_source("y")  # nothing of a plain conjunction is made again
