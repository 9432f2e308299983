"""Images of several classes: read by the readers of concepts, split into training, validation and test."""

import gzip

import numpy as np
import pytest
from PIL import Image

from zoofuse.core import files, rng
from zoofuse.data import classes
from zoofuse.data.decoding import ImageError

SOURCE = {
    **{"source": "folder", "classes": {"a": ["one"], "b": ["two"], "c": ["three", "more"]}, "size": 12, "channels": 1},
    **{"held_out": 3, "test_share": 0.2, "validation_share": 0.2, "unreadable": "refuse", "duplicates": "drop"},
    **{"leaks": "refuse"},
}


def noise(n: int, size: int, name: str) -> np.ndarray:
    return rng.bits(n * size * size * 3, 1, name).astype(np.uint8).reshape(n, size, size, 3)


@pytest.fixture
def folders(tmp_path):
    for folder, n in (("one", 10), ("two", 12), ("three", 4), ("more", 5)):
        (tmp_path / folder).mkdir()
        for i, image in enumerate(noise(n, 20, folder)):
            Image.fromarray(image).save(tmp_path / folder / f"{i}.png")
    return tmp_path


def prepare(root, **changes):
    lines = []
    classes.prepare({}, SOURCE | changes, "zoo", root, 1, root / "images.h5", 2, lines.append)
    return files.read(root / "images.h5", "images"), files.attributes(root / "images.h5", "images"), lines


def test_every_class_has_its_share_in_every_part(folders):
    arrays, attributes, lines = prepare(folders)
    assert arrays["images"].shape == (31, 12, 12, 1)
    assert attributes["classes"] == ["a", "b", "c"]
    assert attributes["images"] == [10, 12, 9]
    assert (attributes["test"], attributes["validation"]) == ([2, 2, 2], [2, 2, 1])
    data, names = classes.read(folders / "images.h5")
    assert names == ["a", "b", "c"]
    assert {name: len(values) for name, values in data.items()} == {
        **{"images": 20, "labels": 20, "validation_images": 5, "validation_labels": 5},
        **{"test_images": 6, "test_labels": 6},
    }
    assert lines == ["zoo: 20 images of 3 classes to train on, 5 to validate and 6 to test on"]
    grey = Image.open(folders / "one" / "0.png").resize((12, 12), Image.Resampling.BILINEAR).convert("L")
    row = arrays["names"].tolist().index("one/0.png")
    np.testing.assert_array_equal(arrays["images"][row, ..., 0], np.asarray(grey))


def test_an_added_image_moves_no_other_one_between_parts(folders):
    before, *_ = prepare(folders)
    Image.fromarray(noise(1, 20, "new")[0]).save(folders / "two" / "first.png")
    after, *_ = prepare(folders)
    split = dict(zip(after["digests"].tolist(), after["split"].tolist(), strict=True))
    moved = [
        digest for digest, of in zip(before["digests"].tolist(), before["split"], strict=True) if split[digest] != of
    ]
    assert not moved


def test_copies_are_never_in_two_parts_or_classes(folders):
    for name in ("copy", "again"):
        Image.open(folders / "one" / "3.png").save(folders / "one" / f"{name}.png")
    Image.open(folders / "two" / "3.png").save(folders / "three" / "both.png")
    arrays, attributes, lines = prepare(folders)
    assert len(set(arrays["digests"].tolist())) == len(arrays["digests"]) == 30
    assert (attributes["duplicates_dropped"], attributes["conflicts_dropped"]) == (2, 2)
    assert lines[0].endswith("; left out: 2 copies, 2 images of several classes")
    with pytest.raises(ImageError, match=r"3 images are copies of others.*\n.*one/again.png"):
        prepare(folders, duplicates="refuse")


def test_unusable_images_are_reported(folders):
    (folders / "one" / "bad.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"bad\.png"):
        prepare(folders)
    assert prepare(folders, unreadable="skip")[1]["unreadable_skipped"] == 1
    for path in sorted((folders / "two").iterdir())[2:]:
        path.unlink()
    with pytest.raises(ImageError, match=r"factory\.zoo\.classes\.b: 2 usable images, at least 3"):
        prepare(folders, unreadable="skip")


def test_synthetic_images_are_resized(tmp_path):
    wanted = {"source": "synthetic", "classes": {"cat": ["cat"], "car": ["car"]}, "images": 20, "channels": 3}
    arrays, *_ = prepare(tmp_path, **wanted, size=16)
    assert arrays["images"].shape == (40, 16, 16, 3)
    assert [name.split("_")[0].split("-")[-1] for name in arrays["names"][[0, -1]]] == ["cat", "car"]


def _idx(path, values: np.ndarray) -> None:
    """A file as MNIST has them."""
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.write_bytes(header + values.tobytes())
    with gzip.open(f"{path}.gz", "wb") as file:
        file.write(header + values.tobytes())


@pytest.fixture
def mnist(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part, n in (("train", 60), ("t10k", 40)):
        _idx(folder / f"{part}-images-idx3-ubyte", noise(n, 28, part)[..., 0].copy())
        _idx(folder / f"{part}-labels-idx1-ubyte", (np.arange(n) % 10).astype(np.uint8))
    return tmp_path


def test_a_data_set_on_disk_brings_its_own_test_images(mnist):
    wanted = {"source": "torchvision", "dataset": "MNIST", "classes": {}, "size": 28}
    arrays, attributes, _ = prepare(mnist, **wanted)
    assert attributes["classes"][3] == "3 - three"
    assert attributes["test"] == [3] * 10, "held_out bounds them"
    assert attributes["validation"] == [1] * 10
    np.testing.assert_array_equal(arrays["images"][0, ..., 0], noise(60, 28, "train")[0, ..., 0])
    some = wanted | {"classes": {"few": ["0 - zero", "1 - one"], "two": ["2 - two"]}}
    arrays, attributes, _ = prepare(mnist, **some)
    assert attributes["images"] == [12 + 3, 6 + 3]
    with pytest.raises(ImageError, match="there is no class 'nine'; write some of 0 - zero, 1 - one"):
        prepare(mnist, **wanted | {"classes": {"x": ["nine"], "y": ["2 - two"]}})


def test_a_test_image_that_is_a_training_image_is_refused(mnist):
    same = noise(60, 28, "train")[..., 0].copy()[:40]
    _idx(mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte", np.concatenate([same[:1], noise(39, 28, "t10k")[..., 0]]))
    wanted = {"source": "torchvision", "dataset": "MNIST", "classes": {}, "size": 28}
    with pytest.raises(ImageError, match="1 test images are also training images"):
        prepare(mnist, **wanted)
    assert prepare(mnist, **wanted, leaks="drop")[1]["leaks_dropped"] == 1


def test_a_data_set_that_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(ImageError, match=r"MNIST: torchvision can't read it.*download=True"):
        prepare(tmp_path, source="torchvision", dataset="MNIST", classes={})
