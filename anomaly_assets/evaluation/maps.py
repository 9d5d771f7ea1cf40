"""Make maps of an image from the distances of its patches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SmallMap:
    """Map for display, one value per patch: `low + (high - low) * values / 255`.

    Attributes:
        values: uint8, h x w.
        low: Smallest distance.
        high: Largest distance.
    """

    values: npt.NDArray[np.uint8]
    low: float
    high: float


def small_map(distances: Floats) -> SmallMap:
    """Return a map for display.

    Args:
        distances: float32, h x w.
    """
    low, high = float(distances.min()), float(distances.max())
    scaled = (distances - low) * (255 / (high - low) if high > low else 0)
    return SmallMap(scaled.round().astype(np.uint8), low, high)


def full_size(distances: Floats, shape: tuple[int, ...]) -> Floats:
    """Return a map with a value for each pixel: bilinear interpolation, then a Gaussian blur.

    The standard deviation of the blur is half a patch: 4 pixels if patches are 8 pixels apart, as PatchCore
    has it. Both steps are linear and work on rows and columns, so they are two products of matrices.

    Args:
        distances: float32, h x w.
        shape: Height and width of the image.
    """
    down = _enlarging(distances.shape[0], shape[0])
    right = _enlarging(distances.shape[1], shape[1])
    return down @ distances @ right.T


@lru_cache(maxsize=8)
def _enlarging(patches: int, pixels: int) -> Floats:
    """Return the matrix, pixels x patches, that interpolates and blurs one dimension."""
    from scipy import ndimage

    centers = (np.arange(patches) + 0.5) * pixels / patches - 0.5
    places = np.arange(pixels)
    columns = [np.interp(places, centers, row) for row in np.eye(patches)]
    matrix = np.stack(columns, 1)
    sigma = pixels / patches / 2
    return ndimage.gaussian_filter1d(matrix, sigma, axis=0, mode="nearest").astype(np.float32)
