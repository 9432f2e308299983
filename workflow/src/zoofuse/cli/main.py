"""The command `zoofuse`: the workflow, its predictions and its files, from any folder. Thin over Snakemake."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence

import zoofuse
from zoofuse.core import text
from zoofuse.core.code import HOME

CONFIGURATION = "zoofuse.yaml"  # what `init` writes, and the others read where it lies in the current folder

HOW_MANY = ("--cores", "--jobs", "--profile", "--workflow-profile", "--executor", "-[cje].*")

ABOUT = """\
Train zoos of tiny CNNs on two concepts, such as blue and dress, generate CNNs for blue dresses from them, and
measure these beside their baselines.

  zoofuse init photos/blue photos/dress   write zoofuse.yaml for your folders of images
  zoofuse check                           check the folders before any training
  zoofuse plan                            show the jobs, and estimated wall time and disk space
  zoofuse run                             run everything, up to results/report.html
  zoofuse export                          export CNNs to results/models/
  zoofuse predict MODEL FOLDER            score the images of a folder by an exported CNN
  zoofuse push FOLDER user/repo           publish an exported CNN or a shared zoo on a model hub
  zoofuse info FILE                       say what a file is, and whether it is intact

Without zoofuse.yaml, run, plan, check and export work on synthetic images: try zoofuse plan in an empty folder.
"""

PASSED = """\
The configuration is zoofuse.yaml in this folder, or what --configfile names; without either, the images are
synthetic. All else that you write goes to snakemake (snakemake --help):

  zoofuse {name} --cores 4                     use four cores; all by default
  zoofuse {name} --configfile FILE             use another configuration
  zoofuse {name} --config seed=2               change a setting
  zoofuse {name} --directory FOLDER            write results/ into another folder
  zoofuse {name} --workflow-profile slurm      send jobs to a SLURM cluster
{more}"""

# Command -> what it gives to snakemake, what it does, and further examples.
SNAKEMAKE = {
    "run": (
        [],
        "Run the workflow. What is already made is kept, and interrupted work resumes.",
        "  zoofuse run results/tables/blue_dress/leaderboard.csv   make one file and whatever it needs\n"
        "  zoofuse run to_pytorch                    write the zoos as PyTorch state_dicts\n",
    ),
    "plan": (["-n"], "Show which jobs `zoofuse run` would start, and estimate their wall time and disk space.", ""),
    "check": (["check"], "Check the folders of images before any training. Report: results/check/report.html.", ""),
    "export": (
        ["models"],
        "Export a CNN of each method to results/models/: safetensors, ONNX and a model card. Runs what they need.",
        "  zoofuse export to_pytorch                 also write the zoos as PyTorch state_dicts\n",
    ),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows `zoofuse` on the command line; default: that of this process.

    Returns:
        The exit code: 0, or 1 after an error, which is on stderr.

    Raises:
        SystemExit: after `--help` and `--version`, with 0; 2 for arguments that no command takes.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    try:
        if given[:1] and given[0] in SNAKEMAKE and not {"-h", "--help"} & set(given):
            return _snakemake(SNAKEMAKE[given[0]][0], given[1:])
        parsed = parser.parse_args(given)
        if "call" not in parsed:
            parser.print_help()
            return 2
        return parsed.call(parsed)
    except ValueError as error:  # worded for users
        print(f"zoofuse: {text.visible(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    raw = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = argparse.ArgumentParser(
        "zoofuse", usage="zoofuse COMMAND ...", description=ABOUT, epilog="zoofuse COMMAND --help says more.", **raw
    )
    parser.add_argument("--version", action="version", version=f"zoofuse {zoofuse.__version__}, its workflow in {HOME}")
    commands = parser.add_subparsers(prog="zoofuse", metavar="COMMAND", help=argparse.SUPPRESS)

    def command(name: str, call: Callable, about: str, epilog: str = "", **more) -> argparse.ArgumentParser:
        one = commands.add_parser(name, description=about, epilog=epilog, **more, **raw)
        one.set_defaults(call=call)
        return one

    for name, (_, about, more) in SNAKEMAKE.items():
        usage = f"zoofuse {name} [arguments of snakemake]"
        command(name, None, about, PASSED.format(name=name, more=more), usage=usage)

    init = command(
        "init",
        _init,
        "Write a commented configuration for two to five folders of images, one for each concept.",
        "  zoofuse init photos/blue photos/dress\n"
        "  zoofuse init blue dress --negative other_colours other_clothes --test blue_dresses others\n\n"
        "Without --negative and --test it looks beside the folders for not_blue, blue_random and the like,\n"
        "and for test/yes and test/no.",
    )
    init.add_argument("folders", nargs="+", metavar="FOLDER", help="images that show the concept of the folder's name")
    init.add_argument("--negative", nargs="+", metavar="FOLDER", help="for each concept, images that do not show it")
    init.add_argument(
        "--test", nargs=2, metavar=("YES", "NO"), help="images that show all concepts at once, and others"
    )
    init.add_argument("--models", type=int, default=48, help="CNNs in each zoo (default: 48, for a first look)")
    init.add_argument("--output", default=CONFIGURATION, metavar="FILE", help=f"default: {CONFIGURATION}")

    predict = command(
        "predict",
        _predict,
        "Score every image of a folder by an exported CNN: a CSV, the highest score first, and a page with the images.",
        "  zoofuse predict results/models/blue_dress/distil photos/new\n\n"
        "writes predictions/blue_dress/distil.csv and .html. A score of at least the model's threshold is a yes.",
    )
    predict.add_argument("model", metavar="MODEL", help="folder of an exported CNN, or user/name of one on a model hub")
    predict.add_argument("folder", metavar="FOLDER", help="images, or folders of images; or one image")
    predict.add_argument("--output", default="predictions", metavar="FOLDER", help="default: predictions")
    predict.add_argument("--cores", type=int, metavar="N", default=os.cpu_count() or 1, help="default: all")

    push = command(
        "push",
        _push,
        "Upload an exported CNN or a shared zoo to a model hub, after checking its digests.",
        "  zoofuse push results/models/blue_dress/distil user/blue-dress\n"
        "  zoofuse push results/pytorch/blue user/blue-zoo --private\n\n"
        'It needs pip install "zoofuse[hub]", and once hf auth login. Others load the CNN in Python by\n'
        'zoofuse.load("user/blue-dress").',
    )
    push.add_argument("folder", metavar="FOLDER", help="of an exported CNN, or of a zoo that to_pytorch wrote")
    push.add_argument("repo", metavar="REPO", help="user/name; created if there is none")
    push.add_argument("--private", action="store_true", help="create a private repository")

    info = command(
        "info",
        _info,
        "Say what a file of zoofuse is: its kind, what it was made from, and whether its checksum holds.\n"
        "The exit code is 1 if it is corrupt, or not one of zoofuse's.",
        "  zoofuse info results/zoo/blue/shard-0000.h5\n"
        "  zoofuse info results/models/blue_dress/distil\n"
        "  zoofuse info results/tables/blue_dress/leaderboard.csv",
    )
    info.add_argument(
        "files", nargs="+", metavar="FILE", help="HDF5 files, tables, folders of models or of shared zoos"
    )
    return parser


def _snakemake(ours: list[str], given: list[str]) -> int:
    from snakemake import cli  # here, as it takes a second to import

    begin = list(ours)
    if not names(given, "--configfiles?") and os.path.exists(CONFIGURATION):
        begin += ["--configfile", CONFIGURATION]  # which takes all names up to the next option
    begin += ["--snakefile", zoofuse.snakefile()]
    if not names(given, *HOW_MANY):
        begin += ["--cores", "all"]
    # Jobs are started by the name `python` where this environment's path holds spaces.
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    try:
        cli.main([*begin, *given])
    except SystemExit as ended:
        return ended.code or 0
    return 0


def names(given: Sequence[str], *options: str) -> bool:
    """Whether one of these options, each a regular expression, stands on a command line."""
    return any(re.fullmatch(rf"({'|'.join(options)})(=.*)?", word, re.DOTALL) for word in given)


def _init(given: argparse.Namespace) -> int:
    from zoofuse.cli import init

    print(init.write(given.output, given.folders, given.negative, given.test, given.models))
    return 0


def _predict(given: argparse.Namespace) -> int:
    from zoofuse.cli import predict

    print(predict.write(given.model, given.folder, given.output, given.cores))
    return 0


def _push(given: argparse.Namespace) -> int:
    from zoofuse.export import hub

    commit = hub.push(given.folder, given.repo, private=given.private or None)
    print(f'Uploaded. This very version: zoofuse.load("{given.repo}@{commit}")')
    return 0


def _info(given: argparse.Namespace) -> int:
    from zoofuse.cli import info

    intact = True
    for path in given.files:
        words, good = info.about(path)
        print(text.visible(words))
        intact &= good
    return 0 if intact else 1


if __name__ == "__main__":
    sys.exit(main())
