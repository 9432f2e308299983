"""Real snakemake calls on small folders of images, made by drawing."""

import atexit
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from zoofuse.data import synthetic

FOLDERS = {
    "cat": (["non-black cat"], 30),
    "cat_random": (["non-cat"], 30),
    "black": (["black non-cat"], 30),
    "black_random": (["non-black"], 30),
    "test/black_cat": (["black cat"], 12),
    "test/other": (["black non-cat", "non-black"], 18),
}
CONFIG = {
    "images_root": "photos",
    "concepts": {
        "cat": {"positive": ["cat"], "negative": ["cat_random"], "models": 6},
        "black": {"positive": ["black"], "negative": ["black_random"], "models": 5},
    },
    "fusions": {
        "black_cat": {
            "concepts": ["black", "cat"],
            "test": {"positive": ["test/black_cat"], "negative": ["test/other"]},
        }
    },
    "zoo": {"epochs": 2, "images_per_epoch": 40, "shard_size": 4, "device": "cpu"},
    "cyclegan": {"epochs": 2, "hidden": 4},
    # Enough for a CNN that is none of the untrained ones; what distilling reaches is tested in tests/unit.
    "distil": {"models": 1, "images": 200, "epochs": 2},
    "distil_weights": {"images": 200, "epochs": 2},
}


@functools.cache
def forking() -> subprocess.Popen:
    """The process from which all calls of this process of pytest are forked."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(Path(__file__).with_name("forked_calls.py"))]
    started = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(started.communicate)  # closes its stdin, which ends it
    return started


class Project:
    """A folder with images, a configuration and results."""

    cpu_seconds = 0.0  # of the last call

    def __init__(self, folder: Path, root: Path):
        self.folder, self.root = folder, root

    def snakemake(self, *arguments: str, config: dict | None = None, cores: int = 2) -> subprocess.CompletedProcess:
        """Run snakemake here; `config` is written as the configuration file that the call names."""
        command = ["-s", str(self.root / "Snakefile"), "--cores", str(cores), *arguments]
        if config is not None:
            path = self.folder / "config.yaml"
            path.write_text(yaml.safe_dump(config, sort_keys=False))
            command += ["--configfile", str(path)]
        return self.forked(*command)

    def forked(self, *arguments: str) -> subprocess.CompletedProcess:
        """`python -m snakemake ARGUMENTS` here, without the time that its imports and its jobs' imports take."""
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        server = forking()
        print(json.dumps([arguments, str(self.folder), environment, True]), file=server.stdin, flush=True)
        code, said, self.cpu_seconds = json.loads(server.stdout.readline())
        return subprocess.CompletedProcess(["snakemake", *arguments], code, said)

    def planned(self, *arguments: str, config: dict | None = None) -> dict[str, int]:
        """Rule -> number of jobs that a dry run plans; nothing when all is there."""
        run = self.snakemake("-n", *arguments, config=config)
        assert run.returncode == 0, run.stdout
        if "Nothing to be done" in run.stdout:
            return {}
        stats = run.stdout.split("Job stats:")[1].split("total")[0]
        return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)}


def draw_folders(photos: Path) -> None:
    for folder, (selectors, n) in FOLDERS.items():
        (photos / folder).mkdir(parents=True)
        images, names = synthetic.draw(selectors, n, 1, folder)
        for image, name in zip(images, names, strict=True):
            Image.fromarray(image).save(photos / folder / f"{name}.png")


@pytest.fixture
def project(tmp_path, root) -> Project:
    """Images, nothing made yet."""
    draw_folders(tmp_path / "photos")
    return Project(tmp_path, root)


@pytest.fixture(scope="session")
def made(tmp_path_factory, root) -> Project:
    """A project that has walked the whole way once. Tests leave its results as they are."""
    folder = tmp_path_factory.mktemp("made")
    draw_folders(folder / "photos")
    project = Project(folder, root)
    run = project.snakemake(config=CONFIG)
    assert run.returncode == 0, run.stdout
    return project
