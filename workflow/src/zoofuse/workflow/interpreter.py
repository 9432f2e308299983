"""The interpreter that jobs are started with."""

import os
import shutil
import sys


def interpreter_fault() -> str | None:
    """Let jobs be started also from a path that holds spaces and the like.

    Snakemake starts each script by the interpreter's path without quotes around it. Where that
    can't work, the name that PATH finds it by can: `make run` and an activated environment put it
    there, and then this sets sys.executable to that name.

    Returns:
        Why no job can be started, and what to do.
    """
    odd = sorted(set(sys.executable) & set(" \t\n'\"$`&;|<>()\\"))
    if not odd:
        return None
    if os.path.dirname(shutil.which("python") or "") == os.path.dirname(sys.executable):
        sys.executable = "python"
        return None
    return (
        f"The Python environment lies in {sys.executable}, and jobs can't be started from a path with "
        f"{' '.join(map(repr, odd))}. Activate the environment (source .venv/bin/activate), or make it elsewhere."
    )
