"""Methods that sample networks, each against its own headline on something planted, and alignment that they rest on."""

from dataclasses import replace

import numpy as np
import pytest

from zoofuse.core import rng
from zoofuse.evaluation import board_jobs
from zoofuse.methods.generators import (
    alignment,
    autoencoder,
    controls,
    densities,
    diffusion,
    flow,
    merging,
    netspace,
    registry,
)
from zoofuse.models.network import NETWORKS, Network

TINY = Network(("conv 4 3 stride=2", "relu", "max 2", "linear 6", "relu", "linear"), channels=1, size=8, classes=3)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small are slower on several threads, far slower on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


CHAINS = [TINY, NETWORKS["published"], NETWORKS["small_cnn_zoo"]]


def networks(n: int, network: Network = TINY, name: str = "weights") -> np.ndarray:
    return 0.3 * rng.normal((n, network.parameters), 1, name)


def given(weights: np.ndarray, network: Network = TINY, count: int = 6, steps: int = 5, method: str = "x"):
    n = len(weights)
    images = (255 * rng.uniform((40, network.size, network.size, network.channels), 1, "images")).astype(np.uint8)
    labels = np.arange(40) % network.classes
    held_out = networks(3, network, "held out")
    accuracy = np.arange(n) / n
    return registry.Given(network, weights, accuracy, images, labels, held_out, count, steps, (1, "zoo", method, 0))


def outputs(network: Network, flat: np.ndarray) -> np.ndarray:
    import torch

    from zoofuse.models import forward

    x = torch.from_numpy(rng.normal((5, network.channels, network.size, network.size), 1, "x"))
    arrays = alignment.unflatten(network, flat)
    every = [{name: torch.tensor(values[row]) for name, values in arrays.items()} for row in range(len(flat))]
    return np.stack([forward.logits(network, weights, x).numpy() for weights in every])


@pytest.mark.parametrize("network", CHAINS, ids=["hidden layer", "published", "global"])
def test_a_network_in_another_channel_order_computes_the_same_and_is_recognised(network):
    weights = networks(5, network)
    shuffled = alignment.shuffle(
        network, weights, networks(5, network, "keys")[:, : alignment.hidden_channels(network)]
    )
    assert np.abs(shuffled - weights).max() > 0.1
    np.testing.assert_allclose(outputs(network, shuffled), outputs(network, weights), atol=1e-4)
    assert alignment.nearest(network, shuffled, weights).max() < 1e-4
    back = alignment.align(network, shuffled, weights)
    np.testing.assert_array_equal(back, weights)


def test_the_distance_to_another_network_is_that_of_the_best_order():
    weights = networks(6)
    apart = alignment.nearest(TINY, weights[:2], weights[2:])
    plain = np.sqrt(((weights[:2, None] - weights[None, 2:]) ** 2).sum(2)).min(1)
    assert (apart <= plain + 1e-6).all()
    assert (apart > 0.5 * plain).all()


@pytest.mark.parametrize("name", registry.known())
def test_every_method_samples_networks_and_the_same_ones_again(name):
    entry = registry.known()[name]
    assert entry.label
    assert entry.about.endswith(".")
    assert entry.control or entry.cites or "average" in name or "gaussian" in name
    own = given(networks(12), count=3, method=name)
    made = entry.make(own)
    assert made.shape == (3, TINY.parameters)
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(made, entry.make(own))


def test_noise_has_the_size_that_is_asked_for():
    weights = networks(300)
    noisy = controls.noisy(given(weights, count=300), 0.5)
    added = np.sqrt(np.maximum(noisy.var() - weights.var(), 0))
    assert added == pytest.approx(0.5 * weights.std(), rel=0.05)


def test_the_kernel_density_in_pca_keeps_mean_and_covariance():
    mix = rng.normal((3, 40), 2, "mix")
    data = (rng.normal((400, 3), 2, "data") @ mix + 2).astype(np.float32)
    fitted = densities.components(data)
    codes = fitted.codes(data)
    rows = np.arange(20_000) % len(codes)
    drawn = fitted.decode(densities.smoothed(codes, rows, rng.normal((20_000, codes.shape[1]), 2, "kernel")))
    np.testing.assert_allclose(drawn.mean(0), data.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(data.T), atol=0.05 * np.cov(data.T).max())
    assert np.abs(fitted.decode(codes) - data).max() < 1e-4


def two_modes(sample) -> None:
    """A sampler of 2 numbers puts half of its samples near (2, 2) and half near (-2, -2), and few between."""
    signs = np.where(np.arange(200) % 2, 1.0, -1.0)[:, None]
    made = sample(2 * signs + 0.2 * rng.normal((200, 2), 3, "modes"))
    near = np.stack([np.linalg.norm(made - sign * np.array([2.0, 2.0]), axis=1) < 0.9 for sign in (1, -1)])
    assert near.any(0).mean() > 0.85
    assert 0.3 < near[0].sum() / near.sum() < 0.7


def test_flow_matching_reproduces_two_modes():
    two_modes(lambda data: flow.matched(data, rng.normal((200, 2), 3, "start"), 600, 1, hidden=64))


def test_diffusion_reproduces_two_modes():
    two_modes(lambda data: diffusion.denoised(data, 200, 600, 1, hidden=64))


def test_the_autoencoder_beats_the_mean_on_networks_that_it_has_not_seen():
    directions = networks(3, name="directions")
    weights = (rng.normal((60, 3), 4, "codes") @ directions + networks(1, name="middle")).astype(np.float32)
    trained = autoencoder.fitted(TINY, weights[:48], 120, 1)
    test = weights[48:]
    error = ((trained.decode(trained.encode(test)) - test) ** 2).mean()
    assert error < 0.5 * ((weights[:48].mean(0) - test) ** 2).mean()
    np.testing.assert_allclose(trained.cut.join(trained.cut.cut(test)), test, atol=1e-5)


def classes(flat: np.ndarray, images: np.ndarray) -> np.ndarray:
    return board_jobs.predict(TINY, flat, images)


@pytest.mark.parametrize("name", ["distil", "distil_leaves"])
def test_students_predict_what_the_ensemble_predicts(name):
    teacher = 3 * networks(1)
    images = (255 * rng.uniform((512, 2, 2, 1), 1, "images")).astype(np.uint8).repeat(4, 1).repeat(4, 2)
    material = replace(given(np.repeat(teacher, 4, axis=0), count=3), images=images)
    wanted = classes(teacher, images)
    made = registry.known()[name].make(material)
    most = np.bincount(wanted[0]).max() / len(images)  # what a constant prediction reaches
    assert (classes(made, images) == wanted).mean() > most + 0.5 * (1 - most)
    assert np.abs(made[0] - made[1]).max() > 0.05  # students of their own


def test_netspace_decodes_a_code_to_a_network_that_predicts_as_its_own_one():
    material = given(3 * networks(6), steps=1200)
    encode, decode = netspace.embedded(material)
    own, decoded = (classes(flat, material.images) for flat in (material.weights, decode(encode(np.arange(6)))))
    agreement = (own[:, None] == decoded).mean(2)
    assert agreement.diagonal().mean() > 0.2 + agreement[~np.eye(6, dtype=bool)].mean()


@pytest.mark.parametrize("name", ["rebasin", "regmean", "fisher", "zipit", "repair"])
def test_merging_a_network_with_itself_in_another_order_gives_it_back(name):
    one = networks(1)
    keys = networks(2, name="keys")[:, : alignment.hidden_channels(TINY)]
    both = alignment.shuffle(TINY, np.repeat(one, 2, axis=0), keys)
    made = registry.known()[name].make(given(both, count=2))
    np.testing.assert_allclose(outputs(TINY, made), outputs(TINY, np.repeat(one, 2, axis=0)), atol=2e-2)
    average = registry.known()["average"].make(given(both, count=2))
    assert np.abs(outputs(TINY, average) - outputs(TINY, both)).max() > 0.1


def test_ties_keeps_the_sign_that_has_more_weight():
    weights = networks(30)
    mean, one, other = merging._differences(given(weights, count=6))
    made = registry.known()["ties"].make(given(weights, count=6)) - mean
    changed = np.abs(made) > 1e-6
    assert 0.15 < changed.mean() < 0.4
    total = np.sign(made) == np.sign(one + other)
    alone = np.minimum(np.abs(one), np.abs(other)) < np.quantile(np.abs(one), 0.8)
    assert (total | alone)[changed].mean() > 0.95
