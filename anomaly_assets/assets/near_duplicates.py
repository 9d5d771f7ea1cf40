"""Define the asset of the near duplicates."""

import time

import dagster as dg

from anomaly_assets.assets.progress import duration
from anomaly_assets.assets.reports import materialized, row_metadata, rows_shown
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import table_spec
from anomaly_assets.tables.ddl import ensure_tables, row_count, upstream_needed
from anomaly_assets.tables.preview_rows import first_rows
from anomaly_assets.tables.row_changes import compare, keyed_rows

_ROWS_SHOWN = 20


@dg.multi_asset(
    specs=[
        table_spec(
            "near_duplicates",
            group="curation",
            deps=["samples"],
            kinds={"python", "duckdb"},
            files=[
                "near_duplicates/measure.py",
                "near_duplicates/search.py",
                "assets/near_duplicates.py",
            ],
        )
    ],
    name="near_duplicates",
)
def near_duplicates(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """Compare the thumbnails of each category that changed since its last search."""
    from anomaly_assets.near_duplicates.search import update_near_duplicates

    started = time.monotonic()
    with warehouse.warehouse.finishing(), warehouse.warehouse.connect() as connection:
        ensure_tables(connection)
        before = keyed_rows(connection, "near_duplicates")
        with upstream_needed():
            search = update_near_duplicates(connection)
        changes = compare(before, keyed_rows(connection, "near_duplicates"))
        rows = row_count(connection, "near_duplicates")
        shown = first_rows(connection, "near_duplicates", _ROWS_SHOWN)
    seconds = time.monotonic() - started
    return materialized(
        context,
        {
            **row_metadata(rows, changes),
            "categories_searched": search.categories,
            "images_compared": search.images,
            "thumbnails_from_tensors": search.thumbnails,
            "took": duration(seconds),
            "seconds": round(seconds, 3),
            "rows": rows_shown(shown, changes),
        },
    )
