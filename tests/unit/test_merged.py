"""CNNs of two zoos merged: of two that are one in another channel order, but for their heads, both heads come back."""

import numpy as np
import pytest
import torch

from zoofuse.core import files, rng
from zoofuse.methods import registry
from zoofuse.methods.generators import alignment
from zoofuse.methods.merged import MERGED
from zoofuse.models import cnn
from zoofuse.models.network import NETWORKS
from zoofuse.zoo import zoo

NETWORK, COUNT = NETWORKS["published"], 4
SIDES = ("A", "B")


def parents(folder, *, alike: bool) -> dict:
    """Zoo files of COUNT untrained CNNs; those of the second zoo the first one's in another order, with other heads."""
    paths = {}
    for side in SIDES:
        arrays = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "a" if alike else side, np.arange(COUNT))
        if side == "B":
            arrays |= {name: rng.normal(arrays[name].shape, 1, name) for name in ("fc1.weight", "fc1.bias")}
            flat = alignment.flatten(NETWORK, arrays)
            keys = rng.normal((COUNT, alignment.hidden_channels(NETWORK)), 1, "keys")
            arrays = alignment.unflatten(NETWORK, alignment.shuffle(NETWORK, flat, keys))
        paths[side] = [folder / f"{side}.h5"]
        files.write(paths[side][0], "zoo", arrays | {"model": np.arange(COUNT, dtype=np.int32)})
    return paths


def made(name: str, zoos: dict, folder, **more) -> dict[str, np.ndarray]:
    path = folder / f"{name}.h5"
    job = registry.Job(name, path, "fusion", 1, COUNT, "published", zoos=zoos, **more)
    registry.get(name).make(job)
    return files.read(path, "zoo")


def logits(weights: dict, head: str) -> np.ndarray:
    x = torch.from_numpy(rng.normal((16, 3, 32, 32), 1, "x"))
    tensors = {name: torch.from_numpy(values) for name, values in weights.items() if name.startswith(("conv", "fc"))}
    with torch.inference_mode():
        return cnn.head(tensors, cnn.features(tensors, x), head).numpy()


@pytest.mark.parametrize("name", ["rebasin", "rebasin_repair", "regmean", "fisher", "zipit"])
def test_cnns_that_are_alike_but_for_their_heads_give_both_heads_back(tmp_path, name):
    zoos = parents(tmp_path, alike=True)
    merged = made(name, zoos, tmp_path)
    for side, paths in zoos.items():
        head, wanted = logits(merged, f"fc_{side.lower()}"), logits(zoo.read(paths), "fc1")
        np.testing.assert_allclose(head, wanted, atol=0.05 * wanted.std())


@pytest.mark.parametrize("name", MERGED)
def test_every_merged_cnn_is_new_and_has_a_head_for_each_concept(tmp_path, name):
    zoos = parents(tmp_path, alike=False)
    merged = made(name, zoos, tmp_path)
    assert merged["fc_a.weight"].shape == merged["fc_b.weight"].shape == (COUNT, 2, 400)
    assert merged["domain"].tolist() == ["-"] * COUNT
    for paths in zoos.values():
        assert np.abs(merged["conv1.weight"] - zoo.read(paths)["conv1.weight"]).max() > 0.01
    for side in SIDES:  # a head is that of its own concept's CNNs, whatever the order of channels
        head = merged[f"fc_{side.lower()}.bias"]
        others = {of: np.corrcoef(head.ravel(), zoo.read(zoos[of])["fc1.bias"].ravel())[0, 1] for of in SIDES}
        assert name == "soup" or max(others, key=others.get) == side


def test_noise_is_as_large_as_git_re_basins_change(tmp_path):
    zoos = parents(tmp_path, alike=False)
    merged = made("rebasin", zoos, tmp_path)
    noisy = made("merged_noise", zoos, tmp_path, made={"rebasin": tmp_path / "rebasin.h5"})
    start = zoo.read(zoos["A"])["conv2.weight"]
    size = [np.sqrt(((of["conv2.weight"] - start) ** 2).mean()) for of in (merged, noisy)]
    assert size[0] == pytest.approx(size[1], rel=0.1)
    assert np.corrcoef((merged["conv2.weight"] - start).ravel(), (noisy["conv2.weight"] - start).ravel())[0, 1] < 0.1
