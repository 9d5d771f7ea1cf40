"""Publishing, wherever the warehouse lies: a file beside it, or a version of what people open anyway."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.database import FileWarehouse
from anomaly_assets.warehouse.motherduck import MotherDuckWarehouse
from anomaly_assets.warehouse.publish import differing_counts, publish
from anomaly_assets.warehouse.publish_clone import differing_from_clone, publish_clone


@dataclass(frozen=True)
class Published:
    """What publishing did.

    Attributes:
        location: What people open.
        snapshot_id: Digest of the content.
        written: False where this content was already published.
        samples: Number of rows of `samples`.
        details: What there is to tell beside that, by name.
    """

    location: str
    snapshot_id: str
    written: bool
    samples: int
    details: dict[str, int]


def publish_warehouse(
    warehouse: Warehouse, target: Path, spec: TensorSpec, *, run_id: str | None = None
) -> Published:
    """Publish what a warehouse holds, unless it already is.

    Args:
        warehouse: What to publish.
        target: The published database of a file warehouse; the others publish where they are.
        spec: Shape that all tensors must have.
        run_id: Noted with the snapshot.

    Raises:
        PublishRefusedError: A blocking check fails.
        OSError: The snapshot cannot be written.
    """
    if isinstance(warehouse, FileWarehouse):
        done = publish(warehouse, target, spec, run_id=run_id)
        size = {"file_bytes": done.file_bytes}
        return Published(str(target), done.snapshot_id, done.written, done.samples, size)
    if isinstance(warehouse, MotherDuckWarehouse):
        cloned = publish_clone(warehouse, spec, run_id=run_id)
        name = warehouse.published.name
        return Published(name, cloned.snapshot_id, cloned.written, cloned.samples, {})
    from anomaly_assets.warehouse.lake import LakeWarehouse
    from anomaly_assets.warehouse.publish_lake import publish_version

    assert isinstance(warehouse, LakeWarehouse)
    noted = publish_version(warehouse, spec, run_id=run_id)
    version = {"lake_version": noted.version}
    return Published(warehouse.name, noted.snapshot_id, noted.written, noted.samples, version)


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
