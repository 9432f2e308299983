"""What every test shares: one CPU thread for each process, the project's own folder, and one project that has run."""

import os
import sys
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of a thousand processes compiles the package anew

ROOT = Path(__file__).parents[1]

sys.path.insert(0, str(Path(__file__).parent / "workflow"))
from small_project import made, project  # noqa: E402, F401

# Tests of one scope share something costly (the project that `made` runs, a SLURM, a Chromium), so one of pytest's
# processes runs them all; elsewhere those of one file. The longest come first.
MADE = {
    *(f"tests/workflow/test_{name}.py" for name in ("bad_input", "sources", "take_home", "walk", "want")),
    "tests/cases/test_workflow.py",
}
FIRST = (
    *("made", "faults", "slurm", "tests/workflow/test_recipes.py", "tests/workflow/test_larger.py", "browser"),
    *("tests/workflow/test_commands.py", "tests/unit/test_cyclegan.py", "tests/unit/test_cpp_network.py"),
    *("tests/workflow/test_transformers.py", "tests/workflow/test_grid_rules.py", "tests/workflow/test_task_rules.py"),
)


def scope(nodeid: str) -> str:
    """What a test is run together with."""
    file = nodeid.split("::")[0]
    folder = Path(file).parent.name
    return "made" if file in MADE else folder if folder in ("faults", "slurm", "browser") else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [*FIRST, scope(item.nodeid)].index(scope(item.nodeid)))  # stable


class Together(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log) -> Together:
    config.option.loadscopereorder = False
    return Together(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
