"""Settings of the evaluation."""

from typing import Literal

from zoofuse.settings.fields import ONCE, Count, Pair, Positive, Seed, Share, Whole, block, says


@block
class ZeroShot:
    probe_images: Pair = says(
        "Training images per class that a concept probe is fitted on, or as many as the smaller class has.", 256
    )
    supervised: Whole = says(
        "CNNs trained on the validation half of the test images, the oracle of the zero-shot table; 0 trains none.",
        8,
        le=100_000,
    )
    supervised_folds: Pair = says(
        "Folds of their images, at most; each leaves one out, and what all predict for these gives the threshold.", 8
    )
    temperature: Positive = says("Softens the logits of ensemble_softened.", 4)
    palettes: Count = says(
        "Palettes in which ensemble_palettes shows each image to the CNNs of concepts that are not colours.", 6
    )
    palette_models: Count = says("CNNs of each zoo that ensemble_palettes asks, at most.", 64)
    palette_images: Pair = says(
        "Dead leaves, images of random shapes, that lend ensemble_palettes their palettes and tell it which concept is "
        "a colour.",
        1000,
    )


@block
class FewShot:
    images: list[Count] = says(
        "Labelled images of each class, from the validation half, that probes are fitted on; a "
        "number that the half does not hold is left out.",
        [1, 5, 10, 50],
        min_length=1,
        extra=ONCE,
    )
    models: Count = says("CNNs of each domain of a method that are looked at.", 8)
    draws: int = says("Choices of images that are averaged.", 5, ge=1, le=1000)


@block
class Umap:
    n_neighbors: Pair = says("Neighbours per image.", 15)
    min_dist: Share = says("Least distance in the embedding.", 0.1)
    metric: Literal["euclidean", "cosine", "correlation", "manhattan", "chebyshev", "canberra", "braycurtis"] = says(
        "Distance between feature vectors.", "euclidean"
    )
    random_state: Seed = says("As published.", 47)
    held_out_epochs: Count = says(
        "Epochs of the held-out protocol's embedding, a third of them for the test images; the published protocol's "
        "500 take more than twice the time.",
        200,
    )


@block
class Tsne:
    perplexity: Positive = says("Lowered where there are too few images.", 30)
    random_state: Seed = says("Seed of the embedding.", 47)


@block
class Kmeans:
    k: Pair = says("Number of clusters (report: 2 or 3).", 2)
    random_state: Seed = says("As published.", 1)


@block
class Dbscan:
    eps: Positive = says("Radius in the embedding (report).", 3)
    min_samples: Count = says("Points that make a core point (report).", 3)


@block
class OneClassSvm:
    nu: float = says("Upper bound on outliers (report).", 0.1, gt=0, lt=1)
    gamma: Literal["scale", "auto"] = says("Width of the rbf kernel (report).", "scale")


@block
class Orders:
    models: Count = says("CNNs of each domain of the first method that are evaluated in each order.", 8)
    orders: Count = says("Orders of the test images besides the given one.", 100)


@block
class Evaluation:
    shard_size: Count | None = says(
        "CNNs per evaluation job; null takes 64, doubled (to 4096 at most) until a method has at most 64 jobs.", None
    )
    models: Count | None = says(
        "Evaluate only the first so many generated CNNs of each domain; null evaluates all.", None
    )
    baselines: Count | None = says("Evaluate only the first so many CNNs of each baseline; null evaluates all.", None)
    held_out: Pair | None = says(
        "Evaluate only the first so many generated CNNs of each domain by the held-out protocol, "
        "and the others by the published one alone, which takes two thirds of the time; null "
        "evaluates all that are evaluated by both.",
        None,
    )
    embeddings: list[Literal["umap", "tsne"]] = says(
        "Embeddings computed and stored for every CNN. The clusterers work on umap, as published; "
        "tsne is for looking at, and the figures make it for the CNNs they show in any case.",
        ["umap"],
        extra=ONCE | {"contains": {"const": "umap"}},
    )
    zero_shot: ZeroShot = ZeroShot()
    few_shot: FewShot = FewShot()
    nearest_parent: Count = says("CNNs of each domain of a method whose distance to the nearest parent is measured.", 8)
    search: Count = says(
        "CNNs of each domain that the search for better parameters looks at "
        "(results/tables/{fusion}/search.csv, made when asked for).",
        8,
    )
    orders: Orders = Orders()
    umap: Umap = Umap()
    tsne: Tsne = Tsne()
    kmeans: Kmeans = Kmeans()
    dbscan: Dbscan = Dbscan()
    one_class_svm: OneClassSvm = OneClassSvm()
