"""Define the base classes of the warehouses; each kind of warehouse is a folder beside this file.

By default `refreshing`, `writing` and `finishing` take the same lock, because only one run at a time may
use a file. A lake, which several runs may use at once, has three kinds of locks (docs/decisions/0008):
one per source dataset, one for a transaction on shared tables, and one for summaries and publishing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from anomaly_assets.errors import WarehouseError
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.ddl import refuse_missing_tables, upstream_needed
from anomaly_assets.tables.row_changes import RowChanges, Rows, compare
from anomaly_assets.tables.sql_text import table_exists
from anomaly_assets.warehouse.publication import Differences, Publication, Request
from anomaly_assets.warehouse.ranges import fetch_images

CATALOG = "warehouse"
"""Name under which the working database is attached."""

ROW_GROUP_SIZE = 2048
"""Number of rows per DuckDB row group: DuckDB's minimum, because one row is an image of 200 kB."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class LoadTarget:
    """Connection and settings with which dlt writes to a warehouse.

    Attributes:
        connection: dlt opens its own connections from this one; it sets `checkpoint_threshold` for all of
            them.
        pragmas: Statements that each of dlt's connections runs first.
        workers: Maximum number of jobs of one load at the same time.
    """

    connection: duckdb.DuckDBPyConnection
    pragmas: tuple[str, ...] = ()
    workers: int = 20


class Warehouse(ABC):
    """The working database of the asset graph.

    Attributes:
        wait_seconds: Maximum time to wait for a lock or file that another process holds.
        log: Called with a message while waiting.
        transaction_rows: Tensors per transaction.
        decodes_first: Whether tensors are decoded before their transaction begins, because an open
            transaction keeps other runs from writing.
    """

    wait_seconds: float
    log: Log
    transaction_rows: int = ROW_GROUP_SIZE
    decodes_first: bool = False

    @property
    @abstractmethod
    def name(self) -> str:
        """Return the name for messages and metadata; the name never contains a password."""

    @property
    def catalog(self) -> str:
        """Return the name under which `connect` attaches the database."""
        return CATALOG

    @abstractmethod
    def pipelines_folder_of(self, source_dataset: str) -> Path:
        """Return the folder for dlt's working files while this source dataset is loaded."""

    @abstractmethod
    def locked(self) -> AbstractContextManager[Warehouse]:
        """Open the lock session of a run, or lock the warehouse; calls may be nested in a process.

        Raises:
            WarehouseBusyError: Another run held the lock for longer than `wait_seconds`.
            WarehouseError: The warehouse cannot be reached.
        """

    @abstractmethod
    def connect(
        self, *, wide_rows: bool = False
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse for writing, make it the default database (`USE`), and close it afterwards.

        Args:
            wide_rows: Prepare the connection for writing tensors.

        Raises:
            WarehouseBusyError: Another run or program has the warehouse open.
            WarehouseError: The warehouse cannot be opened.
        """

    @abstractmethod
    def loading(self) -> AbstractContextManager[LoadTarget]:
        """Give dlt access; the caller must hold the lock of the source dataset."""

    @contextmanager
    def refreshing(self, source_dataset: str, *, wait: bool = True) -> Iterator[bool]:
        """Lock a source dataset: no other run can change its catalogue or tensors meanwhile.

        No other run can enter `finishing()` until this run ends or enters it.

        Args:
            source_dataset: Name of the source dataset.
            wait: Wait for another run that holds the lock; False returns at once.

        Yields:
            True if the lock is held; always true with `wait=True`.

        Raises:
            WarehouseBusyError: Another run held the lock for longer than `wait_seconds`.
        """
        with self.locked():
            yield True

    def turns(self, source_datasets: Sequence[str]) -> Generator[list[str], None, None]:
        """Yield source datasets whose tensors may be built now; their locks are held until the next step.

        Raises:
            WarehouseBusyError: Another run held a lock for longer than `wait_seconds`.
        """
        with self.locked():
            yield list(source_datasets)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the write lock on the tables that all source datasets share, for one transaction.

        Raises:
            WarehouseBusyError: Another run held this lock for longer than `wait_seconds`.
        """
        with self.locked():
            yield

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Wait until no source dataset is being refreshed, and block refreshes until the run ends.

        Summaries, tensor checks and publishing are correct only if every catalogued image was decoded or
        rejected.

        Raises:
            WarehouseBusyError: Another run refreshed for longer than `wait_seconds`.
        """
        with self.locked():
            yield

    def publish(
        self,
        target: Path,
        spec: Recipe,
        *,
        run_id: str | None = None,
        keep_snapshots: int = 0,
        adopt: bool = False,
        allow_shrink: bool = False,
        only_results: bool = False,
    ) -> Publication:
        """Publish the content of the warehouse, unless the same content is already published.

        Args:
            target: The published file; remote warehouses ignore it, because they publish in place.
            spec: Shape that all tensors must have.
            run_id: Recorded with the snapshot.
            keep_snapshots: Number of older published files that stay beside the target.
            adopt: Replace a target that this warehouse does not own, and own it from then on.
            allow_shrink: Accept fewer than 80 % of the samples that were published before, and record
                that.
            only_results: Publish results of the baseline beside the data that are published already.

        Raises:
            PublishRefusedError: A blocking check fails, another warehouse owns the target, or a source
                dataset would lose more than a fifth of its samples.
            UnpublishedDataError: Only results may be published, and other data differ.
            WarehouseError: The upstream assets were never materialized.
            OSError: The snapshot cannot be written, for instance because the disk is full; the target is
                unchanged.
        """
        request = Request(run_id, keep_snapshots, adopt, allow_shrink, only_results)
        return self._publish(target, spec, request)

    @abstractmethod
    def _publish(self, target: Path, spec: Recipe, request: Request) -> Publication:
        """Publish the content of the warehouse; see `publish`."""

    @abstractmethod
    def differences(self, target: Path) -> Differences:
        """Return the tables whose row counts differ between the warehouse and the published database."""

    @abstractmethod
    def open_published(
        self, target: Path
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection | None]:
        """Open the published database read-only; None if there is none, or if opening it is expensive."""

    def changes_to_publish(self, target: Path) -> RowChanges:
        """Return the changes that publishing will make to the rows of `samples`.

        Pixels are not read: they follow from the hash of the file, its mask and the transform.
        """
        before = Rows()
        # A published database that cannot be read will be replaced.
        with suppress(duckdb.Error), self.open_published(target) as published:
            before = _samples(published) if published else Rows()
        with self.connect() as connection, upstream_needed():
            refuse_missing_tables(connection, "images")
            # After an incomplete run there is no view yet, and publishing lists the checks that fail.
            exists = table_exists(connection, "main", "samples")
            return compare(before, _samples(connection) if exists else Rows())

    def pictures_folder(self, target: Path) -> Path:
        """Return the folder for contact sheets, beside the published database."""
        return target.absolute().parent / "contact_sheets"

    def copy_progress(self, target: Path) -> tuple[Callable[[], int], int] | None:
        """Return (function for the MB copied so far, total MB), or None if publishing does not copy."""
        return None

    @abstractmethod
    def release_copy(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make a complete copy available to readers; see `copying`."""

    def expire(self, keep: int) -> Expired:
        """Free the space of old versions; readers of published versions are not disturbed.

        Args:
            keep: Number of publications to keep besides the newest.

        Raises:
            WarehouseError: This kind of warehouse keeps no versions.
            ValueError: `keep` is negative.
        """
        raise WarehouseError(f"{self.name}: only a lake has versions that can expire.")


@dataclass(frozen=True)
class Expired:
    """Result of `Warehouse.expire`.

    Attributes:
        publications: Publications that can no longer be opened.
        versions: Versions that were deleted.
        files: Files that were removed.
    """

    publications: int
    versions: int
    files: int


class RemoteWarehouse(Warehouse):
    """A warehouse on a server: a run starts one DuckDB instance, attaches the database, and shares it."""

    _instance: duckdb.DuckDBPyConnection | None = None

    decodes_first = True  # no transaction stays open over the network while images are decoded

    @contextmanager
    def connect(self, *, wide_rows: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection; each of its transactions sees the newest state. See `Warehouse`."""
        with self.locked():
            connection = self._started().cursor()
            try:
                with interrupted_queries(connection):
                    connection.execute(f"USE {self.catalog}.main")
                    yield connection
            finally:
                connection.close()

    @contextmanager
    def loading(self) -> Iterator[LoadTarget]:
        """Give dlt one job at a time, because concurrent writers of an attached database conflict."""
        with self.locked():
            yield LoadTarget(self._started(), (f"search_path='{self.catalog}.main'",), workers=1)

    @abstractmethod
    def _start(self) -> duckdb.DuckDBPyConnection:
        """Start a DuckDB instance with the database attached; create the database if it does not exist."""

    def _started(self) -> duckdb.DuckDBPyConnection:
        if self._instance is None:
            self._instance = self._start()
        return self._instance

    def _stop(self) -> None:
        if self._instance is not None:
            self._instance.close()
            self._instance = None


@contextmanager
def interrupted_queries(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Raise KeyboardInterrupt for an interrupted query; DuckDB reports it as RuntimeError.

    DuckDB's threads continue with the query, and closing the connection would wait for them. So they
    are interrupted as well.

    Raises:
        KeyboardInterrupt: A query was interrupted.
    """
    try:
        yield
    except RuntimeError as error:
        if is_interrupt(error):
            connection.interrupt()
            raise KeyboardInterrupt("A query was interrupted.") from error
        raise


def is_interrupt(error: Exception) -> bool:
    """Return whether this is DuckDB's error for a query that a signal interrupted."""
    return type(error) is RuntimeError and str(error) == "Query interrupted"


def _samples(connection: duckdb.DuckDBPyConnection) -> Rows:
    found = fetch_images(connection, _SAMPLES, {}, "image_tensors")
    return Rows(found["key"].to_numpy(), found["content"].to_numpy())


_SAMPLES = """
SELECT hash(image_id) AS key, hash(compared) AS content
FROM (
    SELECT
        image_id,
        tensors.content_sha256,
        tensors.transform,
        tensors.mask_file_version,
        samples.label,
        samples.split,
        samples.category,
        samples.defect_type,
        samples.source_uri
    FROM samples
    JOIN image_tensors AS tensors USING (image_id)
    WHERE image_id BETWEEN $first AND $last
) AS compared
"""
