"""Other people's zoos and generators, checked and written as this project's files. Finding and counting needs no torch.

A zoo is one of
* an HDF5 with stacked parameters: datasets conv1.weight (n, 6, 3, 5, 5), ... (or conv1/weight), one row for each CNN,
  and model (n,), their published indices, where there are such;
* a folder of PyTorch state_dicts, .pt or .pth, one for each CNN;
* a folder of .safetensors, one for each CNN;
* a folder of trials as Ray Tune leaves them: each a folder with result.json, one JSON object a line, and
  checkpoint_NNNNNN/checkpoints, of which the highest number counts.

Files are data, never programs: a pickle is read with PyTorch's weights_only and in the zip format only, because older
formats have got past that check (CVE-2025-32434). A file is read whole, once, and only up to MAX_FILE bytes.
"""

import contextlib
import functools
import hashlib
import io
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from zoofuse import files

MAX_FILE = 16 * 2**20  # bytes of one CNN's file, as it lies there and unpacked; the published CNN takes 15 thousand
CHECKPOINTS = ("checkpoints", "checkpoint", "checkpoint.pt", "checkpoint.pth", "model.pt", "model.pth")
NESTED = ("state_dict", "model_state_dict", "net_state_dict", "model_state", "model", "net", "network", "weights")
ACCURACIES = ("accuracy", "mean_accuracy", "val_accuracy", "validation_accuracy", "acc")

_KINDS = {".pt": "state_dicts", ".pth": "state_dicts", ".safetensors": "safetensors", ".h5": "HDF5", ".hdf5": "HDF5"}
_WANTED = "Name an HDF5 of stacked parameters, or a folder of .pt, .pth or .safetensors files, or of Ray Tune trials."
_NAMED = 10  # faults, files and tensors named in a message


class ZooError(ValueError):
    """A foreign zoo or generator file that can't be used; the message names what is wrong and what to write instead."""


class _Odd(Exception):
    """What is wrong with one CNN."""


@dataclass(frozen=True)
class Layout:
    """What lies at a path, in natural order of the names (cnn_2 before cnn_10)."""

    kind: str  # "HDF5", "state_dicts", "safetensors" or "trials"
    path: Path
    members: tuple[Path, ...]  # one file, or one trial's folder, for each CNN; the one file of an HDF5


# ---------------------------------------------------------------------------------------------- found and counted


def find_zoo(path: str | os.PathLike) -> Layout:
    """Which of the four layouts lies at `path`; hidden files and files of other kinds are passed over.

    Raises ZooError when there is nothing, nothing usable, or more than one layout at once.
    """
    path = Path(path)
    if path.is_file():
        if h5py.is_hdf5(path):
            return Layout("HDF5", path, (path,))
        one = "holds one CNN; name the folder it lies in." if path.suffix.lower() in _KINDS else "is no zoo."
        raise ZooError(f"{path}: {'damaged, or not HDF5.' if _kind(path) == 'HDF5' else one} {_WANTED}")
    if not path.is_dir():
        raise ZooError(f"{path}: no such file or folder. {_WANTED}")
    found: dict[str, list[Path]] = {}
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            kind = _kind(Path(entry.name)) if entry.is_file() else "trials" if _is_trial(entry) else None
            if kind:
                found.setdefault(kind, []).append(path / entry.name)
    stacks = found.pop("HDF5", [])
    if not found:
        hint = f"It holds {_short(sorted(p.name for p in stacks))}: name one of them. " if stacks else ""
        raise ZooError(f"{path}: no CNN lies in this folder. {hint}{_WANTED}")
    if len(found) > 1:
        counts = " and ".join(f"{len(members)} {kind}" for kind, members in sorted(found.items()))
        raise ZooError(f"{path}: holds {counts}; a zoo is of one kind. Put each kind in a folder of its own.")
    ((kind, members),) = found.items()
    return Layout(kind, path, tuple(sorted(members, key=lambda member: _natural(member.name))))


def count(path: str | os.PathLike) -> int:
    """How many CNNs a zoo holds, odd ones included; opens no CNN. Raises ZooError as `find_zoo`."""
    return _count(find_zoo(path))


def _count(layout: Layout) -> int:
    if layout.kind != "HDF5":
        return len(layout.members)
    with _opened(layout.path) as handle:
        return _rows(layout.path, _parameters(handle))


def digest(path: str | os.PathLike, models: range | None = None) -> str:
    """SHA-256 over the names and bytes of what the CNNs at these places (all by default) are read from.

    An HDF5 counts as a whole. A file larger than MAX_FILE, which is never read, counts by its size.
    """
    layout = find_zoo(path)
    members = layout.members if models is None or layout.kind == "HDF5" else layout.members[models.start : models.stop]
    read = [file for member in members for file in _files(layout, member)]
    whole = layout.kind == "HDF5"
    return files.digest({file.relative_to(layout.path).as_posix(): _sha256(file, whole) for file in read})


def _kind(path: Path) -> str | None:
    return _KINDS.get(path.suffix.lower())


def _is_trial(entry: os.DirEntry) -> bool:
    names = os.listdir(entry.path) if entry.is_dir() else []
    return any(name == "result.json" or name.startswith("checkpoint_") for name in names)


def _natural(name: str) -> tuple:
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _files(layout: Layout, member: Path) -> list[Path]:
    """What a member's CNN is read from."""
    if layout.kind != "trials":
        return [member]
    found = [member / "result.json"] if (member / "result.json").is_file() else []
    with contextlib.suppress(_Odd):
        found.append(_checkpoint(member))
    return found


def _checkpoint(trial: Path) -> Path:
    """The file of the highest-numbered checkpoint."""
    numbered = {int(p.name[11:]): p for p in trial.glob("checkpoint_*") if re.fullmatch("[0-9]+", p.name[11:])}
    if not numbered:
        raise _Odd("has no checkpoint_NNNNNN")
    last = numbered[max(numbered)]
    for name in CHECKPOINTS:
        if (last / name).is_file():
            return last / name
    raise _Odd(f"{last.name} holds none of {', '.join(CHECKPOINTS)}")


def _sha256(path: Path, whole: bool) -> str:
    stat = path.stat()
    if stat.st_size > MAX_FILE and not whole:
        return f"{stat.st_size} bytes"
    return _hashed(path, stat.st_size, stat.st_mtime_ns)


@functools.cache  # an HDF5 is one file to all shards
def _hashed(path: Path, size: int, changed: int) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


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
    """Write the zoo file (see zoo.py) of the CNNs at the places `models`: files in natural order, or the rows of an
    HDF5 by rising published index.

    `model` is the published index where the source has one, else the place. names: our layer -> theirs, where they
    differ. Floating-point weights of any width are taken, as float32. The linear layer is left out for the whole zoo
    when the zoo's first CNN has none of its shape, or further linear layers after it: features need none. Every
    other tensor too many makes a CNN odd, for it would compute something else. Their class 0 must be the concept.

    Beside the weights: of a folder source/name (n,), the files or trials; of trials source/accuracy (n,) float32, the
    last that result.json tells (under the first of ACCURACIES that is there; on which images is not known), else NaN.

    Odd CNNs (damaged, of other shapes, not finite, an index twice) are counted and named by ZooError, or, with
    `on_unreadable` "skip", left out and told; ZooError also when none is left.
    """
    from zoofuse import cnn

    shapes, names = cnn.ARCHITECTURES[architecture].shapes, dict(names or {})
    layers = list(dict.fromkeys(name.partition(".")[0] for name in shapes))
    if unknown := [layer for layer in names if layer not in layers]:
        raise ZooError(f"layers: {', '.join(unknown)} is unknown; architecture {architecture} has {', '.join(layers)}.")
    layout = find_zoo(path)
    if models.stop > (total := _count(layout)):
        raise ZooError(f"{path}: holds {total} CNNs; write concepts.{concept}.models: {total}, or fewer.")

    kept, odd = [], {}
    for label, model, read in (_rows_of if layout.kind == "HDF5" else _members_of)(layout, models, shapes, names, say):
        try:
            weights = read()
            if bad := [name for name, values in weights.items() if not np.isfinite(values).all()]:
                raise _Odd(f"not finite: {', '.join(bad)}")
            kept.append((label, model, weights))
        except _Odd as error:
            odd[label] = str(error)[:500]  # a foreign name may have any length
    if odd and (on_unreadable != "skip" or not kept):
        advice = ", or write images.unreadable: skip (they are then left out and counted)" if kept else ""
        raise ZooError(
            f"{path}: {len(odd)} of the {len(models)} CNNs {models.start} to {models.stop - 1} can't be used:\n"
            f"{_grouped(odd)}\nRepair or remove them{advice}."
        )

    arrays = {name: np.stack([weights[name] for _, _, weights in kept]) for name in kept[0][2]}
    arrays["model"] = np.array([model for _, model, _ in kept], np.int32)
    if layout.kind != "HDF5":
        arrays["source/name"] = np.array([label for label, _, _ in kept])
    if layout.kind == "trials":
        accuracies = [_accuracy(layout.path / label / "result.json") for label, _, _ in kept]
        arrays["source/accuracy"] = np.array(accuracies, np.float32)
    source = {"path": str(path), "layout": layout.kind, "sha256": digest(path, models)}
    skipped = {"count": len(odd), "named": dict(list(odd.items())[:_NAMED])}
    files.write(
        output, "zoo", arrays, concept=concept, classes=[concept, "other"], architecture=architecture,
        source=source, places=[models.start, models.stop], layers=names, skipped=skipped,
    )  # fmt: skip
    say(f"{concept}: {len(kept)} CNNs imported from {path} ({layout.kind}).")
    if odd:
        say(f"{concept}: {len(odd)} CNNs are left out:\n{_grouped(odd)}")


_Read = Iterator[tuple[str, int, Callable[[], dict[str, np.ndarray]]]]  # label, index, reader that may raise _Odd


def _rows_of(layout: Layout, models: range, shapes, names, say) -> _Read:
    with _opened(layout.path) as handle:
        parameters = _parameters(handle)
        try:
            theirs = _matched({name: d.shape[1:] for name, d in parameters.items()}, shapes, names)
        except _Odd as error:
            raise ZooError(f"{layout.path}: {error}.") from None
        _tell_linear(theirs, shapes, layout.path.name, say)
        index = _index(layout.path, handle, _rows(layout.path, parameters))
        order = np.argsort(index, kind="stable")
        again = np.append(False, np.diff(index[order]) == 0)[models.start : models.stop]
        order = order[models.start : models.stop]
        low, high = order.min(), order.max() + 1
        arrays = {}
        for ours, name in theirs.items():
            if parameters[name].dtype.kind != "f":
                raise ZooError(f"{layout.path}: {name} is {parameters[name].dtype}; save it as float32.")
            arrays[ours] = _float32(parameters[name][low:high])[order - low]

    def read(place: int) -> dict[str, np.ndarray]:
        if again[place]:
            raise _Odd("an earlier row has the same model")
        return {name: values[place] for name, values in arrays.items()}

    for place, row in enumerate(order):
        yield f"row {row} (model {index[row]})", int(index[row]), functools.partial(read, place)


def _members_of(layout: Layout, models: range, shapes, names, say) -> _Read:
    import torch

    if layout.kind != "safetensors" and torch.__version__ < (2, 10):
        say(
            f"torch {torch.__version__} can be attacked by a forged state_dict (CVE-2026-24747): import only files "
            "whose makers you trust, or install torch 2.10 or later."
        )
    linear = True
    for member in layout.members:  # the first CNN that fits decides for every shard whether there is a linear layer
        with contextlib.suppress(_Odd):
            theirs = _matched(_shapes(_tensors(layout, member)), shapes, names)
            linear = len(theirs) == len(shapes)
            _tell_linear(theirs, shapes, member.name, say)
            break

    def read(member: Path) -> dict[str, np.ndarray]:
        tensors = _tensors(layout, member)
        theirs = _matched(_shapes(tensors), shapes, names)
        if linear and len(theirs) < len(shapes):
            raise _Odd("has no linear layer that fits, and the zoo's first CNN has")
        return {ours: _array(name, tensors[name]) for ours, name in theirs.items() if linear or ours[:2] != "fc"}

    for place in models:
        member = layout.members[place]
        yield member.name, place, functools.partial(read, member)


def _tell_linear(theirs: Mapping[str, str], shapes, first: str, say) -> None:
    if len(theirs) < len(shapes):
        say(f"The zoo's linear layers are left out: {first} has not the one of {shapes['fc1.weight']} alone.")


# ---------------------------------------------------------------------------------------------- names and shapes


def _matched(found: Mapping[str, tuple], shapes: Mapping[str, tuple], names: Mapping[str, str]) -> dict[str, str]:
    """Our tensor -> theirs, without the linear layer where theirs is another; _Odd says what does not fit."""
    theirs = {ours: f"{names.get(layer, layer)}.{part}" for ours in shapes for layer, part in [ours.split(".")]}
    spare = {name: shape for name, shape in found.items() if name not in theirs.values()}
    missing = [ours for ours, name in theirs.items() if name not in found]
    proposed = _proposed(spare, shapes, missing)
    is_head = "fc1" not in names and "fc1" not in proposed  # only then may a linear layer be missing or another
    needed = [ours for ours in shapes if not (is_head and ours.startswith("fc1."))]
    if lacking := [theirs[ours] for ours in missing if ours in needed]:
        held = _short(f"{name} {shape}" for name, shape in found.items()) or "nothing"
        raise _Odd(f"has no {', '.join(lacking)}; it holds {held}. {_advice(proposed, shapes, missing)}")
    if wrong := [ours for ours in needed if found[theirs[ours]] != shapes[ours]]:
        raise _Odd("; ".join(f"{theirs[ours]} is {found[theirs[ours]]}, not {shapes[ours]}" for ours in wrong))
    if further := [f"{name} {shape}" for name, shape in spare.items() if not _is_linear(name, shape, found)]:
        raise _Odd(f"is of another architecture: it also holds {_short(further)}")
    fits = all(found.get(theirs[ours]) == shape for ours, shape in shapes.items())
    return theirs if fits and not spare else {ours: name for ours, name in theirs.items() if ours[:2] != "fc"}


def _is_linear(name: str, shape: tuple, found: Mapping[str, tuple]) -> bool:
    """Weight (out, in), or the bias (out,) of one."""
    layer, _, part = name.rpartition(".")
    weight = found.get(f"{layer}.weight", ())
    return len(weight) == 2 and (part == "weight" or (part == "bias" and shape == weight[:1]))


def _proposed(spare: Mapping[str, tuple], shapes: Mapping[str, tuple], missing: list[str]) -> dict[str, list[str]]:
    """Our missing layer -> their spare layers whose shapes fit."""
    proposed = {}
    for layer in dict.fromkeys(name.partition(".")[0] for name in missing if name.endswith(".weight")):
        wanted = {part: shapes[f"{layer}.{part}"] for part in ("weight", "bias")}
        candidates = [name.removesuffix(".weight") for name in spare if name.endswith(".weight")]
        fitting = [c for c in candidates if all(spare.get(f"{c}.{part}") == shape for part, shape in wanted.items())]
        if fitting:
            proposed[layer] = fitting
    return proposed


def _advice(proposed: dict[str, list[str]], shapes: Mapping[str, tuple], missing: list[str]) -> str:
    """What to write, for the user to judge: equal shapes need not be the same layer."""
    layers = [name.partition(".")[0] for name in missing if name.endswith(".weight")]
    if not_there := [layer for layer in layers if layer not in proposed and layer != "fc1"]:
        return "None of these fits " + ", ".join(f"{layer} {shapes[f'{layer}.weight']}" for layer in not_there)
    if not proposed:
        return "Every layer needs a weight and a bias"
    told = ", ".join(f"{layer}: {' or '.join(fitting)}" for layer, fitting in proposed.items())
    return f"By their shapes, write layers: {{{told}}}"


# ---------------------------------------------------------------------------------------------- one file


def _tensors(layout: Layout, member: Path) -> dict:
    """The named tensors of one CNN's file; raises _Odd for anything else."""
    file = _checkpoint(member) if layout.kind == "trials" else member
    try:
        with open(file, "rb") as handle:
            data = handle.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise _Odd(f"{file.stat().st_size:,} bytes; at most {MAX_FILE:,} are read")
        tensors = _from_safetensors(data) if layout.kind == "safetensors" else _from_torch(data)
    except _Odd:
        raise
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        cause = f"it asks for {wanted[1]}" if wanted else "it is no plain state_dict"
        raise _Odd(f"refused and not run: {cause}; save net.state_dict() alone") from None
    except Exception as error:  # whatever a reader says about a damaged or forged file, it is one odd CNN
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise _Odd(f"truncated or damaged ({reason})") from None
    for prefix in ("module.", "_orig_mod."):  # of DataParallel and of torch.compile
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _from_torch(data: bytes) -> dict:
    import torch

    if not data:
        raise _Odd("empty file")
    if data[:4] != b"PK\x03\x04":
        raise _Odd("no file of torch.save's zip format (PyTorch 1.6 or later), not opened; save it anew")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > MAX_FILE:
        raise _Odd(f"{unpacked:,} bytes unpacked; at most {MAX_FILE:,} are read")
    return _state_dict(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))


def _from_safetensors(data: bytes) -> dict:
    from safetensors.torch import load

    return load(data)


def _state_dict(loaded) -> dict:
    """The tensors of a state_dict, also of the first of a tuple, or under one of the names NESTED."""
    import torch

    if isinstance(loaded, tuple | list) and loaded:
        return _state_dict(loaded[0])
    if not isinstance(loaded, Mapping):
        raise _Odd(f"holds no state_dict but {type(loaded).__name__}")
    for name in NESTED:
        if isinstance(loaded.get(name), Mapping):
            return _state_dict(loaded[name])
    tensors = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise _Odd(f"holds no tensors and no state_dict, only {_short(map(str, loaded)) or 'an empty dict'}")
    return tensors


def _shapes(tensors: Mapping) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _array(name: str, tensor) -> np.ndarray:
    """A tensor whose shape is known to be right, as float32."""
    if not tensor.is_floating_point() or tensor.device.type != "cpu" or str(tensor.layout) != "torch.strided":
        raise _Odd(f"{name} is {tensor.dtype}; save it as a plain float32 tensor")
    return tensor.detach().float().numpy()


def _accuracy(result: Path) -> float:
    """The last accuracy of a result.json, NaN when it tells none; a line that was cut off is passed over."""
    try:
        with open(result, "rb") as handle:
            handle.seek(max(0, result.stat().st_size - 2**20))
            lines = handle.read().splitlines()
    except OSError:
        return float("nan")
    for line in reversed(lines):
        with contextlib.suppress(ValueError, RecursionError):
            told = json.loads(line)
            for name in ACCURACIES if isinstance(told, dict) else ():
                if type(told.get(name)) in (int, float):
                    return float(told[name])
    return float("nan")


# ---------------------------------------------------------------------------------------------- HDF5


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise ZooError(f"{path}: no such file.")
    try:
        with h5py.File(path, "r") as handle:
            if outside := files.links_outside(handle):
                raise ZooError(f"{path}: {outside} lies in another file, which is not read; copy it into this one.")
            yield handle
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as error:
        raise ZooError(f"{path}: truncated, damaged or not HDF5 ({error}). Fetch it again.") from error


def _parameters(handle: h5py.File) -> dict[str, h5py.Dataset]:
    """The datasets called weight or bias, by names with a dot before that; a zoo file's own extras are none."""
    found = {}

    def visit(name: str, item) -> None:
        name = re.sub("/(weight|bias)$", r".\1", name)
        if isinstance(item, h5py.Dataset) and name.endswith((".weight", ".bias")):
            found[name] = item

    handle.visititems(visit)
    return {name: item for name, item in found.items() if not name.startswith(("history/", "checkpoints/"))}


def _rows(path: Path, parameters: Mapping[str, h5py.Dataset]) -> int:
    lengths = {name: dataset.shape[:1] for name, dataset in parameters.items()}
    if not any(lengths.values()):
        raise ZooError(f"{path}: holds no stacked parameters; datasets conv1.weight (n, ...), conv1.bias are wanted.")
    if len(set(lengths.values())) > 1:
        told = _short(f"{name} {parameters[name].shape}" for name in lengths)
        raise ZooError(f"{path}: parameters differ in their number of CNNs, the first axis: {told}.")
    if not (n := next(iter(lengths.values()))[0]):
        raise ZooError(f"{path}: holds 0 CNNs.")
    return n


def _index(path: Path, handle: h5py.File, n: int) -> np.ndarray:
    """(n,) int64: the published indices, else the places."""
    if "model" not in handle:
        return np.arange(n)
    index = handle["model"]
    if not isinstance(index, h5py.Dataset) or index.shape != (n,) or index.dtype.kind not in "iu":
        raise ZooError(f"{path}: model is not ({n},) whole numbers; correct it, or leave it out.")
    index = index[...]
    if index.min() < 0 or index.max() >= 2**31:
        raise ZooError(f"{path}: model has indices from {index.min()} to {index.max()}; write 0 to {2**31 - 1}.")
    return index.astype(np.int64)


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # becomes infinite, which is told
        return values.astype(np.float32)


# ---------------------------------------------------------------------------------------------- generators


def import_generators(path: str | os.PathLike, layer: str, output: Path, architecture: str = "published") -> None:
    """Write a conv layer's generators, as `cyclegan.write_generators` does, without a history.

    path: an HDF5 with, for each layer, A2B and B2A, each 0.weight (hidden, c, 3, 3, 3), 0.bias (hidden,), 2.weight (c,
    hidden, 3, 3, 3), 2.bias (c,), where c is the layer's input channels. Domain A is the fusion's concept a. Where a
    fusion has more than two concepts, a layer is named with two neighbours, conv1-bc, and A is the first of them.
    Raises ZooError when something is missing, too much, of another shape or not finite.
    """
    from zoofuse import cnn, cyclegan

    path = Path(path)
    channels = cnn.ARCHITECTURES[architecture].shapes[f"{layer.split('-')[0]}.weight"][1]
    with _opened(path) as handle:
        generators = {way: _generator(path, handle, f"{layer}/{way}", channels) for way in ("A2B", "B2A")}
    source = {"path": str(path), "sha256": digest(path)}
    cyclegan.write_generators(output, cyclegan.Trained(generators, {}), layer=layer, source=source)


def _generator(path: Path, handle: h5py.File, group: str, channels: int) -> dict[str, np.ndarray]:
    if not isinstance(handle.get(group), h5py.Group):
        raise ZooError(f"{path}: has no group {group}; it holds {_short(handle) or 'nothing'}.")
    found = {name: item for name, item in handle[group].items() if isinstance(item, h5py.Dataset)}
    held = {name: item.shape for name, item in found.items()}
    hidden = next(iter(held.get("0.bias", ())), 64)
    wanted = {
        "0.weight": (hidden, channels, 3, 3, 3),
        "0.bias": (hidden,),
        "2.weight": (channels, hidden, 3, 3, 3),
        "2.bias": (channels,),
    }
    if held != wanted:
        told = [", ".join(f"{name} {shape}" for name, shape in sorted(s.items())) or "nothing" for s in (held, wanted)]
        raise ZooError(f"{path}: {group} holds {told[0]}; wanted is {told[1]}.")
    arrays = {name: _float32(found[name][...]) if found[name].dtype.kind == "f" else None for name in wanted}
    if bad := [name for name, values in arrays.items() if values is None or not np.isfinite(values).all()]:
        raise ZooError(f"{path}: {group} holds values that are no finite floats in {', '.join(bad)}.")
    return arrays


# ---------------------------------------------------------------------------------------------- messages


def _short(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


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
