"""Requests to the child process of `foreign`: reading HDF5, torch.save and safetensors files of limited size.

Each public function except `load`, `is_loaded` and `cause_of` is one request and returns JSON values and arrays. The
child keeps the last opened file between requests.
"""

import contextlib
import io
import json
import math
import pickle
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

from zoofuse.core import regular
from zoofuse.core.text import printable
from zoofuse.importers import formats
from zoofuse.importers.foreign import Unreadable
from zoofuse.importers.layer_names import shown

MAX_LINKS = 10_000  # names in an HDF5; a zoo of stacked parameters has a few dozen
MAX_DEPTH = 64  # nested groups, and chained soft links
MAX_CHUNK = 2**28  # bytes of one chunk; h5py itself chooses at most 2**20
MAX_COMPRESSION = 1100  # deflate's largest ratio
BLOCK = 2**24  # bytes read at a time
GAP = 16  # unneeded rows that are read along instead of starting another read
MAX_TENSORS = 10_000  # in one state_dict
MAX_NAME = 300  # characters of a foreign name in a message
STATE_KEYS = ("state_dict", "model_state_dict", "net_state_dict", "model_state", "model", "net", "network", "weights")
_AVERAGE_KEY = re.compile("(^|[^a-z])(ema|swa|avg|averaged)([^a-z]|$)")  # keys of averaged weights

_open: dict = {}  # name -> dataset or tensor of the last opened file
_file: dict = {}  # that file, if it is an HDF5: the h5py.File and its size


def is_loaded(library: str | None) -> bool:
    """Whether a library of `load` has been loaded."""
    return library == "HDF5" or "torch" in sys.modules if library else True


def load(library: str | None) -> None:
    """Import what a request needs, before memory is limited."""
    if library == "HDF5":
        import h5py  # noqa: F401
    elif library:
        import torch
        from safetensors.torch import load  # noqa: F401

        torch.set_num_threads(1)


def _shown(name: str) -> str:
    """A foreign name for a message: shortened, on one line."""
    return printable(name[:MAX_NAME].encode("utf-8", "replace").decode())


def cause_of(error: Exception) -> str:
    """Why a file can't be read, for a message. PyTorch's advice to turn off weights_only is never passed on."""
    if isinstance(error, Unreadable):
        return str(error)
    reason = (str(error).strip("'\" ").splitlines() or [""])[0].strip()
    if not reason or "weights_only" in reason:
        reason = type(error).__name__
    return f"truncated or corrupt ({_shown(reason)})"


# ---------------------------------------------------------------------------------------------- HDF5


def hdf5_parameters(path: str) -> tuple[dict, dict]:
    """Open an HDF5 and list its datasets called weight or bias (as conv1.weight for conv1/weight), and its index.

    Returns:
        parameters: name, address, shape (null if it has none) and dtype of each; a dataset with two names is listed
        twice. index: shape and dtype of dataset "model", or null. hint: what the file is, if recognised and not a zoo.
    """
    root = _opened(path)
    parameters: dict[str, tuple] = {}
    is_keras = any(_has(root, name) for name in ("keras_version", "layer_names"))
    for name, item, address in _walk(root):
        if not hasattr(item, "get_storage_size"):
            is_keras |= name == "model_weights"
            continue
        renamed = re.sub("/(weight|bias)$", r".\1", name)
        is_parameter = renamed.endswith((".weight", ".bias")) and not name.startswith(("history/", "checkpoints/"))
        if is_parameter or name == "model":
            key = _shown(renamed)
            if key in parameters and parameters[key][1] != address:
                raise Unreadable(f"holds two datasets called {key}; remove one")
            parameters[key] = (item, address)
    _open.update({name: item for name, (item, _) in parameters.items()})
    listed = [
        [name, address, *_shape_and_dtype(item)] for name, (item, address) in parameters.items() if name != "model"
    ]
    index = list(_shape_and_dtype(parameters["model"][0])) if "model" in parameters else None
    return {"parameters": listed, "index": index, "hint": "a Keras model" if is_keras else None}, {}


def hdf5_group(path: str, group: str) -> tuple[dict, dict]:
    """Open an HDF5 and list the datasets of one group.

    Returns:
        datasets: name, shape and dtype of each; null if there is no such group. top: names at the top level.
    """
    datasets: list | None = None
    top = []
    for name, item, _ in _walk(_opened(path)):
        parent, _, last = name.rpartition("/")
        if not parent:
            top.append(_shown(name))
        if name == group and not hasattr(item, "get_storage_size"):
            datasets = datasets or []
        elif parent == group and hasattr(item, "get_storage_size"):
            _open[_shown(name)] = item
            datasets = [*(datasets or []), [_shown(last), *_shape_and_dtype(item)]]
    return {"datasets": datasets, "top": sorted(top)}, {}


def hdf5_check(names: list[str]) -> tuple[dict, dict]:
    """Raise Unreadable if a dataset claims more values than the file can hold."""
    for name in names:
        _check_storage(name, _open[name])
    return {}, {}


def hdf5_rows(name: str, rows: list[int]) -> tuple[dict, dict]:
    """Rows of a dataset, whose first axis is the CNN, as float32.

    Args:
        name: As listed.
        rows: Increasing; read in blocks, so that rows between distant ones are not read.
    """
    import h5py

    dataset, rows = h5py.Dataset(_open[name]), np.array(rows)
    _check_storage(name, _open[name])
    row_bytes = max(1, math.prod(dataset.shape[1:]) * max(4, dataset.dtype.itemsize))
    values = np.empty((len(rows), *dataset.shape[1:]), np.float32)
    start = 0
    while start < len(rows):
        last = start + 1
        while (
            last < len(rows) and rows[last] - rows[last - 1] <= GAP and (rows[last] - rows[start]) * row_bytes < BLOCK
        ):
            last += 1
        low = rows[start]
        block = dataset[low : rows[last - 1] + 1]
        values[start:last] = _float32(block)[rows[start:last] - low]
        start = last
    return {}, {"values": values}


def hdf5_values(name: str) -> tuple[dict, dict]:
    """All of a small dataset as float32."""
    import h5py

    _check_storage(name, _open[name])
    dataset = h5py.Dataset(_open[name])
    if dataset.size * max(4, dataset.dtype.itemsize) > 4 * BLOCK:
        raise Unreadable(f"{_shown(name)} {dataset.shape} is larger than {4 * BLOCK:,} bytes")
    return {}, {"values": _float32(dataset[...])}


def hdf5_index(largest: int) -> tuple[dict, dict]:
    """Dataset "model" as int64.

    Returns:
        range: lowest and highest value. values: omitted if they are not within 0 to `largest`.
    """
    import h5py

    _check_storage("model", _open["model"])
    index = h5py.Dataset(_open["model"])[...]
    lowest, highest = int(index.min()), int(index.max())
    arrays = {"values": index.astype(np.int64)} if lowest >= 0 and highest <= largest else {}
    return {"range": [lowest, highest]}, arrays


def close() -> tuple[dict, dict]:
    """Close the last opened file."""
    _open.clear()
    if file := _file.pop("file", None):
        file.close()
    return {}, {}


def _opened(path: str):
    """Open an HDF5 until the next file is opened; returns its root group."""
    import h5py

    close()
    with regular.open_regular(path) as handle:
        _file["size"] = handle.seek(0, 2)
    _file["file"] = h5py.File(path, "r", rdcc_nbytes=MAX_CHUNK)
    return h5py.h5o.open(_file["file"].id, b"/")


def _walk(root) -> Iterator[tuple[str, object, int]]:
    """Yield the name, open dataset or group, and address of everything in an HDF5, except broken links.

    Raises Unreadable for links to other files and for more names than a zoo has. A group in itself is entered once.
    """
    import h5py

    names: list[bytes] = []

    def collect(name: bytes) -> bool | None:
        names.append(name)
        return True if len(names) > left else None  # True ends the iteration

    left, stack = MAX_LINKS, [("", root, ())]
    while stack:
        prefix, group, above = stack.pop()
        names.clear()
        group.links.iterate(collect)
        left -= len(names)
        if left < 0:
            raise Unreadable(
                f"holds more than {MAX_LINKS:,} names, so it is not a zoo of stacked parameters, which has one dataset "
                "per parameter, with the CNN as its first axis"
            )
        for raw in list(names):
            name = prefix + raw.decode("utf-8", "backslashreplace")
            item = _followed(root, group, raw, name)
            if item is None or isinstance(item, h5py.h5t.TypeID):
                continue
            if isinstance(item, h5py.h5d.DatasetID):
                _check_location(name, item)
            address = h5py.h5o.get_info(item).addr
            yield name, item, address
            if isinstance(item, h5py.h5g.GroupID) and address not in above:
                if len(above) >= MAX_DEPTH:
                    raise Unreadable(
                        f"holds groups nested more than {MAX_DEPTH} deep, so it is not a zoo of stacked parameters"
                    )
                stack.append((f"{name}/", item, (*above, address)))


def _followed(root, group, raw: bytes, name: str, hops: list | None = None):
    """Open what a link refers to, over hard links only; None for a broken soft link."""
    import h5py

    kind = group.links.get_info(raw).type
    if kind == h5py.h5l.TYPE_HARD:
        return h5py.h5o.open(group, raw)
    shown, hops = _shown(name), [] if hops is None else hops
    if kind != h5py.h5l.TYPE_SOFT:
        raise Unreadable(
            f"{shown} is stored in another file, which is not read; copy it into this one, or remove the link"
        )
    target = group.links.get_val(raw)
    item = root if target.startswith(b"/") else group
    for part in target.split(b"/"):
        if part in (b"", b"."):
            continue
        hops.append(part)
        if len(hops) > MAX_DEPTH or not isinstance(item, h5py.h5g.GroupID) or not item.links.exists(part):
            item = None
            break
        item = _followed(root, item, part, name, hops)
    if item is None and re.search(r"[./](weight|bias)$", name):
        raise Unreadable(
            f"{shown} is a soft link to {_shown(target.decode('utf-8', 'backslashreplace'))}, which is not in this "
            "file; copy the dataset into it"
        )
    return item


def _check_location(name: str, item) -> None:
    """Raise Unreadable for a dataset whose values are stored in another file."""
    import h5py

    plist = item.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
        raise Unreadable(f"{_shown(name)} is stored in another file, which is not read; copy it into this one")


def _shape_and_dtype(item) -> tuple[list[int] | None, str]:
    """Shape (None for a dataset without values) and dtype as text."""
    try:
        dtype = str(item.dtype)
    except (TypeError, ValueError, RuntimeError):  # NumPy has no such type
        dtype = "of an unsupported type"
    return (None if item.shape is None else list(item.shape)), _shown(dtype)


def _check_storage(name: str, item) -> None:
    """Raise Unreadable if the claimed values can't be in the file, or were never written."""
    import h5py

    shown, shape, plist = _shown(name), item.shape, item.get_create_plist()
    claimed = math.prod(shape) * item.dtype.itemsize
    stored, size = item.get_storage_size(), _file["size"]
    contradiction = f"{shown} claims {tuple(shape)}, {claimed:,} bytes, but {stored:,} bytes of it are stored"
    if stored > size or (stored == 0 and claimed):
        raise Unreadable(f"{contradiction} in a file of {size:,}: never written, corrupt or forged")
    if plist.get_layout() == h5py.h5d.CHUNKED:
        chunk = plist.get_chunk()
        if math.prod(chunk) * item.dtype.itemsize > MAX_CHUNK:
            raise Unreadable(
                f"{shown} has chunks of {tuple(chunk)}; at most {MAX_CHUNK:,} bytes are read: use smaller chunks"
            )
        for number in range(plist.get_nfilters()):
            code, _, _, name = plist.get_filter(number)
            if not h5py.h5z.filter_avail(code):
                name = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
                raise Unreadable(
                    f"{shown} is compressed by filter {code} ({_shown(name)}), which is not installed; save it with "
                    "gzip, or uncompressed"
                )
        if claimed > MAX_COMPRESSION * stored:
            raise Unreadable(f"{contradiction}: corrupt or forged")
        needed = math.prod(-(-length // of_chunk) for length, of_chunk in zip(shape, chunk, strict=True))
        if (written := item.get_num_chunks()) < needed:
            raise Unreadable(f"{shown}: {needed - written:,} of its {needed:,} chunks were never written; write them")
    elif claimed > stored:
        raise Unreadable(f"{contradiction}: corrupt or forged")


def _has(file, name: str) -> bool:
    import h5py

    return h5py.h5a.exists(file, name.encode())


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # overflow becomes Inf, which is reported
        return values.astype(np.float32)


# ---------------------------------------------------------------------------------------------- one CNN's file


def state(path: str, safetensors: bool, largest: int) -> tuple[dict, dict]:
    """Open one CNN's file.

    Args:
        path: A file of torch.save or of safetensors.
        safetensors: Which of the two.
        largest: Most bytes to read, compressed and uncompressed.

    Returns:
        tensors: name and shape of each. metadata: that of a safetensors file, text by name.
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
        raise Unreadable("a zip archive such as torch.save writes; rename it so that it ends in .pt")
    description = formats.described(data[: formats.HEAD], size)
    if description and not (safetensors and description.startswith("a safetensors file")):
        raise Unreadable(description)
    if not safetensors and not is_torch:
        raise Unreadable(f"not in torch.save's zip format (PyTorch 1.6 or later), not opened; {formats.SAVE} again")
    if safetensors:
        from safetensors.torch import load as load_safetensors

        tensors = load_safetensors(data)
    else:
        tensors = _from_torch(data, largest)
    if len(tensors) > MAX_TENSORS:
        raise Unreadable(f"holds {len(tensors):,} tensors; at most {MAX_TENSORS:,} are read")
    _open.update({_shown(name): tensor for name, tensor in tensors.items()})
    metadata = {}
    if safetensors:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = {_shown(name): _shown(value) for name, value in header.get("__metadata__", {}).items()}
    return {
        "tensors": [[name, list(tensor.shape)[:MAX_DEPTH]] for name, tensor in _open.items()],
        "metadata": metadata,
    }, {}


def take(names: dict[str, str]) -> tuple[dict, dict]:
    """Tensors of the last opened file as float32; `names` maps the name in the reply to the name in the file.

    Raises Unreadable for anything but plain floating-point tensors.
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
    if description := formats.described_zip({entry.filename for entry in entries}):
        raise Unreadable(description)
    if (unpacked := sum(entry.file_size for entry in entries)) > largest:
        raise Unreadable(f"{unpacked:,} bytes unpacked; at most {largest:,} are read")
    tensors = _load(lambda: torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
    storages = {}
    for tensor in tensors.values():
        with contextlib.suppress(Exception):  # sparse and other kinds, which `take` refuses
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes() if tensor.device.type == "cpu" else 0
    if sum(storages.values()) > unpacked:  # PyTorch before 2.10 reads past the end (CVE-2026-24747)
        raise Unreadable("truncated or corrupt (its tensors are larger than the file)")
    return tensors


def _load(read) -> dict:
    try:
        return _state_dict(read())
    except pickle.UnpicklingError as error:
        requested = re.search(r"GLOBAL (\S+)", str(error))
        cause = f"it asks for {_shown(requested[1])}" if requested else "it is not a plain state_dict"
        raise Unreadable(f"refused and not run: {cause}; save net.state_dict() alone") from None


def _too_large(handle, path: str, size: int, largest: int) -> str:
    """The message about a file that is too large, perhaps because its tensors are slices of larger ones."""
    import torch

    too_large = f"{size:,} bytes; at most {largest:,} are read"
    handle.seek(0)
    if handle.read(4) != b"PK\x03\x04":
        return too_large
    remedy = "save {name: tensor.clone() for name, tensor in net.state_dict().items()} with torch.save"
    with contextlib.suppress(Exception):  # memory-mapped, so that only the names are read
        tensors = _load(lambda: torch.load(path, map_location="cpu", weights_only=True, mmap=True))
        needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if needed < size // 2:
            return f"{too_large}. Its tensors take {needed:,}, but are slices of larger ones, saved whole: {remedy}"
        return too_large
    return f"{too_large}. If its tensors are slices of larger ones, {remedy}"


def _state_dict(loaded, prefix: str = "", depth: int = 0) -> dict:
    """The tensors of a state_dict, which may be the first item of a tuple or lie under one of STATE_KEYS.

    If there are several, as with a copy of averaged weights (EMA), all of them, prefixed by their keys, because only
    the user knows which is meant.
    """
    import torch

    if depth > MAX_DEPTH:
        raise Unreadable("dicts are nested too deeply; save net.state_dict() alone")
    if isinstance(loaded, tuple | list) and loaded:
        return _state_dict(loaded[0], prefix, depth + 1)
    if not isinstance(loaded, Mapping):
        raise Unreadable(f"holds {type(loaded).__name__}, not a state_dict; save net.state_dict()")
    nested = [name for name in STATE_KEYS if isinstance(loaded.get(name), Mapping)]
    copies = [
        name
        for name, value in loaded.items()
        if isinstance(name, str) and name not in STATE_KEYS and _AVERAGE_KEY.search(name.lower())
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
        keys = shown(_shown(str(name)) for name in loaded)
        raise Unreadable(f"holds no tensors and no state_dict, only {keys or 'an empty dict'}")
    return tensors


def _holds_tensors(value: Mapping, depth: int = 0) -> bool:
    import torch

    return any(
        isinstance(item, torch.Tensor) or (isinstance(item, Mapping) and depth < 4 and _holds_tensors(item, depth + 1))
        for item in list(value.values())[:MAX_TENSORS]
    )
