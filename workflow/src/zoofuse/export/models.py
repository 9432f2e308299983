"""One CNN of a fusion as a folder that others can use: weights, configuration, ONNX and a model card.

The model gives an image one probability for each concept of its fusion (a linear head on the CNN's features and the
logistic function) and scores it by their product; from the threshold up the answer is yes. Where the concepts have
images of their own, nothing in it was chosen by the conjunction's labels (see `choose`).
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
import pandas as pd
import torch
from torch import Tensor

import zoofuse
from zoofuse.core import intervals, text
from zoofuse.core.temporary import atomic_path
from zoofuse.evaluation import protocols, zero_shot
from zoofuse.export import model_files, model_inputs
from zoofuse.models import cnn

OPSET, IR_VERSION = 17, 8  # read by ONNX Runtime from 1.12 on
SUPERVISION = {
    "concept labels": "CNN, heads and threshold were selected on the concepts' own images, without labels of the "
    "conjunction.",
    "few-shot": "The concepts bring no images of their own, so CNN and threshold were selected on labelled images of "
    "the conjunction: one half of them, tested on the other.",
}
_BATCH = 256  # images at most, and no more than fit into _MEMORY
_MEMORY = 1 << 28


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """An exported CNN: its weights, conv1.weight (6, 3, 5, 5), ..., heads.weight (k, f), and its config.json."""

    weights: Mapping[str, Tensor]
    config: Mapping

    def __repr__(self) -> str:
        parameters = sum(values.numel() for values in self.weights.values())
        name = " by ".join(str(self.config[key]) for key in ("fusion", "method") if key in self.config)
        threshold = f", threshold {self.threshold:.4g}" if "threshold" in self.config else ""
        return (
            f"<zoofuse model {name or '(without a name)'}: {' and '.join(self.concepts)}, {parameters:,} parameters"
            f"{threshold}>"
        )

    @property
    def concepts(self) -> list[str]:
        """The k concepts, in the order of the heads."""
        return self.config["concepts"]

    @property
    def threshold(self) -> float:
        """A score of at least this is a yes."""
        return self.config["threshold"]

    def predict(self, pictures: model_inputs.Images) -> np.ndarray:
        """Score one image or several.

        Args:
            pictures: one image or an iterable of images, which may be of different kinds:

                * a file of any size: a str, a Path, or its content as bytes;
                * a PIL image of any size, which gives the same score as the file that it was opened from;
                * a uint8 array (32, 32, 3), RGB, of any strides;
                * a uint8 tensor (32, 32, 3) or (3, 32, 32), on any device.

                A uint8 array (m, 32, 32, 3), or a tensor of that shape or (m, 3, 32, 32), is m images.

        Returns:
            (m,) float32 scores from 0 to 1: the product of `probabilities`. One image gives one score, (1,).

        Raises:
            decoding.ImageError: a ValueError: an image that cannot be read, or an array of another dtype or shape.
        """
        return self.probabilities(pictures).prod(1)

    def probabilities(self, pictures: model_inputs.Images) -> np.ndarray:
        """The probability of each concept. Arguments and errors as of `predict`.

        Returns:
            (m, k) float32 probabilities of the k concepts.
        """
        size = self.config["architecture"]["image_size"]
        stack = {name: values[None] for name, values in self.weights.items() if name.startswith("conv")}
        needed = 2 * model_files.activations(_architecture(self.weights, size))  # a layer's values and their ReLU
        batch = max(1, min(_BATCH, _MEMORY // needed))
        parts = [np.empty((0, len(self.concepts)), np.float32)]
        with torch.inference_mode():
            for pixels in model_inputs.batches(pictures, size, batch):
                x = cnn.normalise(torch.from_numpy(pixels))
                logits = cnn.features(stack, x)[0] @ self.weights["heads.weight"].T + self.weights["heads.bias"]
                parts.append(torch.sigmoid(logits).numpy())
        probabilities = np.concatenate(parts)
        if np.isnan(probabilities).any():
            raise model_files.ModelError(f"{self!r}: its weights are so large that an image's score is NaN. Export "
                                         "another CNN.")  # fmt: skip
        return probabilities


def load(path: str | os.PathLike) -> Model:
    """Read an exported model.

    Args:
        path: the model's folder, or one of the files in it.

    Raises:
        model_files.ModelError: a ValueError: there is no model, or it is corrupt; the message names file and key.
    """
    config, weights = model_files.read(path)
    return Model({name: torch.from_numpy(values) for name, values in weights.items()}, config)


class Choice(NamedTuple):
    """Which CNN of a method, and how it answers."""

    domain: str  # "-" where the method has one domain
    model: int
    head: str  # own or probe
    supervision: str  # a key of SUPERVISION


def choose(zero_shot_table: pd.DataFrame, leaderboard: pd.DataFrame, method: str) -> Choice:
    """The method's CNN and heads with the best score on the concepts' own validation photographs.

    Where no row of `zero_shot.csv` has such a score (existing zoos without images), the CNN that does best on the
    validation half of the conjunction's images, with its own heads. Raises ValueError for an unknown method.
    """
    rows = zero_shot_table[zero_shot_table["method"] == method].dropna(subset=["selected", "validation"])
    if len(rows):
        best = rows.loc[rows["validation"].idxmax()]
        return Choice(*_named(best["selected"]), best["head"], "concept labels")
    held_out = leaderboard[leaderboard["protocol"] == "held_out"].dropna(subset=["selected", "validation"])
    rows = held_out[held_out["method"] == method]
    if len(rows):
        best = rows.loc[rows["validation"].idxmax()]
        return Choice(*_named(best["selected"]), "own", "few-shot")
    raise ValueError(f"The tables hold no method {method!r}; write one of {', '.join(held_out['method'].unique())}.")


def _named(selected: str) -> tuple[str, int]:
    domain, slash, model = str(selected).rpartition("/")
    return domain if slash else "-", int(model)


def pick(zoo: Mapping[str, np.ndarray], choice: Choice) -> dict[str, np.ndarray]:
    """The chosen CNN as a zoo of one; raises ValueError when the zoo does not hold it exactly once."""
    rows = np.flatnonzero((zoo["model"] == choice.model) & (zoo["domain"] == choice.domain))
    if len(rows) != 1:
        raise ValueError(f"The zoo holds CNN {choice.domain}/{choice.model} {len(rows)} times; make the tables anew.")
    return {name: values[rows] for name, values in zoo.items()}


def fit(
    zoo: Mapping[str, np.ndarray],
    choice: Choice,
    concepts: Sequence[zero_shot.Concept],
    test: Mapping[str, np.ndarray],
    validation: np.ndarray,
) -> tuple[dict[str, np.ndarray], float]:
    """Weights of a zoo's one CNN with its heads, as `Model` takes them, and its threshold.

    The threshold is the product of those that serve each concept's validation images best (balanced accuracy); in
    supervision "few-shot" the one that serves the `validation` (m,) half of the `test` images best.
    Raises ValueError for a CNN without heads of its own where the concepts bring no images to fit any.
    """
    if choice.supervision == "concept labels":
        seen = [protocols.features(zoo, concept.validation_images) for concept in concepts]
        heads = zero_shot.fit_heads(zoo, concepts, seen)[choice.head]
        pairs = zip(heads, seen, concepts, strict=True)
        own = [(zero_shot.probability(head, f), concept.validation_labels) for head, f, concept in pairs]
        threshold = np.prod([zero_shot.best_threshold(*pair)[0][0] for pair in own])
    elif heads := zero_shot.own_heads(zoo):
        seen = protocols.features(zoo, test["images"][validation])
        score = np.prod([zero_shot.probability(head, seen) for head in heads], axis=0)
        threshold = zero_shot.best_threshold(score, test["labels"][validation])[0][0]
    else:
        raise ValueError("These CNNs have no heads for the fusion's concepts, and heads are fitted only where all "
                         "concepts have images of their own. Name some, or export another method.")  # fmt: skip
    weights = {name: values[0] for name, values in zoo.items() if name.startswith("conv")}
    weights["heads.weight"] = np.concatenate([head.weight for head in heads])
    weights["heads.bias"] = np.concatenate([head.bias for head in heads])
    return {name: np.ascontiguousarray(values, np.float32) for name, values in weights.items()}, float(threshold)


def measured(model: Model, photographs: np.ndarray, labels: np.ndarray, seed: int) -> dict:
    """What the model reaches on test images (labels (m,), 0 = the conjunction): each [value, low, high], the
    bounds those of a 95 % bootstrap interval over images; None where it is not defined."""
    truth, scores = labels == 0, model.predict(photographs)[None]
    weights = intervals.resamples(truth, seed, added=True)
    shares = {
        "auroc": intervals.rank_shares(scores, truth),
        "balanced_accuracy": intervals.accuracy_shares(scores >= model.threshold, truth),
    }
    found = {"positive": int(truth.sum()), "negative": int((~truth).sum())}
    for name, share in shares.items():
        interval = np.clip(intervals.image_interval(share[0], weights), 0, 1)
        values = [float(intervals.measure(share, truth)[0]), *interval.tolist()]
        found[name] = [value if np.isfinite(value) else None for value in values]
    return found


def configuration(weights: Mapping[str, np.ndarray], concepts: Sequence[str], **more) -> dict:
    """config.json: what is needed to run the weights, and `more` about where they come from."""
    architecture = _architecture(weights)
    return {
        "format": model_files.FORMAT,
        "format_version": model_files.FORMAT_VERSION,
        "zoofuse": zoofuse.__version__,
        "concepts": list(concepts),
        "labels": {"yes": " and ".join(concepts), "no": "anything else"},
        "architecture": {
            "layers": model_files.LAYERS,
            "channels": list(architecture.channels),
            "kernel_size": architecture.kernel_size,
            "image_size": architecture.image_size,
            "features": architecture.features,
            "parameters": sum(values.size for values in weights.values()),
        },
        "normalisation": {"divide": 255, "mean": [0.5] * 3, "std": [0.5] * 3},
        "picture": f"upright, RGB, transparency on white, the whole image resized to {architecture.image_size} x "
        f"{architecture.image_size} (Pillow, bilinear)",
        **more,
    }


def _architecture(weights: Mapping[str, np.ndarray | Tensor], image_size: int = 32) -> cnn.Architecture:
    layers = [name.removesuffix(".weight") for name in weights if name.startswith("conv") and name.endswith(".weight")]
    kernels = [weights[f"{layer}.weight"].shape for layer in sorted(layers, key=lambda layer: int(layer[4:]))]
    return cnn.Architecture((kernels[0][1], *(shape[0] for shape in kernels)), kernels[0][-1], image_size)


def onnx_model(weights: Mapping[str, np.ndarray], config: Mapping):
    """An onnx.ModelProto: `images` uint8 (m, 32, 32, 3) -> `score` float32 (m,) and `probabilities` (m, k)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    size, k = config["architecture"]["image_size"], len(config["concepts"])
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        node("Div", ["planes", "divide"], ["shares"]),
        node("Sub", ["shares", "mean"], ["centred"]),
        node("Div", ["centred", "std"], ["x"]),
    ]
    constants = {"divide": config["normalisation"]["divide"]}
    constants |= {name: np.reshape(config["normalisation"][name], (1, 3, 1, 1)) for name in ("mean", "std")}
    last = "x"
    for i in range(1, len(config["architecture"]["channels"])):
        nodes += [
            node("Conv", [last, f"conv{i}.weight", f"conv{i}.bias"], [f"conv{i}"]),
            node("Relu", [f"conv{i}"], [f"relu{i}"]),
            node("MaxPool", [f"relu{i}"], [f"pool{i}"], kernel_shape=[2, 2], strides=[2, 2]),
        ]
        last = f"pool{i}"
    nodes += [
        node("Flatten", [last], ["features"]),
        node("Gemm", ["features", "heads.weight", "heads.bias"], ["heads"], transB=1),
        node("Sigmoid", ["heads"], ["probabilities"]),
        node("ReduceProd", ["probabilities"], ["score"], axes=[1], keepdims=0),
    ]
    arrays = weights | {name: np.asarray(value, np.float32) for name, value in constants.items()}
    graph = helper.make_graph(
        nodes,
        "zoofuse",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["m", size, size, 3])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["m"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["m", k]),
        ],
        [numpy_helper.from_array(values, name) for name, values in arrays.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="zoofuse")
    helper.set_model_props(model, {"concepts": ", ".join(config["concepts"]), "threshold": repr(config["threshold"])})
    onnx.checker.check_model(model, full_check=True)
    return model


def write(folder: str | os.PathLike, weights: Mapping[str, np.ndarray], config: Mapping, card: str) -> None:
    """Write the four files, each whole or not at all; config.json, which vouches for the weights, last.

    Raises:
        model_files.ModelError: `config` is not what `load` would take.
    """
    from safetensors.numpy import save

    folder, data = Path(folder), save(dict(weights))
    config = dict(config) | {"sha256": hashlib.sha256(data).hexdigest()}
    written = {
        model_files.WEIGHTS: data,
        model_files.ONNX: onnx_model(weights, config).SerializeToString(),
        model_files.CARD: card.encode(),
        model_files.CONFIG: model_files.content(config),
    }
    for name, content in written.items():
        with atomic_path(folder / name) as path:
            path.write_bytes(content)


def baselines(zero_shot_table: pd.DataFrame, comparisons: pd.DataFrame, method: str, head: str) -> list[dict]:
    """What stands beside a method in `zero_shot.csv`: method, head, test, test_low, test_high of each other's selected
    CNN, the best first, and the verdict on this method against it where `comparisons.csv` has one, else ""."""
    same = comparisons[(comparisons["protocol"] == "zero_shot") & (comparisons["what"] == "selected")]
    same = same[(same["method"] == method) & (same["clusterer"] == head)]
    verdicts = dict(zip(same["baseline"], same["verdict"], strict=True))
    others = zero_shot_table[zero_shot_table["method"] != method].dropna(subset=["test"])
    others = others.sort_values("test", ascending=False, kind="stable")
    kinds = others.groupby("method")["head"].nunique()  # like is compared with like, where there is like
    rows = others[["method", "head", "test", "test_low", "test_high"]].to_dict("records")
    compared = [row["head"] == head or kinds[row["method"]] == 1 for row in rows]
    return [
        row | {"verdict": verdicts.get(row["method"], "") if like else ""}
        for row, like in zip(rows, compared, strict=True)
    ]


def card(config: Mapping, others: Sequence[Mapping], photographs: Sequence[Mapping]) -> str:
    """The model card, Markdown. others: of `baselines`; photographs: the attributes of the images files it rests on."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("zoofuse.export", "."),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"score": score, "code": _code}
    template = environment.get_template("model_card.md")
    return template.render(
        config=config, others=others, photographs=photographs, supervision=SUPERVISION[config["supervision"]]
    )


def score(value: float | None) -> str:
    """A measure as it is shown: three decimals, or a dash where it is not defined."""
    return "-" if pd.isna(value) else f"{value:.3f}"


def _code(name: str) -> str:
    """A name from outside as Markdown shows it letter by letter."""
    shown = text.printable(name)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{fence} {shown} {fence}" if "`" in shown else f"`{shown}`"
