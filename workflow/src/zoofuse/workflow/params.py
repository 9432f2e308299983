"""What rules depend on and ask for: the digest of their code, memory and time."""

import functools
from collections.abc import Callable, Sequence

from zoofuse.core import code
from zoofuse.methods import registry

MEMORY = 4000  # MB of a job's first attempt


def code_of(script: str, functions: Sequence[str] = ()) -> Callable[[object], str]:
    """A param: the digest of the code that a rule's script runs, so that an edit re-runs what depends on it.

    Arguments as `core.code.description` takes them, whose result the param is.
    """
    return lambda wildcards: _description(script, tuple(functions))  # a function: most calls plan few of the rules


_description = functools.cache(code.description)


def calls(function: str) -> dict:
    """The params of a rule that calls a function of the package: its name and the digest of its code.

    Args:
        function: such as "evaluation.jobs:leaderboard".
    """
    return {"function": f"zoofuse.{function}", "code": code_of("call", [f"zoofuse.{function}"])}


def method_code(method: str) -> str:
    """The digest of the script that generates CNNs and of the one method that it calls."""
    make = registry.get(method).make
    functions = [":".join([make.__module__, make.__qualname__.split(".")[0]])] if make else []
    return code_of("generate", functions)(None)


def needs(minutes: int, **more) -> dict:
    """What a job asks a cluster for: memory and time, with each attempt as much again.

    Args:
        minutes: of the first attempt.
        more: further resources, such as gpu.
    """

    def growing(first: int) -> Callable[[object, int], int]:
        return lambda wildcards, attempt: first * attempt

    return more | {"mem_mb": growing(MEMORY), "runtime": growing(minutes)}
