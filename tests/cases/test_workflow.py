"""What failed for strangers: deployment, folders that are gone, what each job looks at, interruptions."""

import copy
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "workflow"), str(TESTS / "faults")]

from small_project import CONFIG, Project, draw_folders  # noqa: E402
from tiny_project import TINY, Tiny, copied  # noqa: E402

from zoofuse import config  # noqa: E402
from zoofuse.core import files  # noqa: E402
from zoofuse.models import cnn  # noqa: E402

STRACE = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=file", "-o")
needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def calls(folder: Path, lines: list[list[str]], before: tuple = ()) -> list[tuple[int, str]]:
    """Exit code and output of each `snakemake LINE`, made in this folder by forks of one process."""
    command = [*before, sys.executable, str(TESTS / "workflow" / "forked_calls.py")]
    given = "\n".join(json.dumps([line]) for line in lines)
    # Otherwise Python, in search of Snakemake's plugins, looks into every folder that lies where snakemake is called.
    safe = os.environ | {"PYTHONSAFEPATH": "1"}
    run = subprocess.run(command, cwd=folder, input=given, text=True, capture_output=True, env=safe)
    assert run.returncode == 0, run.stderr
    return [tuple(json.loads(answer)[:2]) for answer in run.stdout.splitlines()]


def write(folder: Path, settings: dict) -> list[str]:
    """The arguments with which every call in this folder begins."""
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    profile = str(TESTS.parent / "workflow/profiles/default")
    begin = ["-s", str(TESTS.parent / "Snakefile"), "--cores", "1", "--configfile", "config.yaml"]
    return [*begin, "--workflow-profile", profile]


def zoo_h5(path: Path, n: int = 4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as handle:
        handle.update(cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, path.stem, np.arange(n)))


def existing_zoos(n: int | None = None) -> dict:
    """CONFIG with existing zoos instead of images."""
    settings = copy.deepcopy(CONFIG) | {"zoo_root": "zoos"}
    settings["concepts"] = {name: {"zoo": f"{name}.h5", "models": n} for name in ("cat", "black")}
    return settings


# ------------------------------------------------------------------ 02: make in folders with unusual names

FAKE_VENV = """#!{python}
import pathlib, stat, subprocess, sys
if sys.argv[1] == "-c":
    sys.exit(0)
subprocess.run([{python!r}, "-m", "venv", "--without-pip", ".venv"], check=True)
(site,) = pathlib.Path(".venv/lib").glob("python*/site-packages")
(site / "shared.pth").write_text({packages!r})
(site / "pip.py").write_text("")  # everything is there
script = pathlib.Path(".venv/bin/snakemake")
# As pip writes it for a path with spaces. One target instead of all.
script.write_text(
    "#!/bin/sh\\n" + chr(39) * 3 + "exec' \\"" + str(pathlib.Path(".venv/bin/python").absolute())
    + "\\" \\"$0\\" \\"$@\\"\\n' "
    + chr(39) * 3 + "\\nimport sys\\nfrom snakemake.cli import main\\n"
    "main([*sys.argv[1:], 'results/images/cat.h5', '--configfile', 'small.yaml'])\\n"
)
script.chmod(0o755)
"""


def clone(folder: Path) -> Path:
    """The repository's own files in a folder of this name, a cheap `python3` beside it."""
    folder.mkdir(parents=True)
    for name in ("Makefile", "Snakefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(TESTS.parent / name, folder)
    for name in ("workflow", "config", "resources"):
        shutil.copytree(TESTS.parent / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    base = os.path.realpath(sys.executable)
    fake = folder / "fake-python"
    fake.write_text(FAKE_VENV.format(python=base, packages=packages))
    fake.chmod(0o755)
    (folder / "small.yaml").write_text(yaml.safe_dump({"synthetic": {"images": 20, "test_images": 20}}))
    return folder


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    command = ["make", "PYTHON=./fake-python", "CORES=1", *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run(command, cwd=folder, env=environment, **options)


def test_case_02_make_run_works_in_a_folder_with_spaces_and_the_like(tmp_path):
    folder = clone(tmp_path / "Eigene Dateien #1 it's 50% größer & (neu)" / "zoofuse")
    run = make(folder, "run")
    assert run.returncode == 0, run.stdout
    assert (folder / "results/images/cat.h5").exists()
    assert len(files.read(folder / "results/images/cat.h5", "images")["labels"]) == 40


@pytest.mark.parametrize("name", ["a:b", 'a"b', "a$HOME", "a`id`", "a\\b", "a\nb", "a\n"])
def test_case_02_a_folder_where_no_environment_can_lie_is_named_before_anything_is_made(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(TESTS.parent / "Makefile", folder)
    (folder / "pyproject.toml").touch()
    (folder / "requirements.lock").touch()
    for target in ("run", "test", "docs"):
        run = make(folder, target)
        assert run.returncode == 2
        assert "No Python environment can lie in a folder with" in run.stdout
        assert "Move the project to one without" in run.stdout
        assert not (folder / ".venv").exists()


def test_case_02_an_interpreter_that_jobs_cannot_start_is_named_before_any_job(tmp_path):
    """The environment of `make run` called by its path, so that PATH does not lead to it."""
    place = tmp_path / "with space"
    subprocess.run([os.path.realpath(sys.executable), "-m", "venv", "--without-pip", place], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "shared.pth").write_text(next(path for path in sys.path if path.endswith("site-packages")))
    command = [place / "bin/python", "-m", "snakemake", "-s", TESTS.parent / "Snakefile", "--cores", "1"]
    options = {"cwd": tmp_path, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    for more in (["-n"], ["results/images/cat.h5"]):
        run = subprocess.run([*command, *more], **options)
        assert run.returncode == 1
        assert "Activate the environment (source .venv/bin/activate), or make it elsewhere" in run.stdout
        assert "Execute" not in run.stdout
    assert subprocess.run([*command, "--unlock"], **options).returncode == 0


# ------------------------------------------------------------------ 03: used as a module

CALLER = """configfile: "config/config.yaml"


module zoofuse:
    snakefile:
        {snakefile!r}
    config:
        config
{prefix}

use rule * from zoofuse
"""


def called(folder: Path, settings: dict, prefix: str = "") -> None:
    """A project whose own Snakefile takes over all rules."""
    (folder / "workflow").mkdir()
    (folder / "config").mkdir()
    line = f"    prefix:\n        {prefix!r}\n" if prefix else ""
    text = CALLER.format(snakefile=str(TESTS.parent / "Snakefile"), prefix=line)
    (folder / "workflow/Snakefile").write_text(text)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(settings))


def alone(folder: Path, *arguments: str) -> str:
    """What snakemake says in a process that knows zoofuse from nowhere else."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    options = {"cwd": folder, "env": environment, "text": True}
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    run = subprocess.run([sys.executable, "-m", "snakemake", "--cores", "1", *arguments], **options)
    assert run.returncode == 0, run.stdout
    return run.stdout


def test_case_03_the_workflow_is_used_as_a_module(tmp_path):
    """As the workflow catalog deploys it, in a process that knows zoofuse from nowhere else."""
    draw_folders(tmp_path / "photos")
    settings = copy.deepcopy(CONFIG)
    settings["zoo"]["epochs"] = 1
    called(tmp_path, settings)
    assert re.search(r"published_tables +1\n", alone(tmp_path, "-n"))  # files of the workflow, not of the caller
    alone(tmp_path, "results/zoo/cat/shard-0000.h5")
    assert len(files.read(tmp_path / "results/zoo/cat/shard-0000.h5", "zoo")["model"]) == 4


@pytest.mark.parametrize("prefix", ["", "deep/below"])
def test_case_03_a_module_finds_its_results(made, tmp_path, prefix):
    """It makes the report alone, from the tables and figures of a finished project that lie where its own would."""
    project = tmp_path / "project"
    shutil.copytree(made.folder, project, copy_function=shutil.copy2)
    shutil.rmtree(project / ".snakemake")  # what the module's jobs were made with has other names
    called(project, CONFIG, prefix)
    results = project / prefix / "results"
    if prefix:
        results.parent.mkdir(parents=True)
        (project / "results").rename(results)
    (results / "report.html").unlink()
    stats = alone(project, "-n").split("Job stats:")[1].split("total")[0]
    assert sorted(re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)) == [("all", "1"), ("report", "1")]
    alone(project)
    assert "black_cat" in (results / "report.html").read_text()


# ------------------------------------------------------------------ 05: snakemake --report

ONLY = """import sys
blocked = {blocked!r}
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from snakemake.cli import main
main(sys.argv[1:])
"""


def installed_by(requirements: list[str]) -> set[str]:
    """Names of the distributions that these bring, here."""
    found, open_ = set(), [Requirement(line) for line in requirements]
    while open_:
        one = open_.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        try:
            needed = [Requirement(line) for line in importlib.metadata.requires(name) or []]
        except importlib.metadata.PackageNotFoundError:
            continue
        extras = [*one.extras, ""]
        if (name, *one.extras) not in found:
            found.add((name, *one.extras))
            open_ += [
                each
                for each in needed
                if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
            ]
    return {name for name, *_ in found}


@pytest.mark.parametrize("name", ["report.html", "report.zip"])
def test_case_05_a_snakemake_report_needs_no_more_than_the_dependencies(made, tmp_path, name):
    settings = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())
    # Snakemake imports every plugin that is installed.
    plugins = [one.name for one in importlib.metadata.distributions() if "-plugin-" in one.name]
    ours = installed_by([*settings["project"]["dependencies"], *plugins])
    assert "pygments" in ours
    packages = importlib.metadata.packages_distributions()
    standard = sys.stdlib_module_names
    blocked = {
        package
        for package, owners in packages.items()
        if package not in standard and not {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} & ours
    } - {"zoofuse", "_distutils_hack", "pip", "setuptools"}
    assert {"pytest", "ruff"} <= blocked
    script = tmp_path / "only.py"
    script.write_text(ONLY.format(blocked=sorted(blocked)))
    command = [sys.executable, script, *write(made.folder, CONFIG), "--report", str(tmp_path / name)]
    options = {"cwd": made.folder, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    run = subprocess.run(command, **options)
    assert run.returncode == 0, run.stdout[-3000:]
    assert (tmp_path / name).stat().st_size > 100_000


# ------------------------------------------------------------------ 07: images and zoos that are gone


def gone(place: Path, how: str) -> None:
    """The folder is moved away, or its disk is not mounted."""
    if how == "root":
        place.rename(place.with_name("elsewhere"))
    elif how == "empty root":
        place.rename(place.with_name("elsewhere"))
        place.mkdir()
    else:  # each folder is a disk of its own
        shutil.copytree(place, place.with_name("elsewhere"))
        for path in [path for path in place.rglob("*") if path.is_file()]:
            path.unlink()


@pytest.mark.parametrize("how", ["empty root", "empty folders"])
def test_case_07_a_disk_that_is_not_mounted_changes_nothing(made, tmp_path, how):
    project = copied(made, tmp_path / "copy")
    begin = write(project.folder, CONFIG)
    gone(project.folder / "photos", how)
    ((code, said),) = calls(project.folder, [[*begin, "-n"]])
    assert code == 0, said
    assert "Nothing to be done" in said
    assert "What was made of these images before is kept" in said


def test_case_07_what_is_made_stays_usable_without_the_images(made, tmp_path):
    project = copied(made, tmp_path / "copy")
    begin = write(project.folder, CONFIG)
    gone(project.folder / "photos", "root")
    plan = {
        "everything": ["-n"],
        "forced report": ["-n", "-R", "report"],
        "models": ["-n", "models"],
        "predictions": ["-n", "results/predictions/black_cat/cyclegan.csv", "--config", "predict=elsewhere/cat"],
        "unlock": ["--unlock"],
        "list": ["--list"],
        "summary": ["--summary"],
        "metadata": ["--cleanup-metadata", "results/report.html"],
    }
    said = dict(zip(plan, calls(project.folder, [[*begin, *words] for words in plan.values()]), strict=True))
    assert {what: text[-2000:] for what, (code, text) in said.items() if code} == {}
    assert all("Traceback" not in text for _, text in said.values())
    everything = said["everything"][1]
    assert "Nothing to be done" in everything
    assert "What was made of these images before is kept" in everything
    for what, rules in {"models": {"export_model"}, "predictions": {"export_model", "predict"}}.items():
        jobs = said[what][1].split("Job stats:")[1].split("total")[0]
        assert set(re.findall(r"^(\w+) +\d+$", jobs, re.MULTILINE)) - {"models"} == rules


def test_case_07_what_needs_the_images_asks_for_them(made, tmp_path):
    project = copied(made, tmp_path / "copy")
    begin = write(project.folder, CONFIG)
    misspelt = copy.deepcopy(CONFIG)
    misspelt["concepts"]["cat"]["positive"] = ["catt"]
    (project.folder / "misspelt.yaml").write_text(yaml.safe_dump(misspelt))
    other = [word if word != "config.yaml" else "misspelt.yaml" for word in begin]
    # Nothing was made from a folder of this name: not to be passed over because there is a file.
    ((there, words),) = calls(project.folder, [[*other, "-n"]])
    gone(project.folder / "photos", "root")
    ((away, _),) = calls(project.folder, [[*other, "-n"]])
    assert (there, away) == (1, 1)
    assert "did you mean 'cat'" in words
    assert "Traceback" not in words
    (project.folder / "results/images/cat.h5").unlink()
    shutil.rmtree(project.folder / "results/zoo/cat")
    ((code, said),) = calls(project.folder, [[*begin, "-n", "zoos"]])
    assert code == 1
    assert "images_root: there is no folder 'photos'" in said
    assert "--config images_root=FOLDER" in said
    assert "Traceback" not in said


def test_case_07_nothing_made_yet_and_no_images_can_still_be_unlocked_and_listed(tmp_path):
    begin = write(tmp_path, CONFIG)
    lines = {
        "--unlock": 0, "--list": 0, "-n": 1, "results/bench/predict.csv": 0, "netspace_shapes": 0,
    }  # fmt: skip
    arguments = [[*begin, line, *(["-n"] if "-" not in line[:2] else [])] for line in lines]
    said = dict(zip(lines, calls(tmp_path, arguments), strict=True))
    assert {line: code for line, (code, _) in said.items()} == lines
    assert "images_root: there is no folder 'photos'" in said["-n"][1]


def test_case_07_existing_zoos_that_are_gone_stay_usable(tmp_path):
    draw_folders(tmp_path / "photos")
    for name in ("cat", "black"):
        zoo_h5(tmp_path / f"zoos/{name}.h5")
    project = Project(tmp_path, TESTS.parent)
    begin = write(tmp_path, existing_zoos())
    run = project.snakemake("zoos", config=existing_zoos())
    assert run.returncode == 0, run.stdout
    (tmp_path / "zoos").rename(tmp_path / "gone")
    lines = [[*begin, "-n", "zoos"], [*begin, "--unlock"], [*begin, "-n", "tables"], [*begin, "-n", "to_pytorch"]]
    said = calls(tmp_path, lines)
    assert [code for code, _ in said] == [0, 0, 0, 0], said
    assert "Nothing to be done" in said[0][1]
    assert "import_zoo_shard" not in said[2][1].split("Job stats:")[1]
    shutil.rmtree(tmp_path / "results/zoo/cat")
    ((code, words), (unlock, _)) = calls(tmp_path, [[*begin, "-n", "zoos"], [*begin, "--unlock"]])
    assert (code, unlock) == (1, 0)
    assert "zoos/cat.h5: no such file or folder" in words
    assert "Traceback" not in words
    (tmp_path / "gone").rename(tmp_path / "zoos")
    zoo_h5(tmp_path / "zoos/black.h5", 3)
    begin = write(tmp_path, existing_zoos(4))
    ((code, words),) = calls(tmp_path, [[*begin, "-n", "zoos"]])
    assert code == 1
    assert "concepts.black.models: 4, but its zoo holds 3 CNNs; write 3 or less" in words


# ------------------------------------------------------------------ 32: what each job looks at


def job(rule: str, **wildcards: str) -> list[str]:
    """What a job on another node calls, for a plan of what it does."""
    named = ",".join(f"{name}={value}" for name, value in wildcards.items())
    return ["--mode", "remote", "--target-jobs", f"{rule}:{named}", "--allowed-rules", rule, "-n"]


JOBS = [
    job("train_zoo_shard", concept="cat", shard="0000"),
    job("generate", fusion="black_cat", method="cyclegan"),
    job("evaluate_shard", fusion="black_cat", method="cyclegan", shard="0000"),
    job("export_model", fusion="black_cat", method="cyclegan"),
    job("report"),
]


@needs_strace
@pytest.mark.parametrize("zoos", [False, True])
def test_case_32_a_job_that_reads_no_images_looks_at_none(tmp_path, zoos):
    draw_folders(tmp_path / "photos")
    settings = copy.deepcopy(CONFIG)
    if zoos:
        for name in ("cat", "black"):
            zoo_h5(tmp_path / f"zoos/{name}.h5")
        settings = existing_zoos()
    begin = write(tmp_path, settings)
    merged = config.complete(settings)
    begun = f"begun={files.digest(merged)}/{'4,4' if zoos else ''}"
    lines = [line for line in JOBS if not zoos or "train_zoo_shard" not in line[3]]
    trace = (*STRACE, str(tmp_path / "trace"))
    said = calls(tmp_path, [[*begin, *line, "--config", begun] for line in lines], trace)
    assert {line[3]: text[-1000:] for line, (code, text) in zip(lines, said, strict=True) if code} == {}
    assert all("total" in text for _, text in said)
    looked = (tmp_path / "trace").read_text().splitlines()
    assert len(looked) > 1000
    given = re.compile(rf'"({re.escape(str(tmp_path))}/)?(photos|zoos)\b')
    assert [line for line in looked if given.search(line)] == []


def test_case_32_a_job_runs_on_a_node_without_the_images(tmp_path):
    """As SLURM runs it, the images file made on another node."""
    draw_folders(tmp_path / "photos")
    project = Project(tmp_path, TESTS.parent)
    settings = copy.deepcopy(CONFIG)
    settings["zoo"] |= {"epochs": 1, "images_per_epoch": 20}
    assert project.snakemake("results/images/cat.h5", config=settings).returncode == 0
    shutil.rmtree(tmp_path / "photos")
    run = project.snakemake(*job("train_zoo_shard", concept="cat", shard="0000")[:-1], config=settings)
    assert run.returncode == 0, run.stdout
    assert (tmp_path / "results/zoo/cat/shard-0000.h5").exists()


@needs_strace
def test_case_32_the_head_process_looks_at_each_image_a_few_times(tmp_path):
    draw_folders(tmp_path / "photos")
    begin = write(tmp_path, CONFIG)
    trace = (*STRACE, str(tmp_path / "trace"))
    ((code, said),) = calls(tmp_path, [[*begin, "-n"]], trace)
    assert code == 0, said
    images = re.findall(r'"([^"]*\.png)"', (tmp_path / "trace").read_text())
    there = len(list((tmp_path / "photos").rglob("*.png")))
    assert there <= len(set(images)) or not images
    assert len(images) <= 3 * there


# ------------------------------------------------------------------ 45: called from elsewhere; 53: odd machines


def test_case_45_called_from_elsewhere(tmp_path):
    draw_folders(tmp_path / "data/photos")
    settings = copy.deepcopy(CONFIG) | {"images_root": "../data//photos/"}
    settings["concepts"]["cat"]["positive"] = ["./cat"]
    (tmp_path / "project").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "project/results").symlink_to(tmp_path / "disk")
    begin = write(tmp_path / "project", settings)
    away = [word if word != "config.yaml" else "project/config.yaml" for word in begin]
    ((code, said),) = calls(tmp_path, [[*away, "-d", "project", "results/images/cat.h5"]])
    assert code == 0, said
    assert len(files.read(tmp_path / "disk/images/cat.h5", "images")["labels"]) == 60


SAME = """import sys, hashlib, numpy as np
from pathlib import Path
from zoofuse.data import images; from zoofuse.zoo import training
source = {"source": "folder", "positive": ["cat"], "negative": ["cat_random"], "validation_share": 0.2}
source |= {"validation_max": 100, "unreadable": "refuse", "duplicates": "drop"}
images.prepare_concept(sys.argv[2], source, name="cat", seed=1, root=sys.argv[1])
data = training.Data(**images.read_concept(Path(sys.argv[2])))
weights = training.train(data, training.Settings(epochs=1, images_per_epoch=32), 1, "cat", np.arange(2)).weights
print(hashlib.sha256(b"".join(weights[name].tobytes() for name in sorted(weights))).hexdigest())
"""


def test_case_53_locale_time_zone_and_hash_seed_change_no_bit(tmp_path):
    draw_folders(tmp_path / "photos")
    machines = [
        {},
        {"LC_ALL": "C", "PYTHONHASHSEED": "7", "TZ": "Pacific/Apia", "TMPDIR": str(tmp_path / "missing")},
        {"LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "2"},
    ]
    found = set()
    for number, machine in enumerate(machines):
        environment = os.environ | {"PYTHONPATH": str(TESTS.parent / "workflow/src")} | machine
        command = [sys.executable, "-c", SAME, "photos", f"{number}.h5"]
        options = {"cwd": tmp_path, "env": environment, "text": True}
        run = subprocess.run(command, capture_output=True, **options)
        assert run.returncode == 0, run.stderr
        images = files.read(tmp_path / f"{number}.h5", "images")
        digest = hashlib.sha256(b"".join(images[name].tobytes() for name in ("images", "labels", "split")))
        found.add((run.stdout, digest.hexdigest()))
    assert len(found) == 1


# ------------------------------------------------------------------ interruptions


def interrupted(project: Tiny, settings: dict, what) -> None:
    """Start a run, let `what` strike it while it trains, and see that nothing of it is left but finished files."""
    running = project.call("zoos", config=settings)
    end = time.monotonic() + 120
    while not project.processes("train_zoo_shard") and running.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert project.processes("train_zoo_shard"), project.said
    what(running)
    assert running.wait(60) != 0
    assert not list((project.folder / ".snakemake/locks").glob("*"))
    end = time.monotonic() + 10
    while project.processes() and time.monotonic() < end:
        time.sleep(0.05)
    assert not project.processes()


@pytest.fixture
def training(tmp_path) -> tuple[Tiny, dict]:
    """A project whose training takes some minutes, unless it is struck."""
    draw_folders(tmp_path / "photos")
    settings = copy.deepcopy(TINY)
    settings["zoo"]["epochs"] = 3000
    return Tiny(tmp_path, TESTS.parent), settings


@pytest.mark.parametrize("whom", ["snakemake", "group"])
def test_a_closed_terminal_leaves_no_lock_and_no_job(training, whom):
    project, settings = training

    def hang_up(running):
        (os.killpg if whom == "group" else os.kill)(running.pid, signal.SIGHUP)

    interrupted(project, settings, hang_up)
    if whom == "group":
        return
    settings["zoo"]["epochs"] = 1
    again = project.snakemake("zoos", config=settings)
    assert again.returncode == 0, again.stdout


def test_ctrl_c_twice_leaves_no_lock_and_no_job(training):
    def twice(running):
        os.killpg(running.pid, signal.SIGINT)
        time.sleep(0.3)
        os.killpg(running.pid, signal.SIGINT)

    interrupted(*training, twice)


def test_a_hangup_that_is_ignored_stays_ignored(tmp_path):
    """As under nohup."""
    code = (
        "import signal; from zoofuse import interruptions\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); interruptions.end_on_hangup()\n"
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); interruptions.end_on_hangup()\n"
        "assert callable(signal.getsignal(signal.SIGHUP))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent / "workflow/src")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_another_version_that_is_installed_does_not_run_in_jobs(project, tmp_path, monkeypatch):
    (tmp_path / "other/zoofuse").mkdir(parents=True)
    (tmp_path / "other/zoofuse/__init__.py").write_text('raise ImportError("another version of zoofuse")')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    run = project.snakemake("results/images/cat.h5", config=CONFIG)
    assert run.returncode == 0, run.stdout
