"""The code that decides a job's numbers, as one digest, so that an edit re-runs what depends on it and nothing else.

Snakemake re-runs a job whose parameters changed. This digest is one of them: it covers the job's script, every
function, class and constant of the package that the script reaches by name, and the C++ sources that these name.
Comments, docstrings, layout and code that the script does not reach leave it as it is. Nothing is imported: files are
read, and what was found is kept for this state of the files, as finding it takes a second.
"""

import ast
import contextlib
import functools
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from zoofuse.core import private, temporary

PACKAGE = Path(__file__).parents[1]
_BROUGHT = PACKAGE / "_workflow"  # by a wheel (setup.py)
# Where the workflow lies: its Snakefile, workflow/, config/ and resources/.
HOME = _BROUGHT if _BROUGHT.is_dir() else PACKAGE.parents[2]
SCRIPTS = HOME / "workflow" / "scripts"
SOURCES = (".cpp", ".hpp", ".h", ".cu")
# What words a job prints decides no number.
ASIDE = ("core/logs.py", "core/text.py")
_KEPT, _STATES = "digests.json", 8  # the file of known digests in the user's cache, and how many states of code it has
_NOT_KEPT = (OSError, RuntimeError, ValueError, TypeError, AttributeError)  # no folder to write to, or a damaged file
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_RUNNING = "ZOOFUSE_CODE"  # an environment variable, because processes that a job starts write files too


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
    name = " ".join([_checksum([script]), *functions])
    states = _states(PACKAGE)
    if name not in states[state := _state(PACKAGE)]:
        states[state][name] = _digest(script, functions)
        if _state_now(PACKAGE) == state:  # else some files were read before an edit and some after it
            _keep(states)
    return states[state][name]


def _digest(script: Path, functions: Iterable[str]) -> str:
    reached: dict[str, str] = {}
    ahead = list(_links(PACKAGE, script, None))
    for name in functions:
        module, _, definition = name.partition(":")
        if (path := _file(module.split(".")[1:])) is not None:
            ahead.append((path, definition))
    seen = set(ahead)
    while ahead:
        path, name = ahead.pop()
        if path.suffix in SOURCES:
            reached[path.name] = _without_comments(path)
            continue
        if (file := path.relative_to(PACKAGE).as_posix()) in ASIDE:
            continue
        if name in _definitions(path):
            reached[f"{file}:{name}"] = _text(path, name)
        more = _links(PACKAGE, path, name) - seen
        seen |= more
        ahead += more
    parts = [ast.dump(_tree(script)), *(f"{name}={content}" for name, content in sorted(reached.items()))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _checksum(files: Iterable[Path]) -> str:
    hasher = hashlib.sha256(repr(sys.version_info[:2]).encode())  # another Python reads other trees
    for path in files:
        hasher.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
    return hasher.hexdigest()[:16]


def _state_now(package: Path) -> str:
    """A checksum of everything that the digests of a package's code can depend on."""
    return _checksum(path for path in sorted(package.rglob("*")) if path.suffix in (".py", *SOURCES))


_state = functools.cache(_state_now)


@functools.cache
def _states(package: Path) -> dict[str, dict[str, str]]:
    """State of the code -> job -> digest: those kept by earlier processes, the latest state last."""
    states = {}
    with contextlib.suppress(*_NOT_KEPT), private.cache_folder() as folder:
        for state, digests in json.loads((folder.opened / _KEPT).read_text()).items():
            states[state] = {job: kept for job, kept in digests.items() if re.fullmatch("[0-9a-f]{16}", kept)}
    states[_state(package)] = states.pop(_state(package), {})
    return states


def _keep(states: dict[str, dict[str, str]]) -> None:
    """For later processes; nothing is lost where it can't be written."""
    latest = dict(list(states.items())[-_STATES:])
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(*_NOT_KEPT))
        folder = stack.enter_context(private.cache_folder())
        stack.enter_context(temporary.atomic_path(folder.opened / _KEPT)).write_text(json.dumps(latest))


def description(script: str, functions: Sequence[str] = ()) -> str:
    """Which code a job runs, as its files record it: "generate zoofuse.methods.fusions:average 3f1c0d5a9b7e2468".

    Args:
        script: name of a file in workflow/scripts, without its suffix.
        functions: as `digest` takes them.
    """
    return " ".join([script, *functions, digest(SCRIPTS / f"{script}.py", functions)])


@functools.cache
def is_present(described: str) -> bool:
    """Whether a `description` is of the code as it is now; that of no code at all is not."""
    script, *functions, _ = described.split() or ("", "")
    return (SCRIPTS / f"{script}.py").is_file() and described == description(script, functions)


def run(described: str) -> None:
    """Let every file that this process and those that it starts write from now on record this `description`."""
    os.environ[_RUNNING] = described


def running() -> str:
    """What `run` was given; nothing outside of jobs."""
    return os.environ.get(_RUNNING, "")


@functools.cache
def _links(package: Path, path: Path, name: str | None) -> frozenset[tuple[Path, str]]:
    """What one definition names: definitions of the package, each as (file, name), and C++ files, as (file, "").

    Args:
        package: PACKAGE, for whose folder the answer holds.
        path: the file.
        name: the definition, or what the file imports by that name; None for all that a script runs.
    """
    if name is None:
        nodes, local = _tree(path).body, {}
    else:
        local = _definitions(path)
        nodes = local.get(name)
    if nodes is None:  # a name that the module itself imports
        target = _bindings(path).get(name)
        return frozenset(_resolve(target, None) if target else ())
    found: set[tuple[Path, str]] = set()
    for node in nodes:
        inner = list(ast.walk(node))
        bound = _bindings(path) | _imports(inner)
        for part in inner:
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in bound:
                found.update(_resolve(bound[part.value.id], part.attr))
            elif isinstance(part, ast.Name):
                if part.id in bound:
                    found.update(_resolve(bound[part.id], None))
                elif part.id in local:
                    found.add((path, part.id))
            elif isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.endswith(SOURCES):
                found.update((source, "") for source in _sources(path.with_name(part.value)))
    return frozenset(found)


def _resolve(target: tuple[str, ...], attribute: str | None) -> Iterator[tuple[Path, str]]:
    """What a bound name means: a module (whose attribute is named), or a definition in one."""
    if (path := _file(target)) is not None:
        if attribute is not None:
            yield path, attribute
    elif (path := _file(target[:-1])) is not None:
        yield path, target[-1]


def _file(parts: Iterable[str]) -> Path | None:
    """The file of a module of the package, by its path below the package."""
    path = PACKAGE.joinpath(*parts)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@functools.cache
def _tree(path: Path) -> ast.Module:
    """A file's code without docstrings; layout and comments are no part of it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "says":
            node.args = node.args[1:]  # a setting's description is a docstring too (`zoofuse.settings.fields.says`)
    return tree


def _imports(nodes: Iterable[ast.AST]) -> dict[str, tuple[str, ...]]:
    """Name -> path below the package, of everything that pieces of code import from it."""
    found = {}
    for inner in nodes:
        if isinstance(inner, ast.ImportFrom) and (inner.module or "").split(".")[0] == "zoofuse":
            for alias in inner.names:
                found[alias.asname or alias.name] = (*inner.module.split(".")[1:], alias.name)
    return found


@functools.cache
def _bindings(path: Path) -> dict[str, tuple[str, ...]]:
    plain = (node for node in _tree(path).body if not _defines(node))
    return _imports(inner for node in plain for inner in ast.walk(node))


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
