"""Read pixels by queries: images by runs of rows, masks for many samples at once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import duckdb
import numpy as np

from anomaly_assets.buffers import Buffers
from anomaly_assets.reader.batch import BoolArray, IntArray, UInt8Array
from anomaly_assets.reader.database import Database, DatabaseError, explained

_MOST_RUNS = 64
"""Limit for runs per statement: with more, planning takes longer than reading."""

_FETCHED_BYTES = 16 * 1024 * 1024
"""Size of one fetch. The C library maps new pages for each allocation above 32 MB, and page faults take
longer than filling the pages."""

_STRETCH = 8
"""Number of image fetches per mask fetch: a query for 1 mask takes as long as one for 2,048."""


class Pixels(Protocol):
    """Source of the pixels of a selection; can be pickled, and used by several threads.

    Attributes:
        samples_at_once: Best number of samples per read when all samples are read.
    """

    samples_at_once: int

    @property
    def threads(self) -> int:
        """Return the number of threads that read ahead; 0 if reading is about as fast as copying memory."""

    def images(self, positions: IntArray, into: UInt8Array | None = None) -> UInt8Array:
        """Return images, N x height x width x channels.

        Args:
            positions: N positions, in any order; duplicates are allowed.
            into: C-contiguous array to fill and return; a new one by default.
        """

    def masks(self, positions: IntArray, into: UInt8Array | None = None) -> UInt8Array:
        """Return masks, N x height x width; zeros for samples without a mask. See `images`."""

    def close(self) -> None:
        """Close files; nothing can be read afterwards."""


def read_ahead(
    pixels: Pixels,
    positions: IntArray,
    size: int,
    shape: tuple[int, int, int],
    memory: tuple[Buffers, Buffers],
) -> Iterator[tuple[IntArray, UInt8Array, UInt8Array]]:
    """Yield positions, images and masks of each batch; threads read ahead of the caller.

    Small batches of images are read several at a time, masks for even more samples.

    Args:
        pixels: Source of the pixels.
        positions: Positions of the samples, in the order to yield.
        size: Number of samples in a batch.
        shape: Height, width and channels.
        memory: Memory of images and of masks, for batches that are read without threads.
    """
    at_once = max(1, pixels.samples_at_once // size) * size
    if not pixels.threads:
        for start in range(0, len(positions), size):
            some = positions[start : start + size]
            yield (
                some,
                pixels.images(some, memory[0].array((len(some), *shape))),
                pixels.masks(some, memory[1].array((len(some), *shape[:2]))),
            )
        return
    pending: deque[tuple[int, Future[UInt8Array], Future[UInt8Array]]] = deque()
    pool = ThreadPoolExecutor(pixels.threads, thread_name_prefix="fetch")

    def batches() -> Iterator[tuple[IntArray, UInt8Array, UInt8Array]]:
        first, images, masks = pending.popleft()
        in_stretch = first % (at_once * _STRETCH)
        for start in range(0, len(images.result()), size):
            part = slice(start, start + size)
            of_masks = slice(in_stretch + start, in_stretch + start + size)
            yield positions[first:][part], images.result()[part], masks.result()[of_masks]

    try:
        for start in range(0, len(positions), at_once):
            if start % (at_once * _STRETCH) == 0:
                stretch = positions[start : start + at_once * _STRETCH]
                masks = pool.submit(pixels.masks, stretch)
            images = pool.submit(pixels.images, positions[start : start + at_once])
            pending.append((start, images, masks))
            if len(pending) > pixels.threads:
                yield from batches()
        while pending:
            yield from batches()
    finally:
        pool.shutdown(cancel_futures=True)


class DatabasePixels:
    """Pixels in a published database.

    Args:
        database: The published database; each reading process opens its own connection.
        rows: Row id in the table, one per sample.
        mask_from_file: bool, one per sample; True if it has a mask to fetch.
        shape: Height, width and channels.
        table: Table with the tensors.
    """

    # Measured: a second thread needs a third more processor time, for page faults, and saves no time.
    threads = 1

    def __init__(
        self,
        database: Database,
        rows: IntArray,
        mask_from_file: BoolArray,
        shape: tuple[int, int, int],
        table: str = "image_tensors",
    ) -> None:
        self._database = database
        self._rows = rows
        self._mask_from_file = mask_from_file
        self._shape = shape
        self._statements = _IMAGES.format(table=table), _MASKS.format(table=table)
        # DuckDB always reads the masks of 2,048 rows, even for one mask, and returns a copy.
        masks = min(int(mask_from_file.sum()), 2048)
        database.allow_memory(2 * masks * shape[0] * shape[1])
        self._masks_at_once = max(1, 2 * _FETCHED_BYTES // (shape[0] * shape[1]))
        self.samples_at_once = max(1, _FETCHED_BYTES // (shape[0] * shape[1] * shape[2]))

    def images(self, positions: IntArray, into: UInt8Array | None = None) -> UInt8Array:
        """Return images; see `Pixels`.

        Raises:
            DatabaseError: The database was closed or cannot be read.
        """
        rows, place = _sorted(self._rows[positions])
        images = into if place is None else None
        if images is None:
            images = np.empty((len(rows), *self._shape), np.uint8)
        with self._cursor() as cursor:
            for start in range(0, len(rows), self.samples_at_once):
                some = rows[start : start + self.samples_at_once]
                self._fetch_images(cursor, some, images[start : start + len(some)])
        return images if place is None else gathered(images, place, into)

    def masks(self, positions: IntArray, into: UInt8Array | None = None) -> UInt8Array:
        """Return masks; see `Pixels`, and `images` for the errors."""
        height, width, _ = self._shape
        masks = empty_masks(self._mask_from_file[positions], (height, width), into)
        from_file = np.flatnonzero(self._mask_from_file[positions])
        with self._cursor() as cursor:
            for start in range(0, len(from_file), self._masks_at_once):
                some = from_file[start : start + self._masks_at_once]
                rows, place = _sorted(self._rows[positions[some]])
                bounds = [int(rows[0]), int(rows[-1]), rows.tolist()]
                cursor.execute(self._statements[1], bounds)
                fetched = np.empty((len(rows), height, width), np.uint8)
                count = 0
                while (found := cursor.fetchone()) is not None:
                    fetched[np.searchsorted(rows, found[0])] = pixels_of(found[1], (height, width))
                    count += 1
                refuse_missing(len(rows) - count, self._database.location)
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
        """Fill `images` with the images of rows in ascending order."""
        last_of_run = np.flatnonzero(np.diff(rows) != 1)
        firsts = rows[np.concatenate(([0], last_of_run + 1))].tolist()
        lasts = rows[np.concatenate((last_of_run, [len(rows) - 1]))].tolist()
        filled = 0
        for start in range(0, len(firsts), _MOST_RUNS):
            runs = [*zip(firsts, lasts, strict=True)][start : start + _MOST_RUNS]
            statement = " UNION ALL ".join([self._statements[0]] * len(runs))
            bounds = [bound for run in runs for bound in run]
            filled += _fill(images[filled:], cursor.execute(statement, bounds))
        refuse_missing(len(rows) - filled, self._database.location)


def gathered(arrays: UInt8Array, places: IntArray, into: UInt8Array | None = None) -> UInt8Array:
    """Copy arrays, in any order, into a new one or into `into`."""
    if into is None:
        into = np.empty((len(places), *arrays.shape[1:]), np.uint8)
    # With the default mode, NumPy would copy to a temporary array first. The places are known to be valid.
    return np.take(arrays, places, axis=0, out=into, mode="clip")


def empty_masks(
    from_file: BoolArray, shape: tuple[int, int], into: UInt8Array | None
) -> UInt8Array:
    """Return masks with zeros for samples without a mask; the others must be filled.

    Args:
        from_file: bool, N; the sample has a mask.
        shape: Height and width.
        into: Array to use; a new one by default.
    """
    if into is None:
        return np.zeros((len(from_file), *shape), np.uint8)
    into[~from_file] = 0
    return into


def _sorted(rows: IntArray) -> tuple[IntArray, IntArray | None]:
    """Return distinct rows, ascending, and the index of each of `rows` among them; None if equal."""
    if (np.diff(rows) > 0).all():
        return rows, None
    distinct, place = np.unique(rows, return_inverse=True)
    return distinct, place


def _fill(arrays: UInt8Array, result: duckdb.DuckDBPyConnection) -> int:
    """Copy the blobs of a result into arrays, and return their number.

    Rows are fetched one by one, because Arrow would copy each blob twice and is slower.
    """
    count = 0
    while (row := result.fetchone()) is not None:
        arrays[count] = pixels_of(row[0], arrays.shape[1:])
        count += 1
    return count


def refuse_missing(count: int, location: str) -> None:
    """Raise if rows were not found: their arrays would contain uninitialized memory.

    Args:
        count: Number of missing rows.
        location: The database, for the message.

    Raises:
        DatabaseError: Rows are missing.
    """
    if count:
        raise DatabaseError(
            f"{location} has {count} rows less than when these samples were opened. Open them again."
        )


def pixels_of(blob: bytes, shape: tuple[int, ...]) -> UInt8Array:
    """Return a blob as an array.

    Raises:
        DatabaseError: The blob has another size.
    """
    try:
        return np.frombuffer(blob, np.uint8).reshape(shape)
    except ValueError:
        raise DatabaseError(
            f"A tensor has {len(blob)} bytes instead of {math.prod(shape)}: the database is damaged. "
            "Delete it and run `make materialize`, which publishes a new one."
        ) from None


# Ranges of adjacent rows: DuckDB skips blocks outside a range, but scans every row for a list.
_IMAGES = "SELECT image_tensor FROM {table} WHERE rowid BETWEEN ? AND ?"
# DuckDB reads a column with nulls in vectors of 2,048 rows.
_MASKS = """
SELECT rowid, mask_tensor
FROM {table}
WHERE rowid BETWEEN ? AND ? AND rowid IN (SELECT unnest(?))
"""
