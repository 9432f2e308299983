"""Banks, translators and an order of the weight matrices of vision transformers."""

import numpy as np
import pytest
import torch

from zoofuse import config
from zoofuse.core import files
from zoofuse.methods import generate, kernels
from zoofuse.methods.cyclegan import io, measures, train
from zoofuse.methods.cyclegan.settings import settings as cyclegan_settings
from zoofuse.methods.cyclegan.translation import translate
from zoofuse.models import cnn
from zoofuse.models.architectures import ARCHITECTURES, banks_of
from zoofuse.zoo import align

VIT, RNG = ARCHITECTURES["vit"], np.random.default_rng(0)
SYNTHETIC = {"source": "synthetic", "positive": ["cat"], "negative": ["non-cat"]}


def networks(n: int, concept: str) -> dict[str, np.ndarray]:
    """No parameter has its default, so that one that is lost is missed."""
    drawn = cnn.initial_weights(VIT, 1, concept, np.arange(n))
    return {name: (values + RNG.normal(0, 0.05, values.shape)).astype(np.float32) for name, values in drawn.items()}


def features(weights: dict[str, np.ndarray]) -> torch.Tensor:
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return cnn.features({name: torch.from_numpy(values) for name, values in weights.items()}, x)


def reordered(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same transformers by other numbers: heads swapped, channels and hidden units in another order."""
    width, hidden, heads = RNG.permutation(32), RNG.permutation(64), np.roll(np.arange(32), 16)
    other = {}
    for name, values in weights.items():
        layer = name.split(".")[-2]
        if layer == "qkv":
            values = values[:, np.concatenate([heads, 32 + heads, 64 + heads])]
            other[name] = values[..., width] if values.ndim > 2 else values
        elif layer == "out":
            other[name] = values[:, width][:, :, heads] if values.ndim > 2 else values[:, width]
        elif layer == "mlp1":
            other[name] = values[:, hidden][..., width] if values.ndim > 2 else values[:, hidden]
        elif layer == "mlp2":
            other[name] = values[:, width][..., hidden] if values.ndim > 2 else values[:, width]
        elif layer in ("place", "fc1"):
            other[name] = values[..., width] if values.ndim > 2 else values
        else:
            other[name] = values[:, width]
    return {name: np.ascontiguousarray(values) for name, values in other.items()}


@pytest.fixture
def zoos(tmp_path):
    paths = {}
    for domain, n in (("A", 5), ("B", 4)):
        paths[domain] = [tmp_path / f"{domain}.h5"]
        files.write(paths[domain][0], "zoo", networks(n, domain) | {"model": np.arange(n, dtype=np.int32)})
    return paths


def test_every_matrix_is_in_one_bank_and_comes_back_from_it():
    weights = networks(3, "a")
    back = {}
    for bank in banks_of(weights):
        values = kernels.of(weights, bank)
        assert values.shape[1:] == kernels.of(weights, bank).shape[1:]
        kernels.put(back, bank, values)
    matrices = [name for name, values in weights.items() if values.ndim == 3 and name != "fc1.weight"]
    assert set(back) == set(matrices)
    assert all(np.array_equal(back[name], weights[name]) for name in matrices)
    assert sum(VIT.kernels.values()) == sum(weights[name][0].size for name in matrices)


def test_a_row_of_a_bank_is_one_unit_s_weights():
    weights = networks(2, "a")
    heads, hidden = kernels.of(weights, "block1.attention"), kernels.of(weights, "block2.mlp")
    qkv = weights["block1.qkv.weight"]
    unit = [qkv[1, 5], qkv[1, 32 + 5], qkv[1, 64 + 5], weights["block1.out.weight"][1, :, 5]]
    assert np.array_equal(heads[1, 5], np.concatenate(unit))
    unit = [weights["block2.mlp1.weight"][1, 50], weights["block2.mlp2.weight"][1, :, 50]]
    assert np.array_equal(hidden[1, 50], np.concatenate(unit))


def test_a_translator_of_matrices_learns_and_asks_for_no_order_of_rows(tmp_path):
    a, b = (RNG.normal(mean, 0.2, (40, 12, 6)).astype(np.float32) for mean in (0.3, -0.3))
    settings = cyclegan_settings("best", "block1.mlp", epochs=60, batch_size=16, learning_rate=0.005, hidden=16)
    trained = train.train(a, b, settings, 1, state_path=tmp_path / "state.h5")
    assert trained.way.startswith("pytorch")
    to_b = translate(trained.generators["A2B"], a)
    between = [measures.energy_distance(x.reshape(-1, 6), b.reshape(-1, 6)) for x in (a, to_b)]
    assert between[1] < between[0] / 10
    order = RNG.permutation(12)
    np.testing.assert_allclose(translate(trained.generators["A2B"], a[:, order]), to_b[:, order], atol=1e-5)
    with pytest.raises(ValueError, match=r"this generator translates \(n, out, 6\)\."):
        translate(trained.generators["A2B"], a[..., None, None])


@pytest.mark.parametrize("biases", [False, True])
def test_translated_transformers_and_their_controls(zoos, tmp_path, biases):
    bank_files, generators = {}, {}
    for layer in VIT.kernels:
        bank_files[layer], generators[layer] = tmp_path / f"{layer}.h5", [tmp_path / f"{layer}-g.h5"]
        kernels.extract(zoos, layer, bank_files[layer])
        settings = cyclegan_settings("best", layer, epochs=1, hidden=2)
        sets = kernels.read(bank_files[layer]).values()
        io.write_generators(generators[layer][0], train.train(*sets, settings, 1, state_path=tmp_path / f"{layer}.s"))
    translated = tmp_path / "cyclegan.h5"
    generate.translate(zoos, bank_files, generators, translated, biases=biases)
    made, b = files.read(translated, "zoo"), files.read(zoos["B"][0], "zoo")
    generator = io.read_generators(generators["block1.mlp"][0])["B2A"]
    expected = translate(generator, kernels.of(b, "block1.mlp"))
    np.testing.assert_array_equal(kernels.of(made, "block1.mlp")[:4], expected)
    names = ("norm.weight", "block1.norm1.bias", "block2.qkv.bias", "patch.bias")
    for name, blank in zip(names, (1, 0, 0, 0), strict=True):
        assert np.array_equal(made[name][:4], b[name] if biases else np.full_like(b[name], blank))
    assert {"fc_a.weight", "fc_b.bias"} <= set(made)
    generate.noise(translated, bank_files, 1, "f", tmp_path / "noise.h5")
    generate.shuffled(translated, 1, "f", tmp_path / "shuffled.h5")
    generate.matched(translated, 1, "f", tmp_path / "matched.h5")
    untranslated = {name: np.concatenate([b[name], files.read(zoos["A"][0], "zoo")[name][:4]]) for name in VIT.below}
    for name in ("noise", "shuffled", "matched"):
        control = files.read(tmp_path / f"{name}.h5", "zoo")
        assert features({key: control[key] for key in VIT.below}).isfinite().all()
        for bank in VIT.kernels:
            ours, theirs = kernels.of(made, bank), kernels.of(control, bank)
            assert not np.array_equal(ours, theirs)
            if name == "shuffled":
                np.testing.assert_array_equal(np.sort(ours.reshape(8, -1)), np.sort(theirs.reshape(8, -1)))
            if name == "noise":
                sizes = [(x - kernels.of(untranslated, bank)).std() for x in (ours, theirs)]
                assert sizes[1] == pytest.approx(sizes[0], rel=0.2)


def test_the_order_of_heads_channels_and_hidden_units_is_found_again():
    weights = networks(3, "a")
    other = reordered(weights)
    torch.testing.assert_close(features(other).sort(2).values, features(weights).sort(2).values, atol=1e-5, rtol=1e-4)
    assert not np.array_equal(other["block1.qkv.weight"], weights["block1.qkv.weight"])
    for row in range(3):
        back = align.align(other, {name: values[row] for name, values in weights.items()})
        for name in weights:
            np.testing.assert_array_equal(back[name][row], weights[name][row])


def test_what_transformers_cannot_have_is_refused_in_words():
    concepts = {name: SYNTHETIC | {"architecture": "vit"} for name in ("black", "cat")}
    fusion = {"concepts": ["black", "cat"], "test": SYNTHETIC}
    made = config.complete({"concepts": concepts, "fusions": {"black_cat": fusion | {"align": True}}})
    methods = made["fusions"]["black_cat"]["methods"]
    assert {"cyclegan", "noise", "shuffled", "matched", "average"} <= set(methods)
    assert not {"repair", "netspace"} & set(methods)
    for setting, value, said in (("generators", "x", "not a chain"), ("joint", True, "make no one volume")):
        with pytest.raises(config.ConfigError, match=f"{setting}: .*{said}"):
            config.complete({"concepts": concepts, "fusions": {"black_cat": fusion | {setting: value}}})
    residual = {name: SYNTHETIC | {"architecture": "resnet8"} for name in concepts}
    with pytest.raises(config.ConfigError, match="align: not applicable: shortcuts tie the channels"):
        config.complete({"concepts": residual, "fusions": {"black_cat": fusion | {"align": True}}})


def test_a_grid_of_transformers_is_refused_methods_for_chains_of_convolutions():
    colours = {"attributes": ["black", "grey", "white"], "objects": ["cat", "dog", "rabbit"], "held_out": 1, "seen": 1}
    fusions = {"black_cat": {"concepts": ["black", "cat"], "test": SYNTHETIC}}
    given = {"concepts": {"black": SYNTHETIC, "cat": SYNTHETIC}, "fusions": fusions, "zoo": {"architecture": "vit"}}
    said = r"grid.tiny.methods: direct_pair: not applicable: the layers of vit are not a chain of convolutions"
    with pytest.raises(config.ConfigError, match=said):
        config.complete(given | {"grid": {"tiny": colours}})
    config.complete(given | {"grid": {"tiny": colours | {"methods": ["direct", "product"]}}})
