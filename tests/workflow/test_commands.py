"""Every command of the documentation works: snakemake's are planned, make's told, the others run or named."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image
from small_project import Project

from zoofuse import config
from zoofuse.data import synthetic
from zoofuse.models import cnn

DOCS = sorted(path.name for path in Path(__file__).parents[2].glob("docs/*.md"))
PAGES = ["README.md", "config/README.md", *(f"docs/{name}" for name in DOCS)]
PROGRAMS = (
    "snakemake",
    "make",
    "pip",
    "conda",
    "mkdir",
    "squeue",
    "scancel",
    "python",
    "sbatch",
    "docker",
    "apptainer",
    "hf",
    "zoofuse",
    "snakedeploy",
)
# Not run, and why; each must begin a command of the pages.
NOT_RUN = {
    "pip install": "installs: make run and CI do it",
    "docker": "needs Docker: test_container plans a run with the image's files",
    "apptainer": "needs the image",
    "hf auth login": "needs an account",
    "zoofuse push": "needs a hub: tests/unit/test_hub.py has one",
    "conda env create": "needs conda",
    "snakedeploy": "needs a repository that is online: tests/cases/test_package.py has what it writes",
    "zoofuse predict": "needs an exported CNN: tests/unit/test_cli.py",
    "zoofuse info": "needs an exported CNN: tests/unit/test_cli.py",
    "squeue": "needs a cluster: tests/slurm has one",
    "scancel": "needs a cluster: tests/slurm has one",
    "snakemake --cores 2 --configfile my.yaml --config replicates": "needs finished runs: test_walk makes them",
    "snakemake --cores 4 --until": "needs a bucket",
    "snakemake --executor kubernetes": "needs Kubernetes",
}


def blocks(root, page: str, language: str) -> list[str]:
    """Fenced blocks of a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", (root / page).read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def commands(root, page: str) -> list[str]:
    """Commands of a page, their comments taken off and their lines joined."""
    lines = "\n".join(blocks(root, page, "sh")).replace("\\\n", " ").splitlines()
    lines = [re.sub(r"(^| )#.*", "", line).strip() for line in lines]
    return [" ".join(line.split()) for line in lines if line]


def every_command(root) -> dict[str, str]:
    """Command -> the first page that shows it."""
    found: dict[str, str] = {}
    for page in PAGES:
        for command in commands(root, page):
            found.setdefault(command, page)
    return found


@pytest.fixture
def scratch(root, tmp_path):
    """The repository's top level, images under all names that the pages use, and an existing zoo."""
    for name in ("Snakefile", "workflow", "config", "resources"):
        (tmp_path / name).symlink_to(root / name)
    images = iter(synthetic.draw(["cat", "non-cat"], 150, 1, "commands")[0])
    folders = ["dress", "not_dress", "blue", "not_blue", "test/yes", "test/no"]  # of config/README.md
    folders += ["cat", "cat_dark", "cat_random", "black", "black_random", "test/black_cat", "test/other"]
    (registry,) = (text for text in blocks(root, "docs/tasks.md", "yaml") if "synonyms" in text)
    (tmp_path / "concepts.yaml").write_text(registry)
    folders += ["red", "not_red", "car", "not_car", "test/red_car"]
    folders += ["other"]  # of config/leaderboard_full.yaml, beside cat
    for folder in folders:
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(next(images)).save(tmp_path / "photos" / folder / f"{i}.png")
    (tmp_path / "zoo").mkdir()
    for name in ("black", "cat"):
        weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, name, np.arange(4))
        with h5py.File(tmp_path / f"zoo/{name}.h5", "w") as handle:
            for key, values in weights.items():
                handle[key] = values
    (tmp_path / "zoo/generators.h5").touch()
    (yours,) = (text for text in blocks(root, "config/README.md", "yaml") if "my" not in text and "dress" in text)
    (tmp_path / "my.yaml").write_text(yours)
    return tmp_path


def test_every_command_of_the_pages_works(root, scratch):
    calls = {}
    for command, page in every_command(root).items():
        if command.startswith(tuple(NOT_RUN)):
            continue
        command = command.replace("images_root=FOLDER", "images_root=photos").replace("zoo_root=FOLDER", "zoo_root=zoo")
        words = shlex.split(command.replace("predict=FOLDER", "predict=photos/cat"))
        if words[0] == "snakemake":
            cores = [] if {"--cores", "--workflow-profile"} & set(words) else ["--cores", "2"]
            plan = [] if {"-n", "--unlock"} & set(words) else ["-n"]
            calls[page, command] = [*cores, *plan, *words[1:]]
        elif words[0] == "zoofuse":
            plan = [] if words[1] == "init" else ["-n"]
            command = [sys.executable, "-m", "zoofuse.cli.main", *words[1:], *plan]
            subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        elif words[0] == "make":
            subprocess.run(["make", "-n", *words[1:]], cwd=root, check=True, stdout=subprocess.DEVNULL)
        else:
            subprocess.run(words, cwd=scratch, check=True)
    answers = {place: Project(scratch, root).forked(*words) for place, words in calls.items()}
    assert len(answers) > 15
    assert {place: run.stdout[-3000:] for place, run in answers.items() if run.returncode} == {}
    planned = [run for run in answers.values() if "Job stats:" in run.stdout]
    assert len(planned) >= len(answers) - 1  # all but --unlock


def test_what_is_not_run_is_still_there(root):
    found = every_command(root)
    for beginning in NOT_RUN:
        assert any(command.startswith(beginning) for command in found), f"{beginning}: in no page; take it off the list"


def test_commands_stand_in_blocks_of_their_own(root):
    """Else they would not be run here."""
    fenced = re.compile(r"^( *)```(.*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
    for page in PAGES:
        for _, language, text in fenced.findall((root / page).read_text()):
            first = {line.split()[0] for line in text.splitlines() if line.split()}
            assert language == "sh" or not first & set(PROGRAMS), f"{page}: {text}"


def _concepts_of(shown: dict) -> dict:
    """Concepts for a block that shows fusions only."""
    named = [fusion.get("concepts") or fusion["expression"].split() for fusion in shown.get("fusions", {}).values()]
    names = {name for names in named for name in names} - {"and", "not"}
    return {name: {"positive": [name], "negative": [f"not_{name}"]} for name in names | {"cat"}}


def test_the_configurations_of_the_pages_are_complete(root, tmp_path):
    texts = [text for page in PAGES for text in blocks(root, page, "yaml")]
    assert len(texts) >= 3
    for text in texts:
        shown = yaml.safe_load(text)
        if "tests" in shown:  # a registry
            (tmp_path / "concepts.yaml").write_text(text)
            shown = {"want": next(iter(shown["tests"])), "registry": str(tmp_path / "concepts.yaml"), "concepts": {}}
        config.complete(shown if "concepts" in shown else {"concepts": _concepts_of(shown)} | shown)
    assert blocks(root, "README.md", "yaml")[0] == blocks(root, "config/README.md", "yaml")[0]


def test_the_github_workflow_runs_the_two_commands_of_the_readme(root):
    job = yaml.safe_load((root / ".github/workflows/ci.yml").read_text())["jobs"]["make"]
    assert "make ${{ matrix.target }}" in [step.get("run") for step in job["steps"]]
    shown = [command for command in commands(root, "README.md") if command.startswith("make ")]
    assert [f"make {target}" for target in job["strategy"]["matrix"]["target"]] == shown
