"""Read from a lake or from MotherDuck: published snapshots, and pixels by image id.

A query for a range of image ids opens only the file of the lake that contains them; one for row ids would
open all files. Every statement queries the catalogue, so many samples are fetched by one statement
(docs/decisions/0007).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np

from anomaly_assets.errors import WarehouseError
from anomaly_assets.locations import LakeLocation, MotherDuckLocation, parse_location
from anomaly_assets.reader.batch import BoolArray, IntArray, UInt8Array
from anomaly_assets.reader.database import Database, DatabaseError, explained, newest_id
from anomaly_assets.reader.pixels.query import empty_masks, pixels_of, refuse_missing
from anomaly_assets.warehouse.lake.connect import open_published
from anomaly_assets.warehouse.open_published import Opened

_FETCHED_BYTES = 64 * 1024 * 1024
_PARQUET_BYTES = 1024 * 1024 * 1024


def connect_remote(location: str, *, snapshot: str | None = None) -> tuple[Opened, str | None]:
    """Open the published database of a lake or of MotherDuck, read-only, with its tables in scope.

    Args:
        location: `ducklake:postgres:…` or `md:NAME`.
        snapshot: Id of the snapshot to open instead of the newest, or the beginning of one.

    Returns:
        The database, and the id of its snapshot, with which it can be reopened; None for MotherDuck.

    Raises:
        LookupError: Nothing is published, or not this snapshot; the message lists the existing ones.
        DatabaseError: The database cannot be reached; the message contains no password.
        LocationError: The location is malformed.
    """
    parsed = parse_location(location)
    try:
        if isinstance(parsed, LakeLocation):
            connection, published = open_published(parsed, "published", snapshot=snapshot)
            opened, snapshot_id = Opened(connection, None), published.snapshot_id
        else:
            assert isinstance(parsed, MotherDuckLocation)
            if snapshot is not None:
                raise DatabaseError(
                    f"{parsed.name}: MotherDuck keeps no older snapshots. Omit `snapshot`, or open a lake "
                    "or a published file."
                )
            from anomaly_assets.warehouse.motherduck.warehouse import connect_motherduck

            opened, snapshot_id = Opened(connect_motherduck(parsed), None, parsed.database), None
    except WarehouseError as error:
        raise DatabaseError(str(error)) from error.__cause__
    opened.connection.execute("SET threads = 1")  # further threads would only use more memory
    return opened, snapshot_id


class RemoteDatabase(Database):
    """Snapshot of a lake, or a database of MotherDuck; see `Database`."""

    def __init__(self, location: str, snapshot: str | None = None) -> None:
        self._address = location
        opened, self._version = connect_remote(location, snapshot=snapshot)
        self._open_with(opened, _name(location), self._version)

    @contextmanager
    def unchanged(self) -> Iterator[Opened]:
        """Yield the open database; raise if a database of MotherDuck was replaced during the block."""
        opened = self.opened()
        yield opened
        if self._version is None:
            with explained(self.location), opened.cursor() as cursor:
                if newest_id(cursor) != self.snapshot_id:
                    raise self._replaced()

    def _again(self) -> Opened:
        try:
            opened, version = connect_remote(self._address, snapshot=self._version)
        except LookupError as error:
            raise DatabaseError(str(error)) from error
        with explained(self.location):
            found = version or newest_id(opened.connection)
        if found != self.snapshot_id:
            opened.close()
            raise self._replaced()
        return opened

    def _replaced(self) -> DatabaseError:
        return DatabaseError(
            f"{self.location} was replaced since these samples were opened (snapshot "
            f"{self.snapshot_id}), and the old one no longer exists. Open the samples again, or read from "
            "`Samples.cache`."
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_state": (None, None)}


def _name(location: str) -> str:
    parsed = parse_location(location)
    assert isinstance(parsed, LakeLocation | MotherDuckLocation)
    return parsed.name


class RemotePixels:
    """Pixels that are fetched by image id; see `Pixels`.

    Args:
        database: The database; each process that reads opens it.
        image_ids: Id of each sample.
        mask_from_file: bool, one per sample; True if it has a mask to fetch.
        shape: Height, width and channels.
        recipe: Name of a further recipe; None for the common one.
        tiles: Number of the tile of each sample of a further recipe.
    """

    threads = 2

    def __init__(
        self,
        database: Database,
        image_ids: Any,
        mask_from_file: BoolArray,
        shape: tuple[int, int, int],
        recipe: str | None = None,
        tiles: IntArray | None = None,
    ) -> None:
        self._database = database
        self._ids = image_ids
        self._mask_from_file = mask_from_file
        self._shape = shape
        self._recipe = recipe
        self._tiles = tiles
        # DuckDB reads whole row groups of Parquet: 100 MB, in two copies, in each of two threads.
        database.allow_memory(_PARQUET_BYTES)
        self.samples_at_once = max(1, _FETCHED_BYTES // (shape[0] * shape[1] * shape[2]))

    def images(self, positions: IntArray, into: UInt8Array | None = None) -> UInt8Array:
        """Return images; see `Pixels`.

        Raises:
            DatabaseError: The database was closed or cannot be read.
        """
        images = np.empty((len(positions), *self._shape), np.uint8) if into is None else into
        self._fetch(_IMAGES, positions, images, np.arange(len(positions)))
        return images

    def masks(self, positions: IntArray, into: UInt8Array | None = None) -> UInt8Array:
        """Return masks; see `Pixels`, and `images` for the errors."""
        from_file = self._mask_from_file[positions]
        masks = empty_masks(from_file, self._shape[:2], into)
        self._fetch(_MASKS, positions, masks, np.flatnonzero(from_file))
        return masks

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _fetch(
        self, statement: str, positions: IntArray, arrays: UInt8Array, wanted: IntArray
    ) -> None:
        """Fill the wanted places of `arrays`; rows may come in any order."""
        with (
            explained(self._database.location),
            self._database.unchanged() as opened,
            opened.cursor() as cursor,
        ):
            for start in range(0, len(wanted), self.samples_at_once):
                places: dict[tuple[str, int], list[int]] = {}
                for place in wanted[start : start + self.samples_at_once].tolist():
                    at = int(positions[place])
                    tile = 0 if self._tiles is None else int(self._tiles[at])
                    places.setdefault((self._ids[at].as_py(), tile), []).append(place)
                self._ask(cursor, statement, [*places])
                missing = len(places)
                while (row := cursor.fetchone()) is not None:
                    missing -= 1
                    pixels = pixels_of(row[2], arrays.shape[1:])
                    for place in places[row[0], row[1]]:
                        arrays[place] = pixels
                refuse_missing(missing, self._database.location)

    def _ask(
        self, cursor: duckdb.DuckDBPyConnection, statement: str, wanted: list[tuple[str, int]]
    ) -> None:
        """Query the tensors of these images and tiles."""
        ids = [*dict.fromkeys(image_id for image_id, _ in wanted)]
        statement = statement.replace("<ids>", ", ".join("?" * len(ids)))
        values: list[Any] = [min(ids), max(ids), *ids]
        if self._recipe is not None:
            # The ids limit the files that are opened, the tiles the rows whose pixels are fetched.
            marks = ", ".join("?" * len(wanted))
            statement = statement.replace("0 AS tile", "tile").replace(
                "image_tensors", "recipe_tensors"
            )
            statement += f"AND recipe = ? AND concat(tile, ' ', image_id) IN ({marks})"
            values += [self._recipe, *(f"{tile} {image_id}" for image_id, tile in wanted)]
        cursor.execute(statement, values)


_IMAGES = """
SELECT image_id, 0 AS tile, image_tensor FROM image_tensors
WHERE image_id BETWEEN ? AND ? AND image_id IN (<ids>)
"""
_MASKS = _IMAGES.replace("image_tensor FROM", "mask_tensor FROM")
