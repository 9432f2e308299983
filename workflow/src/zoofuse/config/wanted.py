"""`want` and `fusions.<name>.expression`: an expression becomes concepts and a fusion of them. Imports no torch."""

import functools
import itertools
from collections.abc import Mapping

from zoofuse.config.old_keys import blocks
from zoofuse.data import expressions
from zoofuse.data.expressions import Clause, Expression
from zoofuse.methods.registry import LETTERS

MODELS = 32  # CNNs of each concept of `want`
METHOD = "distil"  # of `want`


def expanded(config: dict, vocabulary: frozenset[str], possible) -> tuple[dict, list[str]]:
    """A configuration without expressions, and what is wrong with them.

    Args:
        config: as somebody wrote it; it stays as it is.
        vocabulary: the words of synthetic images.
        possible: tells of a selector whether any synthetic image meets it.
    """
    config, faults = dict(config), []
    if isinstance(want := config.get("want"), str):
        try:
            config |= _wanted(config, expressions.parse(want, vocabulary, "want"), possible)
        except ValueError as error:
            faults.append(str(error))
    fusions = dict(blocks(config, "fusions"))
    for name, fusion in fusions.items():
        if isinstance(fusion.get("expression"), str):
            try:
                config |= _fused(config, name, fusion)
            except ValueError as error:
                faults.append(str(error))
    return config, faults


def wanted(config: Mapping) -> str | None:
    """The fusion that `want` asks for."""
    if not config.get("want"):
        return None
    from zoofuse.data import synthetic

    return expressions.parse(config["want"], synthetic.VOCABULARY, "want").slug


def _wanted(config: dict, of: Expression, possible) -> dict:
    """The concepts and the fusion, of synthetic images, that an expression asks for."""
    others = [name for name, concept in blocks(config, "concepts") if concept.get("source") != "synthetic"]
    if others:
        raise ValueError(
            f"want: speaks of synthetic images, and concept {others[0]} has images of its own. Write "
            f"fusions: {{name: {{expression: {of.text!r}, test: ...}}}} over your concepts."
        )
    if len(of.clauses) < 2:
        raise ValueError(
            f"want: {of.text!r} is one concept, for which CNNs can be trained without composing anything. Join two, "
            'such as "black and not cat".'
        )
    select = functools.partial(expressions.selectors, possible=possible)
    positive = select(expressions.shown(of.clauses))
    if not positive:
        raise ValueError(f"want: no synthetic image shows {of.text!r}; take another colour or kind.")
    concepts, names = {}, []
    for clause in of.clauses:
        rest = [other for other in of.clauses if other != clause]
        # Images that show the clause but not the whole: training never sees what is wanted.
        shown = select(itertools.chain.from_iterable(expressions.shown([clause], [other]) for other in rest))
        missing = select(iter([expressions.negated(clause)]))
        if not shown or not missing:
            which = "shows" if not shown else "lacks"
            raise ValueError(
                f"want: no synthetic image {which} {expressions.clause_name(clause)!r} without showing {of.text!r}, so "
                "there is nothing to compose."
            )
        names.append(expressions.short(f"{expressions.clause_name(clause)}_of_{of.slug}"))
        concepts[names[-1]] = {"source": "synthetic", "positive": shown, "negative": missing, "models": MODELS}
    others = []
    for n in range(1, len(of.clauses) + 1):  # hard ones, which lack one part only, first
        for missing in itertools.combinations(of.clauses, n):
            kept = [clause for clause in of.clauses if clause not in missing]
            others += select(expressions.shown(kept, missing))
    test = {"source": "synthetic", "positive": positive, "negative": list(dict.fromkeys(others))}
    return {"concepts": concepts, "fusions": {of.slug: {"concepts": names, "methods": [METHOD], "test": test}}}


def _fused(config: dict, name: str, fusion: Mapping) -> dict:
    """A fusion's expression over the configuration's concepts; a negated one becomes a concept."""
    where, concepts = f"fusions.{name}.expression", dict(blocks(config, "concepts"))
    by_word = {concept.lower(): concept for concept in concepts}
    of = expressions.parse(fusion["expression"], by_word, where)
    if "concepts" in fusion:
        raise ValueError(f"{where}: names its concepts itself; leave out fusions.{name}.concepts.")
    if not 2 <= len(of.clauses) <= len(LETTERS):
        raise ValueError(f"{where}: joins {len(of.clauses)} concepts; join 2 to {len(LETTERS)} by and.")
    names, added = [], {}
    for clause in of.clauses:
        names.append(_concept(where, clause, by_word, concepts, added))
    config = {"concepts": concepts | added, "fusions": dict(config["fusions"])}
    config["fusions"][name] = {key: value for key, value in fusion.items() if key != "expression"} | {"concepts": names}
    return config


def _concept(where: str, clause: Clause, by_word: Mapping, concepts: Mapping, added: dict) -> str:
    if len(clause) > 1:
        words = " or ".join(f"{'' if positive else 'not '}{word}" for word, positive in clause)
        raise ValueError(
            f"{where}: nobody can tell which of your images lack all of {words!r}. Write a concept for it, with "
            "positive and negative folders."
        )
    ((word, positive),) = clause
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
