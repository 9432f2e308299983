"""How alike two feature spaces are, by four measures that need no common size: 1 where they are the same.

All are unchanged when a space is turned, moved or scaled as a whole.
"""

from collections.abc import Callable, Mapping

import numpy as np


def cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear centred kernel alignment (Kornblith et al. 2019, "Similarity of neural network representations").

    Args:
        one: (m, f) features of m images.
        other: (m, g) those of another network for the same images.

    Returns:
        0 to 1; 0 where a space is a single point.
    """
    one, other = _centred(one), _centred(other)
    sizes = np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other)
    return float(np.square(one.T @ other).sum() / sizes) if sizes else 0.0


def procrustes(one: np.ndarray, other: np.ndarray) -> float:
    """How well one space falls on the other when it is turned: 1 minus half the squared distance that remains.

    Args, Returns: as `cka` (Ding et al. 2021, "Grounding representation similarity with statistical testing").
    """
    return float(np.linalg.svd(_centred(one).T @ _centred(other), compute_uv=False).sum())


def rsa(one: np.ndarray, other: np.ndarray) -> float:
    """Rank correlation of the distances between images (Kriegeskorte et al. 2008); -1 to 1.

    Args:
        one, other: as `cka` takes them.
    """
    from scipy import stats  # half a second to import
    from scipy.spatial.distance import pdist

    distances = pdist(_centred(one)), pdist(_centred(other))
    return float(stats.spearmanr(*distances).statistic) if all(np.ptp(of) > 0 for of in distances) else 0.0


def mutual_neighbours(one: np.ndarray, other: np.ndarray, neighbours: int = 10) -> float:
    """The share of each image's nearest neighbours that both spaces name (Huh et al. 2024); 0 to 1.

    Args:
        one, other: as `cka` takes them.
        neighbours: so many of each image, less than m.
    """
    near = [_nearest(_centred(of), neighbours) for of in (one, other)]
    return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(*near, strict=True)]) / neighbours)


MEASURES: Mapping[str, Callable[..., float]] = {
    "cka": cka,
    "procrustes": procrustes,
    "rsa": rsa,
    "mutual_neighbours": mutual_neighbours,
}


def turned(features: np.ndarray) -> np.ndarray:
    """A space in its own principal axes, which no measure tells from the space: at most as many features as images.

    Args:
        features: (m, f).

    Returns:
        (m, min(m, f)).
    """
    axes, sizes, _ = np.linalg.svd(features - features.mean(0, dtype=np.float64), full_matrices=False)
    return axes * sizes


def _centred(features: np.ndarray) -> np.ndarray:
    centred = features - features.mean(0, dtype=np.float64)
    return centred / max(np.linalg.norm(centred), 1e-12)


def _nearest(features: np.ndarray, neighbours: int) -> np.ndarray:
    products = features @ features.T
    squares = np.diag(products)
    distances = squares[:, None] + squares - 2 * products
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, :neighbours]
