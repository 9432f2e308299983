"""A user's configuration: defaults filled in, everything checked, before any job starts. Imports no torch."""

import copy
import difflib
import functools
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import yaml

from zoofuse.architectures import ARCHITECTURES

BEGIN, END = "<!-- settings: made from the schema by `make format` -->", "<!-- end of settings -->"
# Distilling on photographs, and with which remedies (`distil.training_images`); what lacks one is there for ablation.
REMEDIES = {
    "distil": ("fair", "recoloured"),
    "distil_plain": (),
    "distil_fair": ("fair",),
    "distil_recoloured": ("recoloured",),
    "distil_deep": ("fair", "recoloured"),  # one student of the deep architecture, to show what size alone would give
}
DISTILLED = (*REMEDIES, "distil_weights", "cyclegan_distil")  # methods that train the CNNs they make
# Methods whose CNNs are something new; all others are controls.
GENERATED = ("cyclegan", "cyclegan_biases", "cyclegan_chosen", "repair", *DISTILLED, "netspace")
CHOSEN = 4  # of so many translated CNNs cyclegan_chosen takes one
NEEDS_IMAGES = (*REMEDIES, "netspace")  # methods that existing zoos can't be given to
TRAINED = 64  # CNNs of a concept that does not say how many
# Architectures of two conv layers, which one translator can take together.
JOINT = tuple(name for name, of in ARCHITECTURES.items() if len(of.conv_layers) == 2)
LETTERS = "abcde"  # under which a fusion names its concepts
LARGEST = 10**18  # fits in 64 bits
SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"


class ConfigError(ValueError):
    """What is wrong with a configuration, one line for each fault, and what to write instead."""


def complete(config: dict) -> dict:
    """A copy of `config` with every default of the schema filled in; raises ConfigError naming all faults at once."""
    schema = _schema()
    if not isinstance(config, dict):
        raise ConfigError("The configuration can't be used: write keys at the top level, such as concepts and fusions.")
    try:
        config = copy.deepcopy(config)
        named = [name for name, fusion in _blocks(config, "fusions") if "methods" in fusion]
        config = _filled(config, schema, schema)
        faults = list(_odd(config, "")) or list(_faults(config, schema)) or list(_contradictions(config, named))
    except RecursionError:
        faults = ["nested too deeply, or a block that holds itself; write it without anchors."]
    if faults:
        raise ConfigError("The configuration can't be used:\n" + "\n".join(f"  {fault}" for fault in faults))
    for concept in config["concepts"].values():
        if "zoo" not in concept:
            concept["models"] = concept["models"] or TRAINED
    for name, fusion in config["fusions"].items():
        if name not in named:
            at = fusion["methods"].index("parent_b") + 1
            fusion["methods"][at:at] = [f"parent_{side}" for side in sides(fusion)[2:]]
        if name not in named and _existing(config, fusion):
            fusion["methods"] = [method for method in fusion["methods"] if method not in NEEDS_IMAGES]
    return config


def sides(fusion: dict) -> list[str]:
    """The letters under which a fusion names its concepts: a, b, and further ones where there are more than two."""
    return [side for side in LETTERS if side in fusion]


@functools.cache
def _schema() -> dict:
    return yaml.safe_load(SCHEMA.read_text())


def is_overlay(config: dict) -> bool:
    """True when `config` leaves out what its concepts look like, so that it only makes sense on top of the default."""
    concepts = config.get("concepts")
    if not isinstance(concepts, dict) or not concepts:
        return True
    return not any(
        isinstance(c, dict) and {"positive", "negative", "source", "zoo"} & set(c) for c in concepts.values()
    )


def _faults(config: dict, schema: dict) -> Iterator[str]:
    """What the schema says."""
    errors = jsonschema.Draft202012Validator(schema).iter_errors(config)
    for error in sorted(errors, key=lambda e: list(map(str, e.path))):
        yield _fault(error, schema)


def _odd(value, path: str) -> Iterator[str]:
    """Keys that are no text and numbers that count nothing: YAML can write them, a schema can't tell."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield f"{path or 'the top level'}: the key {key!r} is no text; write it in quotes."
            else:
                yield from _odd(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from _odd(item, path)
    elif isinstance(value, int | float) and not abs(value) < LARGEST:  # also "not a number"
        yield f"{path}: infinite, not a number, or too large; write a number of at most 18 digits."


def _blocks(config: dict, name: str) -> list[tuple[str, dict]]:
    """The blocks below `name` of a configuration that is not checked yet."""
    blocks = config.get(name)
    return [pair for pair in blocks.items() if isinstance(pair[1], dict)] if isinstance(blocks, dict) else []


def _existing(config: dict, fusion: dict) -> list[str]:
    """Those of a fusion's concepts that are existing zoos, and bring no images."""
    return [fusion[side] for side in sides(fusion) if "zoo" in config["concepts"].get(fusion[side], {})]


def _resolved(schema: dict, root: dict) -> dict:
    if "$ref" not in schema:
        return schema
    target = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return target | {key: value for key, value in schema.items() if key != "$ref"}


def _filled(value, schema: dict, root: dict):
    """`value` with the defaults of its schema, and with numbers written as text (YAML's 1e-3, --config) as numbers."""
    schema = _resolved(schema, root)
    if isinstance(value, str):
        kinds = [schema.get("type", [])] if isinstance(schema.get("type"), str) else schema.get("type", [])
        readers = {"integer": int, "number": float, "boolean": {"true": True, "false": False}.__getitem__}
        for kind in [] if "string" in kinds else kinds:
            try:
                return readers[kind](value.strip().lower())
            except (KeyError, ValueError):
                continue
    if isinstance(value, float) and value.is_integer() and "integer" in schema.get("type", []):
        return int(value)  # 1e3 counts as a whole number
    if not isinstance(value, dict):
        return value
    known = schema.get("properties", {})
    value = dict(value)  # YAML's anchors make one mapping of several
    for key, sub in known.items():
        sub = _resolved(sub, root)
        if key not in value and "default" in sub:
            value[key] = copy.deepcopy(sub["default"])
    other = schema.get("additionalProperties")
    return {
        key: _filled(item, known.get(key, other if isinstance(other, dict) else {}), root)
        for key, item in value.items()
    }


def _fault(error: jsonschema.ValidationError, root: dict) -> str:
    path = ".".join(map(str, error.absolute_path))
    where = path or "the top level"
    schema, value = error.schema, error.instance
    if error.validator == "additionalProperties":
        known = sorted(schema.get("properties", {}))
        unknown = sorted(set(value) - set(known))
        hints = []
        for key in unknown:
            close = difflib.get_close_matches(str(key), known, 1)
            hints.append(f"{path + '.' if path else ''}{key}: unknown key" + (f"; write {close[0]}" if close else ""))
        return "; ".join(hints) + f". Known here: {', '.join(known)}."
    if error.validator == "required":
        missing = [key for key in schema["required"] if key not in value]
        told = {
            "positive": "a list of folders under images_root that show all concepts at once",
            "negative": "a list of folders under images_root that do not",
            "concepts": "a mapping of names, each with positive and negative folders",
            "test": "positive and negative folders of test photographs",
            "a": "the concept of domain A",
            "b": "the concept of domain B",
        }
        return f"{where}: missing " + "; ".join(f"{key} ({told[key]})" if key in told else key for key in missing) + "."
    if error.validator == "pattern":
        return f"{value!r}: not a usable name; write letters, digits, '_' and '-' only, a letter or digit first."
    if error.validator == "enum":
        close = difflib.get_close_matches(str(value), map(str, error.validator_value), 1)
        hint = f"; did you mean {close[0]}?" if close else "."
        return f"{where}: {value!r} is unknown; write one of {', '.join(map(str, error.validator_value))}{hint}"
    default = f" (the default is {json.dumps(schema['default'])})" if "default" in schema else ""
    if error.validator == "type":
        kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        names = {"integer": "a whole number", "number": "a number", "array": "a list in [brackets]", "string": "text",
                 "object": "a mapping (indented keys)", "boolean": "true or false", "null": "null"}  # fmt: skip
        return f"{where}: {value!r} is of the wrong type; write {' or '.join(names[kind] for kind in kinds)}{default}."
    if error.validator in ("minItems", "minProperties"):
        return f"{where}: is empty; name at least one."
    if error.validator in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        sign = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
        bound = f"{sign.get(error.validator, 'less than')} {error.validator_value}"
        return f"{where}: {value!r} is out of range; write {bound}{default}."
    return f"{where}: {error.message}{default}."


def _contradictions(config: dict, named: list[str]) -> Iterator[str]:
    """What a schema can't say: names that must exist elsewhere, words that must be known.

    named: the fusions whose methods the user wrote.
    """
    concepts = config["concepts"]
    for name, concept in concepts.items():
        images = [key for key in ("positive", "negative") if key in concept]
        if "zoo" in concept and images:
            yield f"concepts.{name}: has both a zoo and {' and '.join(images)}; write the one or the other."
        if "zoo" not in concept and len(images) < 2:
            missing = " and ".join(key for key in ("positive", "negative") if key not in images)
            yield (
                f"concepts.{name}: missing {missing}; write lists of folders under images_root that show the concept "
                "(positive) and that do not (negative; a CNN needs both classes), or name an existing zoo."
            )
        if "layers" in concept and "zoo" not in concept:
            yield f"concepts.{name}.layers: is for an existing zoo only; leave it out."
    for name, fusion in config["fusions"].items():
        letters = sides(fusion)
        if letters != list(LETTERS[: len(letters)]):
            gap = next(side for side in LETTERS if side not in letters)
            yield f"fusions.{name}: names {letters[-1]} but not {gap}; use the letters in order."
        for side in letters:
            if fusion[side] not in concepts:
                close = difflib.get_close_matches(fusion[side], concepts, 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                yield (
                    f"fusions.{name}.{side}: there is no concept {fusion[side]!r}{hint} "
                    f"Write one of {', '.join(concepts)}, or add it under concepts."
                )
        for one, other in itertools.combinations(letters, 2):
            if fusion[one] == fusion[other]:
                yield f"fusions.{name}: {one} and {other} are both {fusion[one]!r}; name two different concepts."
        for method in fusion["methods"]:
            if method.startswith("parent_") and method[-1] not in letters:
                yield f"fusions.{name}.methods: {method}, but the fusion names no concept {method[-1]}; leave it out."
        if "netspace" in fusion["methods"] and len(letters) > 2:
            yield f"fusions.{name}.methods: netspace joins two concepts, not {len(letters)}; leave it out."
        for method in NEEDS_IMAGES:
            if method in fusion["methods"] and name in named and (existing := _existing(config, fusion)):
                yield (
                    f"fusions.{name}.methods: {method} learns on the concepts' own images, and {existing[0]} is an "
                    "existing zoo; leave it out, or take distil_weights."
                )
        for side in letters:
            models = concepts.get(fusion[side], {}).get("models")
            if "cyclegan" in fusion["methods"] and "generators" not in fusion and models is not None and models < 4:
                yield f"concepts.{fusion[side]}.models: {models} CNNs are too few to train a CycleGAN; write 4 or more."
        if fusion["joint"] and "generators" in fusion:
            yield f"fusions.{name}: joint is for CycleGANs trained here, and generators are named; leave out one."
        if fusion["joint"] and config["zoo"]["architecture"] not in JOINT:
            yield (
                f"fusions.{name}.joint: layers of a {config['zoo']['architecture']} CNN make no one volume; leave it "
                f"out, or write zoo.architecture: {' or '.join(JOINT)}."
            )
    places = {f"concepts.{name}": concept for name, concept in concepts.items() if "zoo" not in concept}
    places |= {f"fusions.{name}.test": fusion["test"] for name, fusion in config["fusions"].items()}
    for where, place in places.items():
        if place["source"] == "torchvision" and "dataset" not in place:
            yield f"{where}: source torchvision needs dataset; write dataset: cifar10 or dataset: oxford_iiit_pet."
        elif place["source"] != "torchvision" and "dataset" in place:
            yield f"{where}: dataset is for source torchvision only; write source: torchvision, or leave dataset out."
        elif place["source"] != "folder" and {"positive", "negative"} <= set(place):
            yield from _bad_words(where, place)


def _bad_words(where: str, place: dict) -> Iterator[str]:
    from zoofuse import selectors

    if place["source"] == "drawn":
        from zoofuse.drawn import VOCABULARY as vocabulary
    else:
        from zoofuse import archives  # imports torchvision

        vocabulary = archives.VOCABULARY[place["dataset"]]
    for side in ("positive", "negative"):
        for text in place[side]:
            try:
                selectors.parse(text, vocabulary)
            except ValueError as error:
                yield f"{where}.{side}: {error}"


def settings_table() -> str:
    """Every setting of the schema as a Markdown table, for config/README.md."""
    schema = _schema()
    rows = ["| setting | default | allowed | what it is |", "|---|---|---|---|"]
    for path, setting, needed in _settings(schema, schema, ""):
        missing = "(needed)" if needed else "(none)"
        default = json.dumps(setting["default"], ensure_ascii=False) if "default" in setting else missing
        rows.append(f"| `{path}` | {default} | {_allowed(setting)} | {setting.get('description', '')} |")
    return "\n".join(rows) + "\n"


def _settings(schema: dict, root: dict, prefix: str) -> Iterator[tuple[str, dict, bool]]:
    """(dotted path, resolved schema, needed) of every setting that is no mapping."""
    for name, sub in schema.get("properties", {}).items():
        sub = _resolved(sub, root)
        if isinstance(sub.get("additionalProperties"), dict):
            yield from _settings(_resolved(sub["additionalProperties"], root), root, f"{prefix}{name}.<name>.")
        elif sub.get("type") == "object":
            yield from _settings(sub, root, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", sub, name in schema.get("required", [])


def _allowed(setting: dict) -> str:
    if "enum" in setting:
        return ", ".join(setting["enum"])
    if setting.get("type") == "array":
        items = setting["items"]
        return f"list of {', '.join(items['enum'])}" if "enum" in items else "list of text"
    kinds = setting["type"] if isinstance(setting["type"], list) else [setting["type"]]
    bounds = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
    told = [f"{words} {setting[key]}" for key, words in bounds.items() if key in setting]
    return ", ".join([" or ".join(kinds), *told])


def main() -> None:
    """Write the table of settings anew into the file named on the command line, between its two markers."""
    path = Path(sys.argv[1])
    before, _, rest = path.read_text().partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{settings_table()}{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
