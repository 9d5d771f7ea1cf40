"""The published database: what the team opens."""

import time
from pathlib import Path

import dagster as dg

from anomaly_assets.assets.progress import Progress, megabytes, watched
from anomaly_assets.assets.reports import row_metadata, table
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import FRESHNESS, OWNERS, code_references
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.warehouse.changes import changes_to_publish
from anomaly_assets.warehouse.publish import publish, unfinished_copy
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
    metadata={
        "dagster/storage_kind": "duckdb",
        **code_references("warehouse/publish.py", "assets/published.py"),
    },
    description=(
        "One DuckDB file for everybody, with every table of this graph, swapped in atomically once the "
        "blocking checks have passed. A row of `anomaly.samples` is an image with labels, tensor and "
        "mask. Open the file read-only and ask:\n\n```sql\nSELECT source_dataset, split, label, "
        "count(*) AS images\nFROM anomaly.samples GROUP BY ALL ORDER BY ALL;\n```\n\nor train from "
        "it:\n\n```python\nfrom anomaly_assets.reader import open_samples\n\n"
        'for batch in open_samples("data/anomaly.duckdb", split="train").batches(64):\n    ...\n```'
    ),
)
def published_database(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """Write a snapshot of the warehouse, unless its content is already published."""
    target = warehouse.settings.database
    changes = changes_to_publish(warehouse.warehouse, target)
    started = time.monotonic()
    with watched(
        Progress(context.log.info, "MB of the snapshot written"),
        lambda: megabytes(unfinished_copy(target)),
        megabytes(warehouse.warehouse.path) or None,
    ):
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
            **row_metadata(publication.samples, changes),
            "path": dg.MetadataValue.path(str(target)),
            "file_bytes": publication.file_bytes,
            "seconds": round(time.monotonic() - started, 3),
            "written": publication.written,
            "snapshot_id": publication.snapshot_id,
            "snapshots": _snapshots(target),
            **{name: dg.MetadataValue.json(origin[name]) for name in _MAPS if origin.get(name)},
            **{name: str(origin[name]) for name in _FACTS if origin.get(name)},
        }
    )


_FACTS = ("published_at", "code_version", "transform")
_MAPS = ("roots", "load_ids", "row_counts")


def _snapshots(target: Path) -> dg.TableMetadataValue:
    """The snapshots that can be opened by their id, newest first."""
    return table(
        ("snapshot_id", "published_at", "samples", "file"),
        (
            (
                snapshot.snapshot_id,
                f"{snapshot.published_at:%Y-%m-%d %H:%M:%S %Z}",
                snapshot.tensors,
                snapshot.path.name,
            )
            for snapshot in list_snapshots(target)
        ),
    )
