"""Free the space of old versions of a lake, without disturbing readers of published versions.

A lake keeps every version. Versions other than the newest and the kept publications are deleted at
once; their files are removed a day later, when no reader uses them any more.
"""

from __future__ import annotations

from datetime import timedelta

import duckdb

from anomaly_assets.warehouse.base import CATALOG, Expired, Warehouse
from anomaly_assets.warehouse.lake.connect import PUBLISHED_VERSIONS, published_versions

GRACE = timedelta(days=1)
"""Time that unused files stay, because a reader may still use them."""


def expire_versions(warehouse: Warehouse, keep: int, *, grace: timedelta = GRACE) -> Expired:
    """Delete all publications but the newest one and `keep` older ones.

    Args:
        warehouse: The lake; runs wait until this is done.
        keep: Number of publications to keep besides the newest.
        grace: Minimum age of the files that are removed.

    Raises:
        ValueError: `keep` is negative.
        WarehouseBusyError: Another run held the lake for too long.
    """
    if keep < 0:
        raise ValueError(
            f"keep={keep}: the newest publication always stays; use 0 to keep only that."
        )
    with warehouse.finishing(), warehouse.connect() as connection:
        published = published_versions(connection, CATALOG)
        kept, gone = published[: keep + 1], published[keep + 1 :]
        if gone:
            connection.execute(
                f"DELETE FROM {PUBLISHED_VERSIONS} WHERE version <= ?",  # noqa: S608
                [gone[0].version],
            )
        versions = _forgettable(connection, [each.version for each in kept])
        if versions:
            listed = ", ".join(map(str, versions))
            connection.execute(
                f"CALL ducklake_expire_snapshots('{CATALOG}', versions => [{listed}])"
            )
        files = _removed(connection, grace)
        return Expired(len(gone), len(versions), files)


def _forgettable(connection: duckdb.DuckDBPyConnection, kept: list[int]) -> list[int]:
    """Return the versions that are neither kept nor the newest."""
    rows = connection.execute(
        f"""
        SELECT snapshot_id FROM ducklake_snapshots('{CATALOG}')
        WHERE NOT list_contains($kept, snapshot_id)
        QUALIFY snapshot_id < max(snapshot_id) OVER ()
        ORDER BY ALL
        """,  # noqa: S608
        {"kept": kept},
    ).fetchall()
    return [version for (version,) in rows]


def _removed(connection: duckdb.DuckDBPyConnection, grace: timedelta) -> int:
    """Remove the files that the catalogue lists as those of deleted versions; return their number."""
    since = f"now() - INTERVAL {int(grace.total_seconds())} SECOND"
    call = f"CALL ducklake_cleanup_old_files('{CATALOG}', older_than => {since})"
    return len(connection.execute(call).fetchall())
