"""A training that was stopped goes on to the same bits, and only with its own state."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import zoofuse
from zoofuse.core import files
from zoofuse.models import fit

STEPS = 12
TARGET = torch.linspace(-1, 1, 5)


@pytest.fixture(autouse=True)
def saved_after_every_step(monkeypatch):
    monkeypatch.setattr(fit, "SAVE_EVERY", 0.0)


def train(path, identity: str = "x", progress=None) -> fit.Fit:
    """Two parameter vectors with an Adam each, and a tensor that each step replaces by a longer one."""
    initial = {"first": np.zeros(5, np.float32), "second": np.ones(5, np.float32), "replayed": np.zeros(0, np.float32)}
    run = fit.Fit(initial, STEPS, state_path=path, identity=identity)
    optimisers = {name: run.adam(name, lr=0.1, betas=(0.5, 0.9)) for name in ("first", "second")}

    for name in optimisers:
        run.tensors[name].requires_grad_()

    def step(index: int) -> dict[str, float]:
        losses = {}
        for name, adam in optimisers.items():
            adam.zero_grad()
            loss = (run.tensors[name] - TARGET * (1 + index % 3) - run.tensors["replayed"].sum()).square().sum()
            loss.backward()
            adam.step()
            losses[name] = loss.item()
        run.tensors["replayed"] = torch.cat([run.tensors["replayed"], run.tensors["first"].detach()[:1]])
        return losses | ({"third": float(index)} if index % 3 == 0 else {})

    run.run(step, progress)
    return run


def same(one: fit.Fit, other: fit.Fit) -> bool:
    assert one.tensors.keys() == other.tensors.keys()
    assert one.history.keys() == other.history.keys()
    return all(torch.equal(values, other.tensors[name]) for name, values in one.tensors.items()) and all(
        np.array_equal(values, other.history[name], equal_nan=True) for name, values in one.history.items()
    )


def test_adam_and_history_are_those_of_a_plain_loop(tmp_path):
    run = train(tmp_path / "state.h5")
    plain = torch.zeros(5, requires_grad=True)
    adam, seen, losses = torch.optim.Adam([plain], lr=0.1, betas=(0.5, 0.9)), torch.zeros(0), []
    for index in range(STEPS):
        adam.zero_grad()
        loss = (plain - TARGET * (1 + index % 3) - seen.sum()).square().sum()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        seen = torch.cat([seen, plain.detach()[:1]])
    assert torch.equal(run.tensors["first"], plain)
    np.testing.assert_array_equal(run.history["first"], np.float32(losses))
    assert np.isfinite(run.history["third"]).tolist() == [index % 3 == 0 for index in range(STEPS)]


@pytest.mark.parametrize("at", [1, 5, STEPS])
def test_interrupted_after_any_step_it_ends_with_the_same_bits(tmp_path, at):
    def interrupt(done, recorded):
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "state.h5", progress=interrupt)
    counted = []
    resumed = train(tmp_path / "state.h5", progress=lambda done, recorded: counted.append(done))
    assert counted == list(range(at + 1, STEPS + 1))
    assert same(resumed, train(tmp_path / "whole.h5"))


def test_what_was_done_since_the_last_save_is_done_again(tmp_path, monkeypatch):
    def interrupt(done, recorded):
        if done == 4:
            monkeypatch.setattr(fit, "SAVE_EVERY", 1e9)
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "state.h5", progress=interrupt)
    counted = []
    resumed = train(tmp_path / "state.h5", progress=lambda done, recorded: counted.append(done))
    assert counted[0] == 5
    assert same(resumed, train(tmp_path / "whole.h5"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ended_by_a_signal_in_the_middle_of_a_step(tmp_path, number):
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_fit
from zoofuse.models import fit
fit.SAVE_EVERY = 0.0
write, calls = test_fit.torch.Tensor.backward, []
def backward(self):
    calls.append(None)
    if len(calls) == 10:  # the second parameter vector of the fifth step: the first one has moved
        os.kill(os.getpid(), {int(number)})
    write(self)
test_fit.torch.Tensor.backward = backward
test_fit.train(sys.argv[1])
"""
    environment = os.environ | {"PYTHONPATH": str(Path(zoofuse.__file__).parents[1])}
    process = subprocess.run([sys.executable, "-c", code, str(tmp_path / "state.h5")], env=environment)
    assert process.returncode == -number
    counted = []
    resumed = train(tmp_path / "state.h5", progress=lambda done, recorded: counted.append(done))
    assert counted[0] == 5
    assert same(resumed, train(tmp_path / "whole.h5"))


def test_a_finished_training_takes_no_step(tmp_path):
    first, counted = train(tmp_path / "state.h5"), []
    assert same(train(tmp_path / "state.h5", progress=lambda done, recorded: counted.append(done)), first)
    assert not counted


@pytest.mark.parametrize("other", ["identity", "kind", "corrupt"])
def test_a_state_that_is_not_this_trainings_is_ignored_with_one_line(tmp_path, capsys, other):
    path, counted = tmp_path / "state.h5", []
    if other == "kind":
        files.write(path, "netspace state", {"x": np.zeros(1)}, identity="x")
    else:
        train(path, identity="y" if other == "identity" else "x")
    if other == "corrupt":
        path.write_bytes(path.read_bytes()[:-1000])
    assert not capsys.readouterr().out
    assert same(train(path, progress=lambda done, recorded: counted.append(done)), train(tmp_path / "whole.h5"))
    assert counted[0] == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert "ignored" in line
