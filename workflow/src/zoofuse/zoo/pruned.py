"""Pruned twins of a factory zoo: each CNN with its smallest weights set to 0, and trained on with these kept at 0.

Magnitude pruning (Han et al. 2015, "Learning both weights and connections for efficient neural networks"), once and
over all layers: the weights, not the biases, of smallest magnitude in the whole CNN go.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zoofuse.core import files
from zoofuse.data import classes
from zoofuse.models.network import Network
from zoofuse.native import build
from zoofuse.zoo import populations, recipes, shards

RECIPE = 1  # raised when the numbers a twin trains to change for equal settings


def train(
    images: Path,
    parents: Path,
    output: Path,
    concept: str,
    parent: str,
    training: Mapping,
    models: Sequence[int],
    pruning: Mapping,
    seed: int,
    store: str,
    threads: int,
    say: Callable[[str], None] = print,
) -> None:
    """Write the pruned twins of a zoo file's CNNs, by PyTorch, training only those that the store does not hold.

    A twin sees its parent's images and labels again from the parent's first epoch on, at the parent's learning rate.
    In the file, factors/epochs are those it was trained on for, and factors/sparsity its share of weights that are 0.

    Args:
        images: the images file of the parents.
        parents: their zoo file.
        output: the zoo file.
        concept: the twins' zoo.
        parent: the parents' zoo.
        training: as `population_shards.train` takes it.
        models: the first global index and the one after the last.
        pruning: sparsity, the share of the weights to set to 0, and epochs, to train on for.
        seed: the run's seed.
        store: a folder of twins that are trained, see `shards.fill`.
        threads: CNNs that are trained at a time.
        say: takes lines about what is done.
    """
    sparsity, epochs = pruning["sparsity"], pruning["epochs"]
    data, names = classes.read(images)
    network = Network(**training["network"])
    factors = dict(training["factors"])
    settings = populations.Settings(network, factors | {"epochs": epochs}, training["images_per_epoch"])
    of_parents = files.attributes(parents, "zoo")
    described = settings.described | {"factors": factors, "sparsity": sparsity, "pruned_epochs": epochs}
    attributes = {"network": described["network"], "settings": described, "seed": seed, "concept": concept}
    attributes |= {"parent": parent, "classes": names, "images": of_parents["images"]}
    # The parents' recipe stands for their weights, so that a zoo that grows leaves its twins as they are.
    attributes["recipe"] = files.digest([RECIPE, described, of_parents["recipe"]])
    attributes |= {"backend": "serial", "device": "cpu", "instruction_set": build.instruction_set()}
    held = files.read(parents, "zoo", ["model", *network.shapes])
    rows = {int(model): row for row, model in enumerate(held["model"])}
    say("Training on by serial: one PyTorch CNN per thread, as the C++ trainer keeps no weight at 0")

    def some(part: np.ndarray, progress) -> dict[str, np.ndarray]:
        made = [replace(recipes.recipe(factors, seed, parent, model), epochs=epochs) for model in part]

        def task_of(row: int) -> populations.Task:
            of = populations.task(settings, data, seed, parent, made[row])
            weights, kept = prune({name: held[name][rows[int(part[row])]] for name in network.shapes}, sparsity)
            return replace(of, weights=weights, kept=kept)

        arrays = populations.blank(settings, part, made) | {"factors/sparsity": np.full(len(part), sparsity)}
        return populations.train_all(
            arrays, network, task_of, populations.train_one_serially, threads=threads, progress=progress
        )

    fill = functools.partial(shards.fill, title=concept, step=4 * threads, train=some, attributes=attributes, say=say)
    if new := fill(output, range(*models), Path(store)):
        say(f"{concept}: {new} CNNs pruned and trained on for {epochs} epochs.")


def prune(weights: Mapping[str, np.ndarray], sparsity: float) -> tuple[np.ndarray, np.ndarray]:
    """One CNN without its smallest weights.

    Args:
        weights: name -> tensor, in the order of `Network.shapes`.
        sparsity: share of all weights, biases aside, that become 0.

    Returns:
        The flat weights, float32 (parameters,), and which parameters stay, bool (parameters,).
    """
    flat = np.concatenate([values.ravel() for values in weights.values()])
    prunable = np.concatenate([np.full(values.size, name.endswith(".weight")) for name, values in weights.items()])
    places = np.flatnonzero(prunable)
    smallest = np.argsort(np.abs(flat[places]), kind="stable")[: round(sparsity * len(places))]
    kept = np.ones(len(flat), bool)
    kept[places[smallest]] = False
    return np.where(kept, flat, np.float32(0)).astype(np.float32), kept
