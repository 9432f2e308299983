"""Fusions across architectures: what is wrong with them beside what a schema can say. Imports no torch."""

from collections.abc import Iterator


def faults(config: dict) -> Iterator[str]:
    """One line for each fault, with what to write instead.

    Args:
        config: with its defaults, and without what a schema refuses.
    """
    for name in config["across"]:
        fusion = config["fusions"].get(name)
        if fusion is None:
            known = ", ".join(config["fusions"]) or "none"
            yield f"across.{name}: there is no fusion of this name; write one of {known}, or add it under fusions."
            continue
        if len(fusion["concepts"]) != 2:
            yield f"across.{name}: a fusion of two concepts is needed, not of {len(fusion['concepts'])}; name another."
        for concept in fusion["concepts"]:
            if "zoo" in config["concepts"].get(concept, {}):
                yield f"across.{name}: {concept} is an existing zoo and brings no images to train on; name another."
