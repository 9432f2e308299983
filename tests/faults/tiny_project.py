"""A whole run, from images to the final tables, that is as small as it can be; and what it ends in."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from small_project import CONFIG, Project, draw_folders

from zoofuse.core import files

TINY = copy.deepcopy(CONFIG)
TINY["concepts"]["cat"]["models"] = TINY["concepts"]["black"]["models"] = 4
TINY["fusions"]["black_cat"]["methods"] = ["cyclegan"]
# Training takes some seconds, in many steps that are kept, so that there is a middle to be struck in.
TINY["zoo"] |= {"epochs": 10, "images_per_epoch": 100, "backend": "serial", "threads": 1}
TINY["cyclegan"] = {"epochs": 100, "hidden": 4}
TINY["evaluation"] = {"models": 2, "zero_shot": {"supervised": 0}}
KEPT = {  # folder -> kind of its files
    "images": "images", "test_images": "test_images", "zoo": "zoo", "kernels": "kernels", "cyclegan": "generators",
    "generated": "zoo", "evaluation": "predictions", "zero_shot": "predictions",
}  # fmt: skip


class Tiny(Project):
    """A project whose calls go on while a test looks on; what they print goes to out.txt."""

    seconds = 0.0  # an undisturbed run takes

    def call(self, *targets: str, config: dict = TINY) -> subprocess.Popen:
        """The user's command, in a process group of its own; to the final tables without other targets."""
        self.write(config)
        command = [sys.executable, "-m", "snakemake", "-s", str(self.root / "Snakefile"), "--cores", "2"]
        command += [*(targets or ["tables"]), "--configfile", "config.yaml"]
        command += ["--workflow-profile", str(self.root / "workflow/profiles/default")]
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        with open(self.folder / "out.txt", "w") as out:
            options = {"cwd": self.folder, "env": environment, "stdout": out, "stderr": subprocess.STDOUT}
            return subprocess.Popen(command, start_new_session=True, **options)

    def write(self, config: dict) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    @property
    def said(self) -> str:
        return (self.folder / "out.txt").read_text()

    def processes(self, script: str = "") -> list[int]:
        """Processes of this project's jobs that run a script."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command, folder = (entry / "cmdline").read_bytes(), os.readlink(entry / "cwd")
            except OSError:
                continue
            if folder == str(self.folder) and b".snakemake/scripts/" in command and f"{script}.py".encode() in command:
                found.append(int(entry.name))
        return found


def begun(folder: Path, root: Path) -> Tiny:
    """Images, nothing made yet."""
    draw_folders(folder / "photos")
    return Tiny(folder, root)


def copied(project: Tiny, folder: Path) -> Tiny:
    """The same project elsewhere, with its times."""
    shutil.copytree(project.folder, folder, copy_function=shutil.copy2)
    return Tiny(folder, project.root)


def contents(project: Project) -> dict[str, object]:
    """Name -> what the file says, of every final file of a finished project: tables as bytes, HDF5 as arrays."""
    results = project.folder / "results"
    found: dict[str, object] = {str(p.relative_to(results)): p.read_bytes() for p in results.glob("tables/*/*.csv")}
    for folder, kind in KEPT.items():
        for path in results.glob(f"{folder}/**/*.h5"):
            if not path.name.startswith(".") and path.parent.name != ".trained":
                found[str(path.relative_to(results))] = files.read(path, kind)
    return found


def assert_same(found: dict, wanted: dict) -> None:
    """Equal files, equal to the last bit."""
    assert sorted(found) == sorted(wanted)
    for name, value in wanted.items():
        if isinstance(value, bytes):
            assert found[name] == value, name
        else:
            assert sorted(found[name]) == sorted(value), name
            for key, array in value.items():
                assert np.array_equal(found[name][key], array, equal_nan=array.dtype.kind == "f"), f"{name}: {key}"
