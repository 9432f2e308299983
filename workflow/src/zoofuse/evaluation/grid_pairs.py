"""One pair of a grid: CNNs by every method from the zoos of its attribute and its object, and their AUROC."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from zoofuse.core import files, intervals
from zoofuse.data import grid
from zoofuse.evaluation import combinations, tables, zero_shot
from zoofuse.methods import registry
from zoofuse.settings.evaluation import ZeroShot
from zoofuse.zoo import zoo


def measure(
    pair: grid.Pair,
    name: str,
    methods: Sequence[str],
    *,
    images: Mapping[str, Path],
    zoos: Mapping[str, Path],
    pool: Mapping[str, np.ndarray],
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    folder: Path,
    config: Mapping,
    other_concepts: Mapping[str, tuple[Path, Path]] = MappingProxyType({}),
    device: str = "cpu",
    threads: int = 1,
    say: Callable[[str], None] = print,
) -> Iterator[dict]:
    """A row for each method: its AUROC for the conjunction, and against each group of other images.

    Args:
        pair: the attribute and the object.
        name: for random numbers and messages, such as "grid/black_cat".
        methods: registered methods and baselines.
        images: "A" and "B" -> the images files of the attribute and the object.
        zoos: "A" and "B" -> their zoo files.
        pool: the grid's images.
        rows: as `grid.test_rows` gives them.
        folder: where the CNNs of each method go, one zoo file each.
        config: the complete configuration.
        other_concepts: as `registry.Job` takes others.
        device: "cpu" or "cuda".
        threads: CPU threads to use.
        say: called with a line for each method.

    Yields:
        pair, attribute, object, method, supervision, head, n, auroc (the median over n CNNs), q25, q75,
        auroc_same_attribute, auroc_same_object, auroc_neither.
    """
    positive, others, groups = rows
    shown = pool["images"][np.concatenate([positive, others])]
    is_pair = np.arange(len(shown)) < len(positive)
    settings = ZeroShot(**config["evaluation"]["zero_shot"])
    concepts = [zero_shot.read_concept(path, settings.probe_images, config["seed"]) for path in images.values()]
    sizes = {side.lower(): len(files.read(path, "zoo", ["model"])["model"]) for side, path in zoos.items()}
    combined = without = None
    for method in methods:
        entry = registry.get(method)
        if entry.makes_cnns:
            path = folder / f"{method}.h5"
            _generate(entry, path, name, sizes, images, zoos, config, folder, device, threads, other_concepts)
            predictions = zero_shot.predict(files.read(path, "zoo"), concepts, shown, say)
            head = "own" if "own/scores" in predictions else "probe"
            scores = predictions[f"{head}/scores"]
        else:
            if combined is None:
                parents = {side: zoo.read([path]) for side, path in zoos.items()}
                combined = combinations.parents(parents, concepts, shown, config["seed"], name, settings)
                without = zero_shot.without_cnn(concepts, shown)
            head = "probe" if entry.images_only else "own"
            scores = (without if entry.images_only else combined)[method]["scores"]
        auroc = intervals.auroc(scores, is_pair)
        row = {"pair": " ".join(pair), "attribute": pair[0], "object": pair[1], "method": method}
        row |= {"supervision": tables.supervision(method, head), "head": head, "n": len(scores)}
        q25, median, q75 = np.percentile(auroc, [25, 50, 75])
        row |= {"auroc": median, "q25": q25, "q75": q75}
        for group in ("same attribute", "same object", "neither"):
            kept = np.concatenate([np.ones(len(positive), bool), groups == group])
            against = intervals.auroc(scores[:, kept], is_pair[kept])
            row[f"auroc_{group.replace(' ', '_')}"] = float(np.median(against))
        say(f"{name}: {method} {median:.3f} (n = {len(scores)})")
        yield row


def _generate(
    entry: registry.Method,
    path: Path,
    name: str,
    sizes: Mapping[str, int],
    images: Mapping[str, Path],
    zoos: Mapping[str, Path],
    config: Mapping,
    folder: Path,
    device: str,
    threads: int,
    other_concepts: Mapping[str, tuple[Path, Path]],
) -> None:
    """Write a method's CNNs, after those of other methods that it starts from."""
    if path.exists():
        return
    started = [need.removeprefix("method:") for need in entry.needs if need.startswith("method:")]
    for other in started:
        _generate(
            registry.get(other),
            folder / f"{other}.h5",
            name,
            sizes,
            images,
            zoos,
            config,
            folder,
            device,
            threads,
            other_concepts,
        )
    own = entry.letter.upper()
    entry.make(
        registry.Job(
            method=entry.name,
            output=path,
            fusion=name,
            seed=config["seed"],
            count=entry.count(sizes, config, entry.settings(config)),
            architecture=config["zoo"]["architecture"],
            options=entry.settings(config),
            zoos={side: [zoo_path] for side, zoo_path in zoos.items() if own in ("", side)},
            images=dict(images) if entry.needs_images else {},
            made={other: folder / f"{other}.h5" for other in started},
            others=other_concepts if "others" in entry.needs else {},
            device=device,
            threads=threads,
        )
    )
