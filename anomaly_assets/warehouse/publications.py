"""Publishing, wherever the warehouse lies: a file beside it, or a version of what people open anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.database import FileWarehouse, sql_literal
from anomaly_assets.warehouse.motherduck import MotherDuckWarehouse
from anomaly_assets.warehouse.publish import differing_counts, publish, unfinished_copy
from anomaly_assets.warehouse.publish_clone import differing_from_clone, publish_clone
from anomaly_assets.warehouse.snapshots import list_snapshots


@dataclass(frozen=True)
class Published:
    """What publishing did.

    Attributes:
        location: What people open.
        snapshot_id: Digest of the content.
        written: False where this content was already published.
        samples: Number of rows of `samples`.
        provenance: Its row of `snapshots`, by column.
        history: The publications that can be opened by their id, newest first.
        details: What there is to tell beside that, by name.
    """

    location: str
    snapshot_id: str
    written: bool
    samples: int
    provenance: Mapping[str, Any]
    history: list[dict[str, str | int]] = field(default_factory=list)
    details: dict[str, int] = field(default_factory=dict)


def publish_warehouse(
    warehouse: Warehouse,
    target: Path,
    spec: TensorSpec,
    *,
    run_id: str | None = None,
    keep_snapshots: int = 0,
) -> Published:
    """Publish what a warehouse holds, unless it already is.

    Args:
        warehouse: What to publish.
        target: The published database of a file warehouse; the others publish where they are.
        spec: Shape that all tensors must have.
        run_id: Noted with the snapshot.
        keep_snapshots: How many older published files stay beside the target.

    Raises:
        PublishRefusedError: A blocking check fails.
        OSError: The snapshot cannot be written.
    """
    if isinstance(warehouse, FileWarehouse):
        done = publish(warehouse, target, spec, run_id=run_id, keep_snapshots=keep_snapshots)
        return Published(
            str(target),
            done.snapshot_id,
            done.written,
            done.samples,
            done.provenance,
            _files(target),
            {"file_bytes": done.file_bytes},
        )
    if isinstance(warehouse, MotherDuckWarehouse):
        cloned = publish_clone(warehouse, spec, run_id=run_id)
        name = warehouse.published.name
        return Published(
            name, cloned.snapshot_id, cloned.written, cloned.samples, cloned.provenance
        )
    from anomaly_assets.warehouse.lake import LakeWarehouse
    from anomaly_assets.warehouse.publish_lake import publish_version

    assert isinstance(warehouse, LakeWarehouse)
    noted = publish_version(warehouse, spec, run_id=run_id)
    return Published(
        warehouse.name,
        noted.snapshot_id,
        noted.written,
        noted.samples,
        noted.provenance,
        [{"snapshot_id": each.snapshot_id, "version": each.version} for each in noted.history],
        {"lake_version": noted.version},
    )


def _files(target: Path) -> list[dict[str, str | int]]:
    return [
        {
            "snapshot_id": snapshot.snapshot_id,
            "published_at": f"{snapshot.published_at:%Y-%m-%d %H:%M:%S %Z}",
            "samples": snapshot.tensors,
            "file": snapshot.path.name,
        }
        for snapshot in list_snapshots(target)
    ]


def differences(warehouse: Warehouse, target: Path) -> list[tuple[str, str | None]]:
    """Tables whose row counts differ between warehouse and what is published, and how."""
    if isinstance(warehouse, FileWarehouse):
        return differing_counts(warehouse, target)
    if isinstance(warehouse, MotherDuckWarehouse):
        return differing_from_clone(warehouse)
    from anomaly_assets.warehouse.lake import LakeWarehouse
    from anomaly_assets.warehouse.publish_lake import differing_versions

    assert isinstance(warehouse, LakeWarehouse)
    return differing_versions(warehouse)


@contextmanager
def opened_publication(
    warehouse: Warehouse, target: Path
) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """What is published of a warehouse, read-only and current; None where nothing is.

    A clone in MotherDuck is not opened: that would be a second connection through the internet.
    """
    if isinstance(warehouse, FileWarehouse):
        if not target.exists():
            yield None
            return
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"ATTACH {sql_literal(str(target))} AS published (READ_ONLY)")
            connection.execute("USE published.main")
            yield connection
        return
    if isinstance(warehouse, MotherDuckWarehouse):
        yield None
        return
    from anomaly_assets.warehouse.lake import LakeWarehouse
    from anomaly_assets.warehouse.lake_connection import attach_published, start_for_lakes

    assert isinstance(warehouse, LakeWarehouse)
    with start_for_lakes() as connection:
        try:
            attach_published(connection, warehouse.location, "published")
        except LookupError:
            yield None
            return
        connection.execute("USE published.main")
        yield connection


def size_of_copy(warehouse: Warehouse, target: Path) -> tuple[Callable[[], int], int] | None:
    """What tells how much of a copy is written and how much there will be, in MB; None for no copy."""
    if not isinstance(warehouse, FileWarehouse):
        return None
    unfinished = unfinished_copy(target)
    return (lambda: _megabytes(unfinished)), max(1, _megabytes(warehouse.path))


def _megabytes(path: Path) -> int:
    try:
        return path.stat().st_size // 1_000_000
    except OSError:
        return 0
