"""The factory zoos of a configuration: what is wrong with them beside what a schema can say. Imports no torch."""

import difflib
from collections.abc import Iterator

from zoofuse.data import on_disk, query
from zoofuse.data.synthetic import VOCABULARY as SYNTHETIC
from zoofuse.models.network import NETWORKS, Network
from zoofuse.zoo import recipes

MOST_CLASSES = 256  # labels are bytes


def faults(config: dict) -> Iterator[str]:
    """One line for each fault, with what to write instead.

    Args:
        config: with its defaults, and without what a schema refuses.
    """
    taken = {name.lower(): name for name in config["concepts"]}
    for name, factory in config["factory"].items():
        where = f"factory.{name}"
        if (other := taken.setdefault(name.lower(), name)) != name or name in config["concepts"]:
            yield f"{where}: {other} is the name of another zoo, whose files would be the same; write another name."
        for twin in twins(name, factory):
            if twin.lower() in taken or twin in config["factory"]:
                yield f"{where}.pruned: {twin} is the name of another zoo; give that one another name."
        bad_factors = list(_factor_faults(where, factory["factors"]))
        classes = list(class_faults(where, factory))
        yield from bad_factors or _repeated(where, factory)
        yield from classes
        if not classes:
            yield from _network_faults(where, factory, [] if bad_factors else factory["factors"])


def twins(name: str, factory: dict) -> dict[str, int]:
    """Name of each zoo of pruned twins -> percentage of weights that are pruned."""
    return {f"{name}-pruned-{percent}": percent for percent in factory["pruned"]}


def completed(factory: dict) -> dict:
    """A factory zoo's settings with its factors as `recipes.recipe` takes them, and its classes, channels and size."""
    factors = {name: recipes.checked(name, factor) for name, factor in factory["factors"].items()}
    of = network(factory)
    return factory | {"factors": factors, "classes": _classes(factory), "channels": of.channels, "size": of.size}


def network(factory: dict) -> Network:
    """The CNN of a factory zoo.

    Raises:
        ValueError: as `recipes.network`.
    """
    count = on_disk.CLASSES.get(factory.get("dataset")) if not factory["classes"] else None
    if factory.get("zoo") and not factory["classes"]:
        count = NETWORKS[factory["architecture"]].classes
    return recipes.network(factory, count or len(_classes(factory)))


def _classes(factory: dict) -> dict[str, list[str]]:
    """Name -> selectors; none for a data set on disk whose classes are all wanted, which only its files name."""
    if factory["source"] == "torchvision" and not factory["classes"] and factory["dataset"] in _archives():
        return {word: [word] for word in sorted(_archives()[factory["dataset"]])}
    return factory["classes"]


def _archives() -> dict[str, frozenset[str]]:
    from zoofuse.data import torchvision  # imports torchvision

    return torchvision.VOCABULARY


def class_faults(where: str, factory: dict) -> Iterator[str]:
    """Faults of a block `where` with classes (name -> selectors), source and dataset."""
    classes, source, dataset = factory["classes"], factory["source"], factory.get("dataset")
    if factory.get("zoo"):
        if factory["pruned"]:
            yield f"{where}.pruned: an existing zoo has no images to train its twins on; leave pruned out."
        if factory.get("layers") and not classes:
            yield f"{where}.classes: missing; name each class of the existing zoo, such as {{zero: [], one: []}}."
        return
    if source != "torchvision" and dataset is not None:
        yield f"{where}.dataset: is for source torchvision only; write source: torchvision, or leave dataset out."
    if source == "torchvision":
        known = [*_archives(), *on_disk.CLASSES]
        if dataset not in known:
            spelled = {other.lower(): other for other in known}
            close = difflib.get_close_matches(str(dataset).lower(), spelled, 1)
            unknown = f"{dataset!r} is unknown" if dataset else "missing"
            hint = f"; did you mean {spelled[close[0]]}?" if close else "."
            yield f"{where}.dataset: {unknown}; write one of {', '.join(known)}{hint}"
            return
        if not classes and dataset == "oxford_iiit_pet":
            yield f"{where}.classes: missing; write words for each class, such as {{cat: [cat], dog: [dog]}}."
    elif not classes:
        example = "{cat: [cat], dog: [dog]}"
        yield f"{where}.classes: missing; name each class and what shows it, such as {example}."
    if len(classes) == 1:
        yield f"{where}.classes: names 1; name at least 2."
    if len(classes) > MOST_CLASSES:
        yield f"{where}.classes: names {len(classes)}; name at most {MOST_CLASSES}."
    vocabulary = SYNTHETIC if source == "synthetic" else _archives().get(dataset) if source == "torchvision" else None
    if vocabulary:
        for title, selectors in classes.items():
            for text in selectors:
                try:
                    query.parse(text, vocabulary)
                except ValueError as error:
                    yield f"{where}.classes.{title}: {error}"


def _factor_faults(where: str, factors: dict) -> Iterator[str]:
    for name, factor in factors.items():
        try:
            recipes.checked(name, factor)
        except ValueError as error:
            yield f"{where}.factors.{name}: {error}"


def _repeated(where: str, factory: dict) -> Iterator[str]:
    factors = {name: recipes.checked(name, factor) for name, factor in factory["factors"].items()}
    ways = {next(iter(factor)) for factor in factors.values() if isinstance(factor, dict)}
    different = recipes.combinations(factors)
    if factors["seed"] is not None and ways <= {"grid"} and factory["models"] > different:
        yield (
            f"{where}.models: {factory['models']} CNNs, but the factors make only {different} different ones; write "
            f"models: {different}, or leave factors.seed out, which gives each CNN its own."
        )


def _network_faults(where: str, factory: dict, factors: dict) -> Iterator[str]:
    try:
        of = network(factory)
    except ValueError as error:
        setting = str(error).partition(":")[0]
        place = where if setting in ("layers", "channels", "size", "classes") else f"{where}.layers"
        yield f"{place}{'.' if place == where else ': '}{error}"
        return
    texts = [layer.split()[0] for layer in of.layers]
    for factor, default in (("dropout", 0), ("activation", "relu")):
        if factors and factor not in texts and recipes.checked(factor, factors[factor]) != default:
            yield (
                f"{where}.factors.{factor}: the layers have no {factor}, so it would change nothing; add {factor} to "
                f"{where}.layers, or leave it out."
            )
