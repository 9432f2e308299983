"""CUDA C++ of this package: compiled by NVRTC, which PyTorch's wheels for CUDA bring, and launched by the driver.

To compile needs no GPU. Machine code is kept in the same cache as the libraries for CPUs.
"""

import ctypes
import ctypes.util
import functools
import hashlib
import importlib.util
from pathlib import Path

from zoofuse.native import build

# Of a * b + c only what the source says is fused, as in the C++ for CPUs.
_OPTIONS = ("--std=c++17", "--device-as-default-execution-space", "--fmad=false")
_DRIVER = "libcuda.so.1"
_MAJOR, _MINOR, _MULTIPROCESSORS, _SHARED = 75, 76, 16, 97  # CUdevice_attribute of cuda.h
_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES


# ---- compiler ----


@functools.cache
def nvrtc() -> ctypes.CDLL:
    """NVRTC, of PyTorch's wheels or of the system.

    Raises:
        RuntimeError: there is none.
    """
    places = getattr(importlib.util.find_spec("nvidia"), "submodule_search_locations", None) or []
    wheels = (path for place in places for path in sorted(Path(place).glob("*/lib/libnvrtc.so*")))
    torch = importlib.util.find_spec("torch")  # some of PyTorch's own wheels hold it
    bundled = sorted(Path(torch.origin).parent.glob("lib/libnvrtc-*.so*")) if torch else []
    found = [*wheels, *(path for path in bundled if "builtins" not in path.name), ctypes.util.find_library("nvrtc")]
    library = next(filter(None, found), None)
    if library is None:
        raise RuntimeError(
            "NVRTC, the compiler for GPUs, is not installed; PyTorch's wheels for CUDA bring it "
            "(pip install nvidia-cuda-nvrtc)"
        )
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise RuntimeError(f"NVRTC cannot be loaded ({error})") from error


def compiled(source: Path, architecture: str, defines: tuple[str, ...] = ()) -> bytes:
    """Machine code (a cubin) for a kind of GPU, from the cache or compiled now.

    Args:
        source: a .cu file, which may include headers beside it.
        architecture: such as "sm_90".
        defines: further macros, such as "LINES=3".

    Returns:
        The cubin.

    Raises:
        RuntimeError: NVRTC is missing, or refuses the source or the architecture.
        OSError: the cache cannot be written.
    """
    options = [*_OPTIONS, f"--gpu-architecture={architecture}", *(f"-D{define}" for define in defines)]
    version = [ctypes.c_int(), ctypes.c_int()]
    _nvrtc("nvrtcVersion", *map(ctypes.byref, version))
    parts = [*build.texts(source), *options, *(str(number.value) for number in version)]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return build.cached(f"{source.stem}-{architecture}-{key}.cubin", lambda: _compile(source, options)[0])


def _compile(source: Path, options: list[str]) -> tuple[bytes, str]:
    """The cubin, and what the compiler said."""
    program = ctypes.c_void_p()
    text, name = source.read_bytes(), source.name.encode()
    _nvrtc("nvrtcCreateProgram", ctypes.byref(program), text, name, 0, None, None)
    try:
        words = [option.encode() for option in (*options, f"--include-path={source.parent}")]
        try:
            _nvrtc("nvrtcCompileProgram", program, len(words), (ctypes.c_char_p * len(words))(*words))
        except RuntimeError as error:
            said = build.first_error(_output(program, "ProgramLog").rstrip(b"\0").decode(errors="replace"))
            raise RuntimeError(f"{error}: {said}" if said else str(error)) from None
        return _output(program, "CUBIN"), _output(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
    finally:
        _nvrtc("nvrtcDestroyProgram", ctypes.byref(program))


def _output(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _nvrtc(f"nvrtcGet{what}Size", program, ctypes.byref(size))
    held = ctypes.create_string_buffer(size.value)
    _nvrtc(f"nvrtcGet{what}", program, held)
    return held.raw


def _nvrtc(name: str, *arguments) -> None:
    library = nvrtc()
    if code := getattr(library, name)(*arguments):
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise RuntimeError(f"{name} failed with {library.nvrtcGetErrorString(code).decode()}")


# ---- driver ----


@functools.cache
def _driver() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_DRIVER)
    except OSError as error:
        raise RuntimeError(f"there is no NVIDIA driver here ({error})") from error
    if code := library.cuInit(0):
        raise RuntimeError(_failure(library, "cuInit", code))
    return library


def _call(name: str, *arguments) -> None:
    library = _driver()
    if code := getattr(library, name)(*arguments):
        raise RuntimeError(_failure(library, name, code))


def _failure(library: ctypes.CDLL, name: str, code: int) -> str:
    words = []
    for question in ("cuGetErrorName", "cuGetErrorString"):
        word = ctypes.c_char_p()
        getattr(library, question)(code, ctypes.byref(word))
        words.append((word.value or b"unknown").decode())
    return f"{name} failed with {words[0]} ({words[1]})"


class Card:
    """A GPU by PyTorch's index: `architecture` ("sm_90"), `multiprocessors`, and `shared`, the bytes of shared memory
    that one thread block may ask for. Raises RuntimeError where the driver refuses."""

    def __init__(self, index: int):
        self.device, self.context = ctypes.c_int(), ctypes.c_void_p()
        _call("cuDeviceGet", ctypes.byref(self.device), index)
        self.architecture = f"sm_{self._attribute(_MAJOR)}{self._attribute(_MINOR)}"
        self.multiprocessors, self.shared = self._attribute(_MULTIPROCESSORS), self._attribute(_SHARED)
        # PyTorch's own context, whose tensors a kernel is given.
        _call("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), self.device)

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        _call("cuDeviceGetAttribute", ctypes.byref(value), number, self.device)
        return value.value

    def enter(self) -> None:
        """Make its context the calling thread's."""
        _call("cuCtxSetCurrent", self.context)


class Kernel:
    """A kernel of a cubin, loaded on a card, with `shared` bytes of shared memory for each thread block.

    Raises RuntimeError where the card refuses it.
    """

    def __init__(self, card: Card, cubin: bytes, name: str, shared: int):
        self.card, self.shared = card, shared
        self.module, self.function = ctypes.c_void_p(), ctypes.c_void_p()
        card.enter()
        _call("cuModuleLoadData", ctypes.byref(self.module), cubin)
        _call("cuModuleGetFunction", ctypes.byref(self.function), self.module, name.encode())
        _call("cuFuncSetAttribute", self.function, _DYNAMIC_SHARED, shared)

    def launch(self, argument: ctypes.Structure, blocks: int, threads: int, stream: int) -> None:
        """Start the kernel on PyTorch's stream, with one structure for an argument, and return at once.

        Raises:
            RuntimeError: the driver refuses the launch. What fails later, PyTorch reports when it next waits.
        """
        self.card.enter()
        parameters = (ctypes.c_void_p * 1)(ctypes.addressof(argument))
        sizes = (blocks, 1, 1, threads, 1, 1, self.shared)
        _call("cuLaunchKernel", self.function, *sizes, ctypes.c_void_p(stream), parameters, None)
