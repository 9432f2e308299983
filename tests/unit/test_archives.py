"""Archives in the formats of CIFAR-10 and Oxford-IIIT Pet, made here: sound, damaged and hostile ones."""

import gzip
import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoofuse.core import files
from zoofuse.data import images, torchvision
from zoofuse.data.decoding import ImageError

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SETTINGS = {"validation_share": 0.25, "validation_max": 250, "unreadable": "refuse", "duplicates": "drop"}


def tar(path, members):
    """A tar.gz of (name, content) pairs, or of TarInfo objects."""
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return path


def pixels(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def batch(pictures, labels):
    """A CIFAR-10 batch: rows of 3072 bytes, red plane first."""
    rows = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2).reshape(len(pictures), -1))
    return pickle.dumps({b"data": rows, b"labels": [int(label) for label in labels]}, protocol=2)


def batch_of_python_2(pictures, labels):
    """The same, as Python 2 and the numpy of 2009 wrote it: byte strings, numpy.core."""
    data = pictures.transpose(0, 3, 1, 2).tobytes()
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01K%cM\x00\x0c\x86%b\x89T%b%btb" % (len(pictures), dtype, len(data).to_bytes(4, "little"), data)
    numbers = b"](" + b"".join(b"K%c" % label for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + reconstruct + state + b"U\x06labels" + numbers + b"u."


def meta(names=CLASSES):
    return pickle.dumps({b"label_names": [name.encode() for name in names]}, protocol=2)


TRAIN, TEST = pixels(40, 0), pixels(20, 1)
LABELS = np.arange(40) % 10


def cifar_members(write=batch):
    base = "cifar-10-batches-py/"
    return [
        (base + "batches.meta", meta()),
        (base + "data_batch_1", write(TRAIN[:20], LABELS[:20])),
        (base + "readme.html", b"<html>"),
        (base + "data_batch_2", write(TRAIN[20:], LABELS[20:])),
        (base + "test_batch", write(TEST, LABELS[:20])),
    ]


@pytest.fixture
def cifar(tmp_path):
    return tar(tmp_path / "cifar10.tar.gz", cifar_members())


def jpeg(seed, size=(60, 45)):
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize(size).save(out, "JPEG", quality=95)
    return out.getvalue()


def pet_members():
    breeds = ["Bombay", "Maine_Coon", "beagle", "great_pyrenees"]
    numbered = [(breed, i) for breed in breeds for i in range(1, 9)]
    return [(f"images/{breed}_{i}.jpg", jpeg(k)) for k, (breed, i) in enumerate(numbered)]


@pytest.fixture
def pet(tmp_path):
    return tar(tmp_path / "pet.tar.gz", [*pet_members(), ("images/Bombay_1.mat", b"no image")])


# --- CIFAR-10


@pytest.mark.parametrize("write", [batch, batch_of_python_2])
def test_cifar_images_come_out_by_class_and_as_they_went_in(tmp_path, write):
    path = tar(tmp_path / "cifar10.tar.gz", cifar_members(write))
    found, names, unreadable = torchvision.read_archive("cifar10", path, ["cat", "ship"], "train")
    wanted = np.flatnonzero((LABELS == 3) | (LABELS == 8))
    assert np.array_equal(found, TRAIN[wanted])
    assert names[:2] == ["cat_data_batch_1_00003", "ship_data_batch_1_00008"]
    assert unreadable == []


def test_cifar_test_batch_is_the_test_set(cifar):
    found, names, _ = torchvision.read_archive("cifar10", cifar, ["non-cat"], "test")
    assert np.array_equal(found, TEST[LABELS[:20] != 3])
    assert all("test_batch" in name and not name.startswith("cat_") for name in names)


class Hostile:
    """Writes a pickle that runs a command when it is read as pickles are."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("place", ["data", "labels", "whole", "meta"])
def test_a_pickle_that_would_run_a_command_is_refused_before_it_does(tmp_path, place):
    target = tmp_path / "was_here"
    hostile = Hostile(target)
    whole = {"data": {b"data": hostile}, "labels": {b"labels": hostile}, "whole": hostile, "meta": hostile}[place]
    name = "cifar-10-batches-py/" + ("batches.meta" if place == "meta" else "data_batch_1")
    path = tar(tmp_path / "cifar10.tar.gz", [(name, pickle.dumps(whole, protocol=2))])
    with pytest.raises(ImageError, match=r"is refused: it asks for (posix|nt)\.system"):
        torchvision.read_archive("cifar10", path, ["cat"], "train")
    assert not target.exists()
    pickle.loads(pickle.dumps(whole, protocol=2))
    assert target.exists()  # the pickle was a live one


@pytest.mark.parametrize(
    "asked", [b"cbuiltins\neval\n", b"cnumpy\nload\n", b"cnumpy.core.multiarray\nfromfile\n", b"c_codecs\nlookup\n"]
)
def test_only_names_that_arrays_of_bytes_need_are_known(tmp_path, asked):
    path = tar(tmp_path / "c.tar.gz", [("x/data_batch_1", b"\x80\x02" + asked + b".")])
    with pytest.raises(ImageError, match="is refused: it asks for"):
        torchvision.read_archive("cifar10", path, ["cat"], "train")


BATCHES = {
    "no pickle": b"words",
    "cut short": batch(TRAIN[:2], [0, 1])[:-500],
    "no dictionary": pickle.dumps([1, 2], protocol=2),
    "no data": pickle.dumps({b"labels": [1]}, protocol=2),
    "fewer labels": batch(TRAIN[:2], [1]),
    "unknown class": batch(TRAIN[:2], [1, 10]),
    "negative class": batch(TRAIN[:2], [1, -1]),
    "no numbers": pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": ["cat"]}, protocol=2),
    "floats": pickle.dumps({b"data": np.zeros((1, 3072)), b"labels": [1]}, protocol=2),
    "signed bytes": pickle.dumps({b"data": np.zeros((1, 3072), np.int8), b"labels": [1]}, protocol=2),
    "other shape": pickle.dumps({b"data": np.zeros((3072, 1), np.uint8), b"labels": [1]}, protocol=2),
    "nonsense": b"\x80\x02cnumpy\ndtype\nK\x01b.",
    "objects": pickle.dumps({b"data": np.array([[None] * 3072]), b"labels": [1]}, protocol=2),
    "other size": pickle.dumps({b"data": np.zeros((1, 300), np.uint8), b"labels": [1]}, protocol=2),
    "column order": pickle.dumps({b"data": np.zeros((2, 3072), np.uint8, order="F"), b"labels": [1, 2]}, protocol=2),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_that_is_none_is_named(tmp_path, name):
    path = tar(tmp_path / "c.tar.gz", [("x/data_batch_1", BATCHES[name])])
    with pytest.raises(ImageError, match=r"c\.tar\.gz: x/data_batch_1 .*Delete the archive"):
        torchvision.read_archive("cifar10", path, ["non-ship"], "train")


def test_other_classes_than_cifar_10s_are_refused(tmp_path):
    path = tar(tmp_path / "c.tar.gz", [("x/batches.meta", meta(CLASSES[::-1]))])
    with pytest.raises(ImageError, match="has other classes than CIFAR-10's"):
        torchvision.read_archive("cifar10", path, ["cat"], "train")


# --- Oxford-IIIT Pet


def test_pets_are_chosen_by_breed_and_kind(pet):
    _, names, _ = torchvision.read_archive("oxford_iiit_pet", pet, ["cat non-bombay"], "train")
    assert names == [f"maine-coon_{i}.jpg" for i in (2, 4, 6, 8)]
    found, names, _ = torchvision.read_archive("oxford_iiit_pet", pet, ["bombay"], "test")
    assert names == [f"bombay_{i}.jpg" for i in (1, 3, 5, 7)]
    assert np.array_equal(found[1], images.decode(jpeg(2)))
    _, names, _ = torchvision.read_archive("oxford_iiit_pet", pet, ["Great-Pyrenees", "beagle"], "test")
    assert {name.partition("_")[0] for name in names} == {"great-pyrenees", "beagle"}


def test_training_and_test_pets_share_nothing_and_miss_nothing(pet):
    parts = [torchvision.read_archive("oxford_iiit_pet", pet, ["cat", "dog"], part)[1] for part in ("train", "test")]
    assert not set(parts[0]) & set(parts[1])
    assert len(parts[0]) == len(parts[1]) == 16


def test_unreadable_pets_are_refused_or_skipped_and_counted(tmp_path):
    path = tar(tmp_path / "pet.tar.gz", [*pet_members(), ("images/beagle_116.jpg", jpeg(1)[:300])])
    with pytest.raises(ImageError, match=r"1 of 9 images can't be read:\n  beagle_116.jpg: .*\n.*unreadable: skip"):
        torchvision.read_archive("oxford_iiit_pet", path, ["dog"], "train")
    found, names, unreadable = torchvision.read_archive("oxford_iiit_pet", path, ["dog"], "train", on_unreadable="skip")
    assert len(found) == len(names) == 8
    assert unreadable[0][0] == "beagle_116.jpg"


def test_nothing_that_matches_is_an_error(pet):
    with pytest.raises(ImageError, match="no train image of oxford_iiit_pet matches 'sphynx'"):
        torchvision.read_archive("oxford_iiit_pet", pet, ["sphynx"], "train")
    with pytest.raises(ValueError, match="did you mean bombay"):
        torchvision.read_archive("oxford_iiit_pet", pet, ["bombai"], "train")


def test_nothing_of_an_archive_is_written_or_followed(tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(jpeg(77))
    members = [("../images/Bombay_2.jpg", jpeg(1)), ("/images/Bombay_4.jpg", jpeg(2)), *pet_members()]
    for kind, name in ((tarfile.SYMTYPE, "images/Bombay_10.jpg"), (tarfile.LNKTYPE, "images/Bombay_12.jpg")):
        link = tarfile.TarInfo(name)
        link.type, link.linkname = kind, str(secret)
        members.append(link)
    folder = tmp_path / "inner"
    folder.mkdir()
    path = tar(folder / "pet.tar.gz", members)
    _, names, _ = torchvision.read_archive("oxford_iiit_pet", path, ["bombay"], "train")
    assert names == [f"bombay_{i}.jpg" for i in (2, 4, 6, 8)]  # pet_members' own, none of the four others
    assert sorted(tmp_path.iterdir()) == [folder, secret]
    assert list(folder.iterdir()) == [path]


# --- both


def test_a_member_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tar(tmp_path / "pet.tar.gz", [("images/beagle_2.jpg", b"\0" * 5000)])
    monkeypatch.setattr(torchvision, "MAX_MEMBER", 4999)
    with pytest.raises(ImageError, match=r"beagle_2\.jpg has 5,000 bytes; at most 4,999"):
        torchvision.read_archive("oxford_iiit_pet", path, ["dog"], "train")


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut short", "no tar inside"])
def test_a_damaged_archive_is_named(cifar, damage):
    if damage == "missing":
        cifar.unlink()
    else:
        whole = cifar.read_bytes()
        content = {"empty": b"", "text": b"words " * 200, "cut short": whole[: len(whole) // 2]}
        cifar.write_bytes(content.get(damage, gzip.compress(b"words " * 200)))
    with pytest.raises(ImageError, match=r"cifar10\.tar\.gz: missing, corrupt or not a tar archive .*downloaded again"):
        torchvision.read_archive("cifar10", cifar, ["cat"], "train")


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_a_wrong_bit_in_an_image_is_no_other_image(tmp_path):
    """gzip's checksum is at the end, past the two empty blocks that tar stops at."""
    tar(tmp_path / "packed.tar.gz", cifar_members(batch_of_python_2))
    content = gzip.compress(gzip.decompress((tmp_path / "packed.tar.gz").read_bytes()), 0)  # bytes as they are
    right = torchvision.read_archive("cifar10", tmp_path / "packed.tar.gz", ["cat"], "train")[0]
    place = content.index(TRAIN[3, :, :, 0].tobytes()[:64]) + 8  # a cat
    assert LABELS[3] == CLASSES.index("cat")
    (tmp_path / "a.tar.gz").write_bytes(content)
    assert np.array_equal(torchvision.read_archive("cifar10", tmp_path / "a.tar.gz", ["cat"], "train")[0], right)
    (tmp_path / "a.tar.gz").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(ImageError, match=r"a\.tar\.gz: missing, corrupt or not a tar archive \(CRC check failed"):
        torchvision.read_archive("cifar10", tmp_path / "a.tar.gz", ["cat"], "train")


def test_download_fetches_checks_and_does_not_fetch_again(cifar, tmp_path, monkeypatch):
    path = tmp_path / "downloads/cifar10.tar.gz"
    torchvision.download("cifar10", path, url=cifar.as_uri(), md5=md5(cifar).upper())
    assert path.read_bytes() == cifar.read_bytes()
    monkeypatch.setattr(torchvision, "_fetch", lambda *_: pytest.fail("fetched again"))
    torchvision.download("cifar10", path, url=cifar.as_uri(), md5=md5(cifar))


def test_a_damaged_download_is_fetched_anew(cifar, tmp_path):
    path = tmp_path / "again.tar.gz"
    path.write_bytes(b"half of it")
    torchvision.download("cifar10", path, url=cifar.as_uri(), md5=md5(cifar))
    assert path.read_bytes() == cifar.read_bytes()


def test_a_wrong_checksum_keeps_nothing_and_says_what_to_write(cifar, tmp_path):
    folder = tmp_path / "downloads"
    with pytest.raises(ImageError) as error:
        torchvision.download("cifar10", folder / "cifar10.tar.gz", url=cifar.as_uri(), md5="0" * 32)
    assert cifar.as_uri() in str(error.value)
    assert f"downloads.cifar10.md5: {md5(cifar)}" in str(error.value)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["file:///there/is/no/such.tar.gz", "http://127.0.0.1:9/x.tar.gz", "ftp://a/b", "x.tar"]
)
def test_an_address_that_gives_nothing_is_named_with_the_key_to_write(tmp_path, url):
    with pytest.raises(ImageError, match=r"write downloads\.cifar10\.url: .*file:///folder/cifar10\.tar\.gz") as error:
        torchvision.download("cifar10", tmp_path / "cifar10.tar.gz", url=url, md5="0" * 32)
    assert url in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dataset", "end"), [("cifar10", "/cifar-10-python.tar.gz"), ("oxford_iiit_pet", "/images.tar.gz")]
)
def test_addresses_and_checksums_are_torchvisions(dataset, end, tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")
    asked = []

    def fetch(url, path, _):
        asked.append(url)
        path.write_bytes(b"not the real archive")

    monkeypatch.setattr(torchvision, "_fetch", fetch)
    published = datasets.CIFAR10.tgz_md5 if dataset == "cifar10" else datasets.OxfordIIITPet._RESOURCES[0][1]
    with pytest.raises(ImageError, match=f"should be {published}"):
        torchvision.download(dataset, tmp_path / "x.tar.gz")
    assert asked[0].startswith("https://")
    assert asked[0].endswith(end)


def test_a_configuration_is_checked_without_importing_torch():
    code = "import sys, zoofuse.data.images, zoofuse.data.torchvision; sys.exit('torch' in sys.modules)"
    paths = os.pathsep.join(filter(None, [str(Path(torchvision.__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    assert subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}).returncode == 0


def test_concept_and_test_set_from_an_archive(pet, tmp_path):
    concept = SETTINGS | {
        "source": "torchvision",
        "dataset": "oxford_iiit_pet",
        "positive": ["cat non-bombay"],
        "negative": ["dog"],
    }
    attributes = images.prepare_concept(tmp_path / "cat.h5", concept, name="cat", seed=1, archive=pet)
    assert attributes["images"] == [4, 8]
    test = concept | {"positive": ["bombay"], "negative": ["non-bombay"], "leaks": "refuse"}
    attributes = images.prepare_test(
        tmp_path / "test.h5", test, [tmp_path / "cat.h5"], name="bombay", seed=1, archive=pet
    )
    assert attributes["images"] == [4, 12]
    arrays = files.read(tmp_path / "test.h5", "test_images")
    assert set(arrays["groups"]) == {"bombay", "maine-coon", "beagle", "great-pyrenees"}
