"""NetSpace's settings on the CNNs of a fusion: from a space to a table of what was seen and the arrays behind it.

A table has one row for each measure: the median of the original networks, of the decoded ones and of a control, n
networks (pairs, starts), and the quartiles of each. What the three are in each setting is said where the rows are made.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from zoofuse.netspace import architectures, cnns, shape_experiments, spaces

KINDS = ("original", "decoded", "control")
SPREAD = [f"{kind}_{quartile}" for kind in KINDS for quartile in ("q25", "q75")]
COLUMNS = ["setting", "measure", *KINDS, "n", *SPREAD]

Result = tuple[list[dict], dict[str, np.ndarray]]  # rows of the table, arrays by name


def one_architecture(space: spaces.Space, found: Mapping[str, cnns.Concept], names, seed: int) -> Result:
    """Held-out CNNs as they were, decoded, and under three controls: noise as large as decoding's change, the average
    of all CNNs, and (for `difference` and `agreement`) another held-out CNN of the concept in place of the decoded."""
    rows, arrays = [], {}
    for side, concept in found.items():
        name, seen = names[side], cnns.reconstruct(space, concept, seed)
        other = np.abs(np.roll(seen["original"], 1) - seen["original"])
        rows += [
            row("one_architecture", f"balanced_accuracy_{name}", seen["original"], seen["decoded"], seen["noise"]),
            row(
                "one_architecture",
                f"balanced_accuracy_{name}_average",
                seen["original"],
                seen["decoded"],
                seen["average"],
            ),
            row("one_architecture", f"difference_{name}", None, np.abs(seen["decoded"] - seen["original"]), other),
            row("one_architecture", f"agreement_{name}", None, seen["agreement"], seen["agreement_control"]),
            row("one_architecture", f"nearest_{name}", seen["distance_control"], seen["distance"], None),
        ]
        arrays |= {f"{name}/{key}": values for key, values in seen.items()}
    return rows, arrays


def interpolation(space: spaces.Space, found, names, *, pairs: int, points: int) -> Result:
    """Walks between held-out CNNs: the ends, the middle, and what the middle loses, decoded against raw weights.

    Original are the raw ends; control is the middle of the raw weights. Between concepts a row for each one's own head.
    """
    rows, arrays = [], {}
    for start, stop in (("a", "a"), ("b", "b"), ("a", "b")):
        seen = cnns.interpolate(space, found[start], found[stop], pairs, points)
        way = names[start] if start == stop else f"{names[start]}_to_{names[stop]}"
        heads = [names[start]] if start == stop else [names[start], names[stop]]
        for column, head in enumerate(heads):
            of = {key: values[:, :, column] for key, values in seen.items()}
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


def latent_optimisation(
    space: spaces.Space, found, names, seed: int, *, starts: int, steps: int, learning_rate: float
) -> Result:
    """The best CNN of the zoo (original), optimised codes (decoded), training from scratch at equal steps (control).

    The best of a zoo is chosen among many; `best_of_...` chooses among the starts in the same way, and compares like
    with like. `start_...` has the codes before they are moved as decoded.
    """
    rows, arrays = [], {}
    for side, concept in found.items():
        for goal in ("teacher", "performance"):
            seen = cnns.optimise(
                space, concept, seed, goal=goal, starts=starts, steps=steps, learning_rate=learning_rate
            )
            name = f"{goal}_{names[side]}"
            rows.append(row("latent_optimisation", name, seen["best"], seen["decoded"], seen["scratch"]))
            rows.append(
                row("latent_optimisation", f"best_of_{name}", seen["best"], seen["decoded_best"], seen["scratch_best"])
            )
            if goal == "teacher":
                rows.append(row("latent_optimisation", f"start_{names[side]}", seen["best"], seen["start"], None))
            arrays |= {f"{name}/{key}": values for key, values in seen.items()}
    return rows, arrays


def several_architectures(
    space: spaces.Space, kinds: Sequence[architectures.Members], images: np.ndarray, labels: np.ndarray
) -> Result:
    """Held-out networks of each architecture as they were and decoded; control is the average of all weights, for
    `agreement` another held-out network, and for `architecture_named` the share a blind guess has."""
    rows, arrays = [], {}
    for name, seen in architectures.reconstruct(space, kinds, images, labels).items():
        rows += [
            row(
                "several_architectures",
                f"balanced_accuracy_{name}",
                *(seen[k] for k in ("original", "decoded", "average")),
            ),
            row("several_architectures", f"agreement_{name}", None, seen["agreement"], seen["agreement_control"]),
            row("several_architectures", f"architecture_named_{name}", None, seen["named"], np.full(1, 1 / len(kinds))),
        ]
        arrays |= {f"{name}/{key}": values for key, values in seen.items()}
    return rows, arrays


def unseen_architectures(
    space: spaces.Space,
    kinds: Sequence[architectures.Members],
    unseen: Sequence[architectures.Members],
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
) -> Result:
    """Architectures that the space has no trained network of: trained ones (original), ones decoded on the way between
    held-out networks of the two ends (decoded), and fresh, untrained ones (control)."""
    rows, arrays = several_architectures(space, kinds, images, labels)
    rows = [{**one, "setting": "unseen_architectures", "measure": f"end_{one['measure']}"} for one in rows]
    for at, kind in enumerate(unseen):
        codes = architectures.unseen_codes(space, kinds, (at + 1) / (len(unseen) + 1))
        weights = architectures.detached(space.decode(codes, len(kinds) + at))
        untrained = architectures.tensors(architectures.fresh(kind.network, seed, kind.name, len(codes)))
        seen = {
            key: cnns.balanced_accuracy(cnns.answered(kind.network.answers, of, images), labels)
            for key, of in (("original", kind.weights), ("decoded", weights), ("fresh", untrained))
        }
        seen["named"] = (space.architecture(codes).argmax(1) == len(kinds) + at).cpu().numpy().astype(float)
        guess = np.full(1, 1 / (len(kinds) + len(unseen)))
        rows += [
            row(
                "unseen_architectures",
                f"balanced_accuracy_{kind.name}",
                *(seen[k] for k in ("original", "decoded", "fresh")),
            ),
            row("unseen_architectures", f"architecture_named_{kind.name}", None, seen["named"], guess),
        ]
        arrays |= {f"{kind.name}/{key}": values for key, values in seen.items()}
    return rows, arrays


def shapes(space: spaces.Space, found: shape_experiments.Family, seed: int, *, pairs: int, points: int) -> Result:
    """SIRENs of held-out shapes as they were and decoded; control is the SIREN trained on that answers most alike, in
    its place, or what the measure names. `trained_on`: the same of shapes that the space was trained on, which tells
    what it fails to fit from what it fails to generalise. The last rows are walks, as `interpolation` has them."""
    seen = shape_experiments.reconstruct(space, found, found.held_out, seed)
    fitted = shape_experiments.reconstruct(space, found, found.trained[: len(found.held_out)], seed)
    walk = shape_experiments.interpolate(space, found, seed, pairs, points)
    kinds = np.array([found.shapes[i].kind for i in found.held_out])
    triple = lambda of, control: (of["original"], of["decoded"], of[control])  # noqa: E731
    rows = [
        row("shapes", "accuracy", *triple(seen, "nearest")),
        *(
            row("shapes", f"accuracy_{kind}", *(values[kinds == kind] for values in triple(seen, "nearest")))
            for kind in np.unique(kinds)
        ),
        row("shapes", "accuracy_near_surface", seen["near_original"], seen["near_decoded"], seen["near_nearest"]),
        row("shapes", "accuracy_noise", *triple(seen, "noise")),
        row("shapes", "accuracy_average", *triple(seen, "average")),
        row("shapes", "accuracy_trained_on", *triple(fitted, "nearest")),
        row("shapes", "agreement", None, seen["agreement"], seen["agreement_nearest"]),
        row("shapes", "nearest_answers", seen["apart_original"], seen["apart_decoded"], None),
        row("shapes", "nearest_weights", seen["distance_control"], seen["distance"], None),
    ]
    for measure, suffix in (("midpoint", ""), ("midpoint_slope_error", "_slope")):
        ends = walk[f"raw{suffix}"][:, [0, -1]].mean(1)
        middle = [
            (walk[key][:, (points - 1) // 2] + walk[key][:, points // 2]) / 2
            for key in (f"decoded{suffix}", f"raw{suffix}")
        ]
        rows.append(row("shapes", measure, ends, *middle))
    arrays = {f"reconstruction/{key}": values for key, values in seen.items()} | {"reconstruction/kind": kinds}
    arrays |= {f"walk/{key}": values for key, values in walk.items()}
    return rows, arrays | {f"mesh/{key}": values for key, values in shape_experiments.meshes(space, found).items()}


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
