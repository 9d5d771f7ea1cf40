"""Define the warehouse in MotherDuck: one machine refreshes it, readers use a zero-copy clone.

Implemented from MotherDuck's documentation, untested against MotherDuck; tests check the statements.
According to the documentation, an own database keeps its name when attached, `CREATE DATABASE … FROM`
clones without copying, and the token is a setting of the extension.

No lock keeps two machines from refreshing at once, as it does for a file or a lake; runs on one machine
wait for each other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from anomaly_assets.errors import WarehouseBusyError, WarehouseError
from anomaly_assets.locations import MotherDuckLocation
from anomaly_assets.recipes import Recipe
from anomaly_assets.settings import motherduck_token
from anomaly_assets.warehouse.base import Log, RemoteWarehouse
from anomaly_assets.warehouse.extensions import load_extensions
from anomaly_assets.warehouse.motherduck.publish import (
    differing_clone,
    publish_clone,
    replace_clone,
)
from anomaly_assets.warehouse.publication import Differences, Publication, Request

PUBLISHED_SUFFIX = "_published"
"""Suffix of the published clone: its name is that of the warehouse with this suffix."""

_TOKEN_PAGE = "MotherDuck's settings, Access Tokens"


def start_motherduck() -> duckdb.DuckDBPyConnection:
    """Start a DuckDB instance that is logged in to MotherDuck, with nothing attached.

    Raises:
        WarehouseError: The environment has no token, or the extension is not installed.
    """
    token = motherduck_token()
    if token is None:
        raise WarehouseError(
            "MotherDuck needs a token, and neither motherduck_token nor MOTHERDUCK_TOKEN is set. "
            f"Make one ({_TOKEN_PAGE}) and put it into the environment."
        )
    instance = duckdb.connect(":memory:")
    try:
        load_extensions(instance, "motherduck")
        instance.execute("SET motherduck_token = ?", [token])
        instance.execute("SET GLOBAL TimeZone = 'UTC'")
        instance.execute("SET GLOBAL python_enable_replacements = false")
    except BaseException:
        instance.close()
        raise
    return instance


def connect_motherduck(
    location: MotherDuckLocation,
    start: Callable[[], duckdb.DuckDBPyConnection] = start_motherduck,
) -> duckdb.DuckDBPyConnection:
    """Open a database of MotherDuck for reading, with its tables current.

    Raises:
        WarehouseError: The environment has no token, or the database does not exist.
    """
    connection = start()
    try:
        _attach(connection, location)
        connection.execute(f"USE {location.database}.main")
    except BaseException:
        connection.close()
        raise
    return connection


@dataclass
class MotherDuckWarehouse(RemoteWarehouse):
    """A database of MotherDuck.

    Attributes:
        location: Location of the database.
        wait_seconds: Maximum time to wait for another run on this machine.
        log: Called with a message while waiting.
        start: Function that returns a DuckDB instance that is logged in.
    """

    location: MotherDuckLocation
    wait_seconds: float = 3600.0
    log: Log = print
    start: Callable[[], duckdb.DuckDBPyConnection] = start_motherduck
    _lock: FileLock = field(init=False, repr=False)

    def __post_init__(self) -> None:
        place = Path(tempfile.gettempdir(), f"anomaly_assets-md-{self.location.database}.lock")
        self._lock = FileLock(str(place), thread_local=False)

    @property
    def name(self) -> str:
        """Return the location."""
        return self.location.name

    @property
    def catalog(self) -> str:
        """Return the name of the database: MotherDuck attaches own databases under their own name."""
        return self.location.database

    @property
    def published(self) -> MotherDuckLocation:
        """Return the location of the published clone."""
        return MotherDuckLocation(f"{self.location.database}{PUBLISHED_SUFFIX}")

    def pipelines_folder_of(self, source_dataset: str) -> Path:
        """Return the folder for dlt's working files."""
        folder = f"anomaly_assets-md-{self.location.database}-{source_dataset}.dlt"
        return Path(tempfile.gettempdir(), folder)

    @contextmanager
    def locked(self) -> Iterator[MotherDuckWarehouse]:
        """Lock the warehouse against other runs on this machine."""
        try:
            self._lock.acquire(timeout=self.wait_seconds)
        except Timeout:
            raise WarehouseBusyError(
                f"{self.name} was held for more than {self.wait_seconds:.0f} s by another run on this "
                "machine. Wait for that run to end or stop it, then run again."
            ) from None
        try:
            yield self
        finally:
            if self._lock.lock_counter == 1:
                self._stop()
            self._lock.release()

    def _publish(self, target: Path, spec: Recipe, request: Request) -> Publication:
        return publish_clone(self, self.published, spec, request)

    def differences(self, target: Path) -> Differences:
        """Compare the database with its clone; see `Warehouse`."""
        return differing_clone(self, self.published)

    @contextmanager
    def open_published(self, target: Path) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """Yield None, because opening the clone would need a second connection over the internet."""
        yield None

    def release_copy(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Clone the database that holds the complete copy."""
        replace_clone(connection, self.catalog, self.published)

    def _start(self) -> duckdb.DuckDBPyConnection:
        instance = self.start()
        try:
            instance.execute("ATTACH 'md:'")
            instance.execute(f"CREATE DATABASE IF NOT EXISTS {self.catalog}")
        except duckdb.Error as error:
            instance.close()
            raise WarehouseError(_why_not_opened(self.location, error)) from None
        return instance


def _attach(connection: duckdb.DuckDBPyConnection, location: MotherDuckLocation) -> None:
    try:
        connection.execute(f"ATTACH 'md:{location.database}'")
    except duckdb.Error as error:
        raise WarehouseError(_why_not_opened(location, error)) from None


def _why_not_opened(location: MotherDuckLocation, error: duckdb.Error) -> str:
    said = str(error).splitlines()[0]
    token = motherduck_token()
    return f"{location.name} cannot be opened: {said.replace(token, '***') if token else said}"
