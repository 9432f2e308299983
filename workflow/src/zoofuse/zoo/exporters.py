"""A concept's zoo as folders that others read without zoofuse: plain state_dicts, or trials as Ray Tune leaves them.

`imports` reads both back. Each folder has a data card and the SHA-256 of every file.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from zoofuse.core import cards, files, logs, sums
from zoofuse.core.temporary import atomic_folder
from zoofuse.models import cnn
from zoofuse.zoo import zoo

LAYOUTS = {"pytorch": "one state_dict for each CNN", "trials": "one Ray Tune trial for each CNN"}


def write(
    paths: Sequence[str | os.PathLike], layout: str, folder: str | os.PathLike, source: Mapping | None = None
) -> None:
    """Write the CNNs of a concept's zoo files into `folder`, which is replaced as a whole when all are there.

    pytorch: cnn_000012.pt, a state_dict saved by torch.save. trials: trial_000012/ with params.json, result.json (one
    line for each epoch, where the zoo has a history) and checkpoint_000020/checkpoints, the state_dict after that many
    epochs, and earlier ones where the zoo kept them. Numbers are the CNNs' indices.

    Args:
        paths: the concept's zoo files.
        layout: a key of LAYOUTS.
        folder: the folder.
        source: `source` and `dataset` of the images that the CNNs were trained on; None if they are unknown.
    """
    zoos, attributes = zoo.read(list(paths)), files.attributes(paths[0], "zoo")
    states = [name for name in zoos if "." in name and "/" not in name]
    states.sort(key=lambda name: (name.split(".")[0], name.endswith("bias")))
    with atomic_folder(folder) as temporary, logs.bar(len(zoos["model"]), "CNNs", str(folder)) as bar:
        for row, model in enumerate(zoos["model"].tolist()):
            one = {name: values[row] for name, values in zoos.items()}
            if layout == "pytorch":
                _save(one, states, temporary / f"cnn_{model:06d}.pt")
            else:
                _trial(one, states, attributes, temporary / f"trial_{model:06d}")
            bar.update()
        (temporary / "README.md").write_text(_card(zoos, states, attributes, layout, source), encoding="utf-8")
        facts = {"concept": attributes["concept"], "concept_output": 1}
        (temporary / files.ZOO_FACTS).write_text(json.dumps(facts, indent=2) + "\n")
        (temporary / sums.NAME).write_text(sums.of(temporary), encoding="utf-8")


def _save(one: Mapping[str, np.ndarray], names: Sequence[str], path: Path, prefix: str = "", row=...) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: torch.from_numpy(np.array(one[prefix + name][row])) for name in names}, path)


def _trial(one: Mapping[str, np.ndarray], names: Sequence[str], attributes: Mapping, folder: Path) -> None:
    settings = attributes.get("settings", {})
    history = {name.removeprefix("history/"): values for name, values in one.items() if name.startswith("history/")}
    epochs = len(next(iter(history.values()), ()))
    every = settings.get("checkpoint_every", 0)
    kept = len(one[f"checkpoints/{names[0]}"]) if f"checkpoints/{names[0]}" in one else 0
    for place in range(kept):
        _save(one, names, folder / f"checkpoint_{(place + 1) * every:06d}/checkpoints", "checkpoints/", place)
    _save(one, names, folder / f"checkpoint_{epochs:06d}/checkpoints")
    model = int(one["model"])
    params = dict(settings) | {"seed": attributes.get("seed"), "model": model, "concept": attributes["concept"]}
    (folder / "params.json").write_text(json.dumps(params, indent=2) + "\n")
    lines = []
    for epoch in range(epochs):
        result = {name: float(values[epoch]) for name, values in history.items() if np.isfinite(values[epoch])}
        if "validation_balanced_accuracy" in result:  # the name under which others look for it
            result["accuracy"] = result["validation_balanced_accuracy"]
        lines.append(json.dumps({"training_iteration": epoch + 1} | result))
    if "source/accuracy" in one and np.isfinite(one["source/accuracy"]):
        lines.append(json.dumps({"accuracy": float(one["source/accuracy"])}))
    (folder / "result.json").write_text("".join(line + "\n" for line in lines))


def _card(
    zoos: Mapping[str, np.ndarray], names: Sequence[str], attributes: Mapping, layout: str, source: Mapping | None
) -> str:
    layers = list(dict.fromkeys(name.split(".")[0] for name in names))
    kernels = [zoos[f"{layer}.weight"].shape[1:] for layer in layers if layer.startswith("conv")]
    channels = [kernels[0][1], *(shape[0] for shape in kernels)]
    last = zoos.get("history/validation_balanced_accuracy")
    quartiles = None if last is None else np.nanquantile(last[:, -1], [0, 0.25, 0.5, 0.75, 1]).tolist()
    n, front = len(zoos["model"]), cards.origin([source]) | cards.KIND | {"tags": ["zoofuse", "pytorch", "model-zoo"]}
    if quartiles is not None:
        words = f"Balanced accuracy, median of {n} CNNs and quartiles"
        measured = (source["source"] if source else "unknown", f"{attributes['concept']}: validation images")
        metrics = {"balanced_accuracy": (words, quartiles[2], quartiles[1], quartiles[3])}
        front |= cards.model_index(attributes["concept"], measured, metrics)
    return cards.render(
        "zoofuse.zoo",
        "zoo_card.md",
        front,
        layout=layout,
        n=n,
        first=int(zoos["model"].min()),
        last=int(zoos["model"].max()),
        example=int(zoos["model"][0]),
        shapes={name: zoos[name].shape[1:] for name in names},
        parameters=sum(zoos[name][0].size for name in names),
        channels=channels,
        kernel_size=kernels[0][-1],
        features=cnn.Architecture(tuple(channels), kernels[0][-1]).features,
        has_linear="fc1.weight" in names,
        degenerate=zoo.count_degenerate(zoos) if "history/validation_positive_share" in zoos else None,
        epochs=0 if last is None else last.shape[1],
        quartiles=quartiles,
        attributes=attributes,
    )
