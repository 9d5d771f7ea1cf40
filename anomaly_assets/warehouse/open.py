"""Choose the kind of warehouse by its location."""

from __future__ import annotations

from pathlib import Path

from anomaly_assets.locations import LakeLocation, parse_location
from anomaly_assets.warehouse.base import Log, Warehouse
from anomaly_assets.warehouse.file.warehouse import FileWarehouse


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
