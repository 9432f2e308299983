"""Disks that are full or read-only, clocks that jump, two calls at once, and settings changed while a run goes on."""

import contextlib
import copy
import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from tiny_project import TINY, assert_same, begun, contents, copied

from zoofuse.core import files
from zoofuse.core.errors import FileError

SHARD = "results/zoo/cat/shard-0000.h5"


@contextlib.contextmanager
def mounted(*arguments: str):
    """A file system for the test; skips where mounting is not allowed."""
    if subprocess.run(["mount", *arguments], capture_output=True).returncode:
        pytest.skip("Mounting a file system needs root, and a container that allows it.")
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True)


def rubbish(folder) -> list:
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(whole, tmp_path, root):
    project = begun(tmp_path, root)
    (results := project.folder / "results").mkdir()
    with mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(results)):
        shutil.copytree(whole.folder / "results/images", results / "images", copy_function=shutil.copy2)
        filler = results / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as handle:
            while True:
                handle.write(bytes(4096))
        os.truncate(filler, filler.stat().st_size - 32768)  # logs have room, CNNs have not
        assert project.call(SHARD).wait() == 1
        assert "Traceback" not in project.said, project.said
        assert "can't be written (No space left on device). Make room" in project.said
        assert "results/zoo/cat/" in project.said.split("can't be written")[0].splitlines()[-1]
        assert not (project.folder / SHARD).exists()
        assert not rubbish(results)
        filler.unlink()
        assert project.call(SHARD).wait() == 0, project.said
        made = files.read(project.folder / SHARD, "zoo")
    for name, values in files.read(whole.folder / SHARD, "zoo").items():
        assert np.array_equal(made[name], values), name


def test_wherever_a_disk_gets_full_a_file_is_whole_or_not_there(tmp_path):
    drawn = np.random.default_rng(1)
    written, refused = 0, []
    with mounted("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)):
        for size in range(0, 10_000, 50):
            arrays = {"x": drawn.random(size), "names": np.array(["a", "bc"] * 5)}
            try:
                files.write(tmp_path / "a.h5", "zoo", arrays)
            except FileError as error:
                refused.append((str(error), list(tmp_path.iterdir())))
            else:
                written += 1
                assert np.array_equal(files.read(tmp_path / "a.h5", "zoo")["x"], arrays["x"])
                (tmp_path / "a.h5").unlink()
    assert 50 < written < 150
    assert all("a.h5: can't be written (No space left on device)" in said and not left for said, left in refused)


def test_read_only_results_are_named(whole, tmp_path):
    project = copied(whole, tmp_path / "copy")
    (project.folder / SHARD).unlink()
    before = contents(project)
    results = str(project.folder / "results")
    with mounted("--bind", results, results):
        subprocess.run(["mount", "-o", "remount,ro,bind", results], check=True)
        assert project.call(SHARD).wait() == 1
        assert "Traceback" not in project.said, project.said
        assert "results: the folder can't be written" in project.said
    assert_same(contents(project), before)


def test_two_calls_on_one_folder(whole, tmp_path, root):
    project = begun(tmp_path, root)
    first = project.call("results/images/cat.h5")
    while not list(project.folder.glob(".snakemake/locks/*")):
        assert first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGSTOP)  # else it might be done before the other has begun
    second = project.snakemake("results/images/cat.h5", config=TINY)
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stdout
    assert "no other Snakemake process" in second.stdout
    assert "--unlock" in second.stdout
    os.killpg(first.pid, signal.SIGCONT)
    assert first.wait() == 0
    made = files.read(project.folder / "results/images/cat.h5", "images")
    for name, values in files.read(whole.folder / "results/images/cat.h5", "images").items():
        assert np.array_equal(made[name], values), name


def test_a_clock_that_jumps_trains_nothing_anew(whole, tmp_path):
    """Every file gets a random time of three years, many of them still to come."""
    project, rng, now = copied(whole, tmp_path / "copy"), random.Random(1), time.time()
    wanted, days = contents(project), 86_400
    for path in sorted((project.folder / "results").rglob("*")) + sorted((project.folder / "photos").rglob("*")):
        stamp = now + rng.uniform(-730, 365) * days
        os.utime(path, (stamp, stamp))
    assert project.call().wait() == 0, project.said
    assert_same(contents(project), wanted)
    assert "Training the CycleGAN" not in project.said
    assert "CNNs trained" not in project.said
    # and what is really changed is noticed, whatever its time
    changed = project.folder / "photos/cat/added.png"
    shutil.copy(next((project.folder / "photos/black").iterdir()), changed)
    os.utime(changed, (0, 0))
    assert project.planned("results/images/cat.h5", config=TINY) == {"prepare_images": 1}


def test_settings_changed_while_a_run_goes_on(whole, tmp_path):
    project = copied(whole, tmp_path / "copy")
    before = contents(project)
    for folder in ("zero_shot", "tables"):
        shutil.rmtree(project.folder / "results" / folder)
    changed = copy.deepcopy(TINY)
    changed["evaluation"]["dbscan"] = {"eps": 0.01}
    running = project.call()
    while "Computing zero-shot predictions" not in project.said:
        assert running.poll() is None, project.said
        time.sleep(0.1)
    project.write(changed)
    assert running.wait() == 0, project.said
    assert_same(contents(project), before)  # it ends with what it began with
    again = project.planned("tables", config=changed)
    assert set(again) == {
        "tables", "evaluate_shard", "evaluate_references", "fusion_leaderboard", "clusterer_tables",
    }  # fmt: skip
    # A job on another node reads the file anew, and is told what the run began with.
    run = project.snakemake("-n", "tables", "--config", "begun=of-another-day", config=TINY)
    assert run.returncode == 1
    assert "The configuration was changed while a run goes on" in run.stdout
