"""Cases found by strangers: predictions of a folder, and what Model.predict and zoofuse.load are given."""

import copy
import io
import os
import pickle
import re
import shutil
import socket
import struct
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import zoofuse
from zoofuse.core import logs
from zoofuse.core.errors import FileError
from zoofuse.core.temporary import atomic_path
from zoofuse.data import synthetic
from zoofuse.data.decoding import ImageError
from zoofuse.export import models, predict
from zoofuse.models import cnn


def exif(*entries: tuple[int, int, bytes], order: str = "<") -> bytes:
    """An EXIF block: orientation 6 (lies on its side), and entries (tag, type, four bytes)."""
    entries = sorted([(0x0112, 3, struct.pack(order + "H", 6)), *entries])
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, len(entries))
    packed = [struct.pack(order + "HHI", tag, kind, 1) + value.ljust(4, b"\0") for tag, kind, value in entries]
    return b"Exif\0\0" + head + b"".join(packed) + b"\0\0\0\0"


# What each raises when Pillow's exif_transpose writes the block anew.
ODD_EXIF = {
    "str_for_rational": (0x011A, 2, b"7"),
    "bytes_for_rational": (0x011A, 1, b"a"),
    "byte_for_long": (0x00FE, 1, b"a"),
    "float_for_text": (0x010D, 11, b"aaaa"),
    "byte_for_float": (0x0154, 1, b"a"),
    "float_for_bytes": (0x015B, 11, b"aaaa"),
    "text_for_bytes": (0x02BC, 2, b"a"),
    "no_fraction": (0xB205, 2, b"a"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An exported model."""
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "predict", np.arange(1))
    weights = {name.replace("fc1", "heads"): values[0] for name, values in weights.items()}
    weights["heads.weight"] *= 30  # scores that differ
    about = {
        "fusion": "black_cat",
        "method": "cyclegan",
        "domain": "A",
        "model": 12,
        "head": "own",
        "supervision": "concept labels",
    }
    config = models.configuration(weights, ["black", "cat"], **about, threshold=0.25, seed=7, sources={})
    folder = tmp_path_factory.mktemp("models") / "model"
    models.write(folder, weights, config, "# A card\n")
    return folder


@pytest.fixture(scope="module")
def model(folder) -> models.Model:
    return zoofuse.load(folder)


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder of four images."""
    place = tmp_path / "pictures"
    place.mkdir()
    for i, pixels in enumerate(synthetic.draw(["cat"], 4, 1, "cases")[0]):
        Image.fromarray(pixels).resize((60, 40)).save(place / f"{i}.png")
    return place


def written(model, folder, out, say=print) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Both tables and the page, as `snakemake results/predictions/...` writes them."""
    found = predict.predict(model, folder, say=say)
    paths = {"scores": out / "a.csv", "unreadable": out / "a.unreadable.csv", "gallery": out / "a.html"}
    predict.write(found, model, folder, **paths, say=say)
    tables = [pd.read_csv(paths[name], keep_default_na=False) for name in ("scores", "unreadable")]
    return *tables, paths["gallery"].read_text(encoding="utf-8")


@pytest.mark.parametrize("order", ["<", ">"])
def test_case_60_rotated_images_with_odd_exif_are_scored_and_shown(tmp_path, model, images, order):
    upright = Image.open(images / "0.png")
    for name, (tag, kind, value) in ODD_EXIF.items():
        turned = upright.transpose(Image.Transpose.ROTATE_90)
        turned.save(images / f"{name}.jpg", quality=100, subsampling=0, exif=exif((tag, kind, value), order=order))
    scores, unreadable, html = written(model, images, tmp_path)
    assert len(scores) == 4 + len(ODD_EXIF)
    assert len(unreadable) == 0
    assert html.count("data:image/webp") == len(scores)
    assert "Not shown" not in html
    by_name = scores.set_index("file")["score"]
    for name in ODD_EXIF:  # turned upright, so that it scores as the image that was never turned
        assert by_name[f"{name}.jpg"] == pytest.approx(by_name["0.png"], abs=0.02)


def test_case_60_one_image_that_cannot_be_shown_is_a_tile_with_the_cause(tmp_path, model, images):
    found = predict.predict(model, images)
    (images / "2.png").unlink()  # while the page is made
    (images / "3.png").unlink()
    (images / "3.png").mkdir()
    predict.page(tmp_path / "a.html", found, model, images)
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert html.count("data:image/webp") == 2
    assert len(re.findall(r'class="gone">Not shown: [^<]+<', html)) == 2
    assert len(re.findall(r"<li[^>]*data-rank", html)) == 4


@pytest.mark.parametrize("fault", [MemoryError(), OSError(28, "No space left on device"), TypeError("odd\x1b[31m")])
def test_case_60_a_gallery_that_fails_loses_no_table(tmp_path, model, images, monkeypatch, fault):
    def fail(*_):
        raise fault

    monkeypatch.setattr(predict, "shown", fail)
    said = []
    scores, _, html = written(model, images, tmp_path, said.append)
    assert len(scores) == 4
    assert "The scores are complete in a.csv" in html
    assert "It could not be written" in html
    assert "the gallery could not be written" in said[-1]
    assert "The tables are complete" in said[-1]
    assert "\x1b" not in html + said[-1]


def test_case_60_the_disk_is_full_when_the_gallery_is_written(tmp_path, model, images, monkeypatch):
    """Then the page cannot be replaced: the one that was written before the tables stays, and the job is not failed."""
    real, calls = atomic_path, []

    def full(path):
        calls.append(path)
        if len(calls) > 3:  # the note and the two tables found room
            raise FileError("no room")
        return real(path)

    monkeypatch.setattr(predict, "atomic_path", full)
    scores, _, html = written(model, images, tmp_path, print)
    assert len(calls) == 5
    assert len(scores) == 4
    assert "There is no gallery here" in html


@pytest.fixture
def specials(images) -> dict[str, str]:
    """What is named like an image and would be waited for, or cannot be opened -> a word of its cause."""
    os.mkfifo(images / "fifo.jpg")
    os.symlink(images / "gone.jpg", images / "dangling.jpg")
    os.symlink(images / "loop.jpg", images / "loop.jpg")
    os.symlink("/dev/zero", images / "device.png")
    os.symlink(images / "fifo.jpg", images / "to_fifo.webp")
    os.symlink(images, images / "sub.jpg")  # a folder: walked once
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(images)  # the name of a socket is short
        listening.bind("socket.gif")
        os.chdir(here)
    os.mkfifo(images / "fifo.txt")
    return {
        "dangling.jpg": "a link to",
        "device.png": "a device",
        "fifo.jpg": "a named pipe (FIFO)",
        "loop.jpg": "a link that leads to itself",
        "socket.gif": "a socket",
        "to_fifo.webp": "a named pipe (FIFO)",
    }


def test_case_01_what_is_not_a_regular_file_is_named_and_never_waited_for(tmp_path, model, images, specials):
    predict.digest(images)
    said = []
    scores, unreadable, html = written(model, images, tmp_path, said.append)
    assert len(scores) == 4
    causes = dict(unreadable.itertuples(index=False))
    assert set(causes) == set(specials)
    for name, word in specials.items():
        assert word in causes[name]
    assert said[0] == "Ignored: 1 files of other kinds (1 .txt)."
    assert said[1].startswith("6 of 10 images can't be read")
    assert "6 files could not be read" in html
    for name in specials:
        with pytest.raises(ImageError, match=name):
            model.predict(images / name)
    for path in images.glob("?.png"):
        path.unlink()
    with pytest.raises(ImageError, match=r"none of the 6 images .* can be read \(dangling.jpg: a link"):
        predict.predict(model, images)


def test_case_22_what_a_nas_keeps_for_itself_is_not_predicted(model, images):
    for name in ("@eaDir/0.png", "__MACOSX", "#recycle", "sub/@eaDir"):
        shutil.copytree(images, images / name, ignore=lambda folder, names: [n for n in names if n[0] not in "0123"])
    assert predict.listed(images).names == ["0.png", "1.png", "2.png", "3.png"]


def test_the_folder_may_change_while_it_is_predicted(model, images):
    parts = predict.scored(model, str(images), ["0.png", "1.png"])
    (images / "1.png").unlink()
    _, scores, causes = next(parts)
    assert np.isnan(scores).tolist() == [False, True]
    assert list(causes) == [1]
    before = predict.digest(images)
    (images / "2.png").unlink()
    assert predict.digest(images) != before


def test_one_file_is_predicted_as_a_folder_of_one(tmp_path, model, images, monkeypatch):
    scores, _, html = written(model, images / "1.png", tmp_path)
    assert scores["file"].tolist() == ["1.png"]
    assert scores["score"][0] == pytest.approx(model.predict(images / "1.png")[0], rel=1e-5)
    assert 'href="pictures/1.png"' in html
    monkeypatch.chdir(images)
    assert written(model, "1.png", tmp_path)[0]["file"].tolist() == ["1.png"]
    (images / "words.txt").write_text("no image")
    with pytest.raises(ImageError, match=r"none of the 1 images in 'words.txt' can be read \(words.txt: not"):
        predict.predict(model, "words.txt")


NAMES = [
    "O'Hara",
    'say "x"',
    "a #1",
    "~",
    "~x",
    "{folder}",
    "100%",
    "<b>&lt;",
    "=1+1",
    "ünï",
    "line\nbreak",
    "a:b",
    "-x",
]


@pytest.mark.parametrize("name", NAMES)
def test_case_44_folders_and_files_of_any_name(tmp_path, model, images, name, monkeypatch):
    shutil.copytree(images, tmp_path / "odd" / name)
    os.rename(tmp_path / "odd" / name / "0.png", tmp_path / "odd" / name / f"{name}.png")
    monkeypatch.chdir(tmp_path / "odd")
    scores, _, html = written(model, name, tmp_path)
    assert len(scores) == 4
    shown = name.replace("\n", "\\n")
    shown = f"'{shown}" if shown[0] in "=-" else shown
    assert f"{shown}.png" in scores["file"].tolist()
    assert not re.search(r"<b>&lt;(?!/)", html)
    for link in re.findall(r'<a href="([^"]*)"', html):
        assert ":" not in link  # not a scheme


def test_case_44_escape_sequences_reach_neither_terminal_nor_table(tmp_path, model, images):
    shutil.copy(images / "0.png", images / "\x1b]0;x\x07.png")
    (images / "\x1b[31mred.jpg").write_text("no image")
    (images / "a.\x1b[2J").touch()
    said = []
    scores, unreadable, html = written(model, images, tmp_path, said.append)
    assert "\\x1b]0;x\\x07.png" in scores["file"].tolist()
    assert unreadable["file"].tolist() == ["\\x1b[31mred.jpg"]
    assert "\x1b" not in html + "".join(said)


def test_case_08_a_folder_is_found_however_its_letters_are_composed(tmp_path, model, images):
    (tmp_path / "K\u00e4tzchen").mkdir()
    os.rename(images, tmp_path / "K\u00e4tzchen/fu\u0308r")
    scores, _, html = written(model, tmp_path / "Ka\u0308tzchen/f\u00fcr", tmp_path)
    assert len(scores) == 4
    assert 'href="K%C3%A4tzchen/fu%CC%88r/' in html
    with pytest.raises(ImageError, match="there is no folder"):
        predict.predict(model, tmp_path / "Katzchen")


def test_case_44_a_folder_that_yaml_cut_off_is_explained(tmp_path, model, images, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(predict.listed("~/pictures").names) == 4
    os.rename(images, tmp_path / "album #1")
    with pytest.raises(ImageError, match=r"There is 'album #1': in --config, a # .* in the configuration file"):
        predict.listed(tmp_path / "album")
    (tmp_path / "photos").mkdir()
    with pytest.raises(ImageError, match="Did you mean 'photos'"):
        predict.listed(tmp_path / "photo")
    with pytest.raises(ImageError, match="no images in"):
        predict.listed(tmp_path / "photos")
    for name in ("", "a\0b", "x" * 300):
        with pytest.raises(ImageError, match="there is no folder"):
            predict.listed(name)


def test_a_thousand_folders_in_each_other_are_walked(images):
    here = os.getcwd()
    os.chdir(images)
    try:
        for _ in range(1050):
            os.mkdir("d")
            os.chdir("d")
        shutil.copy(images / "0.png", "deep.png")
        assert len(predict.listed(images).names) == 5
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-r", images / "d"], check=True)  # Python's own removal is recursive


# Model.predict


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)


def test_case_23_one_file_is_one_image(model, images, monkeypatch):
    path = images / "0.png"
    wanted = model.predict([path])
    assert wanted.shape == (1,)
    monkeypatch.chdir(images)
    entry = next(entry for entry in os.scandir(os.fsencode(images)) if entry.name == b"0.png")
    for one in (
        path,
        str(path),
        "0.png",
        os.fsencode(path),
        entry,
        path.read_bytes(),
        np.str_(path),
        np.array("0.png"),
    ):
        np.testing.assert_array_equal(model.predict(one), wanted)
    assert model.probabilities(path).shape == (1, 2)


def test_case_23_many_files_and_kinds_in_one_call(model, images, pixels):
    paths = sorted(images.iterdir())
    wanted = np.concatenate([model.predict(path) for path in paths])
    assert len(np.unique(wanted)) == 4
    for many in (paths, tuple(paths), iter(paths), (path for path in paths), np.array(list(map(str, paths))),
                 pd.Series(list(map(str, paths))), pd.Series(paths).to_numpy()):  # fmt: skip
        np.testing.assert_allclose(model.predict(many), wanted, atol=1e-6)
    mixed = [paths[0], Image.open(paths[1]), pixels[0], torch.from_numpy(pixels[1]), str(paths[2])]
    alone = np.concatenate([model.predict(one) for one in mixed])
    np.testing.assert_allclose(model.predict(mixed), alone, atol=1e-6)
    np.testing.assert_allclose(alone[[0, 1, 4]], wanted[:3], atol=1e-6)
    for empty in ([], (), iter([]), pixels[:0], torch.from_numpy(pixels[:0]), np.array([], dtype=str)):
        assert model.predict(empty).shape == (0,)
        assert model.probabilities(empty).shape == (0, 2)


def test_case_23_arrays_of_any_strides_and_tensors(model, pixels, tmp_path):
    wanted = model.predict(pixels)
    readonly = pixels.copy()
    readonly.setflags(write=False)
    np.save(tmp_path / "pixels.npy", pixels)
    wide = np.zeros((4, 32, 64, 3), np.uint8)
    wide[:, :, ::2] = pixels
    tensor = torch.from_numpy(pixels)
    ways = {
        "negative strides": pixels[..., ::-1].copy()[..., ::-1],
        "negative rows": pixels[:, ::-1].copy()[:, ::-1],
        "Fortran": np.asfortranarray(pixels),
        "read-only": readonly,
        "memory-mapped": np.load(tmp_path / "pixels.npy", mmap_mode="r"),
        "strided": wide[:, :, ::2],
        "list": list(pixels),
        "tensor": tensor,
        "channels first": tensor.permute(0, 3, 1, 2),
        "channels first, contiguous": tensor.permute(0, 3, 1, 2).contiguous(),
        "list of tensors": list(tensor.permute(0, 3, 1, 2)),
        "PIL": [Image.fromarray(one) for one in pixels],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, way in ways.items():
            np.testing.assert_allclose(model.predict(way), wanted, atol=1e-6, err_msg=name)
        for one in (pixels[0], tensor[0], tensor[0].permute(2, 0, 1), np.asarray(Image.fromarray(pixels[0]))):
            np.testing.assert_allclose(model.predict(one), wanted[:1], atol=1e-6)
    for shape in ("BGR", "mirrored"):
        view = pixels[..., ::-1] if shape == "BGR" else pixels[:, :, ::-1]
        np.testing.assert_array_equal(model.predict(view), model.predict(view.copy()))
        assert abs(model.predict(view) - wanted).max() > 1e-3
    np.testing.assert_array_equal(pixels, readonly)  # the caller's memory stays


MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "CMYK", "YCbCr", "HSV", "I;16", "I;16B", "I"]


@pytest.mark.parametrize("mode", MODES)
def test_case_23_pil_images_of_any_mode(model, pixels, mode):
    source = Image.fromarray(pixels[0]).resize((50, 40))
    if mode == "La":
        grey = source.convert("L")
        image = Image.merge("LA", [grey, Image.new("L", grey.size, 128)]).convert("La")
        wanted = Image.merge("LA", [grey, Image.new("L", grey.size, 128)])
    elif mode in ("PA", "RGBa"):
        wanted = source.convert("P" if mode == "PA" else "RGBA")
        image = wanted.convert(mode)
    elif mode.startswith("I"):
        wanted = source.convert("L")
        grey = np.asarray(wanted).astype(np.uint16) * 257
        image = Image.fromarray(grey.astype(np.int32)) if mode == "I" else Image.fromarray(grey)
        if mode == "I;16B":
            image = Image.frombytes("I;16B", wanted.size, grey.astype(">u2").tobytes())
        assert image.mode == mode
    else:
        image = source.convert(mode)
        wanted = image.convert("RGB") if mode in ("CMYK", "YCbCr", "HSV", "RGBX") else image
    stored = io.BytesIO()
    wanted.save(stored, "PNG")
    before = image.tobytes()
    np.testing.assert_allclose(model.predict(image), model.predict(stored.getvalue()), atol=2e-3)
    assert image.tobytes() == before


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_case_23_an_opened_image_scores_as_its_file(model, pixels, tmp_path, orientation, ending):
    block = Image.Exif()
    block[0x0112] = orientation
    path = tmp_path / f"turned.{ending}"
    Image.fromarray(pixels[0]).resize((90, 70)).save(path, exif=block)
    wanted = model.predict(path)
    for name, image in (("open", Image.open(path)), ("loaded", Image.open(path).copy())):
        np.testing.assert_allclose(model.predict(image), wanted, atol=1e-6, err_msg=name)
    if orientation > 1:
        assert abs(wanted - model.predict(Image.fromarray(np.asarray(Image.open(path))))).max() > 1e-4


def test_case_23_odd_exif_and_transparency_of_pil_images(model, pixels, tmp_path):
    source = Image.fromarray(pixels[0]).resize((60, 40))
    for name, entry in ODD_EXIF.items():
        source.save(tmp_path / f"{name}.jpg", exif=exif(entry))
        np.testing.assert_allclose(
            model.predict(Image.open(tmp_path / f"{name}.jpg")), model.predict(tmp_path / f"{name}.jpg"), atol=1e-6
        )
    source.quantize(16).save(tmp_path / "p.gif", transparency=3)
    source.save(tmp_path / "key.png", transparency=tuple(pixels[0, 0, 0].tolist()))
    for name in ("p.gif", "key.png"):
        np.testing.assert_allclose(
            model.predict(Image.open(tmp_path / name)), model.predict(tmp_path / name), atol=1e-6
        )


WRONG = {
    "float array": (lambda x: x / 255.0, r"float64 \(4, 32, 32, 3\).*\(x \* 255\)\.round\(\)"),
    "float tensor": (lambda x: torch.from_numpy(x) / 255, r"torch.float32 \(4, 32, 32, 3\)"),
    "half tensor": (lambda x: torch.from_numpy(x).to(torch.bfloat16), "torch.bfloat16"),
    "int64": (lambda x: x.astype(int), "int64"),
    "bool": (lambda x: x > 0, "bool"),
    "channels first": (lambda x: x.transpose(0, 3, 1, 2), r"Put the channels last"),
    "another size": (lambda x: x[:, :16], r"uint8 \(4, 16, 32, 3\)"),
    "one of another size": (lambda x: np.zeros((480, 640, 3), np.uint8), r"PIL\.Image\.fromarray"),
    "grey": (lambda x: x[..., 0], r"uint8 \(4, 32, 32\)"),
    "five axes": (lambda x: x[None], "uint8"),
    "a number": (lambda x: 7, "type int"),
    "none": (lambda x: None, "type NoneType"),
    "a NumPy number": (lambda x: np.float64(7), "float64"),
    "list of numbers": (lambda x: [1, 2], "Image 0 is of type int"),
    "nested lists": (lambda x: x[0].tolist(), "Image 0 is of type list"),
    "list of batches": (lambda x: [x], "which is 4 images"),
    "list with one wrong": (lambda x: [x[0], x[0] / 255.0], "float64"),
    "a set": (lambda x: {"a.jpg"}, "has no order; pass a list"),
    "a dict": (lambda x: {"a.jpg": x[0]}, "has no order; pass a list"),
    "missing file": (lambda x: "nope.jpg", "nope.jpg: .*[Nn]o such file"),
    "missing in a list": (lambda x: [x[0], Path("nope.jpg")], "nope.jpg: .*[Nn]o such file"),
    "a folder": (lambda x: os.path.dirname(__file__), "a folder"),
    "empty name": (lambda x: "", "no such file"),
    "null character": (lambda x: "a\0b", "null"),
    "lone surrogate": (lambda x: "\ud800.jpg", "not a valid file name"),
    "text bytes": (lambda x: [b"no \0 image"], "image 0 .* not a"),
    "float PIL": (lambda x: Image.new("F", (4, 4)), "floating-point"),
    "LAB PIL": (lambda x: Image.new("LAB", (4, 4)), "LAB"),
    "large I PIL": (lambda x: Image.fromarray(np.full((4, 4), 70_000, np.int32)), "65535"),
    "meta tensor": (lambda x: torch.zeros(4, 32, 32, 3, dtype=torch.uint8, device="meta"), "dense uint8"),
    "sparse tensor": (lambda x: torch.zeros(32, 32, 3, dtype=torch.uint8).to_sparse(), "dense uint8"),
    "open file": (lambda x: open(__file__, "rb"), "Image 0"),  # noqa: SIM115
}


@pytest.mark.parametrize("name", WRONG)
def test_case_23_what_is_not_an_image_is_refused_with_what_to_pass(model, pixels, name):
    make, message = WRONG[name]
    with pytest.raises(ValueError, match=message) as error:
        model.predict(make(pixels))
    assert type(error.value) is ImageError
    assert "\n" not in str(error.value)


def test_case_23_a_broken_or_closed_pil_image(model, images):
    (images / "half.png").write_bytes((images / "0.png").read_bytes()[:200])
    with pytest.raises(ImageError, match=r"image 0 \(a PIL image, RGB\): can't be read"):
        model.predict(Image.open(images / "half.png"))
    with Image.open(images / "0.png") as closed:
        pass
    with pytest.raises(ImageError, match="image 1"):
        model.predict([images / "0.png", closed])


def test_case_23_many_images_are_read_in_batches(model, monkeypatch):
    """Memory does not grow with their number: no more are decoded than one batch holds."""
    monkeypatch.setattr(models, "_BATCH", 8)
    alive = []

    def stream():
        for place in range(40):
            alive.append(place)
            yield np.full((32, 32, 3), place, np.uint8)

    real, seen = cnn.normalise, []

    def normalise(pixels):
        seen.append((len(pixels), len(alive)))
        return real(pixels)

    monkeypatch.setattr(cnn, "normalise", normalise)
    assert model.predict(stream()).shape == (40,)
    assert seen == [(8, 8 * i) for i in range(1, 6)]


def test_case_23_load_takes_the_folder_or_a_file_in_it(folder, model, pixels, monkeypatch, tmp_path):
    wanted = model.predict(pixels)
    ways = [
        folder,
        str(folder),
        f"{folder}/",
        os.fsencode(folder),
        folder / "model.safetensors",
        folder / "config.json",
    ]
    ways += [str(folder / "config.json"), folder / "model.onnx"]
    for way in ways:
        np.testing.assert_array_equal(zoofuse.load(way).predict(pixels), wanted)
    monkeypatch.setenv("HOME", str(folder.parent))
    np.testing.assert_array_equal(zoofuse.load("~/model").predict(pixels), wanted)
    monkeypatch.chdir(folder)
    for way in (".", "config.json", Path("model.safetensors")):
        np.testing.assert_array_equal(zoofuse.load(way).predict(pixels), wanted)
    with pytest.raises(ValueError, match=r"no model in this folder \(config.json is missing\).*such as .*/model\."):
        zoofuse.load(folder.parent)
    for wrong in (None, 7, [folder]):
        with pytest.raises(ValueError, match="is a str or a Path"):
            zoofuse.load(wrong)
    for wrong in (tmp_path / "none", tmp_path / "none/config.json", "a\0b", "\ud800", "", "x" * 300):
        with pytest.raises(ValueError, match=r"no model in this folder|not a valid file name|too long"):
            zoofuse.load(wrong)


def test_case_23_a_model_prints_short_and_can_be_copied(folder, model, pixels):
    assert str(model) == repr(model)
    assert repr(model) == "<zoofuse model black_cat by cyclegan: black and cat, 3,674 parameters, threshold 0.25>"
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(pixels), model.predict(pixels))
    assert model in [model]
    assert len({model, zoofuse.load(folder)}) == 2


@pytest.mark.parametrize("n", [0, 1, 5, 257])
def test_case_52_onnx_scores_batches_of_any_size(folder, model, n):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(n).integers(0, 256, (n, 32, 32, 3)).astype(np.uint8)
    score, probabilities = session.run(["score", "probabilities"], {"images": pixels})
    assert (score.shape, probabilities.shape) == ((n,), (n, 2))
    np.testing.assert_allclose(score, model.predict(pixels), atol=1e-6)
    np.testing.assert_allclose(probabilities, model.probabilities(pixels), atol=1e-6)


def test_errors_of_the_models_files_are_told_without_a_traceback(tmp_path, folder, capsys):
    """logs.job tells zoofuse's own ValueErrors from bugs by their module."""
    with pytest.raises(SystemExit), logs.job(str(tmp_path / "log")):
        zoofuse.load(tmp_path)
    assert "Traceback" not in (tmp_path / "log").read_text() + capsys.readouterr().err
