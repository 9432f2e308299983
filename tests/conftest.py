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


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
