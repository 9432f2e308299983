"""The house: rooms, what they may import, how long a file may be, and that every method says all about itself."""

import ast
from pathlib import Path

import pytest

import zoofuse
from zoofuse.methods import registry

PACKAGE = Path(zoofuse.__file__).parent
# A room imports only rooms that stand before it.
ROOMS = (
    *("core", "data", "models", "settings", "native", "zoo", "methods", "importers", "evaluation", "report", "export"),
    *("config_files", "config_renamed", "config", "config_table", "preflight", "netspace", "benchmarks"),
    *("interruptions", "workflow", "cli"),
)
LINES = 500


def room(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imported(path: Path) -> set[str]:
    """The rooms that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "zoofuse":
            inner = node.module.split(".")[1:]
            found |= {inner[0]} if inner else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("zoofuse.")}
    return found


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.name != "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_arrow_points_up(path):
    allowed = ROOMS[: ROOMS.index(room(path)) + 1]
    assert not sorted(imported(path) - set(allowed)), f"{room(path)} stands below these rooms"


def test_rooms_and_arrows_are_few():
    arrows = {(room(path), other) for path in FILES for other in imported(path) if other != room(path)}
    assert len({room(path) for path in FILES}) <= 25
    assert len(arrows) <= 80


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_file_is_a_warehouse(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES


@pytest.mark.parametrize("name", registry.known())
def test_every_method_is_complete(name):
    method = registry.get(name)
    assert method.label
    assert method.about.endswith(".")
    assert callable(method.make) or not method.is_generated
    assert method.effort != "own rule" or method.is_generated


def test_a_name_is_registered_once_and_facts_are_known_words():
    with pytest.raises(ValueError, match="registered twice"):
        registry.baseline("always_no", label="x", about="x.")
    with pytest.raises(ValueError, match="phone is unknown"):
        registry.method("other", label="x", role="generated", about="x.", needs=("phone",))(lambda job: None)
