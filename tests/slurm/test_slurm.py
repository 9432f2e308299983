"""The workflow by workflow/profiles/slurm and real sbatch jobs. One project, walked first, then struck by faults."""

import contextlib
import copy
import os
import signal
import time
from pathlib import Path

import cluster
import numpy as np
import pytest
from small_project import CONFIG

from zoofuse.core import files
from zoofuse.data import images
from zoofuse.zoo import training

pytestmark = pytest.mark.usefixtures("nothing_left")
TARGET = "results/tables/black_cat/summary.csv"
SHARDS = {"cat_0000", "cat_0001", "black_0000", "black_0001"}  # 6 and 5 CNNs in shards of 4


def configured(**zoo) -> dict:
    """CONFIG asking for GPUs, with one method and other settings of the zoo."""
    config = copy.deepcopy(CONFIG)
    config["zoo"] |= {"device": "auto", "threads": 1} | zoo
    config["fusions"]["black_cat"]["methods"] = ["cyclegan"]
    return config


def at_once(jobs: list[cluster.Job]) -> int:
    """GPUs in use at the busiest moment."""
    return max(sum(other.gpus for other in jobs if other.start <= job.start < other.end) for job in jobs)


def by_shard(jobs: list[cluster.Job]) -> dict[str, list[cluster.Job]]:
    shards: dict[str, list[cluster.Job]] = {}
    for job in jobs:
        shards.setdefault(job.what.split("wildcards_")[1], []).append(job)
    return shards


@pytest.fixture(scope="module")
def walked(project):
    """From images to tables; the test images are first given too little memory."""
    little = "prepare_test_images:mem_mb=60 if attempt == 1 else 2000 * attempt"
    project.run(TARGET, "--set-resources", little, config=configured())
    return project


def test_one_job_per_shard_on_no_more_gpus_than_there_are(walked):
    shards = by_shard(walked.jobs("train_zoo_shard"))
    assert set(shards) == SHARDS
    assert all(len(jobs) == 1 for jobs in shards.values()), shards
    trainings = walked.jobs("train_")
    assert len(trainings) == len(SHARDS) + 2  # and a CycleGAN for each conv layer
    assert all(job.gpus == 1 for job in trainings)
    assert at_once(trainings) == cluster.GPUS
    others = [job for job in walked.slurm.jobs(walked.folder) if not job.what.startswith("rule_train_")]
    assert all(job.gpus == 0 for job in others)
    # small jobs of the end share one
    assert len([job for job in others if "table" in job.what]) == 1


def test_a_cnn_trained_by_slurm_is_the_same_cnn(walked):
    made = files.read(walked.folder / "results/zoo/cat/shard-0001.h5", "zoo")
    zoo = configured()["zoo"]
    settings = training.Settings(epochs=zoo["epochs"], images_per_epoch=zoo["images_per_epoch"])
    data = training.Data(**images.read_concept(walked.folder / "results/images/cat.h5"))
    here = training.train(data, settings, 1, "cat", np.array([4, 5]))
    assert made["model"].tolist() == [4, 5]
    for name, values in here.weights.items():
        assert np.array_equal(made[name], values), name


def test_out_of_memory_is_tried_again_with_more(walked):
    first, second = walked.jobs("prepare_test_images")
    assert (first.state, first.memory) == ("FAILED", 60)
    assert (second.state, second.memory) == ("COMPLETED", 4000)


def test_a_second_run_submits_nothing(walked):
    before = walked.last()
    walked.run(TARGET, config=configured())
    assert "Nothing to be done" in walked.printed
    assert walked.last() == before


def process_of(job: cluster.Job, script: str) -> int | None:
    """The process that runs a job's script."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue
        if f"{script}.py".encode() in command and f"SLURM_JOB_ID={job.id}".encode() in environment.split(b"\0"):
            return int(entry.name)
    return None


def steps_of(jobs: set[int]) -> bool:
    """Whether SLURM's daemon of a step of these jobs is still there."""
    daemons = [name.encode() for job in jobs for name in (f"slurmstepd: [{job}.", f"slurmstepd: [{job}]")]
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cmdline").read_bytes().startswith(tuple(daemons)):
                return True
    return False


def test_failing_nodes_and_jobs_lose_nothing(walked):
    """The node goes down under two shards; then one runs out of time, one is cancelled, one killed."""
    before, slurm = walked.last(), walked.slurm
    call = walked.start("zoos", config=configured(epochs=3))

    def shards(state: str) -> list[cluster.Job]:
        return [job for job in walked.jobs("train_zoo_shard", before) if job.state == state]

    def running(n: int):
        return lambda: len(shards("RUNNING")) >= n and shards("RUNNING")

    downed = {job.id for job in walked.wait("two shards at once", running(cluster.GPUS), call)}
    slurm("scontrol", "update", f"NodeName={slurm.host}", "State=DOWN", "Reason=test")
    walked.wait("jobs taken off the node", lambda: not shards("RUNNING"), call)
    # A node that is up again at once would tell the end of a job's first start in the midst of its second.
    walked.wait("end of their steps", lambda: not steps_of(downed), call)
    time.sleep(3)  # a start less than a second after the end of the first one was at times told as failed
    walked.wait("node", slurm.resumed, call)
    for number in downed:  # else SLURM lets them wait two minutes
        slurm("scontrol", "update", f"JobId={number}", "StartTime=now")

    struck: dict[str, int] = {}
    faults = ["out of time", "cancelled", "killed"]  # the first takes a minute
    while faults:
        for job in walked.wait("a shard to strike", running(1), call):
            process = process_of(job, "train_zoo_shard")
            if job.id in struck.values() or process is None or not faults:
                continue
            fault = faults.pop(0)
            struck[fault] = job.id
            if fault == "out of time":
                os.kill(process, signal.SIGSTOP)  # it would be done long before its minute is over
                slurm("scontrol", "update", f"JobId={job.id}", "TimeLimit=1")
            elif fault == "cancelled":
                slurm("scancel", str(job.id))
            else:
                os.kill(process, signal.SIGKILL)
        time.sleep(0.1)
    walked.finish(call)

    jobs = {job.id: job for job in walked.jobs("train_zoo_shard", before)}
    assert {fault: jobs[number].state for fault, number in struck.items()} == {
        "cancelled": "CANCELLED", "killed": "FAILED", "out of time": "TIMEOUT",
    }  # fmt: skip
    assert all(jobs[number].restarts == 1 for number in downed)
    tried = by_shard(list(jobs.values()))
    assert set(tried) == SHARDS
    for tries in tried.values():
        *failed, last = tries
        assert last.state == "COMPLETED"
        assert not any(job.state == "COMPLETED" for job in failed)
        # more memory and more time with each attempt
        assert [job.memory for job in tries] == [4000 * attempt for attempt in range(1, len(tries) + 1)]
        assert last.minutes == 120 * len(tries)
    failed = {job.id: job.state for job in jobs.values() if job.state != "COMPLETED"}
    assert set(failed) == set(struck.values()), failed
    assert sum(len(tries) - 1 for tries in tried.values()) == len(struck)
    for concept, models in (("cat", 6), ("black", 5)):
        paths = sorted((walked.folder / "results/zoo" / concept).glob("shard-*.h5"))
        assert sum(len(files.read(path, "zoo")["model"]) for path in paths) == models


def test_ctrl_c_cancels_the_jobs_and_a_second_run_goes_on(walked):
    before = walked.last()
    config = configured(epochs=120, images_per_epoch=100, shard_size=12, backend="serial")  # seconds for each CNN
    config["concepts"]["cat"]["models"] = 12
    target = "results/zoo/cat/shard-0000.h5"
    call = walked.start(target, config=config)
    store = walked.folder / "results/zoo/cat/.trained"
    known = set(store.iterdir())
    walked.wait("a first CNN", lambda: set(store.glob("part-*.h5")) - known, call)
    call.send_signal(signal.SIGINT)
    walked.finish(call, code=1)
    (job,) = walked.jobs("train_zoo_shard", before)
    assert job.state == "CANCELLED"
    assert not walked.slurm("squeue", "--noheader").strip()
    assert not (walked.folder / target).exists()

    walked.run(target, config=config)
    assert len(files.read(walked.folder / target, "zoo")["model"]) == 12
    log = (walked.folder / "results/logs/train_zoo_shard/cat-0000.log").read_text()
    assert "of 12 CNNs are already trained" in log


def test_kill_9_leaves_a_job_that_harms_nothing(walked):
    """The worst that can be done next: the same command at once, beside the job that goes on."""
    before, target = walked.last(), "results/zoo/black/shard-0000.h5"
    config = configured(epochs=30, images_per_epoch=100, backend="serial")
    call = walked.start(target, config=config)
    store = walked.folder / "results/zoo/black/.trained"
    known = set(store.glob("part-*.h5"))
    walked.wait("a first CNN", lambda: set(store.glob("part-*.h5")) - known, call)
    call.kill()
    call.wait()
    (orphan,) = walked.jobs("train_zoo_shard", before)
    assert orphan.state == "RUNNING"
    walked.finish(walked.start(target, config=config), code=1)
    assert "--unlock" in walked.printed
    walked.run(target, "--unlock", config=config)
    walked.run(target, config=config)
    while walked.slurm("squeue", "--noheader").strip():
        time.sleep(0.3)
    assert [job.state for job in walked.jobs("train_zoo_shard", before)] == ["COMPLETED"] * 2
    made = files.read(walked.folder / target, "zoo")
    assert made["model"].tolist() == [0, 1, 2, 3]
    data = training.Data(**images.read_concept(walked.folder / "results/images/black.h5"))
    settings = training.Settings(epochs=30, images_per_epoch=100)
    here = training.train(data, settings, 1, "black", np.array([0, 3]), backend="serial")
    for name, values in here.weights.items():
        assert np.array_equal(made[name][[0, 3]], values), name
