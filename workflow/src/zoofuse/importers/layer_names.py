"""Foreign tensors by our names: wrappers' prefixes taken off, shapes compared, and what to write where names differ."""

import os
import re
from collections.abc import Iterable, Mapping

NAMED = 10  # names in a message
# Parts of a name that wrappers put anywhere in it: torch.compile, FSDP, activation checkpointing, DeepSpeed, FairScale.
_WRAPPERS = "_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module|_fpw_module"


class Misfit(Exception):
    """What is wrong with one CNN."""


def shown(names: Iterable[str]) -> str:
    """The first of some names, for a message."""
    names = list(names)
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def matched(found: Mapping[str, tuple], shapes: Mapping[str, tuple], names: Mapping[str, str]) -> dict[str, str]:
    """Find our tensors among foreign ones.

    What all names begin with, module. of DataParallel or model. of Lightning, is taken off as often as it comes where
    the wanted names are then there.

    Args:
        found: Their names -> shapes.
        shapes: Our names -> shapes.
        names: Our layer -> theirs, where they differ.

    Returns:
        Our name -> theirs, without the linear layer where theirs is another.

    Raises:
        Misfit: What does not fit, and what to write under `layers` where the shapes tell.
    """
    theirs = {ours: f"{names.get(layer, layer)}.{part}" for ours in shapes for layer, part in [ours.split(".")]}
    levels = list(_unwrapped(found))
    # The first with the most of the wanted names: names as they are go before shorter ones.
    level = max(levels, key=lambda level: len(level.keys() & set(theirs.values())))
    fits = _matched({name: found[full] for name, full in level.items()}, shapes, names, theirs)
    return {ours: level[name] for ours, name in fits.items()}


def _unwrapped(found: Iterable[str]) -> Iterable[dict[str, str]]:
    """Shorter name -> name, first as they are, then with one more common prefix taken off each time."""
    level = {name: name for name in found}
    if "n_averaged" in level and all(name.startswith("module.") for name in level if name != "n_averaged"):
        del level["n_averaged"]  # a counter, beside which AveragedModel keeps everything under module.
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


def _matched(found: Mapping[str, tuple], shapes, names: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    spare = {name: shape for name, shape in found.items() if name not in theirs.values()}
    missing = [ours for ours, name in theirs.items() if name not in found]
    proposed = _proposed(spare, shapes, missing)
    is_head = "fc1" not in names and "fc1" not in proposed  # only then may a linear layer be missing or another
    needed = [ours for ours in shapes if not (is_head and ours.startswith("fc1."))]
    if lacking := [theirs[ours] for ours in missing if ours in needed]:
        held = shown(f"{name} {shape}" for name, shape in found.items()) or "nothing"
        raise Misfit(f"has no {', '.join(lacking)}; it holds {held}. {_advice(proposed, shapes, missing)}")
    if wrong := [ours for ours in needed if found[theirs[ours]] != shapes[ours]]:
        raise Misfit("; ".join(f"{theirs[ours]} is {found[theirs[ours]]}, not {shapes[ours]}" for ours in wrong))
    if copies := _copies(spare, found, theirs):
        if not names:
            raise Misfit(_which(copies, theirs, found))
        copied = {name for copy in copies.values() for name in copy}
        spare = {name: shape for name, shape in spare.items() if name not in copied}
    if further := [f"{name} {shape}" for name, shape in spare.items() if not _is_linear(name, shape, found)]:
        raise Misfit(f"is of another architecture: it also holds {shown(further)}")
    fits = all(found.get(theirs[ours]) == shape for ours, shape in shapes.items())
    return dict(theirs) if fits and not spare else {o: name for o, name in theirs.items() if o[:2] != "fc"}


def _copies(spare: Mapping[str, tuple], found: Mapping[str, tuple], theirs: Mapping[str, str]) -> dict[str, list[str]]:
    """Prefix -> names of whole copies, such as averaged weights, of the tensors that are matched."""
    wanted = [name for name in theirs.values() if name in found]
    base = re.sub(r"[^./]+$", "", os.path.commonprefix(wanted))  # noqa: RUF071
    tails = {name.removeprefix(base): found[name] for name in wanted}
    first = next(iter(tails))
    copies = {}
    for prefix in sorted({name.removesuffix(first) for name in spare if name.endswith(first)}):
        names = [prefix + tail for tail in tails]
        is_whole = not prefix or (prefix[-1] in "./" and len(names) == sum(name.startswith(prefix) for name in found))
        if is_whole and all(spare.get(prefix + tail) == shape for tail, shape in tails.items()):
            copies[prefix] = names
    return copies


def _which(copies: Iterable[str], theirs: Mapping[str, str], found: Mapping[str, tuple]) -> str:
    layers = dict.fromkeys(name.rpartition(".")[0] for name in theirs.values() if name in found)
    choices = ", ".join(
        f"{layer}: {' or '.join([layer, *(c + layer for c in list(copies)[:NAMED])])}" for layer in layers
    )
    return f"holds its weights more than once, also under {shown(copies)}; write which: layers: {{{choices}}}"


def _is_linear(name: str, shape: tuple, found: Mapping[str, tuple]) -> bool:
    """Weight (out, in), or the bias (out,) of one."""
    layer, _, part = name.rpartition(".")
    weight = found.get(f"{layer}.weight", ())
    return len(weight) == 2 and (part == "weight" or (part == "bias" and shape == weight[:1]))


def _proposed(spare: Mapping[str, tuple], shapes: Mapping[str, tuple], missing: list[str]) -> dict[str, list[str]]:
    """Our missing layer -> their spare layers whose shapes fit."""
    proposed = {}
    for layer in dict.fromkeys(name.partition(".")[0] for name in missing if name.endswith(".weight")):
        wanted = {part: shapes[f"{layer}.{part}"] for part in ("weight", "bias")}
        candidates = [name.removesuffix(".weight") for name in spare if name.endswith(".weight")]
        fitting = [c for c in candidates if all(spare.get(f"{c}.{part}") == shape for part, shape in wanted.items())]
        if fitting:
            proposed[layer] = fitting
    return proposed


def _advice(proposed: dict[str, list[str]], shapes: Mapping[str, tuple], missing: list[str]) -> str:
    """What to write, for the user to judge: equal shapes need not be the same layer."""
    layers = [name.partition(".")[0] for name in missing if name.endswith(".weight")]
    if not_there := [layer for layer in layers if layer not in proposed and layer != "fc1"]:
        return "None of these fits " + ", ".join(f"{layer} {shapes[f'{layer}.weight']}" for layer in not_there)
    if not proposed:
        return "Every layer needs a weight and a bias"
    choices = (f"{layer}: {' or '.join(fitting[:NAMED])}" for layer, fitting in proposed.items())
    return f"By their shapes, write layers: {{{', '.join(choices)}}}"
