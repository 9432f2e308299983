"""What the child process of `foreign` does: read HDF5, torch.save and safetensors files, bounded beforehand.

Each public function but `load`, `is_loaded` and `damage` is one request: it returns values that JSON can hold, and
arrays. Between two requests the child keeps the file that was opened last.
"""

import contextlib
import io
import math
import pickle
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

from zoofuse.core import regular
from zoofuse.core.text import visible
from zoofuse.importers import formats
from zoofuse.importers.foreign import Unreadable

LINKS = 10_000  # names in an HDF5; a zoo of stacked parameters has a few dozen
DEPTH = 64  # groups within groups, and soft links that name soft links
CHUNK = 2**28  # bytes of one chunk; h5py's own choice is at most 2**20
PACKED = 1100  # times that deflate makes data smaller at most
BLOCK = 2**24  # bytes read at a time
GAP = 16  # rows that are read and thrown away rather than asked for apart
TENSORS = 10_000  # in one state_dict
NAME = 300  # characters of a foreign name that are shown
NESTED = ("state_dict", "model_state_dict", "net_state_dict", "model_state", "model", "net", "network", "weights")
_COPY = re.compile("(^|[^a-z])(ema|swa|avg|averaged)([^a-z]|$)")  # of the keys under which averaged weights lie

_open: dict = {}  # name -> dataset or tensor of the file opened last
_file: dict = {}  # that file, where it is an HDF5: the h5py.File and its size


def is_loaded(library: str | None) -> bool:
    """Whether a library of `load` has been loaded."""
    return library == "HDF5" or "torch" in sys.modules if library else True


def load(library: str | None) -> None:
    """Load what a request needs, before memory is limited."""
    if library == "HDF5":
        import h5py  # noqa: F401
    elif library:
        import torch
        from safetensors.torch import load  # noqa: F401

        torch.set_num_threads(1)


def _shown(name: str) -> str:
    """A foreign name, cut and on one line."""
    clean = name[:NAME].encode("utf-8", "replace").decode()
    return visible(clean).replace("\n", "\\n").replace("\t", "\\t")


def damage(error: Exception) -> str:
    """What a library says about a file that it cannot read; never PyTorch's advice to run what the file holds."""
    reason = (str(error).strip("'\" ").splitlines() or [""])[0].strip()
    if not reason or "weights_only" in reason:
        reason = type(error).__name__
    return f"truncated or corrupt ({_shown(reason)})"


# ---------------------------------------------------------------------------------------------- HDF5


def hdf5_parameters(path: str) -> tuple[dict, dict]:
    """Open an HDF5 and list the datasets called weight or bias, by names with a dot before that, and its index.

    Returns:
        parameters: for each its name, its address, its shape (null where it has none) and its dtype; a dataset of two
        names is listed twice. index: the shape and dtype of dataset "model", null where there is none. hint: what the
        file is, if it is known and is not a zoo.
    """
    root = _opened(path)
    found: dict[str, tuple] = {}
    is_keras = any(_has(root, name) for name in ("keras_version", "layer_names"))
    for name, item, address in _walk(root):
        if not hasattr(item, "get_storage_size"):
            is_keras |= name == "model_weights"
            continue
        renamed = re.sub("/(weight|bias)$", r".\1", name)
        is_parameter = renamed.endswith((".weight", ".bias")) and not name.startswith(("history/", "checkpoints/"))
        if is_parameter or name == "model":
            key = _shown(renamed)
            if key in found and found[key][1] != address:
                raise Unreadable(f"holds two datasets called {key}; remove one")
            found[key] = (item, address)
    _open.update({name: item for name, (item, _) in found.items()})
    listed = [[name, address, *_form(item)] for name, (item, address) in found.items() if name != "model"]
    index = list(_form(found["model"][0])) if "model" in found else None
    return {"parameters": listed, "index": index, "hint": "a Keras model" if is_keras else None}, {}


def hdf5_group(path: str, group: str) -> tuple[dict, dict]:
    """Open an HDF5 and list the datasets of one group.

    Returns:
        held: for each its name, shape and dtype; null where there is no such group. top: the names at the top.
    """
    held: list | None = None
    top = []
    for name, item, _ in _walk(_opened(path)):
        parent, _, own = name.rpartition("/")
        if not parent:
            top.append(_shown(name))
        if name == group and not hasattr(item, "get_storage_size"):
            held = held or []
        elif parent == group and hasattr(item, "get_storage_size"):
            _open[_shown(name)] = item
            held = [*(held or []), [_shown(own), *_form(item)]]
    return {"held": held, "top": sorted(top)}, {}


def hdf5_check(names: list[str]) -> tuple[dict, dict]:
    """Check that what the datasets claim to hold can lie in the file; raises Unreadable."""
    for name in names:
        _plausible(name, _open[name])
    return {}, {}


def hdf5_rows(name: str, rows: list[int]) -> tuple[dict, dict]:
    """Some rows of a dataset, whose first axis is the CNN, as float32.

    Args:
        name: As it was listed.
        rows: Rising; read in blocks, so that rows far apart do not cost those between.
    """
    import h5py

    dataset, rows = h5py.Dataset(_open[name]), np.array(rows)
    _plausible(name, _open[name])
    each = max(1, math.prod(dataset.shape[1:]) * max(4, dataset.dtype.itemsize))
    values = np.empty((len(rows), *dataset.shape[1:]), np.float32)
    start = 0
    while start < len(rows):
        last = start + 1
        while last < len(rows) and rows[last] - rows[last - 1] <= GAP and (rows[last] - rows[start]) * each < BLOCK:
            last += 1
        low = rows[start]
        block = dataset[low : rows[last - 1] + 1]
        values[start:last] = _float32(block)[rows[start:last] - low]
        start = last
    return {}, {"values": values}


def hdf5_values(name: str) -> tuple[dict, dict]:
    """All of a small dataset as float32."""
    import h5py

    _plausible(name, _open[name])
    dataset = h5py.Dataset(_open[name])
    if dataset.size * max(4, dataset.dtype.itemsize) > 4 * BLOCK:
        raise Unreadable(f"{_shown(name)} {dataset.shape} is larger than {4 * BLOCK:,} bytes")
    return {}, {"values": _float32(dataset[...])}


def hdf5_index(largest: int) -> tuple[dict, dict]:
    """Dataset "model" as int64.

    Returns:
        range: its lowest and highest value. values: left out where these are not 0 to `largest`.
    """
    import h5py

    _plausible("model", _open["model"])
    index = h5py.Dataset(_open["model"])[...]
    lowest, highest = int(index.min()), int(index.max())
    arrays = {"values": index.astype(np.int64)} if lowest >= 0 and highest <= largest else {}
    return {"range": [lowest, highest]}, arrays


def close() -> tuple[dict, dict]:
    """Forget the file opened last."""
    _open.clear()
    if file := _file.pop("file", None):
        file.close()
    return {}, {}


def _opened(path: str):
    """The root group of an HDF5, which stays open until the next file is opened."""
    import h5py

    close()
    with regular.open_regular(path) as handle:
        _file["size"] = handle.seek(0, 2)
    _file["file"] = h5py.File(path, "r", rdcc_nbytes=CHUNK)
    return h5py.h5o.open(_file["file"].id, b"/")


def _walk(root) -> Iterator[tuple[str, object, int]]:
    """Every name in an HDF5 but those that lead nowhere: the name, the open dataset or group, and its address.

    Raises Unreadable for a link to another file and for more names than a zoo has. A group within itself is not entered
    again.
    """
    import h5py

    names: list[bytes] = []

    def take(name: bytes) -> bool | None:
        names.append(name)
        return True if len(names) > left else None  # ends the iteration

    left, stack = LINKS, [("", root, ())]
    while stack:
        prefix, group, above = stack.pop()
        names.clear()
        group.links.iterate(take)
        left -= len(names)
        if left < 0:
            raise Unreadable(
                f"holds more than {LINKS:,} names, so it is not a zoo of stacked parameters: these have one dataset "
                "for each parameter, whose first axis is the CNN"
            )
        for raw in list(names):
            name = prefix + raw.decode("utf-8", "backslashreplace")
            item = _followed(root, group, raw, name)
            if item is None or isinstance(item, h5py.h5t.TypeID):
                continue
            if isinstance(item, h5py.h5d.DatasetID):
                _inside(name, item)
            address = h5py.h5o.get_info(item).addr
            yield name, item, address
            if isinstance(item, h5py.h5g.GroupID) and address not in above:
                if len(above) >= DEPTH:
                    raise Unreadable(
                        f"holds groups nested more than {DEPTH} deep, so it is not a zoo of stacked parameters"
                    )
                stack.append((f"{name}/", item, (*above, address)))


def _followed(root, group, raw: bytes, name: str, hops: list | None = None):
    """The object that a link names, opened over hard links only; None where a soft link leads nowhere."""
    import h5py

    kind = group.links.get_info(raw).type
    if kind == h5py.h5l.TYPE_HARD:
        return h5py.h5o.open(group, raw)
    shown, hops = _shown(name), [] if hops is None else hops
    if kind != h5py.h5l.TYPE_SOFT:
        raise Unreadable(f"{shown} lies in another file, which is not read; copy it into this one, or remove the link")
    target = group.links.get_val(raw)
    item = root if target.startswith(b"/") else group
    for part in target.split(b"/"):
        if part in (b"", b"."):
            continue
        hops.append(part)
        if len(hops) > DEPTH or not isinstance(item, h5py.h5g.GroupID) or not item.links.exists(part):
            item = None
            break
        item = _followed(root, item, part, name, hops)
    if item is None and re.search(r"[./](weight|bias)$", name):
        raise Unreadable(
            f"{shown} is a soft link to {_shown(target.decode('utf-8', 'backslashreplace'))}, which this file "
            "does not hold; copy the dataset into it"
        )
    return item


def _inside(name: str, item) -> None:
    """Raises Unreadable for a dataset whose values lie in another file."""
    import h5py

    plist = item.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
        raise Unreadable(f"{_shown(name)} lies in another file, which is not read; copy it into this one")


def _form(item) -> tuple[list[int] | None, str]:
    """Shape, None where the dataset has no values, and dtype as text."""
    try:
        dtype = str(item.dtype)
    except (TypeError, ValueError, RuntimeError):  # numpy has no such type
        dtype = "of a type that is not read"
    return (None if item.shape is None else list(item.shape)), _shown(dtype)


def _plausible(name: str, item) -> None:
    """Raises Unreadable where the claimed values cannot lie in the file, or were never written to it."""
    import h5py

    shown, shape, plist = _shown(name), item.shape, item.get_create_plist()
    claimed = math.prod(shape) * item.dtype.itemsize
    stored, size = item.get_storage_size(), _file["size"]
    told = f"{shown} claims {tuple(shape)}, {claimed:,} bytes, but {stored:,} bytes of it are stored"
    if stored > size or (stored == 0 and claimed):
        raise Unreadable(f"{told} in a file of {size:,}: never written, corrupt or forged")
    if plist.get_layout() == h5py.h5d.CHUNKED:
        chunk = plist.get_chunk()
        if math.prod(chunk) * item.dtype.itemsize > CHUNK:
            raise Unreadable(
                f"{shown} has chunks of {tuple(chunk)}; at most {CHUNK:,} bytes are read: use smaller ones"
            )
        for place in range(plist.get_nfilters()):
            code, _, _, told_by = plist.get_filter(place)
            if not h5py.h5z.filter_avail(code):
                by = told_by.decode("utf-8", "replace") if isinstance(told_by, bytes) else str(told_by)
                raise Unreadable(
                    f"{shown} is compressed by filter {code} ({_shown(by)}), which is not installed; save it "
                    "with gzip, or uncompressed"
                )
        if claimed > PACKED * stored:
            raise Unreadable(f"{told}: corrupt or forged")
        wanted = math.prod(-(-length // each) for length, each in zip(shape, chunk, strict=True))
        if (written := item.get_num_chunks()) < wanted:
            raise Unreadable(f"{shown}: {wanted - written:,} of its {wanted:,} chunks were never written; write them")
    elif claimed > stored:
        raise Unreadable(f"{told}: corrupt or forged")


def _has(file, name: str) -> bool:
    import h5py

    return h5py.h5a.exists(file, name.encode())


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # becomes infinite, which is told
        return values.astype(np.float32)


# ---------------------------------------------------------------------------------------------- one CNN's file


def state(path: str, safetensors: bool, largest: int) -> tuple[dict, dict]:
    """Open one CNN's file.

    Args:
        path: A file of torch.save or of safetensors.
        safetensors: Which of the two.
        largest: Bytes that are read at most, as they lie there and unpacked.

    Returns:
        tensors: for each its name and shape.
    """
    close()
    try:
        with regular.open_regular(path) as handle:
            size = handle.seek(0, 2)
            handle.seek(0)
            data = handle.read(min(size, largest) + 1)
            if size > largest:
                raise Unreadable(_too_large(handle, path, size, largest))
    except regular.NotRegular as error:
        raise Unreadable(str(error)) from None
    is_torch = data[:4] == b"PK\x03\x04"
    if safetensors and is_torch:
        raise Unreadable("a zip archive, as torch.save writes them; let its name end in .pt")
    told = formats.described(data[: formats.HEAD], size)
    if told and not (safetensors and told.startswith("a safetensors file")):
        raise Unreadable(told)
    if not safetensors and not is_torch:
        raise Unreadable(f"not of torch.save's zip format (PyTorch 1.6 or later), not opened; {formats.SAVE} again")
    tensors = _from_safetensors(data) if safetensors else _from_torch(data, largest)
    if len(tensors) > TENSORS:
        raise Unreadable(f"holds {len(tensors):,} tensors; at most {TENSORS:,} are read")
    _open.update({_shown(name): tensor for name, tensor in tensors.items()})
    return {"tensors": [[name, list(tensor.shape)[:DEPTH]] for name, tensor in _open.items()]}, {}


def take(names: dict[str, str]) -> tuple[dict, dict]:
    """Tensors of the file opened last as float32: the name to give -> the name that it has.

    Raises Unreadable for what is no plain tensor of floating-point numbers.
    """
    arrays = {}
    for ours, name in names.items():
        tensor = _open[name]
        if not tensor.is_floating_point() or tensor.device.type != "cpu" or str(tensor.layout) != "torch.strided":
            odd = [str(tensor.dtype)] + [f"on device {tensor.device}"] * (tensor.device.type != "cpu")
            odd += [str(tensor.layout)] * (str(tensor.layout) != "torch.strided")
            raise Unreadable(f"{name} is {' '.join(odd)}; save it as a plain float32 tensor")
        arrays[ours] = np.ascontiguousarray(tensor.detach().float().numpy())
    return {}, arrays


def torch_version() -> tuple[dict, dict]:
    """The version of PyTorch."""
    import torch

    return {"version": str(torch.__version__)}, {}


def _from_torch(data: bytes, largest: int) -> dict:
    import torch

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    if told := formats.described_zip({entry.filename for entry in entries}):
        raise Unreadable(told)
    if (unpacked := sum(entry.file_size for entry in entries)) > largest:
        raise Unreadable(f"{unpacked:,} bytes unpacked; at most {largest:,} are read")
    tensors = _load(lambda: torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
    storages = {}
    for tensor in tensors.values():
        with contextlib.suppress(Exception):  # sparse and other kinds, which are refused when they are wanted
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes() if tensor.device.type == "cpu" else 0
    if sum(storages.values()) > unpacked:  # PyTorch before 2.10 reads on behind the end (CVE-2026-24747)
        raise Unreadable("truncated or corrupt (its tensors are larger than the file)")
    return tensors


def _from_safetensors(data: bytes) -> dict:
    from safetensors.torch import load

    return load(data)


def _load(read) -> dict:
    try:
        return _state_dict(read())
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        cause = f"it asks for {_shown(wanted[1])}" if wanted else "it is not a plain state_dict"
        raise Unreadable(f"refused and not run: {cause}; save net.state_dict() alone") from None


def _too_large(handle, path: str, size: int, largest: int) -> str:
    """Why a file is too large, where its tensors are slices of larger ones."""
    import torch

    told = f"{size:,} bytes; at most {largest:,} are read"
    handle.seek(0)
    if handle.read(4) != b"PK\x03\x04":
        return told
    way_out = "save {name: tensor.clone() for name, tensor in net.state_dict().items()} with torch.save"
    with contextlib.suppress(Exception):  # mapped, so that only the names are read
        tensors = _load(lambda: torch.load(path, map_location="cpu", weights_only=True, mmap=True))
        needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if needed < size // 2:
            return f"{told}. Its tensors take {needed:,}, but are slices of larger ones, saved whole: {way_out}"
        return told
    return f"{told}. If its tensors are slices of larger ones, {way_out}"


def _state_dict(loaded, prefix: str = "", depth: int = 0) -> dict:
    """The tensors of a state_dict, also of the first of a tuple, or under one of the names NESTED.

    Where several such dicts lie beside each other, as with a copy of averaged weights (EMA), all of them, their names
    before those of the tensors: only the user can tell which is meant.
    """
    import torch

    if depth > DEPTH:
        raise Unreadable("a dict in a dict in a dict ...; save net.state_dict() alone")
    if isinstance(loaded, tuple | list) and loaded:
        return _state_dict(loaded[0], prefix, depth + 1)
    if not isinstance(loaded, Mapping):
        raise Unreadable(f"holds no state_dict but {type(loaded).__name__}; save net.state_dict()")
    nested = [name for name in NESTED if isinstance(loaded.get(name), Mapping)]
    copies = [
        name
        for name, value in loaded.items()
        if isinstance(name, str) and name not in NESTED and _COPY.search(name.lower())
        if isinstance(value, Mapping) and _holds_tensors(value)
    ]
    filled = [name for name in nested if _holds_tensors(loaded[name])] or nested[:1]
    tensors = {f"{prefix}{name}": value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if len(filled) + len(copies) == 1 and not (copies and tensors):
        return _state_dict(loaded[(filled or copies)[0]], prefix, depth + 1)
    if filled or copies:
        several = {} if filled else tensors
        for name in [*filled, *copies]:
            several |= _state_dict(loaded[name], f"{prefix}{name}.", depth + 1)
        return several
    if not tensors:
        names = [_shown(str(name)) for name in list(loaded)[:10]]
        held = ", ".join(names) + (f" and {len(loaded) - 10} more" if len(loaded) > 10 else "")
        raise Unreadable(f"holds no tensors and no state_dict, only {held or 'an empty dict'}")
    return tensors


def _holds_tensors(value: Mapping, depth: int = 0) -> bool:
    import torch

    return any(
        isinstance(each, torch.Tensor) or (isinstance(each, Mapping) and depth < 4 and _holds_tensors(each, depth + 1))
        for each in list(value.values())[:TENSORS]
    )
