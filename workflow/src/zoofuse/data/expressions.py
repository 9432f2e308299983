"""What a network is wanted for, as an expression over concepts: "black and not (dog or car)". Imports no torch.

An expression is brought into a conjunction of clauses. Each clause, such as "not dog" or "dog or car", is a concept
that a zoo can learn; the conjunction of the clauses is what a fusion composes.
"""

import difflib
import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

MOST_WORDS, MOST_CLAUSES, MOST_TERMS = 8, 5, 4096
LONGEST = 400  # letters of an expression
_NAME = 64  # letters of a name in paths
_TOKEN = re.compile(r"\s*(\(|\)|[\w-]+|\S)")

Literal = tuple[str, bool]  # a word, and whether an image must have it
Clause = tuple[Literal, ...]  # one of them must hold
Term = frozenset  # of literals that must all hold


@dataclass(frozen=True)
class Expression:
    """A conjunction of clauses, none of which follows from another one."""

    text: str
    clauses: tuple[Clause, ...]

    @property
    def slug(self) -> str:
        """Its name in paths, such as black_and_not_cat."""
        parts = [clause_name(clause) for clause in self.clauses]
        return short("_and_".join(parts))

    @property
    def plain(self) -> str:
        """The clauses as text."""
        parts = [" or ".join(f"{'' if positive else 'not '}{word}" for word, positive in of) for of in self.clauses]
        return " and ".join(f"({part})" for part in parts)

    @property
    def words(self) -> list[str]:
        """Each word once."""
        return list(dict.fromkeys(word for clause in self.clauses for word, _ in clause))

    def holds(self, words: Collection[str]) -> bool:
        """Whether it is true of an image with these words."""
        return all(any((word in words) == positive for word, positive in clause) for clause in self.clauses)


def parse(text: str, vocabulary: Collection[str] | Mapping[str, str], where: str) -> Expression:
    """Read an expression: words, `and`, `or`, `not`, parentheses; words side by side are joined by `and`.

    Args:
        text: such as "black and not (dog or car)"; "non-dog" is "not dog".
        vocabulary: the words there are, in lower case; or word -> the word that it stands for.
        where: the setting, for messages.

    Raises:
        ValueError: it can't be read, has an unknown word, is true of everything or of nothing, or is too long; worded
            for users.
    """
    if len(text) > LONGEST:
        raise ValueError(f"{where}: has {len(text)} letters; write at most {LONGEST}.")
    tokens = [token.lower() for token in _TOKEN.findall(text)]
    if not tokens:
        raise ValueError(f'{where}: is empty; write words such as "black and not cat".')
    known = vocabulary if isinstance(vocabulary, Mapping) else {word.lower(): word.lower() for word in vocabulary}
    reader = _Reader(tokens, known, f"{where}: {text!r}")
    tree = reader.either()
    if reader.left:
        raise ValueError(f"{reader.where}: {reader.left[0]!r} is one parenthesis too many; leave it out.")
    words = list(dict.fromkeys(reader.words))
    if len(words) > MOST_WORDS:
        raise ValueError(f"{reader.where}: names {len(words)} concepts; name at most {MOST_WORDS}.")
    truth = [_true(tree, dict(zip(words, row, strict=True))) for row in itertools.product((0, 1), repeat=len(words))]
    if not any(truth):
        raise ValueError(f"{reader.where}: is a contradiction, which no image can meet.")
    if all(truth):
        raise ValueError(f"{reader.where}: is true of every image, so there is nothing to recognise.")
    found: list[frozenset[Literal]] = []
    try:
        every = dict.fromkeys(_clauses(tree, True))
    except _TooComplex:
        raise ValueError(f"{reader.where}: is too complex; write it with fewer parts.") from None
    for clause in sorted(every, key=len):
        tautology = any((word, not positive) in clause for word, positive in clause)
        if not tautology and not any(other <= clause for other in found):
            found.append(clause)
    order = {word: place for place, word in enumerate(words)}
    clauses = sorted(tuple(sorted(clause, key=lambda literal: order[literal[0]])) for clause in found)
    clauses.sort(key=lambda clause: [order[word] for word, _ in clause])
    if len(clauses) > MOST_CLAUSES:
        raise ValueError(
            f"{reader.where}: is a conjunction of {len(clauses)} parts; at most {MOST_CLAUSES} can be composed."
        )
    return Expression(text, tuple(clauses))


def clause_name(clause: Clause) -> str:
    """Such as cat, not_cat, dog_or_car."""
    return short("_or_".join(word if positive else f"not_{word}" for word, positive in clause))


def short(name: str) -> str:
    """A name that is no longer than a path's may be."""
    if len(name) <= _NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _NAME - 9]}_{digest}"


class _TooComplex(Exception):
    """More clauses than can be looked at."""


class _Reader:
    """Recursive descent: or, then and, then not. A tree is a word, ("not", tree) or ("and" | "or", trees)."""

    def __init__(self, tokens: Sequence[str], vocabulary: Mapping[str, str], where: str):
        self.left, self.vocabulary, self.where = list(tokens), vocabulary, where
        self.words: list[str] = []

    def either(self):
        parts = [self._both()]
        while self.left and self.left[0] == "or":
            self.left.pop(0)
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else ("or", parts)

    def _both(self):
        parts = [self._one()]
        while self.left and self.left[0] not in ("or", ")"):
            if self.left[0] == "and":
                self.left.pop(0)
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else ("and", parts)

    def _one(self):
        token = self.left.pop(0) if self.left else ""
        if token == "not":
            return ("not", self._one())
        if token == "(":
            inner = self.either()
            if not self.left:
                raise ValueError(f"{self.where}: a parenthesis is not closed.")
            self.left.pop(0)
            return inner
        if token in ("", "and", "or", ")"):
            after = f"before {token!r}" if token else "at the end"
            raise ValueError(f"{self.where}: a word is missing {after}.")
        if token.startswith("non-") and token not in self.vocabulary:
            return ("not", self._known(token.removeprefix("non-")))
        return self._known(token)

    def _known(self, word: str) -> str:
        if word not in self.vocabulary:
            close = difflib.get_close_matches(word, self.vocabulary, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(sorted(self.vocabulary))}."
            raise ValueError(f"{self.where}: {word!r} is not a concept; {hint}")
        self.words.append(self.vocabulary[word])
        return self.words[-1]


def _true(tree, values: dict[str, int]) -> bool:
    if isinstance(tree, str):
        return bool(values[tree])
    kind, inner = tree
    if kind == "not":
        return not _true(inner, values)
    return (all if kind == "and" else any)(_true(part, values) for part in inner)


def _clauses(tree, positive: bool) -> list[frozenset[Literal]]:
    """The clauses of a tree, or of its negation."""
    if isinstance(tree, str):
        return [frozenset({(tree, positive)})]
    kind, inner = tree
    if kind == "not":
        return _clauses(inner, not positive)
    parts = [_clauses(part, positive) for part in inner]
    if (kind == "and") == positive:
        return [clause for part in parts for clause in part]
    joined = [frozenset()]
    for part in parts:  # without doubles after each step, or they would grow without bound
        joined = list(dict.fromkeys(one | other for one in joined for other in part))
        if len(joined) > MOST_TERMS:
            raise _TooComplex
    return joined


# ---- the images of an expression, as selectors (`data.query`)


def selectors(terms: Iterator[Term], possible: Callable[[str], bool]) -> list[str]:
    """Selectors of terms, those that contradict themselves or that no image meets aside."""
    texts = {}
    for term in terms:
        if not any((word, not positive) in term for word, positive in term):
            text = " ".join(
                word if positive else f"non-{word}"
                for word, positive in sorted(term, key=lambda of: (not of[1], of[0]))
            )
            texts[text] = term
    # A selector within another one would only weigh its images more.
    widest = [text for text, term in texts.items() if not any(other < term for other in texts.values())]
    return [text for text in widest if possible(text)]


def negated(clause: Clause) -> Term:
    """What an image without the clause shows."""
    return frozenset((word, not positive) for word, positive in clause)


def shown(clauses: Sequence[Clause], missing: Sequence[Clause] = ()) -> Iterator[Term]:
    """Terms of images that show all of some clauses, and none of others."""
    without = frozenset().union(*(negated(clause) for clause in missing))
    for literals in itertools.product(*clauses):
        yield frozenset(literals) | without
