"""NetSpace: PReps, the encoder and decoder, training that goes on to the same bits, and moving codes."""

import dataclasses

import numpy as np
import pytest
import torch

from zoofuse.core import rng
from zoofuse.models import cnn, fit
from zoofuse.netspace import architectures, cnns, spaces

PUBLISHED = cnn.ARCHITECTURES["published"]
NETWORKS = {
    "two heads": cnns.network(PUBLISHED, "a"),
    "wide": cnns.network(cnn.ARCHITECTURES["wide"], "b"),
    "zoo": architectures.zoo_cnn(PUBLISHED),
    **{name: architectures.named(name).network for name in ("VanillaCNN", "ResNet8", "ResNet14", "ResNet20")},
}
IMAGES = (255 * rng.uniform((24, 32, 32, 3), 1, "images")).astype(np.uint8)
QUICK = spaces.Settings(code=16, hidden=32, steps=12, networks=3, inputs=8, learning_rate=3e-3)


def drawn(name: str, n: int = 2) -> dict[str, torch.Tensor]:
    return architectures.tensors(architectures.fresh(NETWORKS[name], 1, name, n))


def group(n: int = 4, name: str = "ResNet8", side: float = 3.0) -> spaces.Group:
    """Networks whose logits differ plainly."""
    network, weights = NETWORKS[name], drawn(name, n)
    logits = cnns.predictions(network, weights, IMAGES)
    logits = side * (logits - logits.mean((1, 2), keepdims=True)) / logits.std((1, 2), keepdims=True)
    return spaces.Group(network, spaces.read_predictions(logits), IMAGES, logits.astype(np.float32))


def train(of: spaces.Group, settings: spaces.Settings, path, **options) -> spaces.Space:
    start = architectures.fresh(of.network, 2, "start")
    return spaces.train([of.network], [of], settings, [start], 1, path, **options)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_prep_gives_back_every_parameter_and_every_answer(name):
    network, weights = NETWORKS[name], drawn(name)
    rows = spaces.rows_for([network], 100)
    prep = spaces.to_prep(weights, network.shapes, 100, rows + 1)
    assert prep.shape == (2, rows + 1, 100)
    assert 0 <= rows * 100 - network.size < 100
    back = spaces.from_prep(prep, network.shapes)
    assert list(back) == list(network.shapes)
    for key, values in weights.items():
        assert torch.equal(back[key], values)
    images = torch.from_numpy(IMAGES)
    assert torch.equal(network.predict(back, images), network.predict(weights, images))
    assert prep.flatten(1)[:, network.size :].eq(0).all()


def test_a_prep_without_room_is_refused():
    network = NETWORKS["zoo"]
    with pytest.raises(ValueError, match="more rows"):
        spaces.to_prep(drawn("zoo"), network.shapes, 100, 36)


def test_stacked_networks_answer_as_each_alone():
    images = torch.from_numpy(IMAGES)
    for name, network in NETWORKS.items():
        weights = drawn(name, 3)
        together = network.predict(weights, images)
        alone = torch.cat([network.predict({k: v[i : i + 1] for k, v in weights.items()}, images) for i in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_trunk_has_the_features_of_the_zoo():
    weights = drawn("zoo", 3)
    x = cnn.normalise(torch.from_numpy(IMAGES))
    separate = cnn.features(weights, x.expand(3, *x.shape))  # as for images of each CNN's own
    torch.testing.assert_close(separate, cnn.features(weights, x), rtol=1e-4, atol=1e-5)
    both = cnns.with_heads(weights, "b")
    other_head = NETWORKS["two heads"]  # head a, which CNNs of b do not have
    torch.testing.assert_close(
        cnns.network(PUBLISHED, "b").predict(both, torch.from_numpy(IMAGES)), cnn.logits(weights, x)
    )
    assert other_head.predict(both, torch.from_numpy(IMAGES)).eq(0).all()


def test_a_residual_network_is_the_one_written_layer_by_layer():
    """Against torch.nn modules with batch normalisation in evaluation mode, so that folding is tested too."""
    architecture = architectures.resnet(8)
    weights = drawn("ResNet8", 1)
    n_channels = {layer: cout for layer, (_, cout, _) in architecture.layers.items()}
    gains, means, variances = (
        {layer: low + torch.from_numpy(rng.uniform((c,), 5, what, layer)) for layer, c in n_channels.items()}
        for what, low in (("gain", 0.5), ("mean", -0.5), ("variance", 0.5))
    )
    weights |= {f"{layer}.bias": torch.from_numpy(rng.normal((1, c), 5, layer)) for layer, c in n_channels.items()}
    folded = architectures.folded(weights, gains, means, variances)

    def convolution(layer: str, x: torch.Tensor) -> torch.Tensor:
        cin, cout, stride = architecture.layers[layer]
        conv, norm = torch.nn.Conv2d(cin, cout, 3, stride, 1, bias=False), torch.nn.BatchNorm2d(cout).eval()
        conv.weight.data, norm.weight.data, norm.bias.data = (
            weights[f"{layer}.weight"][0],
            gains[layer],
            weights[f"{layer}.bias"][0],
        )
        norm.running_mean, norm.running_var = means[layer], variances[layer]
        return norm(conv(x))

    x = convolution("stem", cnn.normalise(torch.from_numpy(IMAGES))).relu()
    for stage in range(3):
        y = convolution(f"stage{stage}.0.1", convolution(f"stage{stage}.0.0", x).relu())
        short = x if not stage else torch.cat([x[:, :, ::2, ::2], torch.zeros_like(y)[:, : y.shape[1] - x.shape[1]]], 1)
        x = (y + short).relu()
    expected = torch.nn.functional.linear(x.mean((2, 3)), weights["fc.weight"][0], weights["fc.bias"][0])
    torch.testing.assert_close(
        architecture.predict(folded, torch.from_numpy(IMAGES))[0], expected, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("encoder", spaces.ENCODERS)
def test_gradients_reach_the_code_and_every_part(encoder):
    network = NETWORKS["two heads"]
    settings = dataclasses.replace(QUICK, encoder=encoder, code=32)
    rows = spaces.rows_for([network], settings.width)
    read = (24,) if encoder == "predictions" else (rows, settings.width)
    p = spaces.initial(settings, [network], [architectures.fresh(network, 1, "start")], read, 1)
    for values in p.values():
        values.requires_grad_()
    codes = spaces.encode(p, settings, torch.from_numpy(rng.normal((2, *read), 1, "read")))
    assert codes.shape == (2, 32)
    codes.retain_grad()
    weights = spaces.from_prep(spaces.decode(p, codes), network.shapes)
    network.predict(weights, torch.from_numpy(IMAGES)).square().sum().backward()
    assert codes.grad.abs().gt(0).any(1).all()
    for name, values in p.items():
        if not name.startswith("which"):
            assert values.grad is not None, name
            assert values.grad.abs().sum() > 0, name


def test_a_space_overfits_four_networks(tmp_path):
    four = group()
    settings = dataclasses.replace(QUICK, steps=300, networks=4, inputs=24, mixed=0.0, hidden=64)
    space = train(four, settings, tmp_path / "state.h5")
    made = cnns.predictions(four.network, space.decode(space.encode(four.encoder_inputs)), IMAGES)
    difference = lambda x: x[..., 0] - x[..., 1]  # noqa: E731  (what a class probability depends on)
    error = np.abs(difference(made) - difference(four.predictions)).mean()
    other = np.abs(difference(made) - difference(four.predictions[::-1])).mean()
    assert error < 0.15 * other
    assert (made.argmax(-1) == four.predictions.argmax(-1)).mean() > 0.95


class Killed(Exception):
    pass


@pytest.mark.parametrize("settings", [QUICK, dataclasses.replace(QUICK, clip=1.0, rise=0.5)])
def test_training_stopped_and_gone_on_ends_with_the_same_bits(tmp_path, monkeypatch, settings):
    four, path = group(), tmp_path / "state.h5"
    whole = train(four, settings, tmp_path / "whole.h5")
    monkeypatch.setattr(fit, "SAVE_EVERY", 0.0)

    def kill(step, loss):
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        train(four, settings, path, progress=kill)
    steps = []
    resumed = train(four, settings, path, progress=lambda step, loss: steps.append(step))
    assert steps == list(range(6, 13))
    np.testing.assert_array_equal(whole.loss, resumed.loss)
    for name, values in whole.parameters.items():
        assert torch.equal(values, resumed.parameters[name]), name


def test_a_steep_step_does_not_slow_those_after_it_and_the_first_ones_are_small(tmp_path):
    def moved(**options):
        way = spaces.descend(
            {"x": torch.zeros(3)},
            lambda p, step: (1e4 if step == 2 else 1) * p["x"].sum(),
            **{"steps": 10, "learning_rate": 0.1, "state_path": tmp_path / f"{options}.h5", "identity": "x"} | options,
        )
        return -way[0]["x"].mean()

    assert moved(clip=1.0) > 1.5 * moved()
    assert moved(rise=0.5, clip=1.0) < 0.8 * moved(clip=1.0)


def test_a_state_of_other_networks_is_not_gone_on_with(tmp_path, capsys):
    path, steps = tmp_path / "state.h5", []
    train(group(), QUICK, path)
    train(group(side=2.0), QUICK, path, progress=lambda step, loss: steps.append(step))
    assert steps[0] == 1
    assert "training restarts" in capsys.readouterr().out


def test_a_space_file_decodes_as_the_space_did(tmp_path):
    four = group()
    space = train(four, QUICK, tmp_path / "state.h5")
    spaces.write(tmp_path / "space.h5", space, seed=1)
    again = spaces.read(tmp_path / "space.h5", [four.network])
    for name, values in space.decode(space.encode(four.encoder_inputs)).items():
        assert torch.equal(values, again.decode(again.encode(four.encoder_inputs))[name])


def test_optimising_moves_each_code_to_its_own_wish():
    wanted, start = torch.tensor([[1.0, -1.0], [0.5, 2.0]]), torch.zeros(2, 2)
    moved = spaces.optimise(start, lambda codes, step: (codes - wanted).square().sum(1), steps=400, learning_rate=0.05)
    torch.testing.assert_close(moved, wanted, atol=1e-2, rtol=0)
    assert start.eq(0).all()


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match="predictions or parameters"):
        spaces.Settings(encoder="weights")
    with pytest.raises(ValueError, match="VanillaCNN"):
        architectures.named("VGG16")
    with pytest.raises(ValueError, match="8, 14, 20"):
        architectures.resnet(10)
