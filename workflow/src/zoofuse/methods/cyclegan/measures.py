"""Is a kernel CycleGAN any good? Measures on kernel sets that its training never saw.

Every name ends in the domain whose kernels are judged: `change_B` is about kernels of A translated to B.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

HELD_OUT = 128  # sets of each domain that are measured, at most
FILTERS = 512  # single filters in a distance between distributions, at most
NEAREST = (12, 96)  # translated sets, and training sets each of them is compared with, at most

Translate = Callable[[np.ndarray], np.ndarray]


def measure(
    held_out: Mapping[str, np.ndarray],
    training: Mapping[str, np.ndarray],
    *,
    translate: Mapping[str, Translate],
    judge: Callable[[str, np.ndarray], np.ndarray],
    scales: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """All measures at one moment of training; kernel sets are (n, out, in, 5, 5).

    held_out, training: "A" and "B" -> at least 2 kernel sets; the first HELD_OUT are used.
    translate: domain -> the function that makes kernels of that domain.
    judge(domain, kernels) -> (n,) mean patch of that domain's discriminator; more than 1/2 means real.
    scales: domain -> (mean, unit), so that the generator's Tanh ranges over mean - unit to mean + unit.

    Returns for either domain X (the other is Y):
    cycle_error_X: |X to Y to X - X| / |X|; identity_error_X: |G(X) - X| / |X| for the generator that makes X;
    change_X: |Y to X - Y| / |Y|, near 0 for a generator that changes nothing;
    discriminator_accuracy_X: share of real and translated sets that it classifies correctly, 1/2 when it guesses;
    distance_X: `energy_distance` of translated to real filters; untranslated_distance_X: the same for Y as it is;
    nearest_X: `nearness` to the training sets, far below 1 when sets are copied from the training;
    saturated_X: share of outputs within 1 % of the end of Tanh; dead_X: share of outputs that hardly vary over sets;
    spread_X: standard deviation over sets, as a share of the real kernels' own, near 0 where it is degenerate;
    likeness_X: correlation of translated sets with their sources, each minus its mean set: 1 when a set's own
    pattern is kept, about 0 or negative when channels are mixed or signs changed, which a cycle allows.
    """
    real = {domain: values[:HELD_OUT] for domain, values in held_out.items()}
    row = {}
    for domain, other in (("A", "B"), ("B", "A")):
        source, target = real[other], real[domain]
        translated = translate[domain](source)
        mean, unit = scales[domain]
        right = np.concatenate((judge(domain, target) > 0.5, judge(domain, translated) <= 0.5))
        row |= {
            f"cycle_error_{other}": _relative(translate[other](translated), source),
            f"identity_error_{domain}": _relative(translate[domain](target), target),
            f"change_{domain}": _relative(translated, source),
            f"discriminator_accuracy_{domain}": float(right.mean()),
            f"distance_{domain}": energy_distance(_filters(translated), _filters(target)),
            f"untranslated_distance_{domain}": energy_distance(_filters(source), _filters(target)),
            f"nearest_{domain}": nearness(translated, target, training[domain]),
            f"saturated_{domain}": float((np.abs(translated - mean) > 0.99 * unit).mean()),
            f"dead_{domain}": float((translated.std(0) < 0.01 * target.std()).mean()),
            f"spread_{domain}": float(translated.std(0).mean() / target.std(0).mean()),
            f"likeness_{domain}": _correlation(translated - translated.mean(0), source - source.mean(0)),
        }
    return row


def energy_distance(x: np.ndarray, y: np.ndarray) -> float:
    """How far apart two samples' distributions are: 0 when they are the same, 1 when both are single points.

    x: (n, d), y: (m, d), both at least 2 rows. The energy distance 2 E|X-Y| - E|X-X'| - E|Y-Y'| as a share of
    2 E|X-Y| (Székely and Rizzo 2013, "Energy statistics: a class of statistics based on distances", coefficient of
    inhomogeneity H). Unbiased means over different rows, so equal distributions give 0 on average, and just below it
    half of the time. It needs no kernel width and no common scale.
    """
    between = cdist(x, y).mean()
    within = sum(cdist(z, z).sum() / (len(z) * (len(z) - 1)) for z in (x, y))
    return float(1 - within / (2 * between)) if between else 0.0


def nearness(translated: np.ndarray, real: np.ndarray, training: np.ndarray) -> float:
    """Median distance from translated sets to their nearest training set, as a share of that of held-out real sets.

    About 1: as new as a set the training never saw; far below 1: copied. Distances are up to the order of filters
    (`set_distances`). The first NEAREST sets of each are used, so it is an upper bound on the full figure's distances.
    """
    few, many = NEAREST
    novel, usual = (np.median(set_distances(x[:few], training[:many]).min(1)) for x in (translated, real))
    return float(novel / usual) if usual else float("inf")


def set_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, m) Euclidean distances between kernel sets (n, out, ...) and (m, out, ...), filters in the best order."""
    x, y = (z.reshape(*z.shape[:2], -1).astype(np.float64) for z in (x, y))
    squares = np.square(x).sum(-1)[:, None, :, None] + np.square(y).sum(-1)[None, :, None, :]
    squares -= 2 * np.einsum("nfd,mgd->nmfg", x, y, optimize=True)
    distances = np.empty(squares.shape[:2])
    for index in np.ndindex(distances.shape):
        cost = squares[index]
        distances[index] = np.sqrt(max(0.0, cost[linear_sum_assignment(cost)].sum()))
    return distances


def verdict(history: Mapping[str, np.ndarray], pair: str = "AB") -> str:
    """One sentence on the last measures of a training: how it failed, or that no failure was found.

    pair: the fusion's domains that the training's A and B are.
    """
    ways = (("B", f"{pair[0]} to {pair[1]}"), ("A", f"{pair[1]} to {pair[0]}"))
    last = {}
    for name, values in history.items():
        measured = values[~np.isnan(values)]
        if len(measured):
            last[name] = float(measured[-1])
            if not np.isfinite(last[name]):
                return f"Training failed: {name} is {last[name]}."
    if "spread_A" not in last:
        return "Nothing was measured."
    problems = []
    for domain, way in ways:
        value = {name[:-2]: figure for name, figure in last.items() if name.endswith(f"_{domain}")}
        if value["spread"] < 0.1 or value["dead"] > 0.5:
            problems.append(
                f"{way} degenerate (its kernels vary {value['spread']:.2f} times as much as real ones, "
                f"{value['dead']:.0%} of the outputs are dead)"
            )
        elif value["likeness"] < 0.2:
            problems.append(
                f"{way} loses its source (the correlation is {value['likeness']:.2f}: changed signs, mixed channels)"
            )
        if value["saturated"] > 0.1:
            problems.append(f"{way} saturates ({value['saturated']:.0%} of the outputs at the end of Tanh)")
        if value["change"] < 0.05:
            problems.append(f"{way} is the identity map (it changes kernels by {value['change']:.1%})")
        if value["nearest"] < 0.5:
            problems.append(
                f"{way} copies training kernels ({value['nearest']:.2f} times as far from them as new real ones)"
            )
        if value["distance"] >= value["untranslated_distance"]:
            problems.append(
                f"{way} brings kernels no nearer to the real ones (energy distance {value['distance']:.4f}, "
                f"{value['untranslated_distance']:.4f} without translation)"
            )
    if problems:
        return f"Training failed: {'; '.join(problems)}."
    return (
        "No failure found: "
        + "; ".join(
            f"{way} changes kernels by {last[f'change_{domain}']:.0%} and brings the energy distance to real ones from "
            f"{last[f'untranslated_distance_{domain}']:.4f} to {last[f'distance_{domain}']:.4f}"
            for domain, way in ways
        )
        + "."
    )


def _relative(x: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(x - reference).mean() / np.abs(reference).mean())


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    size = np.linalg.norm(x) * np.linalg.norm(y)
    return float((x * y).sum() / size) if size else 0.0


def _filters(kernels: np.ndarray) -> np.ndarray:
    """Single filters, (FILTERS at most, in * 25), evenly from all sets: the order of filters in a set means nothing."""
    filters = kernels.reshape(-1, int(np.prod(kernels.shape[2:])))
    return filters[np.linspace(0, len(filters) - 1, min(len(filters), FILTERS)).astype(int)]
