"""Configuration files as their author wrote them: keys that YAML drops, and the words behind its values.

YAML keeps only the last of two equal keys, and reads yes as true, 1:30 as 90 and 012 as 10. Snakemake hands over what
is left, so the text is read once more, for messages only. Imports no torch.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from zoofuse.core.text import printable

MOST_BYTES = 4 * 2**20  # of a configuration file
MOST_VALUES = 100_000  # keys and values, those behind an anchor counted wherever it is used
LONGEST = 4095  # bytes of a path, and more than any other text of a configuration needs
MOST_DEPTH = 50  # of blocks within blocks

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"

Path_ = tuple  # keys and list indices, from the top level


class Scalar(NamedTuple):
    """A key or value: the text it was written as, what YAML made of it, and where it stands."""

    text: str
    value: object
    where: str


class Written(NamedTuple):
    """What the text of all configuration files says; of a value that several files set, the last one counts."""

    faults: list[str]
    values: dict[Path_, Scalar]
    keys: dict[Path_, Scalar]

    def value(self, path: Path_, value: object) -> Scalar | None:
        """How the value at `path` was written without quotes; None where that is not known."""
        return _same(self.values.get(path), value)

    def key(self, path: Path_) -> Scalar | None:
        """As `value`, for the key that `path` ends with."""
        return _same(self.keys.get(path), path[-1])


def read(files: Iterable[Path], arguments: Iterable[str] = ()) -> Written:
    """What the text of a configuration says that its values no longer do.

    Args:
        files: the configuration files, YAML or JSON, in the order in which they are merged.
        arguments: what --config was given, each KEY=VALUE.

    Returns:
        A fault for each key that stands twice in one mapping, and the text of every value and key that was written
        without quotes. Of a file that cannot be read or is too large, nothing: Snakemake or `size_fault` says so.
    """
    written = Written([], {}, {})
    for file in files:
        if (text := _text(Path(file))) is not None:
            _look(written, text, printable(file), ())
    for argument in arguments:
        key, _, text = str(argument).partition("=")
        if text.lstrip().startswith(("{", "[")):  # all else is a plain word, and Snakemake's to read
            _look(written, text, f"--config {printable(key)}", (key,))
    return written


def set_nulls(config: object, written: Written) -> None:
    """Turn the word null of a --config argument, which Snakemake leaves a word within braces, into no value."""
    for path, scalar in written.values.items():
        block = config
        for key in path[:-1]:
            block = block.get(key) if isinstance(block, dict) else None
        if scalar.value is None and isinstance(block, dict) and block.get(path[-1]) == scalar.text:
            block[path[-1]] = None


def size_fault(config: object) -> str | None:
    """What is wrong with the size of a configuration, before anything else walks it; None if nothing is.

    A few lines of anchors within anchors can stand for billions of values. A block counts wherever it is used, but is
    walked once.
    """
    counts: dict[int, int] = {}  # id of a block -> values in it
    open_: set[int] = set()  # blocks around the one that is looked at

    def count(value: object, depth: int) -> int:
        if not isinstance(value, dict | list | tuple | set):
            return 1
        if id(value) in open_:
            raise _SizeFault("a block holds itself, by an anchor (&name) and its use (*name); write it without them")
        if depth > MOST_DEPTH:
            raise _SizeFault(f"blocks lie more than {MOST_DEPTH} deep; no setting lies deeper than 5")
        if id(value) not in counts:
            open_.add(id(value))
            inner = value.items() if isinstance(value, dict) else ((None, item) for item in value)
            total = 1
            for _, item in inner:
                total += count(item, depth + 1)
                if total > MOST_VALUES:
                    raise _SizeFault(
                        f"more than {MOST_VALUES:,} values, those behind an anchor (&name) counted wherever it is used "
                        "(*name); write fewer"
                    )
            open_.discard(id(value))
            counts[id(value)] = total
        return counts[id(value)]

    try:
        count(config, 0)
    except _SizeFault as fault:
        return f"the whole configuration: {fault}."
    return None


class _SizeFault(Exception):
    pass


def _same(scalar: Scalar | None, value: object) -> Scalar | None:
    """The scalar, if it is what `value` was made from: a later file, or --config, may have set another."""
    known = scalar is not None and type(scalar.value) is type(value) and repr(scalar.value) == repr(value)
    return scalar if known else None


def _text(file: Path) -> str | None:
    try:
        with open(file, encoding="utf-8-sig") as handle:
            text = handle.read(MOST_BYTES + 1)
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(text) <= MOST_BYTES else None


def _look(written: Written, text: str, name: str, prefix: Path_) -> None:
    """Add what one file, or one argument, says."""
    try:
        if _deep(text):
            return
        root = yaml.compose(text, _Loader)
    except yaml.YAMLError:
        # JSON may be indented by tabs, which YAML refuses; else Snakemake has refused it already
        if "\t" in text:
            _look(written, text.replace("\t", " "), name, prefix)
        return
    if root is None or _large(root):
        return
    reader = _Loader("")
    try:
        for path, node, key in _nodes(root, prefix, reader, name, written.faults):
            if not node.style:  # no quotes and no block of text
                scalar = Scalar(node.value, _value(reader, node), f"{name}, line {node.start_mark.line + 1}")
                (written.keys if key else written.values)[path] = scalar
    finally:
        reader.dispose()


def _deep(text: str) -> bool:
    """Blocks too deep, or too many of them, for `compose`, which calls itself."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, _Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH or number > 2 * MOST_VALUES:
            return True
    return False


def _large(root: yaml.Node) -> bool:
    """As `size_fault`, for nodes."""
    shared: dict[int, object] = {}

    def plain(node: yaml.Node):
        if not isinstance(node, yaml.CollectionNode):
            return None
        if id(node) not in shared:
            shared[id(node)] = made = []
            items = (
                node.value if isinstance(node, yaml.SequenceNode) else [item for pair in node.value for item in pair]
            )
            made += [plain(item) for item in items]
        return shared[id(node)]

    return size_fault(plain(root)) is not None


def _nodes(
    node: yaml.Node, path: Path_, reader, name: str, faults: list[str], visited: set[int] | None = None
) -> Iterator[tuple[Path_, yaml.ScalarNode, bool]]:
    """(path, node, whether it is a key) of every scalar; a key that stands twice is added to `faults`."""
    visited = set() if visited is None else visited  # mappings looked at: an anchor's has one text
    if isinstance(node, yaml.ScalarNode):
        yield path, node, False
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _nodes(item, (*path, index), reader, name, faults, visited)
    else:
        lines: dict[object, list[int]] = {}
        for key, item in node.value:
            if key.tag == _MERGE:  # <<: the keys of another block, where there are no own ones of that name
                for merged in item.value if isinstance(item, yaml.SequenceNode) else [item]:
                    yield from _nodes(merged, path, reader, name, faults, visited)
        for key, item in node.value:
            if key.tag == _MERGE or not isinstance(key, yaml.ScalarNode):
                continue
            value = _value(reader, key)
            lines.setdefault(value, []).append(key.start_mark.line + 1)
            yield (*path, value), key, True
            yield from _nodes(item, (*path, value), reader, name, faults, visited)
        if id(node) not in visited:
            visited.add(id(node))
            for value, where in lines.items():
                if len(where) > 1:
                    faults.append(_twice([*path, value], where, name))


def _twice(path: list, lines: list[int], name: str) -> str:
    dotted = ".".join(printable(str(part)) for part in path)
    times = "twice" if len(lines) == 2 else f"{len(lines)} times"
    numbers = f"{', '.join(map(str, lines[:-1]))} and {lines[-1]}"
    where = f" (lines {numbers})" if not name.startswith("--config") else ""
    return f"{dotted}: stands {times} in {name}{where}, and only the last would count; write it once."


def _value(reader, node: yaml.ScalarNode):
    try:
        return reader.construct_object(node)
    except (yaml.YAMLError, ValueError):  # a tag of somebody's own, or a date such as 2024-13-01
        return node.value


def unusable(text: str) -> str | None:
    """Why no file can have this name, nor anything else be written as this."""
    try:
        size = len(os.fsencode(text))
    except UnicodeEncodeError:
        return "holds half of a character (a lone surrogate); write it as UTF-8"
    if "\0" in text:
        return "holds a character of number 0, which no name may; leave it out"
    if size > LONGEST:
        return f"has {size:,} bytes; write at most {LONGEST:,}"
    return None


def dotted(path: tuple) -> str:
    """concepts.cat.positive.0, as messages name a setting."""
    return ".".join(printable(str(part)) if unusable(str(part)) is None else shown(part) for part in path) or (
        "the top level"
    )


def shown(value) -> str:
    """A value as Python writes it, on one line and not too long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**100:
        return "a number of over 100 digits"
    text = repr(value[:300] if isinstance(value, str | bytes) else value)
    return text if len(text) <= 200 else f"{text[:150]}... ({len(text):,} characters)"


def read_as(scalar) -> str:
    """What YAML made of a word, such as: yes as True (my.yaml, line 3)."""
    return f"{printable(scalar.text)} as {shown(scalar.value)} ({scalar.where})"


def quoted(text: str) -> str:
    return f'"{printable(text)}"'
