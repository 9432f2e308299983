"""Jobs that share GPUs, with devices by name only."""

import itertools
import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import pytest
import torch

from zoofuse.core import devices

fork = multiprocessing.get_context("fork")  # a child has torch at once
DEVICES = ("GPU-first", "GPU-second")


def hold(folder, names, found, seconds):
    """A job: claim a device, tell which one and when, end."""
    index = devices.claim(names, folder, poll=0.01)
    start = time.monotonic()
    (folder / f"claimed-by-{os.getpid()}").touch()
    time.sleep(seconds)
    found.put((index, start, time.monotonic()))


def started(job, folder):
    """Start a job and wait until it has its device."""
    job.start()
    while not (folder / f"claimed-by-{job.pid}").exists():
        time.sleep(0.01)
    return job


def test_jobs_never_overlap_on_a_device(tmp_path):
    found = fork.Queue()
    jobs = [fork.Process(target=hold, args=(tmp_path, DEVICES, found, 0.1)) for _ in range(8)]
    for job in jobs:
        job.start()
    times = sorted(found.get(timeout=30) for _ in jobs)
    assert {index for index, *_ in times} == {0, 1}  # both are used
    for (before, _, end), (after, start, _) in itertools.pairwise(times):
        assert before != after or end <= start
    for job in jobs:
        job.join()


def test_a_killed_job_frees_its_device(tmp_path):
    found = fork.Queue()
    killed = started(fork.Process(target=hold, args=(tmp_path, DEVICES[:1], found, 60)), tmp_path)
    waiting = fork.Process(target=hold, args=(tmp_path, DEVICES[:1], found, 0))
    waiting.start()
    time.sleep(0.3)
    assert found.empty()  # it waits
    os.kill(killed.pid, signal.SIGKILL)
    assert found.get(timeout=10)[0] == 0
    killed.join()
    waiting.join()


def test_a_device_is_one_whatever_its_number(tmp_path):
    """Two jobs that are shown the same GPU under different numbers."""
    found = fork.Queue()
    holder = started(fork.Process(target=hold, args=(tmp_path, DEVICES, found, 0.5)), tmp_path)
    hold(tmp_path, DEVICES[::-1], found, 0)  # its number 0 is the holder's number 1
    assert sorted(found.get(timeout=10)[0] for _ in range(2)) == [0, 0]
    holder.join()


@pytest.fixture(autouse=True)
def let_go():
    yield
    while devices._held:
        devices._held.pop().release()


def test_a_process_keeps_its_gpu(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(devices.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(DEVICES))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(uuid=DEVICES[i]))
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    found = fork.Queue()
    other = started(fork.Process(target=hold, args=(tmp_path, DEVICES, found, 1)), tmp_path)
    assert devices.choose_device() == "cuda"
    assert devices.choose_device("cuda") == "cuda"
    assert taken == [1]
    assert devices.choose_device("cpu") == "cpu"
    other.join()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu():
    assert devices.choose_device() == "cpu"
    assert not devices._held
    with pytest.raises(ValueError, match="write device: auto or device: cpu"):
        devices.choose_device("cuda")
