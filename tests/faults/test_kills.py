"""kill -9 at random moments, the same command again, and the same results in the end.

ZOOFUSE_KILLS=40 strikes so often, in as many runs as that takes; a few strikes in one run are enough for every day.
"""

import os
import random
import signal
import sys
import time

from tiny_project import TINY, assert_same, begun, contents

KILLS = int(os.environ.get("ZOOFUSE_KILLS", "4"))
PER_RUN = 20
TRAINING = {"shard": "train_zoo_shard", "cyclegan": "train_cyclegan"}
MADE = {"shard": "results/zoo/*/shard-*.h5", "cyclegan": "results/cyclegan/*/*/generators.h5"}


def struck(project, kind: str, rng: random.Random, seconds: float) -> bool:
    """Call, strike at a random moment, and wait for the end; False when the run was over first."""
    running = project.call()
    if kind in TRAINING:
        while running.poll() is None and not project.processes(TRAINING[kind]):
            time.sleep(0.05)
        end = time.monotonic() + rng.uniform(0, seconds / 12)  # of starting, training and writing
    else:
        end = time.monotonic() + rng.uniform(0.05, 0.3) * seconds
    while running.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    targets = project.processes(TRAINING[kind])[:1] if kind in TRAINING else [running.pid]
    if running.poll() is not None or not targets:
        running.wait()
        return False
    (os.killpg if kind == "group" else os.kill)(targets[0], signal.SIGKILL)
    running.wait()
    return True


def test_kill_9_at_any_moment_changes_no_result(whole, tmp_path, root):
    rng, counts, runs, calls = random.Random(KILLS), dict.fromkeys((*TRAINING, "snakemake", "group"), 0), 0, 0
    wanted, start = contents(whole), time.monotonic()
    while (left := KILLS - sum(counts.values())) > 0:
        runs += 1
        project, strikes = begun(tmp_path / str(runs), root), 0
        for _ in range(100):
            calls += 1
            made = {kind: len(list(project.folder.glob(pattern))) == 2 for kind, pattern in MADE.items()}
            kind = min((k for k in counts if not made.get(k)), key=lambda k: (counts[k], rng.random()))
            if strikes == min(left, PER_RUN):
                assert project.call().wait() in (0, 1)
            elif struck(project, kind, rng, whole.seconds):
                counts[kind] += 1
                strikes += 1
            if "--unlock" in project.said:  # what snakemake says after a kill -9 of its own
                assert project.snakemake("--unlock", config=TINY).returncode == 0
            else:
                assert "Traceback" not in project.said, project.said
            if "(100%) done" in project.said or "Nothing to be done" in project.said:
                break
        assert_same(contents(project), wanted)
        print(f"{runs} runs, {calls} calls, kills {counts}, {time.monotonic() - start:.0f} s", file=sys.stderr)
    assert all(counts.values())
