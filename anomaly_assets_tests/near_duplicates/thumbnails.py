"""Draw thumbnails of parts in a fixture: a common picture, and a surface that is individual."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomaly_assets.decoding.thumbnail import SIDE

Thumbnails = npt.NDArray[np.uint8]


def parts(count: int, seed: int = 0) -> Thumbnails:
    """Return thumbnails of different parts, uint8, N x `SIDE` x `SIDE`."""
    rng = np.random.default_rng(seed)
    base = 120 + 40 * smooth(rng, 6)
    drawn = [base * rng.normal(1, 0.02) + 5 * smooth(rng, 16) for _ in range(count)]
    return np.clip(np.stack(drawn), 0, 255).round().astype(np.uint8)


def copies(thumbnails: Thumbnails, brightness: float = 1.05, noise: float = 0.4) -> Thumbnails:
    """Return thumbnails of distorted copies."""
    rng = np.random.default_rng(1)
    distorted = thumbnails * brightness + rng.normal(0, noise, thumbnails.shape)
    return np.clip(distorted, 0, 255).round().astype(np.uint8)


def smooth(rng: np.random.Generator, cells: int) -> npt.NDArray[np.float32]:
    grid = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
