"""Kernel banks, and the CNNs that methods make of them."""

import numpy as np
import pytest
import torch

from zoofuse.core import files
from zoofuse.evaluation import protocols
from zoofuse.methods import generate, kernels, merging
from zoofuse.methods.cyclegan.io import write_generators
from zoofuse.methods.cyclegan.settings import settings as cyclegan_settings
from zoofuse.methods.cyclegan.train import train as train_cyclegan
from zoofuse.methods.cyclegan.translation import translate
from zoofuse.models import cnn
from zoofuse.zoo import zoo as zoo_files

PUBLISHED = cnn.ARCHITECTURES["published"]


def write_zoo(path, models, concept):
    weights = cnn.initial_weights(PUBLISHED, 1, concept, np.array(models))
    rest = {"model": np.array(models, np.int32), "history/loss": np.zeros((len(models), 2))}
    files.write(path, "zoo", weights | rest)
    return weights


@pytest.fixture
def zoos(tmp_path):
    """Two shards of A, five CNNs; one of B, four."""
    a = [write_zoo(tmp_path / "a0.h5", [0, 1, 2], "a"), write_zoo(tmp_path / "a1.h5", [3, 4], "a")]
    b = write_zoo(tmp_path / "b0.h5", [0, 1, 2, 3], "b")
    return {"A": [tmp_path / "a0.h5", tmp_path / "a1.h5"], "B": [tmp_path / "b0.h5"]}, a, b


def test_bank_holds_every_kernel_of_both_zoos(zoos, tmp_path):
    paths, a, b = zoos
    for layer in ("conv1", "conv2"):
        kernels.extract(paths, layer, tmp_path / "bank.h5")
        bank = files.read(tmp_path / "bank.h5", "kernels")
        assert np.array_equal(bank["A"], np.concatenate([zoo[f"{layer}.weight"] for zoo in a]))
        assert np.array_equal(bank["B"], b[f"{layer}.weight"])
        assert bank["model_A"].tolist() == [0, 1, 2, 3, 4]
        assert bank["model_B"].tolist() == [0, 1, 2, 3]
        assert bank["A"].dtype == np.float32


def inputs(folder) -> tuple[dict, dict]:
    """The banks and generators that `translated` writes."""
    layers = ("conv1", "conv2")
    return {name: folder / f"{name}.h5" for name in layers}, {
        name: [folder / f"{name}-generators.h5"] for name in layers
    }


@pytest.fixture
def translated(zoos, tmp_path):
    """A zoo file of translated kernels, and what it was made from."""
    paths = zoos[0]
    banks, generators, trained = {}, {}, {}
    for layer in ("conv1", "conv2"):
        banks[layer], generators[layer] = tmp_path / f"{layer}.h5", tmp_path / f"{layer}-generators.h5"
        kernels.extract(paths, layer, banks[layer])
        settings = cyclegan_settings("report", layer, epochs=1, hidden=2)
        trained[layer] = train_cyclegan(
            *kernels.read(banks[layer]).values(), settings, 1, state_path=tmp_path / f"{layer}.state"
        )
        write_generators(generators[layer], trained[layer])
    generate.translate(paths, *inputs(tmp_path), tmp_path / "cyclegan.h5")
    return tmp_path / "cyclegan.h5", banks, trained


def test_generated_cnns_are_the_published_ones(zoos, translated):
    _, a, b = zoos
    path, _, trained = translated
    made = files.read(path, "zoo")
    assert made["model"].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert made["domain"].tolist() == ["A"] * 4 + ["B"] * 4
    assert not made["conv1.bias"].any()
    assert not made["conv2.bias"].any()
    assert "fc1.weight" not in made
    for row in (2, 6):  # both have index 2
        assert np.array_equal(made["fc_a.weight"][row], a[0]["fc1.weight"][2])
        assert np.array_equal(made["fc_b.bias"][row], b["fc1.bias"][2])

    # domain A, model 2: B's CNN 2 through B2A, conv by conv, as the report describes it
    network = trained["conv2"].generators["B2A"]
    x = torch.from_numpy(b["conv2.weight"][2]).transpose(0, 1)[None]  # (1, in, out, 5, 5)
    x = torch.relu(torch.conv3d(x, *map(torch.from_numpy, (network["0.weight"], network["0.bias"])), padding=1))
    x = torch.tanh(torch.conv3d(x, *map(torch.from_numpy, (network["2.weight"], network["2.bias"])), padding=1))
    assert np.allclose(made["conv2.weight"][2], x[0].transpose(0, 1).numpy(), atol=1e-5)
    assert np.abs(made["conv2.weight"]).max() < 1


@pytest.fixture
def three(zoos, tmp_path):
    """Zoo files of A, B and C with five, four and three CNNs, and their weights."""
    paths, a, b = zoos
    c = write_zoo(tmp_path / "c0.h5", [0, 1, 2], "c")
    first = {name: np.concatenate([shard[name] for shard in a]) for name in a[0]}
    return paths | {"C": [tmp_path / "c0.h5"]}, {"A": first, "B": b, "C": c}


def test_of_three_concepts_kernels_are_translated_from_one_end_to_the_other(three, tmp_path):
    paths, weights = three
    banks, generators, trained = {}, {}, {}
    for layer in ("conv1", "conv2"):
        banks[layer], generators[layer], trained[layer] = tmp_path / f"{layer}.h5", [], []
        kernels.extract(paths, layer, banks[layer])
        bank = kernels.read(banks[layer])
        assert list(bank) == ["A", "B", "C"]
        settings = cyclegan_settings("report", layer, epochs=1, hidden=2, batch_size=4)
        for seed, pair in enumerate(("AB", "BA")):  # C's three kernel sets are too few to train on
            sets = (bank[domain] for domain in pair)
            trained[layer].append(train_cyclegan(*sets, settings, seed, state_path=tmp_path / f"{layer}{pair}.state"))
            generators[layer].append(tmp_path / f"{layer}-{pair}.h5")
            write_generators(generators[layer][-1], trained[layer][-1])
    generate.translate(paths, banks, generators, tmp_path / "made.h5")
    made = files.read(tmp_path / "made.h5", "zoo")
    assert (made["domain"].tolist(), made["model"].tolist()) == (["A"] * 3 + ["C"] * 3, [0, 1, 2] * 2)
    ab, bc = trained["conv2"]
    onwards = translate(ab.generators["A2B"], weights["A"]["conv2.weight"][:3])
    back = translate(bc.generators["B2A"], weights["C"]["conv2.weight"])
    assert np.array_equal(made["conv2.weight"][3:], translate(bc.generators["A2B"], onwards))
    assert np.array_equal(made["conv2.weight"][:3], translate(ab.generators["B2A"], back))
    for head, side in (("fc_a", "A"), ("fc_b", "B"), ("fc_c", "C")):
        assert np.array_equal(made[f"{head}.weight"], np.concatenate([weights[side]["fc1.weight"][:3]] * 2))

    generate.noise(tmp_path / "made.h5", banks, 1, "three", tmp_path / "noise.h5")
    noise = files.read(tmp_path / "noise.h5", "zoo")["conv2.weight"]
    before = np.concatenate([weights["C"]["conv2.weight"], weights["A"]["conv2.weight"][:3]])
    size = [np.linalg.norm(after - before) for after in (made["conv2.weight"], noise)]
    assert size[1] == pytest.approx(size[0], rel=0.03)


def test_the_average_is_of_all_concepts(three, tmp_path):
    paths, weights = three
    generate.average(paths, tmp_path / "average.h5")
    average = files.read(tmp_path / "average.h5", "zoo")
    assert average["model"].tolist() == [0, 1, 2]
    expected = np.mean([weights[side]["conv1.weight"][:3] for side in "ABC"], axis=0)
    assert np.allclose(average["conv1.weight"], expected, atol=1e-6)
    assert np.array_equal(average["fc_c.bias"], weights["C"]["fc1.bias"])


def test_controls(zoos, tmp_path):
    paths, a, b = zoos
    generate.parent(paths["A"], "A", tmp_path / "parent_a.h5")
    parent = files.read(tmp_path / "parent_a.h5", "zoo")
    assert parent["model"].tolist() == [0, 1, 2, 3, 4]
    assert set(parent["domain"]) == {"A"}
    assert np.array_equal(parent["conv1.bias"][:3], a[0]["conv1.bias"])
    generate.random(4, "published", 1, "black_cat", tmp_path / "random.h5")
    random = files.read(tmp_path / "random.h5", "zoo")
    assert random["conv1.weight"].std() == pytest.approx(75**-0.5 / 3**0.5, rel=0.05)
    generate.random(2, "published", 1, "black_cat", tmp_path / "fewer.h5")
    assert np.array_equal(files.read(tmp_path / "fewer.h5", "zoo")["conv2.weight"], random["conv2.weight"][:2])
    generate.average(paths, tmp_path / "average.h5")
    average = files.read(tmp_path / "average.h5", "zoo")
    assert average["model"].tolist() == [0, 1, 2, 3]
    for name in ("conv1.weight", "conv2.bias"):
        assert np.allclose(average[name][1], (a[0][name][1] + b[name][1]) / 2)
    assert np.array_equal(average["fc_b.weight"], b["fc1.weight"])


def test_controls_of_the_translated_kernels(translated, tmp_path):
    path, banks, _ = translated
    made = files.read(path, "zoo")
    generate.noise(path, banks, 1, "black_cat", tmp_path / "noise.h5")
    noise = files.read(tmp_path / "noise.h5", "zoo")
    for layer in ("conv1", "conv2"):
        a, b = kernels.read(banks[layer]).values()
        before = np.concatenate([b[:4], a[:4]])
        size = [np.linalg.norm(zoo[f"{layer}.weight"] - before) for zoo in (made, noise)]
        assert size[1] == pytest.approx(size[0], rel=0.03)
        assert not np.allclose(noise[f"{layer}.weight"], made[f"{layer}.weight"], atol=0.01)
    generate.shuffled(path, 1, "black_cat", tmp_path / "shuffled.h5")
    shuffled = files.read(tmp_path / "shuffled.h5", "zoo")
    weights = [zoo["conv2.weight"].reshape(8, -1) for zoo in (made, shuffled)]
    assert np.array_equal(*(np.sort(each, axis=1) for each in weights))
    assert np.mean(weights[0] == weights[1]) < 0.1
    for zoo in (noise, shuffled):
        for name in ("model", "domain", "conv1.bias", "fc_a.weight"):
            assert np.array_equal(zoo[name], made[name])


def test_zoos_larger_than_memory_are_generated_in_blocks_with_the_same_numbers(zoos, translated, tmp_path, monkeypatch):
    path, banks, _ = translated
    paths, made = zoos[0], {}
    for at_once in (512, 3):
        monkeypatch.setattr(zoo_files, "AT_ONCE", at_once)
        kernels.extract(paths, "conv2", tmp_path / "bank.h5")
        generate.translate(paths, *inputs(tmp_path), tmp_path / "best.h5", biases=True, best=3)
        generate.random(4, "published", 1, "black_cat", tmp_path / "random.h5")
        generate.parent(paths["A"], "A", tmp_path / "parent.h5")
        generate.average(paths, tmp_path / "average.h5")
        generate.noise(path, banks, 1, "black_cat", tmp_path / "noise.h5")
        generate.shuffled(path, 1, "black_cat", tmp_path / "shuffled.h5")
        named = dict.fromkeys(("best", "random", "parent", "average", "noise", "shuffled"), "zoo")
        made[at_once] = {
            name: files.read(tmp_path / f"{name}.h5", kind) for name, kind in (named | {"bank": "kernels"}).items()
        }
    for name, arrays in made[512].items():
        for key, values in arrays.items():
            if name == "best" and values.dtype.kind == "f":
                np.testing.assert_allclose(made[3][name][key], values, atol=1e-6)  # translated 16 sets at a time
            else:
                assert np.array_equal(made[3][name][key], values), (name, key)


def test_matched_kernels_of_zoos_larger_than_memory(translated, tmp_path, monkeypatch):
    many = {name: np.concatenate([values] * 50) for name, values in files.read(translated[0], "zoo").items()}
    many["domain"] = np.sort(many["domain"])
    drawn = np.random.default_rng(1).normal(size=(len(many["model"]) * 6, 75)) + 0.3
    many["conv1.weight"] = drawn.reshape(many["conv1.weight"].shape).astype(np.float32)
    files.write(tmp_path / "many.h5", "zoo", many)
    filters = many["conv1.weight"][:200].reshape(-1, 75).astype(np.float64)
    mean, root = generate._normal(tmp_path / "many.h5", "conv1", np.arange(200))
    values, vectors = np.linalg.eigh(np.cov(filters, rowvar=False))
    assert np.array_equal(mean, filters.mean(0))
    assert np.array_equal(root, vectors * np.sqrt(values))
    made = []
    for at_once in (4096, 77):
        monkeypatch.setattr(generate, "_FITTED", at_once)
        generate.matched(tmp_path / "many.h5", 1, "black_cat", tmp_path / "matched.h5")
        made.append(files.read(tmp_path / "matched.h5", "zoo"))
    np.testing.assert_allclose(made[0]["conv1.weight"], made[1]["conv1.weight"], atol=1e-5)
    assert np.array_equal(made[0]["domain"], many["domain"])


def test_matched_kernels_have_mean_and_covariance_of_the_translated(translated, tmp_path):
    path = translated[0]
    many = {name: np.concatenate([values] * 200) for name, values in files.read(path, "zoo").items()}
    mix = np.linalg.qr(np.random.default_rng(0).normal(size=(75, 75)))[0] * np.linspace(0.1, 1, 75)
    drawn = np.random.default_rng(1).normal(size=(len(many["model"]) * 6, 75)) @ mix.T + 0.3
    many["conv1.weight"] = drawn.reshape(many["conv1.weight"].shape).astype(np.float32)
    files.write(tmp_path / "many.h5", "zoo", many)
    generate.matched(tmp_path / "many.h5", 1, "black_cat", tmp_path / "matched.h5")
    matched = files.read(tmp_path / "matched.h5", "zoo")["conv1.weight"].reshape(-1, 75)
    assert np.allclose(matched.mean(0), 0.3, atol=0.05)
    covariance = np.cov(matched, rowvar=False)
    assert np.linalg.norm(covariance - mix @ mix.T) < 0.1 * np.linalg.norm(mix @ mix.T)


def test_features_are_the_400_vector_after_the_last_pooling():
    weights = cnn.initial_weights(PUBLISHED, 1, "x", np.arange(2))
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    made = protocols.features(weights | {"model": np.arange(2)}, images)
    assert made.shape == (2, 3, 400)
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255 * 2 - 1
    for layer in ("conv1", "conv2"):
        w, b = (torch.from_numpy(weights[f"{layer}.{part}"][1]) for part in ("weight", "bias"))
        x = torch.max_pool2d(torch.relu(torch.conv2d(x, w, b)), 2)
    assert np.allclose(made[1], x.flatten(1).numpy(), atol=1e-5)


def test_both_layers_make_one_volume_that_keeps_a_channel_together(zoos, tmp_path):
    """A hidden channel of a CNN, conv1's output and conv2's input, is one channel of the volume."""
    paths, _, b = zoos
    kernels.extract(paths, "joint", tmp_path / "bank.h5")
    volume = kernels.read(tmp_path / "bank.h5")["B"]
    assert volume.shape == (4, 19, 6, 5, 5)
    for layer, part in zip(("conv1", "conv2"), kernels.parted(volume), strict=True):
        assert np.array_equal(part, b[f"{layer}.weight"])
    order = [3, 1, 0, 2, 5, 4]
    turned = kernels.joined(b["conv1.weight"][:, order], b["conv2.weight"][:, :, order])
    assert np.array_equal(turned, volume[:, :, order])


def test_one_translator_takes_both_layers(zoos, tmp_path):
    paths, _, b = zoos
    bank, generators = tmp_path / "joint.h5", tmp_path / "generators.h5"
    kernels.extract(paths, "joint", bank)
    settings = cyclegan_settings("report", "joint", epochs=1, hidden=2)
    trained = train_cyclegan(*kernels.read(bank).values(), settings, 1, state_path=tmp_path / "state")
    write_generators(generators, trained)
    generate.translate(paths, {"joint": bank}, {"joint": [generators]}, tmp_path / "made.h5")
    made = files.read(tmp_path / "made.h5", "zoo")
    assert {name: made[name].shape[1:] for name in made if name.startswith("conv")} == {
        name: shape for name, shape in PUBLISHED.shapes.items() if name.startswith("conv")
    }
    assert made["domain"].tolist() == ["A"] * 4 + ["B"] * 4
    volume = translate(trained.generators["B2A"], kernels.joined(b["conv1.weight"], b["conv2.weight"]))
    for layer, part in zip(("conv1", "conv2"), kernels.parted(volume), strict=True):
        assert np.array_equal(made[f"{layer}.weight"][:4], part)


def test_translated_cnns_with_the_biases_of_their_sources(zoos, translated, tmp_path):
    paths, a, b = zoos
    generate.translate(paths, *inputs(tmp_path), tmp_path / "made.h5", biases=True, method="of_mine")
    assert files.attributes(tmp_path / "made.h5", "zoo")["method"] == "of_mine"
    made, plain = (files.read(path, "zoo") for path in (tmp_path / "made.h5", translated[0]))
    assert np.array_equal(made["conv2.weight"], plain["conv2.weight"])
    assert np.array_equal(made["conv2.bias"][:4], b["conv2.bias"])  # domain A comes from B's CNNs
    assert np.array_equal(made["conv1.bias"][4:7], a[0]["conv1.bias"])


def test_translated_cnns_whose_sources_did_best(zoos, translated, tmp_path):
    paths = zoos[0]
    for path, scores in zip(
        [*paths["A"], *paths["B"]], ([0.5, 0.9, 0.6], [0.8, 1.0], [0.7, 0.5, 0.6, 0.9]), strict=True
    ):
        arrays = files.read(path, "zoo")
        arrays["history/validation_balanced_accuracy"] = np.stack([np.ones(len(scores)), scores], 1)
        files.write(path, "zoo", arrays)
    generate.translate(paths, *inputs(tmp_path), tmp_path / "made.h5", best=2)
    made, plain = (files.read(path, "zoo") for path in (tmp_path / "made.h5", translated[0]))
    assert (made["domain"].tolist(), made["model"].tolist()) == (["A", "A", "B", "B"], [0, 3, 1, 3])
    assert np.array_equal(made["conv1.weight"], plain["conv1.weight"][[0, 3, 5, 7]])


def test_repaired_channels_vary_as_their_parents_do(three, tmp_path):
    paths, weights = three
    images = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3)).astype(np.uint8)
    generate.average(paths, tmp_path / "average.h5")
    merged, parents = (
        files.read(tmp_path / "average.h5", "zoo"),
        [{k: v[:3] for k, v in of.items()} for of in weights.values()],
    )

    def spreads(of):
        """Standard deviation and mean of every channel before the ReLU, layer by layer."""
        tensors = {name: torch.from_numpy(values) for name, values in of.items() if name.startswith("conv")}
        seen = list(cnn.preactivations(tensors, cnn.normalise(torch.from_numpy(images))))
        return [np.stack([y.std((1, 3, 4)).numpy(), y.mean((1, 3, 4)).numpy()]) for y in seen]

    wanted = [np.mean(layer, axis=0) for layer in zip(*map(spreads, parents), strict=True)]
    found = merged | merging.repaired(merged, parents, images)
    for before, after, layer in zip(spreads(merged), spreads(found), wanted, strict=True):
        np.testing.assert_allclose(after, layer, rtol=1e-3, atol=1e-4)
        assert np.abs(before - layer).max() > 0.01  # averaging alone does not

    merging.write(tmp_path / "average.h5", paths, 1, "three", tmp_path / "repair.h5")
    written = files.read(tmp_path / "repair.h5", "zoo")
    assert np.array_equal(written["fc_c.weight"], merged["fc_c.weight"])
    assert np.isfinite(written["conv2.weight"]).all()
    assert not np.allclose(written["conv2.weight"], merged["conv2.weight"])
