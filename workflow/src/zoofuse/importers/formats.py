"""File formats by their first bytes, so that a file of the wrong format is refused by name.

Imports neither torch nor h5py: the planning process calls this before anything else opens a foreign file.
"""

import os
import re
import zipfile
from collections.abc import Collection
from pathlib import Path

from zoofuse.core.regular import open_regular
from zoofuse.core.text import printable
from zoofuse.data.content import READ, content_kind

HEAD = 4096  # bytes that `described` looks at
SAVE = "save net.state_dict() with torch.save"
LFS = "a Git LFS pointer, not the file itself; run git lfs pull"
# Suffix -> name of a format that is not read, for the message about a folder that holds nothing else.
UNREAD = {
    ".ckpt": "checkpoints of PyTorch Lightning or TensorFlow",
    ".bin": "weights in an unknown format",
    ".onnx": "ONNX models",
    ".gguf": "GGUF models",
    ".pkl": "pickles",
    ".pickle": "pickles",
    ".joblib": "joblib pickles",
    ".npy": "NumPy arrays",
    ".npz": "NumPy archives",
    ".keras": "Keras models",
    ".pb": "TensorFlow models",
    ".tflite": "TensorFlow Lite models",
    ".pt2": "torch.export programs",
    ".ptl": "TorchScript programs",
    ".mat": "MATLAB files",
    ".msgpack": "Flax weights",
    ".zip": "zip archives",
    ".tar": "tar archives",
    ".gz": "gzip archives",
    ".tgz": "gzip archives",
}

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ARRAY = "save a dict of tensors with torch.save"
_WEIGHTS = {  # pattern of the first bytes -> what the file is and what to do
    rb"/annex/objects/": "a git-annex pointer, not the file itself; run git annex get",
    _HDF5: "an HDF5 file; to import a zoo of stacked parameters, name the file instead of its folder",
    rb"GGUF": f"a GGUF model, which is not opened; {SAVE}",
    rb"\x93NUMPY": f"a NumPy array, which is not opened; {_ARRAY}",
    rb"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.": f"torch.save's old format (before PyTorch 1.6), not opened; {SAVE}",
    rb".{257}ustar": f"a tar archive, or PyTorch's oldest format, not opened; unpack it, or {SAVE} again",
    rb".{4}TFL3": f"a TensorFlow Lite model, which is not opened; {SAVE}",
    rb"\x80[\x02-\x05]": f"a pickle, which may run code and is not opened; {SAVE}",
    rb"\x08[\x00-\x1f][\x12\x1a]": f"probably an ONNX model, which is not opened; {SAVE}",
}
_TEXT = frozenset(range(32, 127)) | {9, 10, 13} | frozenset(range(128, 256))


def is_hdf5(path: str | os.PathLike) -> bool:
    """Whether a file has HDF5's signature at one of the offsets that the format allows.

    Raises:
        NotRegular: as `open_regular`.
    """
    with open_regular(path) as handle:
        offset, size = 0, os.fstat(handle.fileno()).st_size
        while offset < size:
            handle.seek(offset)
            if handle.read(len(_HDF5)) == _HDF5:
                return True
            offset = max(512, 2 * offset)
    return False


def described(head: bytes, size: int) -> str | None:
    """Describe a file that torch.save did not write in its zip format.

    Args:
        head: the first HEAD bytes, or all of them.
        size: bytes of the file.

    Returns:
        What it is and what to do, to follow the file's name; None if unknown, and for a zip archive.
    """
    if not size:
        return "empty file"
    # Before the others, because the header's length may read like the first bytes of any of them.
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8:
        return "a safetensors file; rename it so that it ends in .safetensors"
    for pattern, description in _WEIGHTS.items():
        if re.match(pattern, head, re.DOTALL):
            return description
    kind = content_kind(head)
    if kind == "a Git LFS pointer":
        return LFS
    if kind.endswith("archive") and kind != "a zip archive":
        return f"{kind}; unpack it first"
    if kind == "an HTML page":
        return "an HTML page, perhaps of an error or a login; download the file again"
    if kind in READ:
        return f"a {kind} image, not a CNN"
    if _is_text(head):
        start = printable(head[:40].decode("utf-8", "replace").strip())
        return f"a text file, which begins with {start!r}; download or save the file again"
    return None


def described_zip(names: Collection[str]) -> str | None:
    """Describe a zip archive that torch.save did not write.

    Args:
        names: its entries.

    Returns:
        What it is and what to do; None if torch.save may have written it.
    """
    inner = {name.partition("/")[2] for name in names}
    exported = any(name.startswith("models/") and name.endswith(".json") for name in names | inner)
    if {"constants.pkl", "bytecode.pkl"} & inner or any(name.startswith("code/") for name in inner):
        return f"a TorchScript program, which is not opened; {SAVE}"
    if exported or "serialized_exported_program.json" in names | inner:
        return f"a torch.export program, which is not opened; {SAVE}"
    if "model.weights.h5" in names:
        return f"a Keras model, which is not opened; {SAVE}"
    if any(name.endswith(".npy") for name in names):
        return f"a NumPy archive (.npz), which is not opened; {_ARRAY}"
    return None if "data.pkl" in inner else f"a zip archive that torch.save did not write; unpack it, or {SAVE}"


def of_file(path: Path) -> str | None:
    """Describe a file, as `described` and `described_zip` do.

    Raises:
        NotRegular: as `open_regular`.
    """
    with open_regular(path) as handle:
        size, head = os.fstat(handle.fileno()).st_size, handle.read(HEAD)
        if not head.startswith(b"PK\x03\x04") or size >= 2**30:
            return described(head, size)
        try:
            names = zipfile.ZipFile(handle).namelist() if size < 2**26 else []
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            return "a truncated or corrupt zip archive; fetch it again"
        return described_zip(set(names)) if names else None


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3 or len(head) < HEAD:  # not just a character cut off at the end
            return False
    return set(head) <= _TEXT
