"""Channel orders: a permuted CNN is the same CNN, and is put back into its order."""

import numpy as np
import pytest
import torch

from zoofuse.core import files
from zoofuse.models import cnn
from zoofuse.zoo import align


@pytest.fixture
def cnns():
    """Four CNNs with biases, a linear layer and two more heads."""
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 3, "align", np.arange(4))
    return weights | {f"fc_{side}.{name}": weights[f"fc1.{name}"] * k for side, k in (("a", 2), ("b", -1))
                      for name in ("weight", "bias")}  # fmt: skip


def row(cnns, i):
    return {name: values[i] for name, values in cnns.items()}


def shuffled(one, seed=0):
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(bias)) for name, bias in one.items() if name.startswith("conv") and bias.ndim == 1]
    return align.permute(one, orders), orders


def answers(one, head="fc1"):
    weights = {name: torch.from_numpy(value[None]) for name, value in one.items()}
    weights |= {f"fc1.{name}": weights[f"{head}.{name}"] for name in ("weight", "bias")}
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return cnn.logits(weights, images)[0].numpy()


def test_permuted_cnn_answers_the_same(cnns):
    one = row(cnns, 0)
    permuted, _ = shuffled(one)
    assert not np.allclose(permuted["conv2.weight"], one["conv2.weight"])
    for head in ("fc1", "fc_a", "fc_b"):
        np.testing.assert_allclose(answers(permuted, head), answers(one, head), atol=1e-6)


def test_deeper_cnns_are_put_back_into_their_order():
    one = row(cnn.initial_weights(cnn.ARCHITECTURES["deep"], 3, "align", np.arange(1)), 0)
    permuted, orders = shuffled(one)
    assert [len(order) for order in orders] == [32, 64, 128]
    np.testing.assert_allclose(answers(permuted), answers(one), atol=1e-6)
    for found, order in zip(align.match(permuted, one), orders, strict=True):
        np.testing.assert_array_equal(order[found], np.arange(len(order)))


@pytest.mark.parametrize("seed", range(5))
def test_known_permutation_is_found_exactly(cnns, seed):
    one = row(cnns, 1)
    permuted, orders = shuffled(one, seed)
    for found, order in zip(align.match(permuted, one), orders, strict=True):
        np.testing.assert_array_equal(order[found], np.arange(len(order)))
    aligned = align.align({name: value[None] for name, value in permuted.items()}, one)
    for name, value in one.items():
        np.testing.assert_array_equal(aligned[name][0], value)


def test_permutation_is_found_through_noise(cnns):
    one = row(cnns, 2)
    permuted, orders = shuffled(one)
    rng = np.random.default_rng(5)
    noisy = {name: value + 0.3 * value.std() * rng.normal(size=value.shape) for name, value in permuted.items()}
    for found, order in zip(align.match(noisy, one), orders, strict=True):
        np.testing.assert_array_equal(order[found], np.arange(len(order)))


def test_matching_agrees_better_than_the_order_given(cnns):
    reference = row(cnns, 0)
    aligned = align.align(cnns, reference)

    def gap(of, i):
        return sum(((of[name][i] - reference[name]) ** 2).sum() for name in reference if name.startswith("conv"))

    assert all(gap(aligned, i) < gap(cnns, i) for i in (1, 2, 3))


def test_written_zoo_is_the_same_zoo_in_another_order(cnns, tmp_path):
    models = np.arange(4)
    files.write(tmp_path / "zoo.h5", "zoo", cnns | {"model": models, "history/loss": np.zeros((4, 2))})
    align.write([tmp_path / "zoo.h5"], [tmp_path / "zoo.h5"], tmp_path / "aligned.h5")
    aligned = files.read(tmp_path / "aligned.h5", "zoo")
    np.testing.assert_array_equal(aligned["model"], models)
    np.testing.assert_array_equal(aligned["conv1.weight"][0], cnns["conv1.weight"][0])
    assert any((aligned["conv1.weight"][i] != cnns["conv1.weight"][i]).any() for i in (1, 2, 3))
    for i in range(4):
        np.testing.assert_allclose(answers(row({n: aligned[n] for n in cnns}, i)), answers(row(cnns, i)), atol=1e-6)


def test_distance_to_the_nearest_parent(cnns):
    parents = {name: values[:3] for name, values in cnns.items()}
    copy = {name: value[None] for name, value in shuffled(row(cnns, 2))[0].items()}
    assert align.nearest_parent(copy, parents) == pytest.approx(0, abs=1e-6)
    other = align.nearest_parent({name: values[3:] for name, values in cnns.items()}, parents)
    assert 0.9 < other[0] < 1.45  # unrelated, though each layer was matched
    half = {name: value + 0.5 * (cnns[name][3] - value[0]) for name, value in copy.items()}
    assert 0 < align.nearest_parent(half, parents)[0] < other[0]


def test_parents_are_measured_against_the_other_parents(cnns):
    parents = {"parent_a": cnns, "parent_b": {name: values[:2] for name, values in cnns.items()}}
    zoos = {
        "copies": {name: values[:2] for name, values in cnns.items()} | {"domain": np.array(["A", "B"])},
        "parent_a": cnns | {"domain": np.repeat(["A"], len(cnns["conv1.bias"]))},
    }
    found = {(row["method"], row["domain"]): row for row in align.nearest_rows(zoos, parents, 2)}
    assert found["copies", "A"]["median"] == found["copies", "B"]["median"] == pytest.approx(0, abs=1e-6)
    assert found["parent_a", "A"]["n"] == 2
    # its own first two are left out, but the other zoo's are the same ones
    assert found["parent_a", "A"]["smallest"] == pytest.approx(0, abs=1e-6)
    del parents["parent_b"]
    (alone,) = align.nearest_rows({"parent_a": zoos["parent_a"]}, parents, 2)
    assert alone["smallest"] > 0.9
    assert not list(align.nearest_rows({"parent_a": zoos["parent_a"]}, parents, 9))
