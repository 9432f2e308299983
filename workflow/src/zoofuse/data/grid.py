"""A grid of conjunctions: attributes by objects, with pairs held out of everything that is trained.

Compositional zero-shot learning measures composition like this (Misra, Gupta and Hebert 2017, "From red
wine to red tomato"; Atzmon et al. 2020): every attribute and every object is seen in training, some of
their pairs never are, and only these are counted. Each attribute and each object is a concept with a
zoo of its own, so that a grid of a + o concepts gives evidence over up to a * o conjunctions.

All images of a grid are one *pool*, each with its attribute and its object. Concepts take their training
images from it and tests theirs; the pool holds training images of no held-out pair.

Imports no torch: the Snakefile lists a grid's jobs by it.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoofuse.core import rng
from zoofuse.data import colour_words

Pair = tuple[str, str]  # attribute, object
LEAST_SEEN = 2  # pairs that every attribute and every object keeps in training
LEAST_TEST = 10  # images of a pair that is measured


@dataclass(frozen=True)
class Grid:
    """Which pairs there are, and which of them are held out.

    Args:
        name: in the configuration and in paths.
        attributes: such as colours.
        objects: such as kinds of animal.
        pairs: those that have images, in order of attributes, then of objects.
        held_out: those without an image in any concept's training or validation.
        seen: those of the others that are measured too, for comparison.
    """

    name: str
    attributes: tuple[str, ...]
    objects: tuple[str, ...]
    pairs: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    seen: tuple[Pair, ...]

    @property
    def measured(self) -> tuple[Pair, ...]:
        """The held-out pairs and the seen ones beside them."""
        return self.held_out + self.seen


def build(
    name: str,
    attributes: Sequence[str],
    objects: Sequence[str],
    pairs: Sequence[Pair],
    *,
    held_out: int | Sequence[str],
    seen: int,
    seed: int,
) -> Grid:
    """A grid whose held-out pairs are drawn by the seed, or named.

    Args:
        name: the grid's.
        attributes: at least two.
        objects: at least two.
        pairs: those that have images.
        held_out: how many pairs to draw, or their names, such as "black cat". Drawn ones leave every
            attribute and every object at least LEAST_SEEN pairs, and half of its own.
        seen: how many of the other pairs to measure as well.
        seed: the run's seed.

    Returns:
        The grid.

    Raises:
        ValueError: a named pair is unknown, or there are not as many pairs to draw.
    """
    where = f"grid.{name}"
    pairs = [(a, o) for a in attributes for o in objects if (a, o) in set(pairs)]
    kept = {concept: sum(concept in pair for pair in pairs) for concept in (*attributes, *objects)}
    for concept, count in kept.items():
        if count < LEAST_SEEN:
            raise ValueError(
                f"{where}: {concept!r} has images in {count} pairs, at least {LEAST_SEEN} are needed. "
                "Leave it out, or name more attributes and objects."
            )
    least = {concept: max(LEAST_SEEN, -(-count // 2)) for concept, count in kept.items()}
    order = [pairs[i] for i in rng.permutation(len(pairs), seed, "grid", name)]
    if isinstance(held_out, int):
        chosen = []
        for pair in order:
            if len(chosen) < held_out and all(kept[concept] > least[concept] for concept in pair):
                chosen.append(pair)
                for concept in pair:
                    kept[concept] -= 1
        if len(chosen) < held_out:
            raise ValueError(
                f"{where}.held_out: {held_out} pairs can't be held out; at most {len(chosen)} leave every "
                f"attribute and object half of its pairs. Write {len(chosen)} or less, or name more "
                "attributes and objects."
            )
    else:
        by_name = {" ".join(pair): pair for pair in pairs}
        for text in held_out:
            if text not in by_name:
                raise ValueError(
                    f"{where}.held_out: there is no pair {text!r}; write an attribute and an object of the "
                    f"grid, such as {' '.join(pairs[0])!r}."
                )
        chosen = [by_name[text] for text in dict.fromkeys(held_out)]
        for pair in chosen:
            for concept in pair:
                kept[concept] -= 1
        if short := [concept for concept, count in kept.items() if count < 1]:
            raise ValueError(
                f"{where}.held_out: every pair of {short[0]!r} is held out, so nothing shows it. Hold out fewer."
            )
    others = [pair for pair in order if pair not in set(chosen)][:seen]
    in_order = {pair: i for i, pair in enumerate(pairs)}
    return Grid(
        name,
        tuple(attributes),
        tuple(objects),
        tuple(pairs),
        tuple(sorted(chosen, key=in_order.__getitem__)),
        tuple(sorted(others, key=in_order.__getitem__)),
    )


def from_settings(name: str, settings: Mapping, seed: int) -> Grid:
    """The grid that a configuration's block describes.

    Raises:
        ValueError: what is wrong with the block, and what to write instead.
    """
    where, attributes, objects = f"grid.{name}", settings["attributes"], settings["objects"]
    if both := sorted(set(attributes) & set(objects)):
        raise ValueError(f"{where}: {both[0]!r} is both an attribute and an object; write it once.")
    if settings["source"] == "synthetic":
        from zoofuse.data import synthetic

        try:
            pairs = synthetic.pairs(attributes, objects)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    else:
        if unknown := [word for word in attributes if word not in colour_words.WORDS]:
            known = ", ".join(colour_words.WORDS)
            raise ValueError(f"{where}.attributes: no rule finds {unknown[0]!r}; write some of {known}.")
        if "pairs" not in settings:
            raise ValueError(
                f"{where}: write pairs: [...], the pairs to hold out, as only their images say how many there are."
            )
        pairs = [(attribute, thing) for attribute in attributes for thing in objects]
    held_out = settings.get("pairs", settings["held_out"])
    return build(name, attributes, objects, pairs, held_out=held_out, seen=settings["seen"], seed=seed)


def slug(pair: Pair | str) -> str:
    """As paths name a pair or a concept: "dark-grey_cat"."""
    return "_".join(part.replace(" ", "-") for part in ([pair] if isinstance(pair, str) else pair))


# ------------------------------------------------------------------ the pool


def words(pair: Pair, attributes: Sequence[str]) -> str:
    """The selector (see `query`) of exactly this pair among synthetic images.

    Words of longer attributes are excluded: "red" alone would also mean "dark red".
    """
    own = pair[0].split()
    longer = {word for other in attributes if set(own) < set(other.split()) for word in other.split()}
    return " ".join([pair[0], *(f"non-{word}" for word in sorted(longer - set(own))), pair[1]])


def draw_pool(
    grid: Grid, images: int, test_images: int, seed: int, progress: Callable[[int], None] = lambda drawn: None
) -> dict[str, np.ndarray]:
    """A pool of synthetic images.

    Args:
        grid: all of it.
        images: training images of each pair that is not held out.
        test_images: test images of each pair.
        seed: the run's seed.
        progress: called with the number of images drawn since the last call.

    Returns:
        images uint8 (n, 32, 32, 3), attribute and object str (n,), test bool (n,), names str (n,).
    """
    from zoofuse.data import synthetic

    parts: dict[str, list] = {name: [] for name in ("images", "attribute", "object", "test", "names")}
    for pair in grid.pairs:
        for test, count in ((False, 0 if pair in grid.held_out else images), (True, test_images)):
            if not count:
                continue
            stream = f"grid.{grid.name}.{slug(pair)}.{'test' if test else 'training'}"
            drawn, names = synthetic.draw([words(pair, grid.attributes)], count, seed, stream)
            parts["images"].append(drawn)
            parts["attribute"].append(np.repeat(pair[0], count))
            parts["object"].append(np.repeat(pair[1], count))
            parts["test"].append(np.repeat(test, count))
            parts["names"].append([f"{name}_test" if test else name for name in names])
            progress(count)
    return {name: np.concatenate(values) for name, values in parts.items()}


def read_pool(
    grid: Grid,
    source: Mapping,
    *,
    test_share: float,
    seed: int,
    root: str | os.PathLike = ".",
    archive: str | os.PathLike | None = None,
    threads: int = 1,
) -> dict[str, np.ndarray]:
    """A pool of images of objects, from folders or an archive, whose attributes are colours that a rule assigns.

    An image without a clear colour word, or with one that is not an attribute of the grid, is left out; so
    is a copy of another image, and both where they show different objects.

    Args:
        grid: all of it; its attributes are of `colour_words.WORDS`.
        source: source "folder" or "torchvision", dataset, unreadable; `folders`, object -> the folders or
            selectors that show it; `colour_of`, "middle" or "everywhere".
        test_share: of each pair's images that are for tests; of a held-out pair all are.
        seed: the run's seed.
        root: where folders lie.
        archive: what a data set's images come from.
        threads: that decode images.

    Returns:
        As `draw_pool`.

    Raises:
        ImageError: images can't be read, or a measured pair or a concept has too few.
    """
    import pandas as pd

    from zoofuse.data import images

    parts: dict[str, list] = {name: [] for name in ("images", "attribute", "object", "names", "digests")}
    for thing in grid.objects:
        where = f"grid.{grid.name}.{thing}"
        gathered = images.gathered(where, "train", source, source["folders"][thing], seed, root, archive, threads)
        words_of = colour_words.words(gathered.images, source["colour_of"])
        kept = np.isin(words_of, grid.attributes)
        parts["images"].append(gathered.images[kept])
        parts["attribute"].append(words_of[kept])
        parts["object"].append(np.repeat(thing, kept.sum()))
        parts["names"].append(np.array(gathered.names, dtype=str)[kept])
        parts["digests"].append([hashlib.sha256(image.tobytes()).hexdigest() for image in gathered.images[kept]])
    pool = {name: np.concatenate(values) for name, values in parts.items()}
    objects: dict[str, set] = {}
    for digest, thing in zip(pool["digests"].tolist(), pool["object"].tolist(), strict=True):
        objects.setdefault(digest, set()).add(thing)
    _, first = np.unique(pool["digests"], return_index=True)
    rows = np.array(sorted(row for row in first if len(objects[pool["digests"][row]]) == 1), dtype=int)
    pool = {name: values[rows] for name, values in pool.items()}
    pool["test"] = np.zeros(len(rows), bool)
    for pair in grid.pairs:
        of_pair = np.flatnonzero((pool["attribute"] == pair[0]) & (pool["object"] == pair[1]))
        if len(of_pair) and pair not in grid.held_out:
            chosen = images.split(pool["digests"][of_pair].tolist(), seed, test_share, len(of_pair))
            pool["test"][of_pair] = chosen == 1
        elif len(of_pair):
            pool["test"][of_pair] = True
        if pair in grid.measured and pool["test"][of_pair].sum() < LEAST_TEST:
            counts = pd.Series(
                list(zip(pool["attribute"].tolist(), pool["object"].tolist(), strict=True))
            ).value_counts()
            most = ", ".join(f"{' '.join(other)} ({count:,})" for other, count in counts.head(12).items())
            remedy = "Hold out another pair" if pair in grid.held_out else "Write a larger test_share, or seen: 0"
            raise images.ImageError(
                f"grid.{grid.name}: {' '.join(pair)!r} has {pool['test'][of_pair].sum()} test images, at least "
                f"{LEAST_TEST} are needed. {remedy}. The pairs with most images: {most}."
            )
    del pool["digests"]
    return pool


def concept_rows(
    pool: Mapping[str, np.ndarray], grid: Grid, concept: str, most: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a pool that show a concept in training, and as many that do not, at most `most` of each.

    Every pair gives as many as it can up to an equal share. None is of a held-out pair.
    """
    side = "attribute" if concept in grid.attributes else "object"
    names = list(zip(pool["attribute"].tolist(), pool["object"].tolist(), strict=True))
    held_out = set(grid.held_out)
    training = np.array([not test and pair not in held_out for test, pair in zip(pool["test"], names, strict=True)])
    chosen = []
    for shows in (True, False):
        rows = np.flatnonzero(training & ((pool[side] == concept) == shows))
        chosen.append(_spread(rows, names, most, seed, "grid", grid.name, concept, shows))
    return chosen[0], chosen[1]


def concept_arrays(
    pool: Mapping[str, np.ndarray], positive: np.ndarray, negative: np.ndarray
) -> tuple[dict[str, np.ndarray], dict]:
    """Rows of a pool as `images.write_concept` takes them: the arrays, and the attributes of the file."""
    rows = np.concatenate([positive, negative])
    counts = [len(positive), len(negative)]
    arrays = {
        "images": pool["images"][rows],
        "labels": np.repeat(np.uint8(rng.CLASSES), counts),
        "names": pool["names"][rows],
        "groups": np.array([slug((a, o)) for a, o in zip(pool["attribute"][rows], pool["object"][rows], strict=True)]),
        "digests": np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in pool["images"][rows]]),
        "unreadable": np.array([], dtype=str),
    }
    nothing = dict.fromkeys(("duplicates_dropped", "conflicts_dropped", "unreadable_skipped", "other_files"), 0)
    return arrays, {"images": counts} | nothing


def test_rows(
    pool: Mapping[str, np.ndarray], grid: Grid, pair: Pair, most: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The test images of a pair, of others, and which group each of the others belongs to.

    A third of the others shares its attribute, a third its object, a third neither: the first say whether
    it is the conjunction that is recognised, and not one of its halves.
    """
    names = list(zip(pool["attribute"].tolist(), pool["object"].tolist(), strict=True))
    is_attribute, is_object = pool["attribute"] == pair[0], pool["object"] == pair[1]
    key = ("grid", grid.name, slug(pair), "test")
    positive = _spread(np.flatnonzero(pool["test"] & is_attribute & is_object), names, most, seed, *key)
    others, groups = [], []
    for group, member in (
        ("same attribute", is_attribute & ~is_object),
        ("same object", ~is_attribute & is_object),
        ("neither", ~is_attribute & ~is_object),
    ):
        rows = _spread(np.flatnonzero(pool["test"] & member), names, -(-most // 3), seed, *key, group)
        others.append(rows)
        groups.append(np.repeat(group, len(rows)))
    return positive, np.concatenate(others), np.concatenate(groups)


def _spread(rows: np.ndarray, pairs: Sequence[Pair], most: int, seed: int, *names) -> np.ndarray:
    """At most `most` of the rows, sorted, taken from the pairs by turns in random order."""
    by_pair: dict[Pair, list[int]] = {}
    for row in rows[rng.permutation(len(rows), seed, *names)].tolist():
        by_pair.setdefault(pairs[row], []).append(row)
    turns = [(turn, i, row) for i, of in enumerate(by_pair.values()) for turn, row in enumerate(of)]
    return np.array(sorted(row for _, _, row in sorted(turns)[:most]), dtype=int)
