"""Read pixels directly from the blocks of a published file, or with DuckDB if the blocks are unknown."""

from __future__ import annotations

import os
from dataclasses import dataclass

import duckdb
import numpy as np

from anomaly_assets.reader.batch import BoolArray, IntArray, UInt8Array
from anomaly_assets.reader.database import Database
from anomaly_assets.reader.pixels.duckdb_blocks import (
    StoredBlobs,
    UnexpectedLayoutError,
    find_blobs,
)
from anomaly_assets.reader.pixels.query import DatabasePixels, empty_masks
from anomaly_assets.warehouse.file.pinned_file import OpenFile


class StoredPixels:
    """Pixels in a published file; see `Pixels`.

    DuckDB copies a blob out of its blocks and then into a Python object. Reading blocks is one copy, and
    leaves nothing in memory. If anything is not as expected, DuckDB reads instead, and reports errors.

    Args:
        database: The database; each process that reads opens it.
        rows: Row id in the table, one per sample.
        mask_from_file: bool, one per sample; True if it has a mask to read.
        shape: Height, width and channels.
        table: Table with the tensors.
    """

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
        self._table = table
        self._asked = DatabasePixels(database, rows, mask_from_file, shape, table)
        self.samples_at_once = self._asked.samples_at_once
        self._found: _Found | None = None
        self._trusted = True

    @property
    def threads(self) -> int:
        """Return the number of threads; see `Pixels`."""
        with self._database.pinned() as file:
            found = self._places(file)
        known = (
            found is not None
            and found.images.have(self._rows)
            and found.masks.have(self._rows[self._mask_from_file])
        )
        return 0 if known else self._asked.threads

    def images(self, positions: IntArray, into: UInt8Array | None = None) -> UInt8Array:
        """Return images; see `Pixels`.

        Raises:
            DatabaseError: The database was closed, was written to, or cannot be read.
        """
        with self._database.pinned() as file:
            found, rows = self._places(file), self._rows[positions]
            if into is None:
                into = np.empty((len(rows), *self._shape), np.uint8)
            if file and found and self._read(file, found.images, rows, into, np.arange(len(rows))):
                return into
            return self._asked.images(positions, into)

    def masks(self, positions: IntArray, into: UInt8Array | None = None) -> UInt8Array:
        """Return masks; see `Pixels`, and `images` for the errors."""
        with self._database.pinned() as file:
            found, from_file = self._places(file), self._mask_from_file[positions]
            places = np.flatnonzero(from_file)
            masks = empty_masks(from_file, self._shape[:2], into)
            rows = self._rows[positions[places]]
            if file and found and self._read(file, found.masks, rows, masks, places):
                return masks
            return self._asked.masks(positions, masks)

    def close(self) -> None:
        """Close the database, and the file once no thread is reading from it."""
        self._database.close()
        self._found = None

    def _read(
        self, file: OpenFile, blobs: StoredBlobs, rows: IntArray, into: UInt8Array, places: IntArray
    ) -> bool:
        """Read blobs from their blocks; return False if DuckDB has to read them."""
        if not blobs.have(rows):
            return False
        try:
            blobs.read(file.descriptor, rows, into, places)
        except (UnexpectedLayoutError, OSError):
            self._trusted = False
        return self._trusted

    def _places(self, file: OpenFile | None) -> _Found | None:
        """Return the positions of the blobs in this file; None if DuckDB has to read them.

        The positions are valid in each process that has the same file open, so workers do not search again.
        """
        found = self._found  # local copy: another thread may close the samples meanwhile
        if file is None or not self._trusted:
            return None
        if found is None or found.state != file.state:
            found = self._found = self._find(file)
            self._trusted = found is not None
        return found

    def _find(self, file: OpenFile) -> _Found | None:
        height, width, channels = self._shape
        opened = self._database.opened()
        held = opened.file
        # Without a path to the descriptor, this could be another file than the one DuckDB has open.
        if held is None or not held.has_address() or not hasattr(os, "preadv"):
            return None
        if held.state != file.state:
            return None
        try:
            with opened.cursor() as cursor:
                size = height * width * channels
                place = cursor, file.descriptor
                images = find_blobs(*place, "image_tensor", size, self._table)
                masks = find_blobs(*place, "mask_tensor", height * width, self._table)
        except (UnexpectedLayoutError, OSError, duckdb.Error):
            return None
        return _Found(file.state, images, masks)


@dataclass(frozen=True)
class _Found:
    state: tuple[int, int, int, int]
    images: StoredBlobs
    masks: StoredBlobs
