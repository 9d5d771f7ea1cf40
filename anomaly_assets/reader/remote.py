"""Reading from a lake or from MotherDuck: what was published there, and pixels by their ids.

A range of ids opens the one file of a lake that holds them, a range of row ids all of them; and every
statement asks the catalogue, so that many samples are asked for at once (docs/decisions/0007).
"""

from __future__ import annotations

import os
from typing import Any

import duckdb
import numpy as np

from anomaly_assets.reader.batch import BoolArray, IntArray, UInt8Array
from anomaly_assets.reader.connect import Database, DatabaseError, explained
from anomaly_assets.warehouse.base import WarehouseError
from anomaly_assets.warehouse.lake.connection import connect_lake
from anomaly_assets.warehouse.locations import LakeLocation, MotherDuckLocation, parse_location

_FETCHED_BYTES = 64 * 1024 * 1024
_PARQUET_BYTES = 1024 * 1024 * 1024


def connect_remote(location: str, *, snapshot: str | None = None) -> duckdb.DuckDBPyConnection:
    """Open what is published on a lake or in MotherDuck, read-only, with its tables current.

    Args:
        location: `ducklake:postgres:…` or `md:NAME`.
        snapshot: Id of the snapshot to open instead of the newest, or the beginning of one.

    Raises:
        LookupError: Nothing is published, or not this snapshot; the message names those that exist.
        DatabaseError: It cannot be reached; the message has no password in it.
        LocationError: The location makes no sense.
    """
    try:
        parsed = parse_location(location)
        if isinstance(parsed, MotherDuckLocation):
            if snapshot is not None:
                raise DatabaseError(f"{parsed.name}: snapshots are kept on lakes and beside files.")
            from anomaly_assets.warehouse.motherduck import connect_motherduck

            return connect_motherduck(parsed)
        connection = connect_lake(location, snapshot=snapshot)
    except WarehouseError as error:
        raise DatabaseError(str(error)) from None
    connection.execute("SET threads = 1")  # others would only take its memory
    return connection


class RemoteDatabase(Database):
    """One snapshot of a lake, or a database of MotherDuck; see `Database`."""

    def __init__(self, location: str, snapshot: str | None = None) -> None:
        parsed = parse_location(location)
        assert isinstance(parsed, LakeLocation | MotherDuckLocation)
        self._address = location
        self._is_lake = isinstance(parsed, LakeLocation)
        self._open_with(connect_remote(location, snapshot=snapshot), parsed.name)

    def close(self) -> None:
        """Close it in this process."""
        if self._process == os.getpid() and self._connection is not None:
            self._connection.close()
            self._connection = None

    def _again(self) -> duckdb.DuckDBPyConnection:
        return connect_remote(self._address, snapshot=self.snapshot_id if self._is_lake else None)


class RemotePixels:
    """Pixels that are asked for by id; see `Pixels`.

    Args:
        database: Opened again in each process that fetches.
        image_ids: Id of each sample.
        mask_from_file: Which samples have a mask to fetch.
        shape: Height, width and channels.
    """

    threads = 2

    def __init__(
        self,
        database: Database,
        image_ids: Any,
        mask_from_file: BoolArray,
        shape: tuple[int, int, int],
    ) -> None:
        self._database = database
        self._ids = image_ids
        self._mask_from_file = mask_from_file
        self._shape = shape
        # A part of a Parquet file that holds a picture is read whole: 100 MB, twice over, in two threads.
        database.allow_memory(_PARQUET_BYTES)
        self.samples_at_once = max(1, _FETCHED_BYTES // (shape[0] * shape[1] * shape[2]))

    def images(self, positions: IntArray) -> UInt8Array:
        """See `Pixels`.

        Raises:
            DatabaseError: The database was closed or cannot be read.
        """
        images = np.empty((len(positions), *self._shape), np.uint8)
        self._fetch(_IMAGES, positions, images, np.arange(len(positions)))
        return images

    def masks(self, positions: IntArray) -> UInt8Array:
        """See `Pixels`; errors are those of `images`."""
        masks = np.zeros((len(positions), *self._shape[:2]), np.uint8)
        self._fetch(_MASKS, positions, masks, np.flatnonzero(self._mask_from_file[positions]))
        return masks

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _fetch(
        self, statement: str, positions: IntArray, arrays: UInt8Array, wanted: IntArray
    ) -> None:
        """Fill those places of `arrays` that are wanted, whatever order the rows come in."""
        with explained(self._database.location), self._database.cursor() as cursor:
            for start in range(0, len(wanted), self.samples_at_once):
                places: dict[str, list[int]] = {}
                for place in wanted[start : start + self.samples_at_once].tolist():
                    image_id = self._ids[int(positions[place])].as_py()
                    places.setdefault(image_id, []).append(place)
                marks = ", ".join("?" * len(places))
                ids = [min(places), max(places), *places]
                cursor.execute(statement.replace("<ids>", marks), ids)
                while (row := cursor.fetchone()) is not None:
                    pixels = np.frombuffer(row[1], np.uint8).reshape(arrays.shape[1:])
                    for place in places[row[0]]:
                        arrays[place] = pixels


_IMAGES = """
SELECT image_id, image_tensor FROM image_tensors
WHERE image_id BETWEEN ? AND ? AND image_id IN (<ids>)
"""
_MASKS = _IMAGES.replace("image_tensor FROM", "mask_tensor FROM")
