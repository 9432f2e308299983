"""How the concepts' probabilities become the score, as nodes of ONNX."""

from collections.abc import Callable

import numpy as np

from zoofuse.data.joins import Join


def nodes(join: Callable[..., np.ndarray], k: int) -> tuple[list, dict[str, np.ndarray]]:
    """Nodes from `probabilities` (m, k) to `score` (m,), and the arrays that they take.

    Args:
        join: np.prod, or that of an expression.
        k: concepts.
    """
    from onnx import helper

    node = helper.make_node
    if not isinstance(join, Join):
        return [node("ReduceProd", ["probabilities"], ["score"], axes=[1], keepdims=0)], {}
    arrays = {"one": np.ones((), np.float32), "axis": np.array([1])}
    made = [
        node("Sub", ["one", "probabilities"], ["complements"]),
        node("Concat", ["probabilities", "complements"], ["literals"], axis=1),
    ]
    parts = join.clauses
    if join.combine == "product":  # a part for each row of the truth table
        parts = tuple(tuple(enumerate(row)) for row in join.rows.tolist())
    for i, part in enumerate(parts):
        arrays[f"part{i}"] = np.array([at if positive else k + at for at, positive in part])
        made.append(node("Gather", ["literals", f"part{i}"], [f"gathered{i}"], axis=1))
        given, taken = [f"gathered{i}"], [f"joined{i}"]
        if join.combine == "lukasiewicz":
            made.append(node("ReduceSum", [*given, "axis"], [f"sum{i}"], keepdims=1))
            made.append(node("Min", [f"sum{i}", "one"], taken))
        else:
            made.append(node({"product": "ReduceProd", "minimum": "ReduceMax"}[join.combine], given, taken, axes=[1]))
    made.append(node("Concat", [f"joined{i}" for i in range(len(parts))], ["parts"], axis=1))
    if join.combine == "minimum":
        return [*made, node("ReduceMin", ["parts"], ["score"], axes=[1], keepdims=0)], arrays
    if join.combine == "product":
        return [*made, node("ReduceSum", ["parts", "axis"], ["score"], keepdims=0)], arrays
    arrays |= {"others": np.float32([len(parts) - 1]).reshape(()), "zero": np.zeros((), np.float32)}
    made += [
        node("ReduceSum", ["parts", "axis"], ["total"], keepdims=0),
        node("Sub", ["total", "others"], ["excess"]),
        node("Max", ["excess", "zero"], ["score"]),
    ]
    return made, arrays
