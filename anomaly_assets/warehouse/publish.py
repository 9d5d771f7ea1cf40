"""Publishing, wherever the warehouse lies: a file beside it, or a version of what people open anyway."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from anomaly_assets.atomic import newest_unfinished
from anomaly_assets.tables.ddl import ensure_tables, upstream_needed
from anomaly_assets.tables.row_changes import RowChanges, Rows, compare
from anomaly_assets.tensor_spec import TensorSpec
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.file.copy_file import copied_bytes
from anomaly_assets.warehouse.file.publish import differing_file, publish_file
from anomaly_assets.warehouse.file.snapshots import attached
from anomaly_assets.warehouse.file.target import may_replace
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets.warehouse.motherduck.publish import differing_clone, publish_clone
from anomaly_assets.warehouse.motherduck.warehouse import MotherDuckWarehouse
from anomaly_assets.warehouse.publication import Differences, Publication, PublishRefusedError

__all__ = [
    "Publication",
    "PublishRefusedError",
    "changes_to_publish",
    "differences",
    "opened_publication",
    "pictures_folder",
    "publish",
    "size_of_copy",
]


def publish(
    warehouse: Warehouse,
    target: Path,
    spec: TensorSpec,
    *,
    run_id: str | None = None,
    keep_snapshots: int = 0,
    adopt: bool = False,
    allow_shrink: bool = False,
) -> Publication:
    """Publish what a warehouse holds, unless it already is.

    Args:
        warehouse: What to publish.
        target: The published database of a file warehouse; the others publish where they are.
        spec: Shape that all tensors must have.
        run_id: Noted with the snapshot.
        keep_snapshots: How many older published files stay beside the target.
        adopt: Replace a target that this warehouse does not own, and own it from then on.
        allow_shrink: Accept fewer than 80 % of the samples that were published before, and record that.

    Raises:
        PublishRefusedError: A blocking check fails, the target belongs to something else, or a source
            dataset would lose more than a fifth of its samples.
        WarehouseError: The assets upstream were never materialized.
        OSError: The snapshot cannot be written, for instance because the disk is full; the target is
            as it was.
    """
    if isinstance(warehouse, FileWarehouse):
        return publish_file(
            warehouse,
            target,
            spec,
            run_id=run_id,
            keep_snapshots=keep_snapshots,
            adopt=adopt,
            allow_shrink=allow_shrink,
        )
    if isinstance(warehouse, MotherDuckWarehouse):
        return publish_clone(warehouse, spec, run_id=run_id, allow_shrink=allow_shrink)
    from anomaly_assets.warehouse.lake.publish import publish_version
    from anomaly_assets.warehouse.lake.warehouse import LakeWarehouse

    assert isinstance(warehouse, LakeWarehouse)
    return publish_version(warehouse, spec, run_id=run_id, allow_shrink=allow_shrink)


def differences(warehouse: Warehouse, target: Path) -> Differences:
    """Tables whose row counts differ between warehouse and what is published, and how."""
    if isinstance(warehouse, FileWarehouse):
        return differing_file(warehouse, target)
    if isinstance(warehouse, MotherDuckWarehouse):
        return differing_clone(warehouse)
    from anomaly_assets.warehouse.lake.publish import differing_version
    from anomaly_assets.warehouse.lake.warehouse import LakeWarehouse

    assert isinstance(warehouse, LakeWarehouse)
    return differing_version(warehouse)


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
        with attached(target) as connection:
            yield connection
        return
    if isinstance(warehouse, MotherDuckWarehouse):
        yield None
        return
    from anomaly_assets.warehouse.lake.connect import attach_published, start_for_lakes
    from anomaly_assets.warehouse.lake.warehouse import LakeWarehouse

    assert isinstance(warehouse, LakeWarehouse)
    with start_for_lakes() as connection:
        try:
            attach_published(connection, warehouse.location, "published")
        except LookupError:
            yield None
            return
        connection.execute("USE published.main")
        yield connection


def pictures_folder(warehouse: Warehouse, target: Path) -> Path:
    """Return the folder for contact sheets: beside the published database, unless that is not ours.

    Pictures of this warehouse must not replace those of the one that publishes there.
    """
    place = target.absolute()
    if isinstance(warehouse, FileWarehouse):
        with warehouse.connect() as connection:
            ensure_tables(connection)
            if not may_replace(connection, Path(os.path.realpath(target))):
                place = warehouse.path
    return place.parent / "contact_sheets"


def size_of_copy(warehouse: Warehouse, target: Path) -> tuple[Callable[[], int], int] | None:
    """Return a function for the MB copied so far, and the MB in all; None if publishing does not copy."""
    if not isinstance(warehouse, FileWarehouse):
        return None
    target = Path(os.path.realpath(target))
    return (lambda: _megabytes(newest_unfinished(target))), max(1, _megabytes(warehouse.path))


def changes_to_publish(warehouse: Warehouse, target: Path) -> RowChanges:
    """What publishing will do to the rows of `samples` in the published database.

    Nothing is read of the pixels: they follow from the hash of the file, its mask and the transform.
    """
    before: Rows = {}
    # One that cannot be read is replaced.
    with suppress(duckdb.Error), opened_publication(warehouse, target) as published:
        before = _samples(published) if published else {}
    with warehouse.connect() as connection, upstream_needed():
        return compare(before, _samples(connection))


def _samples(connection: duckdb.DuckDBPyConnection) -> Rows:
    return {image_id: rest for image_id, *rest in connection.execute(_SAMPLES).fetchall()}


def _megabytes(path: Path | None) -> int:
    return 0 if path is None else copied_bytes(path) // 1_000_000


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
