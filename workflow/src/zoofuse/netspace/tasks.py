"""NetSpace for many tasks: a space of the CNNs of trained tasks, and a code in it for each task that is measured."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from zoofuse.core import devices, files, logs, rng
from zoofuse.data import classes as class_images
from zoofuse.data import tasks as task_sets
from zoofuse.evaluation.task_rules import RULES
from zoofuse.models import cnn
from zoofuse.models.architectures import Architecture
from zoofuse.netspace import cnns, spaces
from zoofuse.zoo import zoo as zoo_files

TOGETHER = 16  # codes that are moved at once
BATCH, RATE = 64, 0.01  # images in a step of a code, and Adam's learning rate


def networks(
    images: Path,
    networks: Sequence[Path],
    shared: Path,
    plan: Mapping,
    settings: Mapping,
    code_steps: int,
    architecture: str,
    seed: int,
    tasks: str,
    output: Path,
    device: str,
    threads: int,
) -> None:
    """Train the space, and write a CNN for every measured task.

    Each code starts at that of the nearest trained task's CNN, as way nearest_seen finds it, and is moved until the
    decoded CNN predicts what the student learns: the chosen rule's probabilities, without labels.

    Args:
        images, networks, shared: as of `evaluation.task_jobs.rows`.
        plan, seed, tasks: as there.
        settings: of `spaces.Settings`, with `compared` and `probes` as the setting netspace has them.
        code_steps: steps in which a code is moved.
        architecture: of the CNNs.
        output: a zoo file; its attributes say how long the space took, and each task (`task_seconds`).
        device, threads: to train on.
    """
    torch.set_num_threads(threads)
    on = devices.choose_device(device)
    of, data = task_sets.Plan.read(plan), class_images.read(images)[0]["images"]
    zoo, kind = zoo_files.read(networks), cnn.ARCHITECTURES[architecture]
    rule, name = files.attributes(shared, "task_predictions")["rule"], f"tasks/{tasks}/netspace"
    start = time.perf_counter()
    rows = rng.permutation(len(data), seed, name, "compared")[: settings["compared"]]
    one = spaces.Network(kind.shapes, lambda weights, shown: cnn.logits(weights, cnn.normalise(shown)))
    trained = {key: torch.from_numpy(zoo[key]).to(on) for key in kind.shapes}
    predicted = cnns.predictions(one, trained, data[rows])
    probes = predicted[:, : settings["probes"]]
    chosen = {key: value for key, value in settings.items() if key not in ("compared", "probes")}
    space = _embedded(one, predicted, probes, data[rows], spaces.Settings(**chosen), kind, seed, name, output, on)
    space_seconds = time.perf_counter() - start
    k, firsts = len(of.classes), np.flatnonzero(zoo["model"] == 0)
    logits = files.read(shared, "task_predictions", ["training/zoo"])["training/zoo"]
    members = np.stack([task_sets.indicator(task, k) for task in of.measured])
    found = [task_sets.nearest(of, each) for each in members]
    begun = np.stack([probes[firsts[place]][:, ::sign] for place, sign in found])  # exchanged outputs: the opposite
    codes = space.encode(spaces.read_predictions(begun))
    pixels = torch.from_numpy(data).to(on)
    start, moved = time.perf_counter(), []
    with logs.bar(len(codes), "tasks", f"{tasks} NetSpace") as bar:
        for first in range(0, len(codes), TOGETHER):
            part = slice(first, first + TOGETHER)
            targets = np.stack([RULES[rule](logits, each) for each in members[part]]).astype(np.float32)
            targets = torch.from_numpy(np.clip(targets, 0, 1)).to(on)

            def loss(codes, step, targets=targets):
                drawn = rng.permutation(len(data), seed, name, "step", step)[:BATCH].copy()
                both = one.predict(space.decode(codes), pixels[drawn])
                odds, wanted = both[..., 1] - both[..., 0], targets[:, drawn]
                return F.binary_cross_entropy_with_logits(odds, wanted, reduction="none").mean(1)

            moved.append(spaces.optimise(codes[part], loss, steps=code_steps, learning_rate=RATE))
            bar.update(len(moved[-1]))
    arrays = {key: values.cpu().numpy() for key, values in space.decode(torch.cat(moved)).items()}
    seconds = {"seconds": space_seconds, "task_seconds": (time.perf_counter() - start) / len(codes)}
    arrays["model"] = np.arange(len(codes), dtype=np.int32)
    made = {"plan": dict(plan), "settings": dict(settings), "code_steps": code_steps, "seed": seed}
    files.write(output, "zoo", arrays, concept=tasks, **seconds, **made)


def _embedded(
    one: spaces.Network, predicted, probes, shown, chosen: spaces.Settings, kind: Architecture, seed, name, output, on
) -> spaces.Space:
    group = spaces.Group(one, spaces.read_predictions(probes), shown, predicted)
    fresh, state = cnn.initial_weights(kind, seed, name, np.arange(1)), output.with_suffix(".state")
    with logs.steps(chosen.steps, "NetSpace") as progress:
        space = spaces.train([one], [group], chosen, [fresh], seed, state, device=on, progress=progress)
    state.unlink(missing_ok=True)
    return space
