"""Which samples are exported, and how they are read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from anomaly_assets.reader import open_samples

Values = str | Sequence[str] | None
"""One value of a column, several of them, or no matter which."""

_BATCH_BYTES = 16 * 1024 * 1024
_LARGEST_BATCH = 64


@dataclass(frozen=True)
class Selection:
    """What `open_samples` takes; see there."""

    database: str | Path | None = None
    source_dataset: Values = None
    category: Values = None
    split: Values = None
    label: Values = None
    where: str | None = None
    snapshot: str | None = None

    def filters(self) -> dict[str, list[str] | str]:
        """What restricts the samples, in a form that goes into JSON."""
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
        return named | ({"where": self.where} if self.where else {})


@dataclass(frozen=True)
class Part:
    """Some of the selected samples.

    Attributes:
        start: Position of the first one in `Source.table`.
        images: uint8, N x height x width x channels.
        masks: uint8 0/1, N x height x width; zeros where there was no mask file.
    """

    start: int
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Source:
    """The selected samples of one snapshot.

    Attributes:
        table: The columns of the view `samples` without tensors, a row per sample.
        mask_from_file: bool, a value per sample; there is a ground-truth mask.
        shape: Height, width and channels of every sample.
        snapshot_id: The snapshot they are read from; None where nothing was ever published.
    """

    table: pa.Table
    mask_from_file: npt.NDArray[np.bool_]
    shape: tuple[int, int, int]
    snapshot_id: str | None
    _batches: Callable[[int], Iterator[Any]]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def parts(self) -> Iterator[Part]:
        """All samples in the order of `table`, about 16 MB at a time."""
        height, width, channels = self.shape
        size = max(1, min(_LARGEST_BATCH, _BATCH_BYTES // (height * width * (channels + 1))))
        start = 0
        for batch in self._batches(size):
            yield Part(start, batch.images, batch.masks)
            start += len(batch)


@contextmanager
def opened(selection: Selection) -> Iterator[Source]:
    """The selected samples; errors are those of `open_samples`."""
    if "where" not in inspect.signature(open_samples).parameters:
        yield _source_of_first_reader(selection)
        return
    options: dict[str, Any] = {**vars(selection)}
    samples: Any = open_samples(options.pop("database"), **options)
    try:
        yield _source(samples.table, samples.shape, samples.snapshot_id, samples.batches)
    finally:
        samples.close()


def _source(
    table: pa.Table,
    shape: tuple[int, int, int],
    snapshot_id: str | None,
    batches: Callable[[int], Iterator[Any]],
) -> Source:
    mask_from_file = np.asarray(table["mask_area_fraction"].is_valid())
    return Source(table, mask_from_file, shape, snapshot_id, batches)


# All below stands in for what `open_samples` does not do yet: a condition, several values, metadata.


def _source_of_first_reader(selection: Selection) -> Source:
    filters = selection.filters()
    where = filters.pop("where", "true")
    single = {name: values[0] for name, values in filters.items() if len(values) == 1}
    samples: Any = open_samples(selection.database, **single)
    path = str(selection.database or "data/anomaly.duckdb")
    with duckdb.connect(path, read_only=True) as connection:
        newest = "SELECT snapshot_id FROM snapshots ORDER BY published_at DESC LIMIT 1"
        (snapshot_id,) = connection.execute(newest).fetchone() or (None,)
        statement = (
            f"SELECT * EXCLUDE (image_tensor, mask_tensor) FROM main.samples WHERE ({where})"  # noqa: S608
        )
        for name in filters:
            statement += f" AND list_contains(${name}, {name})"
        try:
            found = connection.execute(statement, filters).to_arrow_table()
        except duckdb.Error as error:
            raise ValueError(f"where={where!r} is no condition: {error}") from error
    if selection.snapshot and selection.snapshot != snapshot_id:
        raise LookupError(f"There is no snapshot {selection.snapshot}, only {snapshot_id}.")
    row_of = {image_id: row for row, image_id in enumerate(found["image_id"].to_pylist())}
    table = found.take([row_of[image_id] for image_id in samples._ids if image_id in row_of])
    if not table.num_rows:
        raise LookupError(f"No sample matches {selection.filters()}.")

    def batches(size: int) -> Iterator[Any]:
        for batch in samples.batches(size):
            kept = np.array([image_id in row_of for image_id in batch.image_ids])
            if kept.any():
                images, masks = batch.images[kept], batch.masks[kept]
                yield _Kept(images, masks)

    return _source(table, samples.shape, snapshot_id, batches)


@dataclass(frozen=True)
class _Kept:
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)
