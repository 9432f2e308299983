"""What a network is wanted for, as an expression over concepts."""

import copy
import itertools
import random

import pytest
import yaml

from zoofuse.config import ConfigError, complete, wanted
from zoofuse.data import expressions, synthetic
from zoofuse.workflow.run import Run

WORDS = ("black", "red", "cat", "car", "house")


def parse(text: str) -> expressions.Expression:
    return expressions.parse(text, WORDS, "want")


@pytest.mark.parametrize(
    ("text", "python", "slug"),
    [
        ("black cat", "black and cat", "black_and_cat"),
        ("black and not cat", "black and not cat", "black_and_not_cat"),
        ("Black non-cat", "black and not cat", "black_and_not_cat"),
        ("red and (car or house)", "red and (car or house)", "red_and_car_or_house"),
        ("not (cat or car) black", "not (cat or car) and black", "not_cat_and_not_car_and_black"),
        ("black and (black or cat)", "black", "black"),
        ("red car or red house", "red and (car or house)", "red_and_car_or_house"),
    ],
)
def test_it_is_true_of_what_python_says(text, python, slug):
    expression = parse(text)
    for values in itertools.product((False, True), repeat=len(WORDS)):
        image = dict(zip(WORDS, values, strict=True))
        assert expression.holds([word for word in WORDS if image[word]]) == eval(python, {}, image)
    assert expression.slug == slug


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("kat and black", "'kat' is not a concept; did you mean cat"),
        ("black and", "a word is missing at the end"),
        ("black and or cat", "a word is missing before 'or'"),
        ("(black", "a parenthesis is not closed"),
        ("black)", "one parenthesis too many"),
        ("cat and not cat", "is a contradiction"),
        ("cat or not cat", "is true of every image"),
        ("black & cat", "'&' is not a concept"),
        ("cat " * 200, "write at most 400"),
    ],
)
def test_what_can_t_be_read_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse(text)


def test_two_hundred_random_expressions_are_read_right_or_refused():
    generator, known = random.Random(1), 0
    for _ in range(200):
        tokens = generator.choices(["and", "or", "not", "(", ")", *WORDS, "dog"], k=generator.randint(1, 14))
        try:
            expression = parse(" ".join(tokens))
        except ValueError as error:
            assert str(error).startswith("want: ")  # noqa: PT017
            continue
        known += 1
        text = " ".join(tokens)
        for previous, following in itertools.pairwise(tokens):  # words side by side
            if previous in (*WORDS, ")") and following in (*WORDS, "not", "("):
                text = text.replace(f"{previous} {following}", f"{previous} and {following}")
        for values in itertools.product((False, True), repeat=len(WORDS)):
            image = dict(zip(WORDS, values, strict=True))
            assert expression.holds([w for w in WORDS if image[w]]) == eval(text, {}, image), tokens
    assert known > 15


def default(root) -> dict:
    return yaml.safe_load((root / "config/config.yaml").read_text())


@pytest.mark.parametrize("want", ["black and not cat", "red and (car or house)", "(cat or dog) and not black"])
def test_no_image_of_what_is_wanted_is_trained_on(root, want):
    config = complete(default(root) | {"want": want})
    expression = expressions.parse(want, synthetic.VOCABULARY, "want")
    (name, fusion), clauses = next(iter(config["fusions"].items())), dict(enumerate(expression.clauses))
    assert name == expression.slug

    def images(selectors):
        return [synthetic._words(*pair) for pair in synthetic.scenes(selectors)]

    for place, concept in enumerate(fusion["concepts"]):
        settings = config["concepts"][concept]
        clause = expressions.Expression("", (clauses[place],))
        assert not any(expression.holds(words) for side in ("positive", "negative") for words in images(settings[side]))
        assert all(clause.holds(words) for words in images(settings["positive"]))
        assert not any(clause.holds(words) for words in images(settings["negative"]))
    assert all(expression.holds(words) for words in images(fusion["test"]["positive"]))
    assert not any(expression.holds(words) for words in images(fusion["test"]["negative"]))


@pytest.mark.parametrize(
    ("want", "words"),
    [
        ("cat", "is one concept"),
        ("animal and cat", "without showing"),
        ("black white cat", "no synthetic image shows"),
        ("black and kat", "did you mean cat"),
    ],
)
def test_what_nothing_can_be_composed_of_is_refused(root, want, words):
    with pytest.raises(ConfigError, match=words):
        complete(default(root) | {"want": want})


def test_a_colour_that_all_images_of_a_concept_have_is_said(root):
    def said(**more) -> list[str]:
        return list(wanted.caveats(complete(default(root) | more)))

    (line,) = said(want="(cat or dog) and not black")
    assert "every image of cat_or_dog_of_cat_or_dog_and_not_black that may be trained on is black" in line
    assert said() == said(want="black and not cat") == said(want="white (cat or dog)") == []
    config = complete(default(root) | {"want": "(cat or dog) and not black"})
    assert [concept["negative"] for concept in config["concepts"].values()] == [["black non-cat non-dog"]] * 2
    lines = []
    Run(complete(default(root) | {"want": "not black cat"}), warn=lines.append)
    assert len(lines) == 1


def test_a_fusion_s_expression_exchanges_the_images_of_a_negated_concept(root):
    config = default(root)
    fusion = config["fusions"]["black_cat"]
    fusion["expression"] = "black and not cat"
    with pytest.raises(ConfigError, match=r"leave out fusions.black_cat.concepts"):
        complete(copy.deepcopy(config))
    del fusion["concepts"]
    done = complete(copy.deepcopy(config))
    assert done["fusions"]["black_cat"]["concepts"] == ["black", "not_cat"]
    assert done["concepts"]["not_cat"]["positive"] == config["concepts"]["cat"]["negative"]
    assert done["concepts"]["not_cat"]["negative"] == config["concepts"]["cat"]["positive"]
    fusion["expression"] = "black and (cat or black)"
    with pytest.raises(ConfigError, match="joins 1 concepts; join 2 to 5"):
        complete(copy.deepcopy(config))
    config["concepts"]["dog"] = config["concepts"]["cat"]
    fusion["expression"] = "black and (cat or dog)"
    composed = complete(copy.deepcopy(config))
    assert composed["fusions"]["black_cat"]["concepts"] == ["black", "cat", "dog"]
    assert composed["fusions"]["black_cat"]["expression"] == "(black) and (cat or dog)"
