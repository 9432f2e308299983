"""What the project knows of every way to get CNNs for a fusion and of every baseline, each fact in one place.

A method is one decorated function in a module of this folder:

    @method("average", label="average of parents", role="baseline", needs=("zoos",), about="...")
    def average(job: Job) -> None:
        ...  # from job.zoos to job.write(arrays)

The configuration's list of methods, the inputs of rules, the dispatch in scripts, labels, roles, supervision, counts,
estimates and the table of methods in the documentation follow from the decorator. The Snakefile imports these modules,
so they import torch, and what imports torch, inside functions.

A method may have options: a block of settings under its own name. A configuration may name variants of it, which are
the same method with other options.
"""

import dataclasses
import functools
import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from zoofuse.models.architectures import ARCHITECTURES

ROLES = ("generated", "baseline", "foreign")  # foreign: somebody else's classifier, of a predictions file
# What a method or head was made from.
SUPERVISION = ("none", "other concepts", "concept labels", "few-shot", "target labels", "unknown")
NEEDS = ("zoos", "own zoo", "trained", "volumes", "layers", "generators", "images", "space", "others")
EFFORTS = ("light", "training", "own rule")
ZOOS = ("any", "one architecture", "one chain", "chain of students")  # what a method can be had from
_BANKS = {"volumes", "layers", "generators"}  # needs that zoos of one architecture, whichever it is, can meet
LETTERS = "abcde"  # under which a fusion names its concepts

Count = Callable[[Mapping[str, int], Mapping, Mapping], int]


def smallest(sizes: Mapping[str, int], config: Mapping, options: Mapping) -> int:
    """As many CNNs as the smallest of a fusion's zoos has."""
    return min(sizes.values())


@dataclass(frozen=True)
class Method:
    """A way to get CNNs, or a baseline.

    Args:
        name: in the configuration, in paths and in tables.
        label: in figures and in the report.
        role: one of ROLES. Generated CNNs are compared with baselines.
        supervision: one of SUPERVISION: the most that it was made from besides the zoos' weights.
        about: a sentence for the documentation.
        cites: the source, where there is one.
        domains: in how many of a fusion's domains it makes CNNs: 2 where translations run both ways.
        needs: what it is made from, of NEEDS, or "method:NAME" for another method's CNNs. "others", the zoos and images
            of other concepts, are there in grids only.
        effort: "light", "training" (threads and a GPU), or "own rule" where it has a rule of its own.
        count: CNNs of each domain, from the sizes of the zoos (letter -> CNNs), the configuration and the options.
        concepts: of how many concepts a fusion may be at most.
        letter: the concept whose presence it needs, of parents.
        images_only: of a baseline, whether it needs no CNN at all and is clustered or thresholded as features are.
        in_grids: whether a grid of conjunctions can measure it, where nothing else speaks against it.
        default: whether a fusion that names no methods has it; such methods stand in the order of registration.
        options: the class of its settings (`zoofuse.settings.fields.block`). A configuration sets them in a block of
            the method's name, unless the block is there for something else, and in variants.
        shared: another method's name and a class of settings of its block that this method follows too, where
            `options` has none of these names.
        asks: from its options to its supervision, where that depends on them.
        make: from a Job to a zoo file.
        zoos: which zoos it can be had from, of ZOOS: what compares weights asks for one architecture, and what knows
            of convolutions only for a chain of them. By default what its needs ask for.
        of: of a variant, the method that it varies.
        chosen: of a variant, the options in which it differs.
    """

    name: str
    label: str
    role: str
    about: str
    supervision: str = "none"
    cites: str = ""
    domains: int = 1
    needs: tuple[str, ...] = ()
    effort: str = "light"
    count: Count = smallest
    concepts: int = len(LETTERS)
    letter: str = ""
    images_only: bool = False
    in_grids: bool = True
    default: bool = False
    options: type | None = None
    shared: tuple[str, type] | None = None
    asks: Callable[[Mapping], str] | None = None
    make: "Callable[[Job], None] | None" = None
    zoos: str = ""
    of: str = ""
    chosen: Mapping = field(default_factory=dict)

    def __post_init__(self):
        wrong = [need for need in self.needs if need not in NEEDS and not need.startswith("method:")]
        by_weights = "one architecture" if _BANKS & set(self.needs) else "one chain"
        by_needs = by_weights if {"zoos", "space", *_BANKS} & set(self.needs) else "any"
        object.__setattr__(self, "zoos", self.zoos or by_needs)
        facts = ((self.role, ROLES), (self.supervision, SUPERVISION), (self.effort, EFFORTS), (self.zoos, ZOOS))
        for value, known in facts:
            wrong += [] if value in known else [value]
        if wrong:
            raise ValueError(f"method {self.name}: {', '.join(wrong)} is unknown to the registry.")

    @property
    def is_generated(self) -> bool:
        """Whether it gives something new, and is no baseline."""
        return self.role == "generated"

    @property
    def is_student(self) -> bool:
        """Whether its CNNs were trained to predict, so that their own heads answer the question that is asked."""
        return self.is_generated and self.effort == "training"

    @property
    def makes_cnns(self) -> bool:
        """Whether it makes CNNs; a baseline on pixels, or many CNNs together, does not."""
        return self.make is not None

    def settings(self, config: Mapping) -> dict:
        """Its options in a complete configuration.

        Returns:
            The defaults, with those that the method's block sets, and for a variant its own.
        """
        chosen: dict = {}
        for name, of in (self.shared or ("", None), (self.of or self.name, self.options)):
            options, block = dataclasses.asdict(of()) if of else {}, config.get(name, {})
            chosen |= options | {key: block[key] for key in options if key in block}
        return chosen | dict(self.chosen)

    @property
    def needs_images(self) -> bool:
        """Whether it needs the concepts' own images, which an existing zoo does not bring."""
        return bool({"images", "space"} & set(self.needs))


@dataclass(frozen=True)
class Job:
    """What a method is given.

    Args:
        method: the method's name.
        output: the zoo file to write.
        fusion: the fusion's name, of which random numbers depend.
        seed: the run's seed.
        count: CNNs to make of each domain.
        architecture: of CNNs that are trained or drawn and whose settings name none, by name: the zoos', or where
            these differ that of the configuration.
        options: the method's settings.
        zoos: domain ("A", "B", ...) -> its zoo files; for "trained" those as trained, with histories.
        banks: volume ("conv1", "block1.mlp", ..., or "joint") -> bank, for "volumes" and "layers".
        generators: volume -> generators files, one for each two neighbouring concepts.
        images: domain -> the concept's images.
        made: another method's name -> its CNNs.
        others: for "others" another concept of the grid, as paths name it -> its zoo file and its images file.
        kinds: domain -> the architecture of its zoo's CNNs; where it is left out, all have `architecture`.
        device: "cpu" or "cuda".
        threads: CPU threads to use.
    """

    method: str
    output: Path
    fusion: str
    seed: int
    count: int
    architecture: str
    options: Mapping = field(default_factory=dict)
    zoos: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    banks: Mapping[str, Path] = field(default_factory=dict)
    generators: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    images: Mapping[str, Path] = field(default_factory=dict)
    made: Mapping[str, Path] = field(default_factory=dict)
    others: Mapping[str, tuple[Path, Path]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    threads: int = 1

    def write(self, arrays: Mapping, **attributes) -> None:
        """Write the CNNs, with the checksums of everything they were made from.

        Args:
            arrays: of a zoo file (zoo.py): conv layers, model (n,), domain (n,) ("-" where there is one domain only)
                and, where there are such, a head for each concept: fc_a.weight (n, 2, features), fc_a.bias, ...
            attributes: anything JSON can hold, such as settings.
        """
        from zoofuse.core import files

        paths = [*self.banks.values(), *self.images.values(), *self.made.values()]
        paths += [
            path for group in (*self.zoos.values(), *self.generators.values(), *self.others.values()) for path in group
        ]
        sources = [files.fingerprint(path) for path in paths]
        files.write(
            self.output, "zoo", arrays, **{"method": self.method, "seed": self.seed, "sources": sources} | attributes
        )


_METHODS: dict[str, dict[str, Method]] = {}  # module -> its methods
_VARIANTS: dict[str, Mapping] = {}  # of the configuration that this process works on


def method(name: str, **facts) -> Callable:
    """Register the decorated function, from a Job to a zoo file, as a method; facts: the fields of Method."""

    def register(make: Callable[[Job], None]) -> Callable[[Job], None]:
        _add(Method(name=name, make=make, **facts), make.__module__)
        return make

    return register


def baseline(name: str, **facts) -> None:
    """Register what is compared with the CNNs and makes none: a guess, a probe on pixels, other CNNs together."""
    _add(Method(name=name, role="baseline", **facts), sys._getframe(1).f_globals["__name__"])


def _add(entry: Method, module: str) -> None:
    if any(entry.name in entries for entries in _METHODS.values()):
        raise ValueError(f"method {entry.name}: registered twice.")
    _METHODS.setdefault(module, {})[entry.name] = entry


@functools.cache
def _loaded() -> Mapping[str, Method]:
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path != Path(__file__) and f"from {__name__} import" in path.read_text(encoding="utf-8"):
            importlib.import_module(f"{__package__}.{path.stem}")
    # Whoever imports one of the modules first must not change the order of tables.
    in_order = [entries for _, entries in sorted(_METHODS.items())]
    return MappingProxyType({name: entry for entries in in_order for name, entry in entries.items()})


def use(variants: Mapping[str, Mapping]) -> None:
    """Let this process look names up among a configuration's variants too.

    Args:
        variants: the block of that name.
    """
    _VARIANTS.clear()
    _VARIANTS.update(variants)


def known(variants: Mapping[str, Mapping] | None = None) -> Mapping[str, Method]:
    """Every method and baseline by name, in the order of tables and figures.

    Args:
        variants: the block of that name of a configuration; by default what `use` was given.

    Returns:
        The methods in the order of registration, each with its variants behind it.
    """
    groups = {name: {name: entry} for name, entry in _loaded().items()}
    for name, choice in (_VARIANTS if variants is None else variants).items():
        base, chosen = choice["method"], {key: choice[key] for key in choice if key not in ("method", "label")}
        label = choice.get("label", name.replace("_", " "))
        facts = {"name": name, "label": label, "default": False, "of": base, "chosen": chosen}
        varied = dataclasses.replace(_loaded()[base], **facts)
        if varied.asks:
            varied = dataclasses.replace(varied, supervision=varied.asks(varied.settings({})))
        groups[base][name] = varied
    return {name: entry for group in groups.values() for name, entry in group.items()}


def get(name: str, variants: Mapping[str, Mapping] | None = None) -> Method:
    """The method or baseline of this name.

    Args:
        name: as in the configuration and in tables.
        variants: as `known` takes them.

    Returns:
        What was registered. A name that is not is that of somebody else's classifier, whose predictions lie in a
        file of that name (`evaluation.foreign_predictions`).
    """
    variants = _VARIANTS if variants is None else variants
    if name in _loaded() and name not in variants:  # the plan of a large run asks a hundred thousand times
        return _loaded()[name]
    return known(variants).get(name) or Method(name, name, "foreign", "Read from a file.", supervision="unknown")


def methods(variants: Mapping[str, Mapping] | None = None) -> Mapping[str, Method]:
    """Every method that makes CNNs, by name; variants as `known` takes them."""
    return {name: entry for name, entry in known(variants).items() if entry.makes_cnns}


def images_only() -> list[str]:
    """The baselines that need no CNN, in the order of registration."""
    return [name for name, entry in _loaded().items() if entry.images_only]


def in_one_job(name: str, variants: Mapping[str, Mapping] | None = None) -> bool:
    """Whether nothing has to be trained for it first but zoos and other such methods' CNNs.

    Of baselines those that combine the zoos' own predictions, or fit a head for each concept to numbers of an image.
    variants: as `known` takes them.
    """
    entry = get(name, variants)
    if not entry.makes_cnns:
        return entry.in_grids and entry.supervision != "target labels"
    long = {"volumes", "layers", "generators", "space"}
    before = [need.removeprefix("method:") for need in entry.needs if need.startswith("method:")]
    return not long & set(entry.needs) and all(in_one_job(other, variants) for other in before)


def not_applicable(
    name: str, architectures: Iterable[str], student: str, variants: Mapping[str, Mapping] | None = None
) -> str:
    """Why a method can't be had from a fusion's zoos.

    Args:
        name: as `get` takes it.
        architectures: of the zoos, by name.
        student: the architecture of CNNs that are trained or drawn for the fusion.
        variants: as `known` takes them.

    Returns:
        The reason, in a few words; "" where it can.
    """
    entry, kinds = get(name, variants), sorted(set(architectures))
    before = [need.removeprefix("method:") for need in entry.needs if need.startswith("method:")]
    for other in before:
        if reason := not_applicable(other, kinds, student, variants):
            return reason
    if entry.zoos.startswith("one") and len(kinds) > 1:
        return "the zoos have different architectures"
    asked = {"one chain": kinds[:1], "chain of students": [student]}.get(entry.zoos, [])
    odd = [kind for kind in asked if not ARCHITECTURES[kind].conv_layers]
    return f"the layers of {odd[0]} are not a chain of convolutions" if odd else ""


def counts(sizes: Mapping[str, int], config: Mapping) -> dict[str, int]:
    """How many CNNs of each domain each method makes for a fusion.

    Args:
        sizes: letter -> CNNs of the concept's zoo.
        config: the complete configuration.
    """
    entries = methods(config["variants"]).items()
    possible = {name: entry for name, entry in entries if not entry.letter or entry.letter in sizes}
    return {name: entry.count(sizes, config, entry.settings(config)) for name, entry in possible.items()}
