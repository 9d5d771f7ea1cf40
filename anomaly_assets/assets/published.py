"""The published database: what the team opens."""

from pathlib import Path

import dagster as dg

from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import FRESHNESS, OWNERS
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.warehouse.publish import publish
from anomaly_assets.warehouse.snapshots import list_snapshots

_UPSTREAM: list[str | dg.AssetKey] = [
    "samples",
    "rejected_images",
    "dataset_summary",
    "pixel_statistics",
    "defect_summary",
    "duplicate_images",
    "load_history",
    *(dg.AssetKey([name, "stray_files"]) for name in SOURCE_DATASETS),
]


@dg.asset(
    deps=_UPSTREAM,
    group_name="shared",
    owners=OWNERS,
    kinds={"duckdb"},
    code_version="1",
    freshness_policy=FRESHNESS,
    metadata={"dagster/storage_kind": "duckdb"},
    description=(
        "One DuckDB file for everybody, swapped in atomically once the blocking checks have passed. "
        "Open it read-only:\n\n```sql\nSELECT * FROM anomaly.samples LIMIT 10;\n```"
    ),
)
def published_database(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """Write a snapshot of the warehouse, unless its content is already published."""
    target = warehouse.settings.database
    publication = publish(
        warehouse.warehouse,
        target,
        warehouse.settings.tensor_spec,
        run_id=context.run.run_id,
        keep_snapshots=warehouse.settings.keep_snapshots,
    )
    origin = publication.provenance
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(str(target)),
            "snapshot_id": publication.snapshot_id,
            "written": publication.written,
            "snapshots": _snapshots(target),
            **{name: dg.MetadataValue.json(origin[name]) for name in _MAPS if origin.get(name)},
            **{name: str(origin[name]) for name in _FACTS if origin.get(name)},
            "file_bytes": publication.file_bytes,
            "dagster/row_count": publication.samples,
        }
    )


_FACTS = ("published_at", "code_version", "transform")
_MAPS = ("roots", "load_ids", "row_counts")


def _snapshots(target: Path) -> dg.TableMetadataValue:
    """The snapshots that can be opened by their id, newest first."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "snapshot_id": snapshot.snapshot_id,
                    "published_at": f"{snapshot.published_at:%Y-%m-%d %H:%M:%S %Z}",
                    "samples": snapshot.tensors,
                    "file": snapshot.path.name,
                }
            )
            for snapshot in list_snapshots(target)
        ]
    )
