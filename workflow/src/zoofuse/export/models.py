"""One CNN of a fusion as a folder that others can use: weights, configuration, ONNX and a model card.

The model predicts one probability for each concept of its fusion (a linear head on the CNN's features and the logistic
function). Its score is their product, and a score of at least the threshold is a yes. If the concepts have images,
nothing in it was selected by labels of the conjunction (see `choose_cnn`).
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import zoofuse
from zoofuse.core import cards, intervals
from zoofuse.core.temporary import atomic_path
from zoofuse.data import joins
from zoofuse.evaluation import protocols, zero_shot
from zoofuse.export import card_code, hub, model_files, model_inputs, onnx_joins
from zoofuse.models import architectures, cnn
from zoofuse.models.architectures import trunk

OPSET, IR_VERSION = 17, 8  # read by ONNX Runtime from 1.12 on
SUPERVISION = {
    "concept labels": "CNN, heads and threshold were selected on the concepts' own images, without labels of the "
    "conjunction.",
    "few-shot": "The concepts have no images, so CNN and threshold were selected on one half of the labelled images of "
    "the conjunction, and tested on the other.",
}
_BATCH = 256  # images
_MEMORY = 1 << 28  # bytes of activations


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """An exported CNN: its weights, conv1.weight (6, 3, 5, 5), ..., heads.weight (k, f), config.json and its card."""

    weights: Mapping[str, Tensor]
    config: Mapping
    card: str = ""

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
    def join(self) -> Callable[..., np.ndarray]:
        """What makes the score of the concepts' probabilities: np.prod, but for an expression with an or."""
        return joins.of_source(self.config)

    @property
    def threshold(self) -> float:
        """A score of at least this is a yes."""
        return self.config["threshold"]

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, *, revision: str | None = None, **download) -> "Model":
        """`load` under the name that other libraries give it; arguments and errors are the same."""
        return load(name, revision, **download)

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Write the model's folder, as `write` does; `load` reads the same weights back, bit by bit."""
        weights = {name: values.numpy() for name, values in self.weights.items()}
        write(folder, weights, {key: value for key, value in self.config.items() if key != "checksum"}, self.card)

    def predict(self, images: model_inputs.Images) -> np.ndarray:
        """Score one image or several.

        Args:
            images: one image or an iterable of images, which may be of different kinds:

                * a file of any size: a str, a Path, or its content as bytes;
                * a PIL image of any size, with the same score as the file that it was opened from;
                * a uint8 array (32, 32, 3), RGB, of any strides;
                * a uint8 tensor (32, 32, 3) or (3, 32, 32), on any device.

                A uint8 array (m, 32, 32, 3), or a tensor of that shape or (m, 3, 32, 32), is m images.

        Returns:
            (m,) float32 scores from 0 to 1: `probabilities` joined, by default their product. One image gives one
            score, (1,).

        Raises:
            decoding.ImageError: an image can't be read, or an array has another dtype or shape (a ValueError).
        """
        return self.join(self.probabilities(images), axis=1)

    def probabilities(self, images: model_inputs.Images) -> np.ndarray:
        """Predict the probability of each concept. Arguments and errors as for `predict`.

        Returns:
            (m, k) float32 probabilities of the k concepts.
        """
        size = self.config["architecture"]["image_size"]
        stack = {name: self.weights[name][None] for name in trunk(self.weights)}
        image_bytes = 2 * model_files.activations(_architecture(self.weights, size))  # a layer and its ReLU
        batch = max(1, min(_BATCH, _MEMORY // image_bytes))
        parts = [np.empty((0, len(self.concepts)), np.float32)]
        with torch.inference_mode():
            for pixels in model_inputs.batches(images, size, batch):
                x = cnn.normalise(torch.from_numpy(pixels))
                logits = cnn.features(stack, x)[0] @ self.weights["heads.weight"].T + self.weights["heads.bias"]
                parts.append(torch.sigmoid(logits).numpy())
        probabilities = np.concatenate(parts)
        if np.isnan(probabilities).any():
            raise model_files.ModelError(f"{self!r}: its weights overflow, so that the score of an image is NaN. "
                                         "Export another CNN.")  # fmt: skip
        return probabilities


def load(name: str | os.PathLike, revision: str | None = None, **download) -> Model:
    """Read an exported model.

    Args:
        name: the model's folder, one of the files in it, or a repository of a model hub: "user/repo" or
            "user/repo@revision". What exists here under that name is never looked for on the hub.
        revision: of a repository: a commit, which pins its files, or a tag or branch.
        download: further arguments of huggingface_hub.snapshot_download, such as cache_dir or token.

    Raises:
        model_files.ModelError: the model is missing or corrupt; the message names file and key (a ValueError).
    """
    folder = hub.fetched(name, revision, **download)
    config, weights = model_files.read(folder)
    tensors = {layer: torch.from_numpy(values) for layer, values in weights.items()}
    return Model(tensors, config, model_files.card(folder))


class Choice(NamedTuple):
    """Which CNN of a method to export, and with which heads."""

    domain: str  # "-" if the method has one domain
    model: int
    head: str  # own (classification heads) or probe (linear probes)
    supervision: str  # a key of SUPERVISION


def choose_cnn(zero_shot_table: pd.DataFrame, leaderboard: pd.DataFrame, method: str) -> Choice:
    """Select the method's CNN and heads by their score on the concepts' validation images.

    If `zero_shot.csv` has no such score (existing zoos without images), the CNN with the best score on the validation
    half of the conjunction's images is selected, with its classification heads.

    Args:
        zero_shot_table: zero_shot.csv.
        leaderboard: leaderboard.csv.
        method: the method.

    Raises:
        ValueError: the tables do not have this method.
    """
    rows = zero_shot_table[zero_shot_table["method"] == method].dropna(subset=["selected", "validation"])
    if len(rows):
        best = rows.loc[rows["validation"].idxmax()]
        return Choice(*_domain_and_model(best["selected"]), best["head"], "concept labels")
    held_out = leaderboard[leaderboard["protocol"] == "held_out"].dropna(subset=["selected", "validation"])
    rows = held_out[held_out["method"] == method]
    if len(rows):
        best = rows.loc[rows["validation"].idxmax()]
        return Choice(*_domain_and_model(best["selected"]), "own", "few-shot")
    raise ValueError(f"The tables have no method {method!r}; write one of {', '.join(held_out['method'].unique())}.")


def _domain_and_model(selected: str) -> tuple[str, int]:
    domain, slash, model = str(selected).rpartition("/")
    return domain if slash else "-", int(model)


def select_cnn(zoo: Mapping[str, np.ndarray], choice: Choice) -> dict[str, np.ndarray]:
    """The selected CNN as a zoo of one; raises ValueError if the zoo does not hold it exactly once."""
    rows = np.flatnonzero((zoo["model"] == choice.model) & (zoo["domain"] == choice.domain))
    if len(rows) != 1:
        raise ValueError(
            f"The zoo has CNN {choice.domain}/{choice.model} {len(rows)} times. Delete its tables and run again."
        )
    return {name: values[rows] for name, values in zoo.items()}


def with_heads(
    zoo: Mapping[str, np.ndarray],
    choice: Choice,
    concepts: Sequence[zero_shot.Concept],
    test: Mapping[str, np.ndarray],
    validation: np.ndarray,
    join: Callable[..., np.ndarray] = np.prod,
) -> tuple[dict[str, np.ndarray], float]:
    """Heads and threshold of a zoo's one CNN.

    The threshold joins, by default multiplies, the concepts' thresholds with the best balanced accuracy on their
    validation images. With supervision "few-shot" it is the best one on the validation half of the test images.

    Args:
        zoo: a zoo of one CNN, of `select_cnn`.
        choice: of `choose_cnn`.
        concepts: the concepts' images.
        test: the fusion's test images.
        validation: (m,) bool, the validation half of the test images.
        join: of the concepts' probabilities.

    Returns:
        Name -> float32 weights, as in `Model`, and the threshold.

    Raises:
        ValueError: the CNN has no heads, and the concepts have no images to fit linear probes on.
    """
    if choice.supervision == "concept labels":
        features = [protocols.features(zoo, concept.validation_images) for concept in concepts]
        heads = zero_shot.fit_heads(zoo, concepts, features)[choice.head]
        thresholds = [
            zero_shot.best_threshold(zero_shot.probability(head, of_concept), concept.validation_labels)[0][0]
            for head, of_concept, concept in zip(heads, features, concepts, strict=True)
        ]
        threshold = join(thresholds, axis=0)
    elif heads := zero_shot.own_heads(zoo):
        features = protocols.features(zoo, test["images"][validation])
        score = join([zero_shot.probability(head, features) for head in heads], axis=0)
        threshold = zero_shot.best_threshold(score, test["labels"][validation])[0][0]
    else:
        raise ValueError("These CNNs have no heads for the fusion's concepts, and linear probes need images of all "
                         "concepts. Add images, or export another method.")  # fmt: skip
    weights = {name: zoo[name][0] for name in trunk(zoo)}
    weights["heads.weight"] = np.concatenate([head.weight for head in heads])
    weights["heads.bias"] = np.concatenate([head.bias for head in heads])
    return {name: np.ascontiguousarray(values, np.float32) for name, values in weights.items()}, float(threshold)


def measured(model: Model, images: np.ndarray, labels: np.ndarray, seed: int) -> dict:
    """Scores of the model on test images.

    Args:
        model: the model.
        images: (m, 32, 32, 3) uint8.
        labels: (m,), 1: the conjunction.
        seed: names the random stream of the bootstrap.

    Returns:
        Numbers of positive and negative images, and for each measure [value, low, high] with a 95 % bootstrap
        interval over images; None where it is undefined.
    """
    truth, scores = labels == 1, model.predict(images)[None]
    weights = intervals.resamples(truth, seed, added=True)
    shares = {
        "auroc": intervals.rank_shares(scores, truth),
        "balanced_accuracy": intervals.accuracy_shares(scores >= model.threshold, truth),
    }
    results = {"positive": int(truth.sum()), "negative": int((~truth).sum())}
    for name, share in shares.items():
        interval = np.clip(intervals.image_interval(share[0], weights), 0, 1)
        values = [float(intervals.measure(share, truth)[0]), *interval.tolist()]
        results[name] = [value if np.isfinite(value) else None for value in values]
    return results


def configuration(
    weights: Mapping[str, np.ndarray], concepts: Sequence[str], join: Callable[..., np.ndarray] = np.prod, **more
) -> dict:
    """config.json: how to run the weights, how the concepts are joined, and `more` about their origin."""
    if isinstance(join, joins.Join):
        more |= {"join": join.written()}
    architecture = _architecture(weights)
    return {
        "format": model_files.FORMAT,
        "format_version": model_files.FORMAT_VERSION,
        "zoofuse": zoofuse.__version__,
        "concepts": list(concepts),
        "labels": {"yes": joins.text(concepts, join), "no": "anything else"},
        "architecture": (
            {
                "layers": model_files.LAYERS,
                "channels": list(architecture.channels),
                "kernel_size": architecture.kernel_size,
            }
            if architecture.conv_layers
            else {"name": _unchained(weights), "layers": architecture.about}
        )
        | {
            "image_size": architecture.image_size,
            "features": architecture.features,
            "parameters": sum(values.size for values in weights.values()),
        },
        "normalisation": {"divide": 255, "mean": [0.5] * 3, "std": [0.5] * 3},
        "picture": f"upright, RGB, transparency on white, the whole image resized to {architecture.image_size} x "
        f"{architecture.image_size} (Pillow, bilinear)",
        **more,
    }


def _unchained(weights: Mapping[str, np.ndarray | Tensor]) -> str | None:
    return architectures.unchained({name: values.shape for name, values in weights.items()})


def _architecture(weights: Mapping[str, np.ndarray | Tensor], image_size: int = 32) -> cnn.Layers:
    if name := _unchained(weights):
        return cnn.ARCHITECTURES[name]
    layers = [name.removesuffix(".weight") for name in weights if name.startswith("conv") and name.endswith(".weight")]
    kernels = [weights[f"{layer}.weight"].shape for layer in sorted(layers, key=lambda layer: int(layer[4:]))]
    return cnn.Architecture((kernels[0][1], *(shape[0] for shape in kernels)), kernels[0][-1], image_size)


def onnx_model(weights: Mapping[str, np.ndarray], config: Mapping):
    """The model as onnx.ModelProto: `images` uint8 (m, 32, 32, 3) -> `score` float32 (m,), `probabilities` (m, k)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from zoofuse.export import onnx_layers

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
    last, graph = "x", onnx_layers.Graph()
    if name := config["architecture"].get("name"):
        last = onnx_layers.features(graph, cnn.ARCHITECTURES[name], last)
        nodes += graph.nodes
    for i in range(1, len(config["architecture"].get("channels", ()))):
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
    ]
    joining, of_join = onnx_joins.nodes(joins.of_source(config), k)
    nodes += joining
    constants = {name: np.asarray(value, np.float32) for name, value in constants.items()}
    arrays = weights | of_join | constants | graph.constants
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
    """Write the files of a model, each completely or not at all.

    Args:
        folder: the model's folder.
        weights: name -> float32 array.
        config: config.json without its checksums.
        card: the model card; "" for none.

    Raises:
        model_files.ModelError: `load` would refuse the configuration.
    """
    from safetensors.numpy import save

    folder, data = Path(folder), save(dict(weights))
    config = dict(config) | {"sha256": hashlib.sha256(data).hexdigest()}
    contents = {
        model_files.WEIGHTS: data,
        model_files.ONNX: onnx_model(weights, config).SerializeToString(),
        **({model_files.CARD: card.encode()} if card else {}),
        model_files.CONFIG: model_files.content(config),  # last, because it has the weights' checksum
    }
    for name, content in contents.items():
        with atomic_path(folder / name) as path:
            path.write_bytes(content)


def baselines(zero_shot_table: pd.DataFrame, comparisons: pd.DataFrame, method: str, head: str) -> list[dict]:
    """The other methods and baselines of `zero_shot.csv`, for the model card, the best first.

    Args:
        zero_shot_table: zero_shot.csv.
        comparisons: comparisons.csv.
        method: the model's method.
        head: the model's heads.

    Returns:
        method, head, test, test_low, test_high of each selected CNN, and the verdict on `method` compared with it, ""
        if they were not compared.
    """
    same = comparisons[(comparisons["protocol"] == "zero_shot") & (comparisons["what"] == "selected")]
    same = same[(same["method"] == method) & (same["clusterer"] == head)]
    verdicts = dict(zip(same["baseline"], same["verdict"], strict=True))
    others = zero_shot_table[zero_shot_table["method"] != method].dropna(subset=["test"])
    others = others.sort_values("test", ascending=False, kind="stable")
    heads = others.groupby("method")["head"].nunique()  # equal kinds of heads are compared, if a method has several
    return [
        row | {"verdict": verdicts.get(row["method"], "") if row["head"] == head or heads[row["method"]] == 1 else ""}
        for row in others[["method", "head", "test", "test_low", "test_high"]].to_dict("records")
    ]


def card(config: Mapping, others: Sequence[Mapping], images: Sequence[Mapping]) -> str:
    """The model card as Markdown; `others` of `baselines`, `images` the attributes of the files of images used."""
    test = config["test"]
    trained_on = [of_file["source"] for of_file in images if "concept" in of_file]
    tested_on = [of_file["source"] for of_file in images if "concept" not in of_file]
    front = cards.origin([*(trained_on or [None]), *tested_on]) | cards.KIND
    front |= {"tags": ["zoofuse", "pytorch", "onnx", "safetensors"]}
    front |= cards.model_index(
        f"{config['fusion']}, {config['method']}",
        (
            tested_on[0]["source"] if tested_on else "unknown",
            f"{config['fusion']}: {test['positive'] + test['negative']} test images",
        ),
        {
            "roc_auc": ("AUROC, 95 % interval", *test["auroc"]),
            "balanced_accuracy": ("Balanced accuracy, 95 % interval", *test["balanced_accuracy"]),
        },
    )
    supervision = SUPERVISION[config["supervision"]]
    context = {"config": config, "others": others, "images": images, "supervision": supervision}
    context["pytorch"] = card_code.PYTORCH.get(config["architecture"].get("name"))
    return cards.render("zoofuse.export", "model_card.md", front, **context)
