"""Read samples as NumPy batches: what a trainer imports.

Light on purpose: DuckDB, Arrow and NumPy, neither Dagster nor dlt. The database is opened read-only, and
only the batch at hand is in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

DEFAULT_DATABASE = Path("data/anomaly.duckdb")


@dataclass(frozen=True)
class Batch:
    """Some samples.

    Attributes:
        image_ids: N ids.
        images: uint8, N x height x width x channels; a read-only view of the fetched bytes.
        masks: uint8 0/1, N x height x width; zeros where there is no mask.
        has_mask: bool, N; tells an empty mask from a missing one.
        label_indices: int64, N; 0 good, 1 anomalous.
    """

    image_ids: list[str]
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    has_mask: npt.NDArray[np.bool_]
    label_indices: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.image_ids)


class Samples:
    """A selection of samples, in the order in which they are stored."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, where: dict[str, str]) -> None:
        self._connection = connection
        conditions = "".join(f" AND images.{column} = ${column}" for column in where)
        rows = connection.execute(_SELECTED + conditions + " ORDER BY ALL", where).fetchall()
        if not rows:
            raise LookupError(f"No sample matches {where}. {_what_exists(connection)}")
        self._rows = np.array([row[0] for row in rows], np.int64)
        self._ids: list[str] = [row[1] for row in rows]
        self._labels = np.array([row[2] for row in rows], np.int64)
        self._has_mask = np.array([row[3] for row in rows], np.bool_)
        self._shape = (rows[0][4], rows[0][5], rows[0][6])
        self._position = {image_id: position for position, image_id in enumerate(self._ids)}

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every sample."""
        return self._shape

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples, `size` at a time; the last batch may be smaller.

        Two threads fetch ahead of the caller: at most four batches, and the masks of about 512
        samples, are in memory.
        """
        pending: deque[Future[Batch]] = deque()
        stretch = max(size, _STRETCH - _STRETCH % size)
        with ThreadPoolExecutor(_FETCHING_THREADS, thread_name_prefix="fetch") as pool:
            for start in range(0, len(self), size):
                positions = np.arange(start, min(start + size, len(self)))
                if start % stretch == 0:
                    whole = np.arange(start, min(start + stretch, len(self)))
                    masks = pool.submit(self._masks, whole)
                    first = start
                seen = int(self._has_mask[first:start].sum())
                pending.append(pool.submit(self._batch, positions, masks, seen))
                if len(pending) > _FETCHING_THREADS:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def take(self, image_ids: Sequence[str]) -> Batch:
        """The samples with these ids, in the order asked for; an id may come more than once.

        Raises:
            KeyError: One of them is not in the selection.
            ValueError: No id was given.
        """
        if not image_ids:
            raise ValueError("Give at least one image_id.")
        positions = np.array([self._position[image_id] for image_id in image_ids], np.int64)
        distinct, inverse = np.unique(positions, return_inverse=True)
        batch = self._batch(distinct)
        if np.array_equal(distinct, positions):
            return batch
        return Batch(
            list(image_ids),
            batch.images[inverse],
            batch.masks[inverse],
            batch.has_mask[inverse],
            batch.label_indices[inverse],
        )

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def _masks(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """The masks of those samples that have one, M x height x width."""
        height, width, _ = self._shape
        rows = self._rows[positions[self._has_mask[positions]]]
        if not len(rows):
            return np.empty((0, height, width), np.uint8)
        with self._connection.cursor() as cursor:
            bounds = [int(rows[0]), int(rows[-1]), rows.tolist()]
            table = cursor.execute(_MASKS, bounds).to_arrow_table()
        return _bytes_of(table.sort_by("row")).reshape(-1, height, width)

    def _batch(
        self,
        positions: npt.NDArray[np.int64],
        masks_of_stretch: Future[npt.NDArray[np.uint8]] | None = None,
        seen: int = 0,
    ) -> Batch:
        """The samples at these positions, with masks out of those fetched for a stretch of samples.

        Args:
            positions: Ascending.
            masks_of_stretch: Masks of a stretch that these positions are part of.
            seen: How many of them belong to samples before these.
        """
        height, width, channels = self._shape
        with self._connection.cursor() as cursor:
            images = _images(cursor, self._rows[positions])
        has_mask = self._has_mask[positions]
        masks = np.zeros((len(positions), height, width), np.uint8)
        if has_mask.any():
            fetched = masks_of_stretch.result() if masks_of_stretch else self._masks(positions)
            masks[has_mask] = fetched[seen : seen + int(has_mask.sum())]
        return Batch(
            [self._ids[position] for position in positions],
            images.reshape(len(positions), height, width, channels),
            masks,
            has_mask,
            self._labels[positions],
        )


def _images(
    cursor: duckdb.DuckDBPyConnection, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """The image tensors of some rows, in the order of `rows` (ascending), end to end.

    Asked for in runs of neighbours, because DuckDB skips what lies outside a range of rows, and looks at
    every row for a list of them.
    """
    last_of_run = np.flatnonzero(np.diff(rows) != 1)
    firsts = rows[np.concatenate(([0], last_of_run + 1))].tolist()
    lasts = rows[np.concatenate((last_of_run, [len(rows) - 1]))].tolist()
    blobs = []
    for start in range(0, len(firsts), _MOST_RUNS):
        runs = [*zip(firsts, lasts, strict=True)][start : start + _MOST_RUNS]
        statement = " UNION ALL ".join([_IMAGES] * len(runs))
        bounds = [bound for run in runs for bound in run]
        blobs.append(_bytes_of(cursor.execute(statement, bounds).to_arrow_table()))
    return blobs[0] if len(blobs) == 1 else np.concatenate(blobs)


def open_samples(
    database: str | Path | None = None,
    *,
    source_dataset: str | None = None,
    category: str | None = None,
    split: str | None = None,
    label: str | None = None,
) -> Samples:
    """Open the samples of a published database.

    Args:
        database: The DuckDB file; `data/anomaly.duckdb` by default.
        source_dataset: Only `mvtec_ad` or `dagm_2007`.
        category: Only this category.
        split: Only `train` or `test`.
        label: Only `good` or `anomalous`.

    Raises:
        FileNotFoundError: There is no such database.
        LookupError: No sample matches; the message lists the categories that exist.
    """
    path = Path(database or DEFAULT_DATABASE)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: run `make materialize`, or name the file.")
    wanted = {
        "source_dataset": source_dataset,
        "category": category,
        "split": split,
        "label": label,
    }
    connection = duckdb.connect(str(path), read_only=True)
    try:
        # One thread per fetch: two fetches run side by side, and each keeps its order.
        connection.execute("SET threads = 1")
        return Samples(connection, {name: value for name, value in wanted.items() if value})
    except BaseException:
        connection.close()
        raise


def _bytes_of(fetched: Any) -> npt.NDArray[np.uint8]:
    """The values of the column `blob`, end to end; without a copy where Arrow has it in one piece."""
    column = fetched["blob"].combine_chunks()
    column = column.chunk(0) if hasattr(column, "chunk") else column
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
    return np.frombuffer(column.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]


def _what_exists(connection: duckdb.DuckDBPyConnection) -> str:
    rows = connection.execute(
        "SELECT source_dataset, string_agg(DISTINCT category, ', ' ORDER BY category) "
        "FROM main.images GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return "Categories: " + "; ".join(f"{name}: {categories}" for name, categories in rows) + "."


_FETCHING_THREADS = 2

_SELECTED = """
SELECT
    tensors.rowid, images.image_id, images.label_index,
    tensors.mask_area_fraction IS NOT NULL,
    tensors.height, tensors.width, tensors.channels
FROM main.image_tensors AS tensors
JOIN main.images AS images ON images.image_id = tensors.image_id
WHERE true
"""
_IMAGES = "SELECT image_tensor AS blob FROM main.image_tensors WHERE rowid BETWEEN ? AND ?"
_MASKS = """
SELECT rowid AS row, mask_tensor AS blob
FROM main.image_tensors
WHERE rowid BETWEEN ? AND ? AND rowid IN (SELECT unnest(?))
"""
"""A column with nulls is read whole, 2,048 rows at a time, so that few and long queries are best."""
_STRETCH = 512
"""Samples whose masks are fetched at once: 34 MB at most at the default size."""
_MOST_RUNS = 64
"""Runs per statement: planning takes longer than reading beyond that."""
