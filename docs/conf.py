"""Sphinx configuration. Build with make docs, then open docs/_build/index.html."""

import io
import re
import sys
from pathlib import Path

from docutils.core import publish_doctree
from sphinx.util import logging

SOURCE = Path(__file__).parents[1] / "workflow/src"
PACKAGE = SOURCE / "zoofuse"
sys.path.insert(0, str(SOURCE))

project = "zoofuse"
version = re.search(r'__version__ = "(.*)"', (PACKAGE / "__init__.py").read_text()).group(1)
release = version
copyright = "the authors of zoofuse"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True  # broken links are errors
nitpick_ignore_regex = [("py:.*", ".*")]  # types of other packages, in signatures
suppress_warnings = ["ref.python"]  # a type that several modules name, in signatures
napoleon_use_ivar = True  # attributes as a list of fields, described once
autodoc_default_options = {"members": True, "member-order": "bysource"}
smartquotes = False  # default values are shown exactly as written
highlight_language = "text"  # for code blocks without a language: commands
html_theme = "furo"
html_title = f"zoofuse {version}"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#b84a00", "color-brand-content": "#b84a00"},
    "dark_css_variables": {"color-brand-primary": "#ff9350", "color-brand-content": "#ff9350"},
}


def add_modules(app, docname: str, source: list[str]) -> None:
    """Append every module of a subpackage to its page, so that a new module needs no edit here."""
    folder, _, room = docname.rpartition("/")
    if folder != "api" or room == "index":
        return
    for path in sorted((PACKAGE / room).rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        if name != f"zoofuse.{room}":
            source[0] += f"\n## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"


def check_pages(app) -> None:
    """Warn about subpackages without a page."""
    for path in PACKAGE.glob("*/__init__.py"):
        if not (Path(app.srcdir) / f"api/{path.parent.name}.md").exists():
            logging.getLogger(__name__).warning("docs/api/%s.md is missing", path.parent.name)


def accept_plain_text(app, what, name, obj, options, lines: list[str]) -> None:
    """Show a docstring as it was typed where it is not valid reStructuredText.

    Runs after napoleon. Docstrings are written for readers of the source; a stray asterisk in one
    should not fail the build.
    """
    errors = io.StringIO()
    settings = {"warning_stream": errors, "report_level": 2, "halt_level": 5, "env": app.env}
    publish_doctree("\n".join(lines), settings_overrides=settings)
    if errors.getvalue():
        lines[:] = [f"| {line}" if line.strip() else "|" for line in map(escaped, lines)] + [""]


def escaped(line: str) -> str:
    """A line of text without markup."""
    return re.sub(r"([\\*`|_])", r"\\\1", line)


def setup(app) -> None:
    app.connect("source-read", add_modules)
    app.connect("builder-inited", check_pages)
    app.connect("autodoc-process-docstring", accept_plain_text, priority=900)
