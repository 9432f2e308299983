"""C++ that is compiled here, its cache, GPU locks and numba: faults of machines, and what other users can plant."""

import ctypes
import fcntl
import itertools
import multiprocessing
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch

from zoofuse.core import devices, files, logs, private, rng
from zoofuse.evaluation import few_shot, protocols, zero_shot
from zoofuse.methods import distil, kernels
from zoofuse.methods.cyclegan.settings import settings as cyclegan_settings
from zoofuse.methods.cyclegan.train import train as train_cyclegan
from zoofuse.models import cnn
from zoofuse.native import build, cyclegan_steps, trainer
from zoofuse.zoo import shards, training, zoo

AVAILABLE, REASON = trainer.available()
needs_compiler = pytest.mark.skipif(not AVAILABLE, reason=f"no C++: {REASON}")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
SETS = ("generic", "avx2", "avx512")
if build.instruction_set() in SETS:
    SETS = SETS[: SETS.index(build.instruction_set()) + 1]  # those that this machine can run
STRANGER = 54321  # a user without an entry in the list of users
PUBLISHED = cnn.ARCHITECTURES["published"]
fork = multiprocessing.get_context("fork")


@pytest.fixture
def place():
    """A folder that other users can enter, as they cannot pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="zoofuse-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """A cache of this module's own, so that each set is compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("libraries")))
        yield


def pictures(n: int, name: str = "images") -> np.ndarray:
    """Uint8 images, a quarter of their values black or white: sums of such are exact, and often midway."""
    values = 384 * rng.uniform((n, 32, 32, 3), 0, name) - 64
    return np.clip(values, 0, 255).astype(np.uint8)


def as_user(user: int, function, *arguments):
    """What the function returns in a process of another user."""
    answer = fork.SimpleQueue()

    def run():
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        try:
            answer.put((True, function(*arguments)))
        except BaseException:
            answer.put((False, traceback.format_exc()))

    process = fork.Process(target=run)
    process.start()
    process.join(120)
    assert process.exitcode == 0, process.exitcode
    fine, value = answer.get()
    assert fine, value
    return value


# ---- 06: the same bits whatever the vectors ----


@needs_compiler
@pytest.mark.skipif(len(SETS) < 2, reason="one instruction set here")
@pytest.mark.parametrize("targets", [False, True])
def test_case_06_every_instruction_set_trains_the_same_bits(libraries, monkeypatch, targets):
    images, labels = pictures(60), (np.arange(60) % 2).astype(np.uint8)
    wanted = rng.uniform((60, 2), 0, "targets").astype(np.float32) if targets else None
    data = training.Data(images[:45], labels[:45], images[45:], labels[45:], None if wanted is None else wanted[:45])
    # Batches that fill no vector: 45 = 2 * 16 + 13, 15 = 8 + 7.
    settings = training.Settings(epochs=2, images_per_epoch=45, batch_size=30, flip=True, brightness=0.3)
    found = {}
    for kind in SETS:
        monkeypatch.setattr(build, "instruction_set", lambda kind=kind: kind)
        trainer._library.cache_clear()
        found[kind] = training.train(data, settings, 1, "cat", np.arange(2), backend="cpp")
    trainer._library.cache_clear()
    for kind in SETS[1:]:
        for name, weights in found[SETS[0]].weights.items():
            assert np.array_equal(weights, found[kind].weights[name]), (kind, name)
        assert np.array_equal(found[SETS[0]].history["loss"], found[kind].history["loss"]), kind
    assert not np.array_equal(found[SETS[0]].weights["fc1.bias"][0], found[SETS[0]].weights["fc1.bias"][1])


@needs_compiler
@pytest.mark.skipif(len(SETS) < 2, reason="one instruction set here")
@pytest.mark.parametrize("size", [8, 21, 128])
def test_case_06_gradients_are_the_same_bits_for_batches_of_any_length(libraries, size):
    weights = {name: value[0] for name, value in cnn.initial_weights(PUBLISHED, 0, "cat", np.arange(1)).items()}
    order = rng.permutation(130, 0, "order")[:size].astype(np.int32)
    labels = (np.arange(130) % 2).astype(np.uint8)
    first, *others = (trainer.gradient(pictures(130), labels, weights, order, kind=kind) for kind in SETS)
    for kind, (loss, gradient) in zip(SETS[1:], others, strict=True):
        assert loss == first[0], kind
        assert all(np.array_equal(gradient[name], first[1][name]) for name in weights), kind


@needs_compiler
@pytest.mark.skipif(len(SETS) < 2, reason="one instruction set here")
@pytest.mark.parametrize(("layer", "inputs", "outputs"), [("conv1", 3, 6), ("conv2", 6, 16)])
def test_case_06_cyclegan_steps_are_the_same_bits(libraries, layer, inputs, outputs):
    settings = cyclegan_settings("best", layer, epochs=1, hidden=11)  # blocks of channels that are not full
    parameters = settings.hidden * inputs * 27 + settings.hidden
    sizes = {
        "generators": parameters + inputs * (settings.hidden * 27 + 1),
        "judges": parameters + settings.hidden * 27 + 1,
    }
    for a, b in ((8, 8), (21, 5), (0, 13)):
        draw = lambda name, *shape: torch.from_numpy(rng.normal(shape, 0, name, a).astype(np.float32))  # noqa: B023, E731
        sets = {"A": draw("A", inputs, outputs, 5, 5, a), "B": draw("B", inputs, outputs, 5, 5, b)}
        generators = 0.1 * draw("generators", 2 * sizes["generators"])
        judges = 0.1 * draw("judges", 2 * sizes["judges"])
        found = []
        for kind in SETS:
            losses, gradient, made = cyclegan_steps.generator_step(settings, generators, judges, sets, kind=kind)
            judged, by_judges = cyclegan_steps.discriminator_step(settings, judges, sets, made, kind=kind)
            found.append([gradient, by_judges, *made.values(), *losses.values(), *judged.values()])
        for kind, other in zip(SETS[1:], found[1:], strict=True):
            assert all(torch.equal(x, y) for x, y in zip(found[0], other, strict=True)), (kind, a, b)
        assert found[0][0].abs().max() > 0


@needs_compiler
@pytest.mark.skipif("generic" not in SETS, reason="hardware always has fused multiply-adds here")
def test_case_06_fused_multiply_adds_without_hardware_round_once(libraries, tmp_path):
    """Sums midway between two floats, tiny ones and huge ones, against the C library's."""
    shutil.copy(Path(build.__file__).with_name("simd.h"), tmp_path)
    source = tmp_path / "check.cpp"
    source.write_text(
        '#include "simd.h"\n'
        'extern "C" void both(const V* a, const V* b, const V* c, V* ours, float* theirs, long n) {\n'
        "  for (long i = 0; i < n; i++) {\n"
        "    ours[i] = fused<V>(a[i], b[i], c[i]);\n"
        "    for (int k = 0; k < 4; k++) theirs[4 * i + k] = std::fma(a[i][k], b[i][k], c[i][k]);\n  }\n}\n"
    )
    random = np.random.default_rng(0)
    n = 400_000

    def floats() -> np.ndarray:
        bits = random.integers(0, 2**32, n, dtype=np.uint64).astype(np.uint32)
        kind = random.integers(0, 4, n)
        bits = np.where(kind == 1, bits & 0xFFFFF001, bits)  # few digits: sums are exact, and often midway
        bits = np.where(kind == 2, (bits & 0x807FFFFF) | ((bits >> 8) % 60 + 100 << 23), bits)
        return (
            np.where(kind == 3, (bits & 0x80000FFF) | ((bits >> 9) % 8 + 60 << 23), bits).astype(np.uint32).view("f4")
        )

    a, b, c = (np.ascontiguousarray(floats()) for _ in range(3))
    with np.errstate(all="ignore"):
        c[::3] = (a * b)[::3] * np.float32(2) ** random.integers(23, 27, n)[::3].astype("f4")
    ours, theirs = np.empty_like(a), np.empty_like(a)
    pointers = (ctypes.c_void_p(x.ctypes.data) for x in (a, b, c, ours, theirs))
    build.library(source, "generic").both(*pointers, ctypes.c_long(n // 4))
    same = (ours.view(np.uint32) == theirs.view(np.uint32)) | (np.isnan(ours) & np.isnan(theirs))
    assert same.all(), [(x[~same][:3]) for x in (a, b, c, ours, theirs)]


def shard(folder: Path, models: range, monkeypatch, kind: str, **changes) -> tuple[Path, list[str]]:
    said: list[str] = []
    labels = np.repeat([0, 1], 20).astype(np.uint8)
    images = folder / "images.h5"
    arrays = {"images": pictures(40), "labels": labels, "split": (np.arange(40) % 5 == 0).astype(np.uint8)}
    files.write(images, "images", arrays)
    monkeypatch.setattr(build, "instruction_set", lambda: kind)
    how = {
        "settings": training.Settings(epochs=1, images_per_epoch=8),
        "seed": 1,
        "concept": "cat",
        "backend": "serial",
    }
    output = folder / f"{models.start}-{models.stop}.h5"
    shards.train_shard(
        images, output, models=models, store=folder / "store", device="cpu", say=said.append, **how | changes
    )
    return output, said


def test_case_06_the_file_says_which_instruction_set_trained_it(tmp_path, monkeypatch):
    path, said = shard(tmp_path, range(2), monkeypatch, "avx2")
    assert files.attributes(path, "zoo")["instruction_set"] == "avx2"
    assert not [line for line in said if "differ by rounding" in line]


def test_case_06_a_zoo_trained_in_ways_that_differ_is_reported(tmp_path, monkeypatch):
    first, _ = shard(tmp_path, range(2), monkeypatch, "avx2")
    second, said = shard(tmp_path, range(4), monkeypatch, "avx512")  # PyTorch's bits depend on the set
    assert files.attributes(second, "zoo")["instruction_set"] == "avx2, avx512"
    assert sum("serial on cpu avx2, serial on cpu avx512" in line for line in said) == 1
    said = []
    kernels.extract({"A": [first], "B": [first, second]}, "conv1", tmp_path / "bank.h5", said.append)
    assert len(said) == 1
    assert said[0].startswith("Zoo B: its CNNs were trained in ways that differ by rounding")


def test_case_06_sets_with_the_same_bits_are_not_reported(tmp_path):
    def reported(*stated: dict) -> bool:
        said, paths = [], [tmp_path / f"{i}.h5" for i in range(len(stated))]
        for path, attributes in zip(paths, stated, strict=True):
            files.write(path, "zoo", {"model": np.arange(1)}, **attributes)
        zoo.tell_mixed(paths, "cat", said.append)
        return bool(said)

    cpu = {"backend": "cpp", "device": "cpu"}
    assert not reported(cpu | {"instruction_set": "avx2"}, cpu | {"instruction_set": "avx512, generic"})
    assert not reported({}, cpu | {"instruction_set": "avx2"})  # imported CNNs say nothing
    assert reported(cpu | {"instruction_set": "avx2"}, cpu | {"instruction_set": "neon"})
    assert reported(cpu | {"instruction_set": "avx2"}, cpu)  # of before the set was written down
    assert reported(
        cpu | {"instruction_set": "avx2"}, {"backend": "batched", "device": "cuda", "instruction_set": "avx2"}
    )


# ---- 25: a library that is cut, and compilers that fail ----


@pytest.fixture
def small(place, monkeypatch):
    """A small C++ source, an empty cache, and a compiler that counts its calls."""
    calls, source = place / "calls", place / "small.cpp"
    source.write_text('extern "C" int number() { return 42; }\n')
    compiler = place / "counting"
    real = shutil.which(os.environ.get("CXX") or "c++") or shutil.which("g++")
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {real} "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    build.library.cache_clear()
    yield source
    build.library.cache_clear()


def builds(source: Path) -> int:
    calls = source.with_name("calls")
    return sum("-shared" in line for line in calls.read_text().splitlines()) if calls.exists() else 0


def number(source: Path) -> int:
    build.library.cache_clear()
    return build.library(source, build.instruction_set()).number()


def _cut(length):
    return lambda path: os.truncate(path, int(length * path.stat().st_size))


def _wrong_bit(path: Path) -> None:
    code = bytearray(path.read_bytes())
    code[len(code) // 2] ^= 4
    path.write_bytes(code)


def _of_before(path: Path) -> None:
    path.write_bytes(path.read_bytes().rpartition(b"\nzoofuse sha256 ")[0])


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _second_name(path: Path) -> None:
    os.link(path, path.with_name("elsewhere"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE = {
    "empty": _cut(0), "half": _cut(0.5), "all but its digest": _cut(0.999), "a wrong bit": _wrong_bit,
    "no digest": _of_before, "a link": _link, "a second name": _second_name, "a pipe": _pipe,
    "for others to write": lambda path: path.chmod(0o666),
}  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("damage", DAMAGE)
def test_case_25_a_bad_library_is_built_once_more(small, damage):
    assert number(small) == 42
    DAMAGE[damage](build.built(small, build.instruction_set()))
    assert builds(small) == 1
    assert number(small) == 42
    assert builds(small) == 2
    assert number(small) == 42
    assert builds(small) == 2, "built again though it was whole"
    (path,) = (p for p in (small.parent / "cache" / "zoofuse").iterdir() if p.suffix == ".so")
    assert stat.S_ISREG(path.lstat().st_mode)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600


@needs_compiler
def test_case_25_a_library_that_is_cut_while_it_is_used_ends_no_process(small):
    library = build.library(small, build.instruction_set())
    os.truncate(build.built(small, build.instruction_set()), 0)
    assert library.number() == 42


@needs_compiler
def test_case_25_another_library_in_its_place_is_not_loaded(small):
    """A whole library with a digest, but of another name: one instruction set's in the place of another's."""
    path = build.built(small, build.instruction_set())
    other = small.with_name("other.cpp")
    other.write_text('extern "C" int number() { return 13; }\n')
    shutil.copy(build.built(other, build.instruction_set()), path)
    path.chmod(0o600)
    assert number(small) == 42


def compiler(folder: Path, script: str) -> str:
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


LOOK_FOR_OUTPUT = 'while [ "$1" != -o ]; do [ $# = 0 ] && exit 0; shift; done'


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"{LOOK_FOR_OUTPUT}; echo junk > $2", "was compiled but cannot be loaded"),
        (f"{LOOK_FOR_OUTPUT}; : > $2", "was compiled but cannot be loaded"),
        ("exit 0", "ended without an error and wrote nothing"),
        ("echo 'warning: odd'; echo 'No space left on device' >&2; exit 1", "No space left on device"),
        ("kill -SEGV $$", "failed: exit code -11"),
    ],
)
def test_case_53_a_compiler_that_fails_is_named_and_pytorch_trains(small, monkeypatch, script, said):
    monkeypatch.setenv("CXX", compiler(small.parent, script))
    with pytest.raises(RuntimeError, match=said):
        number(small)
    available, reason = build.available(small)
    assert not available
    assert said in reason
    assert not [path for path in (small.parent / "cache" / "zoofuse").iterdir() if path.suffix != ".so"]


def test_case_53_a_compiler_that_hangs_is_stopped_with_its_children(small, monkeypatch):
    child = small.with_name("child")
    monkeypatch.setenv("CXX", compiler(small.parent, f"{LOOK_FOR_OUTPUT}; sleep 600 & echo $! > {child}; wait"))
    monkeypatch.setattr(build, "COMPILER_SECONDS", 1)
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="did not end within 1 s"):
        number(small)
    assert time.monotonic() - start < 60
    status = Path(f"/proc/{child.read_text().strip()}/stat")
    for _ in range(100):
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the compiler's child is still running")


@needs_compiler
def test_case_53_no_room_for_the_library(small):
    def limited() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        return build.available(small)[1]

    reason = as_user(os.getuid(), limited)
    assert "failed: " in reason or "File too large" in reason
    assert number(small) == 42  # with room again, nothing is left in the way


@needs_compiler
@needs_root
def test_case_25_without_a_home_the_temporary_folder_is_used(small, place):
    temporary = place / "temporary"
    temporary.mkdir()
    temporary.chmod(0o1777)

    def homeless() -> tuple[int, str]:
        for name in ("XDG_CACHE_HOME", "HOME", "CXX"):
            os.environ.pop(name, None)
        private.tempfile.tempdir = str(temporary)
        with pytest.raises(RuntimeError):
            Path.home()
        with private.cache_folder() as folder:
            return number(small), str(folder.path)

    assert as_user(STRANGER, homeless) == (42, str(temporary / f"zoofuse-{STRANGER}"))


# ---- planted libraries ----


def plant(folder: Path, name: str, evidence: Path) -> None:
    """As another user: a library whose loading leaves evidence, with the digest that a good one has."""
    source = evidence.with_name("planted.cpp")
    source.write_text(
        "#include <cstdio>\n"
        f'__attribute__((constructor)) void loaded() {{ fclose(fopen("{evidence}", "w")); }}\n'
        'extern "C" int number() { return 13; }\n'
    )
    path = folder / name
    subprocess.run([shutil.which("g++") or "c++", "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
    code = path.read_bytes()
    path.write_bytes(code + build._MARK + build._digest(code, name))
    path.chmod(0o755)


@needs_compiler
@needs_root
@pytest.mark.parametrize("way", ["writable folder", "their folder", "linked folder", "temporary folder", "linked file"])
def test_a_library_planted_by_another_user_is_refused(small, place, monkeypatch, way, capfd):
    evidence, cache = place / "evidence", place / "cache" / "zoofuse"
    name, _ = build._recipe(small, build.instruction_set())
    theirs = place / "theirs"
    theirs.mkdir()
    theirs.chmod(0o777)
    temporary = place / "temporary"
    temporary.mkdir()
    temporary.chmod(0o1777)
    monkeypatch.setattr(private.tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(logs, "once", logs.once.__wrapped__)
    private._of_this_process.cache_clear()
    place.chmod(0o777)
    (theirs / "library").mkdir(mode=0o777)
    (theirs / "library").chmod(0o777)
    match way:
        case "writable folder":
            cache.mkdir(parents=True)
            cache.chmod(0o777)
            as_user(STRANGER, plant, cache, name, evidence)
        case "their folder":
            cache.parent.mkdir()
            cache.parent.chmod(0o777)
            as_user(STRANGER, cache.mkdir)
            as_user(STRANGER, plant, cache, name, evidence)
        case "linked folder":
            cache.parent.mkdir()
            cache.parent.chmod(0o777)
            as_user(STRANGER, plant, theirs / "library", name, evidence)
            as_user(STRANGER, cache.symlink_to, theirs / "library")
        case "temporary folder":
            (place / "cache").write_text("in the way of the cache")
            as_user(STRANGER, plant, theirs / "library", name, evidence)
            as_user(STRANGER, (temporary / f"zoofuse-{os.getuid()}").symlink_to, theirs / "library")
        case "linked file":
            cache.mkdir(parents=True, mode=0o700)
            as_user(STRANGER, plant, theirs / "library", name, evidence)
            (cache / name).symlink_to(theirs / "library" / name)
    assert number(small) == 42
    assert not evidence.exists()
    if way != "linked file":
        said = capfd.readouterr().err
        wanted = {"writable folder": "can be written by other users", "their folder": f"belongs to user {STRANGER}"}
        assert wanted.get(way, "is a symbolic link, which is not followed") in said
    private._of_this_process.cache_clear()


@needs_compiler
def test_a_private_folder_that_was_swapped_after_it_was_opened(small, place):
    """The folder that was checked is the one that is written to and read from, wherever its path leads meanwhile."""
    with private.cache_folder() as folder:
        name, command = build._recipe(small, build.instruction_set())
        folder.path.rename(place / "checked")
        (place / "other").mkdir()
        folder.path.symlink_to(place / "other")
        code = build._build(folder, name, command)
        assert build._read(folder, name) == code
    assert [path.name for path in (place / "checked").iterdir()] == [name]
    assert not list((place / "other").iterdir())


# ---- GPU locks ----


@pytest.fixture
def locks(place, monkeypatch):
    folder = place / "locks"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    yield folder
    while devices._held:
        devices._held.pop().release()


def _foreign_link(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("precious")
    path.symlink_to(target)


def _unreadable(path: Path) -> None:
    path.touch()
    path.chmod(0)


PLANTED = {
    "link": _foreign_link,
    "dangling link": lambda path: path.symlink_to(path.with_name("nowhere")),
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "unreadable": _unreadable,
}


@pytest.mark.parametrize("what", [name for name in PLANTED if name != "unreadable"])
def test_a_planted_gpu_lock_stops_and_redirects_no_job(locks, place, what):
    PLANTED[what](locks / "zoofuse-GPU-1.lock")
    before = sorted(locks.iterdir())
    assert devices.claim(["GPU-1"], locks) == 0
    assert sorted(locks.iterdir()) == before, "something was made through the link"
    assert (place / "cache" / "zoofuse" / "zoofuse-GPU-1.lock").is_file()
    assert not (locks / "target").exists() or (locks / "target").read_text() == "precious"


@needs_root
def test_a_gpu_lock_that_cannot_be_read_stops_no_job(locks, place):
    PLANTED["unreadable"](locks / "zoofuse-GPU-1.lock")
    (place / "cache").mkdir()
    (place / "cache").chmod(0o777)
    assert as_user(STRANGER, devices.claim, ["GPU-1"], locks) == 0


def _hold(path: Path, ready, seconds: float) -> None:
    os.setuid(STRANGER)
    fd = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    fcntl.flock(fd, fcntl.LOCK_EX)
    ready.set()
    time.sleep(seconds)


@needs_root
def test_a_gpu_lock_held_for_ever_by_another_user_is_named_and_shared(locks, capfd):
    ready = fork.Event()
    holder = fork.Process(target=_hold, args=(locks / "zoofuse-GPU-2.lock", ready, 600))
    holder.start()
    try:
        assert ready.wait(30)
        assert devices.claim(["GPU-2", "GPU-3"], locks) == 1, "one that is free is taken at once"
        devices._held.pop().release()
        start = time.monotonic()
        assert devices.claim(["GPU-2"], locks, poll=0.05, max_wait=1) == 0
        assert 1 <= time.monotonic() - start < 30
        said = capfd.readouterr().err
        assert f"held by user {STRANGER}" in said
        assert f"user {STRANGER} has held its lock for 1 s; this job now shares the GPU" in said
    finally:
        holder.kill()
        holder.join()


@needs_root
def test_users_take_turns_on_a_gpu(locks):
    """A lock file that one user made locks out another one, whose job waits and then has the GPU for itself."""
    ready = fork.Event()
    holder = fork.Process(target=_hold, args=(locks / "zoofuse-GPU-4.lock", ready, 1.5))
    holder.start()
    assert ready.wait(30)
    start = time.monotonic()
    assert devices.claim(["GPU-4"], locks, poll=0.05) == 0
    assert time.monotonic() - start > 0.5
    assert not devices._Lock(locks, "GPU-4").acquire()  # this process holds it
    holder.join()


# ---- numba and the embeddings ----

SETTINGS = {
    "embeddings": ["umap", "tsne"],
    "umap": {"n_neighbors": 15, "min_dist": 0.1, "metric": "euclidean", "random_state": 47, "held_out_epochs": 200},
    "tsne": {"perplexity": 30, "random_state": 47},
    "kmeans": {"k": 2, "random_state": 1},
    "dbscan": {"eps": 3, "min_samples": 3},
    "one_class_svm": {"nu": 0.1, "gamma": "scale"},
}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("NUMBA_DISABLE_JIT", "1", "Unset NUMBA_DISABLE_JIT"),
        ("NUMBA_THREADING_LAYER", "nonsense", "NUMBA_THREADING_LAYER=nonsense"),
    ],
)
def test_case_24_numba_settings_are_named(name, value, said):
    code = (
        "import numpy as np; from zoofuse.evaluation import protocols as evaluation\n"
        "try: evaluation._umap()\n"
        "except evaluation.EvaluationError as error: print(error)\n"
    )
    environment = os.environ | {name: value, "PYTHONPATH": str(Path(protocols.__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert said in run.stdout, run.stderr
    assert "Traceback" not in run.stderr


def test_case_31_numba_keeps_its_code_beside_the_compiled(tmp_path):
    code = (
        "import os; from zoofuse.evaluation import protocols as evaluation; evaluation._prepare_numba(); import numba\n"
        "print(os.environ['NUMBA_CACHE_DIR'], numba.config.CACHE_DIR)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(Path(protocols.__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.split() == [str(tmp_path / "zoofuse" / "numba")] * 2


@pytest.mark.parametrize("scale", [1e-38, 1e-43, 1e-20, 1e30])
def test_case_26_features_of_any_scale_are_embedded(scale):
    x = (np.random.default_rng(0).random((40, 20)) * scale).astype(np.float32)
    assert np.isfinite(protocols.tsne_embedding(x, SETTINGS["tsne"])).all()
    x[:, 0] = 1e5  # and one that is the same for all images
    assert np.isfinite(protocols.tsne_embedding(x, SETTINGS["tsne"])).all()


def test_ordinary_features_are_embedded_as_before():
    """Nothing is scaled that needs no scaling."""
    x = np.random.default_rng(0).random((12, 5)).astype(np.float32)
    assert protocols._scaled([x, None])[0] is x
    assert protocols._scaled([x * np.float32(9e16)])[0].max() > 1e16


EDGES = {
    "infinite and NaN rows": {},
    "cosine, zero rows": {"umap": {"metric": "cosine"}},
    "correlation, constant rows": {"umap": {"metric": "correlation"}},
    "canberra, zero rows": {"umap": {"metric": "canberra"}},
    "braycurtis, zero rows": {"umap": {"metric": "braycurtis"}},
    "n_neighbors 500": {"umap": {"n_neighbors": 500}},
    "n_neighbors 2": {"umap": {"n_neighbors": 2}},
    "k 100": {"kmeans": {"k": 100}},
    "eps tiny": {"dbscan": {"eps": 1e-9}},
    "eps huge": {"dbscan": {"eps": 1e9}},
    "perplexity 1e4": {"tsne": {"perplexity": 1e4}},
    "4 of 40 positive": {},
}


@pytest.mark.parametrize("edge", EDGES)
def test_case_51_umap_edges(edge):
    random = np.random.default_rng(0)
    x, truth = random.normal(size=(40, 60)).astype(np.float32), np.arange(40) < (4 if "4 of" in edge else 20)
    if "infinite" in edge:
        x[3], x[4] = np.inf, np.nan
    if "rows" in edge and "infinite" not in edge:
        x = np.abs(x)
        x[:10] = 0
    settings = {
        name: value | EDGES[edge].get(name, {}) if name != "embeddings" else value for name, value in SETTINGS.items()
    }
    validation = protocols.split(np.where(truth, 0, 1), np.array(["g"] * 40), 1, "f")
    rows, arrays = protocols.evaluate(x, truth, settings)
    more, _ = protocols.held_out(x, truth, validation, settings)
    assert np.isfinite(arrays["umap"]).all()
    for row, name in itertools.product(rows + more, ("accuracy", "balanced_accuracy", "purity", "dead", "noise")):
        assert 0 <= row[name] <= 1, (row["protocol"], row["clusterer"], name)


# ---- one CNN whose features overflow ----


@pytest.fixture
def exploding():
    """Five CNNs, of which number 1 overflows, and number 3 gives finite features that cannot be squared."""
    made = {name: values.copy() for name, values in cnn.initial_weights(PUBLISHED, 0, "cat", np.arange(5)).items()}
    for name in ("conv1.weight", "conv2.weight"):
        made[name][1] *= np.float32(1e30)
        made[name][3] *= np.float32(1e12)
    return made | {"model": np.arange(5), "domain": np.array(["A"] * 5)}


def test_an_exploding_cnn_is_named_and_scored_as_degenerate(exploding):
    images, truth = pictures(40), np.arange(40) < 20
    assert not np.isfinite(protocols.features(exploding, images)[1]).all()
    assert 1e19 < protocols.features(exploding, images)[3].max() < np.inf
    validation = protocols.split(np.where(truth, 0, 1), np.array(["g"] * 40), 1, "f")
    said = []
    found = list(protocols.evaluate_zoo(exploding, images, truth, validation, SETTINGS, say=said.append))
    assert [rows[0]["dead"] for rows, _ in found][1] == 1
    assert found[3][0][0]["dead"] < 1
    assert all(np.isfinite(arrays["umap"]).all() and np.isfinite(rows[0]["accuracy"]) for rows, arrays in found)
    assert len(said) == 1
    assert said[0].startswith("CNN 1 (domain A): its features overflow to infinity or NaN on 40 of 40 images")
    sound = {name: values[[0, 2, 3, 4]] for name, values in exploding.items()}
    alone = protocols.evaluate_zoo(sound, images, truth, validation, SETTINGS)
    for (rows, _), (others, _) in zip([found[i] for i in (0, 2, 3, 4)], alone, strict=True):
        assert [row["accuracy"] for row in rows] == [row["accuracy"] for row in others]


def test_an_exploding_cnn_zero_shot_and_few_shot(exploding):
    images, labels = pictures(40), (np.arange(40) % 2).astype(np.uint8)
    concept = zero_shot.Concept(images[:20], labels[:20], images[20:], labels[20:])
    said: list[str] = []
    answers = zero_shot.predict(exploding, [concept, concept], images, said.append)
    assert len(said) == 1
    assert "CNN 1 " in said[0]
    assert all(np.isfinite(values).all() for values in answers.values())
    assert np.ptp(answers["probe/scores"][1]) == 0
    assert answers["probe/validation"][1] == 0.5
    validation = protocols.split(labels, np.array(["g"] * 40), 1, "f")
    how = {"draws": 2, "seed": 1, "fusion": "f", "say": said.append}
    curve = few_shot.of_cnns(exploding, images, labels, validation, [2], **how)
    assert np.isfinite(curve[2]).all()
    assert curve[2][1] == 0.5
    assert len(said) == 2


def test_an_exploding_teacher_teaches_nothing(exploding):
    images = pictures(12)
    teachers = {name: values for name, values in exploding.items() if name.startswith(("conv", "fc1"))}
    sound = {name: values[[0, 2, 3, 4]] for name, values in teachers.items()}
    taught = distil.probability(teachers, images)
    assert np.isfinite(taught).all()
    assert np.array_equal(taught, distil.probability(sound, images))
    with pytest.raises(ValueError, match="all 1 teachers of a zoo overflow"):
        distil.probability({name: values[1:2] for name, values in teachers.items()}, images)


# ---- 50: the CycleGAN's edges ----


def sets(n: int) -> np.ndarray:
    return (0.1 * rng.normal((n, 6, 3, 5, 5), 0, "kernels", n)).astype(np.float32)


@pytest.mark.parametrize("backend", ["pytorch", pytest.param("cpp", marks=needs_compiler)])
@pytest.mark.parametrize(
    ("a", "b", "preset", "changes"),
    [
        (sets(4), sets(5), "best", {"batch_size": 128}),
        (sets(5), sets(4), "best", {"batch_size": 1}),
        (sets(4), sets(9), "code", {"batch_size": 2}),
        (np.repeat(sets(1), 4, 0), sets(4), "best", {}),
    ],
)
def test_case_50_few_kernel_sets(tmp_path, backend, a, b, preset, changes):
    settings = cyclegan_settings(preset, "conv1", epochs=1, hidden=4, **changes)
    trained = train_cyclegan(a, b, settings, 1, state_path=tmp_path / "state", threads=1, backend=backend)
    assert all(np.isfinite(values).all() for made in trained.generators.values() for values in made.values())


@pytest.mark.parametrize(
    ("a", "said"),
    [
        (sets(3), "at least 4 are needed"),
        (np.full_like(sets(4), np.nan), "not finite"),
        (0 * sets(4), "the same value"),
    ],
)
def test_case_50_what_cannot_be_trained_on_is_refused(tmp_path, a, said):
    settings = cyclegan_settings("best", "conv1", epochs=1, hidden=4)
    with pytest.raises(ValueError, match=said):
        train_cyclegan(a, sets(4), settings, 1, state_path=tmp_path / "state", backend="pytorch")


def test_case_50_an_interrupted_run_equals_an_undisturbed_one(tmp_path):
    settings = cyclegan_settings("best", "conv1", epochs=3, hidden=4)
    whole = train_cyclegan(sets(6), sets(4), settings, 1, state_path=tmp_path / "whole", threads=1)

    def interrupt(epoch, losses):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_cyclegan(sets(6), sets(4), settings, 1, state_path=tmp_path / "state", threads=1, progress=interrupt)
    again = train_cyclegan(sets(6), sets(4), settings, 1, state_path=tmp_path / "state", threads=1)
    for way, made in whole.generators.items():
        assert all(np.array_equal(values, again.generators[way][name]) for name, values in made.items())
