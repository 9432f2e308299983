"""What anything predicts on a fusion's test images: one class, and one kind of HDF5 file.

CNNs, their heads and clusterers, baselines, oracles and somebody else's classifier all end as
`Predictions`; the tables are made from nothing else. A file of kind "predictions" holds

    names, labels, groups, validation             (m,) the test images, label 1 = the concept
    METHOD/PROTOCOL/HEAD/model, domain            (n,) which CNNs
    METHOD/PROTOCOL/HEAD/scores                   (n, m)
    METHOD/PROTOCOL/HEAD/measures/NAME            (n,) what is known of each CNN, such as validation
    embeddings/NAME                               (n, m, ...) where the images lie, for figures

and, as the attribute `sets`, [METHOD, PROTOCOL, HEAD, names of its measures] of each set in its
order. Everything about a CNN stands in one file, and every array of a set has the same order.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from zoofuse.core import files

if TYPE_CHECKING:
    import pandas as pd

KIND = "predictions"
PROTOCOLS = ("published", "held_out", "zero_shot")
COLUMNS = [
    "method", "domain", "model", "accuracy", "precision", "recall", "entropy", "purity", "balanced_accuracy",
    "protocol", "clusterer", "clusters", "tp", "fp", "fn", "tn", "noise", "dead", "cosine_within", "cosine_between",
    "validation", "silhouette", "density_validity", "agreement",
]  # fmt: skip
NO_DOMAIN = "-"
EMBEDDINGS = ("umap", "tsne", "held_out/umap")  # of `protocols`, that a file keeps
_CNN = ("method", "domain", "model")  # which name a CNN
_KEYS = (*_CNN, "protocol", "clusterer")  # columns that are no measures
_IMAGES = ("names", "labels", "groups", "validation")
_SAME = "Evaluate all methods on the same images: delete the older files and run the same command again."

Path = str | os.PathLike
Key = tuple[str, str, str]  # method, protocol, head


@dataclass(frozen=True)
class Images:
    """The test images of a fusion, in the order of every score.

    Args:
        names: (m,) text.
        labels: (m,) integers, 1 = shows the concept (of a fusion: all of its concepts), 0 = does not.
        groups: (m,) text.
        validation: (m,) bool, the half that may be fitted to; the other half is only measured on.
    """

    names: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    validation: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def truth(self) -> np.ndarray:
        """(m,) bool, True where an image shows the concept."""
        return self.labels == 1

    @property
    def test(self) -> np.ndarray:
        """(m,) bool, the images that are measured on."""
        return ~self.validation

    def difference(self, other: "Images") -> str | None:
        """What differs from other images, by name; None where nothing does."""
        return next((name for name in _IMAGES if not np.array_equal(getattr(self, name), getattr(other, name))), None)


@dataclass(frozen=True)
class Predictions:
    """What n CNNs (or other classifiers) predict for m test images, by one protocol and head.

    Args:
        method: what made them, by its name in the registry or that of a foreign file.
        protocol: one of PROTOCOLS.
        head: the clusterer, "threshold", or the classification head that reads their features.
        images: the test images.
        domain: (n,) text, "-" where there is one domain.
        model: (n,) index of the CNN.
        scores: (n, m), bool for predicted classes, else numbers that are higher for the concept.
        measures: name -> (n,) what else is known of each CNN.
    """

    method: str
    protocol: str
    head: str
    images: Images
    domain: np.ndarray
    model: np.ndarray
    scores: np.ndarray
    measures: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"{self.method}: no protocol {self.protocol!r}; one of {', '.join(PROTOCOLS)}.")
        shapes = {"domain": self.domain.shape, **{name: values.shape for name, values in self.measures.items()}}
        wrong = [name for name, shape in shapes.items() if shape != (len(self),)]
        wrong += ["scores"] if self.scores.shape != (len(self), len(self.images)) else []
        if wrong:
            raise ValueError(
                f"{self.method}: {', '.join(wrong)} of {self.protocol}/{self.head} do not fit {len(self):,} CNNs and "
                f"{len(self.images):,} images."
            )

    def __len__(self) -> int:
        return len(self.model)

    @property
    def key(self) -> Key:
        return self.method, self.protocol, self.head

    def select(self, rows) -> "Predictions":
        """Those of some CNNs.

        Args:
            rows: (n,) bool or indices.
        """
        return replace(
            self, domain=self.domain[rows], model=self.model[rows], scores=self.scores[rows],
            measures={name: values[rows] for name, values in self.measures.items()},
        )  # fmt: skip

    def measure(self, name: str) -> np.ndarray:
        """(n,) a measure; NaN where it is unknown."""
        return self.measures.get(name, np.full(len(self), np.nan))

    def name(self, row: int) -> str:
        """A CNN as tables name it: its index, after its domain where there are several."""
        domain = str(self.domain[row])
        return str(self.model[row]) if domain == NO_DOMAIN else f"{domain}/{self.model[row]}"


def zero_shot(
    method: str,
    head: str,
    images: Images,
    model: np.ndarray | None = None,
    domain: np.ndarray | None = None,
    *,
    scores: np.ndarray,
    validation: np.ndarray,
    threshold: np.ndarray,
) -> Predictions:
    """What classifiers that were not fitted to any test image predict.

    Args:
        method, head, images, scores: as in Predictions.
        model, domain: (n,); 0, 1, ... and "-" where they are left out.
        validation: (n,) what one is selected by, NaN where nothing is known.
        threshold: (n,) a score of at least this is a prediction of the concept; NaN where nothing is known.
    """
    n = len(scores)
    model = np.arange(n, dtype=np.int32) if model is None else model
    domain = np.repeat([NO_DOMAIN], n) if domain is None else domain
    measures = {"validation": validation, "threshold": threshold}
    return Predictions(method, "zero_shot", head, images, domain, model, scores, measures)


def write(
    path: Path, images: Images, sets: Iterable[Predictions], embeddings: Mapping[str, np.ndarray] | None = None, **about
) -> None:
    """Write a predictions file.

    Args:
        path: the file.
        images: the test images, the same in all sets.
        sets: in the order in which they are read again.
        embeddings: name -> (n, m, ...), for figures.
        about: attributes, such as settings and sources.
    """
    sets = list(sets)
    arrays = {name: getattr(images, name) for name in _IMAGES}
    for of in sets:
        if what := of.images.difference(images):
            raise ValueError(f"{path}: {what} of {of.method} differ from the file's.")
        place = "/".join(of.key)
        arrays |= {f"{place}/{name}": getattr(of, name) for name in ("model", "domain", "scores")}
        arrays |= {f"{place}/measures/{name}": values for name, values in of.measures.items()}
    arrays |= {f"embeddings/{name}": values for name, values in (embeddings or {}).items()}
    about |= {"sets": [[*of.key, list(of.measures)] for of in sets], "embeddings": list(embeddings or {})}
    files.write(path, KIND, arrays, **about)


def write_evaluated(path: Path, rows: Sequence[Mapping], arrays: Sequence[Mapping], images: Images, **about) -> None:
    """Write the predictions of evaluated CNNs.

    Args:
        path: the file.
        rows: a row for each CNN, protocol and clusterer, with keys of COLUMNS.
        arrays: of each CNN: method, domain, model, PROTOCOL/CLUSTERER (m,) bool, the predictions, and EMBEDDINGS.
        images: the test images.
        about: attributes, such as settings and sources.
    """
    sets: dict[Key, list[Mapping]] = {}
    for row in rows:
        sets.setdefault((row["method"], row["protocol"], row["clusterer"]), []).append(row)
    by_cnn = {tuple(of[name] for name in _CNN): of for of in arrays}
    write(
        path,
        images,
        [
            Predictions(
                *key,
                images,
                domain=np.array([row["domain"] for row in part], str),
                model=np.array([row["model"] for row in part]),
                scores=np.stack([by_cnn[tuple(row[name] for name in _CNN)]["/".join(key[1:])] for row in part]),
                measures={name: np.array([row[name] for row in part]) for name in part[0] if name not in _KEYS},
            )
            for key, part in sets.items()
        ],
        {
            name: np.stack([of[name] for of in arrays if name in of])
            for name in EMBEDDINGS
            if any(name in of for of in arrays)
        },
        **about,
    )


def read(path: Path) -> list[Predictions]:
    """All sets of a predictions file, in the order they were written.

    Raises:
        FileError: the file is missing, corrupt, or of another kind.
    """
    images = _same(path, None)
    return [_set(key, images, _arrays(path, key, measures)) for key, measures in _sets(path).items()]


def iterate(paths: Iterable[Path], *protocols: str) -> Iterator[Predictions]:
    """The sets of many files, each joined over the files that hold parts of it; one is held at a time.

    Args:
        paths: predictions files, in the order of the CNNs.
        protocols: of which protocols; all by default.

    Yields:
        The sets, method after method, in the order in which files and sets come first. All have the same `images`.

    Raises:
        FileError: as `read`.
        ValueError: the files are of different test images.
    """
    places: dict[Key, list[tuple[Path, Sequence[str]]]] = {}
    images = None
    for path in paths:
        images = _same(path, images)
        for key, measures in _sets(path).items():
            if not protocols or key[1] in protocols:
                places.setdefault(key, []).append((path, measures))
    methods = list(dict.fromkeys(key[0] for key in places))
    for key in sorted(places, key=lambda key: methods.index(key[0])):
        parts = [_arrays(path, key, measures) for path, measures in places[key]]
        yield _set(key, images, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def table(paths: Iterable[Path], protocol: str, head: str) -> "pd.DataFrame":
    """The measures of every CNN by one protocol and clusterer, without reading scores.

    Args:
        paths: predictions files.
        protocol: one of PROTOCOLS.
        head: the clusterer.

    Returns:
        A row for each CNN, with the columns COLUMNS.
    """
    import pandas as pd  # takes a while, and the Snakefile reads this module

    frames = []
    for path in paths:
        for key, measures in _sets(path).items():
            if key[1:] == (protocol, head):
                frame = pd.DataFrame(_arrays(path, key, measures, scores=False))
                frames.append(frame.assign(method=key[0], protocol=protocol, clusterer=head))
    if not frames:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS)


def embedding(paths: Iterable[Path], name: str) -> np.ndarray:
    """(n, m, ...) an embedding of all CNNs that have it, file after file."""
    place = f"embeddings/{name}"
    having = [path for path in paths if name in files.attributes(path, KIND)["embeddings"]]
    return np.concatenate([files.read(path, KIND, [place])[place] for path in having])


def _sets(path: Path) -> dict[Key, list[str]]:
    """The sets of a file, and the measures of each."""
    return {(method, protocol, head): names for method, protocol, head, names in files.attributes(path, KIND)["sets"]}


def _same(path: Path, images: Images | None) -> Images:
    own = Images(**files.read(path, KIND, _IMAGES))
    if images is not None and (what := own.difference(images)):
        raise ValueError(f"{path}: {what} differ from the other methods'. {_SAME}")
    return images or own


def _arrays(path: Path, key: Key, measures: Sequence[str], scores: bool = True) -> dict[str, np.ndarray]:
    """model, domain, the measures and the scores of a set of a file."""
    place = "/".join(key)
    places = {name: f"{place}/{name}" for name in ("model", "domain", *(["scores"] if scores else []))}
    places |= {name: f"{place}/measures/{name}" for name in measures}
    arrays = files.read(path, KIND, places.values())
    return {name: arrays[place] for name, place in places.items()}


def _set(key: Key, images: Images, arrays: dict[str, np.ndarray]) -> Predictions:
    own = {name: arrays.pop(name) for name in ("domain", "model", "scores")}
    return Predictions(*key, images, **own, measures=arrays)
