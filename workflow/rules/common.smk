# Functions only: what follows from the configuration, and what each stage depends on.
import functools
import itertools
import math
import os
import shutil
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

from zoofuse import config_files, estimate, interruptions
from zoofuse.core import code, text
from zoofuse.evaluation import foreign_predictions
from zoofuse.importers import foreign, imports
from zoofuse.methods import registry
from zoofuse.models.architectures import ARCHITECTURES
from zoofuse.preflight.folder_checks import count_zoo, folder_faults, folders_digest, made_from, models_made
from zoofuse.config import complete, is_overlay, sides
from zoofuse.core.files import digest
from zoofuse.data.folders import spelled

code.run_this_package()

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"  # as the schema's $defs.name
CLUSTERERS = ["kmeans", "dbscan", "one_class_svm"]


def default_config():
    """What lies under a configuration whose concepts name no images: images if it says where they are, else synthetic ones."""
    name = "photos.yaml" if "images_root" in config else "config.yaml"
    return str(HOME / "config" / name)


def told(message):
    """The error that ends the call, in words for the user."""
    return WorkflowError(text.visible(str(message)))


def refuse(message):
    """End the call in words, also where a file that exists would let Snakemake go on without the job.

    Snakemake passes over every exception of an input function where the job's output is there; this one it does not.
    """
    logger.error(text.visible(str(message)))
    raise SystemExit(1)


@functools.cache
def warn(message):
    """Log a warning once for each call of snakemake."""
    logger.warning(text.visible(message))


def checked(config):
    """The configuration with its defaults. Looks at no folder of images: that is left to the rules that read them."""
    begun = config.pop("begun", None)  # what a job on another node is told of the settings its run began with
    try:
        given = (workflow.configfiles, workflow.config_settings.config_args)
        config = complete(config, config_files.read(*given) if workflow.is_main_process else None)
    except ValueError as error:  # worded for the user
        raise told(error) from None
    settings = digest(config)
    existing = [concept for concept in config["concepts"].values() if "zoo" in concept]
    if begun is None:
        if workflow.is_main_process:
            interruptions.end_on_hangup()
            with foreign.reader():  # one child process for all of them
                for name, concept in config["concepts"].items():
                    concept["models"] = counted(config, name)
        # Jobs on other nodes are told the sizes of existing zoos, so that only those that import one look at it.
        sizes = ",".join(str(concept["models"] or "-") for concept in existing)
        workflow.config_settings.config_args = [*workflow.config_settings.config_args, f"begun={settings}/{sizes}"]
        return config
    begun, _, sizes = str(begun).partition("/")
    if begun != settings:
        raise told(
            "The configuration was changed while a run goes on, so its jobs that are left are not done. Run the same "
            "command again when it has ended: what was changed is done anew."
        )
    for concept, size in zip(existing, sizes.split(",") if existing else [], strict=True):
        concept["models"] = None if size == "-" else int(size)
    return config


# Snakemake starts each script by the interpreter's path without quotes around it. Where that can't work, the name that
# PATH finds it by can: `make run` and an activated environment put it there.
ODD = sorted(set(sys.executable) & set(" \t\n'\"$`&;|<>()\\"))
if ODD and os.path.dirname(shutil.which("python") or "") == os.path.dirname(sys.executable):
    sys.executable, ODD = "python", []


def check_interpreter():
    """Raises where no job could be started by this interpreter."""
    if ODD and not workflow.deployment_settings.deployment_method:
        raise told(
            f"The Python environment lies in {sys.executable}, and jobs can't be started from a path with "
            f"{' '.join(map(repr, ODD))}. Activate the environment (source .venv/bin/activate), or make it elsewhere."
        )


def counted(config, name):
    """How many CNNs a concept has; None where nobody can tell, as its existing zoo is gone, which ZOO_FAULTS says."""
    concept = config["concepts"][name]
    if "zoo" not in concept:
        return concept["models"]
    path = existing_path(config, concept["zoo"])
    try:
        return count_zoo(config, name)
    except ValueError as error:
        ZOO_FAULTS[name] = str(error)
        return models_made(Path(path), Path(f"results/zoo/{name}"), concept["models"])


ZOO_FAULTS = {}  # concept -> why its existing zoo can't be read


def models_of(concept):
    """CNNs of a concept's zoo: those that are asked for, else as many as its existing zoo holds."""
    of = config["concepts"][concept]
    if of["models"] is None and concept not in ZOO_FAULTS:
        of["models"] = counted(config, concept)
    if of["models"] is None:
        refuse(ZOO_FAULTS[concept])
    return of["models"]


# Code


def code_of(script):
    """The digest of the code that a rule's script runs: a parameter, so that an edit re-runs what depends on it."""
    return lambda wildcards: script_code(script)


@functools.cache
def script_code(script, functions=()):
    return code.digest(HOME / "workflow" / "scripts" / f"{script}.py", functions)


def method_code(wildcards):
    """As `code_of`, of the script that makes CNNs and of the one method that it calls."""
    make = registry.get(wildcards.method).make
    if make is None:
        return script_code("generate")
    return script_code("generate", (":".join([make.__module__, make.__qualname__.split(".")[0]]),))


def conv_layers():
    return ARCHITECTURES[config["zoo"]["architecture"]].conv_layers


@functools.cache
def shard_ranges(total, size):
    """Shard name -> (start, stop): static, so that a larger total only adds shards or lengthens the last one."""
    return {f"{start // size:04d}": (start, min(start + size, total)) for start in range(0, total, size)}


def known(named, name, what):
    if name not in named:
        raise told(f"There is no {what} {name!r} in the configuration; it has {', '.join(named) or 'none'}.")
    return named[name]


def trained_concepts():
    return [name for name, concept in config["concepts"].items() if "zoo" not in concept]


def only(names):
    """A wildcard constraint that holds for these names only."""
    return "|".join(names) or r"(?!)"


def all_but(names):
    """A wildcard constraint that holds for every other name, so that an unknown one is refused in words."""
    return rf"(?!(?:{only(names)})/){NAME}"


def all_but_methods(names):
    """As `all_but`, where the name is followed by a file's ending."""
    return rf"(?!(?:{only(names)})\.){NAME}"


def imported_concepts():
    return [name for name in config["concepts"] if name not in trained_concepts()]


def imported_fusions():
    return [name for name, fusion in config["fusions"].items() if "generators" in fusion]


include: "functions/images.smk"
include: "functions/zoos.smk"
include: "functions/fusions.smk"
include: "functions/evaluation.smk"
include: "functions/report.smk"
include: "functions/netspace.smk"
