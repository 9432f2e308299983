"""A real SLURM, and a project whose jobs go through it. With ZOOFUSE_REQUIRE_SLURM=1 a missing one is a failure."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cluster
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from small_project import Project, draw_folders


class OnCluster(Project):
    """A project whose calls of snakemake use the SLURM profile."""

    def __init__(self, folder: Path, root: Path, slurm: cluster.Cluster):
        super().__init__(folder, root)
        self.slurm = slurm
        self.calls: list[subprocess.Popen] = []

    def start(self, *arguments: str, config: dict) -> subprocess.Popen:
        """Call snakemake and return at once; what it prints goes to out.txt."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        snakemake = str(Path(__file__).with_name("quick_snakemake.py"))
        command = [sys.executable, snakemake, "-s", str(self.root / "Snakefile"), *arguments]
        command += ["--workflow-profile", str(self.root / "workflow/profiles/slurm"), "--configfile", "config.yaml"]
        command += ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10"]
        environment = self.slurm.environment
        environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"}
        with open(self.folder / "out.txt", "w") as out:
            options = {"cwd": self.folder, "env": environment, "stdout": out, "stderr": subprocess.STDOUT}
            self.calls.append(subprocess.Popen(command, **options))
        return self.calls[-1]

    def run(self, *arguments: str, config: dict) -> None:
        """Call snakemake, which must succeed."""
        self.finish(self.start(*arguments, config=config))

    def finish(self, call: subprocess.Popen, code: int = 0, seconds: float = 900) -> None:
        try:
            call.wait(seconds)
        except subprocess.TimeoutExpired:
            call.send_signal(signal.SIGKILL)
        assert call.returncode == code, self.printed
        end = time.monotonic() + 60
        # A job that was cancelled is COMPLETING until its processes are gone, which snakemake does not wait for.
        while any(job.state == "COMPLETING" for job in self.slurm.jobs(self.folder)):
            assert time.monotonic() < end, self.slurm("squeue")
            time.sleep(0.3)

    @property
    def printed(self) -> str:
        return (self.folder / "out.txt").read_text()

    def jobs(self, what: str, after: int = 0) -> list[cluster.Job]:
        """Jobs of a rule, by the start of its comment, submitted after the job `after`."""
        return [job for job in self.slurm.jobs(self.folder) if job.id > after and job.what.startswith(f"rule_{what}")]

    def last(self) -> int:
        """The newest job's number."""
        return max((job.id for job in self.slurm.jobs(self.folder)), default=0)

    def wait(self, what: str, found, call: subprocess.Popen, seconds: float = 300):
        """Wait until `found()` is true and return it; the call must still be running."""
        end = time.monotonic() + seconds
        while not (value := found()):
            assert call.poll() is None, f"snakemake ended before {what}:\n{self.printed}"
            assert time.monotonic() < end, f"no {what} within {seconds} s:\n{self.printed}"
            time.sleep(0.3)
        return value


@pytest.fixture(scope="session")
def slurm():
    if reason := cluster.missing():
        (pytest.fail if os.environ.get("ZOOFUSE_REQUIRE_SLURM") else pytest.skip)(reason)
    folder = Path(tempfile.mkdtemp(prefix="zoofuse-slurm-"))
    running = cluster.Cluster(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def project(slurm, tmp_path_factory, root) -> OnCluster:
    """Images, and whatever the tests before made of them."""
    folder = tmp_path_factory.mktemp("cluster")
    draw_folders(folder / "photos")
    return OnCluster(folder, root, slurm)


@pytest.fixture
def nothing_left(project):
    """A test that failed half-way takes its snakemake and its jobs with it."""
    yield
    for call in project.calls:
        if call.poll() is None:
            call.send_signal(signal.SIGINT)
            call.wait(120)
