"""Choose the patches of a memory bank, and search it for nearest neighbours.

A patch is the feature vector of one place of an image. The steps, all seeded:

1. `Reservoir`: a uniform sample of the patches of all images, taken in one pass.
2. `k_center`: repeatedly the patch that is farthest from all chosen ones.
3. `Nearest`: the distance of a patch to the nearest patch of the bank.

The functions use only operations that arrays of NumPy and tensors of PyTorch have in common, so the same
code runs on a GPU.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SEED = 0
MOST_SAMPLED = 100_000
"""Patches that are sampled from all images, from which those of the bank are chosen."""
MOST_PATCHES = 10_000
"""Patches of a bank."""
PROJECTED = 128
"""Dimensions in which distances between candidates are computed; features with more are projected."""

_CANDIDATES = 128
_BLOCK_VALUES = 16 << 20
"""Distances in memory at once: 64 MB."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bank:
    """Patches of good training images.

    Attributes:
        patches: float32, P x D, at most 10,000.
        folds: int8, P; fold of the image of each patch.
        seed: Seed of the random choices.
        digest: SHA-256 of what the bank was made from: contents of the images, network, pixels, method.
    """

    patches: Floats
    folds: npt.NDArray[np.int8]
    seed: int
    digest: str

    def __len__(self) -> int:
        return len(self.patches)


class Reservoir:
    """Uniform sample of patches without replacement, in bounded memory.

    Each patch gets a random number that depends on the seed, the content of its image and its place, and
    those with the smallest numbers stay. So the sample depends neither on the order of the images nor on
    the size of batches.

    Args:
        size: Number of patches to keep.
        seed: Seed of the random numbers.
    """

    def __init__(self, size: int = MOST_SAMPLED, seed: int = SEED) -> None:
        self._size = size
        self._seed = seed
        self._limit = np.inf
        self._held: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.int8], Floats]] = []
        self._count = 0

    def add(self, patches: Floats, content: str, fold: int) -> None:
        """Add the patches of one image.

        Args:
            patches: float32, P x D.
            content: SHA-256 of the image's file; every image has another one.
            fold: Number of the image's fold.
        """
        words = np.frombuffer(hashlib.sha256(content.encode()).digest(), np.uint32)
        numbers = np.random.default_rng([self._seed, *words.tolist()]).random(len(patches))
        chosen = np.flatnonzero(numbers < self._limit)
        if len(chosen) > self._size:
            chosen = np.sort(np.argpartition(numbers, self._size - 1)[: self._size])
        folds = np.full(len(chosen), fold, np.int8)
        self._held.append((numbers[chosen], folds, patches[chosen]))
        self._count += len(chosen)
        if self._count > self._size + self._size // 4:
            self._shrink()

    def patches(self) -> tuple[Floats, npt.NDArray[np.int8]]:
        """Return the sample, float32 P x D, and the fold of each patch, ordered by their random numbers."""
        if not self._held:
            return np.empty((0, 0), np.float32), np.empty(0, np.int8)
        self._shrink()
        [(numbers, folds, patches)] = self._held
        order = np.argsort(numbers, kind="stable")
        return patches[order], folds[order]

    def _shrink(self) -> None:
        numbers, folds, patches = (np.concatenate(each) for each in zip(*self._held, strict=True))
        if len(numbers) > self._size:
            kept = np.argpartition(numbers, self._size - 1)[: self._size]
            numbers, folds, patches = numbers[kept], folds[kept], patches[kept]
            self._limit = float(numbers.max())
        self._held = [(numbers, folds, patches)]
        self._count = len(numbers)


def projected(patches: Floats, seed: int = SEED) -> Floats:
    """Return patches in 128 dimensions by a Gaussian random projection; unchanged if they have no more."""
    dimensions = patches.shape[1]
    if dimensions <= PROJECTED:
        return patches
    matrix = np.random.default_rng(seed).standard_normal((dimensions, PROJECTED))
    return patches @ (matrix / np.sqrt(PROJECTED)).astype(np.float32)


def k_center(patches: Any, count: int) -> Ints:
    """Return the positions of centers by the greedy algorithm, in the order in which they are chosen.

    The first center is the first patch; each further one is the patch that is farthest from all centers so
    far. Distances only shrink, so the patches that are farthest now contain the next centers: their
    distances to all patches are computed in one product of matrices, and centers are taken from them as
    long as none of the other patches is farther. The result is that of the plain algorithm, except for
    rounding.

    Args:
        patches: float32, P x D: an array, or a tensor.
        count: Maximum number of centers; fewer are returned if the others equal a center.
    """
    total = len(patches)
    if not total or count < 1:
        return np.empty(0, np.int64)
    squares = (patches * patches).sum(1)
    # Products of float32 leave about this much between equal patches.
    rounding = 1e-6 * float(squares.max())
    distances = _squared_distances(patches[:1], patches, squares)[0]
    distances[0] = 0
    chosen = [0]
    while len(chosen) < min(count, total):
        farthest = int(distances.argmax())
        candidates = distances.argsort()[-_CANDIDATES:]
        block = _squared_distances(patches[candidates], patches, squares)
        row_of = {position: row for row, position in enumerate(candidates.tolist())}
        # argmax and argsort may order equal distances differently.
        farthest = farthest if farthest in row_of else int(candidates[-1])
        while farthest in row_of and len(chosen) < count:
            if float(distances[farthest]) <= rounding:
                return np.asarray(chosen, np.int64)
            chosen.append(farthest)
            distances = distances.clip(max=block[row_of[farthest]])
            distances[farthest] = 0
            farthest = int(distances.argmax())
    return np.asarray(chosen, np.int64)


class Nearest:
    """Search for the nearest patch of a bank, exhaustively and in blocks.

    Args:
        patches: float32, P x D: an array, or a tensor on the device on which to search.
        folds: Fold of each patch, so that the patches of one can be left out.
    """

    def __init__(self, patches: Any, folds: npt.ArrayLike = ()) -> None:
        self._patches = patches
        self._folds = np.asarray(folds)
        # Rounding is smallest around the origin.
        self._origin = patches.mean(0)
        centered = patches - self._origin
        self._centered = centered.T
        self._half_squares = {-1: (centered * centered).sum(1) / 2}
        self._at_once = max(1, _BLOCK_VALUES // max(1, len(patches)))

    def distances(self, patches: Any, without_fold: int = -1) -> Floats | None:
        """Return the Euclidean distance of each patch to the nearest one of the bank, float32 N.

        Args:
            patches: float32, N x D, of the kind of the bank.
            without_fold: Fold whose patches do not count; -1 for none.

        Returns:
            The distances; None if no patch of the bank is left.
        """
        half_squares = self._without(without_fold)
        if half_squares is None:
            return None
        found = np.empty(len(patches), np.float32)
        for start in range(0, len(patches), self._at_once):
            some = patches[start : start + self._at_once]
            # |a - b|² is smallest where ab - b²/2 is largest. The distance itself is computed from the
            # difference, because the product is inexact for near patches.
            closeness = (some - self._origin) @ self._centered
            closeness -= half_squares
            difference = some - self._patches[closeness.argmax(1)]
            squared = (difference * difference).sum(1)
            found[start : start + len(some)] = np.asarray(squared.tolist(), np.float32) ** 0.5
        return found

    def _without(self, fold: int) -> Any:
        """Return half of the squared lengths, infinite for patches of a fold; None if all are of it."""
        if fold not in self._half_squares:
            left_out = np.flatnonzero(self._folds == fold).tolist()
            if len(left_out) == len(self._patches):
                return None
            half_squares = self._half_squares[-1] + 0
            half_squares[left_out] = np.inf
            self._half_squares[fold] = half_squares
        return self._half_squares[fold] if len(self._patches) else None


def _squared_distances(some: Any, patches: Any, squares: Any) -> Any:
    """Return squared distances, K x P, of K patches to P patches with their sums of squares."""
    block = (some * -2.0) @ patches.T
    block += squares
    block += (some * some).sum(1)[:, None]
    return block
