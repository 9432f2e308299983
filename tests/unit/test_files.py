"""Files say what they are, are written whole, and are refused when they are not what a reader expects."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from zoofuse.core import csv_files, datasets, files, temporary
from zoofuse.core.errors import FileError
from zoofuse.core.temporary import atomic_folder, link_or_copy

FUZZ = int(os.environ.get("ZOOFUSE_FUZZ", "1"))

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
        (lambda data: data[: len(data) // 2], "truncated, corrupt or not HDF5"),
        (lambda data: b"", "truncated, corrupt or not HDF5"),
        (lambda data: b"\x89PNG not a zoo", "truncated, corrupt or not HDF5"),
        (
            lambda data: data.replace(ARRAYS["numbers"].tobytes(), b"\xff" * 24),
            r"corrupt .*\(checksum mismatch\)",
        ),
        (lambda data: data[512:], r"an older version \(it has no checksum\)"),
        (lambda data: b"Z" + data[1:], r"\(checksum mismatch\)"),  # a wrong bit does not turn the check off
    ],
)
def test_damaged_files_are_refused_by_name(path, damage, message):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileError, match=message) as error:
        files.read(path, "zoo")
    assert str(path) in str(error.value)
    assert "will be regenerated" in str(error.value)


def test_foreign_other_kind_other_version_and_missing_are_refused(path, tmp_path, monkeypatch):
    with h5py.File(tmp_path / "foreign.h5", "w") as handle:
        handle["numbers"] = [1]
    with pytest.raises(FileError, match="not one of zoofuse's"):
        files.read(tmp_path / "foreign.h5", "zoo")
    with pytest.raises(FileError, match="holds 'zoo', expected 'images'"):
        files.read(path, "images")
    with pytest.raises(FileError, match="has no fc1"):
        files.read(path, "zoo", ["fc1"])
    for version, writer in ((1, "an older"), (99, "another")):
        with monkeypatch.context() as patch:
            patch.setattr(files, "FORMAT_VERSION", version)
            files.write(path, "zoo", ARRAYS)
        with pytest.raises(FileError, match=rf"written by {writer} zoofuse \(.*, format {version}; .*Delete results/"):
            files.read(path, "zoo")
    with pytest.raises(FileError, match="no such file"):
        files.read(tmp_path / "missing.h5", "zoo")


def flipped(path, places):
    """The file with one wrong bit after another, changed in place."""
    content = path.read_bytes()
    with open(path, "rb+", buffering=0) as file:
        for place in places:
            os.pwrite(file.fileno(), bytes([content[place // 8] ^ 1 << place % 8]), place // 8)
            yield place
            os.pwrite(file.fileno(), content[place // 8 : place // 8 + 1], place // 8)


def test_no_wrong_bit_is_read_not_even_in_attributes(path):
    """All of the first 512 bytes, which turn the check on, and one of every further byte; all with ZOOFUSE_FUZZ=8."""
    size, rng, each = path.stat().st_size, random.Random(16), min(8, FUZZ)
    places = [*range(8 * 512), *(8 * i + bit for i in range(512, size) for bit in rng.sample(range(8), each))]
    refused = 0
    for place in flipped(path, places):
        for read in (files.read, files.attributes):
            try:
                read(path, "zoo")
            except FileError as error:
                assert "checksum mismatch" in str(error)  # noqa: PT017
                refused += 1
            else:
                pytest.fail(f"bit {place} was read")
    assert refused == 2 * len(places)
    assert files.attributes(path, "zoo") == {"settings": {"lr": 0.01, "list": [1, 2]}}


def test_a_file_that_was_checked_is_checked_again_when_it_has_changed(path, monkeypatch):
    monkeypatch.setattr(files, "_STABLE_AFTER", 0.02)
    os.utime(path, (0, 0))
    time.sleep(0.05)
    known = len(files._verified)
    assert files.attributes(path, "zoo")
    assert len(files._verified) == known + 1
    content = path.read_bytes()
    path.write_bytes(content.replace(b"0.01", b"0.02"))
    os.utime(path, (0, 0))
    with pytest.raises(FileError, match="checksum mismatch"):
        files.attributes(path, "zoo")


class TestSomeRows:
    """A part of a large file is read, and verified, without the rest."""

    ROWS = np.arange(60_000, dtype=np.float32).reshape(600, 100)
    NAMES = np.array([f"CNN {i}" for i in range(600)])

    @pytest.fixture
    def large(self, tmp_path):
        files.write(tmp_path / "a.h5", "zoo", {"rows": self.ROWS, "names": self.NAMES}, seed=1)
        return tmp_path / "a.h5"

    @pytest.mark.parametrize("rows", [range(100, 150), range(0), [3], [599, 0, 7, 7, 8], np.arange(600)])
    def test_are_those_of_the_whole(self, large, rows):
        some, chosen = files.read(large, "zoo", rows=rows), np.array(rows, int)
        assert np.array_equal(some["rows"], self.ROWS[chosen])
        assert some["names"].tolist() == self.NAMES[chosen].tolist()
        assert files.shapes(large, "zoo") == {"rows": (600, 100), "names": (600,)}

    def test_outside_the_file_are_refused(self, large):
        with pytest.raises(FileError, match="dataset names has no rows 600 to 600"):
            files.read(large, "zoo", ["names"], rows=[600])

    def test_every_wrong_bit_of_them_is_noticed_and_no_other_byte_is_read(self, large):
        content = large.read_bytes()
        first = content.index(self.ROWS[100].tobytes())
        last = first + self.ROWS[100:150].nbytes
        noticed = {}
        for place in range(100, len(content), 4096):
            large.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            try:
                assert np.array_equal(files.read(large, "zoo", ["rows"], range(100, 150))["rows"], self.ROWS[100:150])
                noticed[place] = False
            except FileError as error:
                assert "checksum mismatch" in str(error)  # noqa: PT017
                noticed[place] = True
        assert all(noticed[place] for place in noticed if first <= place < last)
        assert not all(noticed.values())

    @pytest.mark.parametrize("cut", [1, 32, 5000, 200_000])
    def test_of_half_a_file_are_refused(self, large, cut):
        large.write_bytes(large.read_bytes()[:-cut])
        with pytest.raises(FileError, match="checksum mismatch"):
            files.read(large, "zoo", rows=[0])

    def test_written_in_blocks_make_the_same_file(self, large, tmp_path):
        with files.create(tmp_path / "b.h5", "zoo", seed=1) as writer:
            for start in range(0, 600, 70):
                part = slice(start, start + 70)
                writer.append({"rows": self.ROWS[part], "names": self.NAMES[part]}, of=600)
        assert files.fingerprint(tmp_path / "b.h5") == files.fingerprint(large)
        for name, values in files.read(tmp_path / "b.h5", "zoo").items():
            assert np.array_equal(values, files.read(large, "zoo")[name])

    @pytest.mark.parametrize("rows", [599, 601])
    def test_that_are_too_few_or_too_many_make_no_file(self, tmp_path, rows):
        with (
            pytest.raises(ValueError, match=rf"{rows} rows of"),
            files.create(tmp_path / "b.h5", "zoo") as writer,
        ):
            writer.append({"rows": np.zeros((rows, 100))}, of=600)
        assert list(tmp_path.iterdir()) == []

    def test_a_file_of_an_earlier_version_is_still_read(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as handle:
            handle.attrs["kind"], handle.attrs["format_version"] = "zoo", files.FORMAT_VERSION
            handle.create_dataset("rows", data=self.ROWS).attrs["sha256"] = datasets.digest(self.ROWS)
        content = (tmp_path / "a.h5").read_bytes()[512:]
        (tmp_path / "a.h5").write_bytes(files._header(hashlib.sha256(content).hexdigest()) + content)
        assert np.array_equal(files.read(tmp_path / "a.h5", "zoo")["rows"], self.ROWS)
        assert np.array_equal(files.read(tmp_path / "a.h5", "zoo", rows=[5])["rows"], self.ROWS[[5]])


class TestNamesThatAreNoFiles:
    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("elsewhere", path)])
    def test_are_refused_when_read(self, tmp_path, make):
        make(tmp_path / "a.h5")
        with pytest.raises(FileError, match=r"a folder, not a file|not a regular file|link to elsewhere"):
            files.read(tmp_path / "a.h5", "zoo")

    def test_a_folder_is_not_written_over(self, tmp_path):
        (tmp_path / "a.h5").mkdir()
        with pytest.raises(FileError, match=r"a\.h5: can't be written \(Is a dir.*\)\. A folder has this"):
            files.write(tmp_path / "a.h5", "zoo", ARRAYS)
        assert rubbish(tmp_path) == []

    def test_a_file_where_a_folder_is_needed(self, tmp_path):
        (tmp_path / "a").write_text("")
        for below in ("a/b.h5", "a/b/c.h5"):
            with pytest.raises(FileError, match=r"be written \((Not a dir.*|File exists)\)\. Check its name"):
                files.write(tmp_path / below, "zoo", ARRAYS)

    @pytest.mark.parametrize("target", ["elsewhere", "there", "."])
    def test_a_link_is_replaced_and_what_it_names_is_left_alone(self, tmp_path, target):
        (tmp_path / "there").write_text("kept")
        (tmp_path / "a.h5").symlink_to(target)
        if target == ".":
            with pytest.raises(FileError, match="A folder has this name"):
                files.write(tmp_path / "a.h5", "zoo", ARRAYS)
            return
        files.write(tmp_path / "a.h5", "zoo", ARRAYS)
        assert not (tmp_path / "a.h5").is_symlink()
        assert (tmp_path / "there").read_text() == "kept"
        assert not (tmp_path / "elsewhere").exists()

    def test_long_names(self, tmp_path):
        for name in ("é" * 127, "a" * 255):
            files.write(tmp_path / name, "zoo", ARRAYS)
            assert set(files.read(tmp_path / name, "zoo")) == set(ARRAYS)
        with pytest.raises(FileError, match=r"can't be written \(File name too long\)\. Check its name"):
            files.write(tmp_path / ("a" * 256), "zoo", ARRAYS)
        assert rubbish(tmp_path) == []


def rubbish(folder):
    return [path for path in folder.rglob(".*") if path.name.endswith(".tmp")]


WRITER = """
import os, signal, sys, time
from zoofuse.core.temporary import atomic_path
with atomic_path(sys.argv[1]) as path:
    path.write_text(sys.argv[2])
    print(path, flush=True)
    sys.stdin.readline()
"""


def writer(path, text, *before):
    """A process in the middle of writing; its temporary file. It finishes on a line of input."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", WRITER, str(path), text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, Path(process.stdout.readline().strip())


class TestTemporaryFiles:
    def test_a_killed_process_s_goes_with_the_next_write_and_a_living_one_s_stays(self, tmp_path):
        killed, left = writer(tmp_path / "a.h5", "half")
        stopped, used = writer(tmp_path / "a.h5", "whole")
        assert left != used
        killed.kill()
        killed.wait()
        assert left.exists()
        os.kill(stopped.pid, signal.SIGSTOP)
        files.write(tmp_path / "b.h5", "zoo", ARRAYS)
        assert (left.exists(), used.exists()) == (False, True)
        os.kill(stopped.pid, signal.SIGCONT)
        stopped.communicate("\n")
        assert (stopped.returncode, (tmp_path / "a.h5").read_text()) == (0, "whole")
        assert rubbish(tmp_path) == []

    def test_two_containers_of_one_name_and_one_process_number(self, tmp_path):
        apart = ("unshare", "--pid", "--fork", "--kill-child")
        if subprocess.run([*apart, "true"], capture_output=True).returncode:
            pytest.skip("Process namespaces need root, and a container that allows them.")
        (one, first), (two, second) = (writer(tmp_path / "a.h5", text, *apart) for text in ("one", "two"))
        assert first != second
        files.write(tmp_path / "b.h5", "zoo", ARRAYS)  # to which the processes of both do not exist
        for process, text in ((one, "one"), (two, "two")):
            process.communicate("\n")
            assert (process.returncode, (tmp_path / "a.h5").read_text()) == (0, text)
        assert rubbish(tmp_path) == []

    def test_of_another_machine_go_after_a_week(self, tmp_path, monkeypatch):
        left = [tmp_path / f".a.h5.{name}.tmp" for name in ("01234567.0123456789abcdef", "host.123")]
        for path in left:
            path.write_text("half")
        files.write(tmp_path / "a.h5", "zoo", ARRAYS)
        assert all(path.exists() for path in left)
        monkeypatch.setattr(temporary, "_STALE", 0.05)
        time.sleep(0.1)
        files.write(tmp_path / "a.h5", "zoo", ARRAYS)
        assert rubbish(tmp_path) == []

    def test_what_only_has_such_a_name_is_left_alone(self, tmp_path, monkeypatch):
        monkeypatch.setattr(temporary, "_STALE", -1e9)
        ours = f"{temporary._machine()}.0123456789abcdef"
        (tmp_path / f".a.h5.{ours}.tmp").mkdir()
        (tmp_path / f".b.h5.{ours}.tmp").symlink_to("a.h5")
        os.mkfifo(tmp_path / f".c.h5.{ours}.tmp")
        for name in (".a.h5.tmp", ".a.h5.host.12x.tmp", ".a.h5..tmp", ".a.h5.\n.tmp", "a.h5.7.tmp"):
            (tmp_path / name).write_text("not ours")
        before = sorted(tmp_path.iterdir())
        files.write(tmp_path / "a.h5", "zoo", ARRAYS)
        assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "a.h5"])

    def test_many_processes_write_one_file_and_tidy_up_at_once(self, tmp_path):
        body = (
            "import sys, numpy as np\nfrom zoofuse.core import files\n"
            "for i in range(40): files.write(sys.argv[1], 'zoo', {'x': np.full(1000, i)})"
        )
        for _ in range(4):
            (tmp_path / f".a.h5.{temporary._machine()}.{os.urandom(8).hex()}.tmp").write_text("of a killed one")
        processes = [subprocess.Popen([sys.executable, "-c", body, str(tmp_path / "a.h5")]) for _ in range(3)]
        assert [process.wait() for process in processes] == [0, 0, 0]
        assert (files.read(tmp_path / "a.h5", "zoo")["x"] == 39).all()
        assert rubbish(tmp_path) == []

    def test_a_folder_is_replaced_whole_and_a_killed_process_s_goes(self, tmp_path):
        (tmp_path / f".zoo.{temporary._machine()}.0123456789abcdef.tmp").mkdir()
        for text in ("one", "two"):
            with atomic_folder(tmp_path / "zoo") as folder:
                (folder / text).write_text(text)
        with pytest.raises(KeyError), atomic_folder(tmp_path / "zoo") as folder:
            raise KeyError
        assert [path.name for path in tmp_path.rglob("*")] == ["zoo", "two"]

    def test_a_second_name_of_a_file(self, path, tmp_path):
        (tmp_path / "b.h5").write_text("old")
        link_or_copy(path, tmp_path / "b.h5")
        assert path.samefile(tmp_path / "b.h5")
        assert rubbish(tmp_path) == []


def as_nobody(function, *arguments) -> str:
    """What a user without rights is told; where tests run without root, this one."""
    ours, theirs = os.pipe()
    if (child := os.fork()) == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            function(*arguments)
            said = "done"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(theirs, said.encode())
        os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    with open(ours, "rb") as file:
        return file.read().decode()


def test_permissions_are_not_damage(tmp_path):
    folder = Path(tempfile.mkdtemp())  # which every user can reach
    try:
        files.write(folder / "a.h5", "zoo", ARRAYS)
        csv_files.write(folder / "a.csv", pd.DataFrame({"n": [1]}))
        folder.chmod(0o555)
        for name in ("a.h5", "a.csv"):
            (folder / name).chmod(0)
        for reading in ((files.read, folder / "a.h5", "zoo"), (csv_files.read, folder / "a.csv")):
            said = as_nobody(*reading)
            assert said.startswith(f"AccessError: {reading[1]}: can't be read (Permission denied). Give this user")
            assert "elete" not in said
        said = as_nobody(files.write, folder / "b.h5", "zoo", ARRAYS)
        assert said.startswith(
            f"FileError: {folder / 'b.h5'}: can't be written (Permission denied). Make room, or make"
        )
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
