"""Recipes of a factory zoo: which factors each CNN is trained by."""

from dataclasses import replace

import numpy as np
import pytest

from zoofuse.zoo import recipes
from zoofuse.zoo.recipes import Recipe, checked, recipe


def drawn(factors: dict, models: range = range(200), zoo: str = "zoo") -> list[Recipe]:
    factors = {name: checked(name, factor) for name, factor in factors.items()}
    return [recipe(factors, 1, zoo, model) for model in models]


def test_without_factors_every_cnn_has_the_defaults_and_a_seed_of_its_own():
    assert drawn({}, range(2)) == [Recipe(), Recipe(seed=1)]


def test_grids_are_a_product_over_the_index_and_begin_again():
    factors = {"seed": [0, 1, 2], "optimiser": {"grid": ["adam", "sgd"]}, "epochs": 4}
    made = drawn(factors, range(12))
    assert [(one.optimiser, one.seed) for one in made[:6]] == [
        *(("adam", 0), ("sgd", 0), ("adam", 1), ("sgd", 1), ("adam", 2), ("sgd", 2))
    ]
    assert made[6:] == made[:6]
    assert {one.epochs for one in made} == {4}
    assert recipes.combinations({name: checked(name, of) for name, of in factors.items()}) == 6


def test_drawn_factors_keep_to_their_ranges_and_fill_them():
    factors = {
        "learning_rate": {"log_uniform": ["1e-4", 0.1]},
        "label_noise": {"uniform": [0, 0.5]},
        "batch_size": {"uniform": [8, 12]},
        "activation": {"choice": ["relu", "tanh"]},
    }
    made = drawn(factors)
    rates = np.array([one.learning_rate for one in made])
    assert rates.min() >= 1e-4
    assert rates.max() <= 0.1
    assert 0.4 < np.mean(rates < 10**-2.5) < 0.6, "half of them below the geometric mean"
    assert 0.2 < np.mean([one.label_noise for one in made]) < 0.3
    assert {one.batch_size for one in made} == {8, 9, 10, 11, 12}
    assert all(isinstance(one.batch_size, int) for one in made)
    assert 60 < sum(one.activation == "tanh" for one in made) < 140
    assert abs(np.corrcoef(rates, [one.label_noise for one in made])[0, 1]) < 0.2, "drawn from one stream"


def test_a_recipe_depends_on_zoo_and_index_only():
    factors = {"learning_rate": {"uniform": [0.001, 0.1]}}
    longer = drawn(factors | {"epochs": [3]}, range(7, 8))
    assert longer == [replace(drawn(factors)[7], epochs=3)]
    assert drawn(factors)[7] != drawn(factors, zoo="other")[7]
    assert recipes.varied({name: checked(name, of) for name, of in factors.items()}) == ["learning_rate", "seed"]


@pytest.mark.parametrize(
    ("name", "factor", "words"),
    [
        ("learning_rate", 0, "0 is out of range; write more than 0 and at most 10"),
        ("learning_rate", {"log_uniform": [0.1, 0.01]}, "write the lowest and the highest value"),
        ("weight_decay", {"log_uniform": [0, 0.01]}, "must be more than 0"),
        ("learning_rate", {"normal": [0, 1]}, "write one of grid, uniform, log_uniform, choice"),
        ("learning_rate", {"grid": []}, "grid: write a list"),
        ("epochs", 2.5, "2.5 is not a whole number"),
        ("epochs", {"grid": [True]}, "True is not a number"),
        ("optimiser", {"uniform": ["adam", "sgd"]}, "write one of grid, choice"),
        ("optimiser", ["adam", "adagrad"], "'adagrad' is unknown; write one of adam, adamw, sgd"),
        ("dropout", [0.1, 0.1], "names a value twice"),
        ("seed", "x", "'x' is not a number"),
    ],
)
def test_unusable_factors_are_refused_with_what_to_write(name, factor, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        checked(name, factor)


def test_rates_follow_the_schedule():
    one = Recipe(epochs=2, batch_size=40, learning_rate=0.5, schedule="linear")
    assert one.batches(100) == [slice(0, 40), slice(40, 80), slice(80, 100)]
    np.testing.assert_allclose(one.learning_rates(100), 0.5 * (1 - np.arange(6) / 6))
