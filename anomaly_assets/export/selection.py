"""Select the samples to export, and read them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from anomaly_assets.reader import open_samples
from anomaly_assets.reader.open import UnknownLabelWarning

Values = str | Sequence[str] | None
"""One value of a column, several values, or None for any value."""

_BATCH_BYTES = 16 * 1024 * 1024
_LARGEST_BATCH = 64


@dataclass(frozen=True)
class Selection:
    """Arguments of `open_samples`; see there."""

    database: str | Path | None = None
    source_dataset: Values = None
    category: Values = None
    split: Values = None
    label: Values = None
    where: str | None = None
    snapshot: str | None = None
    include_unknown: bool = False
    size: int | tuple[int, int] | None = None
    recipe: str | None = None

    def filters(self) -> dict[str, list[str] | str]:
        """Return the filters in a form that can be stored as JSON."""
        given = {
            "source_dataset": self.source_dataset,
            "category": self.category,
            "split": self.split,
            "label": self.label,
        }
        named: dict[str, list[str] | str] = {
            name: [value] if isinstance(value, str) else list(value)
            for name, value in given.items()
            if value
        }
        if self.where:
            named["where"] = self.where
        return named


@dataclass(frozen=True)
class Part:
    """Consecutive samples of a selection.

    Attributes:
        start: Position of the first one in `Source.table`.
        images: uint8, N x height x width x channels.
        masks: uint8 0/1, N x height x width; zeros without a mask file.
    """

    start: int
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Source:
    """Selected samples of one snapshot.

    Attributes:
        table: The columns of the view `samples` without tensors, a row per sample.
        mask_from_file: bool, a value per sample; True if there is a ground-truth mask.
        shape: Height, width and channels of every sample.
        recipe: Name of the recipe of their tensors.
        snapshot_id: The snapshot they are read from; None if nothing was ever published.
        unknown: Number of matching samples that are left out because their label is unknown.
    """

    table: pa.Table
    mask_from_file: npt.NDArray[np.bool_]
    shape: tuple[int, int, int]
    recipe: str
    snapshot_id: str | None
    unknown: int
    _batches: Callable[[int], Iterator[Any]]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def parts(self) -> Iterator[Part]:
        """Yield all samples in the order of `table`, about 16 MB at a time."""
        height, width, channels = self.shape
        size = max(1, min(_LARGEST_BATCH, _BATCH_BYTES // (height * width * (channels + 1))))
        start = 0
        for batch in self._batches(size):
            yield Part(start, batch.images, batch.masks)
            start += len(batch)


@contextmanager
def opened(selection: Selection) -> Iterator[Source]:
    """Open the selected samples; raises the errors of `open_samples`."""
    options: dict[str, Any] = {**vars(selection)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownLabelWarning)  # the export counts them
        samples = open_samples(options.pop("database"), **options)
    with samples:
        yield Source(
            samples.table,
            np.asarray(samples.table["mask_area_fraction"].is_valid()),
            samples.shape,
            samples.recipe,
            samples.snapshot_id,
            samples.unknown_left_out,
            samples.batches,
        )
