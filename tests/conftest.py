"""What every test shares: one CPU thread for each process, the project's own folder, and one project that has run."""

import os
import sys
from pathlib import Path

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

ROOT = Path(__file__).parents[1]

sys.path.insert(0, str(Path(__file__).parent / "workflow"))
from small_project import made, project  # noqa: E402, F401

# Tests that share something costly run one after another in one of pytest's processes, the longest groups first: by
# fixture (a project that has run), else by folder (one SLURM, one Chromium), else by file.
SHARED = ("slurm", "made", "whole", "browser")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {}
    for item in items:
        shared = [name for name in SHARED if name in item.fixturenames or item.path.parent.name == name]
        places[item] = (SHARED.index(shared[0]), shared[0]) if shared else (len(SHARED), item.path.name)
        item.add_marker(pytest.mark.xdist_group(places[item][1]))
    items.sort(key=lambda item: places[item][0])  # stable: within a group the order stays


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
