"""The code that decides a job's numbers, as one digest, so that an edit re-runs what depends on it and nothing else.

Snakemake re-runs a job whose parameters changed. This digest is one of them: it covers the job's script, every
function, class and constant of the package that the script reaches by name, and the C++ sources that these name.
Comments, docstrings, layout and code that the script does not reach leave it as it is. Nothing is imported: files are
read.
"""

import ast
import functools
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_BROUGHT = PACKAGE / "_workflow"  # by a wheel (setup.py)
# Where the workflow lies: its Snakefile, workflow/, config/ and resources/.
HOME = _BROUGHT if _BROUGHT.is_dir() else PACKAGE.parents[2]
SOURCES = (".cpp", ".hpp", ".h")
# What words a job prints decides no number.
ASIDE = ("core/logs.py", "core/text.py")


def run_this_package() -> None:
    """Let the Python processes that this one starts import this very package, whatever version is installed.

    Snakemake hands its own search path on to scripts, but behind what is installed. An installed package is left to
    Python: its folder holds other packages too, which must not come before Python's own modules.
    """
    if HOME == _BROUGHT:
        return
    own, others = str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")
    if others.split(os.pathsep)[0] != own:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [own, others]))


def digest(script: Path, functions: Iterable[str] = ()) -> str:
    """SHA-256 of the code that a job runs.

    Args:
        script: the job's Python script.
        functions: further definitions that it reaches in ways no reader can see, such as a registered method's:
            "zoofuse.methods.fusions:average".

    Returns:
        The first 16 hexadecimal digits: enough to tell one state of the code from another.
    """
    reached: dict[str, str] = {}
    for node in _tree(script).body:
        _follow(node, _bindings(script), reached)
    for name in functions:
        module, _, definition = name.partition(":")
        _reach(_file(module.split(".")[1:]), definition, reached)
    parts = [ast.dump(_tree(script)), *(f"{name}={content}" for name, content in sorted(reached.items()))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _reach(path: Path | None, name: str, reached: dict[str, str]) -> None:
    """Add a module's definition, and all that it reaches."""
    if path is None or (file := path.relative_to(PACKAGE).as_posix()) in ASIDE:
        return
    key = f"{file}:{name}"
    if key in reached:
        return
    nodes = _definitions(path).get(name)
    if nodes is None:  # a name that the module itself imports
        if (target := _bindings(path).get(name)) is not None:
            _resolve(target, None, reached)
        return
    reached[key] = _text(path, name)
    for node in nodes:
        _follow(node, _bindings(path), reached, path)


def _follow(node: ast.AST, bound: dict[str, tuple], reached: dict[str, str], path: Path | None = None) -> None:
    """Add all that a piece of code names: `bound` is what the names of its module mean."""
    bound = bound | _imports(node)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id in bound:
            _resolve(bound[inner.value.id], inner.attr, reached)
        elif isinstance(inner, ast.Name):
            if inner.id in bound:
                _resolve(bound[inner.id], None, reached)
            elif path is not None and inner.id in _definitions(path):
                _reach(path, inner.id, reached)
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value.endswith(SOURCES):
            for source in _sources((path or PACKAGE).with_name(inner.value)):
                reached[source.name] = _without_comments(source)


def _resolve(target: tuple[str, ...], attribute: str | None, reached: dict[str, str]) -> None:
    """What a bound name means: a module (whose attribute is named), or a definition in one."""
    if (path := _file(target)) is not None:
        if attribute is not None:
            _reach(path, attribute, reached)
    elif (path := _file(target[:-1])) is not None:
        _reach(path, target[-1], reached)


def _file(parts: Iterable[str]) -> Path | None:
    """The file of a module of the package, by its path below the package."""
    path = PACKAGE.joinpath(*parts)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@functools.cache
def _tree(path: Path) -> ast.Module:
    """A file's code without docstrings; layout and comments are no part of it."""
    return _Bare().visit(ast.parse(path.read_text(encoding="utf-8")))


def _imports(node: ast.AST) -> dict[str, tuple[str, ...]]:
    """Name -> path below the package, of everything that a piece of code imports from it."""
    found = {}
    for inner in ast.walk(node):
        if isinstance(inner, ast.ImportFrom) and (inner.module or "").split(".")[0] == "zoofuse":
            for alias in inner.names:
                found[alias.asname or alias.name] = (*inner.module.split(".")[1:], alias.name)
    return found


@functools.cache
def _bindings(path: Path) -> dict[str, tuple[str, ...]]:
    return _imports(ast.Module([node for node in _tree(path).body if not _defines(node)], []))


def _defines(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


@functools.cache
def _definitions(path: Path) -> dict[str, list[ast.AST]]:
    """Name -> what defines it at a module's top level; a name may be filled by several statements."""
    found: dict[str, list[ast.AST]] = {}
    for node in _tree(path).body:
        for name in _defined(node):
            found.setdefault(name, []).append(node)
    return found


def _defined(node: ast.AST) -> Iterator[str]:
    if _defines(node):
        yield node.name
    elif not isinstance(node, ast.Import | ast.ImportFrom):
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id
            elif _is_entry(inner):  # TABLE["name"] = ...
                yield inner.value.id


def _is_entry(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name)


class _Bare(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A setting's description is a docstring too (`zoofuse.settings.fields.says`)."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "says":
            node.args = node.args[1:]
        return node


@functools.cache
def _text(path: Path, name: str) -> str:
    return "".join(map(ast.dump, _definitions(path)[name]))


def _sources(path: Path) -> Iterator[Path]:
    """A C++ file and what it includes from its folder."""
    if path.is_file():
        yield path
        for name in re.findall(r'#include "([^"]+)"', path.read_text(encoding="utf-8")):
            yield from _sources(path.with_name(name))


def _without_comments(path: Path) -> str:
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return "\n".join(line.strip() for line in code.splitlines() if line.strip())
