"""The published database: what the team opens."""

import dagster as dg

from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import FRESHNESS, OWNERS
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.warehouse.publications import publish_warehouse

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
    settings = warehouse.settings
    published = publish_warehouse(
        warehouse.warehouse,
        settings.database,
        settings.tensor_spec,
        run_id=context.run.run_id,
        keep_snapshots=settings.keep_snapshots,
    )
    origin = published.provenance
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(published.location),
            "snapshot_id": published.snapshot_id,
            "written": published.written,
            "snapshots": dg.MetadataValue.table([dg.TableRecord(row) for row in published.history]),
            **{name: dg.MetadataValue.json(origin[name]) for name in _MAPS if origin.get(name)},
            **{name: str(origin[name]) for name in _FACTS if origin.get(name)},
            **published.details,
            "dagster/row_count": published.samples,
        }
    )


_FACTS = ("published_at", "code_version", "transform")
_MAPS = ("roots", "load_ids", "row_counts")
