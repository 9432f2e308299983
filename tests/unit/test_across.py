"""Residual networks and vision transformers as a zoo's CNNs, and how alike feature spaces are."""

import numpy as np
import pytest
import torch
from torch import nn

from zoofuse import config
from zoofuse.core import files
from zoofuse.evaluation import across_jobs, similarity
from zoofuse.models import cnn
from zoofuse.report import across_figure
from zoofuse.zoo import training

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (48, 32, 32, 3), dtype=np.uint8), np.arange(48) % 2
SYNTHETIC = {"source": "synthetic", "positive": ["cat"], "negative": ["non-cat"]}


def tensors(architecture: str, n: int) -> dict[str, torch.Tensor]:
    drawn = cnn.initial_weights(cnn.ARCHITECTURES[architecture], 1, "x", np.arange(n))
    return {name: torch.from_numpy(values + RNG.normal(0, 0.1, values.shape)).float() for name, values in drawn.items()}


def transformer(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The features of one vision transformer by torch.nn's own modules."""
    embedded = nn.functional.conv2d(x, weights["patch.weight"].view(32, 3, 4, 4), weights["patch.bias"], 4)
    h = embedded.flatten(2).transpose(1, 2) + weights["place.weight"]
    names = {
        "self_attn.in_proj_": "qkv.", "self_attn.out_proj.": "out.", "linear1.": "mlp1.", "linear2.": "mlp2.",
        "norm1.": "norm1.", "norm2.": "norm2.",
    }  # fmt: skip
    for block in ("block1", "block2"):
        layer = nn.TransformerEncoderLayer(
            32, 2, 64, dropout=0, activation="gelu", batch_first=True, norm_first=True
        ).eval()
        layer.load_state_dict(
            {f"{a}{part}": weights[f"{block}.{b}{part}"] for a, b in names.items() for part in ("weight", "bias")}
        )
        h = layer(h)
    return nn.functional.layer_norm(h, (32,), weights["norm.weight"], weights["norm.bias"]).mean(1)


def residual(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The features of one ResNet8 by torch.nn's own modules."""

    def conv(name: str, stride: int) -> nn.Conv2d:
        out, inputs = weights[f"{name}.weight"].shape[:2]
        module = nn.Conv2d(inputs, out, 3, stride, 1)
        module.load_state_dict({part: weights[f"{name}.{part}"] for part in ("weight", "bias")})
        return module

    x = conv("stem", 2)(x).relu()
    for stage, stride in enumerate((1, 2, 2)):
        y = conv(f"stage{stage}.0.1", 1)(conv(f"stage{stage}.0.0", stride)(x).relu())
        kept = torch.zeros_like(y)
        kept[:, : x.shape[1]] = x[:, :, ::stride, ::stride]
        x = (y + kept).relu()
    return nn.Flatten()(nn.AdaptiveAvgPool2d(1)(x))


@pytest.mark.parametrize(("name", "reference"), [("vit", transformer), ("resnet8", residual)])
def test_many_networks_give_what_pytorch_s_modules_give(name, reference):
    weights, x = tensors(name, 3), torch.randn(5, 3, 32, 32)
    own = torch.stack([x + i for i in range(3)])
    weights = dict(sorted(weights.items(), reverse=True))  # a file has another order than the network
    with torch.no_grad():
        for i in range(3):
            one = {key: values[i] for key, values in weights.items()}
            torch.testing.assert_close(cnn.features(weights, x)[i], reference(one, x), atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(cnn.features(weights, own)[i], reference(one, own[i]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "parameters"), [("vit", 20_834), ("resnet8", 18_834)])
def test_docstrings_count_the_parameters(name, parameters):
    architecture = cnn.ARCHITECTURES[name]
    assert architecture.parameters == parameters
    assert f"{parameters:,} parameters, {architecture.features} features" in type(architecture).__doc__


@pytest.mark.parametrize("name", ["vit", "resnet8"])
def test_backends_train_the_same_networks(name):
    data = training.Data(IMAGES, LABELS, IMAGES[:8], LABELS[:8])
    settings = training.Settings(architecture=name, epochs=1, images_per_epoch=24, batch_size=8, learning_rate=0.001)
    one, two = (training.train(data, settings, 1, "cat", np.arange(2), backend=b) for b in ("serial", "batched"))
    start = cnn.initial_weights(cnn.ARCHITECTURES[name], 1, "cat", np.arange(2))
    for key, values in one.weights.items():
        np.testing.assert_allclose(values, two.weights[key], atol=2e-3)
        assert not np.array_equal(values, start[key])
    assert training.choose_backend(settings)[0] in ("serial", "batched")
    with pytest.raises(ValueError, match=f"it trains chains of convolutions, not {name}. Write auto"):
        training.train(data, settings, 1, "cat", np.arange(1), backend="cpp")


@pytest.mark.parametrize("measure", similarity.MEASURES.values(), ids=list(similarity.MEASURES))
def test_a_space_is_like_itself_turned_moved_and_scaled(measure):
    points, other = RNG.normal(size=(60, 8)), RNG.normal(size=(60, 5))
    turn = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
    assert measure(points, points) == pytest.approx(1)
    assert measure(points, 3 * points @ turn + 5) == pytest.approx(1)
    wide = RNG.normal(size=(60, 90))
    assert measure(points, similarity.turned(wide)) == pytest.approx(measure(points, wide))
    assert measure(points, other) < 0.5
    assert np.isfinite(measure(points, np.ones((60, 4))))


def test_what_is_missing_for_a_fusion_across_architectures_is_said():
    concepts = {"cat": SYNTHETIC, "black": SYNTHETIC}
    fusions = {"black_cat": {"concepts": ["black", "cat"], "test": SYNTHETIC}}
    given = {"concepts": concepts, "fusions": fusions}
    config.complete(given | {"across": {"black_cat": {}}})
    with pytest.raises(
        config.ConfigError, match=r"across.cat: there is no fusion of this name; write one of black_cat"
    ):
        config.complete(given | {"across": {"cat": {}}})


def test_what_does_not_apply_is_a_row_and_students_are_compared_seed_by_seed(tmp_path):
    labels, paths = np.repeat([1, 0], 10), []
    for one in ("published", "vit"):
        for other in ("published", "vit"):
            scores = labels + RNG.normal(0, 1, (3, 20))
            reasons = {"average": "" if one == other else "the zoos have different architectures"}
            ranks = np.r_[labels[:10] * 0.0, np.arange(10.0)]  # the positives' one score lies among the others'
            apart = ranks + labels * np.array([[0.5], [4.5], [8.5]])
            arrays = {"labels": labels, "scores/student published": scores, "scores/ensemble": apart}
            arrays |= {"scores/average": scores} if one == other else {}
            paths.append(tmp_path / f"{one}-{other}.h5")
            about = {"fusion": "f", "architectures": [one, other], "students": ["published"], "reasons": reasons}
            files.write(paths[-1], across_jobs.KIND, arrays, **about)
    table = across_figure.across(paths)
    assert list(table)[:9] == [*across_figure.KEYS, "n", "auroc", "low", "high"]
    rows = table.set_index(["architecture_a", "architecture_b", "method"])
    mixed = rows.loc["published", "vit"]
    assert mixed.loc["average", "n"] == 0
    assert mixed.loc["average", "note"] == "not applicable: the zoos have different architectures"
    assert (mixed.loc["student", "n"], rows.loc[("vit", "vit", "average"), "n"]) == (3, 3)
    same = rows.loc[("published", "published", "student")]
    assert (table["low"].dropna() >= 0).all()
    assert (table["high"].dropna() <= 1).all()
    assert (mixed.loc["ensemble", "low"], mixed.loc["ensemble", "high"]) == (0, 1), "of 0.1, 0.5 and 0.9"
    assert same["minus_same"] == 0
    assert mixed.loc["same_architecture", "auroc"] == same["auroc"]
    assert mixed.loc["student", "minus_same"] == pytest.approx(mixed.loc["student", "auroc"] - same["auroc"])
    assert mixed.loc["student", "minus_low"] < mixed.loc["student", "minus_same"] < mixed.loc["student", "minus_high"]
