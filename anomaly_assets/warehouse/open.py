"""Choose the kind of warehouse by its location."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from anomaly_assets.locations import LakeLocation, parse_location
from anomaly_assets.warehouse.base import Log, Warehouse
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets.warehouse.open_published import open_file


def open_warehouse(
    location: str | Path,
    wait_seconds: float = 3600.0,
    log: Log = print,
    *,
    lake_data: str | None = None,
) -> Warehouse:
    """Return the warehouse at a location; it is opened on first use.

    Args:
        location: A path, `ducklake:postgres:…` or `md:NAME`.
        wait_seconds: Maximum time to wait for another run.
        log: Called with a message while waiting.
        lake_data: Folder or s3:// prefix for the files of a new lake.

    Raises:
        LocationError: The location is malformed.
    """
    parsed = parse_location(str(location))
    if isinstance(parsed, Path):
        return FileWarehouse(parsed, wait_seconds, log)
    if isinstance(parsed, LakeLocation):
        from anomaly_assets.warehouse.lake.warehouse import LakeWarehouse

        return LakeWarehouse(parsed, lake_data, wait_seconds, log)
    from anomaly_assets.warehouse.motherduck.warehouse import MotherDuckWarehouse

    return MotherDuckWarehouse(parsed, wait_seconds, log)


@contextmanager
def open_read_only(location: str | Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the newest state of a warehouse or a published database, without a lock and without creating it.

    Args:
        location: A path, `ducklake:postgres:…` or `md:NAME`.

    Raises:
        LocationError: The location is malformed.
        FileNotFoundError: The file does not exist.
        DatabaseError: The file cannot be read, for instance because a run has it open.
        WarehouseError: The lake or database cannot be reached or does not exist.
    """
    parsed = parse_location(str(location))
    if isinstance(parsed, Path):
        opened = open_file(parsed)
        try:
            yield opened.connection
        finally:
            opened.close()
        return
    if isinstance(parsed, LakeLocation):
        from anomaly_assets.warehouse.lake.connect import attach_lake, start_for_lakes

        connection = start_for_lakes()
    else:
        from anomaly_assets.warehouse.motherduck.warehouse import connect_motherduck

        connection = connect_motherduck(parsed)
    with connection:
        if isinstance(parsed, LakeLocation):
            attach_lake(connection, parsed, "read", read_only=True)
            connection.execute("USE read.main")
        yield connection
