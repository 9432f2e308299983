"""Files say what they are, are written whole, and are refused when they are not what a reader expects."""

import os
import socket
import subprocess

import h5py
import numpy as np
import pytest

from zoofuse import files

NUMBERS = np.arange(6, dtype=np.float32).reshape(2, 3)
ARRAYS = {"numbers": NUMBERS, "deep/names": np.array(["ä", "b"]), "one": np.array(3)}


@pytest.fixture
def path(tmp_path):
    files.write(tmp_path / "a.h5", "zoo", ARRAYS, settings={"lr": 0.01, "list": [1, 2]})
    return tmp_path / "a.h5"


def test_round_trip(path):
    read = files.read(path, "zoo")
    assert set(read) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert np.array_equal(read[name], array)
        assert read[name].dtype.kind == array.dtype.kind
    assert files.attributes(path, "zoo") == {"settings": {"lr": 0.01, "list": [1, 2]}}


def test_empty_strings_round_trip(tmp_path):
    files.write(tmp_path / "a.h5", "images", {"none": np.array([], dtype=str)})
    assert files.read(tmp_path / "a.h5", "images")["none"].shape == (0,)


def test_same_content_same_bytes_and_fingerprint(path, tmp_path):
    files.write(tmp_path / "b.h5", "zoo", dict(reversed(ARRAYS.items())), settings={"list": [1, 2], "lr": 0.01})
    assert files.fingerprint(path) == files.fingerprint(tmp_path / "b.h5")
    changed = ARRAYS | {"numbers": ARRAYS["numbers"] + 1}
    files.write(tmp_path / "c.h5", "zoo", changed)
    assert files.fingerprint(path) != files.fingerprint(tmp_path / "c.h5")
    assert files.fingerprint(path, ["deep/names"]) == files.fingerprint(tmp_path / "c.h5", ["deep/names"])


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(path, tmp_path):
    before = path.read_bytes()
    with pytest.raises(TypeError):
        files.write(path, "zoo", {"numbers": np.zeros(3)}, settings=object())
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "truncated, damaged or not HDF5"),
        (lambda data: b"", "truncated, damaged or not HDF5"),
        (lambda data: b"\x89PNG not a zoo", "truncated, damaged or not HDF5"),
        (
            lambda data: data.replace(ARRAYS["numbers"].tobytes(), b"\xff" * 24),
            r"damaged .*\(its digest does not match\)",
        ),
        # a file of before, without a digest of the whole
        (lambda data: data[512:].replace(ARRAYS["numbers"].tobytes(), b"\xff" * 24), "dataset numbers is damaged"),
    ],
)
def test_damaged_files_are_refused_by_name(path, damage, message):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(files.FileError, match=message) as error:
        files.read(path, "zoo")
    assert str(path) in str(error.value)
    assert "will be regenerated" in str(error.value)


def test_a_file_of_before_is_read(path):
    path.write_bytes(path.read_bytes()[512:])
    test_round_trip(path)


def test_foreign_other_kind_other_version_and_missing_are_refused(path, tmp_path, monkeypatch):
    with h5py.File(tmp_path / "foreign.h5", "w") as handle:
        handle["numbers"] = [1]
    with pytest.raises(files.FileError, match="not one of zoofuse's"):
        files.read(tmp_path / "foreign.h5", "zoo")
    with pytest.raises(files.FileError, match="holds 'zoo', expected 'images'"):
        files.read(path, "images")
    with pytest.raises(files.FileError, match="has no fc1"):
        files.read(path, "zoo", ["fc1"])
    monkeypatch.setattr(files, "FORMAT_VERSION", 99)
    files.write(path, "zoo", ARRAYS)
    monkeypatch.undo()
    with pytest.raises(files.FileError, match="format version 99"):
        files.read(path, "zoo")
    with pytest.raises(files.FileError, match="no such file"):
        files.read(tmp_path / "missing.h5", "zoo")


def test_what_a_killed_process_left_goes_with_the_next_write(path, tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    host = socket.gethostname()
    left = {n: tmp_path / f".a.h5.{n}.tmp" for n in (f"{host}.{gone.pid}", f"{host}.{os.getppid()}", "other.1")}
    for file in left.values():
        file.write_text("half")
    files.write(path, "zoo", ARRAYS)
    assert [file.exists() for file in left.values()] == [False, True, True]
