"""NetSpace's experiments: from a space to a table of what was measured and the arrays behind it.

A table has one row for each measure: the median of the original networks, of the decoded ones and of a control, n
networks (pairs, starts), and the quartiles of each. Each experiment's docstring says what the three are.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from zoofuse.netspace import architectures, cnns, shape_experiments, spaces
from zoofuse.settings.netspace import Interpolation, LatentOptimisation

KINDS = ("original", "decoded", "control")
SPREAD = [f"{kind}_{quartile}" for kind in KINDS for quartile in ("q25", "q75")]
COLUMNS = ["setting", "measure", *KINDS, "n", *SPREAD]

Result = tuple[list[dict], dict[str, np.ndarray]]  # rows of the table, arrays by name


def one_architecture(space: spaces.Space, by_side: Mapping[str, cnns.Concept], names, seed: int) -> Result:
    """Held-out CNNs as they were, decoded, and under controls: noise as large as decoding's change, the average of all
    CNNs, the one CNN of the mean code, the zoo's majority vote, and another held-out CNN of the concept in place of
    the decoded one. `agreement_..._specific` is above 0 where decoded CNNs are like their own originals."""
    rows, arrays = [], {}
    for side, concept in by_side.items():
        name, scores = names[side], cnns.reconstruct(space, concept, seed)
        original = scores["original"]
        differences = {
            "difference": np.abs(scores["decoded"] - original),
            "difference_other": np.abs(np.roll(original, 1) - original),
        }
        measures = {
            f"balanced_accuracy_{name}": ("original", "decoded", "noise"),
            f"balanced_accuracy_{name}_average": ("original", "decoded", "average"),
            f"balanced_accuracy_{name}_mean_code": ("original", "decoded", "mean_code"),
            f"difference_{name}": (None, "difference", "difference_other"),
            f"agreement_{name}": (None, "agreement", "agreement_other"),
            f"agreement_{name}_mean_code": (None, "agreement", "agreement_mean_code"),
            f"agreement_{name}_majority": (None, "agreement", "agreement_majority"),
            f"agreement_{name}_specific": (None, "specific", None),
            f"accuracy_correlation_{name}": (None, "correlation", None),
            f"nearest_{name}": ("distance_control", "distance", None),
        }
        rows += _rows("one_architecture", scores | differences, measures)
        arrays |= {f"{name}/{key}": values for key, values in scores.items()}
    return rows, arrays


def interpolation(space: spaces.Space, by_side, names, settings: Interpolation) -> Result:
    """Interpolation paths between held-out CNNs: the ends, the middle, and what the middle loses.

    Original are the raw ends; control is the middle of the raw weights. Between concepts a row for each one's own head.
    """
    rows, arrays, points = [], {}, settings.points
    for start, stop in (("a", "a"), ("b", "b"), ("a", "b")):
        scores = cnns.interpolate(space, by_side[start], by_side[stop], settings.pairs, points)
        way = names[start] if start == stop else f"{names[start]}_to_{names[stop]}"
        heads = [names[start]] if start == stop else [names[start], names[stop]]
        for column, head in enumerate(heads):
            of = {key: values[:, :, column] for key, values in scores.items()}
            # between concepts a head has an end of its own concept only, and it is that end that it is compared with
            ends = {key: v[:, [0, -1]].mean(1) if start == stop else v[:, -column] for key, v in of.items()}
            middle = {key: (v[:, (points - 1) // 2] + v[:, points // 2]) / 2 for key, v in of.items()}
            name = way if start == stop else f"{way}_on_{head}"
            rows += [
                row("interpolation", f"midpoint_{name}", ends["raw"], middle["decoded"], middle["raw"]),
                row("interpolation", f"midpoint_loss_{name}", None, *(ends[k] - middle[k] for k in ("decoded", "raw"))),
            ]
            arrays |= {f"{name}/{key}": values for key, values in of.items()}
    return rows, arrays


def latent_optimisation(space: spaces.Space, by_side, names, seed: int, settings: LatentOptimisation) -> Result:
    """The best CNN of the zoo (original), optimised codes (decoded), training from scratch at equal steps (control).

    The best of a zoo is selected among many; `best_of_...` selects among the starts in the same way, and compares like
    with like. `start_...` has the codes before they are optimised as decoded.
    """
    rows, arrays = [], {}
    for side, concept in by_side.items():
        for goal in ("teacher", "performance"):
            scores = cnns.optimise(space, concept, seed, settings, goal=goal)
            name = f"{goal}_{names[side]}"
            measures = {
                name: ("best", "decoded", "scratch"),
                f"best_of_{name}": ("best", "decoded_best", "scratch_best"),
            }
            if goal == "teacher":
                measures[f"start_{names[side]}"] = ("best", "start", None)
            rows += _rows("latent_optimisation", scores, measures)
            arrays |= {f"{name}/{key}": values for key, values in scores.items()}
    return rows, arrays


def several_architectures(
    space: spaces.Space, kinds: Sequence[architectures.Members], images: np.ndarray, labels: np.ndarray
) -> Result:
    """Held-out networks of each architecture as they were and decoded; control is the average of all weights, for
    `agreement` another held-out network, and for `architecture_named` the share a blind guess has."""
    rows, arrays = [], {}
    for name, scores in architectures.reconstruct(space, kinds, images, labels).items():
        measures = {
            f"balanced_accuracy_{name}": ("original", "decoded", "average"),
            f"agreement_{name}": (None, "agreement", "agreement_control"),
            f"architecture_named_{name}": (None, "named", "guess"),
        }
        rows += _rows("several_architectures", scores | {"guess": np.full(1, 1 / len(kinds))}, measures)
        arrays |= {f"{name}/{key}": values for key, values in scores.items()}
    return rows, arrays


def unseen_architectures(
    space: spaces.Space,
    kinds: Sequence[architectures.Members],
    unseen: Sequence[architectures.Members],
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
) -> Result:
    """Architectures that the space has no trained network of: trained ones (original), ones decoded between
    held-out networks of the two ends (decoded), and fresh, untrained ones (control)."""
    rows, arrays = several_architectures(space, kinds, images, labels)
    rows = [{**one, "setting": "unseen_architectures", "measure": f"end_{one['measure']}"} for one in rows]
    for at, kind in enumerate(unseen):
        codes = architectures.unseen_codes(space, kinds, (at + 1) / (len(unseen) + 1))
        weights = space.decode(codes, len(kinds) + at)
        untrained = architectures.tensors(architectures.fresh(kind.network, seed, kind.name, len(codes)))
        scores = {
            key: cnns.balanced_accuracy(cnns.predictions(kind.network, of, images), labels)
            for key, of in (("original", kind.weights), ("decoded", weights), ("fresh", untrained))
        }
        scores["named"] = (space.architecture(codes).argmax(1) == len(kinds) + at).cpu().numpy().astype(float)
        measures = {
            f"balanced_accuracy_{kind.name}": ("original", "decoded", "fresh"),
            f"architecture_named_{kind.name}": (None, "named", "guess"),
        }
        guess = np.full(1, 1 / len(space.networks))
        rows += _rows("unseen_architectures", scores | {"guess": guess}, measures)
        arrays |= {f"{kind.name}/{key}": values for key, values in scores.items()}
    return rows, arrays


def shapes(space: spaces.Space, sirens: shape_experiments.Family, seed: int, settings: Interpolation) -> Result:
    """SIRENs of held-out shapes as they were and decoded; control is the SIREN trained on that predicts most alike,
    in its place, or what the measure names. `trained_on`: the same of shapes that the space was trained on, which tells
    what it fails to fit from what it fails to generalise. The last rows are interpolation paths."""
    scores = shape_experiments.reconstruct(space, sirens, sirens.held_out, seed)
    fitted = shape_experiments.reconstruct(space, sirens, sirens.trained[: len(sirens.held_out)], seed)
    points = settings.points
    path = shape_experiments.interpolate(space, sirens, seed, settings.pairs, points)
    kinds = np.array([sirens.shapes[i].kind for i in sirens.held_out])
    nearest = ("original", "decoded", "nearest")
    rows = _rows("shapes", scores, {"accuracy": nearest})
    for kind in np.unique(kinds):
        rows += _rows(
            "shapes", {key: values[kinds == kind] for key, values in scores.items()}, {f"accuracy_{kind}": nearest}
        )
    rows += _rows(
        "shapes",
        scores,
        {
            "accuracy_near_surface": ("near_original", "near_decoded", "near_nearest"),
            "accuracy_noise": ("original", "decoded", "noise"),
            "accuracy_average": ("original", "decoded", "average"),
        },
    )
    rows += _rows("shapes", fitted, {"accuracy_trained_on": nearest})
    rows += _rows(
        "shapes",
        scores,
        {
            "agreement": (None, "agreement", "agreement_nearest"),
            "nearest_predictions": ("apart_original", "apart_decoded", None),
            "nearest_weights": ("distance_control", "distance", None),
        },
    )
    for measure, suffix in (("midpoint", ""), ("midpoint_slope_error", "_slope")):
        ends = path[f"raw{suffix}"][:, [0, -1]].mean(1)
        middle = [
            (path[key][:, (points - 1) // 2] + path[key][:, points // 2]) / 2
            for key in (f"decoded{suffix}", f"raw{suffix}")
        ]
        rows.append(row("shapes", measure, ends, *middle))
    arrays = {f"reconstruction/{key}": values for key, values in scores.items()} | {"reconstruction/kind": kinds}
    arrays |= {f"walk/{key}": values for key, values in path.items()}
    return rows, arrays | {f"mesh/{key}": values for key, values in shape_experiments.meshes(space, sirens).items()}


def _rows(setting: str, scores: Mapping[str, np.ndarray], measures: Mapping[str, Sequence[str | None]]) -> list[dict]:
    """Rows of a table: measure -> the names of its three arrays among `scores`, None where there is none."""
    return [row(setting, measure, *(key and scores[key] for key in keys)) for measure, keys in measures.items()]


def row(setting: str, measure: str, original, decoded, control) -> dict:
    """One row of a table; each of the three is an array or None."""
    made = {"setting": setting, "measure": measure, "n": len(decoded)}
    for kind, values in zip(KINDS, (original, decoded, control), strict=True):
        known = values is not None
        q25, made[kind], q75 = np.quantile(values, [0.25, 0.5, 0.75]) if known else [np.nan] * 3
        made |= {f"{kind}_q25": q25, f"{kind}_q75": q75}
    return made


def table(rows: Sequence[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS).round(4)
