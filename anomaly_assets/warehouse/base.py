"""What every warehouse can do, wherever it lies: a file, a lake, or MotherDuck.

A file lets one run in at a time, so there every lock is the same one. A lake and MotherDuck let several
runs write at once, and have three: what a run needs says which it takes (docs/decisions/0008).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

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
