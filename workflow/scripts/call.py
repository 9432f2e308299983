"""Call the function that a rule names with those of its wildcards, params and files that it takes."""

import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.methods import registry

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def named(files):
    """Name -> path or list of paths."""
    return {name: Path(path) if isinstance(path, str) else list(map(Path, path)) for name, path in files.items()}


if __name__ == "__main__":  # processes that a job starts read this file again
    with logs.job(snakemake.log[0], snakemake.params.code) as say:
        module, _, name = snakemake.params.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        registry.use(snakemake.params.get("variants", {}))
        given = dict(snakemake.wildcards.items()) | dict(snakemake.params.items())
        given |= named(snakemake.input) | named(snakemake.output)
        given |= {"inputs": named(snakemake.input), "outputs": named(snakemake.output)}
        given |= {"say": say, "threads": snakemake.threads}
        given |= {"device": snakemake.config["zoo"]["device"], "config": snakemake.config}
        function(**{key: value for key, value in given.items() if key in inspect.signature(function).parameters})
