"""The leaderboard of a configuration: what is wrong with it beside what a schema can say. Imports no torch."""

import difflib
import shlex
from collections.abc import Iterator, Mapping

from zoofuse.methods.generators import registry
from zoofuse.models.network import NETWORKS

SIMPLE = "simple"
"""The job of all methods that take seconds; every other method has a job of its name."""


def faults(config: dict) -> Iterator[str]:
    """One line for each fault, with what to write instead.

    Args:
        config: with its defaults, and without what a schema refuses.
    """
    board = config["leaderboard"]
    known = registry.known()
    for name in board["zoos"]:
        yield from _zoo_faults(config, name)
    for name in board["fusions"]:
        if name not in config["fusions"]:
            yield f"leaderboard.fusions: {name!r} is unknown; write some of {', '.join(config['fusions']) or 'none'}."
    methods = [name for name, entry in known.items() if not entry.control]
    for name in board["generators"]:
        if name not in methods:
            close = difflib.get_close_matches(name, methods, 1)
            hint = f"; did you mean {close[0]}?" if close else "."
            yield f"leaderboard.generators: {name!r} is unknown; write some of {', '.join(methods)}{hint}"
    for name, submission in board["methods"].items():
        if name in known or name == SIMPLE or name.startswith(f"{registry.NOISE}_"):
            yield f"leaderboard.methods.{name}: is the name of a method or a control; write another one."
        try:
            shlex.split(submission["command"])
        except ValueError as error:
            yield f"leaderboard.methods.{name}.command: can't be read ({error}); close every quote."


def _zoo_faults(config: Mapping, name: str) -> Iterator[str]:
    every = [*config["factory"], *config["concepts"]]
    if name not in every:
        yield f"leaderboard.zoos: {name!r} is unknown; write some of {', '.join(every)}."
        return
    settings = config["factory"].get(name) or config["concepts"][name]
    if settings.get("zoo"):
        yield f"leaderboard.zoos: {name} is an existing zoo without images, so its networks can't be measured."
    architecture = settings.get("architecture") or config["zoo"]["architecture"]
    if not settings.get("layers") and architecture not in NETWORKS:
        known = ", ".join(NETWORKS)
        yield f"leaderboard.zoos: {name} has networks of {architecture}, no chain of layers; write one of {known}."
    activation = settings.get("factors", {}).get("activation", "relu")
    if not isinstance(activation, str):
        yield f"leaderboard.zoos: {name} has networks of several activations; write one: factory.{name}.factors."
    models, seeds, held_out = settings.get("models"), *(config["leaderboard"][key] for key in ("seeds", "held_out"))
    if isinstance(models, int) and models < 2 * seeds * held_out:
        yield (
            f"leaderboard.held_out: {name} has {models} networks, {models // seeds} for each of {seeds} seeds, and "
            f"{held_out} are more than half of these; write at most {models // seeds // 2}, or more models."
        )
