"""The losses and gradients of a step of the kernel CycleGAN in C++ (cyclegan.cpp), vectorised over kernel sets."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from zoofuse.native import bindings, build
from zoofuse.native.bindings import pointer

SIZE = 5  # rows and columns of a kernel
_SOURCE = Path(__file__).with_name("cyclegan.cpp")
_Pair, _Counts = pointer("float32") * 2, ctypes.c_int64 * 2


class Losses(Protocol):
    """What decides a step's losses: of a CycleGAN's settings, the part that is known here."""

    hidden: int  # channels between the two layers of a network
    adversarial: str  # "mse after sigmoid" or "mse on logits"
    cycle_weight: float
    identity_weight: float


class _Step(ctypes.Structure):  # STEP of cyclegan.cpp
    _fields_ = (
        [(name, ctypes.c_int64) for name in ("channels", "depth", "hidden", "probabilities", "threads")]
        + [(name, ctypes.c_double) for name in ("cycle_weight", "identity_weight")]
        + [(name, pointer("float32")) for name in ("generators", "discriminators")]
        + [("real", _Pair), ("reals", _Counts), ("fake", _Pair), ("fakes", _Counts)]
        + [("gradient", pointer("float32")), ("losses", pointer("float64"))]
    )


def available() -> tuple[bool, str]:
    """Whether the C++ runs here (building it if need be), and how or why not, in one line."""
    return bindings.available(_SOURCE, _Step)


def generator_step(
    s: Losses,
    generators: Tensor,
    discriminators: Tensor,
    x: Mapping[str, Tensor],
    *,
    threads: int = 1,
    kind: str | None = None,
) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
    """One batch's losses by name, the gradient of their sum, and the translated sets by the domain they now belong to.

    generators, discriminators: flat float32 parameters; x: domain -> (in, out, 5, 5, b) float32, also b = 0, of which
    nothing is lost or translated; kind: an instruction set's name, this machine's by default.
    """
    gradient, losses = torch.empty_like(generators), torch.empty(4, dtype=torch.float64)
    fakes = {"A": torch.empty_like(x["B"]), "B": torch.empty_like(x["A"])}
    _call("generators", kind, s, threads, generators, discriminators, x, fakes, gradient, losses)
    names = ["adversarial_A", "adversarial_B", "cycle"] + ["identity"] * (s.identity_weight > 0)
    made = {domain: fake for domain, fake in fakes.items() if fake.shape[-1]}
    named = dict(zip(names, losses, strict=False))
    return {name: loss for name, loss in named.items() if name[-1] not in fakes or name[-1] in made}, gradient, made


def discriminator_step(
    s: Losses,
    discriminators: Tensor,
    real: Mapping[str, Tensor],
    fakes: Mapping[str, Tensor],
    *,
    threads: int = 1,
    kind: str | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """The discriminators' losses by name, and the gradient of their sum; arguments as of `generator_step`."""
    gradient, losses = torch.empty_like(discriminators), torch.empty(2, dtype=torch.float64)
    shown = {domain: fakes.get(domain, real[domain][..., :0]) for domain in "AB"}
    _call("discriminators", kind, s, threads, None, discriminators, real, shown, gradient, losses)
    return {f"discriminator_{domain}": loss for domain, loss in zip("AB", losses, strict=True)}, gradient


def _call(name, kind, s: Losses, threads, generators, discriminators, real, fakes, gradient, losses) -> None:
    channels, depth, *size = real["A"].shape[:-1]
    assert size == [SIZE, SIZE], size
    real, fakes = ([sets[domain].contiguous() for domain in "AB"] for sets in (real, fakes))
    step = _Step(
        channels, depth, s.hidden, s.adversarial == "mse after sigmoid", threads, s.cycle_weight, s.identity_weight,
        generators is not None and generators.data_ptr(), discriminators.data_ptr(),
        *(kind(*values) for sets in (real, fakes) for kind, values in (
            (_Pair, [x.data_ptr() for x in sets]), (_Counts, [x.shape[-1] for x in sets]))),
        gradient.data_ptr(), losses.data_ptr(),
    )  # fmt: skip
    getattr(_library(kind), f"zoofuse_{name}")(ctypes.byref(step))


@functools.cache
def _library(kind: str | None = None) -> ctypes.CDLL:
    """The compiled steps for an instruction set, this machine's by default."""
    library = bindings.library(_SOURCE, kind or build.instruction_set(), _Step)
    for call in (library.zoofuse_generators, library.zoofuse_discriminators):
        call.argtypes, call.restype = [ctypes.POINTER(_Step)], None
    return library
