"""Intervals: the measures against scikit-learn, coverage at the nominal rate, degenerate cases."""

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from zoofuse.core import intervals

TRUTH = np.repeat([True, False], [17, 27])  # as small as the published test images' halves
DRAWS = 1000
REPEATS = 300


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def nominal(rate, level=0.95, repeats=REPEATS):
    """Whether a rate of coverage is the level's, give or take three binomial standard errors; more is no fault."""
    return rate > level - 3 * np.sqrt(level * (1 - level) / repeats)


def correlated(rng, size, share=0.7):
    """Two rows of normal numbers of that correlation over images, as two CNNs' scores would have."""
    return np.sqrt(share) * rng.normal(size=size) + np.sqrt(1 - share) * rng.normal(size=(2, size))


class TestMeasures:
    def test_balanced_accuracy_is_scikit_learns(self, rng):
        answers = rng.random((20, 44)) < rng.random((20, 1))
        expected = [balanced_accuracy_score(TRUTH, row) for row in answers]
        np.testing.assert_allclose(intervals.balanced_accuracy(answers, TRUTH), expected)

    def test_auroc_is_scikit_learns_with_ties(self, rng):
        scores = rng.integers(0, 5, (20, 44)) + TRUTH
        scores[0] = 3  # nothing but ties
        expected = [roc_auc_score(TRUTH, row) for row in scores]
        np.testing.assert_allclose(intervals.auroc(scores, TRUTH), expected)
        assert intervals.auroc(scores, TRUTH)[0] == 0.5

    def test_by_hand(self):
        truth = np.array([True, True, False, False, False])
        assert intervals.balanced_accuracy([[True, False, False, False, True]], truth) == pytest.approx(7 / 12)
        assert intervals.auroc([[3, 1, 2, 1, 0]], truth) == pytest.approx((3 + 1.5) / 6)

    def test_refuses_a_class_without_images(self):
        with pytest.raises(ValueError, match="The test has no negative images"):
            intervals.balanced_accuracy(np.ones((1, 3), bool), np.ones(3, bool))


class TestResamples:
    @pytest.mark.parametrize("added", [False, True])
    def test_each_class_weighs_one_and_the_seed_says_which(self, added):
        weights = intervals.resamples(TRUTH, 1, 200, added)
        assert weights[:44][~TRUTH].sum() + weights[:44][TRUTH].sum() + weights[44].sum() == pytest.approx(
            400, rel=1e-5
        )
        assert (weights[44] > 0).any() == added
        np.testing.assert_array_equal(weights, intervals.resamples(TRUTH, 1, 200, added))
        assert (weights != intervals.resamples(TRUTH, 2, 200, added)).any()

    def test_the_variance_is_the_unbiased_one(self, rng):
        shares = np.append(rng.random(44), 0)
        drawn = shares @ intervals.resamples(TRUTH, 0, 20000)[:-1]
        expected = sum(shares[:44][side == TRUTH].var(ddof=1) / (side == TRUTH).sum() for side in (True, False))
        assert drawn.var() == pytest.approx(expected, rel=0.05)
        assert drawn.mean() == pytest.approx(intervals.measure(shares, TRUTH), abs=0.005)

    def test_the_auroc_spreads_as_its_own_bootstrap_does(self, rng):
        scores = rng.normal(size=(1, 44)) + TRUTH
        drawn = intervals.rank_shares(scores, TRUTH)[0] @ intervals.resamples(TRUTH, 0, DRAWS)[:-1]
        drawn_again = np.column_stack([rng.choice(17, (DRAWS, 17)), 17 + rng.choice(27, (DRAWS, 27))])
        exact = intervals.auroc(scores[0][drawn_again], TRUTH)
        assert drawn.std() == pytest.approx(np.std(exact), rel=0.1)


class TestPhotographs:
    weights = intervals.resamples(TRUTH, 0, DRAWS, added=True)

    def coverage(self, shares, value):
        """Of the intervals of shares (repeats, m + 1): the share that covers a value."""
        bounds = np.array([intervals.image_interval(row, self.weights) for row in shares])
        return np.mean((bounds[:, 0] <= value + 1e-6) & (value - 1e-6 <= bounds[:, 1])), np.ptp(bounds, axis=1).mean()

    @pytest.mark.parametrize("right", [0.5, 0.8, 0.97])
    def test_balanced_accuracy_is_covered_at_the_nominal_rate(self, rng, right):
        answers = (rng.random((REPEATS, 44)) < right) == TRUTH
        rate, width = self.coverage(intervals.accuracy_shares(answers, TRUTH), right)
        assert nominal(rate)
        assert width < 0.32

    @pytest.mark.parametrize("distance", [0, 1, 2.5])
    def test_auroc_is_covered_at_the_nominal_rate(self, rng, distance):
        scores = rng.normal(size=(REPEATS, 44)) + distance * TRUTH
        rate, width = self.coverage(intervals.rank_shares(scores, TRUTH), stats.norm.cdf(distance / np.sqrt(2)))
        assert nominal(rate)
        assert width < 0.37

    @pytest.mark.parametrize("shares", [intervals.accuracy_shares, intervals.rank_shares])
    def test_two_equal_cnns_do_not_differ_at_the_nominal_rate(self, rng, shares):
        found = []
        for _ in range(REPEATS):
            scores = correlated(rng, 44) + TRUTH
            a, b = shares(scores > 0.5 if shares is intervals.accuracy_shares else scores, TRUTH)
            found.append(a - b)
        rate, width = self.coverage(np.array(found), 0)
        assert nominal(rate)
        assert rate < 1  # an interval that always covers says nothing
        assert width < 0.37

    def test_pairing_tells_a_difference_that_two_intervals_do_not(self):
        ours, theirs = intervals.accuracy_shares(np.stack([TRUTH, TRUTH ^ (np.arange(44) % 7 == 0)]), TRUTH)
        low, high = intervals.image_interval(ours - theirs, self.weights)
        assert 0 < low < intervals.measure(ours - theirs, TRUTH) < high
        (least, _), (_, most) = (intervals.image_interval(each, self.weights) for each in (ours, theirs))
        assert least < most

    def test_agrees_with_scipy_where_there_are_many_images(self, rng):
        truth = np.repeat([True, False], 400)
        answers = (rng.random((1, 800)) < 0.7) == truth
        ours = intervals.image_interval(
            intervals.accuracy_shares(answers, truth)[0], intervals.resamples(truth, 0, 4000, added=True)
        )
        right = (answers[0] == truth).astype(float)
        theirs = stats.bootstrap(
            (right[truth], right[~truth]),
            lambda a, b, axis: (a.mean(axis) + b.mean(axis)) / 2,
            n_resamples=4000,
            method="BCa",
            rng=rng,
        ).confidence_interval
        np.testing.assert_allclose(ours, theirs, atol=0.005)

    @pytest.mark.parametrize("shares", [intervals.accuracy_shares, intervals.rank_shares])
    def test_perfect_separation_is_not_certain(self, shares):
        low, high = intervals.image_interval(shares(TRUTH[None], TRUTH)[0], self.weights)
        assert 0.75 < low < 0.97
        assert high >= 1 - 1e-6

    def test_one_image_of_a_class_leaves_nearly_everything_open(self):
        truth = np.repeat([True, False], [1, 30])
        weights = intervals.resamples(truth, 0, DRAWS, added=True)
        low, high = intervals.image_interval(intervals.accuracy_shares(truth[None], truth)[0], weights)
        assert low <= 0.5
        assert high == pytest.approx(1)


class TestInterval:
    def test_a_corrected_level_is_wider_by_the_normal_quantiles(self, rng):
        draws = rng.normal(size=20000)
        assert intervals.interval(draws) == pytest.approx((-1.96, 1.96), abs=0.05)
        assert intervals.corrected(20) == pytest.approx(0.9975)
        assert intervals.interval(draws, intervals.corrected(20)) == pytest.approx((-3.02, 3.02), abs=0.15)

    def test_a_level_beyond_the_draws_is_widened_and_a_long_tail_counts(self, rng):
        found = intervals.interval(rng.normal(size=4000), intervals.corrected(1000))
        assert found == pytest.approx((-4.06, 4.06), abs=0.25)
        two_heaps = np.repeat([0.0, 1.0], [990, 10])
        assert intervals.interval(two_heaps) == (0, 0)
        assert intervals.interval(two_heaps, intervals.corrected(20)) == (0, 1)

    def test_verdicts(self):
        assert intervals.verdict(0.01, 0.2) == "better"
        assert intervals.verdict(-0.2, -0.01) == "worse"
        assert intervals.verdict(-0.1, 0.1) == intervals.verdict(0, 0) == "inconclusive"


class TestMedians:
    weights = intervals.resamples(TRUTH, 0, DRAWS)

    def zoo(self, rng, n, skill, ease, dead=0.0):
        """Answers (n, 44) of CNNs whose skill varies, to images that are not equally easy for this method."""
        right = skill + 0.3 * rng.normal(size=(n, 1)) + ease + rng.normal(size=(n, 44)) > 0
        right[rng.random(n) < dead] = ~TRUTH  # always no
        return right == TRUTH

    def draws(self, answers, seed=0, *names):
        return intervals.median_draws(intervals.accuracy_shares(answers, TRUTH), TRUTH, self.weights, seed, *names)

    def rate(self, rng, ours, theirs, spread, dead=0.0, repeats=200):
        verdicts = []
        for i in range(repeats):
            shared = 0.5 * rng.normal(size=44)
            a, b = (
                self.draws(self.zoo(rng, n, skill, shared + spread * rng.normal(size=44), dead), i, n, skill, name)
                for (n, skill), name in ((ours, "ours"), (theirs, "theirs"))
            )
            verdicts.append(intervals.verdict(*intervals.median_interval(a, b)))
        return np.mean([verdict != "inconclusive" for verdict in verdicts])

    @pytest.mark.parametrize(("spread", "dead"), [(0, 0), (0.7, 0), (0, 0.5)])
    def test_a_method_equal_to_its_control_is_called_different_at_most_at_the_nominal_rate(self, rng, spread, dead):
        assert nominal(1 - self.rate(rng, (60, 0.3), (40, 0.3), spread, dead), repeats=200)

    def test_the_nominal_rate_is_used_where_methods_differ_in_images(self, rng):
        assert self.rate(rng, (60, 0.3), (40, 0.3), 0.7) > 0.01

    def test_a_method_better_by_a_known_amount_is_detected(self, rng):
        assert self.rate(rng, (60, 0.9), (40, 0.3), 0, repeats=30) == 1

    @pytest.mark.parametrize("n", [1, 2, 9, 10])
    def test_cnns_are_drawn_as_if_one_by_one(self, rng, n):
        answers = rng.random((n, 44)) < 0.5
        scores = intervals.balanced_accuracy(answers, TRUTH)
        one_by_one = np.median(rng.choice(scores, (DRAWS, n)), axis=1)
        drawn = self.draws(answers)[0]
        assert np.unique(one_by_one).size >= np.unique(drawn.round(9)).size // 2
        for share in (0.1, 0.3, 0.5, 0.7, 0.9):
            value = np.quantile(one_by_one, share)
            assert np.mean(drawn <= value + 1e-9) == pytest.approx(np.mean(one_by_one <= value + 1e-9), abs=0.07)

    def test_images_are_drawn_as_if_one_by_one(self, rng):
        answers = rng.random((7, 44)) < 0.5
        drawn = self.draws(answers)
        shares = intervals.accuracy_shares(answers, TRUTH)
        for row, part in zip(drawn[1:], (shares, shares[::2], shares[1::2]), strict=True):
            expected = [np.median(part[:, :44] @ self.weights[:44, i]) for i in range(5)]
            np.testing.assert_allclose(row[:5], expected, atol=1e-6)

    def test_equal_cnns_do_not_differ_and_constant_ones_have_no_spread(self):
        same = np.repeat(TRUTH[None], 30, axis=0)
        assert intervals.median_interval(self.draws(same, 0, "a"), self.draws(same, 0, "b")) == pytest.approx((0, 0))
        low, high = intervals.median_interval(self.draws(same), self.draws(same & False))
        assert low == pytest.approx(high) == pytest.approx(0.5)

    def test_one_cnn_has_the_interval_of_its_images(self, rng):
        answers = (rng.random((1, 44)) < 0.8) == TRUTH
        ours, nothing = self.draws(answers), self.draws(np.zeros((1, 44), bool))
        value = intervals.balanced_accuracy(answers, TRUTH)[0]
        low, high = intervals.median_interval(ours, nothing)
        assert low < value - 0.5 < high
        expected = intervals.interval(intervals.accuracy_shares(answers, TRUTH)[0] @ self.weights[:-1])
        assert (low + 0.5, high + 0.5) == pytest.approx(expected, abs=0.01)


class TestSelectionBias:
    def test_the_best_of_many_noise_cnns_is_flattered_on_validation_and_honest_on_test(self, rng):
        chosen, tested, covered = [], [], []
        weights = intervals.resamples(TRUTH, 0, DRAWS, added=True)
        for _ in range(REPEATS):
            validation, test = rng.random((2, 400, 44)) < 0.5
            scores = intervals.balanced_accuracy(validation, TRUTH)
            shares = intervals.accuracy_shares(test, TRUTH)[np.argmax(scores)]
            low, high = intervals.image_interval(shares, weights)
            chosen.append(scores.max())
            tested.append(intervals.measure(shares, TRUTH))
            covered.append(low <= 0.5 <= high)
        bias = np.mean(np.subtract(chosen, tested))
        assert np.mean(chosen) > 0.68
        assert np.mean(tested) == pytest.approx(0.5, abs=0.015)
        assert bias > 0.15
        assert nominal(np.mean(covered))
