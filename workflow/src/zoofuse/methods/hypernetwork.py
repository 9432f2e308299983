"""A network that turns a task into the weights of a CNN (Ha, Dai and Le 2017, "HyperNetworks").

Its input is the task, +1 for each of its classes and -1 for the others; its output are all parameters of a CNN of two
outputs. It is trained end to end: on images and their classes, on the tasks it is shown.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from zoofuse.core import rng
from zoofuse.models import cnn
from zoofuse.models.architectures import Architecture

TASKS, IMAGES = 16, 64  # in a step: tasks, and images that all of them are shown
RATE = 1e-3  # Adam's, falling to 0 along a cosine


class HyperNetwork(nn.Module):
    """One hidden layer from a task (t, classes) to parameters, name -> (t, ...).

    Args:
        classes: k.
        hidden: units.
        architecture: of the CNNs.
        start: name -> (1, ...), the CNN that an untrained hypernetwork gives, but for small changes.
    """

    def __init__(self, classes: int, hidden: int, architecture: Architecture, start: dict[str, np.ndarray]):
        super().__init__()
        self.shapes = architecture.shapes
        self.hidden, self.out = nn.Linear(classes, hidden), nn.Linear(hidden, architecture.parameters)
        flat = np.concatenate([start[name][0].ravel() for name in self.shapes])
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias.copy_(torch.from_numpy(flat))

    def forward(self, tasks: torch.Tensor) -> dict[str, torch.Tensor]:
        flat = self.out(torch.tanh(self.hidden(tasks)))
        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        parts = flat.split(sizes, dim=1)
        return {name: part.unflatten(1, shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}


def train(
    images: np.ndarray,
    classes: np.ndarray,
    tasks: np.ndarray,
    *,
    architecture: str,
    hidden: int,
    steps: int,
    seed: int,
    name: str,
    progress: Callable[[], None] = lambda: None,
) -> HyperNetwork:
    """Train on some tasks.

    Args:
        images: uint8 (n, 32, 32, 3).
        classes: (n,), each image's class.
        tasks: bool (t, k), the classes of each task.
        architecture: a name in `architectures.ARCHITECTURES`.
        hidden: units.
        steps: of Adam, each on TASKS tasks and IMAGES images, as many of each class; in a task's loss its classes and
            the others weigh the same.
        seed, name: what random numbers depend on.
        progress: called after each step.
    """
    kind = cnn.ARCHITECTURES[architecture]
    with torch.random.fork_rng():
        torch.manual_seed(rng.small(seed, name, "hypernetwork"))
        network = HyperNetwork(tasks.shape[1], hidden, kind, cnn.initial_weights(kind, seed, name, np.arange(1)))
    adam = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(steps, 1))
    rows_of = [np.flatnonzero(classes == place) for place in range(tasks.shape[1])]
    pixels = torch.from_numpy(images)
    for step in range(steps):
        drawn = tasks[(rng.uniform((TASKS,), seed, name, "task", step) * len(tasks)).astype(int)]
        u = rng.uniform((IMAGES,), seed, name, "images", step)
        places = (np.arange(IMAGES) + step) % tasks.shape[1]
        rows = np.array([rows_of[place][int(v * len(rows_of[place]))] for place, v in zip(places, u, strict=True)])
        labels = drawn[:, places]  # (TASKS, IMAGES)
        share = labels.mean(1, keepdims=True)
        weight = torch.from_numpy(np.where(labels, 0.5 / share, 0.5 / (1 - share)).astype(np.float32))
        logits = cnn.logits(network(_bits(drawn)), cnn.normalise(pixels[torch.from_numpy(rows)]))
        losses = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(labels).long().flatten(), reduction="none")
        loss = (losses.view_as(weight) * weight).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
        progress()
    return network


def weights(network: HyperNetwork, tasks: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """CNNs for tasks, bool (t, k): name -> float32 (t, ...)."""
    with torch.inference_mode():
        return {name: values.numpy() for name, values in network(_bits(np.asarray(tasks))).items()}


def _bits(tasks: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.where(tasks, np.float32(1), np.float32(-1)))
