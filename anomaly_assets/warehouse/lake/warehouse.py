"""Define the warehouse that several machines write to: DuckLake, with its catalogue in PostgreSQL.

DuckLake has no unique keys, and if two transactions insert into and delete from one table, the second
one fails. So runs use three locks (docs/decisions/0008):

- *the refresh of a source dataset*, for its catalogue or its tensors;
- *writing*, for one short transaction on a table with rows of all source datasets;
- *finishing*, shared by all runs that refresh, and exclusive for a run that summarises and publishes.

Each run holds one lock of the first kind at a time, and releases the shared third lock before it requests
this lock exclusively. So two runs cannot deadlock.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from anomaly_assets.locations import LakeLocation
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets.warehouse.base import CATALOG, Expired, Log, RemoteWarehouse
from anomaly_assets.warehouse.lake.connect import attach_lake, start_for_lakes
from anomaly_assets.warehouse.lake.expire import expire_versions
from anomaly_assets.warehouse.lake.explained import explained_lake
from anomaly_assets.warehouse.lake.folder import settled_folder
from anomaly_assets.warehouse.lake.locks import LakeLocks
from anomaly_assets.warehouse.lake.publish import (
    differing_version,
    opened_version,
    publish_copy,
    publish_version,
)
from anomaly_assets.warehouse.publication import Differences, Publication, Request

TRANSACTION_ROWS = 512
"""Number of tensors per transaction, which becomes one Parquet file: 100 MB at the default size."""

_FINISHING = "finishing"
_WRITING = "writing"


@dataclass
class LakeWarehouse(RemoteWarehouse):
    """A DuckLake.

    Attributes:
        location: Location of its catalogue.
        folder: Folder for the files of a new lake; an existing one stores it.
        wait_seconds: Maximum time to wait for another run.
        log: Called with a message while waiting.
    """

    location: LakeLocation
    folder: str | None = None
    wait_seconds: float = 3600.0
    log: Log = print
    _locks: LakeLocks = field(init=False, repr=False)
    _depth: int = field(init=False, repr=False, default=0)

    transaction_rows = TRANSACTION_ROWS

    def __post_init__(self) -> None:
        self._locks = LakeLocks(self.location, self.wait_seconds, self.log)

    @property
    def name(self) -> str:
        """Return the location, without its password."""
        return self.location.name

    def pipelines_folder_of(self, source_dataset: str) -> Path:
        """Return the folder for dlt's working files; the lock of the source dataset protects it."""
        digest = hashlib.sha256(self.location.conninfo.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir(), f"anomaly_assets-{digest}-{source_dataset}.dlt")

    @contextmanager
    def locked(self) -> Iterator[LakeWarehouse]:
        """Open the lock session of a run; locks that exclude other runs are taken later."""
        if self._depth == 0:
            self._locks.open()
        self._depth += 1
        try:
            yield self
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._stop()
                self._locks.close()

    @contextmanager
    def connect(self, *, wide_rows: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the lake; errors about its files become WarehouseError. See `RemoteWarehouse`."""
        with explained_lake(self.name), super().connect(wide_rows=wide_rows) as connection:
            yield connection

    @contextmanager
    def refreshing(self, source_dataset: str, *, wait: bool = True) -> Iterator[bool]:
        """Lock a source dataset; see `Warehouse`."""
        lock = f"the refresh of {source_dataset}"
        with self.locked():
            if not self._locks.holds(_FINISHING) and not self._locks.holds(_FINISHING, shared=True):
                self._locks.acquire(_FINISHING, shared=True)  # until the run ends or finishes
            held = self._locks.acquire(lock, wait=wait)
            try:
                yield held
            finally:
                if held:
                    self._locks.release(lock)

    def turns(self, source_datasets: Sequence[str]) -> Generator[list[str], None, None]:
        """Yield source datasets one by one; those that another run holds come last."""
        busy = []
        with self.locked():
            for name in source_datasets:
                with self.refreshing(name, wait=False) as held:
                    if held:
                        yield [name]
                    else:
                        busy.append(name)
            for name in busy:
                with self.refreshing(name):
                    yield [name]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the write lock on shared tables; see `Warehouse`."""
        with self.locked():
            self._locks.acquire(_WRITING)
            try:
                yield
            finally:
                self._locks.release(_WRITING)

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Wait until no run refreshes; see `Warehouse`."""
        with self.locked():
            if not self._locks.holds(_FINISHING):
                if self._locks.holds(_FINISHING, shared=True):
                    self._locks.release(_FINISHING, shared=True)
                self._locks.acquire(_FINISHING)
            with self.writing():
                yield

    def _publish(self, target: Path, spec: Recipe, request: Request) -> Publication:
        return publish_version(self, spec, request)

    def differences(self, target: Path) -> Differences:
        """Compare the newest version with the published one; see `Warehouse`."""
        return differing_version(self)

    def open_published(
        self, target: Path
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection | None]:
        """Open the published version; see `Warehouse`."""
        return opened_version(self.location)

    def release_copy(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Publish the version that holds the complete copy."""
        publish_copy(connection)

    def expire(self, keep: int) -> Expired:
        """Delete older publications at once and their files a day later; see `Warehouse`."""
        return expire_versions(self, keep)

    def _start(self) -> duckdb.DuckDBPyConnection:
        instance = start_for_lakes()
        try:
            with self.writing():  # if two runs find no lake, only one creates it
                folder = settled_folder(instance, self._locks.query, self.folder, self.name)
                attach_lake(instance, self.location, CATALOG, folder=folder)
                with instance.cursor() as connection:
                    connection.execute(f"USE {CATALOG}.main")
                    ensure_tables(connection)
                    _choose_compression(connection)
        except BaseException:
            instance.close()
            raise
        return instance


def _choose_compression(connection: duckdb.DuckDBPyConnection) -> None:
    """Store Parquet uncompressed, unless a compression was chosen for this lake.

    Measured on 4,098 tensors: zstd needs 0.4 of the space and five to ten times as long to read.
    """
    query = f"SELECT * FROM ducklake_options('{CATALOG}') WHERE option_name = 'parquet_compression'"  # noqa: S608
    if not connection.execute(query).fetchall():
        connection.execute(f"CALL {CATALOG}.set_option('parquet_compression', 'uncompressed')")
