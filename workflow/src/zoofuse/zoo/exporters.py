"""A zoo as folders that others read without zoofuse: plain state_dicts, or trials as Ray Tune leaves them.

`imports` reads both back. Each folder has a data card and the SHA-256 of every file.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from zoofuse.core import cards, files, logs, sums
from zoofuse.core.temporary import atomic_folder
from zoofuse.models.network import Network
from zoofuse.zoo import aiml, zoo

LAYOUTS = {"pytorch": "one state_dict for each CNN", "trials": "one Ray Tune trial for each CNN"}


def write(
    paths: Sequence[str | os.PathLike], layout: str, folder: str | os.PathLike, source: Mapping | None = None
) -> None:
    """Write the CNNs of a zoo's files into `folder`, which is replaced as a whole when all are there.

    pytorch: cnn_000012.pt, a state_dict saved by torch.save. trials: trial_000012/ with params.json, result.json (one
    line for each epoch from 0, before training, where the zoo has a history) and checkpoint_000020/checkpoints, the
    state_dict after that many epochs, and earlier ones where the zoo kept them. Numbers are the CNNs' indices. The
    loaders of SANE and WeightCLIP open trials as they are; see `aiml`.

    Args:
        paths: the zoo's files.
        layout: a key of LAYOUTS.
        folder: the folder.
        source: `source` and `dataset` of the images that the CNNs were trained on; None if they are unknown.
    """
    attributes = files.attributes(paths[0], "zoo")
    zoos = zoo.read(list(paths))
    exported = _Exported(zoos, attributes)
    with atomic_folder(folder) as temporary, logs.bar(len(zoos["model"]), "CNNs", str(folder)) as bar:
        for row, model in enumerate(zoos["model"].tolist()):
            if layout == "pytorch":
                exported.save(row, temporary / f"cnn_{model:06d}.pt")
            else:
                exported.trial(row, temporary / f"trial_{model:06d}")
            bar.update()
        (temporary / "README.md").write_text(_card(exported, layout, source), encoding="utf-8")
        facts = {"concept": attributes["concept"]}
        facts |= {"concept_output": 1} if exported.is_concept else {"classes": exported.classes}
        if "network" in attributes:
            facts["network"] = asdict(exported.network) | {"slower": 1}
        (temporary / files.ZOO_FACTS).write_text(json.dumps(facts, indent=2) + "\n")
        (temporary / sums.NAME).write_text(sums.of(temporary), encoding="utf-8")


class _Exported:
    """The CNNs of one zoo.

    Args:
        zoos: as `zoo.read` gives them.
        attributes: of the zoo's first file.
    """

    def __init__(self, zoos: Mapping[str, np.ndarray], attributes: Mapping):
        self.zoos, self.attributes = zoos, attributes
        states = [name for name in zoos if "." in name and "/" not in name]
        self.network = aiml.network_of(attributes, zoos)
        order = list(self.network.shapes)
        self.states = sorted(states, key=lambda name: order.index(name) if name in order else len(order))
        self.layers = aiml.layer_names(self.network)
        settings = attributes.get("settings", {})
        self.settings = {name: value for name, value in settings.items() if np.isscalar(value)}
        self.classes = attributes.get("classes", ["other", attributes["concept"]])
        self.is_concept = self.classes == ["other", attributes["concept"]]
        self.history = self._part("history/")
        self.factors = self._part("factors/")

    def _part(self, prefix: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(prefix): values for name, values in self.zoos.items() if name.startswith(prefix)}

    def epochs(self, row: int) -> int:
        """Epochs that a CNN was trained; 1 where nothing says how many, as SANE takes epoch 0 for missing."""
        if "epochs" in self.factors:
            return int(self.factors["epochs"][row])
        return next((values.shape[1] for values in self.history.values()), 0) or self.settings.get("epochs") or 1

    def last(self, name: str) -> np.ndarray | None:
        """(n,) a score after each CNN's last epoch; None where the zoo has none."""
        if name not in self.history:
            return None
        return np.array([values[self.epochs(row) - 1] for row, values in enumerate(self.history[name])])

    def their(self, name: str) -> str:
        """A parameter's name in the files."""
        layer, part = name.split(".")
        return f"{self.layers.get(layer, layer)}.{part}"

    def save(self, row: int, path: Path, prefix: str = "", place=...) -> None:
        """One CNN's state_dict."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {self.their(name): np.array(self.zoos[prefix + name][row][place]) for name in self.states}
        torch.save({name: torch.from_numpy(values) for name, values in arrays.items()}, path)

    def trial(self, row: int, folder: Path) -> None:
        """One CNN as Ray Tune leaves it."""
        epochs, every = self.epochs(row), self.settings.get("checkpoint_every", 0)
        first = self.zoos.get(f"checkpoints/{self.states[0]}")
        kept = 0 if first is None else min(first.shape[1], epochs // every)
        for place in range(kept):
            self.save(row, folder / f"checkpoint_{(place + 1) * every:06d}/checkpoints", "checkpoints/", place)
        self.save(row, folder / f"checkpoint_{epochs:06d}/checkpoints")
        params = self.params(row)
        (folder / "params.json").write_text(json.dumps(params, indent=2) + "\n")
        lines = [aiml.result(epoch, self._scores(row, epoch)) for epoch in range(epochs + 1)]
        for line in lines:
            if "validation_balanced_accuracy" in line:  # the name under which others look for it
                line["accuracy"] = line["validation_balanced_accuracy"]
        if "source/accuracy" in self.zoos and np.isfinite(self.zoos["source/accuracy"][row]):
            lines[-1] |= dict.fromkeys(("accuracy", "test_acc"), float(self.zoos["source/accuracy"][row]))
        text = "".join(json.dumps(line | {"config": params}) + "\n" for line in lines)
        (folder / "result.json").write_text(text)

    def _scores(self, row: int, epoch: int) -> dict[str, float]:
        return {name: float(values[row][epoch - 1]) for name, values in self.history.items()} if epoch else {}

    def params(self, row: int) -> dict:
        """The zoo's settings, this CNN's factors, and what SANE and WeightCLIP read."""
        factors = {name: values[row].item() for name, values in self.factors.items()}
        network = self.network
        if "activation" in factors:
            network = replace(network, activation=factors["activation"])
        own = {"seed": self.attributes.get("seed"), "model": int(self.zoos["model"][row])}
        own["concept"] = self.attributes["concept"]
        theirs = aiml.params(network, factors, self.settings, self.epochs(row))
        return self.settings | own | factors | theirs


def _card(exported: _Exported, layout: str, source: Mapping | None) -> str:
    zoos, attributes, network = exported.zoos, exported.attributes, exported.network
    score = "validation_balanced_accuracy" if exported.is_concept else "test_accuracy"
    last = exported.last(score)
    quartiles = None if last is None else np.nanquantile(last, [0, 0.25, 0.5, 0.75, 1]).tolist()
    n, front = len(zoos["model"]), cards.origin([source]) | cards.KIND | {"tags": ["zoofuse", "pytorch", "model-zoo"]}
    measure, images = ("Balanced accuracy", "validation") if exported.is_concept else ("Accuracy", "test")
    if quartiles is not None:
        words = f"{measure}, median of {n} CNNs and quartiles"
        measured = (source["source"] if source else "unknown", f"{attributes['concept']}: {images} images")
        name = measure.lower().replace(" ", "_")
        front |= cards.model_index(
            attributes["concept"], measured, {name: (words, quartiles[2], quartiles[1], quartiles[3])}
        )
    has_linear = f"{next(step.name for step in reversed(network.steps) if step.name)}.weight" in exported.states
    return cards.render(
        "zoofuse.zoo",
        "zoo_card.md",
        front,
        layout=layout,
        n=n,
        first=int(zoos["model"].min()),
        last=int(zoos["model"].max()),
        example=int(zoos["model"][0]),
        example_epochs=exported.epochs(0),
        shapes={exported.their(name): zoos[name].shape[1:] for name in exported.states},
        parameters=sum(zoos[name][0].size for name in exported.states),
        network=network,
        classes=None if exported.is_concept else exported.classes,
        modules=_modules(network, has_linear),
        nested=aiml.MODULES if exported.layers else None,
        has_linear=has_linear,
        features=_features(network),
        degenerate=zoo.count_degenerate(zoos) if "history/validation_positive_share" in zoos else None,
        opens_in_weightclip=aiml.class_of(network),
        factors=sorted(exported.factors),
        measure=measure,
        images=images,
        quartiles=quartiles,
        attributes=attributes,
    )


def _modules(network: Network, has_linear: bool) -> dict[str, str]:
    modules = aiml.modules(network)
    return {name: code for name, code in modules.items() if has_linear or not code.startswith("nn.Linear")}


def _features(network: Network) -> int:
    """Values that the first linear layer takes."""
    return int(np.prod(next(step.takes for step in network.steps if step.kind == "linear")))
