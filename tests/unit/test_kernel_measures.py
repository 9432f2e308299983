import itertools

import numpy as np
import pytest

from zoofuse.core import rng
from zoofuse.methods.cyclegan import measures


def sample(n, *names, scale=0.1, out=6, channels=3):
    """Kernel sets around one pattern, so that they vary less between sets than within one."""
    pattern = rng.uniform((out, channels, 5, 5), 0, "pattern") - np.float32(0.5)
    noise = rng.uniform((n, out, channels, 5, 5), 0, *names) - np.float32(0.5)
    return np.float32(scale) * (pattern + noise)


REAL = {"A": sample(40, "A"), "B": sample(40, "B") + np.float32(0.05)}
TRAINING = {"A": sample(60, "A training"), "B": sample(60, "B training") + np.float32(0.05)}
SHIFT = {"B": lambda x: x + np.float32(0.05), "A": lambda x: x - np.float32(0.05)}  # the right answer
SCALES = {"A": (0.0, 1.0), "B": (0.0, 1.0)}


def judge(domain, kernels):
    return (kernels.mean((1, 2, 3, 4)) > 0.025).astype(float) if domain == "B" else np.full(len(kernels), 0.9)


def row(translate, **changed):
    arguments = {"translate": translate, "judge": judge, "scales": SCALES} | changed
    return measures.measure(REAL, TRAINING, **arguments)


def history(translate, **changed):
    return {name: np.array([np.nan, value], np.float32) for name, value in row(translate, **changed).items()}


# -- energy distance


def test_energy_distance_of_equal_distributions_is_nothing_on_average():
    values = [measures.energy_distance(*rng.uniform((2, 30, 4), 0, "same", repetition)) for repetition in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert min(values) < 0 < max(values)


def test_energy_distance_is_the_textbooks():
    x, y = np.array([[0.0], [1.0]]), np.array([[3.0], [5.0]])
    between, x_within, y_within = (3 + 5 + 2 + 4) / 4, 1, 2
    assert measures.energy_distance(x, y) == pytest.approx((2 * between - x_within - y_within) / (2 * between))


def test_energy_distance_grows_with_the_shift_and_ends_at_one():
    x, y = rng.uniform((2, 100, 4), 0, "energy")
    values = [measures.energy_distance(x, y + shift) for shift in (0, 0.2, 1, 100)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1, abs=0.01)
    assert measures.energy_distance(100 * x, 100 * (y + 1)) == pytest.approx(values[2])


# -- distance to the nearest training set


def test_set_distance_does_not_see_the_order_of_filters():
    x = sample(5, "order")
    shuffled = x[:, [3, 1, 5, 0, 2, 4]]
    distances = measures.set_distances(x, shuffled)
    np.testing.assert_allclose(np.diag(distances), 0, atol=1e-6)
    others = distances[~np.eye(5, dtype=bool)]
    assert others.min() > 0.1
    assert np.linalg.norm((x - shuffled).reshape(5, -1), axis=1).min() > 0.1


def test_set_distance_is_the_least_over_all_orders():
    x, y = sample(2, "x", out=4), sample(2, "y", out=4)
    for i, j in np.ndindex(2, 2):
        least = min(np.linalg.norm(x[i] - y[j][list(order)]) for order in itertools.permutations(range(4)))
        assert measures.set_distances(x, y)[i, j] == pytest.approx(least, rel=1e-6)


def test_nearness_tells_copies_from_new_sets():
    assert measures.nearness(TRAINING["A"][:10, ::-1], REAL["A"], TRAINING["A"]) == pytest.approx(0, abs=1e-4)
    assert measures.nearness(sample(10, "new"), REAL["A"], TRAINING["A"]) == pytest.approx(1, abs=0.1)


# -- all measures


def test_the_right_translation_scores_as_one():
    values = row(SHIFT)
    for domain in "AB":
        assert values[f"cycle_error_{domain}"] < 1e-5
        assert abs(values[f"distance_{domain}"]) < 0.1 * values[f"untranslated_distance_{domain}"]
        assert values[f"spread_{domain}"] == pytest.approx(1, abs=0.1)
        assert values[f"nearest_{domain}"] == pytest.approx(1, abs=0.2)
        assert values[f"likeness_{domain}"] == pytest.approx(1)
        assert values[f"dead_{domain}"] == values[f"saturated_{domain}"] == 0
    assert values["change_B"] == pytest.approx(0.05 / np.abs(REAL["A"]).mean(), rel=1e-4)
    assert values["identity_error_B"] == pytest.approx(0.05 / np.abs(REAL["B"]).mean(), rel=1e-4)
    assert values["discriminator_accuracy_B"] == 0.5, "it takes translated kernels for real"
    assert values["discriminator_accuracy_A"] == 0.5, "it takes everything for real"


def test_the_discriminators_accuracy_counts_both_kinds():
    values = row({"A": SHIFT["A"], "B": lambda x: x})
    assert values["discriminator_accuracy_B"] == 1


def test_saturation_is_counted_at_the_ends_of_tanh_in_weights():
    scales = {"A": (0.0, 1.0), "B": (0.05, 0.4)}
    ends = {"A": SHIFT["A"], "B": lambda x: np.where(np.arange(5) < 2, np.float32(0.449), x)}
    values = row(ends, scales=scales)
    assert values["saturated_B"] == pytest.approx(0.4)
    assert values["saturated_A"] == 0
    assert values["dead_B"] == pytest.approx(0.4), "a constant output is dead, too"


# -- the verdict


def test_a_good_training_has_no_failure():
    text = measures.verdict(history(SHIFT))
    assert text.startswith("No failure found: A to B changes kernels by ")
    assert "nan" not in text
    other = measures.verdict(history(SHIFT), "BC")
    assert other == text.replace("B to A", "C to B").replace("A to B", "B to C")


@pytest.mark.parametrize(
    ("to_b", "message"),
    [
        (lambda x: np.broadcast_to(REAL["B"].mean(0), x.shape), "A to B degenerate"),
        (lambda x: x, "A to B is the identity map (it changes kernels by 0.0%)"),
        (lambda x: np.sign(x) * np.float32(0.999), "A to B saturates (100% of the outputs"),
        (lambda x: TRAINING["B"][: len(x)], "A to B copies training kernels (0.00 times"),
        (lambda x: x - np.float32(0.3), "A to B brings kernels no nearer"),
        (lambda x: REAL["A"].mean(0) + REAL["B"].mean(0) - x, "A to B loses its source (the correlation is -1.00"),
    ],
)
def test_the_verdict_names_the_failure(to_b, message):
    text = measures.verdict(history(SHIFT | {"B": to_b}))
    assert text.startswith("Training failed: ")
    assert message in text
    assert "B to A" not in text


def test_the_verdict_reads_the_last_measured_epoch():
    good, bad = row(SHIFT), row(SHIFT | {"B": lambda x: x})
    values = {name: np.array([bad[name], np.nan, good[name], np.nan], np.float32) for name in good}
    assert measures.verdict(values).startswith("No failure found")


def test_the_verdict_says_when_a_figure_is_not_finite_or_missing():
    broken = history(SHIFT) | {"loss_cycle": np.array([0.1, np.inf], np.float32)}
    assert measures.verdict(broken) == "Training failed: loss_cycle is inf."
    assert measures.verdict({"loss_cycle": np.ones(3)}) == "Nothing was measured."
