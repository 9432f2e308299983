"""What a file is, by its first bytes, so that a file of the wrong format is refused by name. Opens regular files only.

Imports neither torch nor h5py: the planning process asks here before anything else opens a foreign file.
"""

import os
import zipfile
from collections.abc import Collection
from pathlib import Path

from zoofuse.core.regular import open_regular
from zoofuse.core.text import printable

HEAD = 4096  # bytes that `described` looks at
SAVE = "save net.state_dict() with torch.save"
LFS = "a Git LFS pointer, not the file itself; run git lfs pull"
# Suffix -> what such files are; they are not read, and a folder that holds nothing else is told so.
UNREAD = {
    ".ckpt": "checkpoints of PyTorch Lightning or TensorFlow",
    ".bin": "weights in a format that the name does not tell",
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
_UNPACK = "unpack it first"
_STARTS = (
    (b"version https://git-lfs.github.com/", LFS),
    (b"version https://hawser.github.com/", LFS),
    (b"version http://git-media.io/", LFS),
    (b"/annex/objects/", "a git-annex pointer, not the file itself; run git annex get"),
    (_HDF5, "an HDF5 file; name it itself if it holds a zoo of stacked parameters"),
    (b"GGUF", f"a GGUF model, which is not opened; {SAVE}"),
    (b"\x93NUMPY", "a NumPy array, which is not opened; save a dict of tensors with torch.save"),
    (
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        f"of torch.save's old format (before PyTorch 1.6), not opened; {SAVE} again",
    ),
    (b"\x1f\x8b", f"compressed with gzip; {_UNPACK}"),
    (b"\xfd7zXZ\0", f"compressed with xz; {_UNPACK}"),
    (b"BZh", f"compressed with bzip2; {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"compressed with Zstandard; {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive; {_UNPACK}"),
    (b"Rar!", f"a RAR archive; {_UNPACK}"),
)  # fmt: skip
_TEXT = frozenset(range(32, 127)) | {9, 10, 13} | frozenset(range(128, 256))


def is_hdf5(path: str | os.PathLike) -> bool:
    """Whether a file has HDF5's signature at one of the places where the format allows it.

    Args:
        path: The file.

    Raises:
        NotRegular: As `open_regular`.
    """
    with open_regular(path) as handle:
        place, size = 0, os.fstat(handle.fileno()).st_size
        while place < size:
            handle.seek(place)
            if handle.read(len(_HDF5)) == _HDF5:
                return True
            place = max(512, 2 * place)
    return False


def described(head: bytes, size: int) -> str | None:
    """What a file is that is not one of torch.save's zip format.

    Args:
        head: Its first HEAD bytes, or all of it.
        size: All its bytes.

    Returns:
        What it is and what to do, for "NAME: ..."; None where the bytes do not tell, and for a zip archive.
    """
    if not size:
        return "empty file"
    for start, told in _STARTS:
        if head.startswith(start):
            return told
    if len(head) > 8 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8:
        return "a safetensors file; let its name end in .safetensors"
    if head[257:262] == b"ustar":
        return f"a tar archive, or PyTorch's oldest format, not opened; unpack it, or {SAVE} again"
    if head[4:8] == b"TFL3":
        return f"a TensorFlow Lite model, which is not opened; {SAVE}"
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return f"a pickle, which may run code and is not opened; {SAVE}"
    if head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a") and head[1] < 32:
        return f"probably an ONNX model, which is not opened; {SAVE}"
    if _is_text(head):
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")):
            return "a web page, perhaps of an error or a log-in; download the file again"
        begins = printable(head[:40].decode("utf-8", "replace").strip())
        return f"a text file, which begins with {begins!r}; download or save the file again"
    return None


def described_zip(names: Collection[str]) -> str | None:
    """What a zip archive is that torch.save did not write.

    Args:
        names: Its entries.

    Returns:
        What it is and what to do; None where torch.save may have written it.
    """
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner) or "bytecode.pkl" in inner:
        return f"a TorchScript program, which is not opened; {SAVE}"
    if "serialized_exported_program.json" in names | inner or any(
        name.startswith("models/") and name.endswith(".json") for name in names | inner
    ):
        return f"a torch.export program, which is not opened; {SAVE}"
    if "model.weights.h5" in names:
        return f"a Keras model, which is not opened; {SAVE}"
    if any(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz), which is not opened; save a dict of tensors with torch.save"
    if "data.pkl" not in inner:
        return f"a zip archive, but not one of torch.save; unpack it, or {SAVE}"
    return None


def of_file(path: Path) -> str | None:
    """What a file is, for one that was named as a zoo.

    Args:
        path: A regular file.

    Returns:
        What it is and what to do; None where the bytes do not tell.

    Raises:
        NotRegular: As `open_regular`.
    """
    with open_regular(path) as handle:
        size, head = os.fstat(handle.fileno()).st_size, handle.read(HEAD)
        told = described(head, size)
        if head.startswith(b"PK\x03\x04") and size < 2**30:
            try:
                names = zipfile.ZipFile(handle).namelist() if size < 2**26 else []
                told = described_zip(set(names)) if names else None
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
                told = "a truncated or corrupt zip archive; fetch it again"
    return told


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3 or len(head) < HEAD:  # not a character that was cut at the end
            return False
    return set(head) <= _TEXT
