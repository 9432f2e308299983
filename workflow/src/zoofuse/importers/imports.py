"""Other people's zoos and generators, checked and imported. Finding and counting CNNs needs no torch.

A zoo is one of
* an HDF5 with stacked parameters: datasets conv1.weight (n, 6, 3, 5, 5), ... (or conv1/weight), one row per CNN, and
  optionally model (n,), their published indices;
* a folder of PyTorch state_dicts, .pt or .pth, one per CNN;
* a folder of .safetensors files, one per CNN;
* a folder of Ray Tune trials: each a folder with result.json, one JSON object per line, and
  checkpoint_NNNNNN/checkpoints, of which the highest number is read.

Nothing in a file is executed: a pickle is read with PyTorch's weights_only, and in the zip format only, because older
formats have bypassed that check (CVE-2025-32434). A child process with limits on time and memory reads the files (see
foreign.py), each once and up to MAX_FILE bytes. This process opens them only to hash them.
"""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from zoofuse.core import files, regular
from zoofuse.core.text import printable
from zoofuse.importers import foreign, formats, layer_names
from zoofuse.importers.foreign import Unreadable
from zoofuse.importers.foreign_layouts import (
    MAX_FILE,
    Layout,
    ZooError,
    checkpoint,
    declared_output,
    digest,
    find_zoo,
    last_accuracy,
)
from zoofuse.importers.layer_names import Mismatch, shown
from zoofuse.models.architectures import ARCHITECTURES

__all__ = ["Layout", "ZooError", "declared_output", "digest", "find_zoo"]  # re-exported

MAX_CNNS = 10_000_000  # in one zoo

_MAX_NAMED = layer_names.MAX_NAMED  # files named in a message
_MAX_HIDDEN = 4096  # hidden channels of a generator; the published one has 64


# ---------------------------------------------------------------------------------------------- counted


def count(path: str | os.PathLike) -> int:
    """Number of CNNs in a zoo, unusable ones included; no CNN is opened.

    Args:
        path: The file or folder.

    Raises:
        ZooError: As `find_zoo`, and for an HDF5 that can't be read.
    """
    layout = find_zoo(path)
    if layout.kind != "HDF5":
        return len(layout.members)
    with _parameters(layout.path) as parameters:
        return parameters.n


# ---------------------------------------------------------------------------------------------- a zoo


def import_zoo(
    path: str | os.PathLike,
    output: Path,
    *,
    concept: str,
    architecture: str,
    models: range,
    names: Mapping[str, str] | None = None,
    concept_output: int = 0,
    on_unreadable: str = "refuse",
    say: Callable[[str], None] = print,
) -> None:
    """Import some CNNs of a foreign zoo into a zoo file (see zoo.py).

    `model` is the published index if the source has one, else the position. Floating-point weights of any width become
    float32. The linear layer is dropped from the whole zoo if the first CNN has none of its shape, or further linear
    layers after it, because features do not need it. Any other surplus tensor makes a CNN unusable, since it would
    compute something else. The zoo file has the concept as output 1, whichever output it was.

    The zoo file also holds, for a folder, source/name (n,), the files or trials; and for trials source/accuracy (n,)
    float32, the last accuracy in result.json (the first key of ACCURACIES; on unknown images), else NaN.

    Unusable CNNs (corrupt, other shapes, NaN or Inf, repeated index, unreachable) are counted and named.

    Args:
        path: The zoo, as for `find_zoo`.
        output: The zoo file.
        concept: The concept of its CNNs.
        architecture: A name of `ARCHITECTURES`.
        models: Positions of the CNNs: files in natural order, or rows of an HDF5 by increasing published index.
        names: Our layer -> theirs, if they differ.
        concept_output: Which output of the linear layer stands for the concept, 0 (as in the published zoo) or 1.
        on_unreadable: "refuse" raises an error for unusable CNNs; "skip" leaves them out and reports them.
        say: Receives lines for the log.

    Raises:
        ZooError: The zoo can't be used, a CNN is unusable, or none is left.
    """
    shapes, names = ARCHITECTURES[architecture].shapes, dict(names or {})
    layers = list(dict.fromkeys(name.partition(".")[0] for name in shapes))
    if unknown := [layer for layer in names if layer not in layers]:
        raise ZooError(f"layers: {', '.join(unknown)} is unknown; architecture {architecture} has {', '.join(layers)}.")
    layout = find_zoo(path)

    kept, rejected = [], {}
    with foreign.reader():
        for position, label, model, read in (_rows_of if layout.kind == "HDF5" else _members_of)(
            layout, models, shapes, names, concept, say
        ):
            try:
                weights = read()
                if not_finite := [name for name, values in weights.items() if not np.isfinite(values).all()]:
                    raise Mismatch(f"contains NaN or Inf: {', '.join(not_finite)}")
                kept.append((position, label, model, weights))
            except Mismatch as error:
                rejected[label] = str(error)[:2000]  # a foreign name may have any length
    if rejected and (on_unreadable != "skip" or not kept):
        advice = ", or write images.unreadable: skip to leave them out" if kept else ""
        raise ZooError(
            f"{printable(path)}: {len(rejected)} of the {len(models)} CNNs {models.start} to {models.stop - 1} can't "
            f"be used:\n{_grouped(rejected)}\nRepair or remove them{advice}."
        )

    arrays = {name: np.stack([weights[name] for *_, weights in kept]) for name in kept[0][3]}
    for name in ("fc1.weight", "fc1.bias"):
        if name in arrays and concept_output == 0:
            arrays[name] = np.ascontiguousarray(arrays[name][:, ::-1])
    arrays["model"] = np.array([model for _, _, model, _ in kept], np.int32)
    if layout.kind != "HDF5":
        arrays["source/name"] = np.array([label for _, label, _, _ in kept])
    if layout.kind == "trials":
        accuracies = [last_accuracy(layout.members[position] / "result.json") for position, *_ in kept]
        arrays["source/accuracy"] = np.array(accuracies, np.float32)
    source = {"path": printable(path), "layout": layout.kind, "sha256": digest(path, models)}
    skipped = {"count": len(rejected), "named": dict(list(rejected.items())[:_MAX_NAMED])}
    files.write(
        output, "zoo", arrays, concept=concept, classes=["other", concept], architecture=architecture,
        source=source, places=[models.start, models.stop], layers=names, skipped=skipped,
        concept_output=concept_output,
    )  # fmt: skip
    say(f"{concept}: {len(kept)} CNNs imported from {printable(path)} ({layout.kind}).")
    if "fc1.weight" in arrays:
        say(
            f"{concept}: output {concept_output} of their linear layer is taken for the concept. If it is the other "
            f"one, write concepts.{concept}.concept_output: {1 - concept_output}."
        )
    if rejected:
        say(f"{concept}: {len(rejected)} CNNs are left out:\n{_grouped(rejected)}")


# Position, label, index, and a function that reads the weights or raises Mismatch.
_Read = Iterator[tuple[int, str, int, Callable[[], dict[str, np.ndarray]]]]


def _check_count(path: Path, concept: str, models: range, available: int) -> None:
    if models.stop > available:
        raise ZooError(
            f"{printable(path)}: holds {available} CNNs; write concepts.{concept}.models: {available}, or fewer."
        )


def _rows_of(layout: Layout, models: range, shapes, names, concept: str, say) -> _Read:
    path = printable(layout.path)
    with _parameters(layout.path) as parameters:
        _check_count(layout.path, concept, models, parameters.n)
        try:
            theirs = layer_names.matched(parameters.without_aliases(shapes, names), shapes, names)
        except Mismatch as error:
            raise ZooError(f"{path}: {error}.") from None
        _report_linear(theirs, shapes, printable(layout.path.name), say)
        for name in theirs.values():
            if not re.match(r"[<>]?f", parameters.dtypes[name]):
                raise ZooError(f"{path}: {name} is {parameters.dtypes[name]}; save it as float32.")
        index = parameters.index()
        order = np.argsort(index, kind="stable")
        repeated = np.append(False, np.diff(index[order]) == 0)[models.start : models.stop]
        order = order[models.start : models.stop]
        rows = np.sort(order)
        inverse = np.searchsorted(rows, order)
        arrays = {ours: parameters.rows(name, rows, shapes[ours])[inverse] for ours, name in theirs.items()}

    def read(position: int) -> dict[str, np.ndarray]:
        if repeated[position]:
            raise Mismatch("an earlier row has the same model")
        return {name: values[position] for name, values in arrays.items()}

    for position, row in enumerate(order):
        yield position, f"row {row} (model {index[row]})", int(index[row]), functools.partial(read, position)


def _members_of(layout: Layout, models: range, shapes, names, concept: str, say) -> _Read:
    _check_count(layout.path, concept, models, len(layout.members))
    if layout.kind != "safetensors":
        with foreign.reader() as child, contextlib.suppress(Unreadable):
            version = child.ask("torch_version", library="PyTorch")[0]["version"]
            if _is_vulnerable(version):
                say(
                    f"torch {version} has a known vulnerability to forged state_dicts (CVE-2026-24747): import only "
                    "files from people you trust, or install torch 2.10 or later."
                )
    linear = True
    for member in layout.members:  # the first usable CNN decides, for every shard, whether there is a linear layer
        with contextlib.suppress(Mismatch):
            theirs = layer_names.matched(_tensors(layout, member), shapes, names)
            linear = len(theirs) == len(shapes)
            _report_linear(theirs, shapes, printable(member.name), say)
            break

    def read(member: Path) -> dict[str, np.ndarray]:
        theirs = layer_names.matched(_tensors(layout, member), shapes, names)
        if linear and len(theirs) < len(shapes):
            raise Mismatch("has no linear layer of the expected shape, unlike the zoo's first CNN")
        wanted = {ours: name for ours, name in theirs.items() if linear or ours[:2] != "fc"}
        arrays = ask("take", names=wanted, library="PyTorch")[1]
        if {ours: values.shape for ours, values in arrays.items()} != {ours: shapes[ours] for ours in wanted}:
            raise Mismatch("truncated or corrupt")
        return arrays

    for position in models:
        member = layout.members[position]
        yield position, printable(member.name), position, functools.partial(read, member)


def _report_linear(theirs: Mapping[str, str], shapes, first: str, say) -> None:
    if len(theirs) < len(shapes):
        shape = shapes["fc1.weight"]
        say(f"The zoo's linear layers are left out: {first} does not have exactly one of shape {shape}.")


def _is_vulnerable(version: str) -> bool:
    """Whether a version of PyTorch is older than 2.10."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return bool(numbers) and (int(numbers[1]), int(numbers[2])) < (2, 10)


def _tensors(layout: Layout, member: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors of one CNN's file, which the child keeps open; raises Mismatch for anything else."""
    if layout.kind == "trials" and not os.path.isdir(member) and (fault := regular.fault(member)):
        raise Mismatch(fault)
    file = checkpoint(member) if layout.kind == "trials" else member
    request = {"path": os.fspath(file), "safetensors": layout.kind == "safetensors", "largest": MAX_FILE}
    return {name: tuple(shape) for name, shape in ask("state", library="PyTorch", **request)[0]["tensors"]}


def ask(operation: str, **arguments) -> tuple[dict, dict[str, np.ndarray]]:
    """As `foreign.Reader.ask`, of the shared child; raises Mismatch where the file can't be read."""
    try:
        with foreign.reader() as child:
            return child.ask(operation, **arguments)
    except Unreadable as error:
        raise Mismatch(str(error)) from None


# ---------------------------------------------------------------------------------------------- HDF5


class _StackedParameters:
    """The parameters of an HDF5 that the child process keeps open."""

    def __init__(self, path: Path, child: foreign.Reader) -> None:
        self._path, self._child = path, child
        reply = self.ask("hdf5_parameters", path=os.fspath(path))[0]
        self._addresses = {name: address for name, address, _, _ in reply["parameters"]}
        self._shapes = {name: None if s is None else tuple(s) for name, _, s, _ in reply["parameters"]}
        self.dtypes = {name: dtype for name, _, _, dtype in reply["parameters"]}
        self._index = reply["index"]
        self.n = self._rows(reply["hint"])

    def ask(self, operation: str, **arguments) -> tuple[dict, dict[str, np.ndarray]]:
        try:
            return self._child.ask(operation, library="HDF5", **arguments)
        except Unreadable as error:
            raise _unreadable(self._path, error) from None

    def _rows(self, hint: str | None) -> int:
        path, lengths = printable(self._path), {name: (shape or ())[:1] for name, shape in self._shapes.items()}
        if not any(lengths.values()):
            other = f"{hint}, not a zoo: it " if hint else ""
            raise ZooError(
                f"{path}: {other}holds no stacked parameters; expected datasets conv1.weight (n, ...), conv1.bias."
            )
        if len(set(lengths.values())) > 1:
            parameters = shown(f"{name} {shape or 'without values'}" for name, shape in self._shapes.items())
            raise ZooError(f"{path}: parameters differ in their number of CNNs, the first axis: {parameters}.")
        if not (n := next(iter(lengths.values()))[0]):
            raise ZooError(f"{path}: holds 0 CNNs.")
        self.ask("hdf5_check", names=list(self._shapes))
        if n > MAX_CNNS:
            raise ZooError(f"{path}: holds {n:,} CNNs; at most {MAX_CNNS:,} are read. Split the file.")
        return n

    def without_aliases(self, shapes: Mapping, names: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
        """Name -> one CNN's shape; a dataset with several names counts by the expected name, else the shortest."""
        by_address: dict[int, list[str]] = {}
        wanted = {f"{names.get(layer, layer)}.{part}" for layer, part in (ours.split(".") for ours in shapes)}
        for name, address in self._addresses.items():
            by_address.setdefault(address, []).append(name)
        best = {min(same, key=lambda name: (name not in wanted, len(name), name)) for same in by_address.values()}
        return {name: shape[1:] for name, shape in self._shapes.items() if name in best or name in wanted}

    def index(self) -> np.ndarray:
        """(n,) int64: the published indices, else the positions."""
        if self._index is None:
            return np.arange(self.n)
        shape, dtype = self._index
        if shape != [self.n] or not re.match(r"[<>]?(u?int|[iu]\d)", dtype):
            raise ZooError(f"{printable(self._path)}: model is not ({self.n},) integers; correct it, or remove it.")
        reply, arrays = self.ask("hdf5_index", largest=2**31 - 1)
        lowest, highest = reply["range"]
        if "values" not in arrays or arrays["values"].shape != (self.n,):
            raise ZooError(
                f"{printable(self._path)}: model has indices from {lowest} to {highest}; write 0 to {2**31 - 1}."
            )
        return arrays["values"]

    def rows(self, name: str, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """(rows, ...) float32 of one dataset; `rows` increase."""
        step = max(1, foreign.MAX_REPLY // 16 // int(np.prod(shape)))
        parts = []
        for start in range(0, len(rows), step):
            wanted = rows[start : start + step].tolist()
            values = self.ask("hdf5_rows", name=name, rows=wanted)[1]["values"]
            if values.shape != (len(wanted), *shape):
                raise ZooError(f"{printable(self._path)}: truncated or corrupt. Fetch it again.")
            parts.append(values)
        return np.concatenate(parts)


@contextlib.contextmanager
def _parameters(path: Path) -> Iterator[_StackedParameters]:
    with foreign.reader() as child:
        stack = _StackedParameters(path, child)
        yield stack
        with contextlib.suppress(Unreadable):
            child.ask("close", library="HDF5")


def _unreadable(path: Path, error: Unreadable) -> ZooError:
    cause, corrupt = str(error), "truncated or corrupt"
    if cause.startswith(corrupt):
        cause = f"truncated, corrupt or not HDF5{cause.removeprefix(corrupt)}. Fetch it again"
    return ZooError(f"{printable(path)}: {cause}.")


# ---------------------------------------------------------------------------------------------- generators


def import_generators(
    path: str | os.PathLike, layer: str, output: Path, architecture: str = "published", pair: str = ""
) -> None:
    """Import a conv layer's generators into a file like those of methods/cyclegan/io.py, without a history.

    Args:
        path: An HDF5 with groups A2B and B2A for each layer, each with 0.weight (hidden, c, 3, 3, 3), 0.bias
            (hidden,), 2.weight (c, hidden, 3, 3, 3) and 2.bias (c,), where c is the number of the layer's input
            channels. Domain A is the fusion's first concept.
        layer: conv1 and so on.
        output: The file to write.
        architecture: A name of `ARCHITECTURES`.
        pair: A pair of neighbours in a fusion of more than two concepts, such as -bc; domain A is the first of
            them, and the group in the file is conv1-bc.

    Raises:
        ZooError: A tensor is missing, surplus, of another shape or contains NaN or Inf.
    """
    from zoofuse.methods.cyclegan.io import Trained, write_generators

    path = Path(path)
    if not os.path.lexists(path):
        raise ZooError(f"{printable(path)}: no such file.")
    try:
        if not formats.is_hdf5(path):
            raise ZooError(f"{printable(path)}: not an HDF5 of generators, but {formats.of_file(path) or 'corrupt'}.")
    except regular.NotRegular as error:
        raise ZooError(f"{printable(path)}: {error}.") from None
    channels = ARCHITECTURES[architecture].shapes[f"{layer}.weight"][1]
    with foreign.reader() as child:
        try:
            groups = {direction: f"{layer}{pair}/{direction}" for direction in ("A2B", "B2A")}
            generators = {name: _generator(path, child, group, channels) for name, group in groups.items()}
            with contextlib.suppress(Unreadable):
                child.ask("close", library="HDF5")
        except Unreadable as error:
            raise _unreadable(path, error) from None
    source = {"path": printable(path), "sha256": digest(path)}
    write_generators(output, Trained(generators, {}), layer=f"{layer}{pair}", source=source)


def _generator(path: Path, child: foreign.Reader, group: str, channels: int) -> dict[str, np.ndarray]:
    reply = child.ask("hdf5_group", path=os.fspath(path), group=group, library="HDF5")[0]
    name = printable(path)
    if reply["datasets"] is None:
        raise ZooError(f"{name}: has no group {group}; it holds {shown(reply['top']) or 'nothing'}.")
    shapes = {dataset: None if shape is None else tuple(shape) for dataset, shape, _ in reply["datasets"]}
    hidden = next(iter(shapes.get("0.bias") or ()), 64)
    expected = {
        "0.weight": (hidden, channels, 3, 3, 3),
        "0.bias": (hidden,),
        "2.weight": (channels, hidden, 3, 3, 3),
        "2.bias": (channels,),
    }
    if shapes != expected:
        have, want = (
            ", ".join(f"{n} {shape}" for n, shape in sorted(s.items())) or "nothing" for s in (shapes, expected)
        )
        raise ZooError(f"{name}: {group} holds {have}; expected {want}.")
    if hidden > _MAX_HIDDEN:
        raise ZooError(f"{name}: {group} has {hidden:,} hidden channels; at most {_MAX_HIDDEN:,} are read.")
    arrays, unusable = {}, [n for n, _, dtype in reply["datasets"] if not re.match(r"[<>]?f", dtype)]
    for dataset in expected.keys() - set(unusable):
        values = child.ask("hdf5_values", name=f"{group}/{dataset}", library="HDF5")[1]["values"]
        arrays[dataset] = values
        if values.shape != expected[dataset] or not np.isfinite(values).all():
            unusable.append(dataset)
    if unusable:
        raise ZooError(
            f"{name}: {group} contains NaN or Inf, or is not floating-point, in {', '.join(sorted(unusable))}."
        )
    return {dataset: arrays[dataset] for dataset in expected}


# ---------------------------------------------------------------------------------------------- messages


def _grouped(rejected: Mapping[str, str]) -> str:
    """The first rejected CNNs, one line per cause."""
    causes: dict[str, list[str]] = {}
    for label, cause in rejected.items():
        causes.setdefault(cause, []).append(label)
    lines, room = [], _MAX_NAMED
    for cause, labels in causes.items():
        if room:
            more = f" and {len(labels) - room} more" if len(labels) > room else ""
            lines.append(f"  {', '.join(labels[:room])}{more}: {cause}")
            room -= min(room, len(labels))
        else:
            lines.append(f"  and {len(rejected) - _MAX_NAMED} more")
            break
    return "\n".join(lines)
