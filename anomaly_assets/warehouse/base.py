"""What every kind of warehouse can do; each kind is a folder beside this file.

A file admits one run at a time, so all its locks are one. A remote warehouse admits several runs, and has
three locks (docs/decisions/0008): one per source dataset, one for a transaction on shared tables, and one
for summaries and publishing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from anomaly_assets.errors import WarehouseError
from anomaly_assets.tables.ddl import upstream_needed
from anomaly_assets.tables.row_changes import RowChanges, Rows, compare
from anomaly_assets.tensor_spec import TensorSpec
from anomaly_assets.warehouse.publication import Differences, Publication

CATALOG = "warehouse"
"""Name under which the working database is attached."""

ROW_GROUP_SIZE = 2048
"""Rows per DuckDB row group: the smallest there is, because a row is a whole picture of 200 kB."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class LoadTarget:
    """How dlt gets at a warehouse.

    Attributes:
        connection: Of which dlt makes connections of its own; it sets `checkpoint_threshold` for all.
        pragmas: Said by each of these before it does anything.
        workers: Jobs of one load that may run at once.
    """

    connection: duckdb.DuckDBPyConnection
    pragmas: tuple[str, ...] = ()
    workers: int = 20


class Warehouse(ABC):
    """The working database of the asset graph.

    Attributes:
        wait_seconds: How long to wait for whoever has what is needed.
        log: Called with a sentence while waiting.
        transaction_rows: Tensors per transaction.
        decodes_first: Whether tensors are decoded before their transaction begins, because it keeps
            others from writing.
    """

    wait_seconds: float
    log: Log
    transaction_rows: int = ROW_GROUP_SIZE
    decodes_first: bool = False

    @property
    @abstractmethod
    def name(self) -> str:
        """What messages and metadata call it; never with a password in it."""

    @property
    def catalog(self) -> str:
        """Name under which `connect` attaches it."""
        return CATALOG

    @abstractmethod
    def pipelines_folder_of(self, source_dataset: str) -> Path:
        """Where dlt keeps its working files while this source dataset is loaded."""

    @abstractmethod
    def locked(self) -> AbstractContextManager[Warehouse]:
        """Hold the warehouse while a run lasts; may be nested in one process.

        Raises:
            WarehouseBusyError: Another run held it for longer than `wait_seconds`.
            WarehouseError: It cannot be reached.
        """

    @abstractmethod
    def connect(
        self, *, wide_rows: bool = False
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse for writing, with its catalogue current; closes it afterwards.

        Args:
            wide_rows: For writing tensors.

        Raises:
            WarehouseBusyError: Another run, or a person, has it open.
            WarehouseError: It cannot be opened at all.
        """

    @abstractmethod
    def loading(self) -> AbstractContextManager[LoadTarget]:
        """Give dlt access; the caller holds the source dataset."""

    @contextmanager
    def refreshing(self, source_dataset: str, *, wait: bool = True) -> Iterator[bool]:
        """Keep other runs from the catalogue and the tensors of a source dataset.

        Until the run ends, or is `finishing`, nobody else is.

        Args:
            source_dataset: Which one.
            wait: Whether to wait for another run that has it.

        Yields:
            Whether it is held; always true if `wait` is.

        Raises:
            WarehouseBusyError: Another run held it for longer than `wait_seconds`.
        """
        with self.locked():
            yield True

    def turns(self, source_datasets: Sequence[str]) -> Generator[list[str], None, None]:
        """Source datasets whose tensors may be built now, held until the next ones are asked for.

        Raises:
            WarehouseBusyError: Another run held one of them for longer than `wait_seconds`.
        """
        with self.locked():
            yield list(source_datasets)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one that writes to the tables of all source datasets, for one transaction.

        Raises:
            WarehouseBusyError: Another run was at it for longer than `wait_seconds`.
        """
        with self.locked():
            yield

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Wait until no source dataset is being refreshed, and keep it so until the run ends.

        Summaries, checks of tensors, and publishing need a catalogue whose tensors are made.

        Raises:
            WarehouseBusyError: Another run refreshed for longer than `wait_seconds`.
        """
        with self.locked():
            yield

    @abstractmethod
    def publish(
        self,
        target: Path,
        spec: TensorSpec,
        *,
        run_id: str | None = None,
        keep_snapshots: int = 0,
        adopt: bool = False,
        allow_shrink: bool = False,
    ) -> Publication:
        """Publish what the warehouse holds, unless the same content is published already.

        Args:
            target: The published file; a remote warehouse publishes in its own place and ignores it.
            spec: Shape that all tensors must have.
            run_id: Recorded with the snapshot.
            keep_snapshots: How many older published files stay beside the target.
            adopt: Replace a target that this warehouse does not own, and own it from then on.
            allow_shrink: Accept fewer than 80 % of the samples that were published before, and record
                that.

        Raises:
            PublishRefusedError: A blocking check fails, the target belongs to something else, or a source
                dataset would lose more than a fifth of its samples.
            WarehouseError: The assets upstream were never materialized.
            OSError: The snapshot cannot be written, for instance because the disk is full; the target is
                as it was.
        """

    @abstractmethod
    def differences(self, target: Path) -> Differences:
        """Return the tables whose row counts differ between the warehouse and what is published."""

    @abstractmethod
    def open_published(
        self, target: Path
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection | None]:
        """Open what is published, read-only; None where nothing is, or where that would be expensive."""

    def changes_to_publish(self, target: Path) -> RowChanges:
        """Return what publishing will do to the rows of `samples` in the published database.

        No pixels are read: they follow from the hash of the file, its mask and the transform.
        """
        before: Rows = {}
        # One that cannot be read is replaced.
        with suppress(duckdb.Error), self.open_published(target) as published:
            before = _samples(published) if published else {}
        with self.connect() as connection, upstream_needed():
            return compare(before, _samples(connection))

    def pictures_folder(self, target: Path) -> Path:
        """Return the folder for contact sheets: beside the published database."""
        return target.absolute().parent / "contact_sheets"

    def copy_progress(self, target: Path) -> tuple[Callable[[], int], int] | None:
        """Return a function for the MB copied so far, and the total; None if publishing does not copy."""
        return None

    @abstractmethod
    def release_copy(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let people open a copy that is complete; see `copying`."""

    def expire(self, keep: int) -> Expired:
        """Give back the space of old versions; readers of what stays published notice nothing.

        Args:
            keep: Publications to keep beside the newest.

        Raises:
            WarehouseError: This kind of warehouse keeps no versions.
            ValueError: `keep` is negative.
        """
        raise WarehouseError(f"{self.name}: only a lake has versions that can expire.")


@dataclass(frozen=True)
class Expired:
    """What was given back.

    Attributes:
        publications: Publications that can no longer be opened.
        versions: Versions that were forgotten.
        files: Files that were removed.
    """

    publications: int
    versions: int
    files: int


class RemoteWarehouse(Warehouse):
    """A warehouse elsewhere: a run starts one DuckDB that has it attached, and everybody shares that."""

    _instance: duckdb.DuckDBPyConnection | None = None

    decodes_first = True  # no transaction stays open over the network while images are decoded

    @contextmanager
    def connect(self, *, wide_rows: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection whose every transaction sees the newest state; see `Warehouse`."""
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
        """One job at a time: what is attached does not like to be shared by connections that write."""
        with self.locked():
            yield LoadTarget(self._started(), (f"search_path='{self.catalog}.main'",), workers=1)

    @abstractmethod
    def _start(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB that has it attached, made where it is missing."""

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
    """Call a query that a signal ended what it is: DuckDB tells of it as of one that failed.

    Its threads go on with it, and closing the connection would wait for them; so they are told, too.

    Raises:
        KeyboardInterrupt: A query was interrupted.
    """
    try:
        yield
    except RuntimeError as error:
        if type(error) is RuntimeError and str(error) == "Query interrupted":
            connection.interrupt()
            raise KeyboardInterrupt("A query was interrupted.") from error
        raise


def _samples(connection: duckdb.DuckDBPyConnection) -> Rows:
    return {image_id: rest for image_id, *rest in connection.execute(_SAMPLES).fetchall()}


_SAMPLES = """
SELECT
    image_id,
    tensors.content_sha256,
    tensors.transform,
    tensors.mask_file_version,
    images.label,
    images.split,
    images.category,
    images.defect_type,
    images.source_uri
FROM images
JOIN image_tensors AS tensors USING (image_id)
"""
