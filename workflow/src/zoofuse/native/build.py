"""C++ sources of this package as libraries, compiled on first use for the vector instructions of this machine.

They are kept in a private folder of the user; nodes of another kind compile their own library beside it. Nothing is
loaded that this user did not write: a folder or file that others own or can write to is refused, links are not
followed, and a library's digest is checked before it is loaded. No compiler: `available` says so, and callers compute
in PyTorch.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from zoofuse.core import logs
from zoofuse.core.private import Folder, cache_folder, check_private

COMPILER_SECONDS = 300  # a compiler that takes longer is stopped
_FLAGS = ["-w", "-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-fno-math-errno", "-fno-trapping-math"]
# Off: the source says which products are fused with a sum, so that every instruction set computes the same bits. On for
# the layout, where GCC vectorises nothing otherwise; AVX2 and AVX-512 agree there too.
_CONTRACT = {"layout": "fast"}
_SETS = {  # LANES floats in a vector; BLOCK 3 or 6 where there are 16 or 32 vector registers
    "avx512": "-mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -DLANES=16 -DBLOCK=6",
    "avx2": "-mavx2 -mfma -DLANES=8 -DBLOCK=3",
    "neon": "-DLANES=4 -DBLOCK=6",
    "generic": "-DLANES=4 -DBLOCK=3",
}
_MARK = b"\nzoofuse sha256 "  # then the digest of all that comes before: the end of a library in the cache
_open: list[int] = []  # descriptors of loaded libraries; a reused number would give dlopen the library it knows by it


def instruction_set() -> str:
    """The widest vectors this machine's processor and system run, as PyTorch detects them."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "neon"
    import torch  # here: reading what others trained needs only `arithmetic`

    return {"AVX512": "avx512", "AVX2": "avx2"}.get(torch.backends.cpu.get_cpu_capability(), "generic")


def arithmetic(kind: str) -> str:
    """Instruction sets with the same name here train the same bits: "x86" for all of x86, else the set's own name."""
    return "x86" if kind in ("avx512", "avx2", "generic") else kind


def available(source: Path, defines: tuple[str, ...] = ()) -> tuple[bool, str]:
    """Whether this C++ runs here (building it if need be), and how or why not, in one line."""
    try:
        library(source, instruction_set(), defines)
    except (OSError, RuntimeError) as error:
        return False, str(error)
    return True, f"C++ with {instruction_set()} vectors"


@functools.cache
def library(source: Path, kind: str, defines: tuple[str, ...] = ()) -> ctypes.CDLL:
    """The loaded library for an instruction set, with further macros, such as "LINES=3".

    A library in the cache that is cut, corrupt or cannot be loaded is built once more.

    Raises:
        RuntimeError: it cannot be built, or not be loaded even when it was built anew.
        OSError: the cache cannot be written.
    """
    with cache_folder(logs.once) as folder:
        name, command = _recipe(source, kind, defines)
        code = _read(folder, name)
        if code is not None:
            with contextlib.suppress(OSError):
                return _load(code, name)
        code = _build(folder, name, command)
        try:
            return _load(code, name)
        except OSError as error:
            raise RuntimeError(f"the C++ library was compiled but cannot be loaded ({error})") from error


def built(source: Path, kind: str) -> Path:
    """Path of the library in the cache, compiled now unless a whole one is there already."""
    with cache_folder(logs.once) as folder:
        name, command = _recipe(source, kind)
        if _read(folder, name) is None:
            _build(folder, name, command)
        return folder.path / name


def cached(name: str, make: Callable[[], bytes]) -> bytes:
    """Bytes that the cache keeps beside the libraries.

    Args:
        name: changes with all that they depend on.
        make: makes them, where the cache has none, or none that are whole.

    Returns:
        The bytes.

    Raises:
        OSError: the cache cannot be written.
    """
    with cache_folder(logs.once) as folder:
        code = _read(folder, name)
        if code is None:
            code = make()
            temporary = _temporary(name)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder.fd)
            try:
                with open(fd, "wb") as file:
                    file.write(code)
                _keep(folder, temporary, name)
            finally:
                _remove(folder, temporary)
        return code


def _recipe(source: Path, kind: str, defines: tuple[str, ...] = ()) -> tuple[str, list[str]]:
    """The library's name in the cache, which changes with all that it depends on, and the command that makes it."""
    wanted = [os.environ.get("CXX") or "c++", "g++", "clang++"]
    compiler = next(filter(None, map(shutil.which, wanted)), None)
    if compiler is None:
        raise RuntimeError("no C++ compiler found (c++, g++ or clang++); install one, or set CXX")
    code, version, _ = _run([compiler, "--version"])
    contract = f"-ffp-contract={_CONTRACT.get(source.stem, 'off')}"
    # Whole paths, as the compiler runs in another folder.
    macros = [f"-D{define}" for define in defines]
    language = ["-x", "c++"] if source.suffix == ".cu" else []
    command = [os.path.abspath(compiler), *_FLAGS, contract, *_SETS[kind].split(), *macros, *language]
    command += [str(source.absolute())]
    parts = [*texts(source), *command[:-1], version if code == 0 else "", sys.platform]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return f"{source.stem}-{kind}-{key}.so", command


def texts(source: Path) -> list[str]:
    """What a source says, and all headers beside it that it includes, those of headers too."""
    paths, texts = [source], []
    for path in paths:  # which grows
        texts.append(path.read_text())
        named = [path.with_name(name) for name in re.findall(r'^[ \t]*#[ \t]*include[ \t]*"(.+?)"', texts[-1], re.M)]
        paths += [header for header in dict.fromkeys(named) if header not in paths]
    return texts


def _run(command: list[str], folder: Path | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a compiler, which is ended with all its children after COMPILER_SECONDS.

    folder: where it runs, by default this process's own.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        options = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": errors, "start_new_session": True}
        options |= {"cwd": folder}
        with subprocess.Popen(command, **options) as process:
            try:
                code = process.wait(COMPILER_SECONDS)
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise RuntimeError(
                    f"{command[0]} did not end within {COMPILER_SECONDS} s and was stopped; set CXX to another compiler"
                ) from None
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read(100_000).decode(errors="replace"))
    return code, *texts


# ---- the cache ----


def _read(folder: Folder, name: str) -> bytes | None:
    """A library of the cache without its mark; None where there is none, or it is not ours, or not whole."""
    try:
        # Not blocking: a pipe in its place would be waited for.
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder.fd)
    except OSError:
        return None
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return None
        try:
            check_private(status, folder.path / name)
        except OSError as error:
            logs.once(f"Compile cache: {error}; it is not loaded but compiled again.")
            return None
        code, _, digest = file.read().rpartition(_MARK)
    return code if digest == _digest(code, name) else None


def _digest(code: bytes, name: str) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + code).hexdigest().encode()


def _build(folder: Folder, name: str, command: list[str]) -> bytes:
    """Compile a library, put it into the cache whole and return it."""
    temporary = _temporary(name)
    try:
        code, _, errors = _run([*command, "-o", temporary], folder.opened)
        if code:
            raise RuntimeError(f"{command[0]} failed: {first_error(errors) or f'exit code {code}'}")
        return _keep(folder, temporary, name)
    except FileNotFoundError:
        raise RuntimeError(f"{command[0]} ended without an error and wrote nothing") from None
    finally:
        _remove(folder, temporary)


def first_error(said: str) -> str:
    """The line of a compiler's output that names what is wrong."""
    lines = said.strip().splitlines() or [""]
    return next((line for line in lines if "error" in line and not line.startswith("collect2")), lines[0])


def _temporary(name: str) -> str:
    return f".{name}.{os.getpid()}.{os.urandom(8).hex()}"


def _remove(folder: Folder, temporary: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(temporary, dir_fd=folder.fd)


def _keep(folder: Folder, temporary: str, name: str) -> bytes:
    """Give a file its mark and its name in the cache, and return what it holds."""
    fd = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.fd)
    with open(fd, "rb+") as file:
        code = file.read()
        file.write(_MARK + _digest(code, name))
        file.flush()
        os.fchmod(fd, 0o600)
        os.fsync(fd)  # on disk before its name is, also after a power cut
    # Several processes may build at once: each puts a whole file in place.
    os.replace(temporary, name, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
    os.fsync(folder.fd)
    return code


def _load(code: bytes, name: str) -> ctypes.CDLL:
    """Load these bytes, from memory that nobody else can change: a file that is cut later ends all who mapped it."""
    try:
        fd = os.memfd_create(name)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(code)
            loaded = ctypes.CDLL(f"/proc/self/fd/{fd}")
        except OSError:
            os.close(fd)
            raise
        _open.append(fd)
        return loaded
    except (AttributeError, OSError):  # not Linux, or a system that runs nothing from memory
        with tempfile.TemporaryDirectory(prefix="zoofuse-") as folder:  # private to this user
            path = Path(folder) / name
            path.write_bytes(code)
            return ctypes.CDLL(str(path))
