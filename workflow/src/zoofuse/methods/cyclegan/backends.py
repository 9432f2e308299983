"""Which of the two backends computes a step, and with how many threads."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from zoofuse.methods.cyclegan.losses import _discriminator_step, _generator_step
from zoofuse.native import cyclegan_steps

BACKENDS = ("cpp", "pytorch")


def choose_backend(shape: Sequence[int], device: str = "cpu") -> tuple[str, str]:
    """The backend that `auto` stands for on this machine, and why in one line.

    shape: of kernels, (..., rows, columns), or of a bank of matrices, (n, out, in).
    """
    if torch.device(device).type != "cpu":
        return "pytorch", f"pytorch: on {device}"
    if len(shape) == 3 or tuple(shape[-2:]) != (cyclegan_steps.SIZE, cyclegan_steps.SIZE):
        return "pytorch", "pytorch (slower), as the C++ is for 5 x 5 kernels only"
    available, reason = cyclegan_steps.available()
    if available:
        return "cpp", f"cpp: {reason}"
    return "pytorch", f"pytorch (slower), as the C++ is missing: {reason}"


@contextlib.contextmanager
def steps(backend: str, threads: int) -> Iterator[tuple[Callable, Callable]]:
    """`_generator_step` and `_discriminator_step` as this backend computes them with this many threads."""
    with workers(threads) as run:
        if backend == "cpp":
            both, options = (cyclegan_steps.generator_step, cyclegan_steps.discriminator_step), {"threads": threads}
        else:
            both, options = (_generator_step, _discriminator_step), {"run": run}
        yield tuple(functools.partial(step, **options) for step in both)


@contextlib.contextmanager
def workers(threads: int) -> Iterator[Callable]:
    """A `map` over this many threads. Each computes alone, so the results do not depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if threads == 1:
            yield map
        else:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                yield pool.map
    finally:
        torch.set_num_threads(before)
