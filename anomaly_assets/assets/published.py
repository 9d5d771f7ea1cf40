"""Define the asset of the published database, which the team opens."""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import dagster as dg

from anomaly_assets.assets.gallery import gallery_folder
from anomaly_assets.assets.progress import Progress, duration, watched
from anomaly_assets.assets.reports import materialized, picture, row_metadata, size, table
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import FRESHNESS, OWNERS, code_references
from anomaly_assets.datasets.names import shown
from anomaly_assets.tables.preview_rows import Shown
from anomaly_assets.tables.quality import Result
from anomaly_assets.tables.registry import TABLES
from anomaly_assets.warehouse.base import interrupted_queries


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


def published_asset() -> dg.AssetsDefinition:
    """Define the asset that publishes, downstream of everything that is published.

    A table that is made in the same step as one of these, or before it, has no edge of its own: it would
    cross the others.
    """
    summaries = (table.name for table in TABLES.values() if table.made_from)
    upstream = ["samples", "splits", "image_previews", *summaries]

    @dg.asset(
        deps=upstream,
        group_name="published",
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
        seconds = time.monotonic() - started
        return materialized(
            context,
            {
                **row_metadata(published.samples, changes),
                **_failed_checks(context, warehouse, published.quality),
                "path": dg.MetadataValue.path(published.location),
                **_gallery(warehouse),
                **_in_words(published.details, seconds),
                **published.details,
                "seconds": round(seconds, 3),
                "written": published.written,
                "snapshot_id": published.snapshot_id,
                "snapshots": _table(published.history),
                **{name: dg.MetadataValue.json(origin[name]) for name in _MAPS if origin.get(name)},
                **{name: str(origin[name]) for name in _FACTS if origin.get(name)},
            },
        )

    return published_database


def _in_words(details: Mapping[str, int], seconds: float) -> dict[str, str]:
    """Return size and time for people; the UI plots the numbers beside them."""
    sizes = {"size": size(details["file_bytes"])} if "file_bytes" in details else {}
    return {**sizes, "took": duration(seconds)}


def _gallery(warehouse: WarehouseResource) -> dict[str, Any]:
    """Return the path of the gallery, which the next step writes, and its address if it has one."""
    facts: dict[str, Any] = {
        "gallery": dg.MetadataValue.path(str(gallery_folder(warehouse) / "index.html"))
    }
    if url := warehouse.settings.gallery_url:
        facts["gallery_url"] = dg.MetadataValue.url(url)
    return facts


def _failed_checks(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, results: Sequence[Result]
) -> dict[str, Any]:
    """Return metadata with every failed check of all assets: a table with links, and pictures."""
    failed = sorted((each for each in results if not each.passed), key=lambda each: -each.affected)
    if not failed:
        return {"checks_failed": 0}
    cells = [
        (
            f"[{each.check_name}](/assets/{each.asset}?view=checks&checkDetail={each.check_name})",
            f"[{each.asset}](/assets/{each.asset})",
            f"{each.affected:,}",
            each.sentence,
            f"`{each.query}`",
        )
        for each in failed
    ]
    columns = ("check", "asset", "affected", "what is wrong, and what to do", "in SQL")
    text = Shown(columns, cells).markdown(most=500)
    try:
        text += _first_affected(warehouse)
    except Exception as error:  # a picture never fails a run
        context.log.warning(f"Affected images could not be drawn: {type(error).__name__}: {error}")
    return {"checks_failed": len(failed), "failed_checks": dg.MetadataValue.md(text)}


def _first_affected(warehouse: WarehouseResource) -> str:
    """Return pictures of the first affected image of each failed check about images, as Markdown."""
    from anomaly_assets.previews.offenders import thumbnails

    with warehouse.warehouse.connect() as connection, interrupted_queries(connection):
        first = connection.execute(_FIRST, [_MOST_PICTURES]).fetchall()
        ids = [image_id for _, image_id in first]
        drawn = thumbnails(connection, ids, warehouse.settings, _SIDE)
    parts = [
        f"{check}: first of them is `{shown(image_id)}`\n\n{picture(check, drawn[image_id]).md_str}"
        for check, image_id in first
        if image_id in drawn
    ]
    return "".join(f"\n\n{part}" for part in parts)


_MOST_PICTURES = 5
_SIDE = 160
_FIRST = """
SELECT check_name, image_id FROM quality_images
WHERE place = 1 AND image_id IS NOT NULL
ORDER BY check_name LIMIT ?
"""


_FACTS = ("published_at", "code_version", "transform")
_MAPS = ("roots", "load_ids", "row_counts")


def _table(history: Sequence[Mapping[str, object]]) -> dg.TableMetadataValue:
    """Return a table of the snapshots that can be opened by their id, newest first."""
    columns = list(history[0]) if history else ["snapshot_id"]
    return table(columns, (row.values() for row in history))
