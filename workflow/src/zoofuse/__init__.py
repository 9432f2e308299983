"""zoofuse: neural networks made out of zoos of other neural networks."""

__version__ = "0.1.0"


def load(name, revision=None):
    """The exported model in a folder or a hub's repository: `.predict(images)`, `.threshold`, `.concepts`.

    Args:
        name: the model's folder, or a repository, "user/repo" or "user/repo@revision" (pip install "zoofuse[hub]").
        revision: of a repository: a commit, which pins its files, or a tag or branch.

    Returns:
        A zoofuse.export.models.Model.

    Raises:
        ValueError: the model is missing or corrupt; the message names the file.
    """
    from zoofuse.export import models  # here, so that `import zoofuse` stays cheap

    return models.load(name, revision)


def load_zoo(
    path, *, split=None, shares=(0.7, 0.15, 0.15), per_layer=False, standardise=False, targets=None, epoch=None
):
    """The CNNs of a zoo as a torch.utils.data.Dataset; an item is (weights, targets) of one CNN.

    Args:
        path: a zoo file, or a folder of them, such as results/zoo/kinds. Zoos of concepts are read as well.
        split: "train", "validation" or "test"; None takes all CNNs. A CNN's split follows from its index, so that a
            zoo that grows moves none of them.
        shares: of the three splits, of all CNNs.
        per_layer: False: weights are float32 (parameters,), all tensors flattened in the order of PyTorch's
            `parameters()`. True: a dict, name -> float32 of the tensor's shape: conv1.weight (out, in, rows, columns),
            conv1.bias (out,), ..., fc1.weight (out, in), fc1.bias (out,).
        standardise: subtract the mean of each tensor and divide by its standard deviation, over all of its values in
            all CNNs of the train split, whichever split is asked for.
        targets: names of factors and scores, such as ["test_accuracy", "learning_rate", "loss_3"] (the loss after the
            third epoch): then float32 (len(targets),). None: a dict of all of them, numbers and words.
        epoch: take the weights after this epoch, of a zoo with checkpoints (checkpoint_every); CNNs that were trained
            for less are left out. None takes the final ones.

    Returns:
        A zoofuse.zoo.dataset.Zoo, whose attributes weights (n, parameters), table (a DataFrame), shapes, network, mean
        and std hold all items at once, for those who need no DataLoader.

    Raises:
        ValueError: an argument is not possible, or a file is missing, corrupt or no zoo; the message names it.
    """
    from zoofuse.zoo import dataset  # here, so that `import zoofuse` stays cheap

    more = {"per_layer": per_layer, "standardise": standardise, "targets": targets, "epoch": epoch}
    return dataset.Zoo(path, split=split, shares=shares, **more)


def snakefile() -> str:
    """Path of the workflow's Snakefile, for `module zoofuse: snakefile: zoofuse.snakefile()`."""
    from zoofuse.core import code

    return str(code.HOME / "workflow" / "Snakefile")
