"""The architectures of a fusion's zoos, which need not be the same, and what then does not apply. Imports no torch."""

from collections.abc import Iterator, Mapping

from zoofuse.methods import registry
from zoofuse.models.architectures import ARCHITECTURES
from zoofuse.settings import JOINT


def of_fusion(config: Mapping, fusion: Mapping) -> dict[str, str]:
    """Concept -> the architecture of its zoo's CNNs.

    Args:
        config: with its defaults.
        fusion: one of its fusions.
    """
    concepts, shared = config["concepts"], config["zoo"]["architecture"]
    return {name: concepts.get(name, {}).get("architecture") or shared for name in fusion["concepts"]}


def of_students(config: Mapping, fusion: Mapping) -> str:
    """The architecture of CNNs that are trained or drawn for a fusion and whose settings name none.

    Returns:
        That of all its zoos; where they have several, zoo.architecture.
    """
    kinds = set(of_fusion(config, fusion).values())
    return kinds.pop() if len(kinds) == 1 else config["zoo"]["architecture"]


def layers(config: Mapping, fusion: Mapping) -> list[str]:
    """The layers that all zoos of a fusion have alike: those with banks. None of different zoos."""
    kinds = set(of_fusion(config, fusion).values())
    return list(ARCHITECTURES[kinds.pop()].kernels) if len(kinds) == 1 else []


def not_applicable(config: Mapping, fusion: Mapping) -> dict[str, str]:
    """Method -> why it can't be had from a fusion's zoos, of those that can't, in the order of registration."""
    kinds, student, variants = of_fusion(config, fusion).values(), of_students(config, fusion), config["variants"]
    reasons = {name: registry.not_applicable(name, kinds, student, variants) for name in registry.methods(variants)}
    return {name: reason for name, reason in reasons.items() if reason}


def message(config: Mapping, name: str) -> str:
    """What does not apply to a fusion, in one line; "" where everything does."""
    fusion = config["fusions"][name]
    reasons = not_applicable(config, fusion)
    kinds = ", ".join(f"{concept}: {kind}" for concept, kind in of_fusion(config, fusion).items())
    return "; ".join(
        f"fusions.{name}: {', '.join(method for method in reasons if reasons[method] == reason)}: not applicable: "
        f"{reason} ({kinds})"
        for reason in dict.fromkeys(reasons.values())
    )


def faults(config: Mapping, name: str) -> Iterator[str]:
    """What is wrong with a fusion because of its zoos' architectures, a line each.

    Args:
        config: with its defaults, and without what a schema refuses.
        name: of the fusion.
    """
    fusion = config["fusions"][name]
    kinds, reasons = of_fusion(config, fusion), not_applicable(config, fusion)
    if len(set(kinds.values())) > 1:
        why = f"the zoos have different architectures ({', '.join(f'{of}: {kind}' for of, kind in kinds.items())})"
    else:
        why = ""
    kind = of_students(config, fusion)
    needs = {
        "align": (ARCHITECTURES[kind].aligns, f"shortcuts tie the channels of the layers of {kind} to each other"),
        "generators": (ARCHITECTURES[kind].conv_layers, f"the layers of {kind} are not a chain of convolutions"),
    }
    for setting, (possible, reason) in needs.items():
        if fusion.get(setting) and (why or not possible):
            yield f"fusions.{name}.{setting}: not applicable: {why or reason}; leave it out."
    if fusion["joint"] and (why or kind not in JOINT):
        yield (
            f"fusions.{name}.joint: layers of a {kind} CNN make no one volume; leave it "
            f"out, or write zoo.architecture: {' or '.join(JOINT)}."
        )
    if fusion["methods"] and set(fusion["methods"]) <= set(reasons):
        yield f"fusions.{name}.methods: not applicable: {reasons[fusion['methods'][0]]}; name another, such as distil."


def grid_faults(config: Mapping, name: str) -> Iterator[str]:
    """What is wrong with a grid because of its zoos' architecture, a line each; arguments as of `faults`."""
    kind = config["zoo"]["architecture"]
    for method in config["grid"][name]["methods"]:
        if reason := registry.not_applicable(method, [kind], kind, config["variants"]):
            yield f"grid.{name}.methods: {method}: not applicable: {reason}; leave it out, or write zoo.architecture."
