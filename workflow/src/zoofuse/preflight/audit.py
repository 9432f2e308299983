"""Checks of the images of concepts and tests before training: what would stop the run, and what would mislead it.

Image statistics are numbers that need no CNN, such as brightness or file size. If one of them separates a concept's
positives from its negatives, CNNs learn it instead of the concept. If a statistic that separates one concept of a
fusion speaks against the other concept, the two zoos contradict each other on the conjunction.
"""

import base64
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoofuse.core import csv_files, rng, text
from zoofuse.core.temporary import atomic_path
from zoofuse.data import folders
from zoofuse.preflight import statistics
from zoofuse.preflight.copies import Pair, alike
from zoofuse.preflight.places import Place
from zoofuse.preflight.statistics import FEWEST, STATISTICS, Measured, auroc
from zoofuse.report import pages

SEPARATES = 0.65  # a warning if the 95 % interval of a statistic's AUROC lies above this,
AGAINST = 0.47  # and for a statistic that separates the other concept, below this
FEW, FEW_TEST = 100, 30  # images of a class
IMBALANCE = 5  # ratio of the larger to the smaller class
LARGE = 20e6  # pixels
LONG = 2  # ratio of the longer to the shorter side
SHEET = 16  # images in a row of a contact sheet
COLUMNS = ["place", "check", "level", "value", "low", "high", "message", "advice"]
LEVELS = {"stop": "The run stops here", "warning": "Warning", "note": "Note", "ok": "OK"}

_MAX_NAMED = 5


def check(
    places: Sequence[Place], fusions: Mapping[str, Sequence[str]], policy: Mapping, balance: str, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, list[tuple[str, np.ndarray, int]]]]:
    """Check the images of all concepts and tests.

    Args:
        places: their images.
        fusions: name -> its concepts.
        policy: the configuration's `images` block.
        balance: the configuration's zoo.balance.
        seed: names the random streams.

    Returns:
        Findings (COLUMNS), the images that they name (place, check, file, other), and for each place the strips of
        its contact sheet: title, images, columns.
    """
    measured = {place.where: statistics.measured(place, seed) for place in places}
    pairs = alike(places)
    concepts = {place.name: place for place in places if not place.is_test}
    found = []
    for place in places:
        rows = [*_counts(place, balance), *_files(place, policy)]
        trained = [f"concepts.{name}" for name in fusions.get(place.name, [])] if place.is_test else []
        rows += [*_copies(place, pairs, policy), *_leaks(place, trained, pairs, policy)]
        rows += _separating(place, measured[place.where])
        found += [(place.where, *row) for row in rows]
    between = []
    for fusion, names in fusions.items():
        for a, b in itertools.permutations([concepts[name] for name in names if name in concepts], 2):
            rows = [*_between(fusion, a, b, measured), *_both(fusion, a, b, pairs)]
            between += [(f"fusions.{fusion}", *row) for row in rows]
    named = [(place.where, "unreadable", *pair) for place in places for pair in place.unreadable]
    named += [(place.where, "of other kinds", file, "") for place in places for file in place.others]
    named += [
        (p.where, check, name, "") for p in places for check, (names, *_) in _unusual(p).items() for name in names
    ]
    named += [(p.one.where, p.kind, p.first, f"{p.second} ({p.other.where})") for p in pairs]
    findings = pd.DataFrame(between + found, columns=COLUMNS)
    findings = findings.sort_values("level", key=lambda levels: levels.map(list(LEVELS).index), kind="stable")
    strips = {place.where: list(_strips(place, measured[place.where], pairs, seed)) for place in places}
    for fusion, names in fusions.items():
        for a, b in itertools.permutations([concepts[name] for name in names if name in concepts], 2):
            strips[b.where][2:2] = _alike(fusion, a, b, measured)  # behind those of each class
    return findings, pd.DataFrame(named, columns=["place", "check", "file", "other"]), strips


Row = tuple[str, str, float | None, float | None, float | None, str, str]


def _row(check: str, level: str, message: str, advice: str = "", *numbers: float) -> Row:
    value, low, high = numbers if len(numbers) == 3 else (*numbers, None, None, None)[:3]
    return check, level, value, low, high, message, advice


def _counts(place: Place, balance: str) -> Iterator[Row]:
    counts = {side: int((place.positive == (side == "positive")).sum()) for side in ("positive", "negative")}
    few = FEW_TEST if place.is_test else FEW
    for side, count in counts.items():
        level, advice = ("ok", "") if count >= few else ("warning", f"Add images: {few} or more per class.")
        yield _row("count", level, f"{count:,} {side} images.", advice, count)
    ratio = max(counts.values()) / max(1, min(counts.values()))
    rare = min(counts, key=counts.get)
    message = f"There are {ratio:.1f} times as many images of the other class as {rare} ones."
    if ratio < IMBALANCE:
        yield _row("imbalance", "ok", message, "", ratio)
    elif place.is_test or balance == "balanced":
        rest = "" if place.is_test else " Each epoch samples half of its images from each class, so this does no harm."
        yield _row("imbalance", "note", message + rest, f"More {rare} images would narrow the intervals.", ratio)
    else:
        advice = f"Write zoo.balance: balanced, or add {rare} images; otherwise many CNNs become degenerate."
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
        yield _row("other kinds", "note", message, "They are ignored; convert them if they should be used.", count)
    if any(not Path(name).name.startswith(".") for name in place.aside):
        advice = "They are ignored. To use such a folder, name it in the configuration."
        yield _row("other software", "note", f"{folders.counted(place.aside)}.", advice, len(place.aside))
    if place.profiles:
        count = len(place.profiles)
        message = f"{count:,} of {len(place.names):,} images have a corrupt colour profile: "
        advice = "They are read as sRGB. Save them again with a valid profile, or without one."
        yield _row("profile", "note", f"{message}{_named(place.profiles)}.", advice, count)
    for name, (names, what, advice) in _unusual(place).items():
        if names:
            level = "warning" if len(names) > len(place.names) / 10 and name != "large" else "note"
            message = f"{len(names):,} of {len(place.names):,} images {what}: {_named(names)}."
            yield _row(name, level, message, advice, len(names))


def _unusual(place: Place) -> dict[str, tuple[list[str], str, str]]:
    """Check -> names of images of unusual size, a description, and advice."""
    if place.headers is None:
        return {}
    width, height, *_ = place.headers.T
    looks = {
        "small": (np.minimum(width, height) < 32, "have a side below 32 pixels and are enlarged, which blurs them",
                  "Use larger images if possible."),
        "large": (width * height > LARGE, f"have over {LARGE / 1e6:.0f} million pixels, which takes long to read",
                  "Resize them; the CNNs read 32x32 pixels."),
        "long": (np.maximum(width, height) > LONG * np.minimum(width, height),
                 f"have one side over {LONG} times as long as the other and are squeezed to a square",
                 "Crop them to the object."),
    }  # fmt: skip
    names = np.array(place.names)
    return {name: (names[where].tolist(), what, advice) for name, (where, what, advice) in looks.items()}


def _copies(place: Place, pairs: Sequence[Pair], policy: Mapping) -> Iterator[Row]:
    within = [pair for pair in pairs if pair.within(place)]
    for same, what in ((True, "equal"), (False, "re-encoded or mirrored, but equal")):
        some = [pair for pair in within if (pair.kind == "equal") == same]
        across = [pair for pair in some if place.positive[pair.i] != place.positive[pair.j]]
        if inside := [pair for pair in some if place.positive[pair.i] == place.positive[pair.j]]:
            level = "stop" if same and policy["duplicates"] == "refuse" else "note"
            advice = "One of each is kept." if same and level == "note" else "Keep one of each."
            yield _row("copies", level, f"{_number(inside)} {what} to an earlier one: {_shown(inside)}.", advice,
                       len(inside))  # fmt: skip
        if across:
            level = "stop" if same and policy["duplicates"] == "refuse" else "warning"
            message = f"{_number(across)} {what} to one of the other class: {_shown(across)}."
            yield _row("both classes", level, message, "Remove each from the wrong class.", len(across))


def _leaks(place: Place, trained: Sequence[str], pairs: Sequence[Pair], policy: Mapping) -> Iterator[Row]:
    """Images of a test that are also images of the concepts at `trained`."""
    leaks = [pair for pair in pairs if pair.other.where == place.where and pair.one.where in trained]
    kinds = ((True, "equal to a training image"), (False, "re-encoded or mirrored, but equal to a training image"))
    for same, what in kinds:
        if some := [pair for pair in leaks if (pair.kind == "equal") == same]:
            level = "stop" if same and policy["leaks"] == "refuse" else "note" if same else "warning"
            advice = "Remove each from one of the two folders." if level != "note" else "They are left out of the test."
            yield _row("leak", level, f"{_number(some)} {what}: {_shown(some)}.", advice, len(some))


def _separating(place: Place, measured: Mapping[str, Measured]) -> Iterator[Row]:
    if not measured:
        yield _row("statistics", "note", f"Fewer than {FEWEST} images of a class, so no statistic is measured.")
    for name, m in measured.items():
        message = f"{name.capitalize()} alone separates {place.name} with AUROC {_in_words(m)}; medians: {m.medians}."
        if m.low <= SEPARATES:
            yield _row(name, "ok", message, "", m.value, m.low, m.high)
        elif place.is_test:
            advice = "A method must be significantly better than this baseline; the leaderboard has such baselines."
            yield _row(name, "note", message, advice, m.value, m.low, m.high)
        else:
            advice = STATISTICS[name].advice.format(name=place.name)
            yield _row(name, "warning", message, advice, m.value, m.low, m.high)


def _between(fusion: str, a: Place, b: Place, measured: Mapping[str, Mapping[str, Measured]]) -> Iterator[Row]:
    """Statistics that separate concept a, applied to concept b."""
    ours, theirs = measured[a.where], measured[b.where]
    for name in [name for name in ours if name in theirs]:
        if ours[name].low <= SEPARATES:
            continue
        value, low, high = auroc(ours[name].fitted.decision_function(STATISTICS[name].of(b)), b.positive)
        numbers = f"{value:.2f} ({low:.2f} to {high:.2f})"
        what = f"{name.capitalize()}, which separates {a.name} ({ours[name].value:.2f}),"
        if high < AGAINST:
            message = f"{what} speaks against {b.name}: AUROC {numbers}. Images of {fusion} look less like {b.name}."
            advice = (
                f"Add positives of {b.name} that are like {a.name} in their {name} without being {fusion}, or remove "
                f"such images from the negatives of {b.name}."
            )
            yield _row(f"{name}: {a.name} against {b.name}", "warning", message, advice, value, low, high)
        elif low > SEPARATES:
            message = (
                f"{what} also separates {b.name}: AUROC {numbers}. CNNs that learn only this predict both concepts."
            )
            yield _row(f"{name}: {a.name} and {b.name}", "warning", message,
                       STATISTICS[name].advice.format(name=b.name), value, low, high)  # fmt: skip
        else:
            message = f"{what} separates {b.name} with AUROC {numbers}."
            yield _row(f"{name}: {a.name} and {b.name}", "ok", message, "", value, low, high)


def _both(fusion: str, a: Place, b: Place, pairs: Sequence[Pair]) -> Iterator[Row]:
    between = [p for p in pairs if p.one.where == a.where and p.other.where == b.where]  # each pair of concepts once
    some = [p for p in between if p.one.positive[p.i] and p.other.positive[p.j]]
    if some:
        message = f"{_number(some)} positive for both {a.name} and {b.name}: {_shown(some)}."
        advice = f"Remove these images: they are examples of {fusion}, which no CNN may be trained on."
        yield _row("both concepts", "warning", message, advice, len(some))


def _strips(
    place: Place, measured: Mapping[str, Measured], pairs: Sequence[Pair], seed: int
) -> Iterator[tuple[str, np.ndarray, int]]:
    """(title, images, columns): some of each class, both sorted by the most separating statistics, and copies."""
    sides = {"positives": np.flatnonzero(place.positive), "negatives": np.flatnonzero(~place.positive)}
    for title, members in sides.items():
        chosen = members[rng.permutation(len(members), seed, "sheet", place.where)[: 2 * SHEET]]
        yield f"{place.name}: {title} ({len(members):,})", place.images[chosen], SHEET
    suspicious = sorted((m.low, name) for name, m in measured.items() if m.low > SEPARATES)[::-1]
    for _, name in suspicious[:3]:
        for title, members in sides.items():
            order = members[np.argsort(measured[name].scores[members], kind="stable")]
            chosen = order[np.linspace(0, len(order) - 1, min(SHEET, len(order))).round().astype(int)]
            yield f"{title} by {name}, from least to most like a positive", place.images[chosen], SHEET
    if copies := [pair for pair in pairs if pair.other.where == place.where][:SHEET]:
        both = [image for pair in copies for image in (pair.one.images[pair.i], pair.other.images[pair.j])]
        yield "copies, in pairs", np.stack(both), SHEET


def _alike(
    fusion: str, a: Place, b: Place, measured: Mapping[str, Mapping[str, Measured]]
) -> Iterator[tuple[str, np.ndarray, int]]:
    """A strip of the positives of concept b that are most like a, where the conjunction hides among them.

    By what separates concept a best; once there are zoos, they say it better (`evaluation.suspects`).
    """
    ours, theirs = measured[a.where], measured[b.where]
    separating = [(m.low, name) for name, m in ours.items() if name in theirs and m.low > SEPARATES]
    if separating:
        name = max(separating)[1]
        members = np.flatnonzero(b.positive)
        scores = ours[name].fitted.decision_function(STATISTICS[name].of(b))[members]
        chosen = members[np.argsort(-scores, kind="stable")[: 2 * SHEET]]
        yield f"positives of {b.name} most like {a.name} by {name}: is any {fusion}?", b.images[chosen], SHEET


def _in_words(m: Measured) -> str:
    return f"{m.value:.2f} ({m.low:.2f} to {m.high:.2f})"


def _number(pairs: Sequence[Pair]) -> str:
    n = len({(pair.other.where, pair.j) for pair in pairs})
    return "1 image is" if n == 1 else f"{n:,} images are"


def _named(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _MAX_NAMED:,} more (images.csv lists all)" if len(names) > _MAX_NAMED else ""
    return ", ".join(map(text.printable, names[:_MAX_NAMED])) + more


def _shown(pairs: Sequence[Pair]) -> str:
    return _named(f"{pair.second} ({pair.first})" for pair in pairs)


def lines(findings: pd.DataFrame) -> Iterator[str]:
    """Lines for the terminal: everything that is not OK, the most severe first, and a count."""
    for level, place, messages, advice in grouped(findings):
        yield text.visible(f"{LEVELS[level]}, {place}:")
        yield from (f"    {text.visible(line)}" for line in (*messages, advice) if line)
    yield headline(findings)


def grouped(findings: pd.DataFrame) -> Iterator[tuple[str, str, list[str], str]]:
    """Yield level, place, messages and their common advice, of everything that is not OK."""
    not_ok = findings[findings["level"] != "ok"]
    for (level, place, advice), rows in not_ok.groupby(["level", "place", "advice"], sort=False):
        yield level, place, rows["message"].tolist(), advice


def headline(findings: pd.DataFrame) -> str:
    """One line: the number of errors that stop the run, and of warnings."""
    counts = findings["level"].value_counts()
    stops, warnings = int(counts.get("stop", 0)), int(counts.get("warning", 0))
    parts = [f"{stops} {'error that stops' if stops == 1 else 'errors that stop'} the run"] if stops else []
    parts += [f"{warnings} {'warning' if warnings == 1 else 'warnings'}"] if warnings else []
    return (" and ".join(parts) if parts else "Nothing to fix") + "."


def write(
    folder: Path, findings: pd.DataFrame, named: pd.DataFrame, sheets: Mapping[str, Path], places: Sequence[Place]
) -> None:
    """Write checks.csv, images.csv and report.html, which needs no network.

    Args:
        folder: of the three files.
        findings: of `check`.
        named: of `check`.
        sheets: place -> its contact sheet, a PNG.
        places: as for `check`.
    """
    for name, table in (("checks", findings), ("images", named)):
        csv_files.write(folder / f"{name}.csv", table, float_format="%.4g")
    separating = findings[findings["check"].isin(list(STATISTICS))]
    html = pages.render(
        "check",
        headline=headline(findings),
        levels=LEVELS,
        bounds={"separates": SEPARATES, "against": AGAINST},
        findings=list(grouped(findings)),
        statistics=list(STATISTICS),
        aurocs={
            place.where: {r["check"]: r for r in separating[separating["place"] == place.where].to_dict("records")}
            for place in places
        },
        sheets={
            where: f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
            for where, path in sheets.items()
        },
    )
    with atomic_path(folder / "report.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
