"""Snakemake calls one after another, for test_commands: python dry_runs.py < calls.json > answers.json

Each call is a process of its own, forked from one that has done the imports, which cost more than a dry run.
"""

import json
import multiprocessing
import os
import sys
import tempfile

from snakemake import cli


def call(arguments: list[str]) -> tuple[int, str]:
    """Exit code and output of `snakemake ARGUMENTS`."""
    with tempfile.TemporaryFile("w+") as said:

        def run() -> None:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            cli.main(arguments)

        process = multiprocessing.get_context("fork").Process(target=run)
        process.start()
        process.join()
        said.seek(0)
        return process.exitcode, said.read()


if __name__ == "__main__":
    json.dump([call(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
