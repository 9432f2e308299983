"""Matching foreign tensor names to ours: wrappers' prefixes are removed, shapes compared, and layers suggested."""

import os
import re
from collections.abc import Iterable, Mapping

MAX_NAMED = 10  # names in a message
# Name parts that wrappers insert: torch.compile, FSDP, activation checkpointing, DeepSpeed, FairScale.
_WRAPPERS = "_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module|_fpw_module"


class Mismatch(Exception):
    """A CNN that can't be used; the message says why."""


def shown(names: Iterable[str]) -> str:
    """The first MAX_NAMED names, for a message."""
    names = list(names)
    return ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")


def matched(available: Mapping[str, tuple], shapes: Mapping[str, tuple], names: Mapping[str, str]) -> dict[str, str]:
    """Find our tensors among foreign ones.

    A prefix of all names, such as DataParallel's module. or Lightning's model., is removed repeatedly if that gives
    the expected names.

    Args:
        available: Their names -> shapes.
        shapes: Our names -> shapes.
        names: Our layer -> theirs, if they differ.

    Returns:
        Our name -> theirs, without the linear layer if theirs has another shape.

    Raises:
        Mismatch: What does not fit, and what to write under `layers` if the shapes suggest it.
    """
    theirs = {ours: f"{names.get(layer, layer)}.{part}" for ours in shapes for layer, part in [ours.split(".")]}
    levels = list(_unwrapped(available))
    # The first with the most expected names, so that full names take precedence over shortened ones.
    level = max(levels, key=lambda level: len(level.keys() & set(theirs.values())))
    fits = _matched({name: available[full] for name, full in level.items()}, shapes, names, theirs)
    return {ours: level[name] for ours, name in fits.items()}


def _unwrapped(available: Iterable[str]) -> Iterable[dict[str, str]]:
    """Yield shortened name -> full name, first unchanged, then with one more common prefix removed each time."""
    level = {name: name for name in available}
    if "n_averaged" in level and all(name.startswith("module.") for name in level if name != "n_averaged"):
        del level["n_averaged"]  # a counter of AveragedModel, whose other names begin with module.
    yield level
    if any(re.search(rf"(^|[./])({_WRAPPERS})[./]", name) for name in level):
        bare = {re.sub(rf"(^|[./])(?:(?:{_WRAPPERS})[./])+", r"\1", name): full for name, full in level.items()}
        if len(bare) == len(level):
            level = bare
            yield level
    while level:
        first = re.match(r"[^./]+[./]", next(iter(level)))
        if not first or not all(name.startswith(first[0]) and "." in name[len(first[0]) :] for name in level):
            return
        level = {name.removeprefix(first[0]): full for name, full in level.items()}
        yield level


def _matched(
    available: Mapping[str, tuple], shapes, names: Mapping[str, str], theirs: Mapping[str, str]
) -> dict[str, str]:
    spare = {name: shape for name, shape in available.items() if name not in theirs.values()}
    missing = [ours for ours, name in theirs.items() if name not in available]
    proposed = _proposed(spare, shapes, missing)
    optional_linear = "fc1" not in names and "fc1" not in proposed
    required = [ours for ours in shapes if not (optional_linear and ours.startswith("fc1."))]
    if absent := [theirs[ours] for ours in missing if ours in required]:
        contents = shown(f"{name} {shape}" for name, shape in available.items()) or "nothing"
        raise Mismatch(f"has no {', '.join(absent)}; it holds {contents}. {_advice(proposed, shapes, missing)}")
    if wrong := [ours for ours in required if available[theirs[ours]] != shapes[ours]]:
        raise Mismatch("; ".join(f"{theirs[ours]} is {available[theirs[ours]]}, not {shapes[ours]}" for ours in wrong))
    if copies := _copies(spare, available, theirs):
        if not names:
            raise Mismatch(_which(copies, theirs, available))
        copied = {name for copy in copies.values() for name in copy}
        spare = {name: shape for name, shape in spare.items() if name not in copied}
    if surplus := [f"{name} {shape}" for name, shape in spare.items() if not _is_linear(name, shape, available)]:
        raise Mismatch(f"has another architecture: it also holds {shown(surplus)}")
    fits = all(available.get(theirs[ours]) == shape for ours, shape in shapes.items())
    return dict(theirs) if fits and not spare else {o: name for o, name in theirs.items() if o[:2] != "fc"}


def _copies(
    spare: Mapping[str, tuple], available: Mapping[str, tuple], theirs: Mapping[str, str]
) -> dict[str, list[str]]:
    """Prefix -> names of complete copies of the matched tensors, such as averaged weights."""
    wanted = [name for name in theirs.values() if name in available]
    base = re.sub(r"[^./]+$", "", os.path.commonprefix(wanted))  # noqa: RUF071
    tails = {name.removeprefix(base): available[name] for name in wanted}
    first = next(iter(tails))
    copies = {}
    for prefix in sorted({name.removesuffix(first) for name in spare if name.endswith(first)}):
        names = [prefix + tail for tail in tails]
        is_whole = not prefix or (
            prefix[-1] in "./" and len(names) == sum(name.startswith(prefix) for name in available)
        )
        if is_whole and all(spare.get(prefix + tail) == shape for tail, shape in tails.items()):
            copies[prefix] = names
    return copies


def _which(copies: Iterable[str], theirs: Mapping[str, str], available: Mapping[str, tuple]) -> str:
    layers = dict.fromkeys(name.rpartition(".")[0] for name in theirs.values() if name in available)
    choices = ", ".join(
        f"{layer}: {' or '.join([layer, *(c + layer for c in list(copies)[:MAX_NAMED])])}" for layer in layers
    )
    return f"holds its weights more than once, also under {shown(copies)}; choose with layers: {{{choices}}}"


def _is_linear(name: str, shape: tuple, available: Mapping[str, tuple]) -> bool:
    """Whether a tensor is the weight (out, in) or bias (out,) of a linear layer."""
    layer, _, part = name.rpartition(".")
    weight = available.get(f"{layer}.weight", ())
    return len(weight) == 2 and (part == "weight" or (part == "bias" and shape == weight[:1]))


def _proposed(spare: Mapping[str, tuple], shapes: Mapping[str, tuple], missing: list[str]) -> dict[str, list[str]]:
    """Our missing layer -> their unmatched layers of its shape."""
    proposed = {}
    for layer in dict.fromkeys(name.partition(".")[0] for name in missing if name.endswith(".weight")):
        wanted = {part: shapes[f"{layer}.{part}"] for part in ("weight", "bias")}
        candidates = [name.removesuffix(".weight") for name in spare if name.endswith(".weight")]
        fitting = [c for c in candidates if all(spare.get(f"{c}.{part}") == shape for part, shape in wanted.items())]
        if fitting:
            proposed[layer] = fitting
    return proposed


def _advice(proposed: dict[str, list[str]], shapes: Mapping[str, tuple], missing: list[str]) -> str:
    """A suggestion for the user to check, because equal shapes need not be the same layer."""
    layers = [name.partition(".")[0] for name in missing if name.endswith(".weight")]
    if unmatched := [layer for layer in layers if layer not in proposed and layer != "fc1"]:
        return "None of these fits " + ", ".join(f"{layer} {shapes[f'{layer}.weight']}" for layer in unmatched)
    if not proposed:
        return "Every layer needs a weight and a bias"
    choices = (f"{layer}: {' or '.join(fitting[:MAX_NAMED])}" for layer, fitting in proposed.items())
    return f"According to the shapes, write layers: {{{', '.join(choices)}}}"
