"""Images as users have them: every kind of file, damaged ones, copies, folders that are wrong."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from zoofuse.core import files
from zoofuse.data import images
from zoofuse.data.decoding import ImageError

SETTINGS = {"validation_share": 0.25, "validation_max": 250, "unreadable": "refuse", "duplicates": "drop"}


def picture(seed, size=(48, 40)):
    """Smooth colours that no two seeds share."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def fill(folder, seeds, prefix="a"):
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        picture(seed).save(folder / f"{prefix}_{seed:03d}.png")


def source(positive=("cat",), negative=("other",), **changes):
    return {"source": "folder", "positive": list(positive), "negative": list(negative)} | SETTINGS | changes


def of_test(leaks="refuse"):
    return source(("test/yes",), ("test/no",), leaks=leaks)


@pytest.fixture
def root(tmp_path):
    """Two classes of twelve images and a test set of five and five."""
    fill(tmp_path / "cat", range(12))
    fill(tmp_path / "other", range(100, 112), "b")
    fill(tmp_path / "test/yes", range(200, 205), "yes")
    fill(tmp_path / "test/no", range(300, 305), "no")
    return tmp_path


def prepare(root, concept=None, **how):
    path = root / "out" / "cat.h5"
    return path, images.prepare_concept(path, concept or source(), name="cat", seed=1, root=root, **how)


def prepared_test(root, spec, concepts):
    path = root / "out" / "test.h5"
    return path, images.prepare_test(path, spec, concepts, name="black_cat", seed=1, root=root)


# --- decoding


def saved(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


@pytest.mark.parametrize("size", [(48, 40), (1, 1), (3000, 2), (32, 32), (7, 500)])
def test_decode_is_the_published_resize(size):
    transforms = pytest.importorskip("torchvision.transforms")
    image = picture(3, size)
    published = np.asarray(transforms.Resize((32, 32))(image))
    assert np.array_equal(images.decode(saved(image, "PNG")), published)


def test_size_of_the_images_can_be_chosen(tmp_path):
    fill(tmp_path, range(2))
    assert images.decode(tmp_path / "a_000.png", 16).shape == (16, 16, 3)
    assert images.decode_all(sorted(tmp_path.iterdir()), 16)[0].shape == (2, 16, 16, 3)
    assert images.decode_all([], 16)[0].shape == (0, 16, 16, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(picture(1), "JPEG", exif=exif, quality=95)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(images.decode(data), np.asarray(upright.resize((32, 32), Image.Resampling.BILINEAR)))


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_broken_exif_does_not_lose_the_image(format):
    data = saved(picture(1), format, exif=b"no EXIF", **({"lossless": True} if format == "WEBP" else {}))
    assert np.array_equal(images.decode(data), images.decode(saved(picture(1), "PNG")))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_greyscale_has_three_equal_channels(format):
    grey = picture(5).convert("L")
    decoded = images.decode(saved(grey, format, **({"lossless": True} if format == "WEBP" else {})))
    assert np.ptp(decoded.astype(int), axis=-1).max() == 0
    expected = np.asarray(grey.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert abs(decoded[..., 0] - expected).max() <= 8  # JPEG's loss


def test_sixteen_bit_grey_keeps_its_brightness():
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    decoded = images.decode(saved(Image.fromarray(ramp), "PNG"))
    expected = Image.fromarray((ramp >> 8).astype(np.uint8)).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(decoded[..., 0], np.asarray(expected))


def test_one_bit_and_cmyk_images_are_read():
    bits = images.decode(saved(Image.fromarray(np.eye(64, dtype=bool)), "PNG"))
    grey = Image.fromarray(np.eye(64, dtype=np.uint8) * 255).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(bits[..., 0], np.asarray(grey))
    red = Image.new("RGB", (40, 40), (200, 30, 20))
    cmyk = images.decode(saved(red.convert("CMYK"), "JPEG", quality=95)).astype(int)
    assert abs(cmyk - [200, 30, 20]).max() < 12


def transparent_left(mode):
    """Black, its left half transparent; in this mode."""
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 32, 64))
    return image.convert(mode)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "RGB with a transparent colour", "WEBP"])
def test_transparent_parts_become_white(kind):
    if kind == "P":
        palette = Image.new("P", (64, 64), 1)
        palette.putpalette([0, 0, 0, 0, 0, 0])
        palette.paste(0, (0, 0, 32, 64))
        data = saved(palette, "PNG", transparency=0)
    elif kind.startswith("RGB "):
        image = Image.new("RGB", (64, 64), (0, 0, 0))
        image.paste((10, 20, 30), (0, 0, 32, 64))
        data = saved(image, "PNG", transparency=(10, 20, 30))
    elif kind == "WEBP":
        data = saved(transparent_left("RGBA"), "WEBP", lossless=True)
    else:
        data = saved(transparent_left(kind), "PNG")
    decoded = images.decode(data)
    assert (decoded[:, :14] == 255).all()
    assert (decoded[:, 18:] == 0).all()


def test_first_frame_of_an_animation_is_read():
    data = saved(picture(1), "WEBP", save_all=True, append_images=[picture(2)], lossless=True)
    assert np.array_equal(images.decode(data), images.decode(saved(picture(1), "PNG")))


def test_content_counts_not_the_suffix(tmp_path):
    (tmp_path / "x.jpg").write_bytes(saved(picture(1), "PNG"))
    assert np.array_equal(images.decode(tmp_path / "x.jpg"), images.decode(saved(picture(1), "PNG")))


def huge_png(width, height):
    """A PNG of few bytes that promises very many pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


BAD = {
    "empty": (b"", "empty file"),
    "text": (b"no image, only words", "not a JPEG, PNG, WebP, GIF or BMP inside"),
    "web page": (b"<!DOCTYPE html><html>404</html>", "an HTML page, not the image; .*fetch it again"),
    "half a JPEG": (saved(picture(1, (200, 200)), "JPEG")[:2000], "corrupt or truncated"),
    "half a PNG": (saved(picture(1), "PNG")[:900], "corrupt or truncated"),
    "half a WebP": (saved(picture(1, (300, 300)), "WEBP")[:200], "corrupt|not a JPEG"),
    "PNG of other bytes": (saved(picture(1), "PNG")[:60] + b"\xaa" * 3000, "corrupt or truncated"),
    "just over the limit": (huge_png(8001, 10000), "8001 x 10000 pixels; at most 80,000,000"),
    "bomb": (huge_png(60000, 60000), "at most 80,000,000"),
}


@pytest.mark.parametrize("name", BAD)
def test_unreadable_images_are_named_with_the_cause(tmp_path, name):
    data, cause = BAD[name]
    path = tmp_path / "bad_1.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=rf"bad_1\.jpg: .*({cause})"):
        images.decode(path)


def test_decode_all_counts_and_names_the_unreadable_and_says_which_setting_skips(tmp_path):
    fill(tmp_path, range(3))
    for i in range(12):
        (tmp_path / f"bad_{i:02d}.jpg").write_bytes(b"")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    paths = sorted(tmp_path.iterdir())
    with pytest.raises(ImageError, match=r"13 of 16 images") as error:
        images.decode_all(paths)
    text = str(error.value)
    assert "bad_09.jpg: empty file" in text
    assert "bad_10.jpg" not in text
    assert "and 3 more" in text
    assert "images.unreadable: skip" in text
    found, kept, unreadable = images.decode_all(paths, on_unreadable="skip", threads=3)
    assert [path.name for path in kept] == ["a_000.png", "a_001.png", "a_002.png"]
    assert [tuple(image[0, 0]) for image in found] == [tuple(images.decode(path)[0, 0]) for path in kept]
    assert len(unreadable) == 13
    assert (tmp_path / "gone.jpg", f"a link to {str(tmp_path / 'nowhere.jpg')!r}, which is not there") in unreadable


# --- folders


def test_list_folder_is_sorted_recursive_and_independent_of_the_order_of_folders(root):
    fill(root / "cat/dark/deep", [50])
    (root / "cat/A.JPG").write_bytes(b"")
    (root / "cat/notes.txt").write_text("x")
    (root / "cat/._a_000.png").write_text("what another system left behind")
    (root / "cat/.hidden").mkdir()
    (root / "cat/.hidden/x.png").write_text("x")
    found = images.list_folder(root, ["other", "cat"])
    assert found == sorted(found) == images.list_folder(root, ["cat", "other"])
    names = [path.relative_to(root).as_posix() for path in found]
    assert {"cat/A.JPG", "cat/dark/deep/a_050.png"} <= set(names)
    assert len(names) == 12 + 12 + 2


def test_links_to_folders_are_followed(root):
    (root / "linked").symlink_to(root / "cat")
    assert len(images.list_folder(root, ["linked"])) == 12


def test_links_that_lead_round_are_followed_once(root):
    fill(root / "round", [70])
    (root / "round/again").symlink_to(root / "round")
    (root / "round/b_other_name.png").symlink_to(root / "round/a_070.png")
    assert images.list_folder(root, ["round"]) == [root / "round/a_070.png"]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["cta"], r"concepts\.cat\.positive: there is no folder 'cta' .*did you mean 'cat'\? There: cat, .*other"),
        (["test/yse"], r"no folder 'test/yse' .*did you mean 'test/yes'\? There: test/no, test/yes"),
        (["empty"], r"positive: no JPEG, PNG, WebP, GIF or BMP in .*empty\."),
        (["papers"], r"no JPEG, PNG, WebP, GIF or BMP in .*papers; it holds 2 other files \(\.heic, \.txt\)"),
        (["cat", "./cat"], r"cat is read twice, through 'cat' and './cat'"),
        (["test", "test/yes"], r"yes is read twice, through 'test' and 'test/yes'"),
        (["../elsewhere"], r"'../elsewhere' does not lie under images_root"),
        (["/etc"], r"'/etc' does not lie under images_root"),
        (["cat/a_000.png"], r"no folder 'cat/a_000.png'"),
    ],
)
def test_wrong_folders_are_named_with_the_way_out(root, folders, message):
    (root / "empty").mkdir()
    (root / "papers").mkdir()
    (root / "papers/a.txt").write_text("x")
    (root / "papers/b.heic").write_text("x")
    with pytest.raises(ImageError, match=message):
        images.list_folder(root, folders, "concepts.cat.positive")


def test_missing_root_says_which_key_to_write(tmp_path):
    with pytest.raises(ImageError, match=r"no folder '.*photos'.*--config images_root=FOLDER"):
        images.list_folder(tmp_path / "photos", ["cat"])


def test_groups_are_subfolders_or_prefixes():
    names = ["test/no/dog_1.jpg", "test/no/cars/red_1.jpg", "test/no/cars/old/x.jpg", "test/no/7.jpg", "cat/_1.jpg"]
    assert images.groups(names, ["cat", "./test/no/"]) == ["dog", "cars", "cars", "no", "cat"]


def test_find_leaks_compares_bytes_and_opens_few_files(root, monkeypatch):
    copy = (root / "cat/a_003.png").read_bytes()
    (root / "test/yes/copy.png").write_bytes(copy)
    (root / "test/no/same_size.png").write_bytes(copy[:-1] + b"?")
    (root / "test/no/longer.png").write_bytes(copy + b"?" * 5000)
    (root / "test/no/gone.png").symlink_to(root / "nowhere.png")
    opened = []
    digest = images._file_digest
    monkeypatch.setattr(images, "_file_digest", lambda path: opened.append(path.name) or digest(path))
    training = images.list_folder(root, ["cat", "other"])
    test = images.list_folder(root, ["test"])
    assert images.find_leaks(training, test) == [(root / "cat/a_003.png", root / "test/yes/copy.png")]
    assert "same_size.png" in opened
    assert "longer.png" not in opened


# --- concepts


def test_concept_file_holds_what_was_in_the_folders(root):
    (root / "cat/notes.txt").write_text("x")
    path, attributes = prepare(root, threads=2)
    arrays = files.read(path, "images")
    assert arrays["images"].shape == (24, 32, 32, 3)
    assert arrays["images"].dtype == np.uint8
    assert arrays["labels"].tolist() == [1] * 12 + [0] * 12
    assert arrays["names"][0] == "cat/a_000.png"
    assert arrays["groups"].tolist() == ["a"] * 12 + ["b"] * 12
    assert len(set(arrays["digests"])) == 24
    assert np.array_equal(arrays["images"][13], images.decode(root / arrays["names"][13]))
    assert attributes == files.attributes(path, "images")
    assert attributes["images"] == [12, 12]
    assert attributes["other_files_named"] == ["cat/notes.txt"]
    assert "12 images that show it, 12 others; 6 of them for validation; left out: 1 files of other" in images.summary(
        attributes
    )


def test_read_concept_gives_training_and_validation_apart(root):
    path, _ = prepare(root)
    whole, data = files.read(path, "images"), images.read_concept(path)
    assert len(data["labels"]) == len(data["images"]) == 18
    assert data["validation_labels"].tolist() == [1] * 3 + [0] * 3
    assert np.array_equal(data["images"], whole["images"][whole["split"] == 0])


def test_same_folders_give_the_same_file_wherever_they_lie(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for folder in ("cat", "other"):
        (elsewhere / folder).mkdir()
        for path in sorted((root / folder).iterdir(), reverse=True):
            (elsewhere / folder / path.name).write_bytes(path.read_bytes())
    first, second = prepare(root)[0], prepare(elsewhere)[0]
    assert files.fingerprint(first) == files.fingerprint(second)
    assert files.attributes(first, "images") == files.attributes(second, "images")


def test_copies_within_a_class_are_counted_and_the_first_is_kept(root):
    picture(4).save(root / "cat/copy_1.png", compress_level=1)  # another file, the same pixels
    picture(4).save(root / "cat/copy_2.webp", lossless=True)
    path, attributes = prepare(root)
    assert attributes["duplicates_dropped"] == 2
    assert attributes["conflicts_dropped"] == 0
    names = files.read(path, "images")["names"].tolist()
    assert "cat/a_004.png" in names
    assert not any("copy" in name for name in names)
    assert "2 copies" in images.summary(attributes)


def test_an_image_in_both_classes_is_in_neither(root):
    picture(4).save(root / "other/b_4.png")
    picture(4).save(root / "other/b_5.png")
    path, attributes = prepare(root)
    assert attributes["conflicts_dropped"] == 3
    assert attributes["duplicates_dropped"] == 0
    assert attributes["images"] == [11, 12]
    assert not {"cat/a_004.png", "other/b_4.png", "other/b_5.png"} & set(files.read(path, "images")["names"].tolist())


def test_copies_can_be_refused_by_name(root):
    picture(4).save(root / "other/b_4.png")
    picture(5).save(root / "cat/z_5.png")
    with pytest.raises(ImageError) as error:
        prepare(root, source(duplicates="refuse"))
    text = str(error.value)
    assert "concepts.cat: 2 images are copies" in text
    assert "other/b_4.png (negative) is cat/a_004.png (positive)" in text
    assert "cat/z_5.png is cat/a_005.png" in text
    assert "images.duplicates: drop" in text


def test_unreadable_images_are_refused_or_skipped_and_listed(root):
    (root / "cat/bad.jpg").write_bytes(b"words")
    with pytest.raises(ImageError, match=r"cat/bad\.jpg: not a JPEG.*\n.*images\.unreadable: skip"):
        prepare(root)
    path, attributes = prepare(root, source(unreadable="skip"))
    assert attributes["unreadable_skipped"] == 1
    assert files.read(path, "images")["unreadable"].tolist() == [
        "cat/bad.jpg: not a JPEG, PNG, WebP, GIF or BMP inside"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"negative": []}, r"concepts\.cat: only positive images .*Write concepts\.cat\.negative"),
        ({"positive": []}, r"only negative images .*Write concepts\.cat\.positive"),
        ({"positive": ["one"]}, r"concepts\.cat\.positive: 1 usable image, at least 2 .*0 are copies"),
        ({"negative": ["cat"]}, r"read twice, through 'cat' and 'cat'"),
        ({"positive": ["same"]}, r"positive: 1 usable image, .*2 are copies"),
    ],
)
def test_a_class_needs_images(root, changes, message):
    fill(root / "one", [400])
    for i in range(3):
        (root / "same").mkdir(exist_ok=True)
        picture(500).save(root / f"same/{i}.png")
    with pytest.raises(ImageError, match=message):
        prepare(root, source(**changes))
    assert not (root / "out/cat.h5").exists()


def test_names_that_are_no_utf8_are_read_and_can_be_stored(root):
    name = os.fsencode(root) + b"/cat/caf\xe9_1.png"
    picture(60).save(os.fsdecode(name))
    path, attributes = prepare(root)
    assert attributes["images"] == [13, 12]
    assert "cat/caf�_1.png" in files.read(path, "images")["names"].tolist()
    with open(name, "wb"):
        pass
    with pytest.raises(ImageError, match=r"caf�_1\.png: empty file"):
        prepare(root)


# --- the split


def digests(n, first=0):
    return [f"{i:064x}" for i in range(first, first + n)]


@pytest.mark.parametrize(
    ("n", "share", "most", "expected"), [(100, 0.1, 250, 10), (100, 0.5, 7, 7), (5, 0.01, 250, 1), (2, 0.5, 250, 1)]
)
def test_split_holds_out_the_share_at_least_one_at_most_the_cap(n, share, most, expected):
    chosen = images.split(digests(n), 1, share, most)
    assert chosen.sum() == expected
    assert set(chosen.tolist()) == {0, 1}


def test_split_belongs_to_the_image_not_to_its_place():
    keys = digests(200)
    forward = dict(zip(keys, images.split(keys, 1, 0.1, 250).tolist(), strict=True))
    backward = dict(zip(keys[::-1], images.split(keys[::-1], 1, 0.1, 250).tolist(), strict=True))
    assert forward == backward
    assert images.split(keys, 2, 0.1, 250).tolist() != list(forward.values())


def test_added_images_move_few_and_at_the_cap_none_into_validation():
    old, more = digests(500), digests(100, 500)
    before = images.split(old, 1, 0.1, 250)
    after = images.split(old + more, 1, 0.1, 250)[:500]
    assert (before != after).sum() <= 10  # 2 % of the images, by the noise of a quantile
    capped = images.split(old, 1, 0.1, 20)
    grown = images.split(old + more, 1, 0.1, 20)[:500]
    assert not ((capped == 0) & (grown == 1)).any()


def test_split_does_not_depend_on_the_other_class(root):
    before = files.read(prepare(root)[0], "images")
    fill(root / "other", range(120, 140), "c")
    after = files.read(prepare(root)[0], "images")
    assert before["split"][:12].tolist() == after["split"][:12].tolist()


# --- test sets


def test_test_set_holds_names_and_groups(root):
    concept, _ = prepare(root)
    path, attributes = prepared_test(root, of_test(), [concept])
    test = images.read_test(path)
    assert test["labels"].tolist() == [1] * 5 + [0] * 5
    assert test["groups"].tolist() == ["yes"] * 5 + ["no"] * 5
    assert attributes["leaks_dropped"] == 0
    assert attributes["images"] == [5, 5]
    assert images.summary(attributes) == "black_cat: 5 images that show it, 5 others"


@pytest.mark.parametrize("split", [0, 1], ids=["training", "validation"])
def test_a_test_image_that_is_a_training_image_is_refused_or_dropped(root, split):
    concept, _ = prepare(root)
    arrays = files.read(concept, "images")
    leak = arrays["names"][arrays["split"] == split][0]
    Image.open(root / leak).save(root / "test/no/copy.webp", lossless=True)
    with pytest.raises(ImageError) as error:
        prepared_test(root, of_test(), [concept])
    text = str(error.value)
    assert "fusions.black_cat.test: 1 test images are also training images" in text
    assert f"test/no/copy.webp is {leak} (concept cat)" in text
    assert "images.leaks: drop" in text
    path, attributes = prepared_test(root, of_test(leaks="drop"), [concept])
    assert attributes["leaks_dropped"] == 1
    assert attributes["images"] == [5, 5]
    assert "test/no/copy.webp" not in images.read_test(path)["names"].tolist()


def test_a_test_set_that_is_all_training_images_says_so(root):
    concept, _ = prepare(root)
    spec = source(("cat",), ("test/no",), leaks="drop")
    with pytest.raises(ImageError, match=r"test\.positive: 0 usable images.*12 are also training images"):
        prepared_test(root, spec, [concept])


def test_copies_within_a_test_set_are_dropped_like_in_a_concept(root):
    picture(200).save(root / "test/yes/copy.webp", lossless=True)
    picture(301).save(root / "test/yes/both.png")
    _, attributes = prepared_test(root, of_test(), [prepare(root)[0]])
    assert (attributes["duplicates_dropped"], attributes["conflicts_dropped"]) == (1, 2)
    assert attributes["images"] == [5, 4]


def test_case_12_a_test_of_three_is_too_small_to_be_halved(root):
    """The evaluation would say so, after all training."""
    for at in (203, 204):
        (root / f"test/yes/yes_{at}.png").unlink()
    with pytest.raises(ImageError, match=r"test\.positive: 3 usable images, at least 4 are needed\. Add images"):
        prepared_test(root, of_test(), [prepare(root)[0]])


@pytest.mark.parametrize(("yes", "no"), [("test/yes", "test/no"), ("test/no", "test/yes"), ("test/yes", "test/No")])
def test_the_order_by_folders_is_that_of_imagefolder(root, yes, no):
    """As the published numbers were made: classes by name, and in each folder after folder, then file after file."""
    datasets = pytest.importorskip("torchvision.datasets")
    for number, name in enumerate(["b/z_1.png", "b/Z_2.png", "a b/10.png", "a/2.png", "a-b/1.png", "é.png", "B.png"]):
        for offset, side in ((400, yes), (500, no)):
            (root / side / name).parent.mkdir(parents=True, exist_ok=True)
            picture(offset + number).save(root / side / name)
    of = source((yes,), (no,), leaks="refuse")
    wanted = [Path(path).relative_to(root).as_posix() for path, _ in datasets.ImageFolder(root / "test").imgs]
    wanted = [name for name in wanted if name.startswith((f"{yes}/", f"{no}/"))]
    path, _ = prepared_test(root, of | {"order": "folders"}, [prepare(root)[0]])
    test = images.read_test(path)
    assert test["names"].tolist() == wanted
    assert test["labels"].tolist() == [int(name.startswith(f"{yes}/")) for name in wanted]
    for name, image in zip(test["names"], test["images"], strict=True):
        assert np.array_equal(image, images.decode(root / name))
    path, _ = prepared_test(root, of, [prepare(root)[0]])  # as ever
    names = images.read_test(path)["names"].tolist()
    assert [name.startswith(f"{yes}/") for name in names] == sorted(
        (n.startswith(f"{yes}/") for n in names), reverse=True
    )
    assert sorted(names) == sorted(wanted)


def test_drawn_concept_and_test_share_no_image(tmp_path):
    drawn = {"source": "synthetic", "positive": ["black cat"], "negative": ["non-cat"], "images": 8} | SETTINGS
    concept = tmp_path / "cat.h5"
    images.prepare_concept(concept, drawn, name="cat", seed=1)
    attributes = images.prepare_test(
        tmp_path / "test.h5", drawn | {"leaks": "refuse"}, [concept], name="black_cat", seed=1
    )
    assert attributes["images"] == [8, 8]
    arrays = files.read(concept, "images")
    assert arrays["images"].shape == (16, 32, 32, 3)
    assert set(arrays["groups"][:8]) == {"black-cat"}
