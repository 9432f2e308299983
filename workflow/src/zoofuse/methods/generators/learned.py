"""What generative networks over weights share: a small network on codes, and its training."""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TIMES = 32  # sines and cosines that tell the time


class Field(nn.Module):
    """From codes (b, k) and times (b,) in [0, 1] to (b, k), by residual blocks."""

    def __init__(self, size: int, hidden: int, blocks: int = 3):
        super().__init__()
        self.first = nn.Linear(size + 2 * _TIMES, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
            for _ in range(blocks)
        )
        self.last = nn.Linear(hidden, size)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        rates = torch.exp(torch.linspace(0, math.log(1000), _TIMES))
        angles = time[:, None] * rates
        y = self.first(torch.cat([x, angles.sin(), angles.cos()], 1))
        for block in self.blocks:
            y = y + block(y)
        return self.last(F.silu(y))


def begun(codes: np.ndarray, hidden: int, seed: int) -> tuple[Tensor, Field]:
    """Codes (n, k) as a float32 tensor, and a field on them with the initial weights of this seed."""
    torch.manual_seed(seed)
    return torch.from_numpy(np.asarray(codes, np.float32)), Field(codes.shape[1], hidden)


def fit(
    parameters, loss: Callable[[Tensor, torch.Generator], Tensor], n: int, steps: int, rate: float, seed: int
) -> None:
    """Train by Adam with a cosine schedule and gradients of at most norm 1, on CPU.

    Args:
        parameters: to train.
        loss: from rows (b,) of n, and the random numbers, to a number.
        n: training networks.
        steps: of the optimiser; a batch has at most 64 rows.
        rate: the learning rate.
        seed: of the random numbers.
    """
    numbers, parameters = torch.Generator().manual_seed(seed), list(parameters)
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        value = loss(torch.randint(n, (min(64, n),), generator=numbers), numbers)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
