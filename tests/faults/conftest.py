"""Tests here share the small projects of tests/workflow, and one tiny run that nothing disturbed."""

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
import tiny_project


@pytest.fixture(scope="session")
def whole(tmp_path_factory, root) -> tiny_project.Tiny:
    """A tiny project after an undisturbed run to the tables. Tests leave its results as they are."""
    made = tiny_project.begun(tmp_path_factory.mktemp("whole"), root)
    start = time.monotonic()
    assert made.call().wait() == 0, made.said
    made.seconds = time.monotonic() - start
    return made
