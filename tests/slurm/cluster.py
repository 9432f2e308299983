"""A SLURM of one node with two declared GPUs, in a folder and on ports of its own; nothing else is touched."""

import os
import re
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
GPUS, CPUS, MEMORY = 2, 8, 16_000  # declared; the machine may have less
PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"

CONF = """\
ClusterName=zoofuse
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/finished.txt
EnforcePartLimits=ALL
MinJobAge=86400
ReturnToService=2
KillWait=2
OverTimeLimit=0
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=batch Nodes={host} Default=YES MaxTime=7-0 DefMemPerCPU=500 State=UP
"""


@dataclass(frozen=True)
class Job:
    """What SLURM says of a job. `what` is the plugin's comment: the rule and its wildcards."""

    id: int
    state: str
    what: str
    gpus: int
    memory: int  # MB
    minutes: int
    restarts: int  # times SLURM itself queued it again
    start: float  # seconds; 0 before it ran
    end: float


def missing() -> str | None:
    """Why SLURM cannot be started here, or None."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if absent:
        return f"SLURM is not installed ({', '.join(absent)} missing); as root, tests/slurm/install.sh installs it."
    if os.geteuid():
        return "The tests start SLURM's daemons as root only."
    return None


class Cluster:
    """Running daemons; `stop` ends jobs and daemons."""

    def __init__(self, folder: Path):
        self.folder = folder
        path = f"{folder / 'bin'}{os.pathsep}{PATH}"
        self.environment = os.environ | {"PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}
        self.host = socket.gethostname().partition(".")[0]
        self._daemons: list[subprocess.Popen] = []

    def start(self) -> None:
        """Returns when the node takes jobs; raises RuntimeError with the daemons' logs when it does not."""
        folder = self.folder
        folder.chmod(0o755)  # munge's clients walk through it
        for name in ("state", "spool", "bin"):
            (folder / name).mkdir()
        # The plugin's job step drops every SLURM_ variable, so srun would look for a configuration in /etc.
        srun = folder / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun", path=PATH)} "$@"\n')
        srun.chmod(0o755)
        sizes = {"cpus": CPUS, "memory": MEMORY, "gpus": GPUS}
        (folder / "slurm.conf").write_text(CONF.format(host=self.host, folder=folder, ports=_free_ports(2), **sizes))
        (folder / "gres.conf").write_text("".join(f"Name=gpu File={path}\n" for path in self._device_files()))
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        munge = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        paths = [f"--{option}={folder}/munge.{suffix}" for option, suffix in munge.items()]
        self._daemon("munged", "--foreground", "--force", *paths)
        self._wait("munge", lambda: (folder / "munge.socket").exists())
        self._daemon("slurmctld", "-D", "-i")
        self._daemon("slurmd", "-D")
        self._wait("node", lambda: "idle" in self("sinfo", "--noheader", "--Node", "--format=%T", check=False))

    def stop(self) -> None:
        if len(self._daemons) == 3:
            self("scancel", "--quiet", "--user=root", check=False)
            self._wait("end of the jobs", lambda: not self("squeue", "--noheader", check=False).strip(), fail=False)
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()

    def __call__(self, *command: str, check: bool = True) -> str:
        """The output of a SLURM command."""
        run = subprocess.run(command, env=self.environment, text=True, capture_output=True)
        if check and run.returncode:
            raise RuntimeError(f"{' '.join(command)}: {run.stdout}{run.stderr}")
        return run.stdout

    def resumed(self) -> bool:
        """Ask for a node that was set down, which is refused while jobs are ending; True when it takes jobs again."""
        self("scontrol", "update", f"NodeName={self.host}", "State=RESUME", check=False)
        return "down" not in self("sinfo", "--noheader", "--Node", "--format=%T")

    def jobs(self, folder: Path) -> list[Job]:
        """All jobs ever submitted from a folder, in order of submission."""
        jobs = []
        for text in self("scontrol", "show", "job", "--oneliner", check=False).splitlines():
            fields = dict(re.findall(r"(\S+?)=(.*?)(?=\s+\S+?=|$)", text))
            if fields.get("WorkDir") == str(folder):
                jobs.append(_job(fields))
        return sorted(jobs, key=lambda job: job.id)

    def _device_files(self) -> list[Path]:
        """Twins of /dev/null that stand for GPUs; plain files where device nodes are forbidden."""
        paths = [self.folder / f"gpu{number}" for number in range(GPUS)]
        for path in paths:
            try:
                os.mknod(path, 0o020666, os.stat("/dev/null").st_rdev)
            except PermissionError:
                path.touch()
        return paths

    def _daemon(self, *command: str) -> None:
        with open(self.folder / f"{command[0]}.out", "w") as out:
            self._daemons.append(
                subprocess.Popen(command, env=self.environment, stdout=out, stderr=out, start_new_session=True)
            )

    def _wait(self, what: str, ready, seconds: float = 30, fail: bool = True) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                if not fail:
                    return
                logs = [f"{path.name}:\n{path.read_text()[-2000:]}" for path in self.folder.glob("*.[lo][ou][gt]")]
                raise RuntimeError(f"SLURM's {what} is not there after {seconds} s.\n" + "\n".join(logs))
            time.sleep(0.2)


def _job(fields: dict[str, str]) -> Job:
    tres = dict(each.split("=") for each in fields["TRES"].split(",") if "=" in each)
    units = {"M": 1, "G": 1024, "K": 1 / 1024}
    memory, gpus = tres.get("mem", "0M"), re.search(r"gpu:(\d+)", fields.get("TresPerJob", ""))
    hours, minutes, _ = fields["TimeLimit"].split(":") if "-" not in fields["TimeLimit"] else (0, 0, 0)
    return Job(
        id=int(fields["JobId"]),
        state=fields["JobState"],
        what=fields.get("Comment", "").strip(),
        gpus=int(gpus[1]) if gpus else 0,
        memory=round(float(memory[:-1]) * units[memory[-1]]),
        minutes=60 * int(hours) + int(minutes),
        restarts=int(fields["Restarts"]),
        start=_seconds(fields["StartTime"]),
        end=_seconds(fields["EndTime"]),
    )


def _seconds(stamp: str) -> float:
    return 0.0 if stamp == "Unknown" else datetime.fromisoformat(stamp).timestamp()


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
