"""Every setting: its name, default, bounds and meaning, and what a stage receives. Imports no torch.

A block of the configuration is a dataclass that checks itself (pydantic). The JSON schema that configurations are
checked by, the table in config/README.md and the settings of the stages all come from these classes, so a default
stands here and nowhere else.
"""

import functools

from pydantic import TypeAdapter

from zoofuse.settings.across import Across
from zoofuse.settings.board import Leaderboard
from zoofuse.settings.evaluation import Evaluation
from zoofuse.settings.factory import Factory
from zoofuse.settings.fields import JOINT as JOINT
from zoofuse.settings.fields import NAME, ONCE, Text, Whole, block, says
from zoofuse.settings.grid import Grid
from zoofuse.settings.images import Concept, Downloads, Fusion, Images, Synthetic, Variant
from zoofuse.settings.netspace import Netspace
from zoofuse.settings.tasks import Tasks
from zoofuse.settings.training import CycleGAN, Distil, Zoo


@block
class Configuration:
    seed: Whole = says(
        "Every random number of a run follows from this one and from names (concept, index of a CNN, epoch).", 1
    )
    replicates: list[Text] = says(
        "Folders of finished runs with the same settings and other seeds (made with snakemake "
        "--directory FOLDER --config seed=NUMBER ...); tables and a figure put them together with "
        "this run, and intervals then hold over seeds too.",
        [],
        extra=ONCE,
    )
    want: Text = says(
        'What a CNN is wanted for, over the words of the registry: --config want="black and not cat" trains what it '
        "takes and ends in results/models/black_and_not_cat, a gallery and the report (docs/tasks.md).",
        None,
    )
    registry: Text = says(
        "A file that says which zoos, folders or classes of a data set the words of `want` stand for (docs/tasks.md); "
        "relative to where snakemake is called. By default the words of synthetic images.",
        None,
    )
    images_root: Text = says(
        "The folder under which the folders of images lie; relative to where snakemake is called.", "."
    )
    zoo_root: Text = says(
        "The folder under which existing zoos and generators lie; relative to where snakemake is called.", "."
    )
    concepts: dict[str, Concept] = says(
        "What single CNNs learn to recognise, by name; each concept gets a zoo of CNNs.", min_length=1, extra=NAME
    )
    fusions: dict[str, Fusion] = says(
        "The concepts to join and the images that show all of them at once, by name.", {}, extra=NAME
    )
    # config.full_schema adds the options of each one's method.
    variants: dict[str, Variant] = says(
        "Methods with other options, under names for fusions.<name>.methods, such as distil_plain: "
        "{method: distil, remedies: []}.",
        {},
        extra=NAME,
    )
    grid: dict[str, Grid] = says(
        "Grids of conjunctions: attributes by objects with pairs held out, by name (snakemake grid).", {}, extra=NAME
    )
    tasks: dict[str, Tasks] = says(
        "Sets of binary tasks: some of the classes against the rest, by name (snakemake tasks).", {}, extra=NAME
    )
    across: dict[str, Across] = says(
        "Fusions from zoos of every two of some architectures, by the name of the fusion (snakemake across).",
        {},
        extra=NAME,
    )
    factory: dict[str, Factory] = says(
        "Factory zoos: CNNs of two or more classes with varied hyper-parameters, by name (snakemake factory).",
        {},
        extra=NAME,
    )
    leaderboard: Leaderboard = Leaderboard()
    images: Images = Images()
    synthetic: Synthetic = Synthetic()
    predict: Text = says("A folder of images for results/predictions/...; relative to where snakemake is called.", None)
    downloads: Downloads = Downloads()
    netspace: Netspace = Netspace()
    zoo: Zoo = Zoo()
    cyclegan: CycleGAN = CycleGAN()
    distil: Distil = Distil()
    evaluation: Evaluation = Evaluation()


@functools.cache
def schema(of: type = Configuration) -> dict:
    """The JSON schema of a configuration, or of a block of one, without references and in its simplest form."""
    root = TypeAdapter(of).json_schema()
    return _plain(root, root.get("$defs", {}))


def _plain(part: dict, named: dict) -> dict:
    """Without titles and references; a value that may be null has two types; a missing one has no default."""
    part = {key: value for key, value in part.items() if key not in ("title", "$defs")}
    if "$ref" in part:
        part = _plain(named[part.pop("$ref").rsplit("/", 1)[1]], named) | part
        if "default" in part:
            part["default"] = {}  # filled from its own settings
    if "anyOf" in part:
        one = _plain(part.pop("anyOf")[0], named)
        null = {"enum": [*one["enum"], None]} if "enum" in one else {"type": [one["type"], "null"]}
        part = one | part | null
    if "enum" in part:  # else a wrong type would be a second fault
        part.pop("type", None)
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict):
            part[key] = _plain(part[key], named)
    if "properties" in part:
        part["properties"] = {name: _plain(of, named) for name, of in part["properties"].items()}
    if (
        "default" in part
        and part["default"] is None
        and not {"null", None} & {*part.get("type", ()), *part.get("enum", ())}
    ):
        del part["default"]
    return part
