"""Publishing, wherever the warehouse lies: a file beside it, or a version of what people open anyway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.database import FileWarehouse
from anomaly_assets.warehouse.motherduck import MotherDuckWarehouse
from anomaly_assets.warehouse.publish import differing_counts, publish
from anomaly_assets.warehouse.publish_clone import differing_from_clone, publish_clone
from anomaly_assets.warehouse.snapshots import Snapshot, list_snapshots


@dataclass(frozen=True)
class Published:
    """What publishing did.

    Attributes:
        location: What people open.
        snapshot_id: Digest of the content.
        written: False where this content was already published.
        samples: Number of rows of `samples`.
        details: What there is to tell beside that, by name.
        provenance: Its row of `snapshots`, by column.
        snapshots: Those that can be opened by their id, newest first, where they are files.
    """

    location: str
    snapshot_id: str
    written: bool
    samples: int
    details: Mapping[str, int]
    provenance: Mapping[str, Any]
    snapshots: Sequence[Snapshot] = ()


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
        keep_snapshots: How many older files stay beside the target; the others keep what they have.

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
            {"file_bytes": done.file_bytes},
            done.provenance,
            list_snapshots(target),
        )
    if isinstance(warehouse, MotherDuckWarehouse):
        cloned = publish_clone(warehouse, spec, run_id=run_id)
        return Published(
            warehouse.published.name,
            cloned.snapshot_id,
            cloned.written,
            cloned.samples,
            {},
            cloned.provenance,
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
        {"lake_version": noted.version},
        noted.provenance,
    )


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
