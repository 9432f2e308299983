# Adapters: zoofuse.workflow knows what follows from the configuration; here is what only Snakemake knows.
import functools
import inspect
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Where this workflow lies; `workflow.basedir` is the caller's folder where it is used as a module.
if not isinstance(workflow.current_basedir, os.PathLike):  # files of a repository elsewhere, fetched one by one
    raise WorkflowError(
        "zoofuse is used as a module from a local copy only, as its scripts need the whole folder. Clone it, and write "
        "the path of its Snakefile."
    )
HOME = Path(workflow.current_basedir).parents[1]
# The package needs no installation.
sys.path.insert(0, str(HOME / "workflow" / "src"))

from zoofuse import estimate, interruptions
from zoofuse.config import complete, files, is_overlay
from zoofuse.core import code, text
from zoofuse.workflow import netspace
from zoofuse.workflow.interpreter import interpreter_fault
from zoofuse.workflow.names import NAME, Refused, all_but, only
from zoofuse.workflow.params import calls, code_of, needs
from zoofuse.workflow.run import CLUSTERERS, LEADERBOARD, REPLICATES, Run

code.run_this_package()


def user_error(message):
    """The error that ends the call, in words for the user."""
    return WorkflowError(text.visible(str(message)))


def planned(config):
    """The run of a configuration. Looks at no folder of images: that is left to the rules that read them."""
    begun, main = config.pop("begun", None), workflow.is_main_process
    warn = functools.cache(lambda message: logger.warning(text.visible(message)))  # once for each call
    given = (workflow.configfiles, workflow.config_settings.config_args)
    try:
        run = Run(complete(config, files.read(*given) if main else None), main=main, warn=warn)
        if begun is not None:
            run.resume(str(begun))
        elif main:
            interruptions.end_on_hangup()
            run.count_zoos()
    except ValueError as error:  # worded for the user
        raise user_error(error) from None
    if begun is None:  # jobs on other nodes get the settings and sizes of zoos that this run began with
        workflow.config_settings.config_args = [*workflow.config_settings.config_args, f"begun={run.begun()}"]
    return run


def of(function, **fixed):
    """A function of the run as Snakemake calls it: with the wildcards that it names, and errors for users."""
    names = set(inspect.signature(function).parameters) - set(fixed)

    def call(wildcards):
        try:
            return function(**fixed, **{name: value for name, value in wildcards.items() if name in names})
        except Refused as error:
            # Snakemake passes over every other exception of an input function where the job's output is there.
            logger.error(text.visible(str(error)))
            raise SystemExit(1) from None
        except ValueError as error:
            raise user_error(error) from None

    return call


def shown(path, caption, category, **labels):
    """An output that `snakemake --report` shows."""
    group = {"subcategory": "{fusion}"} if "{fusion}" in path else {}
    return report(path, caption=f"../report/{caption}.rst", category=category, labels=labels, **group)


FAULT = interpreter_fault()


def check_interpreter():
    """Raises where no job could be started by this interpreter."""
    if FAULT and not workflow.deployment_settings.deployment_method:
        raise user_error(FAULT)
