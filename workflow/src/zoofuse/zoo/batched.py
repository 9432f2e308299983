"""All CNNs of a job trained together on stacked tensors (n, ...): no Python work per CNN, any architecture.

Made for GPUs: the images stay on the device as uint8, and convolutions are batched matrix products
(see `models.cnn`).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse.core import logs
from zoofuse.models import cnn

CPU_MEMORY = 2**29  # bytes for activations; a GPU gives what it has free


def batch(images: Tensor, order: Tensor, flip: Tensor | None, gain: Tensor | None) -> Tensor:
    """Draw, augment and normalise: uint8 (N, 32, 32, 3), rows (...) -> float32 (..., 32, 32, 3) in [-1, 1]."""
    x = images[order]
    if flip is not None:
        x = torch.where(flip[..., None, None, None].bool(), x.flip(-2), x)
    x = x.float().div_(255)
    if gain is not None:
        x = x.mul_(gain[..., None, None, :]).clamp_(0, 1)
    return x.sub_(0.5).div_(0.5)


def logistic_loss(z: Tensor, targets: Tensor) -> Tensor:
    """Both outputs as predictions of their own: (..., 2) -> (...), their logistic losses added; NaN adds none."""
    known = ~targets.isnan()
    return (F.binary_cross_entropy_with_logits(z, targets.nan_to_num(), reduction="none") * known).sum(-1)


def train(job, threads: int, progress) -> None:
    """Fill the job's arrays, as many CNNs at a time as the memory holds."""
    in_parts(job, _at_once(job), _train_part, threads, progress)


def in_parts(job, at_once: int, train_part: Callable, threads: int, progress) -> None:
    """Train a job's CNNs part after part.

    Args:
        job: what is trained.
        at_once: CNNs in a part; half as many from where a GPU's memory does not suffice.
        train_part: called as train_part(job, part, plan, progress), where plan is (order, flip, gain) of these CNNs.
        threads: of PyTorch, and those that draw the next part's plan meanwhile.
        progress: see `training.Progress`.
    """
    n, start, plans = len(job.models), 0, None
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with ThreadPoolExecutor(threads) as pool:
            while start < n:
                part = slice(start, min(start + at_once, n))
                plan = _gather(plans or _plans(job, part, pool, threads))
                following = slice(part.stop, min(part.stop + at_once, n))
                plans = _plans(job, following, pool, threads) if following.start < n else None
                try:
                    train_part(job, part, plan, progress)
                    start = part.stop
                except torch.cuda.OutOfMemoryError:
                    if part.stop - part.start == 1:
                        raise
                    at_once, plans = (part.stop - part.start + 1) // 2, None
                    logs.once(f"The GPU's memory does not suffice for more CNNs at once: {at_once} from now on.")
    finally:
        torch.set_num_threads(before)


def _at_once(job) -> int:
    """CNNs whose patches, activations and gradients of one batch fit in memory."""
    memory = 0.7 * torch.cuda.mem_get_info(job.device)[0] if job.device.type == "cuda" else CPU_MEMORY
    return max(
        1, int(memory / (4 * job.architecture.kept * min(job.settings.batch_size, job.settings.images_per_epoch)))
    )


def _plans(job, part: slice, pool: ThreadPoolExecutor, threads: int) -> list:
    step = -(-(part.stop - part.start) // threads)
    return [pool.submit(job.plan, slice(row, min(row + step, part.stop))) for row in range(part.start, part.stop, step)]


def _gather(plans: list) -> tuple[np.ndarray | None, ...]:
    found = [plan.result() for plan in plans]
    columns = zip(*((plan.order, plan.flip, plan.gain) for plan in found), strict=True)
    return tuple(None if column[0] is None else np.concatenate(column) for column in columns)


def _train_part(job, part: slice, plan: tuple, progress) -> None:
    settings, device = job.settings, job.device
    n = part.stop - part.start
    images, labels, validation, validation_labels, targets = job.tensors
    order, flip, gain = (None if array is None else torch.from_numpy(array).to(device) for array in plan)
    weights = {name: torch.from_numpy(value[part]).to(device).requires_grad_() for name, value in job.weights.items()}
    adam = torch.optim.Adam(weights.values())
    losses = torch.zeros(n, settings.epochs, dtype=torch.float64, device=device)
    predicted = torch.zeros(n, settings.epochs, 2, dtype=torch.int64, device=device)
    rates, step = settings.learning_rates, 0
    for epoch in range(settings.epochs):
        for own in settings.batches:
            drawn = order[:, epoch, own].long()  # (n, b)
            x = batch(images, drawn, *(None if values is None else values[:, epoch, own] for values in (flip, gain)))
            z = cnn.logits(weights, x.movedim(-1, 2))
            if targets is None:
                loss = F.cross_entropy(z.flatten(0, 1), labels[drawn].flatten(), reduction="none").view(drawn.shape)
            else:
                loss = logistic_loss(z, targets[drawn])
            adam.zero_grad()
            loss.mean(1).sum().backward()  # CNNs do not touch each other
            adam.param_groups[0]["lr"] = float(rates[step])
            adam.step()
            losses[:, epoch] += loss.detach().sum(1)
            step += 1
            if progress:
                progress(0, drawn.numel())
        losses[:, epoch] /= settings.images_per_epoch
        with torch.no_grad():
            for start in range(0, len(validation), settings.batch_size):
                some = torch.arange(start, min(start + settings.batch_size, len(validation)), device=device)
                x = batch(validation, some, None, None)
                z = cnn.logits(weights, x.movedim(-1, 1).expand(n, -1, -1, -1, -1))
                concept = ~(z[..., 0] > z[..., 1])
                for label in (0, 1):
                    predicted[:, epoch, label] += (concept & (validation_labels[some] == label)).sum(1)
        if epoch + 1 in settings.checkpoint_epochs:
            at = settings.checkpoint_epochs.index(epoch + 1)
            for name, value in weights.items():
                job.checkpoints[name][part, at] = value.detach().cpu().numpy()
    for name, value in weights.items():
        job.weights[name][part] = value.detach().cpu().numpy()
    job.loss[part], job.predicted[part] = losses.cpu().numpy(), predicted.cpu().numpy()
    if progress:
        progress(n, 0)
