"""Pages with a section and plots for each zoo: zoo_report.html and leaderboard.html, which extend zoos.html."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from zoofuse.core.temporary import atomic_path
from zoofuse.report import charts, pages
from zoofuse.report.embedded import as_json, library, packed_library


def write(name: str, report: Path, zoos: Sequence[dict], **context) -> None:
    """Write such a page.

    Args:
        name: of the template.
        report: the HTML.
        zoos: what the template shows of each zoo: name, data (its figures, packed) and more.
        context: further variables of the template.
    """
    html = pages.render(
        name,
        shared=["plots.css", "plots.js", "zoos.js"],
        scripts=[library("plotly")],
        styles_at_run_time=True,
        zoos=zoos,
        templates=Markup(as_json(charts.templates()).replace("<", "\\u003c")),
        plotly=packed_library("plotly"),
        **context,
    )
    with atomic_path(report) as temporary:
        temporary.write_text(html, encoding="utf-8")


def listed(paths: Path | Sequence[Path]) -> list[Path]:
    """The files of a job's input, which is one path or several."""
    return [paths] if isinstance(paths, Path) else list(paths)
