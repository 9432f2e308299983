"""Calls of snakemake: a line of JSON for each on stdin (arguments, folder, environment), one for its end on stdout.

Each call is a process of its own, forked from one that has done the imports, which cost more than a dry run. So are its
jobs, which read the script that snakemake wrote for them as the interpreter would. zoofuse is not among the imports: a
call, and each job, imports the one that its environment and its Snakefile lead to.
"""

import concurrent.futures.thread
import json
import logging
import multiprocessing
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile

import h5py  # noqa: F401
import matplotlib.figure  # noqa: F401
import numpy as np  # noqa: F401
import pandas  # noqa: F401
import pydantic.dataclasses  # noqa: F401
import sklearn.cluster
import sklearn.linear_model
import sklearn.svm  # noqa: F401
import torch
from snakemake import cli, script
from snakemake.benchmark import benchmarked
from threadpoolctl import threadpool_limits

fork = multiprocessing.get_context("fork")
PATH = [place for place in sys.path if place != os.path.dirname(os.path.abspath(__file__))]
POOLS = [f"{library}_NUM_THREADS" for library in ("OMP", "GOTO", "OPENBLAS", "MKL", "NUMEXPR")]


def used() -> float:
    """CPU seconds of all calls so far, and of what they started and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def call(
    arguments: list[str], folder: str = ".", environment: dict[str, str] | None = None, fork_jobs: bool = False
) -> tuple[int, str, float]:
    """Exit code, output and CPU seconds of `python -m snakemake ARGUMENTS` in a folder."""
    with tempfile.TemporaryFile("w+", errors="replace") as said:

        def run() -> None:
            for stream, place in enumerate((os.open(os.devnull, os.O_RDONLY), said.fileno(), said.fileno())):
                os.dup2(place, stream)
            os.chdir(folder)
            if environment is not None:
                os.environ.clear()
                os.environ.update(environment)
            named = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
            here = [] if os.environ.get("PYTHONSAFEPATH") else [os.getcwd()]
            sys.path[:] = [*here, *named, *PATH]
            sys.argv[:] = ["snakemake", *arguments]
            if fork_jobs:
                script.PythonScript.execute_script = execute
            cli.main(arguments)

        process = fork.Process(target=run)
        before = used()
        process.start()
        process.join()
        said.seek(0)
        return process.exitcode, said.read(), used() - before


def execute(self: script.PythonScript, fname: str, edit: bool = False) -> None:
    """What snakemake runs `python FNAME` for, in a fork."""
    process = fork.Process(target=_job, args=(fname, self.threads, self.resources.get("tmpdir")))
    process.start()
    if self.bench_record is None:
        process.join()
    else:
        with benchmarked(process.pid, self.bench_record):
            process.join()
    if process.exitcode:
        raise subprocess.CalledProcessError(process.exitcode, f"python {fname}")


def _job(fname: str, threads: int, scratch: str | None) -> None:
    """As `snakemake.shell` starts it: so many threads in each pool, and a folder for temporary files."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    logging.root.handlers.clear()
    concurrent.futures.thread._threads_queues.clear()  # of snakemake's threads, which this process lacks
    os.environ |= dict.fromkeys(POOLS, str(threads))
    os.environ |= dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), scratch) if scratch else {}
    tempfile.tempdir = None
    threadpool_limits(threads)
    torch.set_num_threads(threads)
    for name in [name for name in sys.modules if name.split(".")[0] == "zoofuse"]:  # what the Snakefile made of it
        del sys.modules[name]
    sys.argv[:] = [fname]
    runpy.run_path(fname, run_name="__main__")


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(call(*json.loads(line))), flush=True)
