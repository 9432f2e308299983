"""One package: the sdist and the wheel hold the workflow, and `zoofuse` runs it from any folder without a clone."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import zoofuse
from zoofuse.core import files
from zoofuse.native import trainer

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "workflow"))

from small_project import draw_folders  # noqa: E402

TOP = ("Snakefile", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "release.sh")
TOP += ("CITATION.cff", "SECURITY.md", "Makefile", "environment.yml", "requirements.lock")
VERSION = zoofuse.__version__
TINY = {"zoo": {"epochs": 1, "images_per_epoch": 20, "shard_size": 4, "device": "cpu", "backend": "serial"}}


def call(*command, cwd: Path, **more: str) -> tuple[int, str]:
    """Exit code and output of a command that knows no zoofuse but the one of its own environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    run = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, **options)
    return run.returncode, run.stdout


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *words], cwd=folder, check=True)


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    """A repository of the project's files, one commit, whose release was made."""
    folder = tmp_path_factory.mktemp("repository")
    for name in TOP:
        shutil.copy(TESTS.parent / name, folder)
    for name in ("workflow", "config", "resources"):
        shutil.copytree(TESTS.parent / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    changes = (folder / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in changes
    shutil.copy(TESTS.parent / ".gitignore", folder)
    git(folder, "init", "-q")
    git(folder, "config", "user.name", "n")
    git(folder, "config", "user.email", "e")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Everything")
    assert release(folder) == (1, f"release: CHANGELOG.md has no line '## [{VERSION}] - {today()}'. "
                                  "Write it below '## [Unreleased]'.\n")  # fmt: skip
    changes = changes.replace("## [Unreleased]", f"## [Unreleased]\n\n## [{VERSION}] - {today()}")
    (folder / "CHANGELOG.md").write_text(changes)
    code, said = release(folder)
    assert (code, "the working tree has changes" in said, "M CHANGELOG.md" in said) == (1, True, True)
    git(folder, "commit", "-q", "-a", "-m", "Release")
    code, said = release(folder)
    assert code == 0, said
    return folder


def today() -> str:
    return subprocess.run(["date", "+%F"], text=True, capture_output=True, check=True).stdout.strip()


def release(folder: Path) -> tuple[int, str]:
    return call("./release.sh", cwd=folder, PYTHON=sys.executable)


@pytest.fixture(scope="module")
def wheel(released) -> Path:
    return released / f"dist/zoofuse-{VERSION}-py3-none-any.whl"


def environment(folder: Path) -> Path:
    """The Python of a fresh environment that shares this one's packages, but not its zoofuse."""
    subprocess.run([os.path.realpath(sys.executable), "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    assert not any((Path(path) / "zoofuse").exists() for path in packages)
    (site / "shared.pth").write_text("\n".join(packages))
    return folder / "bin/python"


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    return environment(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of commands of an environment that the wheel was installed into."""
    python = environment(tmp_path_factory.mktemp("installed"))
    options = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", *options, wheel], check=True)
    return python.parent


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder far from any clone, with images."""
    folder = tmp_path_factory.mktemp("somewhere else")
    draw_folders(folder / "photos")
    (folder / "photos/black_random").rename(folder / "photos/not_black")
    (folder / "photos/test/black_cat").rename(folder / "photos/test/yes")
    return folder


@pytest.fixture(scope="module")
def configured(installed, place) -> str:
    """What `zoofuse init` said there; its configuration made tiny."""
    code, said = call(installed / "zoofuse", "init", "photos/black", "photos/cat", "--models", "4", cwd=place)
    assert code == 0, said
    written = (place / "zoofuse.yaml").read_text()
    (place / "zoofuse.yaml").write_text(written + yaml.safe_dump(TINY))
    return said


# ------------------------------------------------------------------ the wheel and the sdist


def test_the_wheel_is_the_sdist_s_and_the_tree_s(released, wheel, tmp_path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(released), str(clone))
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    code, said = call(sys.executable, "-c", build, cwd=clone)
    assert code == 0, said
    contents = []
    for path in (wheel, tmp_path / wheel.name):
        with zipfile.ZipFile(path) as archive:
            contents.append({name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")})
    assert contents[0] == contents[1]
    brought = {name.removeprefix("zoofuse/_workflow/") for name in contents[0] if "/_workflow/" in name}
    tracked = subprocess.run(["git", "ls-files"], cwd=released, text=True, capture_output=True, check=True).stdout
    ours = ("workflow/", "Snakefile", "resources/published/", "resources/concepts.yaml")
    wanted = {name for name in tracked.splitlines() if name.startswith(ours) and not name.startswith("workflow/src/")}
    wanted |= {name for name in tracked.splitlines() if re.fullmatch(r"config/.*\.yaml", name)}
    assert brought == wanted
    package = {
        f"zoofuse/{name.removeprefix('workflow/src/zoofuse/')}" for name in tracked.splitlines() if "/src/" in name
    }
    assert package <= set(contents[0])
    assert "zoofuse/native/train.cpp" in package
    with tarfile.open(released / f"dist/zoofuse-{VERSION}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert wanted <= names
    assert not [name for name in names if name.endswith(".pyc")]


def test_a_version_that_is_released_is_refused(released):
    assert release(released) == (
        1, f"release: v{VERSION} is tagged already. Raise __version__ in workflow/src/zoofuse/__init__.py.\n",
    )  # fmt: skip


def test_the_version_stands_in_one_place(wheel):
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"zoofuse-{VERSION}.dist-info/METADATA").decode()
    assert f"\nVersion: {VERSION}\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "\nLicense-Expression: MIT\n" in metadata


# ------------------------------------------------------------------ the command, from the wheel


def test_init_says_what_to_do_next_and_refuses_to_replace(installed, place, configured):
    assert configured.startswith("Wrote zoofuse.yaml: black and cat.\n")
    for command in ("zoofuse check", "zoofuse plan", "zoofuse run"):
        assert command in configured
    settings = yaml.safe_load((place / "zoofuse.yaml").read_text())
    assert settings["images_root"] == "photos"
    assert settings["concepts"]["black"] == {"positive": ["black"], "negative": ["not_black"], "models": 4}
    assert settings["concepts"]["cat"]["negative"] == ["cat_random"]
    assert settings["fusions"]["black_cat"]["test"] == {"positive": ["test/yes"], "negative": ["test/other"]}
    code, said = call(installed / "zoofuse", "init", "photos/black", "photos/cat", cwd=place)
    assert (code, said.startswith("zoofuse: init: zoofuse.yaml is there already.")) == (1, True)


def test_the_installed_workflow_runs_without_a_clone(installed, place, configured):
    code, said = call(installed / "zoofuse", "plan", cwd=place)
    assert code == 0, said
    assert re.search(r"^published_tables +1$", said, re.MULTILINE)
    assert re.search(r"^report +1$", said, re.MULTILINE)
    assert "all of them" in said  # the estimate
    target = "results/zoo/cat/shard-0000.h5"
    code, said = call(installed / "zoofuse", "run", target, "--cores", "1", cwd=place)
    assert code == 0, said
    assert len(files.read(place / target, "zoo")["model"]) == 4
    code, said = call(installed / "zoofuse", "info", target, cwd=place)
    assert code == 0, said
    assert said.startswith(f"{target}: CNNs (kind zoo), written by zoofuse {VERSION}. Its checksum holds.\n")
    assert "conv1.weight  4 x 6 x 3 x 5 x 5 float32" in said


def test_the_library_of_the_wheel_is_the_one_that_runs(installed, place):
    code = "import zoofuse; from zoofuse.native import trainer; print(zoofuse.__file__); print(trainer.available()[0])"
    status, said = call(installed / "python", "-c", code, cwd=place)
    assert status == 0, said
    path, cpp = said.split()
    assert Path(path).is_relative_to(installed.parent)
    assert cpp == str(trainer.available()[0])


# ------------------------------------------------------------------ as a module, as snakedeploy lays it out

DEPLOYED = """from snakemake.utils import min_version

min_version("6.10.0")


configfile: "config/config.yaml"


# declare https://github.com/nobody/zoofuse as a module
module zoofuse:
    snakefile:
        github("nobody/zoofuse", path="workflow/Snakefile", tag="v{version}")
    config:
        config


# use all rules from https://github.com/nobody/zoofuse
use rule * from zoofuse
"""


@pytest.fixture
def deployed(released, tmp_path) -> Path:
    """What `snakedeploy deploy-workflow https://github.com/nobody/zoofuse` writes, version 0.17."""
    folder = tmp_path / "deployed"
    (folder / "workflow").mkdir(parents=True)
    (folder / "workflow/Snakefile").write_text(DEPLOYED.format(version=VERSION))
    shutil.copytree(released / "config", folder / "config")
    return folder


@pytest.fixture
def online(released, tmp_path) -> dict[str, str]:
    """Git finds the repository on this disk where it looks for that on GitHub."""
    names = {"COUNT": "1", "KEY_0": f"url.file://{released}.insteadOf", "VALUE_0": "https://github.com/nobody/zoofuse"}
    environment = {f"GIT_CONFIG_{name}": value for name, value in names.items()}
    return environment | {"GITHUB_TOKEN": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_a_deployed_workflow_runs_with_the_package(installed, deployed, online):
    command = [installed / "python", "-m", "snakemake", "--cores", "1"]
    code, said = call(*command, "-n", cwd=deployed, **online)
    assert code == 0, said
    assert re.search(r"^published_tables +1$", said, re.MULTILINE)
    settings = yaml.safe_load((deployed / "config/config.yaml").read_text()) | {"synthetic": {"images": 20}}
    (deployed / "config/config.yaml").write_text(yaml.safe_dump(settings))
    code, said = call(*command, "results/images/cat.h5", cwd=deployed, **online)
    assert code == 0, said
    assert len(files.read(deployed / "results/images/cat.h5", "images")["labels"]) == 40


def test_a_deployed_workflow_without_the_package_says_what_to_do(bare, deployed, online):
    code, said = call(bare, "-m", "snakemake", "--cores", "1", "-n", cwd=deployed, **online)
    assert code == 1
    assert "The zoofuse package isn't installed" in said
    assert "Run pip install zoofuse" in said


def test_a_deployed_workflow_of_another_version_is_refused(released, installed, deployed, online):
    init = released / "workflow/src/zoofuse/__init__.py"
    text = init.read_text()
    init.write_text(text.replace(f'"{VERSION}"', '"99.0.0"'))
    git(released, "commit", "-q", "-a", "-m", "Another version")
    git(released, "tag", "v99.0.0")
    snakefile = deployed / "workflow/Snakefile"
    snakefile.write_text(snakefile.read_text().replace(f"v{VERSION}", "v99.0.0"))
    code, said = call(installed / "python", "-m", "snakemake", "--cores", "1", "-n", cwd=deployed, **online)
    assert code == 1
    assert f"The workflow is that of zoofuse 99.0.0, and zoofuse {VERSION} is installed" in said


def test_the_installed_snakefile_is_a_module(installed, place, tmp_path):
    (tmp_path / "Snakefile").write_text(
        "import zoofuse\n\n\nmodule other:\n    snakefile:\n        zoofuse.snakefile()\n    config:\n"
        "        {'synthetic': {'images': 20}}\n    prefix:\n        'deep/below'\n\n\n"
        "use rule * from other as zoofuse_*\n"
    )
    command = [installed / "python", "-m", "snakemake", "--cores", "1"]
    code, said = call(*command, "-n", cwd=tmp_path)
    assert code == 0, said
    assert re.search(r"^zoofuse_published_tables +1$", said, re.MULTILINE)
    code, said = call(*command, "deep/below/results/images/cat.h5", cwd=tmp_path)
    assert code == 0, said
    assert len(files.read(tmp_path / "deep/below/results/images/cat.h5", "images")["labels"]) == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == [".snakemake", "Snakefile", "deep"]
