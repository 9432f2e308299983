"""Random numbers that depend on names only: equal on every machine, for any number of threads, shards or resumes."""

import hashlib

import numpy as np

CLASSES = (1, 0)
"""Labels, the concept's first, in the order in which random streams number them: 0 the concept's, 1 the others'."""


def bits(n: int, seed: int, *names, start: int = 0) -> np.ndarray:
    """(n,) uint64 of a Philox generator keyed by `seed` and `names` (NumPy keeps raw bit streams stable, NEP 19).

    start: of the stream, where the first is not its first.
    """
    text = "/".join(map(str, (seed, *names)))
    key = np.frombuffer(hashlib.sha256(text.encode()).digest()[:16], dtype="<u8")
    counter, skipped = divmod(start, 4)  # it gives four numbers for each value of its counter
    return np.random.Philox(key=key, counter=counter).random_raw(skipped + n)[skipped:]


def uniform(shape: tuple[int, ...], seed: int, *names, start: int = 0) -> np.ndarray:
    """float32 of this shape in [0, 1), multiples of 2**-24; `names` name the stream, start as `bits` takes it."""
    raw = bits(int(np.prod(shape)), seed, *names, start=start)
    return ((raw >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)).reshape(shape)


def normal(shape: tuple[int, ...], seed: int, *names, rows: range | None = None) -> np.ndarray:
    """float32 of this shape from the standard normal distribution (Box and Muller 1958).

    rows: only these of the first axis, with the values that they have in the whole.
    """
    whole, start = int(np.prod(shape)), 0
    if rows is not None:
        start, shape = rows.start * (whole // shape[0]), (len(rows), *shape[1:])
    n = int(np.prod(shape))
    u, v = (uniform((n,), seed, *names, start=first).astype(np.float64) for first in (start, whole + start))
    return (np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * np.pi * v)).astype(np.float32).reshape(shape)


def permutation(n: int, seed: int, *names) -> np.ndarray:
    """(n,) int64: a random permutation of range(n)."""
    return np.argsort(bits(n, seed, *names), kind="stable")


def small(seed: int, *names) -> int:
    """One integer in [0, 2**31), for libraries that take a `random_state`."""
    return int(bits(1, seed, *names)[0] >> np.uint64(33))
