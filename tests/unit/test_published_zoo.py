"""The bits of a small two-class zoo, as they were before other zoos (docs/factory.md) came to stand beside it."""

import hashlib

import numpy as np
import pytest

from zoofuse.core import files, rng
from zoofuse.data import images
from zoofuse.native import build, trainer
from zoofuse.zoo import shards, training

# A plain zoo, and one with everything that a concept may ask for: its recipe, by which trained CNNs are recognised, and
# the SHA-256 of its arrays, first 16 digits of each.
BEFORE = {"plain": ("c3b43b91dc63dc51", "08d04c19d4f70fae"), "more": ("faba215fac13f75d", "877a6c0c4dd4d5ef")}
MORE = {"schedule": "cosine", "balance": "published", "flip": True, "brightness": 0.2, "colour": 0.1}
SETTINGS = {
    "plain": training.Settings(epochs=2, images_per_epoch=40, batch_size=16),
    "more": training.Settings(epochs=2, images_per_epoch=40, batch_size=16, checkpoint_every=1, **MORE),
}


@pytest.mark.skipif(build.arithmetic(build.instruction_set()) != "x86", reason="the digests are those of x86")
@pytest.mark.skipif(not trainer.available()[0], reason="no C++ compiler")
@pytest.mark.parametrize("name", SETTINGS)
def test_the_published_zoo_keeps_its_bits(name, tmp_path):
    pixels = rng.bits(80 * 32 * 32 * 3 // 8, 1, "pixels").view(np.uint8).reshape(80, 32, 32, 3).copy()
    pixels[:40] //= 2
    digests = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in pixels])
    drawn = {"images": pixels, "labels": np.repeat(np.uint8([1, 0]), 40), "digests": digests}
    held_out = {"validation_share": 0.1, "validation_max": 250}
    images.write_concept(tmp_path / "images.h5", drawn, {}, held_out, name="cat", seed=1)
    shards.train_shard(
        tmp_path / "images.h5",
        tmp_path / "zoo.h5",
        settings=SETTINGS[name],
        seed=1,
        concept="cat",
        models=range(3, 6),
        store=tmp_path / "store",
        backend="cpp",
        device="cpu",
        threads=2,
        say=lambda line: None,
    )
    arrays = files.read(tmp_path / "zoo.h5", "zoo")
    content = b"".join(f"{key}{arrays[key].dtype}".encode() + arrays[key].tobytes() for key in sorted(arrays))
    recipe = files.attributes(tmp_path / "zoo.h5", "zoo")["recipe"]
    assert (recipe[:16], hashlib.sha256(content).hexdigest()[:16]) == BEFORE[name]
