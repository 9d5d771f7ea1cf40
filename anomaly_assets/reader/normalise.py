"""Normalize images to float32, with the stored statistics of their category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from anomaly_assets.datasets.names import shown
from anomaly_assets.reader.batch import IntArray, UInt8Array

Statistics = Mapping[tuple[str, str], tuple[Sequence[float], Sequence[float]]]
"""Map of (source dataset, category) to means and standard deviations per channel, in 0..1."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Normalisation:
    """Normalization (pixel / 255 - mean) / standard deviation, per channel, as one product and one sum.

    Attributes:
        of_sample: int64; index of the category of each sample of a selection, -1 for samples left out.
        factors: float32, categories x channels.
        summands: float32, categories x channels.
    """

    of_sample: IntArray
    factors: FloatArray
    summands: FloatArray

    @classmethod
    def of(cls, table: pa.Table, positions: IntArray, statistics: Statistics) -> Normalisation:
        """Return the normalization of the samples at these positions of a table.

        Raises:
            LookupError: No statistics are stored for the category of a sample.
        """
        named = [table[name].to_numpy() for name in ("source_dataset", "category")]
        keys = list(zip(*named, strict=True))
        categories = sorted({keys[position] for position in positions})
        missing = [
            f"{name}/{category}"
            for name, category in categories
            if (name, category) not in statistics
        ]
        if missing:
            raise LookupError(
                f"No pixel statistics are stored for {', '.join(map(shown, missing))}: they are computed "
                "from good training images, and there are none. Leave these categories out, or normalise "
                "them yourself."
            )
        numbers = {key: number for number, key in enumerate(categories)}
        means = np.array([statistics[key][0] for key in categories])
        deviations = np.array([statistics[key][1] for key in categories])
        # A constant channel has standard deviation 0: only subtract its mean.
        deviations[deviations == 0] = 1
        return cls(
            of_sample=np.array([numbers.get(key, -1) for key in keys], np.int64),
            factors=(1 / (255 * deviations)).astype(np.float32),
            summands=(-means / deviations).astype(np.float32),
        )

    @classmethod
    def to_unit(cls, samples: int, channels: int) -> Normalisation:
        """Return pixel / 255 for all samples of a selection."""
        return cls(
            of_sample=np.zeros(samples, np.int64),
            factors=np.full((1, channels), 1 / 255, np.float32),
            summands=np.zeros((1, channels), np.float32),
        )

    def apply(
        self, images: UInt8Array, positions: IntArray, into: FloatArray | None = None
    ) -> FloatArray:
        """Normalize N images.

        Args:
            images: uint8, N x height x width x channels.
            positions: Their positions in the selection.
            into: Array of that shape to fill and return, with any strides; a new one by default.
        """
        if into is None:
            into = np.empty(images.shape, np.float32)
        # One image after the other: its floats are still in the processor's cache for the sum.
        for image, category, target in zip(images, self.of_sample[positions], into, strict=True):
            np.multiply(image, self.factors[category], out=target)
            target += self.summands[category]
        return into
