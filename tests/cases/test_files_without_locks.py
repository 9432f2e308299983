"""Case 04: disks without file locks, and disks and networks that are not there for a moment. A good file stays good."""

import json
import os
import shutil
import subprocess
import sys

import pytest

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
  return asked("NOLOCK") && (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK);
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

# All in one process, as importing torch takes seconds.
TRY = """
import json, os, sys, time
from pathlib import Path
import numpy as np, pandas as pd
from zoofuse.core import csv_files, temporary
from zoofuse.core.errors import FileError
from zoofuse.core import files
from zoofuse.zoo import shards


def written(folder, without_locks=False):
    folder.mkdir()
    left = [folder / f".old.h5.{machine}.0123456789abcdef.tmp" for machine in ("01234567", temporary._machine())]
    for path in left if without_locks else ():
        path.write_text("half")
    files.write(folder / "a.h5", "zoo", {"model": np.arange(3)}, recipe="r")
    if without_locks:
        assert all(path.exists() for path in left)  # nobody can say whether they are in use
        temporary._STALE = 0.01
        time.sleep(0.05)
    csv_files.write(folder / "a.csv", pd.DataFrame({"n": [1, 2]}))
    assert not any(path.exists() for path in left)
    for name, kind in (("state", "training state"), ("space", "training state")):
        (folder / name).mkdir()
        files.write(folder / name / "state.h5", kind, {"x": np.arange(2)}, identity="i")
    temporary._STALE = 1e6


def told(folder):
    found = []
    for read in (
        lambda: files.read(folder / "a.h5", "zoo")["model"].tolist(),
        lambda: files.attributes(folder / "a.h5", "zoo")["recipe"],
        lambda: files.fingerprint(folder / "a.h5")[:0],
        lambda: csv_files.read(folder / "a.csv")["n"].tolist(),
        lambda: sorted(shards._stored(folder, "r", range(3), print)),
        lambda: files.read_state(folder / "state/state.h5", "training state", "i")["x"].tolist(),
        lambda: files.read_state(folder / "space/state.h5", "training state", "i")["x"].tolist(),
    ):
        try:
            found.append(read())
        except FileError as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


folder, said = Path(sys.argv[1]), {}
for number in (37, 11, 95, 5):
    os.environ["NOLOCK"] = str(number)
    written(folder / f"NOLOCK {number}", without_locks=True)
    said[f"NOLOCK {number}"] = told(folder / f"NOLOCK {number}")
damaged = bytearray((folder / "NOLOCK 5/a.h5").read_bytes())
damaged[-1] ^= 1
(folder / "NOLOCK 5/b.h5").write_bytes(damaged)
try:
    files.read(folder / "NOLOCK 5/b.h5", "zoo")
except FileError as error:
    said["damaged"] = f"{type(error).__name__}: {error}"
os.environ["NOLOCK"] = "0"
for how, number in (("NOREAD", 5), ("NOREAD", 116), ("NOOPEN", 116), ("NOOPEN", 13)):
    place = folder / f"{how} {number}"
    written(place)
    before = {path: path.read_bytes() for path in place.rglob("*.*")}
    os.environ[how] = str(number)
    said[place.name] = told(place)
    os.environ[how] = "0"
    assert {path: path.read_bytes() for path in place.rglob("*.*")} == before  # neither deleted nor begun anew
    said[f"{place.name} again"] = told(place)
print(json.dumps(said))
"""
RIGHT = [[0, 1, 2], "r", "", [1, 2], [0, 1, 2], [0, 1], [0, 1]]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What readers return or say, by the fault."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("Pretending to be another file system needs Linux and a C compiler.")
    folder = tmp_path_factory.mktemp("disk")
    (folder / "shim.c").write_text(SHIM)
    command = [compiler, "-shared", "-fPIC", "-w", "-o", folder / "shim.so", folder / "shim.c", "-ldl"]
    subprocess.run(command, check=True)
    environment = os.environ | {"LD_PRELOAD": str(folder / "shim.so")}
    command = [sys.executable, "-c", TRY, str(folder)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("number", [37, 11, 95, 5])
def test_case_04_hdf5_without_locks(said, number):
    assert said[f"NOLOCK {number}"] == RIGHT


@pytest.mark.parametrize("fault", ["NOREAD 5", "NOREAD 116", "NOOPEN 116", "NOOPEN 13"])
def test_case_04_a_disk_that_is_not_there_is_not_damage(said, fault):
    assert len(said[fault]) == len(RIGHT)
    for line in said[fault]:
        assert line.startswith("AccessError: /")
        assert f"can't be read ({os.strerror(int(fault.split()[1]))})" in line
        assert "elete" not in line
    assert said[f"{fault} again"] == RIGHT


def test_case_04_damage_is_still_damage_without_locks(said):
    assert "b.h5: truncated, corrupt or not HDF5 (checksum mismatch)" in said["damaged"]
