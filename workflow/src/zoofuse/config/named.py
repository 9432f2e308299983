"""Named concepts: a file that says what the words of `want` stand for. Imports no torch.

concepts:
  car: {source: torchvision, dataset: cifar10, class: automobile, synonyms: [automobile]}   # a class of a data set
  red: {positive: [red], negative: [not_red]}                                               # folders
  cat: {zoo: zoos/cat, synonyms: [kitten]}                                                  # an existing zoo
tests:
  red car: {positive: [test/red_car], negative: [test/other]}
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from zoofuse.config import files
from zoofuse.core import code
from zoofuse.core.text import printable
from zoofuse.data import expressions, synthetic
from zoofuse.settings.images import Concept

SHIPPED = code.HOME / "resources" / "concepts.yaml"
_OTHERS = ("class", "synonyms")  # keys of a named concept that a concept of the configuration has not
_KEYS = (*(each.name for each in dataclasses.fields(Concept)), *_OTHERS)
_WORD = re.compile(r"[a-z0-9][a-z0-9_-]*")
_NO_WORDS = ("and", "or", "not")

Class = tuple[str, str | None, str]  # source, data set and the word for it there


@dataclass(frozen=True)
class Names:
    """What words stand for.

    words: name or synonym -> name. concepts: name -> settings, as in the configuration's `concepts`; of a class of
    synthetic images or of a data set they are selectors. classes: those names that are such classes. tests: an
    expression -> its test images, as in `fusions.<name>.test`.
    """

    where: str
    words: dict[str, str] = field(default_factory=dict)
    concepts: dict[str, dict] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    tests: dict[str, dict] = field(default_factory=dict)

    def test(self, of: expressions.Expression) -> dict:
        """The test images of an expression, however it is written.

        Raises:
            ValueError: there are none.
        """
        for text, place in self.tests.items():
            if _parts(expressions.parse(text, self.words, self.where)) == _parts(of):
                return place
        raise ValueError(
            f"want: nobody knows which images show {of.text!r}, so that its CNN could not be measured. Write in "
            f"{self.where}: tests: {{{of.text}: {{positive: [FOLDER], negative: [FOLDER]}}}}."
        )


def _parts(of: expressions.Expression) -> set[frozenset]:
    return set(map(frozenset, of.clauses))


def vocabulary(source: str, dataset: str | None) -> frozenset[str]:
    """The words for synthetic images, or for those of a data set."""
    if source == "synthetic":
        return synthetic.VOCABULARY
    from zoofuse.data import torchvision  # imports torchvision

    return torchvision.VOCABULARY.get(str(dataset), frozenset())


def read(path: str | None) -> Names:
    """What a registry says; without one, the words for synthetic images and the shipped synonyms.

    Raises:
        ValueError: the file can't be read or is not as it must be; worded for users, a line for each fault.
    """
    if path is None:
        every = {word: {"source": "synthetic"} for word in sorted(synthetic.VOCABULARY)}
        shipped = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
        return _checked("resources/concepts.yaml", {"concepts": every | shipped["concepts"]})
    where = printable(path)
    try:
        content = yaml.safe_load(Path(os.path.expanduser(path)).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        cause = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise ValueError(f"registry: {where} can't be read: {cause}") from None
    faults = [*files.read([Path(os.path.expanduser(path))]).faults]
    if fault := files.size_fault(content):
        raise ValueError(f"registry: {where}: {fault}")
    if not isinstance(content, dict) or not isinstance(content.get("concepts"), dict):
        raise ValueError(f"registry: {where} has no concepts; write concepts: {{car: {{positive: [FOLDER], ...}}}}.")
    return _checked(where, content, faults)


def _checked(where: str, content: Mapping, faults: Iterable[str] = ()) -> Names:
    names, faults = Names(where), list(faults)
    faults += [_unknown(f"{where}: {key}", key, ("concepts", "tests")) for key in set(content) - {"concepts", "tests"}]
    for name, entry in content["concepts"].items():
        at, word = f"{where}: concepts.{name}", str(name).lower()
        if not isinstance(entry, dict):
            faults.append(f"{at}: write a mapping, such as {{positive: [FOLDER], negative: [FOLDER]}}.")
            continue
        synonyms = entry.get("synonyms") or []
        if not isinstance(synonyms, list):
            faults.append(f"{at}.synonyms: write a list, such as [{synonyms}].")
            synonyms = []
        for written in (name, *synonyms):
            other = str(written).lower()
            if not _WORD.fullmatch(other) or other in _NO_WORDS:
                faults.append(f"{at}: {written!r} can't be a name; write one word of letters, digits, '_' and '-'.")
            elif other in names.words:
                faults.append(f"{at}: {written!r} already stands for {names.words[other]}; a word has one meaning.")
            else:
                names.words[other] = word
        faults += _entry(at, word, entry, names)
    tests = content.get("tests") or {}
    if not isinstance(tests, dict):
        faults.append(f"{where}: tests: write a mapping from expressions to positive and negative images.")
    for text, place in tests.items() if isinstance(tests, dict) and not faults else ():
        if isinstance(place, dict):
            names.tests[str(text)] = place
        else:
            faults.append(f"{where}: tests.{text}: write {{positive: [FOLDER], negative: [FOLDER]}}.")
        try:
            expressions.parse(str(text), names.words, f"{where}: tests")
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("\n  ".join(f"registry: {fault}" for fault in dict.fromkeys(faults)))
    return names


def _entry(at: str, word: str, entry: Mapping, names: Names) -> Iterable[str]:
    """Add what a name stands for; gives what is wrong with it."""
    for key in set(entry) - set(_KEYS):
        yield _unknown(f"{at}.{key}", key, _KEYS)
    settings = {key: value for key, value in entry.items() if key not in _OTHERS}
    source = entry.get("source", "folder")
    if source == "folder" or "zoo" in entry:
        if ("zoo" in entry) == ({"positive", "negative"} <= set(entry)) or "class" in entry:
            yield (
                f"{at}: write one of positive and negative (folders), zoo (an existing zoo), or source: synthetic or "
                "torchvision with class."
            )
        names.concepts[word] = settings
        return
    dataset, title = entry.get("dataset"), str(entry.get("class", word)).lower()
    known = vocabulary(source, dataset) if source in ("synthetic", "torchvision") else frozenset()
    if not known:
        yield f"{at}: {source} {dataset or ''} is unknown; write source: synthetic, or torchvision with a dataset."
    elif title not in known:
        close = difflib.get_close_matches(title, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(sorted(known))}."
        yield f"{at}: {title!r} is not a class of {dataset or source} images; {hint}"
    elif {"positive", "negative"} & set(entry):
        yield f"{at}: a class names its images itself; leave positive and negative out."
    names.classes[word] = (source, dataset, title)
    names.concepts[word] = settings | {"positive": [title], "negative": [f"non-{title}"]}


def _unknown(at: str, key: object, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(str(key), known, 1)
    return f"{at}: unknown key{f'; write {close[0]}' if close else ''}. Known here: {', '.join(known)}."
