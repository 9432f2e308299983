"""Settings and values under names that they had in earlier versions, and what to write now."""

from collections.abc import Iterator

from zoofuse.config.files import dotted
from zoofuse.core.text import printable
from zoofuse.methods.registry import LETTERS

# Settings that have another name now, and values of them: (path, * for any name) -> name, or value -> value.
RENAMED = {
    ("drawn",): "synthetic",
    ("evaluation", "controls"): "baselines",
    ("evaluation", "few_shot", "photographs"): "images",
    ("concepts", "*", "source"): {"drawn": "synthetic"},
    ("fusions", "*", "test", "source"): {"drawn": "synthetic"},
    ("netspace", "encoder"): {"answers": "predictions"},
    ("zoo", "backend"): {"fused": "cpp", "stacked": "batched"},
}
# Methods that are variants now.
VARIANTS = {
    "cyclegan_biases": "{method: cyclegan, biases: parents}",
    "cyclegan_chosen": "{method: cyclegan, parents: best}",
    "distil_plain": "{method: distil, remedies: []}",
    "distil_fair": "{method: distil, remedies: [filtered_negatives]}",
    "distil_recoloured": "{method: distil, remedies: [colour_transfer]}",
    "distil_deep": "{method: distil, student: deep, models: 1}",
    "distil_palettes": "{method: distil_weights, choice: first, palettes: 6}",
}


def renamed(config: dict) -> Iterator[tuple[tuple, str]]:
    """Settings and values under names that they no longer have, with their paths."""
    for pattern, now in RENAMED.items():
        for path, value in _at(config, pattern):
            if isinstance(now, str):
                yield path, f"{dotted(path)}: is now called {now}; write {dotted((*path[:-1], now))}."
            elif isinstance(value, str) and value in now:
                yield path, f"{dotted(path)}: {value} is now called {now[value]}; write {now[value]}."
    variants = dict(blocks(config, "variants"))
    for name, fusion in blocks(config, "fusions"):
        methods = fusion.get("methods")
        for index, method in enumerate(methods if isinstance(methods, list) else ()):
            if isinstance(method, str) and method in VARIANTS and method not in variants:
                fault = f"fusions.{name}.methods: {method} is a variant now; write it at the top level, as"
                yield ("fusions", name, "methods", index), f"{fault} variants: {{{method}: {VARIANTS[method]}}}."
        if old := {letter: fusion[letter] for letter in LETTERS if isinstance(fusion.get(letter), str)}:
            named = fusion.get("concepts")
            listed = dict(zip(LETTERS, named, strict=False)) if isinstance(named, list) else {}
            names = ", ".join(printable(str(concept)) for _, concept in sorted((listed | old).items()))
            first, *others = old
            fault = f"fusions.{name}.{first}: name the concepts in one list: concepts: [{names}]"
            yield ("fusions", name, first), fault
            yield from ((("fusions", name, letter), fault) for letter in others)


def _at(value, pattern: tuple, path: tuple = ()) -> Iterator[tuple[tuple, object]]:
    """(path, value) of everything in a configuration at a path in which * stands for any name."""
    if not pattern:
        yield path, value
    elif isinstance(value, dict):
        for key in list(value) if pattern[0] == "*" else [pattern[0]] if pattern[0] in value else []:
            yield from _at(value[key], pattern[1:], (*path, key))


def blocks(config: dict, name: str) -> list[tuple[str, dict]]:
    """The blocks below `name` of a configuration that is not checked yet."""
    blocks = config.get(name)
    return [pair for pair in blocks.items() if isinstance(pair[1], dict)] if isinstance(blocks, dict) else []
