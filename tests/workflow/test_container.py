"""The container's recipe: what it copies is enough to plan a run from another folder, and its Python will do."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import PurePosixPath

from packaging.specifiers import SpecifierSet


def test_what_the_dockerfile_copies_is_enough(root, tmp_path):
    steps = re.findall(r"^([A-Z]+) (.*)$", (root / "Dockerfile").read_text(), re.MULTILINE)
    place, files = PurePosixPath("/"), tmp_path / "files"
    for step, rest in steps:
        if step == "WORKDIR":
            place = PurePosixPath(rest)
            (files / place.relative_to("/")).mkdir(parents=True, exist_ok=True)
        elif step == "COPY":
            *names, target = shlex.split(rest)
            for name in names:
                goal = files / (place / target).relative_to("/")
                if (root / name).is_dir():
                    shutil.copytree(root / name, goal, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(root / name, goal)
        elif step == "FROM":
            wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["requires-python"]
            assert re.fullmatch(r"python:([0-9.]+)-slim", rest)[1] in SpecifierSet(wanted)
        elif step == "RUN" and "pip install" in rest:
            words = shlex.split(rest)
            project = files / place.relative_to("/")
            assert (project / words[words.index("-c") + 1]).is_file()
            extras = tomllib.loads((project / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert set(re.fullmatch(r"\.\[(.*)\]", words[-1])[1].split(",")) <= set(extras)
    assert {"pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"} <= set(os.listdir(project))
    assert ("ENTRYPOINT", '["zoofuse"]') in steps
    command = [sys.executable, "-m", "zoofuse.cli.main", "plan", "--cores", "2"]
    environment = os.environ | {"PYTHONPATH": str(project / "workflow/src")}
    options = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    run = subprocess.run(command, cwd=files / "work", env=environment, **options)
    assert run.returncode == 0, run.stdout
    assert "train_zoo_shard" in run.stdout
