"""A look at the pictures of concepts and tests before any training: what would stop the run, and what would mislead it.

A picture's statistics are numbers that need no CNN, such as its brightness or the size of its file. Where one of them
alone tells the positives of a concept from its negatives, CNNs learn it instead of the concept; where what tells one
concept of a fusion speaks against the other, the fusion has to answer a question the two zoos contradict each other on.
"""

import base64
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from zoofuse.core import csv_files, intervals, rng, text
from zoofuse.core.temporary import atomic_path
from zoofuse.data import folders, images
from zoofuse.report import pages

TOLD = 0.65  # a statistic is warned of where the 95 % interval of its AUROC lies above this,
AGAINST = 0.47  # and one that tells the other concept where it lies below this
FEW, FEW_TEST = 100, 30  # pictures of a class
IMBALANCE = 5  # times as many pictures of the larger class
LARGE = 20e6  # pixels
LONG = 2  # times as long as wide
ALIKE = 0.12  # distance of standardised pictures; 98 % of 150 photographs saved anew at quality 50 lie below it
SHEET = 16  # pictures in a row of a contact sheet
COLUMNS = ["place", "check", "level", "value", "low", "high", "message", "advice"]
LEVELS = {"stop": "The run stops here", "warning": "Warning", "note": "Note", "ok": "In order"}

_NAMED = 5
_FLAT = 15  # standard deviation of 0..255 below which a picture has too little in it to be told from others
_FEWEST = 10  # pictures of a class below which no statistic is measured


class Place(NamedTuple):
    """The pictures of a concept or of a fusion's test as they were read, copies included."""

    where: str  # concepts.cat or fusions.black_cat.test
    images: np.ndarray  # uint8 (n, 32, 32, 3)
    positive: np.ndarray  # bool (n,)
    names: list[str]
    unreadable: list[tuple[str, str]]  # name and cause
    others: list[str]  # files that are no pictures
    headers: np.ndarray | None  # (n, 4) width, height, bytes, mean JPEG quantiser (0: not a JPEG); None for no files
    aside: Sequence[str] = ()  # hidden files and folders, and those of other software
    profiles: Sequence[str] = ()  # names of images whose colour profile was ignored

    @property
    def name(self) -> str:
        return self.where.split(".")[1]

    @property
    def is_test(self) -> bool:
        return self.where.endswith(".test")


class Statistic(NamedTuple):
    columns: list[str]
    of: Callable[[Place], np.ndarray | None]  # (n, columns)
    advice: str
    doublings: bool = False  # the numbers are log2 of what the columns say


class Measured(NamedTuple):
    """One statistic of one place."""

    value: float  # AUROC of positives against negatives, cross-fitted
    low: float
    high: float
    medians: str
    scores: np.ndarray  # (n,), higher for positives
    fitted: object  # tells a place's pictures as the discriminant of this one


def gather(where: str, source: Mapping, root: str, archive: str | None, seed: int, threads: int) -> Place:
    """Read the pictures that `source` (as for images.prepare_concept) names; what can't be read is only named."""
    part = "test" if where.endswith(".test") else "train"
    source = {**source, "unreadable": "skip"}
    found = [
        images.gathered(f"{where}.{side}", part, source, source[side], seed, root, archive, threads)
        for side in ("positive", "negative")
    ]
    names, read = [name for one in found for name in one.names], [file for one in found for file in one.files]
    return Place(
        where,
        np.concatenate([one.images for one in found]),
        np.repeat([True, False], [len(one.names) for one in found]),
        names,
        [pair for one in found for pair in one.unreadable],
        [name for one in found for name in one.others],
        np.array([one[1:5] for one in read]).reshape(-1, 4) if source["source"] == "folder" else None,
        [name for one in found for name in one.aside],
        [name for name, one in zip(names, read, strict=False) if one.profile == "ignored"],
    )


def _light(images: np.ndarray) -> np.ndarray:
    """(n, h, w) luminance, 0 to 1 (ITU-R BT.601)."""
    return images @ np.float32([0.299, 0.587, 0.114]) / 255


def _edge(images: np.ndarray) -> np.ndarray:
    """(n, 3) mean colour of a frame five pixels wide, where mostly background is."""
    frame = np.ones(images.shape[1:3], bool)
    frame[5:-5, 5:-5] = False
    return images[:, frame].mean(1) / 255


def _detail(images: np.ndarray) -> np.ndarray:
    """(n, 1) mean difference in luminance between neighbours."""
    light = _light(images)
    return sum(np.abs(np.diff(light, axis=axis)).mean((1, 2)) for axis in (1, 2))[:, None] / 2


def _size(place: Place) -> np.ndarray | None:
    if place.headers is None:
        return None
    width, height, *_ = place.headers.T
    return np.column_stack([np.log2(width * height), np.log2(width / height)])


def _file(place: Place) -> np.ndarray | None:
    if place.headers is None:
        return None
    width, height, size, quantiser = place.headers.T
    return np.column_stack([np.log2(8 * size / (width * height)), np.log2(1 + quantiser)])


_SHOWN = (
    "Unless that is what {name} means: add positives that are like the negatives in this, or negatives that are like "
    "the positives."
)
_SAVED = "Take both classes from the same sources, or cut and save all pictures in one way."
STATISTICS = {
    "brightness": Statistic(["luminance"], lambda p: _light(p.images).mean((1, 2))[:, None], _SHOWN),
    "darkness of the middle": Statistic(
        ["share of dark pixels"], lambda p: (_light(p.images[:, 8:-8, 8:-8]) < 0.25).mean((1, 2))[:, None], _SHOWN
    ),
    "colour": Statistic(["red", "green", "blue"], lambda p: p.images.mean((1, 2)) / 255, _SHOWN),
    "colour of the edge": Statistic(["red", "green", "blue"], lambda p: _edge(p.images), _SHOWN),
    "saturation": Statistic(["saturation"], lambda p: np.ptp(p.images, axis=-1).mean((1, 2))[:, None] / 255, _SHOWN),
    "contrast": Statistic(["deviation"], lambda p: _light(p.images).std((1, 2))[:, None], _SHOWN),
    "detail": Statistic(["difference of neighbours"], lambda p: _detail(p.images), _SHOWN),
    "size": Statistic(["pixels", "width to height"], _size, _SAVED, doublings=True),
    "file": Statistic(["bits per pixel", "1 + JPEG quantiser"], _file, _SAVED, doublings=True),
}


def check(
    places: Sequence[Place], fusions: Mapping[str, Sequence[str]], policy: Mapping, balance: str, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, list[tuple[str, np.ndarray, int]]]]:
    """Findings (COLUMNS), the pictures they name (place, check, file, other), and the strips of each place's sheet.

    fusions: name -> its concepts; policy: the config's `images` block; balance: its zoo.balance.
    """
    measured = {place.where: _measured(place, seed) for place in places}
    pairs = alike(places)
    concepts = {place.name: place for place in places if not place.is_test}
    found = []
    for place in places:
        rows = [*_counts(place, balance), *_files(place, policy)]
        trained = [f"concepts.{name}" for name in fusions.get(place.name, [])] if place.is_test else []
        rows += [*_copies(place, pairs, policy), *_leaks(place, trained, pairs, policy)]
        rows += _told(place, measured[place.where])
        found += [(place.where, *row) for row in rows]
    between = []
    for fusion, names in fusions.items():
        for a, b in itertools.permutations([concepts[name] for name in names if name in concepts], 2):
            rows = [*_between(fusion, a, b, measured), *_both(fusion, a, b, pairs)]
            between += [(f"fusions.{fusion}", *row) for row in rows]
    named = [(place.where, "unreadable", *pair) for place in places for pair in place.unreadable]
    named += [(place.where, "of other kinds", file, "") for place in places for file in place.others]
    named += [(p.where, check, name, "") for p in places for check, (names, *_) in _odd(p).items() for name in names]
    named += [(p.one.where, p.kind, p.first, f"{p.second} ({p.other.where})") for p in pairs]
    findings = pd.DataFrame(between + found, columns=COLUMNS)
    findings = findings.sort_values("level", key=lambda levels: levels.map(list(LEVELS).index), kind="stable")
    strips = {place.where: list(_strips(place, measured[place.where], pairs, seed)) for place in places}
    return findings, pd.DataFrame(named, columns=["place", "check", "file", "other"]), strips


class Pair(NamedTuple):
    """Two pictures that are one: `kind` says "equal" (the same pixels at 32x32), "alike" or "mirrored"."""

    kind: str
    one: Place
    i: int
    other: Place
    j: int

    @property
    def first(self) -> str:
        return self.one.names[self.i]

    @property
    def second(self) -> str:
        return self.other.names[self.j]

    def within(self, place: Place) -> bool:
        return self.one.where == self.other.where == place.where


def alike(places: Sequence[Place]) -> list[Pair]:
    """Pairs of pictures, within a place and between places, that are one picture: equal, saved anew, or mirrored.

    A picture that lies in several folders of the same name (one folder named by two concepts) makes no pair.
    """
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    at = [(place, i) for place in places for i in range(len(place.names))]
    pictures = np.concatenate([place.images for place in places])
    full = _standardised(pictures)
    told = np.flatnonzero(np.isfinite(full).all(1))  # flat pictures are compared by their bytes only
    found: dict[tuple[int, int], str] = {}
    seen: dict[bytes, dict[str, int]] = {}  # digest -> the first such picture of each place
    for j, picture in enumerate(pictures):
        first = seen.setdefault(hashlib.sha256(np.ascontiguousarray(picture)).digest(), {})
        found |= {(i, j): "equal" for i in first.values()}
        first.setdefault(at[j][0].where, j)
    if len(told) > 1:
        # Distances between few components are never larger than between pictures: a quick look finds all candidates.
        components = PCA(min(24, len(told) - 1), svd_solver="covariance_eigh").fit(full[told])
        near = NearestNeighbors(algorithm="brute").fit(components.transform(full[told]))
        for kind, turned in (("alike", full), ("mirrored", _standardised(pictures[:, :, ::-1]))):
            candidates = near.radius_neighbors(components.transform(turned[told]), ALIKE, return_distance=False)
            for i, others in zip(told, candidates, strict=True):
                others = told[others[told[others] > i]]
                close = np.linalg.norm(full[others] - turned[i], axis=1) < ALIKE
                for j in others[close]:
                    found.setdefault((int(i), int(j)), kind)
    pairs = [Pair(kind, *at[i], *at[j]) for (i, j), kind in sorted(found.items())]
    return [pair for pair in pairs if pair.first != pair.second or pair.one.where == pair.other.where]


def _standardised(pictures: np.ndarray) -> np.ndarray:
    """(n, 768) float32 of unit length: 16x16, less each channel's mean; NaN where there is too little in a picture."""
    small = pictures.reshape(-1, 16, 2, 16, 2, 3).mean((2, 4), dtype=np.float32)
    small = (small - small.mean((1, 2), keepdims=True)).reshape(len(pictures), -1)
    length = np.linalg.norm(small, axis=1, keepdims=True)
    return small / np.where(length > _FLAT * np.sqrt(small.shape[1]), length, np.nan)


def _measured(place: Place, seed: int) -> dict[str, Measured]:
    """Every statistic that the place has, where it has pictures enough."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    truth, measured = place.positive, {}
    if min(truth.sum(), (~truth).sum()) < _FEWEST:
        return measured
    folds = StratifiedKFold(5, shuffle=True, random_state=seed % 2**32)
    for name, statistic in STATISTICS.items():
        values = statistic.of(place)
        if values is None:
            continue
        discriminant = LinearDiscriminantAnalysis(solver="lsqr")  # takes columns that never differ
        scores = cross_val_predict(discriminant, values, truth, cv=folds, method="decision_function")
        typical = [np.median(values[truth == side], axis=0) for side in (True, False)]
        typical = np.exp2(typical) if statistic.doublings else typical
        medians = ", ".join(
            f"{c} {_short(p)} against {_short(n)}" for c, p, n in zip(statistic.columns, *typical, strict=True)
        )
        measured[name] = Measured(*auroc(scores, truth), medians, scores, discriminant.fit(values, truth))
    return measured


def auroc(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """AUROC of scores (n,) and its 95 % interval, symmetric in its logit (DeLong 1988; Pepe 2003, section 5.2.3).

    Quick for any number of pictures, unlike the bootstrap of `statistics`. Without an error it is taken for one in
    twice the pictures of the smaller class.
    """
    shares = intervals.rank_shares(scores[None], truth)
    value = float(intervals.measure(shares, truth)[0])
    sides = [shares[0, :-1][truth == side] for side in (True, False)]
    fewest = min(map(len, sides))
    inner = np.clip(value, 0.5 / fewest, 1 - 0.5 / fewest)
    variance = sum(side.var(ddof=1) / len(side) for side in sides)
    if inner != value:
        variance = max(variance, inner * (1 - inner) / fewest)
    half = stats.norm.ppf(0.975) * np.sqrt(variance) / (inner * (1 - inner))
    low, high = special.expit(special.logit(inner) + np.array([-half, half]))
    return value, min(value, float(low)), max(value, float(high))


Row = tuple[str, str, float | None, float | None, float | None, str, str]


def _row(check: str, level: str, message: str, advice: str = "", *numbers: float) -> Row:
    value, low, high = numbers if len(numbers) == 3 else (*numbers, None, None, None)[:3]
    return check, level, value, low, high, message, advice


def _counts(place: Place, balance: str) -> Iterator[Row]:
    counts = {side: int((place.positive == (side == "positive")).sum()) for side in ("positive", "negative")}
    few = FEW_TEST if place.is_test else FEW
    for side, count in counts.items():
        level, advice = ("ok", "") if count >= few else ("warning", f"Add pictures; {few} or more of a class are wise.")
        yield _row("count", level, f"{count:,} {side} pictures.", advice, count)
    ratio = max(counts.values()) / max(1, min(counts.values()))
    rare = min(counts, key=counts.get)
    message = f"{ratio:.1f} times as many pictures of one class as {rare} ones."
    if ratio < IMBALANCE:
        yield _row("imbalance", "ok", message, "", ratio)
    elif place.is_test or balance == "balanced":
        rest = "" if place.is_test else " Each epoch draws half from each class, so nothing has to be done."
        yield _row("imbalance", "note", message + rest, f"More {rare} pictures would narrow the intervals.", ratio)
    else:
        advice = f"Write zoo.balance: balanced, or add {rare} pictures; else many CNNs give one answer to everything."
        yield _row("imbalance", "warning", message, advice, ratio)


def _files(place: Place, policy: Mapping) -> Iterator[Row]:
    if place.unreadable:
        stops = policy["unreadable"] == "refuse"
        named = _named(f"{name}: {cause}" for name, cause in place.unreadable)
        advice = "Repair or remove them, or write images.unreadable: skip." if stops else "They are left out."
        count = len(place.unreadable)
        yield _row(
            "unreadable", "stop" if stops else "note", f"{count:,} of all can't be read: {named}.", advice, count
        )
    if place.others:
        count = len(place.others)
        message = f"{count:,} of all files are not a JPEG, PNG, WebP, GIF or BMP: {_named(place.others)}."
        yield _row("other kinds", "note", message, "They are left aside; convert those that are meant.", count)
    if any(not Path(name).name.startswith(".") for name in place.aside):
        advice = "They are left aside. To read such a folder, name it in the configuration."
        yield _row("other software", "note", f"{folders.counted(place.aside)}.", advice, len(place.aside))
    if place.profiles:
        count = len(place.profiles)
        message = f"{count:,} of {len(place.names):,} images have a colour profile that makes no sense: "
        advice = "They are read as sRGB. Save them again with a profile, or without one."
        yield _row("profile", "note", f"{message}{_named(place.profiles)}.", advice, count)
    for name, (names, what, advice) in _odd(place).items():
        if names:
            level = "warning" if len(names) > len(place.names) / 10 and name != "large" else "note"
            message = f"{len(names):,} of {len(place.names):,} pictures {what}: {_named(names)}."
            yield _row(name, level, message, advice, len(names))


def _odd(place: Place) -> dict[str, tuple[list[str], str, str]]:
    """Check -> names of pictures of unusual size, what is odd about them, and advice."""
    if place.headers is None:
        return {}
    width, height, *_ = place.headers.T
    looks = {
        "small": (np.minimum(width, height) < 32, "have a side below 32 pixels and are enlarged, which blurs them",
                  "Take larger pictures, if there are."),
        "large": (width * height > LARGE, f"have over {LARGE / 1e6:.0f} million pixels, which takes long to read",
                  "Make them smaller; the CNNs see 32x32."),
        "long": (np.maximum(width, height) > LONG * np.minimum(width, height),
                 f"are over {LONG} times as long as wide, and are squeezed to a square", "Cut them to what they show."),
    }  # fmt: skip
    names = np.array(place.names)
    return {name: (names[where].tolist(), what, advice) for name, (where, what, advice) in looks.items()}


def _copies(place: Place, pairs: Sequence[Pair], policy: Mapping) -> Iterator[Row]:
    own = [pair for pair in pairs if pair.within(place)]
    for same, what in ((True, "equal"), (False, "saved anew or mirrored, equal")):
        some = [pair for pair in own if (pair.kind == "equal") == same]
        across = [pair for pair in some if place.positive[pair.i] != place.positive[pair.j]]
        if inside := [pair for pair in some if place.positive[pair.i] == place.positive[pair.j]]:
            level = "stop" if same and policy["duplicates"] == "refuse" else "note"
            advice = "One of each is kept." if same and level == "note" else "Keep one of each."
            yield _row("copies", level, f"{_number(inside)} {what} to one before: {_shown(inside)}.", advice,
                       len(inside))  # fmt: skip
        if across:
            level = "stop" if same and policy["duplicates"] == "refuse" else "warning"
            message = f"{_number(across)} {what} to one of the other class: {_shown(across)}."
            yield _row("both classes", level, message, "Take each out of the class it does not belong to.", len(across))


def _leaks(place: Place, trained: Sequence[str], pairs: Sequence[Pair], policy: Mapping) -> Iterator[Row]:
    """Pictures of a test that are also pictures of the concepts at `trained`."""
    leaks = [pair for pair in pairs if pair.other.where == place.where and pair.one.where in trained]
    for same, what in ((True, "equal to one of training"), (False, "saved anew or mirrored, equal to one of training")):
        if some := [pair for pair in leaks if (pair.kind == "equal") == same]:
            level = "stop" if same and policy["leaks"] == "refuse" else "note" if same else "warning"
            advice = "Take each out of one of the two folders." if level != "note" else "They are left out of the test."
            yield _row("leak", level, f"{_number(some)} {what}: {_shown(some)}.", advice, len(some))


def _told(place: Place, measured: Mapping[str, Measured]) -> Iterator[Row]:
    if not measured:
        yield _row("statistics", "note", f"Fewer than {_FEWEST} pictures of a class: no statistic is measured.")
    for name, m in measured.items():
        message = f"{name.capitalize()} alone tells {place.name} with AUROC {_in_words(m)}: {m.medians} (medians)."
        if m.low <= TOLD:
            yield _row(name, "ok", message, "", m.value, m.low, m.high)
        elif place.is_test:
            advice = "A method has to be clearly above this to have shown anything; the leaderboard holds such answers."
            yield _row(name, "note", message, advice, m.value, m.low, m.high)
        else:
            advice = STATISTICS[name].advice.format(name=place.name)
            yield _row(name, "warning", message, advice, m.value, m.low, m.high)


def _between(fusion: str, a: Place, b: Place, measured: Mapping[str, Mapping[str, Measured]]) -> Iterator[Row]:
    """What tells concept a, asked about concept b."""
    ours, theirs = measured[a.where], measured[b.where]
    for name in [name for name in ours if name in theirs]:
        if ours[name].low <= TOLD:
            continue
        value, low, high = auroc(ours[name].fitted.decision_function(STATISTICS[name].of(b)), b.positive)
        numbers = f"{value:.2f} ({low:.2f} to {high:.2f})"
        what = f"{name.capitalize()}, which tells {a.name} ({ours[name].value:.2f}),"
        if high < AGAINST:
            message = f"{what} speaks against {b.name}: AUROC {numbers}. What shows {fusion} looks less like {b.name}."
            advice = (
                f"Add positives of {b.name} that are like {a.name} in their {name} without being {fusion}, or take "
                f"such pictures out of the negatives of {b.name}."
            )
            yield _row(f"{name}: {a.name} against {b.name}", "warning", message, advice, value, low, high)
        elif low > TOLD:
            message = f"{what} also tells {b.name}: AUROC {numbers}. CNNs that learn it alone say yes to both."
            yield _row(f"{name}: {a.name} and {b.name}", "warning", message,
                       STATISTICS[name].advice.format(name=b.name), value, low, high)  # fmt: skip
        else:
            message = f"{what} tells {b.name} with AUROC {numbers}."
            yield _row(f"{name}: {a.name} and {b.name}", "ok", message, "", value, low, high)


def _both(fusion: str, a: Place, b: Place, pairs: Sequence[Pair]) -> Iterator[Row]:
    here = [p for p in pairs if p.one.where == a.where and p.other.where == b.where]  # each pair of concepts once
    some = [p for p in here if p.one.positive[p.i] and p.other.positive[p.j]]
    if some:
        message = f"{_number(some)} positive of {a.name} and of {b.name}: {_shown(some)}."
        advice = f"Take such pictures out: they are examples of {fusion}, which no CNN is to have seen."
        yield _row("both concepts", "warning", message, advice, len(some))


def _strips(
    place: Place, measured: Mapping[str, Measured], pairs: Sequence[Pair], seed: int
) -> Iterator[tuple[str, np.ndarray, int]]:
    """(title, pictures, columns): some of each class, both by the statistics that tell them best, and copies."""
    sides = {"positives": np.flatnonzero(place.positive), "negatives": np.flatnonzero(~place.positive)}
    for title, members in sides.items():
        chosen = members[rng.permutation(len(members), seed, "sheet", place.where)[: 2 * SHEET]]
        yield f"{place.name}: {title} ({len(members):,})", place.images[chosen], SHEET
    suspicious = sorted((m.low, name) for name, m in measured.items() if m.low > TOLD)[::-1]
    for _, name in suspicious[:3]:
        for title, members in sides.items():
            order = members[np.argsort(measured[name].scores[members], kind="stable")]
            chosen = order[np.linspace(0, len(order) - 1, min(SHEET, len(order))).round().astype(int)]
            yield f"{title} by {name}, from the least to the most like a positive", place.images[chosen], SHEET
    if copies := [pair for pair in pairs if pair.other.where == place.where][:SHEET]:
        both = [picture for pair in copies for picture in (pair.one.images[pair.i], pair.other.images[pair.j])]
        yield "copies, two by two", np.stack(both), SHEET


def _short(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.2g}"


def _in_words(m: Measured) -> str:
    return f"{m.value:.2f} ({m.low:.2f} to {m.high:.2f})"


def _number(pairs: Sequence[Pair]) -> str:
    n = len({(pair.other.where, pair.j) for pair in pairs})
    return "1 picture is" if n == 1 else f"{n:,} pictures are"


def _named(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMED:,} more (pictures.csv names all)" if len(names) > _NAMED else ""
    return ", ".join(map(text.printable, names[:_NAMED])) + more


def _shown(pairs: Sequence[Pair]) -> str:
    return _named(f"{pair.second} ({pair.first})" for pair in pairs)


def lines(findings: pd.DataFrame) -> Iterator[str]:
    """What the terminal says: everything that is not in order, the gravest first, and a count."""
    for level, place, messages, advice in grouped(findings):
        yield text.visible(f"{LEVELS[level]}, {place}:")
        yield from (f"    {text.visible(line)}" for line in (*messages, advice) if line)
    yield headline(findings)


def grouped(findings: pd.DataFrame) -> Iterator[tuple[str, str, list[str], str]]:
    """Level, place, messages and the advice they share, of everything that is not in order."""
    odd = findings[findings["level"] != "ok"]
    for (level, place, advice), rows in odd.groupby(["level", "place", "advice"], sort=False):
        yield level, place, rows["message"].tolist(), advice


def headline(findings: pd.DataFrame) -> str:
    counts = findings["level"].value_counts()
    stops, warned = int(counts.get("stop", 0)), int(counts.get("warning", 0))
    found = [f"{stops} {'fault that stops' if stops == 1 else 'faults that stop'} the run"] if stops else []
    found += [f"{warned} {'warning' if warned == 1 else 'warnings'}"] if warned else []
    return (" and ".join(found) if found else "Nothing to mend") + "."


def write(
    folder: Path, findings: pd.DataFrame, named: pd.DataFrame, sheets: Mapping[str, Path], places: Sequence[Place]
) -> None:
    """checks.csv, pictures.csv and report.html, which needs no network; sheets: place -> its contact sheet."""
    for name, table in (("checks", findings), ("pictures", named)):
        csv_files.write(folder / f"{name}.csv", table, float_format="%.4g")
    told = findings[findings["check"].isin(list(STATISTICS))]
    html = pages.render(
        "check",
        headline=headline(findings),
        levels=LEVELS,
        bounds={"told": TOLD, "against": AGAINST},
        findings=list(grouped(findings)),
        statistics=list(STATISTICS),
        told={
            place.where: {row["check"]: row for row in told[told["place"] == place.where].to_dict("records")}
            for place in places
        },
        sheets={
            where: f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
            for where, path in sheets.items()
        },
    )
    with atomic_path(folder / "report.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
