"""How pixels come out of the database: images by runs of rows, masks for many samples at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import duckdb
import numpy as np

from anomaly_assets.reader.batch import BoolArray, IntArray, UInt8Array
from anomaly_assets.reader.connect import Database, explained

MOST_RUNS = 64
"""Runs per statement: planning takes longer than reading beyond that."""

_THREADS = 2
"""Which read ahead, one fetch each."""

FETCHED_BYTES = 64 * 1024 * 1024
"""About how much is fetched at once: statements cost the same whatever they give."""


class Pixels(Protocol):
    """Where the pixels of a selection are read from; can be pickled, and used by several threads.

    Attributes:
        samples_at_once: How many samples are best read at once when all of them are.
    """

    samples_at_once: int

    def images(self, positions: IntArray) -> UInt8Array:
        """A new array, N x height x width x channels.

        Args:
            positions: N of them, in any order; one may come more than once.
        """

    def masks(self, positions: IntArray) -> UInt8Array:
        """A new array, N x height x width; zeros where there is no mask."""

    def close(self) -> None:
        """Let go of files; nothing can be read afterwards."""


def read_ahead(
    pixels: Pixels, positions: IntArray, size: int
) -> Iterator[tuple[IntArray, UInt8Array, UInt8Array]]:
    """Positions, images and masks of one batch after the other, which threads read ahead of the caller.

    Args:
        pixels: Where to read.
        positions: Which samples, in which order.
        size: Number of samples in a batch.
    """
    at_once = max(1, pixels.samples_at_once // size) * size
    pending: deque[tuple[IntArray, Future[UInt8Array], Future[UInt8Array]]] = deque()
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch")
    try:
        for start in range(0, len(positions), at_once):
            some = positions[start : start + at_once]
            images = pool.submit(pixels.images, some)
            pending.append((some, images, pool.submit(pixels.masks, some)))
            if len(pending) > _THREADS:
                yield from _batches(*pending.popleft(), size)
        while pending:
            yield from _batches(*pending.popleft(), size)
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(
    positions: IntArray, images: Future[UInt8Array], masks: Future[UInt8Array], size: int
) -> Iterator[tuple[IntArray, UInt8Array, UInt8Array]]:
    for start in range(0, len(positions), size):
        part = slice(start, start + size)
        yield positions[part], images.result()[part], masks.result()[part]


class DatabasePixels:
    """Pixels in a published database.

    Args:
        database: Opened again in each process that fetches.
        rows: Row of `image_tensors`, one per sample.
        mask_from_file: Which samples have a mask to fetch.
        shape: Height, width and channels.
    """

    def __init__(
        self,
        database: Database,
        rows: IntArray,
        mask_from_file: BoolArray,
        shape: tuple[int, int, int],
    ) -> None:
        self._database = database
        self._rows = rows
        self._mask_from_file = mask_from_file
        self._shape = shape
        self.samples_at_once = max(1, FETCHED_BYTES // (shape[0] * shape[1] * (shape[2] + 1)))

    def images(self, positions: IntArray) -> UInt8Array:
        """See `Pixels`.

        Raises:
            DatabaseError: The database was closed or cannot be read.
        """
        rows, place = _sorted(self._rows[positions])
        images = np.empty((len(rows), *self._shape), np.uint8)
        with self._cursor() as cursor:
            for start in range(0, len(rows), self.samples_at_once):
                some = rows[start : start + self.samples_at_once]
                self._fetch_images(cursor, some, images[start : start + len(some)])
        return images if place is None else images[place]

    def masks(self, positions: IntArray) -> UInt8Array:
        """See `Pixels`; errors are those of `images`."""
        height, width, _ = self._shape
        masks = np.zeros((len(positions), height, width), np.uint8)
        from_file = np.flatnonzero(self._mask_from_file[positions])
        with self._cursor() as cursor:
            for start in range(0, len(from_file), self.samples_at_once):
                some = from_file[start : start + self.samples_at_once]
                rows, place = _sorted(self._rows[positions[some]])
                bounds = [int(rows[0]), int(rows[-1]), rows.tolist()]
                found = cursor.execute(_MASKS, bounds).to_arrow_table().sort_by("row")
                fetched = _bytes_of(found).reshape(-1, height, width)
                masks[some] = fetched if place is None else fetched[place]
        return masks

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with explained(self._database.location), self._database.cursor() as cursor:
            yield cursor

    def _fetch_images(
        self, cursor: duckdb.DuckDBPyConnection, rows: IntArray, images: UInt8Array
    ) -> None:
        """Fill `images` with those of some rows, which ascend."""
        last_of_run = np.flatnonzero(np.diff(rows) != 1)
        firsts = rows[np.concatenate(([0], last_of_run + 1))].tolist()
        lasts = rows[np.concatenate((last_of_run, [len(rows) - 1]))].tolist()
        filled = 0
        for start in range(0, len(firsts), MOST_RUNS):
            runs = [*zip(firsts, lasts, strict=True)][start : start + MOST_RUNS]
            statement = " UNION ALL ".join([_IMAGES] * len(runs))
            bounds = [bound for run in runs for bound in run]
            fetched = _bytes_of(cursor.execute(statement, bounds).to_arrow_table())
            count = len(fetched) // images[0].size
            images[filled : filled + count] = fetched.reshape(-1, *self._shape)
            filled += count


def _sorted(rows: IntArray) -> tuple[IntArray, IntArray | None]:
    """The distinct rows in ascending order, and where each of `rows` is among them; None: as they are."""
    if (np.diff(rows) > 0).all():
        return rows, None
    distinct, place = np.unique(rows, return_inverse=True)
    return distinct, place


def _bytes_of(fetched: Any) -> UInt8Array:
    """The values of the column `blob`, end to end; without a copy where Arrow has it in one piece."""
    column = fetched["blob"].combine_chunks()
    column = column.chunk(0) if hasattr(column, "chunk") else column
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
    return np.frombuffer(column.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]


# Runs of neighbours, because DuckDB skips what lies outside a range of rows, and looks at every row
# for a list of them.
_IMAGES = "SELECT image_tensor AS blob FROM image_tensors WHERE rowid BETWEEN ? AND ?"
_MASKS = """
SELECT rowid AS row, mask_tensor AS blob
FROM image_tensors
WHERE rowid BETWEEN ? AND ? AND rowid IN (SELECT unnest(?))
"""
"""A column with nulls is read whole, 2,048 rows at a time, so that few and long queries are best."""
