"""C++ sources of this package as libraries, compiled on first use for the vector instructions of the machine at hand.

They go into a folder of the user's own; nodes of another kind compile their own library beside it. No compiler:
`available` says so, and callers compute in PyTorch.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

_FLAGS = ["-std=c++17", "-O3", "-fPIC", "-shared", "-pthread"]
_FLAGS += ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
_SETS = {  # LANES floats in a vector; BLOCK 3 or 6 where there are 16 or 32 vector registers
    "avx512": "-mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -DLANES=16 -DBLOCK=6",
    "avx2": "-mavx2 -mfma -DLANES=8 -DBLOCK=3",
    "neon": "-DLANES=4 -DBLOCK=6",
    "generic": "-DLANES=4 -DBLOCK=3",
}


def instruction_set() -> str:
    """The widest vectors this machine's processor and system run, as PyTorch detects them."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "neon"
    return {"AVX512": "avx512", "AVX2": "avx2"}.get(torch.backends.cpu.get_cpu_capability(), "generic")


def available(source: Path) -> tuple[bool, str]:
    """Whether this C++ runs here (building it if need be), and how or why not, in one line."""
    try:
        library(source, instruction_set())
    except (OSError, RuntimeError) as error:
        return False, str(error)
    return True, f"C++ with {instruction_set()} vectors"


@functools.cache
def library(source: Path, kind: str) -> ctypes.CDLL:
    """The loaded library for an instruction set; RuntimeError when it cannot be built, OSError when not loaded."""
    return ctypes.CDLL(str(built(source, kind)))


def built(source: Path, kind: str) -> Path:
    """Path of the library, compiled now unless it lies in the cache already."""
    compiler = next(filter(None, map(shutil.which, [os.environ.get("CXX") or "c++", "g++", "clang++"])), None)
    if compiler is None:
        raise RuntimeError("no C++ compiler found (c++, g++ or clang++); install one, or set CXX")
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    command = [compiler, *_FLAGS, *_SETS[kind].split()]
    key = hashlib.sha256("\0".join([source.read_text(), *command, version, sys.platform]).encode()).hexdigest()[:16]
    path = cache_folder() / f"{source.stem}-{kind}-{key}.so"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            result = subprocess.run([*command, str(source), "-o", temporary], capture_output=True, text=True)
            if result.returncode:
                raise RuntimeError(f"{compiler} failed: {next(iter(result.stderr.strip().splitlines()), '')}")
            os.replace(temporary, path)  # several processes may build at once: each puts a whole file in place
        finally:
            Path(temporary).unlink(missing_ok=True)
    return path


def cache_folder() -> Path:
    """Where libraries are kept: $XDG_CACHE_HOME/zoofuse or ~/.cache/zoofuse, else a temporary folder of the user's."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoofuse"
    for folder in (home, Path(tempfile.gettempdir()) / f"zoofuse-{os.getuid()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():  # code is loaded from it
            return folder
    raise RuntimeError(f"no folder to compile into ({home} cannot be written); set XDG_CACHE_HOME")
