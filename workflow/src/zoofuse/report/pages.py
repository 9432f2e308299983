"""HTML pages that ask nothing of a network and run no script but their own, whatever names they show."""

import base64
import functools
import hashlib
import importlib.resources
import re
from collections.abc import Iterable

from markupsafe import Markup

from zoofuse.core import text
from zoofuse.core.templates import template

_SURROGATES = re.compile("[\ud800-\udfff]")


def render(
    name: str,
    *,
    shared: Iterable[str] = (),
    scripts: Iterable[str] = (),
    styles_at_run_time: bool = False,
    **context,
) -> str:
    """A page from the package's `name`.html, which extends base.html, with base.css, `name`.css and `name`.js.

    Every value is escaped for HTML, and its control characters become visible. The page's content security policy
    allows the page's own script and `scripts` by their SHA-256 and no other: neither inline handlers nor links to
    javascript: nor eval; no address can be asked for anything.

    Args:
        name: of the template: report, check, gallery, zoo_report or leaderboard.
        shared: further files of the package, such as plots.js, that come before the page's own.
        scripts: texts that the page's script may add as script elements.
        styles_at_run_time: the page's scripts set styles (Plotly does), so that styles can't be allowed by their hash.
        context: the template's variables, besides policy, style and script, which are set here.

    Returns:
        The HTML.
    """
    assets = ["base.css", *shared, f"{name}.css", f"{name}.js"]
    style, script = ("".join(_asset(asset) for asset in assets if asset.endswith(kind)) for kind in (".css", ".js"))
    hashes = [_source(content) for content in (script, *scripts) if content]
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(hashes) or "'none'",
        "style-src": "'unsafe-inline'" if styles_at_run_time else _source(style),
        "img-src": "data:",
        "connect-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    filters = {"value": _value, "heading": heading}
    options = {"folder": "templates", "filters": filters, "autoescape": True, "finalize": shown}
    return template("zoofuse.report", f"{name}.html", **options).render(
        context,
        # No quotes but single ones and nothing from outside, so that nothing in it needs to be escaped.
        policy=Markup("; ".join(f"{directive} {sources}" for directive, sources in policy.items())),
        style=Markup(style),
        script=Markup(script),
    )


def shown(value):
    """A value as a page shows it: in text, control characters become visible and what UTF-8 can't hold U+FFFD.

    Args:
        value: anything; lists and mappings are taken apart, keys included, and all but text is left as it is.
    """
    if type(value) is str:
        return _visible(value)
    if isinstance(value, dict):
        return {shown(key): shown(item) for key, item in value.items()}
    return [shown(item) for item in value] if isinstance(value, list | tuple) else value


def heading(column: str) -> str:
    """A column's or setting's name in words."""
    return str(column).replace("_", " ")


@functools.lru_cache(100_000)
def _visible(value: str) -> str:
    return text.visible(_SURROGATES.sub("\ufffd", value))


def _value(cell, digits: int | None) -> str:
    if cell is None:
        return "–"  # noqa: RUF001
    if digits is None or (digits == 0 and abs(cell) < 10_000):
        return str(cell)
    return f"{cell:,.{digits}f}"


def _source(content: str) -> str:
    """What a content security policy calls a script or style of this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    asset = importlib.resources.files("zoofuse.report").joinpath("templates", name)
    return asset.read_text(encoding="utf-8") if asset.is_file() else ""
