import pytest

from zoofuse.data import query

VOCABULARY = {"black", "white", "cat", "dog", "animal", "Bombay"}


@pytest.mark.parametrize(
    ("text", "matching"),
    [
        ("black cat", {"black cat"}),
        ("non-cat", {"black dog", "white dog"}),
        ("black non-cat", {"black dog"}),
        ("Non-Black  CAT", {"white cat"}),
        ("animal", {"black cat", "white cat", "black dog", "white dog"}),
    ],
)
def test_a_selector_takes_images_with_every_plain_word_and_no_excluded_one(text, matching):
    images = ["black cat", "white cat", "black dog", "white dog"]
    selector = query.parse(text, VOCABULARY)
    assert {image for image in images if selector.matches([*image.split(), "animal"])} == matching


def test_a_vocabulary_in_capitals_is_read_in_lower_case():
    assert query.parse("bombay", VOCABULARY) == query.parse("BOMBAY", VOCABULARY)
    assert query.parse("Bombay", VOCABULARY).required == {"bombay"}


def test_equal_selectors_are_one_whatever_the_order_of_words():
    assert len({query.parse("black non-cat", VOCABULARY), query.parse("non-cat black", VOCABULARY)}) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("blak cat", "'blak'; did you mean black"),
        ("non-catt", "'catt'; did you mean cat"),
        ("xylophone", "animal, black, bombay, cat, dog, white"),
        ("cat non-cat", "asks for cat and excludes it"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(text, says):
    with pytest.raises(ValueError, match=says):
        query.parse(text, VOCABULARY)
