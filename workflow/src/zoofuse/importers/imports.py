"""Other people's zoos and generators, checked and written as this project's files. Finding and counting needs no torch.

A zoo is one of
* an HDF5 with stacked parameters: datasets conv1.weight (n, 6, 3, 5, 5), ... (or conv1/weight), one row for each CNN,
  and model (n,), their published indices, where there are such;
* a folder of PyTorch state_dicts, .pt or .pth, one for each CNN;
* a folder of .safetensors, one for each CNN;
* a folder of trials as Ray Tune leaves them: each a folder with result.json, one JSON object a line, and
  checkpoint_NNNNNN/checkpoints, of which the highest number counts.

Files are data, never programs: a pickle is read with PyTorch's weights_only and in the zip format only, because older
formats have got past that check (CVE-2025-32434). A file is read whole, once, and only up to MAX_FILE bytes, by a child
process with limits of time and memory (see foreign.py): this process opens none of them but to hash it.
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
from zoofuse.importers.foreign_layouts import MAX_FILE, Layout, ZooError, checkpoint, digest, find_zoo, last_accuracy
from zoofuse.importers.layer_names import Misfit, shown
from zoofuse.models.architectures import ARCHITECTURES

__all__ = ["Layout", "ZooError", "digest", "find_zoo"]  # where those who import zoos look for them

MAX_CNNS = 10_000_000  # in one zoo

_NAMED = layer_names.NAMED  # faults and files named in a message
_HIDDEN = 4096  # channels between a generator's layers; the published one has 64


# ---------------------------------------------------------------------------------------------- counted


def count(path: str | os.PathLike) -> int:
    """Count the CNNs of a zoo, odd ones included; opens no CNN.

    Args:
        path: The file or folder.

    Returns:
        How many there are.

    Raises:
        ZooError: As `find_zoo`, and for an HDF5 that cannot be read.
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
    on_unreadable: str = "refuse",
    say: Callable[[str], None] = print,
) -> None:
    """Write the zoo file (see zoo.py) of some CNNs of a foreign zoo.

    `model` is the published index where the source has one, else the place. Floating-point weights of any width are
    taken, as float32. The linear layer is left out for the whole zoo when the zoo's first CNN has none of its shape,
    or further linear layers after it: features need none. Every other tensor too many makes a CNN odd, for it would
    compute something else. Their class 0 must be the concept.

    Beside the weights: of a folder source/name (n,), the files or trials; of trials source/accuracy (n,) float32, the
    last that result.json tells (under the first of ACCURACIES that is there; on which images is not known), else NaN.

    Odd CNNs (corrupt, of other shapes, with NaN or Inf, an index twice, out of reach) are counted and named.

    Args:
        path: The zoo, as `find_zoo` takes it.
        output: The zoo file.
        concept: The concept of its CNNs.
        architecture: A name of `ARCHITECTURES`.
        models: The places of the CNNs: files in natural order, or the rows of an HDF5 by rising published index.
        names: Our layer -> theirs, where they differ.
        on_unreadable: "refuse" raises for odd CNNs, "skip" leaves them out and tells.
        say: Takes the lines that are told.

    Raises:
        ZooError: The zoo cannot be used, a CNN is odd, or none is left.
    """
    shapes, names = ARCHITECTURES[architecture].shapes, dict(names or {})
    layers = list(dict.fromkeys(name.partition(".")[0] for name in shapes))
    if unknown := [layer for layer in names if layer not in layers]:
        raise ZooError(f"layers: {', '.join(unknown)} is unknown; architecture {architecture} has {', '.join(layers)}.")
    layout = find_zoo(path)

    kept, odd = [], {}
    with foreign.reader():
        for place, label, model, read in (_rows_of if layout.kind == "HDF5" else _members_of)(
            layout, models, shapes, names, concept, say
        ):
            try:
                weights = read()
                if bad := [name for name, values in weights.items() if not np.isfinite(values).all()]:
                    raise Misfit(f"contains NaN or Inf: {', '.join(bad)}")
                kept.append((place, label, model, weights))
            except Misfit as error:
                odd[label] = str(error)[:2000]  # a foreign name may have any length
    if odd and (on_unreadable != "skip" or not kept):
        advice = ", or write images.unreadable: skip (they are then left out and counted)" if kept else ""
        raise ZooError(
            f"{printable(path)}: {len(odd)} of the {len(models)} CNNs {models.start} to {models.stop - 1} can't be "
            f"used:\n{_grouped(odd)}\nRepair or remove them{advice}."
        )

    arrays = {name: np.stack([weights[name] for *_, weights in kept]) for name in kept[0][3]}
    arrays["model"] = np.array([model for _, _, model, _ in kept], np.int32)
    if layout.kind != "HDF5":
        arrays["source/name"] = np.array([label for _, label, _, _ in kept])
    if layout.kind == "trials":
        accuracies = [last_accuracy(layout.members[place] / "result.json") for place, *_ in kept]
        arrays["source/accuracy"] = np.array(accuracies, np.float32)
    source = {"path": printable(path), "layout": layout.kind, "sha256": digest(path, models)}
    skipped = {"count": len(odd), "named": dict(list(odd.items())[:_NAMED])}
    files.write(
        output, "zoo", arrays, concept=concept, classes=[concept, "other"], architecture=architecture,
        source=source, places=[models.start, models.stop], layers=names, skipped=skipped,
    )  # fmt: skip
    say(f"{concept}: {len(kept)} CNNs imported from {printable(path)} ({layout.kind}).")
    if odd:
        say(f"{concept}: {len(odd)} CNNs are left out:\n{_grouped(odd)}")


# Place, label, index, and a reader that may raise Misfit.
_Read = Iterator[tuple[int, str, int, Callable[[], dict[str, np.ndarray]]]]


def _enough(path: Path, concept: str, models: range, held: int) -> None:
    if models.stop > held:
        raise ZooError(f"{printable(path)}: holds {held} CNNs; write concepts.{concept}.models: {held}, or fewer.")


def _rows_of(layout: Layout, models: range, shapes, names, concept: str, say) -> _Read:
    path = printable(layout.path)
    with _parameters(layout.path) as parameters:
        _enough(layout.path, concept, models, parameters.n)
        try:
            theirs = layer_names.matched(parameters.without_aliases(shapes, names), shapes, names)
        except Misfit as error:
            raise ZooError(f"{path}: {error}.") from None
        _tell_linear(theirs, shapes, printable(layout.path.name), say)
        for name in theirs.values():
            if not re.match(r"[<>]?f", parameters.dtypes[name]):
                raise ZooError(f"{path}: {name} is {parameters.dtypes[name]}; save it as float32.")
        index = parameters.index()
        order = np.argsort(index, kind="stable")
        again = np.append(False, np.diff(index[order]) == 0)[models.start : models.stop]
        order = order[models.start : models.stop]
        rising = np.sort(order)
        back = np.searchsorted(rising, order)
        arrays = {ours: parameters.rows(name, rising, shapes[ours])[back] for ours, name in theirs.items()}

    def read(place: int) -> dict[str, np.ndarray]:
        if again[place]:
            raise Misfit("an earlier row has the same model")
        return {name: values[place] for name, values in arrays.items()}

    for place, row in enumerate(order):
        yield place, f"row {row} (model {index[row]})", int(index[row]), functools.partial(read, place)


def _members_of(layout: Layout, models: range, shapes, names, concept: str, say) -> _Read:
    _enough(layout.path, concept, models, len(layout.members))
    if layout.kind != "safetensors":
        with foreign.reader() as child, contextlib.suppress(Unreadable):
            version = child.ask("torch_version", library="PyTorch")[0]["version"]
            if _has_hole(version):
                say(
                    f"torch {version} can be attacked by a forged state_dict (CVE-2026-24747): import only files "
                    "whose makers you trust, or install torch 2.10 or later."
                )
    linear = True
    for member in layout.members:  # the first CNN that fits decides for every shard whether there is a linear layer
        with contextlib.suppress(Misfit):
            theirs = layer_names.matched(_tensors(layout, member), shapes, names)
            linear = len(theirs) == len(shapes)
            _tell_linear(theirs, shapes, printable(member.name), say)
            break

    def read(member: Path) -> dict[str, np.ndarray]:
        theirs = layer_names.matched(_tensors(layout, member), shapes, names)
        if linear and len(theirs) < len(shapes):
            raise Misfit("has no linear layer that fits, and the zoo's first CNN has")
        wanted = {ours: name for ours, name in theirs.items() if linear or ours[:2] != "fc"}
        arrays = _asked("take", names=wanted, library="PyTorch")[1]
        if {ours: values.shape for ours, values in arrays.items()} != {ours: shapes[ours] for ours in wanted}:
            raise Misfit("truncated or corrupt")
        return arrays

    for place in models:
        member = layout.members[place]
        yield place, printable(member.name), place, functools.partial(read, member)


def _tell_linear(theirs: Mapping[str, str], shapes, first: str, say) -> None:
    if len(theirs) < len(shapes):
        say(f"The zoo's linear layers are left out: {first} has not the one of {shapes['fc1.weight']} alone.")


def _has_hole(version: str) -> bool:
    """Whether a version of PyTorch is older than 2.10."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return bool(numbers) and (int(numbers[1]), int(numbers[2])) < (2, 10)


def _tensors(layout: Layout, member: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors of one CNN's file, which the child keeps open; raises Misfit for anything else."""
    if layout.kind == "trials" and not os.path.isdir(member) and (fault := regular.fault(member)):
        raise Misfit(fault)
    file = checkpoint(member) if layout.kind == "trials" else member
    told = {"path": os.fspath(file), "safetensors": layout.kind == "safetensors", "largest": MAX_FILE}
    return {name: tuple(shape) for name, shape in _asked("state", library="PyTorch", **told)[0]["tensors"]}


def _asked(operation: str, **arguments) -> tuple[dict, dict[str, np.ndarray]]:
    try:
        with foreign.reader() as child:
            return child.ask(operation, **arguments)
    except Unreadable as error:
        raise Misfit(str(error)) from None


# ---------------------------------------------------------------------------------------------- HDF5


class _Stack:
    """The parameters of an HDF5, which the child keeps open."""

    def __init__(self, path: Path, child: foreign.Reader) -> None:
        self._path, self._child = path, child
        told = self.ask("hdf5_parameters", path=os.fspath(path))[0]
        self._addresses = {name: address for name, address, _, _ in told["parameters"]}
        self._shapes = {name: None if s is None else tuple(s) for name, _, s, _ in told["parameters"]}
        self.dtypes = {name: dtype for name, _, _, dtype in told["parameters"]}
        self._index = told["index"]
        self.n = self._rows(told["hint"])

    def ask(self, operation: str, **arguments) -> tuple[dict, dict[str, np.ndarray]]:
        try:
            return self._child.ask(operation, library="HDF5", **arguments)
        except Unreadable as error:
            raise _unreadable(self._path, error) from None

    def _rows(self, hint: str | None) -> int:
        path, lengths = printable(self._path), {name: (shape or ())[:1] for name, shape in self._shapes.items()}
        if not any(lengths.values()):
            is_other = f"{hint}, not a zoo: it " if hint else ""
            raise ZooError(
                f"{path}: {is_other}holds no stacked parameters; datasets conv1.weight (n, ...), conv1.bias are wanted."
            )
        if len(set(lengths.values())) > 1:
            told = shown(f"{name} {shape or 'without values'}" for name, shape in self._shapes.items())
            raise ZooError(f"{path}: parameters differ in their number of CNNs, the first axis: {told}.")
        if not (n := next(iter(lengths.values()))[0]):
            raise ZooError(f"{path}: holds 0 CNNs.")
        self.ask("hdf5_check", names=list(self._shapes))
        if n > MAX_CNNS:
            raise ZooError(f"{path}: holds {n:,} CNNs; at most {MAX_CNNS:,} are read. Divide it.")
        return n

    def without_aliases(self, shapes: Mapping, names: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
        """Name -> one CNN's shape; of a dataset with several names only the wanted one, else the shortest."""
        by_address: dict[int, list[str]] = {}
        wanted = {f"{names.get(layer, layer)}.{part}" for layer, part in (ours.split(".") for ours in shapes)}
        for name, address in self._addresses.items():
            by_address.setdefault(address, []).append(name)
        best = {min(same, key=lambda name: (name not in wanted, len(name), name)) for same in by_address.values()}
        return {name: shape[1:] for name, shape in self._shapes.items() if name in best or name in wanted}

    def index(self) -> np.ndarray:
        """(n,) int64: the published indices, else the places."""
        if self._index is None:
            return np.arange(self.n)
        shape, dtype = self._index
        if shape != [self.n] or not re.match(r"[<>]?(u?int|[iu]\d)", dtype):
            raise ZooError(
                f"{printable(self._path)}: model is not ({self.n},) whole numbers; correct it, or leave it out."
            )
        told, arrays = self.ask("hdf5_index", largest=2**31 - 1)
        lowest, highest = told["range"]
        if "values" not in arrays or arrays["values"].shape != (self.n,):
            raise ZooError(
                f"{printable(self._path)}: model has indices from {lowest} to {highest}; write 0 to {2**31 - 1}."
            )
        return arrays["values"]

    def rows(self, name: str, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """(rows, ...) float32 of one dataset; rows rise."""
        at_once = max(1, foreign.LARGEST // 16 // int(np.prod(shape)))
        parts = []
        for start in range(0, len(rows), at_once):
            wanted = rows[start : start + at_once].tolist()
            values = self.ask("hdf5_rows", name=name, rows=wanted)[1]["values"]
            if values.shape != (len(wanted), *shape):
                raise ZooError(f"{printable(self._path)}: truncated or corrupt. Fetch it again.")
            parts.append(values)
        return np.concatenate(parts)


@contextlib.contextmanager
def _parameters(path: Path) -> Iterator[_Stack]:
    with foreign.reader() as child:
        stack = _Stack(path, child)
        yield stack
        with contextlib.suppress(Unreadable):
            child.ask("close", library="HDF5")


def _unreadable(path: Path, error: Unreadable) -> ZooError:
    corrupt = str(error).startswith("truncated or corrupt")
    told = f"truncated, corrupt or not HDF5{str(error)[20:]}. Fetch it again" if corrupt else str(error)
    return ZooError(f"{printable(path)}: {told}.")


# ---------------------------------------------------------------------------------------------- generators


def import_generators(
    path: str | os.PathLike, layer: str, output: Path, architecture: str = "published", pair: str = ""
) -> None:
    """Write a conv layer's generators, as methods/cyclegan/io.py does, without a history.

    Args:
        path: An HDF5 with, for each layer, A2B and B2A, each 0.weight (hidden, c, 3, 3, 3), 0.bias (hidden,),
            2.weight (c, hidden, 3, 3, 3), 2.bias (c,), where c is the layer's input channels. Domain A is the
            fusion's concept a.
        layer: conv1 and so on.
        output: The file to write.
        architecture: A name of `ARCHITECTURES`.
        pair: Two neighbours of a fusion of more than two concepts, such as -bc; A is the first of them. The
            group in the file is then conv1-bc.

    Raises:
        ZooError: Something is missing, too much, of another shape or contains NaN or Inf.
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
            generators = {way: _generator(path, child, f"{layer}{pair}/{way}", channels) for way in ("A2B", "B2A")}
            with contextlib.suppress(Unreadable):
                child.ask("close", library="HDF5")
        except Unreadable as error:
            raise _unreadable(path, error) from None
    source = {"path": printable(path), "sha256": digest(path)}
    write_generators(output, Trained(generators, {}), layer=f"{layer}{pair}", source=source)


def _generator(path: Path, child: foreign.Reader, group: str, channels: int) -> dict[str, np.ndarray]:
    told = child.ask("hdf5_group", path=os.fspath(path), group=group, library="HDF5")[0]
    name = printable(path)
    if told["held"] is None:
        raise ZooError(f"{name}: has no group {group}; it holds {shown(told['top']) or 'nothing'}.")
    held = {own: None if shape is None else tuple(shape) for own, shape, _ in told["held"]}
    hidden = next(iter(held.get("0.bias") or ()), 64)
    wanted = {
        "0.weight": (hidden, channels, 3, 3, 3),
        "0.bias": (hidden,),
        "2.weight": (channels, hidden, 3, 3, 3),
        "2.bias": (channels,),
    }
    if held != wanted:
        forms = [", ".join(f"{own} {shape}" for own, shape in sorted(s.items())) or "nothing" for s in (held, wanted)]
        raise ZooError(f"{name}: {group} holds {forms[0]}; wanted is {forms[1]}.")
    if hidden > _HIDDEN:
        raise ZooError(f"{name}: {group} has {hidden:,} hidden channels; at most {_HIDDEN:,} are read.")
    is_float = {own: bool(re.match(r"[<>]?f", dtype)) for own, _, dtype in told["held"]}
    arrays = {
        own: child.ask("hdf5_values", name=f"{group}/{own}", library="HDF5")[1]["values"] if is_float[own] else None
        for own in wanted
    }
    if bad := [own for own, v in arrays.items() if v is None or v.shape != wanted[own] or not np.isfinite(v).all()]:
        raise ZooError(
            f"{name}: {group} contains NaN or Inf, or what are no floating-point numbers, in {', '.join(bad)}."
        )
    return arrays


# ---------------------------------------------------------------------------------------------- messages


def _grouped(odd: Mapping[str, str]) -> str:
    """The first odd CNNs by cause, one line for each cause."""
    causes: dict[str, list[str]] = {}
    for label, cause in odd.items():
        causes.setdefault(cause, []).append(label)
    lines, room = [], _NAMED
    for cause, labels in causes.items():
        if room:
            more = f" and {len(labels) - room} more" if len(labels) > room else ""
            lines.append(f"  {', '.join(labels[:room])}{more}: {cause}")
            room -= min(room, len(labels))
        else:
            lines.append(f"  and {len(odd) - _NAMED} more")
            break
    return "\n".join(lines)
