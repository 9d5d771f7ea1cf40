"""Define the asset of the previews: a small picture of each image, for the gallery and SQL viewers."""

import time

import dagster as dg

from anomaly_assets.assets.progress import Progress
from anomaly_assets.assets.reports import changes_in_this_run, materialized, row_metadata
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import table_spec
from anomaly_assets.tables.ddl import ensure_tables, row_count
from anomaly_assets.tables.row_changes import RowChanges


@dg.multi_asset(
    specs=[
        table_spec(
            "image_previews",
            group="summaries",
            deps=["image_tensors"],
            kinds={"python", "duckdb"},
            files=["previews/tiles.py", "drawing.py", "assets/image_previews.py"],
        )
    ],
    name="image_previews",
)
def image_previews(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """Draw the previews that decoding did not, such as those of tensors of an earlier release."""
    from anomaly_assets.previews.tiles import update_previews

    started = time.monotonic()
    progress = Progress(context.log.info, "previews")
    with warehouse.warehouse.finishing(), warehouse.warehouse.connect() as connection:
        ensure_tables(connection)
        drawn = update_previews(connection, warehouse.settings.workers, progress)
        rows = row_count(connection, "image_previews")
        [(size,)] = connection.execute(
            "SELECT coalesce(sum(octet_length(preview)), 0)::BIGINT FROM image_previews"
        ).fetchall()
    return materialized(
        context,
        {
            **row_metadata(rows, _changes(context, drawn, rows)),
            "bytes": size,
            "seconds": round(time.monotonic() - started, 3),
        },
    )


def _changes(context: dg.AssetExecutionContext, drawn: RowChanges, rows: int) -> RowChanges:
    """Return this run's changes to the previews: by decoding, and by this step."""
    decoded = changes_in_this_run(context, dg.AssetKey("image_tensors"))
    added, changed = decoded.added + drawn.added, decoded.changed + drawn.changed
    removed = decoded.removed + drawn.removed
    return RowChanges(added, changed, removed, max(0, rows - added - changed))
