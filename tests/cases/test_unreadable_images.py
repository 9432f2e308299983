"""Inputs from public reports about image folders and image files, each at its right behaviour."""

import contextlib
import hashlib
import io
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
import unicodedata
import zlib

import numpy as np
import odd_images as odd
import pytest
import yaml
from PIL import Image, ImageCms

from zoofuse.core import files, regular
from zoofuse.data import decoding, folders, images, torchvision
from zoofuse.data.content import content_kind
from zoofuse.data.decoding import ImageError, thumbnail
from zoofuse.data.folders import SUFFIXES
from zoofuse.preflight import audit, folder_checks
from zoofuse.preflight.places import gather

SETTINGS = {"validation_share": 0.25, "validation_max": 250, "unreadable": "refuse", "duplicates": "drop"}
JPEG = odd.saved(odd.scene(), "JPEG", quality=95)
PNG = odd.saved(odd.scene(), "PNG")
CLEAN = images.decode(PNG)


def toy(seed: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def fill(folder, seeds, ending: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        toy(seed).save(folder / f"a_{seed:03d}.png")
        if ending != "png":
            (folder / f"a_{seed:03d}.png").rename(folder / f"a_{seed:03d}.{ending}")


def source(positive="cat", **changes):
    return {"source": "folder", "positive": [positive], "negative": ["other"]} | SETTINGS | changes


@pytest.fixture
def photos(tmp_path):
    fill(tmp_path / "cat", range(8))
    fill(tmp_path / "other", range(100, 108))
    return tmp_path


def prepared(photos, **changes):
    path = photos / "out/cat.h5"
    attributes = images.prepare_concept(path, source(**changes), name="cat", seed=1, root=photos)
    return files.read(path, "images"), attributes


def off(a: np.ndarray, b: np.ndarray) -> float:
    return np.abs(a.astype(int) - b).max()


# --- folders


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "jpe", "jfif", "JFIF", "png", "webp", "gif", "bmp"])
def test_case_21_every_ending_is_read_everywhere(tmp_path, ending):
    fill(tmp_path / "cat", range(3), ending)
    assert len(images.list_folder(tmp_path, ["cat"])) == 3
    assert len(folders.walk(tmp_path / "cat").images) == 3
    assert f".{ending.lower()}" in SUFFIXES


ASIDE = (
    "@eaDir", "@eadir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", "__MACOSX", "$RECYCLE.BIN",
    "System Volume Information", "lost+found", "LOST.DIR", ".AppleDouble", ".thumbnails", ".Trashes", ".@__thumb",
    ".picasaoriginals", "Lightroom Previews", "My Catalog Previews.lrdata", "FOUND.000", "~snapshot",
)  # fmt: skip


@pytest.mark.parametrize("name", ASIDE)
def test_case_22_nas_thumbnails_and_the_like_are_left_aside_and_counted(photos, name):
    fill(photos / "cat" / name / "a_000.png", [500])
    fill(photos / "cat/sub" / name, [501])
    fill(photos / "cat/sub", [20])
    arrays, attributes = prepared(photos)
    assert len(arrays["names"]) == 17
    assert attributes["left_aside"] == 2
    assert "2 hidden or of other software" in images.summary(attributes)
    walked = folders.walk(photos / "cat")
    assert len(walked.images) == 9
    assert folders.counted(walked.aside) == f"2 hidden or of other software (2 {name})"


@pytest.mark.parametrize("name", ["@home", "recycle", "#1", "eaDir", "Previews", "~me", "lost and found", "$5"])
def test_case_22_folders_of_the_user_stay(photos, name):
    fill(photos / "cat" / name, [500])
    assert f"cat/{name}/a_500.png" in prepared(photos)[0]["names"].tolist()


@pytest.mark.parametrize("name", ["@eaDir", ".thumbnails", "lost+found"])
def test_case_22_a_folder_that_is_named_on_purpose_is_read(photos, name):
    fill(photos / name, range(30, 34))
    assert len(images.list_folder(photos, [name])) == 4


def test_case_22_an_image_and_its_nas_thumbnail_are_never_in_two_sets(photos):
    """Neither in training and validation, nor in training and test."""
    for seed in range(8):
        (photos / f"cat/@eaDir/a_{seed:03d}.png").mkdir(parents=True)
        toy(seed).resize((24, 20)).save(photos / f"cat/@eaDir/a_{seed:03d}.png/SYNOPHOTO_THUMB_M.jpg")
    arrays, _ = prepared(photos)
    assert arrays["names"].tolist() == [f"cat/a_{i:03d}.png" for i in range(8)] + [
        f"other/a_{i}.png" for i in range(100, 108)
    ]
    place = gather("concepts.cat", source() | {"dataset": None}, str(photos), None, 1, 1)
    assert len(place.names) == 16
    assert any("@eaDir" in row[5] for row in audit._files(place, {"unreadable": "refuse"}))


def test_links_are_followed_once_and_one_image_stays_one(photos):
    (photos / "cat/deep").mkdir()
    (photos / "cat/deep/up").symlink_to(photos / "cat")
    (photos / "cat/itself").symlink_to(photos / "cat/itself")
    (photos / "cat/twin").symlink_to(photos / "cat/deep")
    (photos / "cat/z.png").symlink_to(photos / "cat/a_000.png")
    fill(photos / "elsewhere", [40])
    (photos / "cat/elsewhere").symlink_to(photos / "elsewhere")
    found = folders.walk(photos / "cat")
    assert len(found.images) == 9
    assert found.unreachable == [(str(photos / "cat/itself"), "a link that leads to itself")]


def test_a_folder_of_great_depth_is_walked(tmp_path):
    path = str(tmp_path)
    for _ in range(1300):  # Python's own ways of making and removing them call themselves too often
        path += "/d"
        os.mkdir(path)
    with open(f"{path}/x.png", "wb") as file:
        file.write(PNG)
    assert len(folders.walk(tmp_path).images) == 1
    os.remove(f"{path}/x.png")
    while path != str(tmp_path):
        os.rmdir(path)
        path = path.removesuffix("/d")


# --- case 01: what can't be reached


@contextlib.contextmanager
def as_nobody():
    """As a user who may not read everything; only root can do so, others are such a user already."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def unreachable_images(folder) -> dict[str, str]:
    """One of each kind, in `folder`; name -> the cause that must be named."""
    (folder / "gone.jpg").symlink_to("/mnt/not_mounted/gone.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "away").symlink_to("/mnt/not_mounted")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "null.png").symlink_to("/dev/null")
    (folder / "endless.png").symlink_to("/dev/zero")
    (folder / "folder.jpg").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(folder)  # a socket's path must be short
    listener.bind("socket.jpg")
    os.chdir(here)
    listener.close()
    (folder / "empty.gif").touch()
    return {
        "gone.jpg": "a link to '/mnt/not_mounted/gone.jpg', which is not there",
        "loop.jpg": "a link that leads to itself",
        "away": "a link to '/mnt/not_mounted', which is not there",
        "pipe.jpg": "a named pipe (FIFO), not a file",
        "null.png": "a device, not a file",
        "endless.png": "a device, not a file",
        "folder.jpg": "an empty folder, not a file",
        "socket.jpg": "a socket, not a file",
        "empty.gif": "empty file",
    }


def test_case_01_everything_that_cannot_be_read_is_named_or_counted(photos):
    causes = unreachable_images(photos / "cat")
    with pytest.raises(ImageError, match=f"{len(causes)} of {8 + len(causes)} images can't be read") as error:
        prepared(photos)
    for name, cause in causes.items():
        assert f"cat/{name}: {cause}\n" in str(error.value)
    arrays, attributes = prepared(photos, unreadable="skip")
    assert attributes["unreadable_skipped"] == len(causes)
    assert sorted(arrays["unreadable"]) == sorted(f"cat/{name}: {cause}" for name, cause in causes.items())
    place = gather("concepts.cat", source(), str(photos), None, 1, 2)
    assert dict(place.unreadable) == {f"cat/{name}": cause for name, cause in causes.items()}


def test_case_01_every_way_of_reading_names_the_cause_and_none_waits(tmp_path):
    causes = unreachable_images(tmp_path)
    for name, cause in causes.items():
        if name not in ("folder.jpg",):
            assert images.attempt(tmp_path / name) == cause
            assert thumbnail(tmp_path / name, 64) == cause
            with pytest.raises(ImageError, match=re.escape(f"{name}: {cause}")):
                images.decode(tmp_path / name)
    assert images.attempt(tmp_path) == "a folder, not a file"
    assert images.attempt("a\0b.jpg") == "embedded null byte"
    assert images.attempt(tmp_path / ("x" * 300)) == "File name too long"
    assert images.find_leaks([tmp_path / name for name in causes], [tmp_path / name for name in causes]) == []


def test_case_01_a_pipe_that_took_a_files_place_is_not_waited_for(tmp_path, monkeypatch):
    """Between the look at it and opening it; also where someone holds the pipe open for writing."""
    os.mkfifo(tmp_path / "x.jpg")
    holder = os.open(tmp_path / "x.jpg", os.O_RDWR)
    monkeypatch.setattr(regular, "fault", lambda path: None)
    assert decoding.contents(tmp_path / "x.jpg") == "a named pipe (FIFO), not a file"
    os.close(holder)


def test_case_01_files_and_folders_without_permission(tmp_path):
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.geteuid() and folder != folder.parent and str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o755)
    fill(tmp_path / "cat", range(3))
    fill(tmp_path / "cat/closed", [7])
    (tmp_path / "cat/a_000.png").chmod(0)
    (tmp_path / "cat/closed").chmod(0)
    (tmp_path / "copy.png").write_bytes(PNG)
    with as_nobody():
        found = folders.walk(tmp_path / "cat")
        cause = images.attempt(tmp_path / "cat/a_000.png")
        leaks = images.find_leaks([tmp_path / "cat/a_000.png"], [tmp_path / "cat/a_000.png"])
        with pytest.raises(ImageError, match=r"no image in .*closed can be reached .*Permission denied"):
            images.list_folder(tmp_path, ["cat/closed"])
    (tmp_path / "cat/closed").chmod(0o755)
    assert found.unreachable == [(str(tmp_path / "cat/closed"), "Permission denied")]
    assert len(found.images) == 3
    assert cause == "Permission denied"
    assert leaks == []


def test_case_01_a_file_that_vanishes_after_it_was_listed(photos, monkeypatch):
    listing = images.listing

    def vanishing(*arguments):
        found = listing(*arguments)
        (photos / "cat/a_003.png").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(images, "listing", vanishing)
    images.list_folder(photos, ["cat"])
    fill(photos / "cat", [3])
    with pytest.raises(ImageError, match=r"1 of 8 images.*\n.*a_003\.png: No such file or directory"):
        images.gathered("concepts.cat", "train", source(), ["cat"], 1, photos, None, 1)


def snakemake(folder, root, *arguments):
    command = [sys.executable, "-m", "snakemake", "-s", str(root / "Snakefile"), "--cores", "1", *arguments]
    environment = os.environ | {"PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, text=True, timeout=300, capture_output=True)


def test_case_01_check_and_dry_run_name_them_and_skip_goes_on(tmp_path, root):
    for i, folder in enumerate(("cat", "not_cat", "black", "not_black", "yes", "no")):
        fill(tmp_path / "photos" / folder, range(20 * i, 20 * i + 5))
    causes = unreachable_images(tmp_path / "photos/cat")
    config = {
        "images_root": "photos",
        "concepts": {
            "black": {"positive": ["black"], "negative": ["not_black"], "models": 4},
            "cat": {"positive": ["cat"], "negative": ["not_cat"], "models": 4},
        },
        "fusions": {"black_cat": {"concepts": ["black", "cat"], "test": {"positive": ["yes"], "negative": ["no"]}}},
    }
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    planned = snakemake(tmp_path, root, "-n", "--configfile", "my.yaml")
    assert planned.returncode == 0, planned.stderr
    output = planned.stdout + planned.stderr
    assert "concepts.cat.positive: 8 of 14 images can't be read:" in output
    assert "photos/cat/pipe.jpg: a named pipe (FIFO), not a file" in output
    assert "Traceback" not in output
    checked = snakemake(tmp_path, root, "check", "results/images/cat.h5", "--configfile", "my.yaml",
                        "--config", "images={unreadable: skip}")  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    assert f"{len(causes)} of all can't be read" in checked.stdout + checked.stderr
    named = (tmp_path / "results/check/images.csv").read_text()
    for name in causes:
        assert f"cat/{name}" in named
    assert files.attributes(tmp_path / "results/images/cat.h5", "images")["unreadable_skipped"] == len(causes)


# --- case 08: letters composed in two ways


@pytest.mark.parametrize("name", ["Kätzchen", "chat à côté", "猫が", "Å"])
@pytest.mark.parametrize(("disk", "written"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
def test_case_08_folder_names_are_compared_in_nfc(photos, name, disk, written):
    there = unicodedata.normalize(disk, name)
    (photos / "cat").rename(photos / there)
    fill(photos / there / "sub", [30, 31])
    asked = unicodedata.normalize(written, name)
    arrays, attributes = prepared(photos, positive=asked)
    assert attributes["images"] == [10, 8]
    assert arrays["groups"].tolist().count("sub") == 2
    assert folder_checks.folders_digest(str(photos), [asked]) == folder_checks.folders_digest(str(photos), [there])
    assert folders.spelled(photos / asked / "sub") == photos / there / "sub"


def test_case_08_two_folders_that_differ_only_in_composition(photos):
    for form in ("NFC", "NFD"):
        fill(photos / unicodedata.normalize(form, "Kätzchen"), range(30, 34))
    with pytest.raises(
        ImageError, match=r"2 folders named 'K.*' that differ only in how .* composed .*NFC and NFD.*Rename"
    ):
        images.list_folder(photos, ["Kätzchen"])


@pytest.mark.parametrize("asked", ["Cat", "CAT", "caT"])
def test_case_08_a_folder_that_differs_in_capitals_is_suggested(photos, asked):
    with pytest.raises(ImageError, match=rf"no folder '{asked}' .*did you mean 'cat'\?"):
        images.list_folder(photos, [asked])


# --- case 27: other content


CONTENTS = {
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer.*git lfs pull"),
    "HTML": (b"<!DOCTYPE html><html><body>404</body></html>", "HTML page.*fetch it again"),
    "HTML in small letters": (b"\n  <html lang=de><head>", "HTML page"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML text.*fetch it again"),
    "JSON": (b'{"message": "Not Found"}', "JSON text.*fetch it again"),
    "AVIF": (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "AVIF image.*save it as JPEG or PNG"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC image.*save it as JPEG or PNG"),
    "JPEG XL": (b"\xff\x0a\xfa\x10\0\0", "JPEG XL image"),
    "JPEG XL box": (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL image"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000 image"),
    "TIFF": (odd.saved(odd.scene(), "TIFF"), "TIFF image"),
    "SVG": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG drawing"),
    "SVG alone": (b"<svg width='1'/>", "SVG drawing"),
    "PDF": (b"%PDF-1.7\n", "a PDF"),
    "ZIP": (b"PK\x03\x04\x14\0", "zip archive.*unpack"),
    "MP4": (b"\0\0\0\x18ftypmp42\0\0\0\0", "video"),
    "zeros": (bytes(5000), "zeros only; copy it again"),
    "words": (b"no image, only words", "not a JPEG, PNG, WebP, GIF or BMP inside"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTENTS)
def test_case_27_content_that_is_not_an_image_is_named_with_what_to_do(photos, kind):
    data, cause = CONTENTS[kind]
    assert re.search(cause, images.attempt(data))
    assert thumbnail(data, 50) == images.attempt(data)
    (photos / "cat/a_000.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=rf"a_000\.jpg: .*{cause}"):
        prepared(photos)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_content_kind_knows_what_is_read(format):
    assert content_kind(odd.saved(odd.scene(), format)).upper() == format


# --- case 28: JPEGs without their end


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_case_28_only_the_end_mark_may_be_missing(options, mode):
    whole = odd.saved(odd.scene().convert(mode), "JPEG", quality=95, **options)
    for data in (whole[:-2], whole[:-1], whole[:-2] + bytes(3000)):
        assert np.array_equal(images.attempt(data), images.attempt(whole))
    start = whole.index(b"\xff\xda")
    lost = 0
    for length in np.linspace(start, len(whole) - 8, 40).astype(int):
        for data in (whole[:length], whole[:length] + bytes(3000)):
            result = images.attempt(data)
            lost += isinstance(result, str)
            assert isinstance(result, str) or np.array_equal(result, images.attempt(whole)), length
    assert lost >= 76


# --- case 29: large images, and what is made to be large


def test_case_29_108_megapixels(tmp_path):
    ramp = (np.arange(12000, dtype=np.uint32) * 255 // 12000).astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp, (9000, 12000))).save(tmp_path / "x.jpg", quality=75)
    decoded = images.decode(tmp_path / "x.jpg")
    expected = np.asarray(Image.fromarray(ramp[None]).resize((32, 1), Image.Resampling.BILINEAR)).astype(int)
    assert abs(decoded[..., 0].astype(int) - expected).max() <= 1
    assert thumbnail(tmp_path / "x.jpg", 112).size == (112, 84)


HOG = """
import sys
from concurrent.futures import ThreadPoolExecutor
from zoofuse.data import images
with ThreadPoolExecutor(3) as pool:
    assert all(not isinstance(found, str) for found in pool.map(images.attempt, [sys.argv[1]] * 3))
# Not ru_maxrss, which begins with that of the process that started this one.
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_case_29_large_images_do_not_take_their_memory_at_the_same_time(tmp_path):
    """64 megapixels with a transparent palette, which took 0.9 GB each."""
    extra = odd.chunk(b"PLTE", bytes(768)) + odd.chunk(b"tRNS", bytes(256))
    (tmp_path / "x.png").write_bytes(odd.png(8000, 8000, 8, 3, extra=extra))
    assert (tmp_path / "x.png").stat().st_size < 300_000
    run = subprocess.run([sys.executable, "-c", HOG, str(tmp_path / "x.png")], text=True, capture_output=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 1000


def test_the_budget_is_kept_and_the_large_are_not_passed_over():
    budget, under_way, most, done = decoding._Budget(10), 0, 0, []
    lock = threading.Lock()

    def work(cost):
        nonlocal under_way, most
        with budget(cost):
            with lock:
                under_way += min(cost, 10)
                most = max(most, under_way)
            time.sleep(0.002)
            with lock:
                under_way -= min(cost, 10)
                done.append(cost)

    threads = [threading.Thread(target=work, args=(cost,)) for cost in [3, 4, 99, 3, 2, 5, 1, 10, 4] * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 45
    assert most <= 10
    assert budget.used == 0


def strip_sizes():
    rng = np.random.default_rng(1)
    for mode in ("RGB", "RGBA", "L", "LA", "P", "CMYK", "I;16"):
        if mode == "I;16":
            yield Image.fromarray(rng.integers(0, 65536, (301, 203), dtype=np.uint16))
        else:
            base = Image.fromarray(rng.integers(0, 256, (301, 203, 4), dtype=np.uint8), "RGBA")
            yield (base.convert("RGB") if mode in ("P", "CMYK") else base).convert(mode)


def test_strips_change_no_bit(monkeypatch):
    for image in strip_sizes():
        for orientation in range(1, 9):
            monkeypatch.setattr(decoding, "_STRIP", 10**9)
            whole = np.array(decoding._shrunk(image, orientation, None, (32, 32)))
            monkeypatch.setattr(decoding, "_STRIP", 5000)
            assert np.array_equal(np.array(decoding._shrunk(image, orientation, None, (32, 32))), whole)


def scans(count: int, size: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = odd.saved(Image.new("RGB", (size, size), "red"), "JPEG", progressive=True)
    starts = [match.start() for match in re.finditer(rb"\xff\xda", data)]
    return data[:-2] + data[starts[-1] : -2] * (count - len(starts)) + b"\xff\xd9"


def animation(frames: int) -> bytes:
    return odd.saved(odd.scene().quantize(16), "GIF", save_all=True, append_images=[
        Image.new("P", (4, 4), i % 200) for i in range(frames)])  # fmt: skip


COSTLY = {  # name -> (bytes, the cause or None where it is read)
    "100 scans": (lambda: scans(100, 400), None),
    "101 scans": (lambda: scans(101, 400), "101 scans of 160,000 pixels"),
    "5,000 scans": (lambda: scans(5000, 400), "5,000 scans"),
    "16-bit RGBA": (lambda: odd.png(9000, 9000, 16, 6, b"\0"), "9000 x 9000 pixels; at most 80,000,000"),
    "a line of 4 billion": (lambda: odd.png(0xFFFFFFF0, 1, 8, 0, b"\0"), "at most 80,000,000"),
    "text of 100 MB": (lambda: with_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8))), None),
    "profile of 100 MB": (lambda: with_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(10**8))), None),
    "XMP of 100 MB": (lambda: with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(10**8))), None),
    "a million chunks": (lambda: PNG[:33] + odd.chunk(b"abCd", b"") * 10**6 + PNG[33:], "over 200,000 chunks"),
    "EXIF of tags that claim it all": (lambda: odd.into_jpeg(JPEG, greedy_exif()), None),
    "EXIF of 20 MB": (lambda: odd.into_jpeg(JPEG, odd.segment(0xE1, b"Exif\0\0" + bytes(65000)) * 300), None),
    "a million comments": (lambda: odd.into_jpeg(JPEG, b"\xff\xfe\0\2" * 10**6), "over 200,000 segments"),
    "filling": (lambda: odd.into_jpeg(JPEG, b"\xff" * 10**7), None),
    "WebP canvas": (lambda: webp_canvas(16384, 16384), "16384 x 16384 pixels; at most"),
    "WebP canvas of 2^48": (lambda: webp_canvas(2**24, 2**24), "at most 80,000,000"),
    "GIF canvas": (lambda: b"GIF89a" + b"\xff" * 4 + animation(1)[10:], "at most 80,000,000"),
    "GIF comment": (lambda: gif_comment(40_000), None),
    "3,000 frames": (lambda: animation(3000), None),
    "BMP canvas": (lambda: bmp(2**30, 2**30, 24, 0), "at most 80,000,000"),
    "BMP runs": (lambda: bmp(8000, 8000, 8, 1), "run-length encoded BMP of 8000 x 8000"),
}  # fmt: skip


def with_chunk(kind: bytes, data: bytes) -> bytes:
    return PNG[:33] + odd.chunk(kind, data) + PNG[33:]


def greedy_exif() -> bytes:
    tags = b"".join(struct.pack("<HHII", tag, 7, 60000, 0) for tag in range(5000))
    return odd.segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 5000) + tags)


def webp_canvas(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + odd.saved(odd.scene(), "WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif_comment(blocks: int) -> bytes:
    data = animation(1)
    start = 13 + (3 << (data[10] & 7) + 1)
    return data[:start] + b"!\xfe" + (b"\xff" + b"x" * 255) * blocks + b"\0" + data[start:]


def bmp(width: int, height: int, bits: int, packed: int) -> bytes:
    palette = bytes(1024 if bits == 8 else 0)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packed, 100, 1, 1, 0, 0)
    return (
        b"BM" + struct.pack("<IHHI", 54 + len(palette) + 100, 0, 0, 54 + len(palette)) + header + palette + bytes(100)
    )


@pytest.mark.parametrize("name", COSTLY)
def test_case_29_costly_files_are_refused_or_read_in_little_time(name):
    make, cause = COSTLY[name]
    data = make()
    before, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (images.attempt, lambda data: thumbnail(data, 64)):
        result = read(data)
        if cause is None:
            assert not isinstance(result, str), result
        else:
            assert cause in result
    assert time.process_time() - before < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 150_000  # KiB


# --- case 30: colours


FORMATS = {"PNG": {}, "JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("colorants", "gamma"), [(odd.DISPLAY_P3, None), (odd.ADOBE_RGB, 2.19921875)], ids=["P3", "Adobe"]
)
def test_case_30_wide_gamut_images_come_out_in_srgb(format, colorants, gamma):
    scene, options = odd.scene(), FORMATS[format]
    data = odd.saved(odd.in_space(scene, colorants, gamma), format, **options)
    data_with = odd.saved(
        odd.in_space(scene, colorants, gamma), format, icc_profile=odd.rgb_profile(colorants, gamma), **options
    )
    stored = Image.open(io.BytesIO(data)).convert("RGB")
    true = odd.in_srgb(stored, colorants, gamma)
    small = np.asarray(true.resize((32, 32), Image.Resampling.BILINEAR))
    assert off(images.decode(data), small) > 15
    assert off(images.decode(data_with), small) <= 2
    assert off(np.asarray(thumbnail(data_with, 80)), np.asarray(true)) <= 2
    assert off(small, CLEAN) <= 12  # 8 bits of a wide space hold fewer of the dark, saturated colours


def test_case_30_colours_outside_srgb_are_clipped():
    green = Image.new("RGB", (40, 40), (0, 255, 0))
    decoded = images.decode(odd.saved(green, "PNG", icc_profile=odd.rgb_profile()))
    assert (decoded == [0, 255, 0]).all()


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "1"])
def test_case_30_alpha_palettes_and_grey_have_profiles_too(mode):
    wide = odd.in_space(odd.scene(), odd.DISPLAY_P3, None)
    if mode == "RGBA":
        wide.putalpha(Image.linear_gradient("L").resize(wide.size))
    image = wide.quantize(64) if mode == "P" else wide.convert(mode)
    decoded = images.decode(odd.saved(image, "PNG", icc_profile=odd.rgb_profile()))
    flat = image.convert("RGBA")
    colours = odd.in_srgb(flat.convert("RGB"), odd.DISPLAY_P3, None)
    colours.putalpha(flat.getchannel("A"))
    flat = Image.alpha_composite(Image.new("RGBA", flat.size, "white"), colours).convert("RGB")
    assert off(decoded, np.asarray(flat.resize((32, 32), Image.Resampling.BILINEAR))) <= 1


SRGB_PROFILES = {
    "LittleCMS": lambda: ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "parametric": lambda: odd.rgb_profile(odd.SRGB),
    "rounded colorants": lambda: odd.rgb_profile(np.round(odd.SRGB, 3).tolist()),
}


@pytest.mark.parametrize("name", SRGB_PROFILES)
@pytest.mark.parametrize("format", FORMATS)
def test_case_30_an_srgb_profile_changes_no_bit(name, format):
    profile = SRGB_PROFILES[name]()
    with_profile = odd.saved(odd.scene(), format, icc_profile=profile, **FORMATS[format])
    assert np.array_equal(images.decode(with_profile), images.decode(odd.saved(odd.scene(), format, **FORMATS[format])))
    assert decoding.examine(with_profile).profile == ""


def test_case_30_grey_profiles():
    grey = Image.new("L", (40, 40), 128)
    decoded = images.decode(odd.saved(grey, "PNG", icc_profile=odd.grey_profile(1)))
    assert off(decoded, np.full((32, 32, 3), 188)) <= 1  # half of the light


def test_case_30_cmyk_by_the_profile_of_its_press():
    def colour(c, m, y, k):
        return ((50, 60, 10) if m else (100, 0, 0)) if not (c or y or k) else (0, 0, 0)

    magenta = Image.new("CMYK", (40, 40), (0, 255, 0, 0))
    data = odd.saved(magenta, "JPEG", quality=100, icc_profile=odd.cmyk_profile(colour))
    assert decoding.examine(data).profile == "converted"
    assert off(images.decode(data)[16, 16], odd.lab_in_srgb(50, 60, 10)) <= 2
    assert off(images.decode(odd.saved(magenta, "JPEG", quality=100))[16, 16], [255, 0, 255]) <= 2


DAMAGED = {
    "words": b"not a profile at all" * 20,
    "short": b"x",
    "cut": odd.rgb_profile()[:300],
    "black": odd.rgb_profile([(0, 0, 0)] * 3),
    "for another mode": odd.cmyk_profile(lambda *inks: (50, 0, 0)),
    "no colour space": odd.rgb_profile()[:16] + b"WHAT" + odd.rgb_profile()[20:],
    "random": odd.rgb_profile()[:128] + np.random.default_rng(1).bytes(3000),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("format", FORMATS)
def test_case_30_a_damaged_profile_is_ignored_and_told(photos, name, format):
    data = odd.saved(odd.scene(), format, icc_profile=DAMAGED[name], **FORMATS[format])
    assert np.array_equal(images.decode(data), images.decode(odd.saved(odd.scene(), format, **FORMATS[format])))
    assert decoding.examine(data).profile == "ignored"
    (photos / "cat/odd.png").write_bytes(data)
    _, attributes = prepared(photos)
    assert attributes["profiles_ignored"] == 1
    assert "1 have a colour profile that makes no sense" in images.summary(attributes)
    place = gather("concepts.cat", source(), str(photos), None, 1, 1)
    rows = [row for row in audit._files(place, {"unreadable": "refuse"}) if row[0] == "profile"]
    assert "cat/odd.png" in rows[0][5]


def test_case_30_the_profile_wins_over_other_chunks_and_gamma_alone_is_not_applied():
    wide, profile = odd.in_space(odd.scene(), odd.DISPLAY_P3, None), odd.rgb_profile()
    gamma = odd.chunk(b"gAMA", struct.pack(">I", 100_000)) + odd.chunk(b"sRGB", b"\0")
    data = odd.saved(wide, "PNG", icc_profile=profile)
    assert np.array_equal(images.decode(data[:33] + gamma + data[33:]), images.decode(data))
    assert np.array_equal(images.decode(PNG[:33] + gamma + PNG[33:]), CLEAN)


def test_case_30_large_images_with_a_profile_are_shrunk_first_with_little_loss():
    scene = odd.scene().resize((5200, 3900), Image.Resampling.NEAREST)
    wide = odd.in_space(odd.scene(), odd.DISPLAY_P3, None).resize(scene.size, Image.Resampling.NEAREST)
    decoded = images.decode(odd.saved(wide, "PNG", compress_level=1, icc_profile=odd.rgb_profile()))
    true = odd.in_srgb(odd.in_space(odd.scene(), odd.DISPLAY_P3, None), odd.DISPLAY_P3, None)
    true = true.resize(scene.size, Image.Resampling.NEAREST).resize((32, 32), Image.Resampling.BILINEAR)
    assert off(decoded, np.asarray(true)) <= 2


# --- cases 40, 41, 43, 44: as they were


def rows16(array: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)


def test_case_40_sixteen_bits_are_read_like_eight():
    colours = np.asarray(odd.scene()).astype(np.uint16) * 257
    grey = np.asarray(odd.scene().convert("L")).astype(np.uint16) * 257
    alpha = np.where(np.arange(80) < 40, 0, 65535)[None].repeat(60, 0)
    size = (80, 60, 16)
    assert np.array_equal(images.decode(odd.png(*size, 2, rows16(colours))), CLEAN)
    assert np.array_equal(
        images.decode(odd.png(*size, 0, rows16(grey))), images.decode(odd.saved(odd.scene().convert("L"), "PNG"))
    )
    rgba, la = np.dstack([colours, alpha]), np.dstack([grey, alpha])
    eight = odd.scene()
    eight.putalpha(Image.fromarray((alpha >> 8).astype(np.uint8)))
    assert np.array_equal(images.decode(odd.png(*size, 6, rows16(rgba))), images.decode(odd.saved(eight, "PNG")))
    eight = odd.scene().convert("L").convert("LA")
    eight.putalpha(Image.fromarray((alpha >> 8).astype(np.uint8)))
    assert np.array_equal(images.decode(odd.png(*size, 4, rows16(la))), images.decode(odd.saved(eight, "PNG")))


def test_case_40_a_transparent_grey_of_sixteen_bits_lies_on_white():
    grey = np.full((60, 80), 20_000, np.uint16)
    grey[:, :40] = 1234
    extra = odd.chunk(b"tRNS", struct.pack(">H", 1234))
    decoded = images.decode(odd.png(80, 60, 16, 0, rows16(grey), extra))
    assert (decoded[:, :14] == 255).all()
    assert (decoded[:, 18:] == 20_000 >> 8).all()


def test_case_41_cmyk_progressive_mpo_and_first_frames():
    scene, white = odd.scene(), Image.new("RGB", (80, 60), "white")
    for data in (
        odd.saved(scene.convert("CMYK"), "JPEG", quality=95),
        odd.saved(scene, "JPEG", quality=95, progressive=True),
        odd.saved(scene, "MPO", quality=95, save_all=True, append_images=[white]),
    ):
        assert np.abs(images.decode(data).astype(int) - CLEAN).mean() < 0.7
    for format, options in (("WEBP", {"lossless": True}), ("PNG", {})):
        data = odd.saved(scene, format, save_all=True, append_images=[white], **options)
        assert np.array_equal(images.decode(data), CLEAN)
    palette = scene.quantize(255)
    data = odd.saved(palette, "GIF", save_all=True, append_images=[white.quantize(2)])
    assert np.array_equal(images.decode(data), images.decode(odd.saved(palette, "PNG")))
    assert np.array_equal(images.decode(odd.saved(scene, "BMP")), CLEAN)


def test_case_43_damaged_files_are_refused():
    wrong = bytearray(PNG)
    wrong[60] ^= 1
    for data in (b"", JPEG[: len(JPEG) // 2], PNG[:-40], bytes(wrong), PNG[:33], JPEG[:20], b"GIF89a", b"BM", b"RIFF"):
        assert isinstance(images.attempt(data), str), data[:10]


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000)])
def test_case_43_thin_images_are_read(size):
    assert (images.decode(odd.saved(Image.new("RGB", size, "red"), "PNG")) == [255, 0, 0]).all()
    assert max(thumbnail(odd.saved(Image.new("RGB", size, "red"), "PNG"), 112).size) == min(112, max(size))


def test_case_43_hidden_files_are_left_aside_and_a_folder_named_like_an_image_is_a_folder(photos):
    for name in (".DS_Store", "Thumbs.db", "._x.jpg", "desktop.ini"):
        (photos / "cat" / name).write_bytes(b"x")
    for name in (".AppleDouble", "__MACOSX", "img_dir.jpg"):
        fill(photos / "cat" / name, [70])
    names = [path.relative_to(photos / "cat").as_posix() for path in images.list_folder(photos, ["cat"])]
    assert "img_dir.jpg/a_070.png" in names
    assert len(names) == 9


ODD_NAMES = [
    'Fotos für Müller & Söhne [2024] (100%) O\'Hara "x" #1',
    "a*b?$`;~",
    "line\nbreak",
    "x" * 240,
    "😺",
    "{wild}",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_case_44_odd_names_are_read_with_their_groups(photos, name):
    (photos / "cat").rename(photos / name)
    fill(photos / name / name, [60])
    arrays, attributes = prepared(photos, positive=name)
    assert attributes["images"] == [9, 8]
    assert sum("a_060" in stored for stored in arrays["names"].tolist()) == 1


def test_case_44_bytes_that_are_not_utf8(photos):
    os.rename(photos / "cat", os.fsencode(photos) + b"/caf\xe9")
    assert len(images.list_folder(photos, [os.fsdecode(b"caf\xe9")])) == 8


# --- case 60: EXIF


def exif_blocks() -> dict[str, tuple[bytes, int]]:
    """Name -> (EXIF block, the orientation that is read from it)."""
    turned = odd.orientation(6)
    return {
        "plain": (turned, 6),
        "big-endian": (b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0", 6),
        "header twice": (b"Exif\0\0" + turned, 6),
        "two values": (odd.orientation(6, count=2), 6),
        "as text": (odd.orientation(ord("6"), kind=2), 1),
        "long number": (odd.orientation(6, kind=4), 6),
        "no such orientation": (odd.orientation(77), 1),
        "no TIFF": (b"garbage, no TIFF at all", 1),
        "empty": (b"", 1),
        "cut": (turned[:14], 1),
        "offset outside": (b"II*\0\xff\xff\xff\x7f", 1),
        "offset to itself": (b"II*\0\0\0\0\0" * 40, 1),
        "count of 65,535": (b"II*\0\x08\0\0\0\xff\xff" + turned[10:], 6),
        "a long text elsewhere": (
            b"II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
            + struct.pack("<HHII", 0x011A, 2, 55, 0)
            + bytes(60), 6),
        "zero denominators": (
            b"II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
            + struct.pack("<HHII", 0x011A, 5, 1, 38)
            + bytes(4) + struct.pack("<II", 72, 0), 6),
    }  # fmt: skip


@pytest.mark.parametrize("name", exif_blocks())
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_case_60_odd_exif_is_read_the_same_in_tables_and_thumbnails(name, format):
    block, orientation = exif_blocks()[name]
    scene = odd.scene()
    lying = scene.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else scene
    if format == "JPEG":
        data = odd.into_jpeg(
            odd.saved(lying, "JPEG", quality=100, subsampling=0), odd.segment(0xE1, b"Exif\0\0" + block)
        )
    else:
        data = odd.saved(lying, format, exif=block or b"\0", **FORMATS[format])
    decoded, shown = images.attempt(data), thumbnail(data, 40)
    assert off(decoded, CLEAN) <= 3
    assert shown.mode == "RGB"
    assert shown.size == (40, 30)
    assert off(np.asarray(shown), np.asarray(scene.resize((40, 30), Image.Resampling.BILINEAR))) <= 8


def test_thumbnails_are_never_enlarged_and_lie_on_white(tmp_path):
    assert thumbnail(odd.saved(Image.new("RGB", (20, 10)), "PNG"), 112).size == (20, 10)
    clear = odd.saved(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG")
    assert (np.asarray(thumbnail(clear, 32)) == 255).all()
    (tmp_path / "x.png").write_bytes(PNG)
    assert thumbnail(tmp_path / "x.png", 80).tobytes() == odd.scene().tobytes()
    assert thumbnail(str(tmp_path / "gone.png"), 80) == "No such file or directory"


# --- digests of ordinary images


def test_ordinary_images_keep_their_digests():
    """Of small images as they were before anything here was mended, by Pillow alone."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for image, format, options in (
        (odd.scene(), "PNG", {}),
        (odd.scene(), "JPEG", {"quality": 90, "exif": exif}),
        (odd.scene(), "WEBP", {"quality": 90}),
        (odd.scene().quantize(64), "GIF", {}),
        (odd.scene(), "BMP", {}),
        (toy(5, (2500, 1900)), "JPEG", {"quality": 90}),
    ):
        data = odd.saved(image, format, **options)
        import io

        with Image.open(io.BytesIO(data)) as opened:
            upright = opened.transpose(Image.Transpose.ROTATE_270) if "exif" in options else opened
            expected = upright.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
        assert (
            hashlib.sha256(images.decode(data).tobytes()).hexdigest() == hashlib.sha256(expected.tobytes()).hexdigest()
        )


def test_an_archive_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "cifar-10-python.tar.gz")
    with pytest.raises(ImageError, match="not a file"):
        torchvision.read_archive("cifar10", tmp_path / "cifar-10-python.tar.gz", ["cat"], "train")
