"""Case 04: disks without file locks, and disks and networks that are not there for a moment. A good file stays good."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from zoofuse import files

# Pretends to be a file system without locks (NOLOCK, as an errno), or one whose *.h5 and *.csv can't be read (NOREAD)
# or opened (NOOPEN).
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
static int asked(const char *name) { const char *e = getenv(name); return e ? atoi(e) : 0; }
static int ours(const char *path) {
  size_t n = strlen(path);
  return n > 4 && (!strcmp(path + n - 3, ".h5") || !strcmp(path + n - 4, ".csv"));
}
int flock(int fd, int op) {
  static int (*real)(int, int);
  if (!real) real = dlsym(RTLD_NEXT, "flock");
  if (asked("NOLOCK")) { errno = asked("NOLOCK"); return -1; }
  return real(fd, op);
}
static int locking(int command) {
  return asked("NOLOCK") && (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW);
}
#define FCNTL(name) \\
int name(int fd, int command, ...) { \\
  static int (*real)(int, int, ...); \\
  va_list more; va_start(more, command); void *argument = va_arg(more, void *); va_end(more); \\
  if (!real) real = dlsym(RTLD_NEXT, #name); \\
  if (locking(command)) { errno = asked("NOLOCK"); return -1; } \\
  return real(fd, command, argument); \\
}
FCNTL(fcntl)
FCNTL(fcntl64)
ssize_t read(int fd, void *to, size_t n) {
  static ssize_t (*real)(int, void *, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "read");
  if (asked("NOREAD")) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0 && (path[length] = 0, ours(path))) { errno = asked("NOREAD"); return -1; }
  }
  return real(fd, to, n);
}
#define OPEN(name) \\
int name(const char *path, int flags, ...) { \\
  static int (*real)(const char *, int, ...); \\
  va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \\
  if (!real) real = dlsym(RTLD_NEXT, #name); \\
  if (asked("NOOPEN") && ours(path)) { errno = asked("NOOPEN"); return -1; } \\
  return real(path, flags, mode); \\
}
OPEN(open)
OPEN(open64)
"""

READ = """
import sys
from pathlib import Path
import numpy as np
from zoofuse import csv_files, cyclegan, files, netspace, zoo
folder = Path(sys.argv[1])
for read in (
    lambda: files.read(folder / "a.h5", "zoo")["model"].tolist(),
    lambda: files.attributes(folder / "a.h5", "zoo")["recipe"],
    lambda: files.fingerprint(folder / "a.h5")[:0],
    lambda: csv_files.read(folder / "a.csv")["n"].tolist(),
    lambda: sorted(zoo._stored(folder, "r", range(3), print)),
    lambda: cyclegan._load(folder / "state.h5", "i")["x"].tolist(),
    lambda: netspace._load(folder / "space.h5", "i")["x"].tolist(),
):
    try:
        print(read())
    except files.FileError as error:
        print(f"{type(error).__name__}: {error}")
"""
WRITE = """
import sys, time
from pathlib import Path
import numpy as np, pandas as pd
from zoofuse import csv_files, files
folder = Path(sys.argv[1])
left = [folder / f".old.h5.{machine}.0123456789abcdef.tmp" for machine in ("01234567", files._machine())]
for path in left:
    path.write_text("half")
files.write(folder / "a.h5", "zoo", {"model": np.arange(3)}, recipe="r")
assert all(path.exists() for path in left)  # nobody can say whether they are in use
files._STALE = 0.01
time.sleep(0.05)
csv_files.write(folder / "a.csv", pd.DataFrame({"n": [1, 2]}))
assert not any(path.exists() for path in left)
for name, kind in (("state", "cyclegan state"), ("space", "netspace state")):
    files.write(folder / f"{name}.h5", kind, {"x": np.arange(2)}, identity="i")
"""
RIGHT = ["[0, 1, 2]", "r", "", "[1, 2]", "[0, 1, 2]", "[0, 1]", "[0, 1]"]


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("Pretending to be another file system needs Linux and a C compiler.")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    command = [compiler, "-shared", "-fPIC", "-w", "-o", folder / "shim.so", folder / "shim.c", "-ldl"]
    subprocess.run(command, check=True)
    return folder / "shim.so"


def run(script, folder, shim=None, **errors):
    environment = os.environ | {name: str(value) for name, value in errors.items()}
    if shim:
        environment["LD_PRELOAD"] = str(shim)
    run = subprocess.run([sys.executable, "-c", script, str(folder)], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.parametrize("number", [37, 11, 95, 5])
def test_case_04_hdf5_without_locks(tmp_path, shim, number):
    run(WRITE, tmp_path, shim, NOLOCK=number)
    assert run(READ, tmp_path, shim, NOLOCK=number) == RIGHT


@pytest.mark.parametrize(("how", "number"), [("NOREAD", 5), ("NOREAD", 116), ("NOOPEN", 116), ("NOOPEN", 13)])
def test_case_04_a_disk_that_is_not_there_is_not_damage(tmp_path, shim, how, number):
    run(WRITE, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    said = run(READ, tmp_path, shim, **{how: number})
    assert len(said) == len(RIGHT)
    for line in said:
        assert line.startswith(f"AccessError: {tmp_path}/")
        assert f"can't be read ({os.strerror(number)})" in line
        assert "elete" not in line
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before  # neither deleted nor begun anew
    assert run(READ, tmp_path) == RIGHT


def test_case_04_damage_is_still_damage_without_locks(tmp_path, shim):
    files.write(tmp_path / "a.h5", "zoo", {"model": np.arange(3)}, recipe="r")
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[-1] ^= 1
    (tmp_path / "a.h5").write_bytes(content)
    said = run(READ, tmp_path, shim, NOLOCK=37)
    assert said[0].startswith(f"FileError: {tmp_path}/a.h5: truncated, damaged or not HDF5 (its digest does not match)")
