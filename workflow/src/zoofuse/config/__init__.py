"""A user's configuration: defaults filled in, everything checked, before any job starts. Imports no torch."""

import copy
import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import jsonschema

from zoofuse import settings
from zoofuse.config import across, architectures, board, factories, tasks, wanted
from zoofuse.config.files import Written, dotted, quoted, read_as, set_nulls, shown, size_fault, unusable
from zoofuse.config.old_keys import blocks, renamed
from zoofuse.core.text import printable, visible
from zoofuse.data import grid
from zoofuse.methods import registry
from zoofuse.methods.registry import LETTERS

TRAINED = 64  # CNNs of a concept that does not say how many
LARGEST = 10**18  # fits in 64 bits
# What Snakemake replaces in the names of files that a job needs, and has no way to leave alone: {word} and <word>.
_REPLACED = re.compile(r"\{\s*[.\w]+(\s*,\s*([^{}]+|\{\d+(,\d+)?\})*)?\s*\}|<[a-z][a-z0-9_]*>")
ROOTS = ("images_root", "zoo_root", "predict")  # settings that name a folder of this machine


class ConfigError(ValueError):
    """What is wrong with a configuration, one line for each fault, and what to write instead."""


def complete(config: dict, written: Written | None = None) -> dict:
    """A configuration with every default of the schema filled in.

    Args:
        config: what the user wrote; it stays as it is.
        written: what `config.files.read` says of the files it comes from, for the messages.

    Returns:
        A copy in which every setting has a value, ~ in the folders' names is the home directory, and each fusion names
        its methods.

    Raises:
        ConfigError: names all faults at once, each with what to write instead.
    """
    written = written or Written([], {}, {})
    if not isinstance(config, dict):
        raise ConfigError("The configuration can't be used: write keys at the top level, such as concepts and fusions.")
    if fault := size_fault(config):  # before anything else walks it
        raise ConfigError(f"The configuration can't be used:\n  {fault}")
    config = copy.deepcopy(config)
    set_nulls(config, written)
    config, of_expressions = _without_expressions(config)
    schema = full_schema({name: variant.get("method") for name, variant in blocks(config, "variants")})
    named = [name for name, fusion in blocks(config, "fusions") if "methods" in fusion]
    config = _filled(config, schema)
    odd = dict(renamed(config)) | dict(_odd(config, (), written))
    config = _without(config, odd)
    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.path)))
    # What holds an odd key or value may seem to lack it.
    lacking = ("required", "minItems", "minProperties", "contains")
    errors = [e for e in errors if e.validator not in lacking or tuple(e.path) not in {path[:-1] for path in odd}]
    refused = {tuple(error.absolute_path) for error in errors}
    misread = {path: fault for path, fault in _misread(config, (), written) if path not in refused}
    faults = [
        *written.faults,
        *of_expressions,
        *odd.values(),
        *misread.values(),
        *(_fault(error, written) for error in errors),
    ]
    unknown = [(*e.absolute_path, key) for e in errors if e.validator == "additionalProperties" for key in _unknown(e)]
    wrong = [*odd, *unknown, *(tuple(e.absolute_path) for e in errors if e.validator != "additionalProperties")]
    if "concepts" in config and all(path and path[0] not in ("concepts", "fusions", "variants") for path in wrong):
        config = _filled(_without(config, [path[:1] for path in wrong]), schema)
        faults += [
            *_contradictions(config, named),
            *factories.faults(config),
            *tasks.faults(config),
            *across.faults(config),
            *board.faults(config),
        ]
    if faults:
        listed = "\n".join(f"  {fault}" for fault in dict.fromkeys(faults))
        raise ConfigError(visible(f"The configuration can't be used:\n{listed}"))
    for root in ROOTS:
        if root in config:
            config[root] = os.path.expanduser(config[root])
    config["replicates"] = [os.path.expanduser(folder) for folder in config["replicates"]]
    config["factory"] = {name: factories.completed(factory) for name, factory in config["factory"].items()}
    for concept in config["concepts"].values():
        if "zoo" not in concept:
            concept["models"] = concept["models"] or TRAINED
    for name, fusion in config["fusions"].items():
        if name not in named:
            at = fusion["methods"].index("parent_b") + 1
            fusion["methods"][at:at] = [f"parent_{side}" for side in list(sides(fusion))[2:]]
        if name not in named and _existing(config, fusion):
            known = registry.methods()
            fusion["methods"] = [method for method in fusion["methods"] if not known[method].needs_images]
        reasons = architectures.not_applicable(config, fusion)
        fusion["methods"] = [method for method in fusion["methods"] if method not in reasons]
    return config


def _without_expressions(config: dict) -> tuple[dict, list[str]]:
    """The configuration with concepts and fusions instead of expressions, and what is wrong with these."""
    if "want" not in config and not any("expression" in fusion for _, fusion in blocks(config, "fusions")):
        return config, []
    return wanted.expanded(config)


def sides(fusion: dict) -> dict[str, str]:
    """Letter -> concept of a fusion: a, b and so on, by position; files, heads and tables name concepts by letter."""
    return dict(zip(LETTERS, fusion["concepts"], strict=False))


def full_schema(variants: Mapping[str, str] = MappingProxyType({})) -> dict:
    """The schema of `settings`, with the registry's methods, their options, and variants.

    Args:
        variants: name -> method, as somebody wrote it.
    """
    schema, registered = copy.deepcopy(settings.schema()), registry.methods({})
    top = schema["properties"]
    for name, entry in registered.items():
        if entry.options and name not in top:
            top[name] = settings.schema(entry.options) | {"default": {}}
    methods = top["fusions"]["additionalProperties"]["properties"]["methods"]
    in_grids_only = [name for name, entry in registered.items() if "others" in entry.needs]
    in_fusions = [name for name in registered if name not in in_grids_only]
    of_variants = [name for name, method in variants.items() if method not in in_grids_only]
    methods["items"] = {"enum": [*in_fusions, *of_variants]}
    methods["default"] = [name for name, entry in registered.items() if entry.default]
    every = top["variants"]["additionalProperties"]
    every["properties"]["method"] = {"enum": [name for name, entry in registered.items() if entry.options]} | {
        "description": every["properties"]["method"]["description"]
    }
    top["variants"]["properties"] = {}
    for name, method in variants.items():
        options = registered[method].options if isinstance(method, str) and method in registered else None
        own = settings.schema(options)["properties"] if options else {}
        own = {key: {k: v for k, v in each.items() if k != "default"} for key, each in own.items()}
        top["variants"]["properties"][name] = every | {"properties": every["properties"] | own}
        if not options:  # which of its keys are options nobody can tell
            top["variants"]["properties"][name]["additionalProperties"] = True
    of_grid = top["grid"]["additionalProperties"]["properties"]["methods"]
    allowed = [name for name in registry.known({}) if registry.in_one_job(name, {})]
    of_grid["items"] = {"enum": allowed + [name for name, method in variants.items() if method in allowed]}
    return schema


def is_overlay(config: dict) -> bool:
    """True when `config` leaves out what its concepts look like, so that it only makes sense on top of the default."""
    concepts = config.get("concepts")
    if not isinstance(concepts, dict) or not concepts:
        return True
    return not any(
        isinstance(c, dict) and {"positive", "negative", "source", "zoo"} & set(c) for c in concepts.values()
    )


def _unknown(error: jsonschema.ValidationError) -> list[str]:
    """The keys that a mapping may not have."""
    return sorted(set(error.instance) - set(error.schema.get("properties", {})))


def _without(config: dict, paths: Iterable[tuple]) -> dict:
    """A copy that lacks what lies at some paths, so that the rest can be looked at as well."""
    config = copy.deepcopy(config)
    for path in sorted(paths, key=lambda path: [str(part).zfill(9) for part in path], reverse=True):
        place = config
        try:
            for key in path[:-1]:
                place = place[key]
            del place[path[-1]]
        except (KeyError, IndexError):  # gone with what holds it
            continue
    return config


def _odd(value, path: tuple, written: Written) -> Iterator[tuple[tuple, str]]:
    """What YAML and JSON can write and a schema can't tell, with its path: keys that are not text, numbers that count
    nothing, text that no file's name can hold."""
    where = dotted(path)
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                if fault := unusable(key):
                    yield (*path, key), f"{where}: the key {shown(key)} {fault}."
                    continue
                yield from _odd(item, (*path, key), written)
            elif scalar := written.key((*path, key)):
                fault = f"the key {printable(scalar.text)} is no text; write it in quotes: {quoted(scalar.text)}"
                yield (*path, key), f"{where}: {fault}. YAML reads {read_as(scalar)}."
            else:
                yield (*path, key), f"{where}: the key {shown(key)} is no text; write it in quotes."
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _odd(item, (*path, index), written)
    elif isinstance(value, str):
        if fault := unusable(value):
            yield path, f"{where}: {shown(value)} {fault}."
    elif isinstance(value, int | float) and not abs(value) < LARGEST:  # also "not a number"
        yield path, f"{where}: infinite, not a number, or too large; write a number of at most 18 digits."


def _misread(value, path: tuple, written: Written) -> Iterator[tuple[tuple, str]]:
    """Numbers, with their paths, that YAML reads to the base 8 or 60."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _misread(item, (*path, key), written)
    scalar = written.value(path, value) if isinstance(value, int | float) else None
    if scalar and re.fullmatch(r"[-+]?0[0-7_]+|[-+]?[0-9_]+(:[0-9_]+)+(\.[0-9_]*)?", scalar.text):
        decimal = re.sub(r"^([-+]?)0+(?=\d)", r"\1", scalar.text)
        meant = f" or {decimal}" if re.fullmatch(r"[-+]?\d+", decimal) else ""
        yield path, f"{dotted(path)}: YAML reads {read_as(scalar)}; write {value}{meant}."


def _existing(config: dict, fusion: dict) -> list[str]:
    """Those of a fusion's concepts that are existing zoos, and bring no images."""
    return [concept for concept in fusion["concepts"] if "zoo" in config["concepts"].get(concept, {})]


def _filled(value, schema: dict):
    """`value` with the defaults of its schema, and with numbers written as text (YAML's 1e-3, --config) as numbers."""
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
        if key not in value and "default" in sub:
            value[key] = copy.deepcopy(sub["default"])
    other = schema.get("additionalProperties")
    other = other if isinstance(other, dict) else {}
    return {key: _filled(item, known.get(key, other)) for key, item in value.items()}


def _fault(error: jsonschema.ValidationError, written: Written) -> str:
    path = tuple(error.absolute_path)
    where = dotted(path)
    schema, value = error.schema, error.instance
    scalar = written.value(path, value)
    if error.validator == "additionalProperties":
        known = sorted(schema.get("properties", {}))
        unknown = _unknown(error)
        hints = []
        for key in unknown[:20]:
            close = difflib.get_close_matches(key[:100], known, 1)
            hints.append(f"{dotted((*path, key))}: unknown key" + (f"; write {close[0]}" if close else ""))
        if len(unknown) > 20:
            hints.append(f"and {len(unknown) - 20} more")
        return "; ".join(hints) + f". Known here: {', '.join(known)}."
    if error.validator == "required":
        missing = [key for key in schema["required"] if key not in value]
        hints = {
            "concepts": "a list of two to five concepts"
            if path
            else "a mapping of names, each with positive and negative folders",
            "positive": "a list of folders under images_root that show all concepts at once",
            "negative": "a list of folders under images_root that do not",
            "test": "positive and negative folders of test images",
        }
        return (
            f"{where}: missing " + "; ".join(f"{key} ({hints[key]})" if key in hints else key for key in missing) + "."
        )
    if error.validator == "pattern":
        return (
            f"{where}: {shown(value)}: not a usable name; write letters (without accents), digits, '_' and '-' only, "
            "a letter or digit first."
        )
    if error.validator == "maxLength":
        return f"{where}: {shown(value)}: {len(value):,} characters; write at most {error.validator_value}."
    if error.validator == "minLength":
        return f"{where}: is empty text; write a name, or leave it out."
    if error.validator == "uniqueItems":
        again = next(item for index, item in enumerate(value) if item in value[:index])
        return f"{where}: names {shown(again)} twice; write it once."
    if error.validator == "contains":
        return f"{where}: lacks umap, which the clusterers work on; write [umap] or [umap, tsne]."
    if error.validator == "enum":
        word = scalar.text if scalar else str(value)[:100]
        choices = ["null" if choice is None else choice for choice in error.validator_value]
        close = difflib.get_close_matches(word, choices, 1)
        hint = f"; did you mean {close[0]}?" if close else "."
        read = f" (YAML reads {read_as(scalar)})" if scalar and not isinstance(value, str) else ""
        text = shown(word if scalar else value)
        return f"{where}: {text} is unknown{read}; write one of {', '.join(choices)}{hint}"
    default = f" (the default is {json.dumps(schema['default'])})" if "default" in schema else ""
    if error.validator == "type":
        kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        names = {"integer": "a whole number", "number": "a number", "array": "a list in [brackets]", "string": "text",
                 "object": "a mapping (indented keys)", "boolean": "true or false", "null": "null"}  # fmt: skip
        if kinds == ["string"] and scalar and not scalar.text:
            return f"{where}: nothing is written ({scalar.where}); write text, or take the line out."
        if "string" in kinds and scalar:
            return f"{where}: YAML reads {read_as(scalar)}; write it in quotes: {quoted(scalar.text)}."
        if kinds == ["string"] and isinstance(value, dict | list):
            return f"{where}: {shown(value)} is of the wrong type; write text, in quotes if it begins with {{ or [."
        if "string" in kinds and not isinstance(value, dict | list):
            quotes = ", in quotes (YAML reads yes, no, on, off, null, dates and numbers as something else)"
            return f"{where}: {shown(value)} is of the wrong type; write text{quotes}."
        text = f"{printable(scalar.text)!r}" if scalar and isinstance(value, bool) else shown(value)
        return f"{where}: {text} is of the wrong type; write {' or '.join(names[kind] for kind in kinds)}{default}."
    if error.validator in ("minItems", "minProperties") and error.validator_value == 1:
        return f"{where}: is empty; name at least one."
    if error.validator in ("minItems", "maxItems"):
        bound = "at least" if error.validator == "minItems" else "at most"
        return f"{where}: names {len(value)}; name {bound} {error.validator_value}."
    if error.validator in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        sign = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
        bound = f"{sign.get(error.validator, 'less than')} {error.validator_value}"
        return f"{where}: {shown(value)} is out of range; write {bound}{default}."
    return f"{where}: {error.message[:300]}{default}."


def _contradictions(config: dict, named: list[str]) -> Iterator[str]:
    """What a schema can't say: names that must exist elsewhere, words that must be known.

    named: the fusions whose methods the user wrote.
    """
    concepts = config["concepts"]
    methods = registry.known(config["variants"])
    for name in config["variants"]:
        if name.lower() in registry.known({}):
            yield f"variants.{name}: is the name of a method or baseline; write another one."
    for kind in ("concepts", "fusions", "variants", "factory", "tasks"):
        names: dict[str, str] = {}
        for name in config[kind]:
            if (other := names.setdefault(name.lower(), name)) != name:
                yield (
                    f"{kind}: {other} and {name} differ in capitals only, and their files would be one where a disk "
                    "tells no capitals (macOS, Windows, many network disks); write other names."
                )
    yield from _bad_paths(config)
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
        if concept["architecture"] and "zoo" in concept:
            yield f"concepts.{name}.architecture: is for CNNs trained here; leave it out, or write zoo.architecture."
        for key in ("layers", "concept_output"):
            if key in concept and "zoo" not in concept:
                yield f"concepts.{name}.{key}: is for an existing zoo only; leave it out."
    for name, grid_settings in config["grid"].items():
        try:
            grid.from_settings(name, grid_settings, config["seed"])
        except ValueError as error:
            yield str(error)
        yield from architectures.grid_faults(config, name)
    for name, fusion in config["fusions"].items():
        letters = sides(fusion)
        for concept in fusion["concepts"]:
            if concept not in concepts:
                close = difflib.get_close_matches(concept, concepts, 1)
                hint = f"; did you mean {close[0]}?" if close else "."
                yield (
                    f"fusions.{name}.concepts: there is no concept {concept!r}{hint} "
                    f"Write one of {', '.join(concepts)}, or add it under concepts."
                )
        for method in fusion["methods"]:
            of = methods[method]
            if of.letter and of.letter not in letters:
                count = LETTERS.index(of.letter) + 1
                yield f"fusions.{name}.methods: {method} needs {count} concepts, not {len(letters)}; leave it out."
            if len(letters) > of.concepts:
                yield f"fusions.{name}.methods: {method} joins two concepts, not {len(letters)}; leave it out."
            if of.needs_images and name in named and (existing := _existing(config, fusion)):
                yield (
                    f"fusions.{name}.methods: {method} learns on the concepts' own images, and {existing[0]} is an "
                    "existing zoo; leave it out, or take distil_weights."
                )
        yield from architectures.faults(config, name)
        for concept in fusion["concepts"]:
            models = concepts.get(concept, {}).get("models")
            if "netspace" in fusion["methods"] and models is not None and models < 4:
                yield f"concepts.{concept}.models: {models} CNNs are too few for netspace; write 4 or more."
            if "cyclegan" in fusion["methods"] and "generators" not in fusion and models is not None and models < 4:
                yield f"concepts.{concept}.models: {models} CNNs are too few to train a CycleGAN; write 4 or more."
        if fusion["joint"] and "generators" in fusion:
            yield f"fusions.{name}: joint is for CycleGANs trained here, and generators are named; leave out one."
    for where, place in _places(config).items():
        if place.get("order") == "folders" and place["source"] != "folder":
            yield f"{where}.order: folders is for source folder only; leave it out."
        if place["source"] == "torchvision" and "dataset" not in place:
            yield f"{where}: source torchvision needs dataset; write dataset: cifar10 or dataset: oxford_iiit_pet."
        elif place["source"] != "torchvision" and "dataset" in place:
            yield f"{where}: dataset is for source torchvision only; write source: torchvision, or leave dataset out."
        elif place["source"] != "folder" and {"positive", "negative"} <= set(place):
            yield from _bad_words(where, place)


def _bad_paths(config: dict) -> Iterator[str]:
    """Settings that name files, and can't: parts of a path that no disk holds, addresses, places outside a root."""
    paths = [(root, config[root]) for root in ROOTS if root in config]
    paths += [(f"replicates.{i}", folder) for i, folder in enumerate(config["replicates"])]
    for name, concept in config["concepts"].items():
        paths += [(f"concepts.{name}.zoo", concept["zoo"])] if "zoo" in concept else []
    for name, fusion in config["fusions"].items():
        paths += [(f"fusions.{name}.generators", fusion["generators"])] if "generators" in fusion else []
    for where, place in _places(config).items():
        for side in ("positive", "negative") if place["source"] == "folder" else ():
            paths += [(f"{where}.{side}.{i}", folder) for i, folder in enumerate(place.get(side, []))]
    for name, factory in config["factory"].items():
        paths += [(f"factory.{name}.zoo", factory["zoo"])] if factory.get("zoo") else []
        classes = factory["classes"].items() if factory["source"] == "folder" and not factory.get("zoo") else ()
        paths += [(f"factory.{name}.classes.{title}", folder) for title, folders in classes for folder in folders]
    for name, of in config["tasks"].items():
        paths += [(f"tasks.{name}.{part}", of[part]) for part in ("train", "test") if of["source"] == "folder"]
    for where, path in paths:
        if re.search(r"\$\{\w+\}", path):
            yield f"{where}: {shown(path)}: variables are not replaced in a configuration; write the whole path."
            continue
        if match := _REPLACED.search(path):
            yield (
                f"{where}: {shown(path)}: Snakemake takes {shown(match[0])} in a file's name for a word to be "
                "replaced; rename the folder, or name a link to it (ln -s)."
            )
            continue
        if match := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
            instead = f"write {path[match.end() :]}" if match[0] == "file://" else "copy it here, and write its path"
            yield f"{where}: {shown(path)} is an address, not a path of this machine; {instead}."
        elif any(len(os.fsencode(part)) > 255 for part in path.split("/")):
            yield f"{where}: {shown(path)} has a part of over 255 bytes, longer than any file's name; write its name."


def _places(config: dict) -> dict[str, dict]:
    """Where in the configuration -> concept or test whose images are read."""
    places = {f"concepts.{name}": concept for name, concept in config["concepts"].items() if "zoo" not in concept}
    return places | {f"fusions.{name}.test": fusion["test"] for name, fusion in config["fusions"].items()}


def missing_root(setting: str, path: str) -> str | None:
    """What is wrong with a folder of this machine that a setting names; None where it is there.

    Args:
        setting: its name, such as images_root.
        path: its value.
    """
    if os.path.isdir(path):
        return None
    if re.search(r"\$\w|\$\{|%\w+%", path):
        why = "variables are not replaced in a configuration; write the folder's whole path"
    elif path != path.strip():
        why = "it begins or ends with white space; leave that out"
    elif "\\" in path:
        why = "write / between folders, not \\; a Windows drive is read where it is mounted, such as /mnt/c"
    else:
        return None  # who reads the folder says it
    return f"{setting}: there is no folder {shown(path)}: {why}."


def _bad_words(where: str, place: dict) -> Iterator[str]:
    from zoofuse.data import query

    if place["source"] == "synthetic":
        from zoofuse.data.synthetic import VOCABULARY as vocabulary
    else:
        from zoofuse.data import torchvision  # imports torchvision

        vocabulary = torchvision.VOCABULARY[place["dataset"]]
    for side in ("positive", "negative"):
        for text in place[side]:
            try:
                query.parse(text, vocabulary)
            except ValueError as error:
                yield f"{where}.{side}: {error}"
