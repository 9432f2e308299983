"""Networks distilled from the ensemble of the training networks, with training images or with invented ones."""

import numpy as np

from zoofuse.methods.generators.registry import Given, generator

_COPIES = 4  # of each training image: as it is, then mixed with others, half and half at most
_LEAVES = 2048
_EPOCHS = 8
_TEACHERS = 16


@generator(
    "distil",
    label="distilled, on images",
    trained=True,
    given="weights, images",
    about="New networks, trained on training images and on mixes of two, with classes drawn from the mean prediction "
    "of 16 training networks, which on average is training on their probabilities; Hinton et al. soften these.",
    cites="Hinton et al. 2015; Beyer et al. 2022 (mixes)",
)
def distil(given: Given) -> np.ndarray:
    shown = [given.images]
    for copy in range(1, _COPIES):
        other = given.images[given.normal(len(given.images), name=f"other {copy}").argsort()]
        share = np.clip(0.5 + 0.15 * given.normal(len(other), 1, 1, 1, name=f"share {copy}"), 0.5, 1)
        shown.append(np.rint(share * given.images + (1 - share) * other).astype(np.uint8))
    return _students(given, np.concatenate(shown))


@generator(
    "distil_leaves",
    label="distilled, without images",
    trained=True,
    about="The same on images of dead leaves, random shapes that hide each other.",
    cites="Hinton et al. 2015; Baradad et al. 2021",
)
def distil_leaves(given: Given) -> np.ndarray:
    from zoofuse.methods import distil

    network = given.network
    shown = distil.leaves(_LEAVES, given.stream[0], "leaderboard", *given.stream[1:], "leaves")
    rows = np.arange(network.size) * shown.shape[1] // network.size
    shown = shown[:, rows][:, :, rows]
    if network.channels == 1:
        shown = shown.mean(-1, keepdims=True).astype(np.uint8)
    return _students(given, shown)


def _students(given: Given, images: np.ndarray) -> np.ndarray:
    """float32 (count, parameters): networks trained on classes that the ensemble predicts for images (m, ...)."""
    from scipy.special import softmax

    from zoofuse.methods.generators import alignment, outputs
    from zoofuse.zoo import populations

    network = given.network
    logits = outputs.logits(network, images, given.weights[:_TEACHERS])
    shares = softmax(logits, axis=-1).mean(0, dtype=np.float64)
    below = given.uniform(len(images), name="classes")[:, None] > shares.cumsum(1)
    labels = np.minimum(below.sum(1), network.classes - 1).astype(np.uint8)
    none = {f"{part}_{kind}": of[:0] for part in ("validation", "test") for kind, of in
            (("images", images), ("labels", labels))}  # fmt: skip
    factors = {"learning_rate": 0.003, "epochs": _EPOCHS, "schedule": "cosine", "activation": network.activation}
    settings = populations.Settings(network, factors)
    seed, *names = given.stream
    made = populations.train(
        settings,
        {"images": images, "labels": labels} | none,
        seed,
        "/".join(map(str, ("leaderboard", *names))),
        np.arange(given.count),
        backend=populations.choose_backend(settings)[0],
    )
    return alignment.flatten(network, made)
