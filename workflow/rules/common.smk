# Adapters: zoofuse.workflow knows what follows from the configuration; here is what only Snakemake knows.
import functools
import inspect
import os
import re
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

# Of this file, not of the Snakefile that is called: that may use this workflow as a module.
RULES = workflow.current_basedir
LOCAL = isinstance(RULES, os.PathLike)  # else files of a repository elsewhere, fetched one by one
PACKAGE = RULES.join("../src/zoofuse/__init__.py")
CLONE = LOCAL and os.path.exists(PACKAGE)
if CLONE:  # its package needs no installation
    sys.path.insert(0, os.path.abspath(RULES.join("../src")))

try:
    import zoofuse
except ModuleNotFoundError as error:
    if error.name != "zoofuse":
        raise
    raise WorkflowError(
        "The zoofuse package isn't installed, and the workflow's scripts need it. Run pip install zoofuse in this "
        "environment, or write the path of a clone's Snakefile."
    ) from None

from zoofuse import interruptions
from zoofuse.config import complete, files, is_overlay
from zoofuse.core import code, text
from zoofuse.models.architectures import BANK
from zoofuse.workflow import estimate, netspace
from zoofuse.workflow.interpreter import interpreter_fault
from zoofuse.workflow.names import NAME, Refused, all_but, only
from zoofuse.workflow.params import calls, code_of, needs
from zoofuse.workflow.run import CLUSTERERS, LEADERBOARD, REPLICATES, Run

code.run_this_package()
HOME = code.HOME

if not LOCAL or (CLONE and not os.path.samefile(PACKAGE, zoofuse.__file__)):
    with workflow.sourcecache.open(PACKAGE) as file:
        version = re.search('__version__ = "(.*)"', file.read())[1]
    if version != zoofuse.__version__:
        raise WorkflowError(
            f"The workflow is that of zoofuse {version}, and zoofuse {zoofuse.__version__} is installed. Run pip install "
            f"zoofuse=={version}, or name the tag v{zoofuse.__version__} of the workflow."
        )


def user_error(message):
    """The error that ends the call, in words for the user."""
    return WorkflowError(text.visible(str(message)))


def planned(config):
    """The run of a configuration. Looks at no folder of images: that is left to the rules that read them."""
    begun, main = config.pop("begun", None), workflow.is_main_process
    warn = functools.cache(lambda message: logger.warning(text.visible(message)))  # once for each call
    try:
        # Jobs are given what the main process has looked through, with --config as it was typed.
        written = files.read(workflow.configfiles if main else (), workflow.config_settings.config_args)
        run = Run(complete(config, written), main=main, warn=warn, results=placed("results"))
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


def laid_over(default, config):
    """A configuration on top of the one in the file `default`."""
    with open(default, encoding="utf-8") as file:
        whole = yaml.safe_load(file)
    update_config(whole, config)
    return whole


def placed(path):
    """A path in the params, under the `prefix` of a module as outputs are."""
    return workflow.modifier.path_modifier.replace_prefix(path)


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


def half_the_cores(wildcards):
    """Threads of training jobs that come in numbers: two at once waste no core while one of them starts or reads."""
    here = workflow.is_main_process and workflow.local_exec
    return min(run.threads, max(1, workflow.cores // 2)) if here else run.threads


def shown(path, caption, category, **labels):
    """An output that `snakemake --report` shows."""
    group = {"subcategory": "{fusion}"} if "{fusion}" in path else {}
    return report(path, caption=f"../report/{caption}.rst", category=category, labels=labels, **group)


FAULT = interpreter_fault()


def check_interpreter():
    """Raises where no job could be started by this interpreter."""
    if FAULT and not workflow.deployment_settings.deployment_method:
        raise user_error(FAULT)
