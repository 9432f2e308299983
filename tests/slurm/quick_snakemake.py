"""snakemake, asking SLURM every second what became of its jobs, and not 11, 21, ... 180 seconds after nothing did."""

import asyncio

from snakemake import cli
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def sleep(self) -> None:
    await asyncio.sleep(1)


if __name__ == "__main__":
    RemoteExecutor.sleep = sleep
    cli.main()
