"""A task's score from one-against-rest networks: what no training is needed for.

Each class has a zoo that tells it from the rest. A task, some classes against the others, is an expression over these
concepts: "cat or dog", with or without "and not car". `or` takes the concepts to be independent, as a conjunction of
two zoos does; `odds` knows that an image shows exactly one of the classes.
"""

import numpy as np
from scipy.special import expit, softmax

TINY = 1e-12


def odds(logits: np.ndarray, members: np.ndarray) -> np.ndarray:
    """P(one of the task's classes | exactly one class): the softmax of the log odds, summed.

    With independent concepts, P(only class c) is proportional to p / (1 - p) of class c.
    """
    return softmax(logits, axis=0)[members].sum(0)


def share(logits: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The probabilities of the task's classes, as a share of those of all."""
    probability = expit(logits)
    return probability[members].sum(0) / np.maximum(probability.sum(0), TINY)


def either(logits: np.ndarray, members: np.ndarray) -> np.ndarray:
    """P(c1 or c2 or ...) of independent concepts."""
    return 1 - (1 - expit(logits[members])).prod(0)


def either_only(logits: np.ndarray, members: np.ndarray) -> np.ndarray:
    """P((c1 or c2 or ...) and not d1 and not d2 ...) of independent concepts."""
    return either(logits, members) * (1 - expit(logits[~members])).prod(0)


def largest(logits: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The largest log odds of the task's classes minus the largest of the others (fuzzy or, without a scale)."""
    return logits[members].max(0) - logits[~members].max(0)


def mean(logits: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The mean probability of the task's classes minus that of the others."""
    probability = expit(logits)
    return probability[members].mean(0) - probability[~members].mean(0)


RULES = {"odds": odds, "share": share, "or": either, "or_and_not": either_only, "largest": largest, "mean": mean}
"""Name -> score (n,) from log odds (k, n) of k classes and the task's classes, bool (k,)."""
