"""The three lists of packages agree."""

import re
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.version import Version

CONDA_NAMES = {"torch": "pytorch", "snakemake": "snakemake-minimal", "matplotlib": "matplotlib-base"}


def project(root) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


def test_environment_yml_lists_the_same_packages(root):
    conda = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    wanted = {f"python{project(root)['requires-python']}"}
    for text in project(root)["dependencies"]:
        requirement = Requirement(text)
        wanted.add(f"{CONDA_NAMES.get(requirement.name, requirement.name)}{requirement.specifier}")
    assert set(conda) == wanted


def test_the_rules_environment_is_the_same(root):
    whole = yaml.safe_load((root / "environment.yml").read_text())
    rules = yaml.safe_load((root / "workflow/envs/zoofuse.yaml").read_text())
    assert rules == {key: whole[key] for key in ("channels", "dependencies")}


def test_the_lock_holds_a_fitting_version_of_everything(root):
    lines = (root / "requirements.lock").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"==[^=*]+", str(requirement.specifier)) for requirement in pinned)
    versions = {re.sub(r"[-_.]+", "-", r.name).lower(): Version(str(r.specifier)[2:]) for r in pinned}
    extras = project(root)["optional-dependencies"]
    declared = project(root)["dependencies"] + extras["test"] + extras["docs"]
    for text in declared:
        requirement = Requirement(text)
        assert versions[requirement.name] in requirement.specifier, text
