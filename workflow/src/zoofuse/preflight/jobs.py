"""What rules call to check images before any training."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zoofuse.core import csv_files
from zoofuse.preflight import audit
from zoofuse.preflight.places import gather
from zoofuse.report import figures


def check_images(
    inputs: Mapping,
    sources: Mapping[str, Mapping],
    fusions: Mapping[str, Sequence[str]],
    policy: Mapping,
    balance: str,
    images_root: str,
    seed: int,
    threads: int,
    report: Path,
    sheets: Sequence[Path],
) -> None:
    """Write findings on all images, contact sheets and a page.

    Args:
        inputs: data set -> its archive.
        sources: place in the configuration -> what its images are made from.
        fusions: name -> its concepts.
        policy: the settings `images`.
        balance: the setting `zoo.balance`.
        images_root: the folder above all folders.
        seed: of the run.
        threads: to read images with.
        report: the page; tables are written beside it.
        sheets: a contact sheet of each place.
    """
    places = [
        gather(where, source, images_root, inputs.get(source["dataset"]), seed, threads)
        for where, source in sources.items()
    ]
    findings, named, strips = audit.check(places, fusions, policy, balance, seed)
    by_place = dict(zip(sources, sheets, strict=True))
    for where, sheet in by_place.items():
        figures.contact_sheet(strips[where], sheet)
    audit.write(report.parent, findings, named, by_place, places)


def check(findings: Path, say: Callable[[str], None] = print) -> None:
    """Print what the check of the images found."""
    for line in audit.lines(csv_files.read(findings).fillna({"advice": "", "message": ""})):
        say(line)
