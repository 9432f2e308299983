"""How well a CNN's test accuracy can be predicted from its weights alone, the first task on populations of networks.

Features are statistics of each layer's weights and biases (Unterthiner et al. 2020, "Predicting Neural Network Accuracy
from Weights", arXiv:2002.11448), predictors gradient boosting and ridge regression on them, and always the mean of the
training CNNs. Scored is Kendall's tau on CNNs that no predictor was fitted to.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from zoofuse.core import rng

QUANTILES = (0, 0.25, 0.5, 0.75, 1)
STATISTICS = ("mean", "variance", *(f"quantile_{100 * q:.0f}" for q in QUANTILES))
PREDICTORS = {
    "boosting": "gradient boosting on layer statistics",
    "ridge": "ridge regression on layer statistics",
    "mean": "always the mean",
}
COLUMNS = ["zoo", "predictor", "n_train", "n_test", "tau", "low", "high"]
FEWEST = 50  # CNNs; of fewer, some 15 are held out, and an interval over so few says nothing
HELD_OUT = 0.3
DRAWS = 1000
_LEVEL = 0.95


class Predicted(NamedTuple):
    """rows: those of the table COLUMNS. truth: (n_test,). predictions: predictor -> (n_test,)."""

    rows: pd.DataFrame
    truth: np.ndarray
    predictions: dict[str, np.ndarray]


def statistics(weights: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """The statistics of each parameter of n CNNs.

    Args:
        weights: name -> (n, ...).
        names: parameters, in the order of the columns.

    Returns:
        (n, 7 * len(names)) float64: STATISTICS of the first parameter, of the second, and so on.
    """
    columns = []
    for name in names:
        values = weights[name].reshape(len(weights[name]), -1).astype(np.float64)
        columns += [values.mean(1), values.var(1), *np.quantile(values, QUANTILES, axis=1)]
    return np.stack(columns, 1)


def predict(features: np.ndarray, accuracy: np.ndarray, zoo: str, seed: int) -> Predicted:
    """Fit every predictor to most CNNs of a zoo, and score it on the others.

    Args:
        features: (n, f), of `statistics`.
        accuracy: (n,), what is to be predicted. CNNs with NaN or Inf in either are left out.
        zoo: its name, which the split depends on.
        seed: the run's seed.

    Returns:
        The scores and predictions; no rows if fewer than FEWEST CNNs can be used, or all have one accuracy.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    usable = np.isfinite(features).all(1) & np.isfinite(accuracy)
    features, accuracy = features[usable], accuracy[usable]
    if len(accuracy) < FEWEST or np.ptp(accuracy) == 0:
        return Predicted(pd.DataFrame(columns=COLUMNS), accuracy[:0], {})
    order = rng.permutation(len(accuracy), seed, "accuracy_from_weights", zoo)
    test, train = np.split(order, [round(HELD_OUT * len(order))])
    state = rng.small(seed, "accuracy_from_weights", zoo, "boosting")
    models = {
        "boosting": HistGradientBoostingRegressor(
            learning_rate=0.05, max_iter=400, early_stopping=False, random_state=state
        ),
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15))),
    }
    predictions = {}
    for name, model in models.items():
        predictions[name] = model.fit(features[train], accuracy[train]).predict(features[test])
    predictions["mean"] = np.full(len(test), accuracy[train].mean())
    rows = []
    for name in PREDICTORS:
        tau, low, high = tau_interval(predictions[name], accuracy[test], seed, zoo)
        rows.append([zoo, name, len(train), len(test), tau, low, high])
    return Predicted(pd.DataFrame(rows, columns=COLUMNS), accuracy[test], predictions)


def tau_interval(predicted: np.ndarray, truth: np.ndarray, seed: int, *names: str) -> tuple[float, float, float]:
    """Kendall's tau-b and its 95 % bootstrap interval over CNNs.

    Args:
        predicted, truth: (n,).
        seed, names: of the random stream.

    Returns:
        tau, low, high. A constant prediction orders nothing: 0, 0, 0.
    """
    n = len(truth)
    draws = (rng.uniform((DRAWS, n), seed, "tau_interval", *names) * n).astype(np.int64)
    resampled = [_tau(predicted[rows], truth[rows]) for rows in draws]
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return _tau(predicted, truth), float(low), float(high)


def _tau(predicted: np.ndarray, truth: np.ndarray) -> float:
    if np.ptp(predicted) == 0 or np.ptp(truth) == 0:
        return 0.0
    return float(stats.kendalltau(predicted, truth).statistic)
