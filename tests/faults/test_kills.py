"""kill -9 at random moments, the same command again, and the same results in the end.

ZOOFUSE_KILLS=40 strikes so often, in as many runs as that takes; a few strikes in one run are enough for every day.
"""

import os
import random
import signal
import sys
import time

from tiny_project import TINY, assert_same, begun, contents

KILLS = int(os.environ.get("ZOOFUSE_KILLS", "3"))
PER_RUN = 20
TRAINING = {"shard": "train_zoo_shard", "cyclegan": "train_cyclegan"}
WHOLE = ("snakemake", "group")  # the one process, or all of them as when the machine goes down


def struck(project, kind: str, rng: random.Random, seconds: float) -> list[str]:
    """Call, strike one or two training jobs of this kind, which snakemake tries again, then snakemake itself."""
    running, known, strikes = project.call("tables", "--retries", "2"), set(), []

    def ended_within(limit: float, what=lambda: False) -> bool:
        end = time.monotonic() + limit
        while running.poll() is None and time.monotonic() < end and not what():
            time.sleep(0.02)
        return running.poll() is not None

    for _ in range(rng.choice([1, 2])):
        ended_within(seconds, lambda: set(project.processes(TRAINING[kind])) - known)
        for process in list(set(project.processes(TRAINING[kind])) - known)[:1]:
            known.add(process)
            ended_within(rng.uniform(0, seconds / 15))  # of starting, training and writing
            if process in project.processes(TRAINING[kind]):
                os.kill(process, signal.SIGKILL)
                strikes.append(kind)
    if not ended_within(rng.uniform(0, 0.2) * seconds):
        strikes.append(rng.choice(WHOLE))
        (os.killpg if strikes[-1] == "group" else os.kill)(running.pid, signal.SIGKILL)
    running.wait()
    return strikes


def test_kill_9_at_any_moment_changes_no_result(whole, tmp_path, root):
    rng, counts, calls = random.Random(KILLS), dict.fromkeys((*TRAINING, *WHOLE), 0), 0
    wanted, start, reported = contents(whole), time.monotonic(), ""
    while (left := KILLS - sum(counts.values())) > 0:
        project, strikes, done = begun(tmp_path / str(left), root), [], False
        quota = min(left, PER_RUN)
        while not done:
            calls, new = calls + 1, []
            if len(strikes) < quota:
                kind = "shard" if len(strikes) < quota / 2 else "cyclegan"
                strikes += (new := struck(project, kind, rng, whole.seconds))
            else:
                assert project.call().wait() in (0, 1)
            assert "Traceback" not in project.said, project.said
            if new and new[-1] in WHOLE:
                if not reported:  # what the user reads after a kill -9 of snakemake
                    assert project.call().wait() == 1
                    reported = project.said
                    assert "Directory cannot be locked" in reported
                    assert "--unlock" in reported
                assert project.snakemake("--unlock", config=TINY).returncode == 0
            done = "(100%) done" in project.said or "Nothing to be done" in project.said
            assert calls < 3 * KILLS + 10, project.said
        for kind in strikes:
            counts[kind] += 1
        assert_same(contents(project), wanted)
        print(f"{calls} calls, kills {counts}, {time.monotonic() - start:.0f} s", file=sys.stderr)
    assert counts["shard"]
    assert counts["cyclegan"]
    assert counts["snakemake"] + counts["group"]
