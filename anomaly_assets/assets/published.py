"""Define the asset of the published database, which the team opens."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext

import dagster as dg

from anomaly_assets.assets.progress import Progress, watched
from anomaly_assets.assets.reports import materialized, row_metadata, table
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import FRESHNESS, OWNERS, code_references
from anomaly_assets.tables.registry import TABLES


class PublishConfig(dg.Config):
    """Run config of the published database.

    Attributes:
        adopt: Replace the published database although another warehouse owns it. This warehouse owns it
            from then on.
        allow_shrink: Accept fewer than 80 % of the samples that a source dataset had, for instance because
            most of its files can no longer be decoded. The consent is recorded.
    """

    adopt: bool = False
    allow_shrink: bool = False


def published_asset(source_datasets: Iterable[str]) -> dg.AssetsDefinition:
    """Define the asset that publishes, downstream of everything that is published."""
    upstream: list[str | dg.AssetKey] = [
        "samples",
        "recipe_tensors",
        "rejected_images",
        "image_previews",
        "near_duplicates",
        "splits",
        *(table.name for table in TABLES.values() if table.made_from),
        *(dg.AssetKey([name, "stray_files"]) for name in source_datasets),
    ]

    @dg.asset(
        deps=upstream,
        group_name="shared",
        owners=OWNERS,
        kinds={"duckdb"},
        code_version="1",
        freshness_policy=FRESHNESS,
        metadata={
            "dagster/storage_kind": "duckdb",
            **code_references("warehouse/file/publish.py", "assets/published.py"),
        },
        description=(
            "One DuckDB file with every table of this graph. It is replaced atomically once the blocking "
            "checks have passed. A row of `anomaly.samples` is an image with labels, tensor and mask. "
            "Open the file read-only and run:\n\n```sql\nSELECT source_dataset, split, label, "
            "count(*) AS images\nFROM anomaly.samples GROUP BY ALL ORDER BY ALL;\n```\n\nor train from "
            "it:\n\n```python\nfrom anomaly_assets.reader import open_samples\n\n"
            'for batch in open_samples("data/anomaly.duckdb", split="train").batches(64):\n    ...\n```'
        ),
    )
    def published_database(
        context: dg.AssetExecutionContext, config: PublishConfig, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        """Write a snapshot of the warehouse, unless its content is already published."""
        settings = warehouse.settings
        changes = warehouse.warehouse.changes_to_publish(settings.database)
        started = time.monotonic()
        copied = warehouse.warehouse.copy_progress(settings.database)
        progress = Progress(context.log.info, "MB of the snapshot written")
        with watched(progress, *copied) if copied else nullcontext():
            published = warehouse.warehouse.publish(
                settings.database,
                warehouse.recipes.common,
                run_id=context.run.run_id,
                keep_snapshots=settings.keep_snapshots,
                adopt=config.adopt,
                allow_shrink=config.allow_shrink,
            )
        if copied and published.written and progress.has_logged:
            progress(copied[1], copied[1])
        if published.summaries:
            context.log.warning(
                f"Rebuilt {', '.join(published.summaries)}: a run that changed samples left them out."
            )
        origin = published.provenance
        return materialized(
            context,
            {
                **row_metadata(published.samples, changes),
                "path": dg.MetadataValue.path(published.location),
                **published.details,
                "seconds": round(time.monotonic() - started, 3),
                "written": published.written,
                "snapshot_id": published.snapshot_id,
                "snapshots": _table(published.history),
                **{name: dg.MetadataValue.json(origin[name]) for name in _MAPS if origin.get(name)},
                **{name: str(origin[name]) for name in _FACTS if origin.get(name)},
            },
        )

    return published_database


_FACTS = ("published_at", "code_version", "transform")
_MAPS = ("roots", "load_ids", "row_counts")


def _table(history: Sequence[Mapping[str, object]]) -> dg.TableMetadataValue:
    """Return a table of the snapshots that can be opened by their id, newest first."""
    columns = list(history[0]) if history else ["snapshot_id"]
    return table(columns, (row.values() for row in history))
