"""A fusion by distillation: one CNN of the zoo's size learns what all zoos predict, a head for each concept.

Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network": the student is trained on the teachers'
probabilities. Here the teachers are the zoos of two or more concepts and the student has one logistic output for each.
Nobody shows it the conjunction: `from_weights` invents its images, `from_parents` takes the concepts' own images.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import get_args

import numpy as np

from zoofuse.core import files, rng
from zoofuse.data import images
from zoofuse.models import cnn
from zoofuse.models.architectures import trunk
from zoofuse.native import build, trainer
from zoofuse.settings.fields import Choice
from zoofuse.settings.training import Distil, DistilWeights, Recipe
from zoofuse.zoo import align, training, zoo

# Not a setting, as it belongs to the measure (`follows_colour`). Development pairs of synthetic images: colours 0.75 to
# 0.87, kinds 0.10 to 0.51, one brown in all its images 0.749.
FOLLOWS = 0.6
_CHUNK = 1000  # images drawn at once, for memory; random numbers are named by where a part starts
CHOICES = get_args(Choice)


def from_weights(
    zoos: Mapping[str, list[Path]],
    output: Path,
    *,
    n: int,
    settings: DistilWeights,
    seed: int,
    fusion: str,
    architecture: str,
    kinds: Mapping[str, str] = MappingProxyType({}),
    start: Path | None = None,
    **how,
) -> None:
    """Write a zoo file of n CNNs distilled from nothing but the weights of zoos "A", "B" and so on.

    They learn the zoos' predictions on images of dead leaves (see `leaves`).

    Args:
        zoos: Domain -> zoo files.
        output: The zoo file to write.
        n: How many students.
        settings: What they depend on.
        seed: The run's seed.
        fusion: The fusion's name.
        architecture: A name in `architectures.ARCHITECTURES`: that of the students, and of zoos that `kinds` lacks.
        kinds: Domain -> the architecture of its zoo's CNNs.
        start: A zoo file whose first n CNNs of each domain the students begin from, such as translated ones; they keep
            model and domain.
        **how: backend, device and threads as `training.train` takes them.

    Raises:
        ValueError: A zoo holds CNNs of another architecture.
    """
    kinds = dict.fromkeys(zoos, architecture) | dict(kinds)
    parents = _parents(zoos, kinds)
    inputs = leaves(settings.images, seed, fusion, "leaves", shapes=settings.shapes)
    asked = chosen(settings.choice, parents, settings.teachers, seed, fusion, kinds)
    targets = on_leaves(asked, inputs, settings.temperature, settings.palettes, seed, fusion)
    begin = None
    if start is not None:
        begin = files.read(start, "zoo")
        domains = dict.fromkeys(begin["domain"].tolist())
        rows = np.concatenate([np.flatnonzero(begin["domain"] == domain)[:n] for domain in domains])
        begin = {name: values[rows] for name, values in begin.items()}
    sources = {side: [files.fingerprint(path) for path in paths] for side, paths in zoos.items()}
    sources |= {} if start is None else {"start": files.fingerprint(start)}
    students = (parents, output, n, settings, seed, fusion, architecture)
    _write(inputs, targets, *students, begin, sources, "weights", how)


def from_parents(
    zoos: Mapping[str, list[Path]],
    concept_images: Mapping[str, Path],
    output: Path,
    *,
    n: int,
    settings: Distil,
    seed: int,
    fusion: str,
    architecture: str,
    kinds: Mapping[str, str] = MappingProxyType({}),
    **how,
) -> None:
    """Write a zoo file of n CNNs distilled from zoos "A", "B" and so on, on the concepts' own images.

    Labels and validation images are the concepts' own; see `training_images`.

    Args:
        zoos: Domain -> zoo files.
        concept_images: Domain -> the concept's images file.
        output: The zoo file to write.
        n: How many students.
        settings: What they depend on. Random teachers predict the targets only: the zoos still tell which concept is a
            colour and which negatives are left out.
        seed: The run's seed.
        fusion: The fusion's name.
        architecture: A name in `architectures.ARCHITECTURES`: that of the students whose settings name none, and of
            zoos that `kinds` lacks.
        kinds: Domain -> the architecture of its zoo's CNNs.
        **how: backend, device and threads as `training.train` takes them.

    Raises:
        ValueError: A zoo holds CNNs of another architecture.
    """
    kinds = dict.fromkeys(zoos, architecture) | dict(kinds)
    parents = _parents(zoos, kinds)
    data = {side: training.Data(**images.read_concept(path)) for side, path in concept_images.items()}
    asked = judges = chosen(settings.choice, parents, settings.teachers, seed, fusion, kinds)
    if settings.choice == "random":
        judges = chosen("best", parents, settings.teachers, seed, fusion, kinds)
    inputs, targets = training_images(judges, data, settings, seed, fusion, teachers=asked)
    sources = {side: [files.fingerprint(path) for path in paths] for side, paths in zoos.items()}
    sources |= {f"images_{side}": files.fingerprint(path) for side, path in concept_images.items()}
    students = (parents, output, n, settings, seed, fusion, settings.student or architecture)
    _write(inputs, targets, *students, None, sources, "parents", how)


# ---------------------------------------------------------------------------------------------- what students see


def training_images(
    judges: Mapping[str, align.CNN],
    data: Mapping[str, training.Data],
    settings: Recipe,
    seed: int,
    *names,
    teachers: Mapping[str, align.CNN] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (m, 32, 32, 3) and targets float32 (m, concepts): is it A, is it B; NaN where nobody can tell.

    A concept's images lack the conjunction, so its CNNs take the other concept for a sign against it (cats are
    not black, so what is black is no cat). Two remedies, both for a concept that is not a matter of colour.
    filtered_negatives: negatives that another zoo takes for its own are left out, as no positive can balance them.
    colour_transfer: as many of its images take the colours of the other concepts', by turns, keep their own label, and
    get the others from the other zoos; without it, so many more of its images are shown as they are.

    judges: domain -> the CNNs that tell which concept is a colour and which negatives are left out. teachers: those
    that predict the targets that are no labels; by default the judges. A domain without teachers has labels only.
    """
    teachers, n, remedies = judges if teachers is None else teachers, settings.images, settings.remedies
    shares = {side: colour_share(judges[side], data[side], settings.loans, seed, *names, side) for side in data}
    most = max(shares.values())
    needed = {side: settings.colour_from if shares[side] >= most else settings.second_colour_from for side in data}
    coloured = {side: share > needed[side] for side, share in shares.items()}
    inputs, targets = [], []
    for at, side in enumerate(data):
        of, others = data[side], [other for other in data if other != side]
        fair = np.ones(len(of.labels), bool)
        if "filtered_negatives" in remedies and not coloured[side]:
            taken = [probability(judges[other], of.images) >= 0.5 for other in others]
            kept = (of.labels == 1) | ~np.any(taken, axis=0)
            fair = kept if (of.labels[kept] == 0).any() else fair
        rounds = {"plain": fair}
        if not coloured[side]:
            rounds |= {"recoloured": np.ones(len(fair), bool)} if "colour_transfer" in remedies else {"again": fair}
        for name, allowed in rounds.items():
            shown, labels = _shown(of, allowed, settings, seed, *names, side, name)
            if name == "recoloured":
                lent = np.stack([_donors(data[other], n, seed, *names, side) for other in others])
                shown = transfer_colours(shown, lent[np.arange(n) % len(others), np.arange(n)], seed, *names, side)
            known = np.full((n, len(data)), np.nan, np.float32)
            known[:, at] = labels
            for column, other in enumerate(data):
                if (
                    other != side and other in teachers and coloured[other]
                ):  # a zoo of shapes can't be trusted with colours it did not see
                    known[:, column] = probability(teachers[other], shown)
            inputs.append(shown)
            targets.append(known)
    return np.concatenate(inputs), np.concatenate(targets)


def plain_images(data: training.Data, settings: Recipe, seed: int, *names) -> tuple[np.ndarray, np.ndarray]:
    """n of a concept's images, half of each class and moved a little, and float32 (n,) whether they show it."""
    return _shown(data, np.ones(len(data.labels), bool), settings, seed, *names, "plain")


def on_leaves(
    teachers: Mapping[str, align.CNN], inputs: np.ndarray, temperature: float, palettes: int, seed: int, *names
) -> np.ndarray:
    """Targets float32 (m, concepts): the teachers' mean probability for each of m images without labels.

    palettes: in how many palettes of other such images each image is shown to the teachers of concepts that are not
    colours (`follows_colour`), whose mean prediction is the target; 0 for none. A concept that is not a colour must not
    depend on the palette. That its CNNs' predictions do comes from what their images lacked, not from the concept.
    """
    predictions = [probability(of_side, inputs, temperature) for of_side in teachers.values()]
    if palettes:
        predict = {side: partial(probability, of_side, temperature=temperature) for side, of_side in teachers.items()}
        coloured = follows_colour(predict, inputs, seed, *names)
        lenders = [rng.permutation(len(inputs), seed, *names, "palette", i) for i in range(palettes)]
        key = (seed, *names, "palette")
        in_palettes = [transfer_colours(inputs, inputs[rows], *key, whole=True) for rows in lenders]
        for row, (side, of_side) in enumerate(teachers.items()):
            if not coloured[side]:
                shown = [probability(of_side, images_of_one, temperature) for images_of_one in in_palettes]
                predictions[row] = np.mean(shown, 0, dtype=np.float64).astype(np.float32)
    return np.stack(predictions, 1)


def follows_colour(
    predict: Mapping[str, Callable[[np.ndarray], np.ndarray]], inputs: np.ndarray, seed: int, *names
) -> dict[str, bool]:
    """Domain -> whether its concept is one of colour, inferred from CNNs and images of leaves alone.

    The images take each other's palettes. Where CNNs look at colours, their predictions then go with those for the
    image that lent its palette: they correlate by FOLLOWS or more. It is the concept of the highest correlation only,
    as the CNNs of another may have taken to colours because of what their images lacked.

    predict: domain -> from images uint8 (m, 32, 32, 3) to the mean prediction (m,) of its CNNs.
    """
    lenders = rng.permutation(len(inputs), seed, *names, "palettes")
    swapped = transfer_colours(inputs, inputs[lenders], seed, *names, "palettes", whole=True)
    followed = {}
    for side, of_side in predict.items():
        lent, taken = of_side(inputs)[lenders], of_side(swapped)
        varied = np.ptp(lent) > 0 and np.ptp(taken) > 0
        followed[side] = float(np.corrcoef(lent, taken)[0, 1]) if varied else 0.0
    least = max(FOLLOWS, *followed.values())
    return {side: value >= least for side, value in followed.items()}


def colour_share(teachers: align.CNN, data: training.Data, loans: int, seed: int, *names) -> float:
    """How much of what the teachers know of their concept goes over with an image's colours, about 0 to 1.

    Validation images take each other's colours: AUROC above 0.5 for the lender's label, divided by that for a
    image's own label when nothing is changed. The mean over so many ways to lend: one differs from another by 0.1
    where images are few.
    """
    from sklearn.metrics import roc_auc_score  # a second to import

    labels, inputs = data.validation_labels == 1, data.validation_images
    if labels.all() or not labels.any():
        raise ValueError(f"{'/'.join(map(str, names))}: its validation images are all of one class.")
    gone = []
    for loan in range(loans):
        lenders = rng.permutation(len(labels), seed, *names, "lenders", loan)
        swapped = transfer_colours(inputs, inputs[lenders], seed, *names, "swapped", loan, whole=True)
        gone.append(roc_auc_score(labels[lenders], probability(teachers, swapped)) - 0.5)
    return float(np.mean(gone) / max(roc_auc_score(labels, probability(teachers, inputs)) - 0.5, 1e-3))


def transfer_colours(inputs: np.ndarray, donors: np.ndarray, seed: int, *names, whole: bool = False) -> np.ndarray:
    """Images in the colours of as many others, both uint8 (n, 32, 32, 3), more or less so by chance.

    Mean and spread of each channel, weighted towards the middle, become the donor's (Reinhard et al. 2001, "Color
    transfer between images", in RGB); in half of the images only within a soft ellipse about the middle. `whole`:
    all of each image, and fully.
    """
    line = np.linspace(-1, 1, inputs.shape[1], dtype=np.float32)
    x, y = line, line[:, None]
    middle = np.exp(-2 * (x**2 + y**2))[..., None]
    middle /= middle.sum()
    chance = rng.uniform((len(inputs), 6, 1, 1), seed, *names, "recolour")
    result = np.empty_like(inputs)
    for start in range(0, len(inputs), _CHUNK):
        part = slice(start, start + _CHUNK)
        image, donor = inputs[part].astype(np.float32), donors[part].astype(np.float32)
        (mean, spread), (wanted, spread_wanted) = _statistics(image, middle), _statistics(donor, middle)
        changed = (image - mean) * np.clip(spread_wanted / spread, 0.3, 2) + wanted
        strength, left, top, width, height, everywhere = np.moveaxis(chance[part], 1, 0)
        across = (x - (0.6 * left - 0.3)) / (0.5 + 0.6 * width)
        along = (y - (0.6 * top - 0.3)) / (0.5 + 0.6 * height)
        inside = 1 / (1 + np.exp(np.clip(6 * (across**2 + along**2 - 1), -30, 30)))
        share = np.ones_like(inside) if whole else (0.5 + 0.5 * strength) * np.where(everywhere < 0.5, 1, inside)
        result[part] = np.clip(np.rint(image + share[..., None] * (changed - image)), 0, 255)
    return result


def leaves(n: int, seed: int, *names, shapes: int = DistilWeights().shapes) -> np.ndarray:
    """uint8 (n, 32, 32, 3): dead leaves, ellipses and boxes of all sizes that hide each other.

    Their sizes follow a power law, which gives the edges and the scale invariance of images (Lee, Mumford and
    Huang 2001; Baradad et al. 2021, "Learning to see by looking at noise"). Each image has its own palette, and so many
    shapes.
    """
    size = 32
    y, x = np.mgrid[:size, :size].astype(np.float32)
    result = np.empty((n, size, size, 3), np.uint8)
    for start in range(0, n, _CHUNK):
        m, key = min(_CHUNK, n - start), (*names, start)
        base, spread, vivid, grain = np.split(rng.uniform((m, 1, 6), seed, *key, "palette"), [3, 4, 5], axis=2)
        tones = rng.normal((m, shapes + 1, 4), seed, *key, "tones")
        base = base.mean(2, keepdims=True) + vivid * (base - base.mean(2, keepdims=True))
        colours = base + (0.1 + 0.5 * spread) * (0.7 * tones[..., :1] + 0.6 * vivid * tones[..., 1:])
        image = np.repeat(np.repeat(colours[:, :1, None], size, 1), size, 2)
        chance = rng.uniform((shapes, 6, m, 1, 1), seed, *key, "shapes")
        for shape, (radius, left, top, angle, narrow, box) in enumerate(chance, start=1):
            angle = np.pi * angle
            across, down = x - size * left, y - size * top
            u = np.cos(angle) * across + np.sin(angle) * down
            v = (np.cos(angle) * down - np.sin(angle) * across) / (0.3 + 0.7 * narrow)
            distance = np.where(box < 0.4, np.maximum(np.abs(u), np.abs(v)), np.hypot(u, v))
            hides = distance < np.minimum(2 / np.sqrt(0.01 + 0.99 * radius), size / 2)
            image = np.where(hides[..., None], colours[:, shape, None, None], image)
        image += 0.08 * grain[..., None] * rng.normal(image.shape, seed, *key, "grain")
        result[start : start + m] = np.rint(255 * np.clip(image, 0, 1))
    return result


def probability(cnns: align.CNN, inputs: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(m,) float32: the mean probability of their concept that n CNNs with a linear layer see in m uint8 images."""
    logits = trainer.outputs(cnns, inputs)
    finite = np.isfinite(logits).all((1, 2))
    if not finite.any():
        raise ValueError(
            f"distil: the outputs of all {len(finite)} teachers of a zoo overflow to infinity or NaN, as their weights "
            "are too large; import a zoo whose CNNs give finite outputs."
        )
    logits = logits[finite]  # one such teacher would make every target unknown
    lead = np.clip((logits[..., 1] - logits[..., 0]) / temperature, -30, 30)
    return (1 / (1 + np.exp(-lead))).mean(0, dtype=np.float64).astype(np.float32)


# ---------------------------------------------------------------------------------------------- helpers


def chosen(
    choice: str, zoos: Mapping[str, zoo.CNNs], n: int, seed: int, fusion: str, kinds: Mapping[str, str]
) -> dict[str, align.CNN]:
    """Domain -> parameters of its n teachers.

    Args:
        choice: "best", those of each zoo that did best on their own validation images, whose labels this uses; "first",
            the first ones, for which no label is used; "random", untrained CNNs instead of the zoo's.
        zoos: Domain -> the CNNs of its zoo.
        n: How many of each zoo.
        seed, fusion, kinds: What untrained CNNs depend on; kinds: domain -> the architecture of its zoo's.
    """
    if choice not in CHOICES:
        raise ValueError(f"choice: {choice!r} is unknown; write one of {', '.join(CHOICES)}.")
    if choice == "random":
        of = {side: cnn.ARCHITECTURES[kinds[side]] for side in zoos}
        return {side: cnn.initial_weights(of[side], seed, f"{fusion}/teachers/{side}", np.arange(n)) for side in zoos}
    return {side: _best(of_side, n, by_score=choice == "best") for side, of_side in zoos.items()}


def _best(cnns: zoo.CNNs, n: int, by_score: bool) -> align.CNN:
    """Parameters of the n CNNs that did best on their own validation, of the first n where a zoo tells nothing."""
    cnns = zoo.stored(cnns)
    names, scores = _parameters(cnns.shapes), []
    history = [name for name in ("history/validation_balanced_accuracy",) if by_score and name in cnns.shapes]
    for rows in zoo.in_blocks(len(cnns)):
        some = cnns.pick([*names, *history], rows)
        finite = np.all([np.isfinite(some[name].reshape(len(rows), -1)).all(1) for name in names], axis=0)
        scores.append(np.where(finite, zoo.validation(some), -1))
    scores = np.concatenate(scores)
    best = np.argsort(-scores, kind="stable")[:n]
    return cnns.pick(names, best[scores[best] >= 0])


def _parents(zoos: Mapping[str, list[Path]], kinds: Mapping[str, str]) -> dict[str, zoo.Stored]:
    """Domain -> the CNNs of its zoo; raises ValueError for CNNs of another architecture than the one that is known."""
    parents = {side: zoo.Stored(paths) for side, paths in zoos.items()}
    for side, cnns in parents.items():
        if {name: cnns.shapes[name] for name in _parameters(cnns.shapes)} != cnn.ARCHITECTURES[kinds[side]].shapes:
            raise ValueError(
                f"{zoos[side][0]}: its CNNs are not of architecture {kinds[side]}. Write the zoo's own architecture "
                "under zoo.architecture."
            )
    return parents


def _parameters(cnns: Iterable[str]) -> list[str]:
    return [*trunk(cnns), *(name for name in cnns if name.startswith("fc1"))]


def _shown(
    data: training.Data, allowed: np.ndarray, settings: Recipe, seed: int, *names
) -> tuple[np.ndarray, np.ndarray]:
    """As `plain_images`, of the images that are allowed (k,)."""
    rows = _balanced(data.labels, allowed, settings.images, seed, *names)
    return _moved(data.images[rows], settings.shift, seed, *names), data.labels[rows].astype(np.float32)


def _balanced(labels: np.ndarray, allowed: np.ndarray, n: int, seed: int, *names) -> np.ndarray:
    """(n,) rows, half of each class, none twice before all its class were drawn."""
    drawn = []
    for stream, (label, count) in enumerate(zip(rng.CLASSES, (n // 2, n - n // 2), strict=True)):
        members = np.flatnonzero((labels == label) & allowed)
        laps = -(-count // len(members))
        orders = [members[rng.permutation(len(members), seed, *names, stream, lap)] for lap in range(laps)]
        drawn.append(np.concatenate(orders)[:count])
    return np.concatenate(drawn)


def _donors(data: training.Data, n: int, seed: int, *names) -> np.ndarray:
    """(n, ...) images whose colours are lent: half from the concept's positives, half from all its images."""
    u, coin = rng.uniform((2, n), seed, *names, "lent")
    positives = np.flatnonzero(data.labels == 1)
    rows = np.where(coin < 0.5, positives[(u * len(positives)).astype(int)], (u * len(data.labels)).astype(int))
    return data.images[rows]


def _moved(inputs: np.ndarray, shift: int, seed: int, *names) -> np.ndarray:
    """Each image moved by up to `shift` pixels each way; its edge is repeated."""
    side = inputs.shape[1]
    wide = np.pad(inputs, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="edge")
    corners = (rng.uniform((len(inputs), 2), seed, *names, "moved") * (2 * shift + 1)).astype(int)
    return np.stack([one[i : i + side, j : j + side] for one, (i, j) in zip(wide, corners, strict=True)])


def _statistics(image: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and spread (n, 1, 1, 3) of each channel; 4 grey levels are added, or flat images would explode."""
    mean = (image * weights).sum((1, 2), keepdims=True)
    variance = ((image - mean) ** 2 * weights).sum((1, 2), keepdims=True)
    return mean, np.sqrt(variance) + 4


def _write(
    inputs, targets, parents, output, n, settings, seed, fusion, architecture, begin, sources, material, how
) -> None:
    """Train the students, of this architecture, and write their zoo file."""
    models = np.arange(n if begin is None else len(begin["model"]), dtype=np.int32)
    initial = begin and {name: begin[name] for name in trunk(begin)}
    how = {"architecture": architecture, "initial": initial} | how
    arrays = students(inputs, targets, list(parents), models, settings, seed, f"{fusion}/distil_{material}", **how)
    arrays["model"] = models if begin is None else begin["model"]
    arrays["domain"] = np.repeat(["-"], n) if begin is None else begin["domain"]
    if every := align.together(arrays, [(of, 0) for of in parents.values()]):
        arrays["nearest_parent"] = align.nearest_parent(arrays, every)
    about = {"material": material, "settings": asdict(settings), "seed": seed, "sources": sources}
    files.write(output, "zoo", arrays, instruction_set=build.instruction_set(), **about)


def students(
    inputs: np.ndarray,
    targets: np.ndarray,
    sides: Sequence[str],
    models: np.ndarray,
    settings: Recipe | DistilWeights,
    seed: int,
    name: str,
    *,
    architecture: str,
    **how,
) -> dict[str, np.ndarray]:
    """Trained CNNs: conv layers and a head for each concept, fc_a.weight (n, 2, features), fc_a.bias (n, 2), ...

    Args:
        inputs: uint8 (m, 32, 32, 3).
        targets: float32 (m, concepts), NaN where one is not known.
        sides: The concepts' domains: "A", "B" and so on.
        models: (n,) indices; with seed and name, what initial weights and order of images depend on.
        settings: Epochs, batch size and learning rate.
        seed: The run's seed.
        name: For random numbers.
        architecture: The students'.
        **how: As `training.train` takes it.
    """
    labels = np.zeros(len(inputs), np.uint8)
    # Outputs from the last concept to the first, as `cnn.initial_weights` draws them.
    data = training.Data(inputs, labels, inputs[:0], labels[:0], targets[:, ::-1])
    train = training.Settings(
        architecture=architecture,
        epochs=settings.epochs,
        images_per_epoch=len(inputs),
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        schedule="cosine",
        balance="published",
        flip=True,
    )
    weights = training.train(data, train, seed, name, models, **how).weights
    arrays = {name: weights[name] for name in trunk(weights)}
    for row, side in enumerate(reversed(sides)):  # a logistic output as two classes of opposite logits
        head = f"fc_{side.lower()}"
        arrays[f"{head}.weight"] = np.stack([-weights["fc1.weight"][:, row], weights["fc1.weight"][:, row]], 1) / 2
        arrays[f"{head}.bias"] = np.stack([-weights["fc1.bias"][:, row], weights["fc1.bias"][:, row]], 1) / 2
    return arrays
