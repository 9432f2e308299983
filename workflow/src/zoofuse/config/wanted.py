"""`want` and `fusions.<name>.expression`: an expression becomes concepts and a fusion of them. Imports no torch."""

import functools
import itertools
from collections.abc import Iterator, Mapping

from zoofuse.config import named
from zoofuse.config.old_keys import blocks
from zoofuse.data import expressions, synthetic
from zoofuse.data.expressions import Expression, Literal
from zoofuse.data.pen import COLOURS
from zoofuse.methods.registry import LETTERS

MODELS = 32  # CNNs of each concept of `want`
METHODS = {True: "distil", False: "distil_weights"}  # of `want`, by whether all concepts have images


def expanded(config: dict) -> tuple[dict, list[str]]:
    """A configuration without expressions over what it doesn't have itself, and what is wrong with them.

    Args:
        config: as somebody wrote it; it stays as it is.
    """
    config, faults = dict(config), []
    if isinstance(want := config.get("want"), str):
        try:
            registry = config.get("registry")
            names = named.read(registry if isinstance(registry, str) else None)
            return config | _wanted(config, expressions.parse(want, names.words, "want"), names), []
        except ValueError as error:
            faults += str(error).split("\n  ")
    fusions = dict(blocks(config, "fusions"))
    for name, fusion in fusions.items():
        if isinstance(fusion.get("expression"), str):
            try:
                config |= _fused(config, name, fusion)
            except ValueError as error:
                faults.append(str(error))
    return config, faults


def wanted(config: Mapping) -> tuple[str, str] | None:
    """The fusion and the method that `want` asks for, of a complete configuration."""
    if not config.get("want"):
        return None
    ((name, fusion),) = config["fusions"].items()
    return name, fusion["methods"][0]


def caveats(config: Mapping) -> Iterator[str]:
    """Concepts of synthetic images that may not be learned, as all their images have one colour, and no test image.

    It can't be mended: no image of what is wanted may be trained on, and other images of the concept there are not.

    Args:
        config: complete.
    """
    for name, fusion in config["fusions"].items():
        places = {concept: config["concepts"][concept] for concept in fusion["concepts"]}
        if any(place.get("source") != "synthetic" for place in (fusion["test"], *places.values())):
            continue
        for concept, place in places.items():
            if colour := _one_colour(place["positive"], fusion["test"]["positive"]):
                yield (
                    f"fusions.{name}: every image of {concept} that may be trained on is {colour}, and no image of "
                    f"{name} is. Nothing shows what {concept} is in other colours, so look at the AUROC before you "
                    "trust the CNN. Ask for a colour rather than for none, such as white instead of not black."
                )


def _one_colour(shown: list[str], sought: list[str]) -> str | None:
    """A colour of all synthetic images that some selectors select, and of none that others do."""
    colours = {word for colour in COLOURS for word in colour.split()}
    common = frozenset.intersection(*synthetic.words(shown)) & colours
    return min(common.difference(*synthetic.words(sought)), default=None)


def _wanted(config: dict, of: Expression, names: named.Names) -> dict:
    """The concepts and the fusion that an expression asks for."""
    others = [name for name, concept in blocks(config, "concepts") if concept.get("source") != "synthetic"]
    if others and not config.get("registry"):
        raise ValueError(
            f"want: speaks of synthetic images, and concept {others[0]} has images of its own. Write "
            f"fusions: {{name: {{expression: {of.text!r}, test: ...}}}} over your concepts, or name a registry."
        )
    worlds = {names.classes.get(word, (None, None, ""))[:2] for word in of.words}
    known = len(worlds) == 1 and worlds != {(None, None)}
    if len(of.clauses) < 2 and (known or len(of.words) < 2):
        raise ValueError(
            f"want: {of.text!r} is one concept, for which CNNs can be trained without composing anything. Join two, "
            'such as "black and not cat".'
        )
    if known:
        return _of_classes(of, names, *worlds.pop())
    concepts = {word: dict(names.concepts[word]) for word in of.words}
    for concept in concepts.values():
        if "zoo" not in concept:
            concept.setdefault("models", MODELS)
    method = METHODS[all("zoo" not in concept for concept in concepts.values())]
    fusion = {"expression": of.text, "methods": [method], "test": names.test(of)}
    made = {"concepts": concepts, "fusions": {of.slug: fusion}}
    return _fused(made, of.slug, fusion, names.words)


def _of_classes(of: Expression, names: named.Names, source: str, dataset: str | None) -> dict:
    """The concepts and the fusion where every image's classes are known, so that none of what is wanted is shown."""

    def select(terms) -> list[str]:
        known = (frozenset((names.classes[word][2], positive) for word, positive in term) for term in terms)
        return expressions.selectors(known, functools.partial(_possible, source, dataset))

    what = "synthetic image" if source == "synthetic" else f"image of {dataset}"
    place = {"source": source} | ({"dataset": dataset} if dataset else {})
    positive = select(expressions.shown(of.clauses))
    if not positive:
        raise ValueError(f"want: no {what} shows {of.text!r}; take other words.")
    concepts, chosen = {}, []
    rest = {clause: [other for other in of.clauses if other != clause] for clause in of.clauses}
    # Images that show the clause but not the whole: training never sees what is wanted.
    every = {
        clause: select(itertools.chain.from_iterable(expressions.shown([clause], [other]) for other in others))
        for clause, others in rest.items()
    }
    # Where these have one colour, the negatives are of that colour alone, or colour is all that is learned.
    matched = source == "synthetic" and any(shown and _one_colour(shown, positive) for shown in every.values())
    for clause, shown in every.items():
        apart = [[clause, other] for other in rest[clause]] if matched else [[clause]]
        missing = select(itertools.chain.from_iterable(expressions.shown([], parts) for parts in apart))
        if not shown or not missing:
            which = "shows" if not shown else "lacks"
            raise ValueError(
                f"want: no {what} {which} {expressions.clause_name(clause)!r} without showing {of.text!r}, so there is "
                "nothing to compose."
            )
        chosen.append(expressions.short(f"{expressions.clause_name(clause)}_of_{of.slug}"))
        written = names.concepts[clause[0][0]] if len(clause) == 1 else {}
        concepts[chosen[-1]] = {"models": MODELS} | written | place | {"positive": shown, "negative": missing}
    others = []
    for n in range(1, len(of.clauses) + 1):  # hard ones, which lack one part only, first
        for missing in itertools.combinations(of.clauses, n):
            kept = [clause for clause in of.clauses if clause not in missing]
            others += select(expressions.shown(kept, missing))
    test = place | {"positive": positive, "negative": list(dict.fromkeys(others))}
    return {"concepts": concepts, "fusions": {of.slug: {"concepts": chosen, "methods": [METHODS[True]], "test": test}}}


def _possible(source: str, dataset: str | None, text: str) -> bool:
    if source == "synthetic":
        return synthetic.possible(text)
    from zoofuse.data import torchvision  # imports torchvision

    return torchvision.possible(str(dataset), text)


def _fused(config: dict, name: str, fusion: Mapping, words: Mapping[str, str] | None = None) -> dict:
    """A fusion's expression over the configuration's concepts.

    A conjunction becomes its concepts, and a negated one a concept. An expression with an or stays, and what it names
    are the fusion's concepts: it is composed of their predictions.

    Args:
        config: with concepts and fusions.
        name, fusion: of the fusion.
        words: as `expressions.parse` takes them; by default the concepts' names.
    """
    where, concepts = f"fusions.{name}.expression", dict(blocks(config, "concepts"))
    by_word = {concept.lower(): concept for concept in concepts}
    of = expressions.parse(fusion["expression"], words or by_word, where)
    if "concepts" in fusion:
        raise ValueError(f"{where}: names its concepts itself; leave out fusions.{name}.concepts.")
    added: dict[str, dict] = {}
    if composed := any(len(clause) > 1 for clause in of.clauses):
        named_ones = [by_word[word] for word in of.words]
    else:
        named_ones = [_concept(where, clause[0], by_word, concepts, added) for clause in of.clauses]
    if not 2 <= len(named_ones) <= len(LETTERS):
        raise ValueError(f"{where}: joins {len(named_ones)} concepts; join 2 to {len(LETTERS)}.")
    config = {"concepts": concepts | added, "fusions": dict(config["fusions"])}
    kept = {key: value for key, value in fusion.items() if key != "expression"}
    config["fusions"][name] = kept | ({"expression": of.plain} if composed else {}) | {"concepts": named_ones}
    return config


def _concept(where: str, literal: Literal, by_word: Mapping, concepts: Mapping, added: dict) -> str:
    word, positive = literal
    concept = by_word[word]
    if positive:
        return concept
    given = concepts[concept]
    if "zoo" in given or not {"positive", "negative"} <= set(given):
        raise ValueError(f"{where}: not {concept} needs images of {concept}, and it is an existing zoo.")
    name = expressions.short(f"not_{concept}")
    if name in concepts:
        raise ValueError(f"{where}: not {concept} would be a concept called {name}, which exists; name that instead.")
    added[name] = dict(given) | {"positive": given["negative"], "negative": given["positive"]}
    return name
