"""Which images a concept is made of, said in words: "black non-cat" is every image that is black and not a cat."""

import difflib
from collections.abc import Collection
from dataclasses import dataclass

_NOT = "non-"


@dataclass(frozen=True)
class Selector:
    """Words an image must have and words it must not have."""

    required: frozenset[str]
    excluded: frozenset[str]

    def matches(self, attributes: Collection[str]) -> bool:
        """Whether an image with these attributes (lower-case words) is meant."""
        return self.required.issubset(attributes) and self.excluded.isdisjoint(attributes)


def parse(text: str, vocabulary: Collection[str]) -> Selector:
    """Read words separated by spaces, `word` or `non-word`, upper or lower case, each from the `vocabulary`.

    Raises ValueError for an empty text, for a word outside the vocabulary (naming the close ones, or all), and for a
    word that is both asked for and excluded.
    """
    known = {word.lower() for word in vocabulary}
    words = text.lower().split()
    if not words:
        raise ValueError('an empty selector; write words such as "cat" or "non-cat"')
    required = frozenset(word for word in words if not word.startswith(_NOT))
    excluded = frozenset(word.removeprefix(_NOT) for word in words if word.startswith(_NOT))
    for word in sorted(required | excluded):
        if word not in known:
            close = difflib.get_close_matches(word, known, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"known words: {', '.join(sorted(known))}"
            raise ValueError(f"selector {text!r}: unknown word {word!r}; {hint}")
    if both := sorted(required & excluded):
        raise ValueError(f"selector {text!r}: asks for {both[0]} and excludes it; write one of the two")
    return Selector(required, excluded)
