"""A learned conjunction operator: from two zoos to one CNN, learned on other zoos; nothing is trained for the pair.

Its trunk learns what the zoos of all other concepts of a grid predict for these concepts' images. A concept's head is a
ridge regression from the trunk's features to what its own zoo predicts for the same images, in closed form (Bertinetto
et al. 2019, "Meta-learning with differentiable closed-form solvers", solve theirs for labels). Zoos are asked for
predictions only, so the order of their channels makes no difference. No image shows either of the pair's concepts.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zoofuse.methods.registry import Job, method
from zoofuse.settings.training import Operator

ORDERS = np.array([(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])  # of channels
_LEAST = 0.02  # share of an image's weight that predictions for and against a concept count for, each, at least
_CHUNK = 1000  # images at once, for memory


@method(
    "operator",
    label="learned operator",
    role="generated",
    supervision="other concepts",
    needs=("zoos", "others"),
    zoos="any",
    effort="training",
    concepts=2,
    count=lambda sizes, config, options: config["distil"]["models"],
    options=Operator,
    about="CNNs whose trunk learned the other concepts' zoos, with heads in closed form from the pair's own zoos, "
    "without any image of either concept.",
    cites="Bertinetto et al. 2019",
)
def operator(job: Job) -> None:
    """Train the trunk on what the others' zoos predict, and solve for heads that predict as the pair's zoos do."""
    from zoofuse.methods import distil
    from zoofuse.native import build
    from zoofuse.zoo import zoo

    settings = Operator(**job.options)

    def asked(paths: Sequence[Path], of: np.ndarray, temperature: float) -> np.ndarray:
        cnns = {name: values[: settings.teachers] for name, values in zoo.read(paths).items() if "/" not in name}
        return distil.probability(cnns, of, temperature)

    own = {paths[0].stem for paths in job.zoos.values()}
    shown = images_without(own, [images for _, images in job.others.values()], settings.images, job.seed, job.fusion)
    targets = np.stack([asked([path], shown, 1) for path, _ in job.others.values()], 1)
    arrays = learned(shown, targets, settings, job)
    probes = np.concatenate([shown, altered(shown, job.seed, job.fusion)])
    seen = features(arrays, probes)
    for side, paths in job.zoos.items():
        predictions = asked(paths, probes, settings.temperature)
        lines = [solved(of_one, predictions, settings) for of_one in seen]
        both = np.stack([-np.stack(lines), np.stack(lines)], 1).astype(np.float32) / 2  # two classes, opposite logits
        arrays |= {f"fc_{side.lower()}.weight": both[..., :-1], f"fc_{side.lower()}.bias": both[..., -1]}
    arrays |= {"model": np.arange(job.count, dtype=np.int32), "domain": np.repeat(["-"], job.count)}
    job.write(arrays, instruction_set=build.instruction_set(), settings=dict(job.options))


def images_without(hidden: set[str], paths: Sequence[Path], n: int, seed: int, *names) -> np.ndarray:
    """Images of a grid's concepts that show none of some concepts.

    Args:
        hidden: concepts as paths name them, such as "dark-grey".
        paths: images files, whose groups are pairs such as "dark-grey_cat".
        n: how many images at most.
        seed, names: for random numbers.

    Returns:
        uint8 (m, 32, 32, 3), no image twice.

    Raises:
        ValueError: no image is left.
    """
    from zoofuse.core import files, rng

    shown: dict[str, np.ndarray] = {}
    for path in paths:
        arrays = files.read(path, "images", ["images", "groups", "digests", "split"])
        for row in np.flatnonzero(arrays["split"] == 0):
            if not hidden & set(str(arrays["groups"][row]).split("_")):
                shown[str(arrays["digests"][row])] = arrays["images"][row]
    if not shown:
        raise ValueError(
            f"{'/'.join(map(str, names))}: every image of the other concepts shows one of {', '.join(sorted(hidden))}. "
            "Name more attributes and objects in the grid, or leave out the method operator."
        )
    digests = sorted(shown)
    return np.stack([shown[digests[i]] for i in rng.permutation(len(digests), seed, *names, "operator")[:n]])


def altered(images: np.ndarray, seed: int, *names) -> np.ndarray:
    """The same images, channels permuted and turned by quarters of a circle: colours and shapes of no concept."""
    from zoofuse.core import rng

    order, turns = rng.uniform((2, len(images)), seed, *names, "altered")
    chosen = ORDERS[(order * len(ORDERS)).astype(int)]
    return np.stack([
        np.rot90(image[..., channels], quarters)
        for image, channels, quarters in zip(images, chosen, (turns * 4).astype(int), strict=True)
    ])  # fmt: skip


def learned(shown: np.ndarray, targets: np.ndarray, settings: Operator, job: Job) -> dict[str, np.ndarray]:
    """Conv layers of job.count CNNs with an output for each of the others, trained on targets (m, others)."""
    from zoofuse.models.architectures import trunk
    from zoofuse.zoo import training

    labels = np.zeros(len(shown), np.uint8)
    data = training.Data(shown, labels, shown[:0], labels[:0], targets)
    how = training.Settings(
        architecture=job.architecture,
        epochs=settings.epochs,
        images_per_epoch=len(shown),
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        schedule="cosine",
        balance="published",
        flip=True,
    )
    models = np.arange(job.count, dtype=np.int32)
    name, where = f"{job.fusion}/operator", {"device": job.device, "threads": job.threads}
    weights = training.train(data, how, job.seed, name, models, **where).weights
    return {name: weights[name] for name in trunk(weights)}


def features(trunks: Mapping[str, np.ndarray], shown: np.ndarray) -> np.ndarray:
    """(n, m, features + 1) of n trunks for m images, the last one 1."""
    import torch

    from zoofuse.models import cnn

    weights = {name: torch.from_numpy(values) for name, values in trunks.items()}
    parts = []
    with torch.inference_mode():
        for start in range(0, len(shown), _CHUNK):
            part = cnn.features(weights, cnn.normalise(torch.from_numpy(shown[start : start + _CHUNK])))
            parts.append(part.numpy())
    seen = np.concatenate(parts, 1)
    return np.concatenate([seen, np.ones_like(seen[..., :1])], 2)


def solved(seen: np.ndarray, probability: np.ndarray, settings: Operator) -> np.ndarray:
    """The head that predicts as a zoo does: (features + 1,) weights of logits, by ridge regression.

    Args:
        seen: (m, features + 1) of one trunk.
        probability: (m,), the zoo's softened ones. What speaks for the concept weighs as much as what speaks against.
        settings: ridge and temperature.
    """
    weight = np.zeros(len(seen))
    for share in (probability.astype(np.float64), 1 - probability.astype(np.float64)):
        weight += share / max(share.sum(), _LEAST * len(share))
    weighted = seen.T * (weight / weight.sum())
    gram = (weighted @ seen).astype(np.float64) + settings.ridge * np.eye(seen.shape[1])
    return settings.temperature * np.linalg.solve(gram, weighted @ (2 * probability.astype(np.float64) - 1))
