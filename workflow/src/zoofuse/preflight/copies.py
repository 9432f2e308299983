"""Images that are one picture: equal, saved anew or mirrored, within a place and between places."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zoofuse.preflight.places import Place

ALIKE = 0.12  # distance of standardised images; 98 % of 150 images saved anew at quality 50 lie below it

_FLAT = 15  # standard deviation of 0..255 below which an image has too little in it to be told from others


class Pair(NamedTuple):
    """Two images that are one: `kind` says "equal" (the same pixels at 32x32), "alike" or "mirrored"."""

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
    """Pairs of images, within a place and between places, that are one picture: equal, saved anew, or mirrored.

    An image that lies in several folders of the same name (one folder named by two concepts) makes no pair.
    """
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    at = [(place, i) for place in places for i in range(len(place.names))]
    pictures = np.concatenate([place.images for place in places])
    full = _standardised(pictures)
    told = np.flatnonzero(np.isfinite(full).all(1))  # flat images are compared by their bytes only
    found: dict[tuple[int, int], str] = {}
    seen: dict[bytes, dict[str, int]] = {}  # digest -> the first such image of each place
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
    """(n, 768) float32 of unit length: 16x16, less each channel's mean; NaN where there is too little in an image."""
    small = pictures.reshape(-1, 16, 2, 16, 2, 3).mean((2, 4), dtype=np.float32)
    small = (small - small.mean((1, 2), keepdims=True)).reshape(len(pictures), -1)
    length = np.linalg.norm(small, axis=1, keepdims=True)
    return small / np.where(length > _FLAT * np.sqrt(small.shape[1]), length, np.nan)
