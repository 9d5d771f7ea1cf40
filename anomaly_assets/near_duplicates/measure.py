"""Measure how similar the thumbnails of a category are, with pure functions.

Parts in a fixture differ in little else than their position and the light. So the cosine of two thumbnails
is near 1 for any two of them, and only what is unusual about an image can be compared. This is what is left
of a thumbnail after these steps:

1. It is blurred a little, and scaled to mean 0 and variance 1: brightness and contrast do not count.
2. The mean picture of the category is subtracted. Each pixel is divided by its usual deviation and by the
   slope of the mean picture there, because edges change most when a picture is shifted by half a pixel.
3. What a shift, a crop, a turn or a gradient of light does to the mean picture is removed.
4. Directions in which the images of the category vary most are scaled down to the level of the others.

The distance of two images is 1 minus the cosine of their remainders: near 0 for copies, near 1 for others.
In a small category, fewer directions are known, and similar parts are closer. There the limit follows from
what a crop does to its images. Decision 23 has the measurements behind these steps and the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomaly_assets.decoding.thumbnail import SIDE

METHOD = 3
"""Number of this method; another one makes every category searched again."""

MOST_DISTANCE = 0.3
"""Maximum distance of near duplicates; less in small categories, see `most_distance`."""

MOST_NEIGHBOURS = 10
"""Nearest images of each split for which an image has pairs: in a film, all images are near each other."""

LEAST_IMAGES = 3
"""Minimum number of images to compare: from two alone, nothing is known about what is usual."""

_MOST_SAMPLED = 512
_BLOCK = 1024
_DIRECTIONS = 20
_IMAGES_PER_DIRECTION = 8
_SLOPE_WEIGHT = 1.0
_WELL_KNOWN = 50  # images from which on all pairs up to `MOST_DISTANCE` are listed
_LEAST_LIMIT = 0.15
_TIMES_CROPPED = 4.5
_CROPPED = 6 / 512  # what is cut off at each side, of the height and the width
_LEAST_DEVIATION = 0.5  # grey levels; a picture without contrast has no features
_DECIMALS = 4

Floats = npt.NDArray[np.float64]
Thumbnails = npt.NDArray[np.uint8]
Pair = tuple[int, int, float]


@dataclass(frozen=True)
class Measure:
    """Describe what is usual in a category.

    Attributes:
        mean: Mean picture, D = `SIDE`² values.
        weights: Factor of each pixel, D.
        common: Orthonormal columns that are removed, D x 12.
        directions: Orthonormal columns that are scaled down, D x k.
        damping: Fraction of each direction that is removed, k values of 0 to 1.
    """

    mean: Floats
    weights: Floats
    common: Floats
    directions: Floats
    damping: Floats

    def features(self, thumbnails: Thumbnails) -> Floats:
        """Return the remainders, float64 N x D of length 1; zeros for an image without contrast."""
        flat = _levelled(thumbnails)
        left = self._without_common(flat)
        left -= ((left @ self.directions) * self.damping) @ self.directions.T
        left[~flat.any(axis=1)] = 0
        return left / np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-9)

    def _without_common(self, flat: Floats) -> Floats:
        left = (flat - self.mean) * self.weights
        left -= (left @ self.common) @ self.common.T
        return left


def measure_of(thumbnails: Thumbnails) -> Measure:
    """Return what is usual in a category, from up to 512 of its images at equal intervals.

    Args:
        thumbnails: uint8, N x `SIDE` x `SIDE`.
    """
    count = min(len(thumbnails), _MOST_SAMPLED)
    chosen = np.linspace(0, len(thumbnails) - 1, count).round().astype(int)
    flat = _levelled(thumbnails[chosen])
    mean = flat.mean(axis=0)
    down, right = np.gradient(mean.reshape(SIDE, SIDE))
    slope = (down**2 + right**2).ravel()
    weights = 1 / np.sqrt(((flat - mean) ** 2).mean(axis=0) + _SLOPE_WEIGHT * slope + 1e-4)
    common, _ = np.linalg.qr(_changes_of(mean) * weights[:, None])
    nothing = np.zeros((mean.size, 0))
    measure = Measure(mean, weights, common, nothing, np.zeros(0))
    usual = min(_DIRECTIONS, count // _IMAGES_PER_DIRECTION)
    if not usual:
        return measure
    left = measure._without_common(flat)
    # Eigenvectors of N x N instead of D x D: a category has fewer images than a thumbnail pixels.
    values, vectors = np.linalg.eigh(left @ left.T)
    values, vectors = values[::-1][: usual + 1], vectors[:, ::-1][:, :usual]
    lengths = np.sqrt(np.maximum(values, 1e-12))
    directions = left.T @ vectors / lengths[:usual]
    return Measure(mean, weights, common, directions, 1 - lengths[usual] / lengths[:usual])


def most_distance(measure: Measure, thumbnails: Thumbnails) -> float:
    """Return the maximum distance of near duplicates in a category, 0.15 to 0.3.

    In a category of fewer than 50 images, it is 4.5 times the distance that images have from themselves
    without a margin. A real crop moves fine textures too, which a thumbnail lacks: up to 4 times.

    Args:
        measure: What is usual in the category.
        thumbnails: All of its images; uint8, N x `SIDE` x `SIDE`.
    """
    if len(thumbnails) >= _WELL_KNOWN:
        return MOST_DISTANCE
    near, far = SIDE * _CROPPED, SIDE * (1 - _CROPPED)
    cropped = [
        Image.fromarray(each).resize((SIDE, SIDE), Image.Resampling.BICUBIC, (near, near, far, far))
        for each in thumbnails
    ]
    features = measure.features(thumbnails), measure.features(np.stack([*map(np.asarray, cropped)]))
    usual = float(np.median(1 - np.einsum("ij,ij->i", *features)))
    # Rounded, because the last digits differ from machine to machine.
    return round(min(max(_TIMES_CROPPED * usual, _LEAST_LIMIT), MOST_DISTANCE), 2)


def near_pairs(
    thumbnails: Thumbnails, contents: npt.NDArray[np.int64], splits: npt.NDArray[np.int64]
) -> list[Pair]:
    """Return the near duplicates of a category: two positions, the smaller one first, and their distance.

    Each image has pairs with the nearest images of each split. So whatever is near to a test image has a
    pair with a test image, however many images of its own split are nearer.

    Blocks of 1,024 images are compared with each other, so memory does not grow with the square of the
    images.

    Args:
        thumbnails: uint8, N x `SIDE` x `SIDE`.
        contents: int64, N; equal for images with the same bytes, which are no near duplicates.
        splits: int64, N, from 0; equal for images of the same split.
    """
    if len(thumbnails) < LEAST_IMAGES:
        return []
    measure = measure_of(thumbnails)
    limit = most_distance(measure, thumbnails)
    found: dict[tuple[int, int], float] = {}
    for rows in _blocks(len(thumbnails)):
        of_rows = measure.features(thumbnails[rows])
        nearest = [np.zeros((0, 3))]
        for columns in _blocks(len(thumbnails)):
            of_columns = of_rows if rows == columns else measure.features(thumbnails[columns])
            near = of_rows.astype(np.float32) @ of_columns.astype(np.float32).T
            is_near = near > 1 - limit - 1e-4
            is_near &= contents[rows, None] != contents[None, columns]
            first, second = np.nonzero(is_near)
            # Multiplied again with 64 bits: the last digits of `near` differ from machine to machine.
            cosine = np.einsum("ij,ij->i", of_rows[first], of_columns[second])
            distance = np.maximum(1 - cosine, 0).round(_DECIMALS)
            pairs = np.column_stack([first + rows.start, second + columns.start, distance])
            nearest = [_nearest(np.concatenate([*nearest, pairs[distance <= limit]]), splits)]
        for one, other, distance in nearest[0].tolist():
            found[int(min(one, other)), int(max(one, other))] = distance
    return [(one, other, distance) for (one, other), distance in sorted(found.items())]


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, _BLOCK):
        yield slice(start, min(start + _BLOCK, count))


def _nearest(pairs: Floats, splits: npt.NDArray[np.int64]) -> Floats:
    """Return the nearest pairs of each first image in each split; N x 3: first, second, distance."""
    first, second = pairs[:, :2].astype(np.int64).T
    group = first * (splits.max() + 1) + splits[second]
    order = np.lexsort((second, pairs[:, 2], group))
    _, starts, counts = np.unique(group[order], return_index=True, return_counts=True)
    rank = np.arange(len(pairs)) - np.repeat(starts, counts)
    return pairs[order][rank < MOST_NEIGHBOURS]


def _levelled(thumbnails: Thumbnails) -> Floats:
    """Return blurred thumbnails with mean 0 and variance 1, float64 N x D; zeros without contrast."""
    blurred = thumbnails.astype(np.float64)
    for axis in (1, 2):
        width = [(0, 0), (0, 0), (0, 0)]
        width[axis] = (1, 1)
        padded = np.pad(blurred, width, mode="edge")
        before, after = (padded.take(range(n, n + SIDE), axis) for n in (0, 2))
        blurred = (before + 2 * blurred + after) / 4
    flat = blurred.reshape(len(thumbnails), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    deviation = flat.std(axis=1, keepdims=True)
    return np.where(deviation < _LEAST_DEVIATION, 0, flat / np.maximum(deviation, 1e-9))


def _changes_of(mean: Floats) -> Floats:
    """Return small changes of the mean picture, D x 12: contrast, shifts, scales, turns, light."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    picture = mean.reshape(SIDE, SIDE)
    down, right = np.gradient(picture)
    light = [np.ones_like(picture), picture, x, y, picture * x, picture * y]
    moved = [right, down, right * x, down * y, right * y, down * x]
    return np.stack([each.ravel() for each in (*light, *moved)], axis=1)
