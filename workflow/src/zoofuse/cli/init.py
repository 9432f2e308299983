"""`zoofuse init`: a commented configuration for folders of images."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from zoofuse.core.text import printable
from zoofuse.data import folders as data_folders

NEGATIVES = ("not_{}", "non_{}", "no_{}", "{}_random", "other_{}")  # looked for beside the folder of a concept
POSITIVE_TESTS, NEGATIVE_TESTS = ("yes", "positive"), ("no", "negative", "other", "others")  # in a folder `test` there
MOST = 5  # concepts of a fusion

TEXT = """\
# Written by zoofuse init. Next: zoofuse check, zoofuse plan, zoofuse run.
# The folder under which all others lie, seen from where these commands are called:
images_root: {root}

concepts:
{concepts}
# CNNs are generated for images that show all concepts at once. No such image may be among the positives above.
fusions:
  {fusion}:
    concepts: [{names}]
    test: # never trained on
      positive: [{yes}] # show all concepts at once{yes_note}
      negative: [{no}] # show some of them, or none{no_note}

# Any other setting goes below, for example:
# seed: 2
# zoo: {{epochs: 10}}
# images: {{unreadable: skip}}
"""
CONCEPT = """\
  {name}:
    positive: [{positive}] # show it{positive_note}
    negative: [{negative}] # do not show it{negative_note}
    models: {models} # CNNs in its zoo
"""


def write(
    output: str,
    positive: Sequence[str],
    negative: Sequence[str] | None = None,
    test: Sequence[str] | None = None,
    models: int = 48,
) -> str:
    """Write a configuration for folders of images.

    Args:
        output: the file, which must not be there yet.
        positive: a folder for each concept, with images that show it; the concept has the folder's name.
        negative: for each concept, a folder of images that do not show it. By default a folder such as not_blue beside
            blue or, where there is none, the positives of the other concepts.
        test: folders of images that show all concepts at once, and of others. By default those in a folder `test`
            beside the first concept's; where there are none, their names are written for the user to fill.
        models: CNNs in each zoo.

    Returns:
        What was written and what to do next.

    Raises:
        ValueError: a folder is missing, too many or too few are named, or the file is there already.
    """
    if not 2 <= len(positive) <= MOST:
        raise ValueError(f"init: {len(positive)} folders; name two to {MOST}, one for each concept.")
    if negative and len(negative) != len(positive):
        raise ValueError(f"init: --negative names {len(negative)} folders; name {len(positive)}, one for each concept.")
    named = [_there(folder) for folder in positive]
    names = [
        re.sub(r"[^A-Za-z0-9_-]+", "_", folder.name).lstrip("_-") or f"concept{i}" for i, folder in enumerate(named)
    ]
    if len(set(names)) < len(names):
        raise ValueError(f"init: two folders are called {printable(named[0].name)}; concepts need names of their own.")
    without = [_there(folder) for folder in negative] if negative else [_beside(folder) for folder in named]
    beside = named[0].parent / "test"
    joined = ("_".join(names), "_".join(reversed(names)))
    yes, no = (
        map(_there, test) if test else (_first(beside, (*POSITIVE_TESTS, *joined)), _first(beside, NEGATIVE_TESTS))
    )
    missing = [] if yes and no else [yes or beside / "yes", no or beside / "no"]
    yes, no = missing or (yes, no)

    root = Path(os.path.commonpath([*named, *filter(None, without), yes, no]))

    def listed(*of: Path) -> str:
        return ", ".join(_scalar(folder.relative_to(root).as_posix()) for folder in of)

    blocks = []
    for name, folder, others in zip(names, named, without, strict=True):
        of_others = [others] if others else [other for other in named if other != folder]
        blocks.append(
            CONCEPT.format(
                name=_scalar(name),
                positive=listed(folder),
                positive_note=_count(folder),
                negative=listed(*of_others),
                negative_note=_count(*of_others) if others else "; better: a folder of all sorts of other images",
                models=models,
            )
        )
    here = os.path.relpath(root)
    content = TEXT.format(
        root=_scalar(str(root) if here.startswith("..") else here),
        concepts="".join(blocks),
        fusion=_scalar(joined[0]),
        names=", ".join(map(_scalar, names)),
        yes=listed(yes),
        no=listed(no),
        yes_note=_count(yes),
        no_note=_count(no),
    )
    try:
        with open(output, "x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        raise ValueError(
            f"init: {printable(output)} is there already. Delete it, or name another file with --output."
        ) from None
    except OSError as error:
        raise ValueError(f"init: {printable(output)} can't be written ({error.strerror}).") from None
    return _next(output, names, [name for name, others in zip(names, without, strict=True) if not others], missing)


def _next(output: str, names: Sequence[str], without: Sequence[str], missing: Sequence[Path]) -> str:
    lines = [f"Wrote {printable(output)}: {' and '.join(names)}."]
    if without:
        lines.append(
            f"  No images without {' or '.join(without)} were named, so those of the other concepts are taken. Better: "
            f"make a folder of all sorts of images, such as {NEGATIVES[0].format(without[0])}, and write it there."
        )
    if missing:
        yes, no = (printable(os.path.relpath(folder)) for folder in missing)
        lines.append(f"  First put images that show {' and '.join(names)} at once into {yes}, and others into {no}.")
    more = "" if os.path.basename(output) == "zoofuse.yaml" else f" --configfile {printable(output)}"
    lines += [
        "Next:",
        f"  zoofuse check{more}   check the folders",
        f"  zoofuse plan{more}    show the jobs, and how long they will take",
        f"  zoofuse run{more}     run everything, up to results/report.html",
    ]
    return "\n".join(lines)


def _there(folder: str) -> Path:
    """The folder's whole path, as the disk spells it."""
    path = data_folders.spelled(os.path.abspath(os.path.expanduser(folder)))
    if not path.is_dir():
        raise ValueError(f"init: there is no folder {printable(folder)}. Name folders of images.")
    return path


def _first(place: Path, names: Sequence[str]) -> Path | None:
    return next((place / name for name in names if (place / name).is_dir()), None)


def _beside(folder: Path) -> Path | None:
    return _first(folder.parent, [name.format(folder.name) for name in NEGATIVES])


def _count(*folders: Path) -> str:
    """How many images they hold, to follow a comment."""
    if not all(folder.is_dir() for folder in folders):
        return "; put some there"
    n = sum(len(data_folders.walk(folder).images) for folder in folders)
    return f": {n:,} images"


def _scalar(value: str) -> str:
    """Text as YAML reads it back, in quotes where it has to be."""
    plain = re.fullmatch(r"[A-Za-z0-9./][A-Za-z0-9_./-]*", value) and yaml.safe_load(value) == value
    return value if plain else yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**6).strip()
