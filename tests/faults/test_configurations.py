"""Random configurations, made by spoiling valid ones: each is refused in words or can be planned."""

import copy
import datetime
import json
import re

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_project import CONFIG

from zoofuse import config
from zoofuse.workflow import estimate

DRAWN = {"source": "synthetic", "positive": ["cat"], "negative": ["non-cat"]}
VALID = [
    CONFIG,
    {
        "concepts": {"cat": DRAWN, "black": DRAWN},
        "fusions": {"black_cat": {"concepts": ["black", "cat"], "test": DRAWN}},
    },
    {
        "zoo_root": "zoos",
        "concepts": {"cat": {"zoo": "cat.h5", "layers": {"conv1": "net.0"}}, "black": {"zoo": "black.h5"}},
        "fusions": {"black_cat": {"concepts": ["black", "cat"], "generators": "g.h5", "test": DRAWN}},
    },
]
ODD = [
    "cat",
    "black",
    "synthetic",
    "-1",
    "1e999",
    ".nan",
    "9" * 30,
    "../..",
    "true",
    "Cat",
    "cat\n",
    "{cat}",
    "<logs>",
    "CON",
]
ODD += ["\x1b[2J", "a\0b", "\ud800", "x" * 5000, "file:///x", "~", "$HOME", "", "NA", "\u202e"]
TEXT = st.text(max_size=8) | st.sampled_from(ODD)
NUMBERS = (
    st.integers()
    | st.sampled_from([-1, 0, 10**9, 10**18, 10**400, 2.0, 1e17, float("inf")])
    | st.floats(allow_nan=True)
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT | st.dates() | st.binary(max_size=3)
KEYS = TEXT | st.none() | st.booleans() | st.integers() | st.just(datetime.date(2020, 1, 1)) | st.tuples(st.integers())
GARBAGE = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


def places(value, path=()):
    """The path of every value in nested mappings and lists."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


@st.composite
def spoiled(draw):
    """A valid configuration with one to three random faults."""
    found = copy.deepcopy(draw(st.sampled_from(VALID)))
    if draw(st.booleans()):
        found = config.complete(found)  # every setting there is, to be spoiled
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(found))))
        if not path:
            if draw(st.integers(0, 9)) == 0:
                return draw(GARBAGE)
            if isinstance(found, dict):
                found[draw(KEYS)] = draw(GARBAGE)
            continue
        place, key = at(found, path[:-1]), path[-1]
        if (kind := draw(st.sampled_from(["other", "other", "gone", "renamed", "added"]))) == "other":
            place[key] = draw(GARBAGE)
        elif kind == "gone":
            del place[key]
        elif isinstance(place, dict):
            place[draw(KEYS)] = place.pop(key) if kind == "renamed" else draw(GARBAGE)
        else:
            place.append(draw(GARBAGE))
    return found


def test_two_hundred_spoiled_configurations_are_refused_in_words():
    refused = []

    @settings(max_examples=400, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(spoiled())
    def refuse(given):
        reported = ""
        before = copy.deepcopy(given)
        try:
            done = config.complete(given)
        except config.ConfigError as error:
            heading, *faults = str(error).splitlines()
            assert heading.startswith("The configuration can't be used:")
            assert faults or heading.endswith(".")
            reported = "\n".join((heading, *faults))
            refused.append(given)
        else:
            json.dumps(done, allow_nan=False)
            assert config.complete(done) == done
            for concept in done["concepts"].values():
                concept["models"] = concept["models"] or 64
            assert estimate.text(done)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", reported)
        assert len(reported) < 20_000
        assert repr(given) == repr(before)

    refuse()
    assert len(refused) >= 200


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1, 2], "with keys at top level"),
        (CONFIG | {2024: {"models": 3}}, "the key 2024 is no text; write it in quotes"),
        (CONFIG | {"concepts": {"cat": None}}, "concepts.cat: None is of the wrong type; write a mapping"),
        (CONFIG | {"zoo": {"learning_rate": float("nan")}}, "zoo.learning_rate: infinite, not a number, or too large"),
        (CONFIG | {"seed": 10**30, "distil": {"models": 10**9}}, "seed: infinite, not a number, or too large"),
    ],
)
def test_snakemake_says_so_too(project, given, words):
    run = project.snakemake("-n", config=given)
    assert run.returncode == 1
    assert words in run.stdout
    assert "Traceback" not in run.stdout, run.stdout


def test_a_block_may_be_shared():
    """YAML's anchors give one mapping several places."""
    shared = yaml.safe_load("""
        concepts:
          cat: &drawn {source: synthetic, positive: [cat], negative: [non-cat]}
          black: *drawn
        fusions: {both: {concepts: [cat, black], test: *drawn}}
    """)
    assert "models" not in config.complete(shared)["fusions"]["both"]["test"]
    shared["zoo"] = {"epochs": 3.0}
    assert repr(config.complete(shared)["zoo"]["epochs"]) == "3"
    shared["itself"] = shared
    with pytest.raises(config.ConfigError, match="holds itself"):
        config.complete(shared)
