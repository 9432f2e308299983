"""Calls of snakemake: a line of JSON for each on stdin (arguments, folder, environment), one for its end on stdout.

Each call is a process of its own, forked from one that has done the imports, which cost more than a dry run. zoofuse is
not among them: a call imports the one that its environment and its Snakefile lead to.
"""

import json
import multiprocessing
import os
import resource
import sys
import tempfile

import h5py  # noqa: F401
import numpy as np  # noqa: F401
import pydantic.dataclasses  # noqa: F401
from snakemake import cli

PATH = [place for place in sys.path if place != os.path.dirname(os.path.abspath(__file__))]


def used() -> float:
    """CPU seconds of all calls so far, and of what they started and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def call(arguments: list[str], folder: str = ".", environment: dict[str, str] | None = None) -> tuple[int, str, float]:
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
            cli.main(arguments)

        process = multiprocessing.get_context("fork").Process(target=run)
        before = used()
        process.start()
        process.join()
        said.seek(0)
        return process.exitcode, said.read(), used() - before


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(call(*json.loads(line))), flush=True)
