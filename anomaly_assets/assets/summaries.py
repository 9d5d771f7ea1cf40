"""Define the assets of the summary tables; each table has one SQL file."""

from collections.abc import Mapping, Sequence
from functools import partial

import dagster as dg
import duckdb

from anomaly_assets.assets.reports import (
    MOST_PICTURE_CHARACTERS,
    bytes_within,
    changes_in_this_run,
    materialized,
    new_pictures,
    picture,
    row_metadata,
    rows_shown,
)
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import table_spec
from anomaly_assets.tables.ddl import HISTORY_VIEWS, refresh, row_count
from anomaly_assets.tables.preview_rows import first_rows
from anomaly_assets.tables.registry import CATALOGUE_TABLES, TABLES
from anomaly_assets.tables.row_changes import RowChanges, Rows, compare, keyed_rows
from anomaly_assets.warehouse.base import interrupted_queries

_CHARTS: Mapping[str, str] = {
    "dataset_summary": "Images per category, split and label",
    "defect_summary": "Defect area per type",
}
_ROWS_SHOWN = 20


def summary_asset(name: str, source_datasets: Sequence[str]) -> dg.AssetsDefinition:
    """Build the asset of one summary table or view."""
    entry = TABLES[name]
    files = ["assets/summaries.py", *(["previews/charts.py"] if name in _CHARTS else [])]
    kinds = {"duckdb", "sql"}
    # Depend on `images` or `samples` only: with an edge from every earlier table, the graph would be too
    # large for a screen.
    deps = ["images" if any("<source_dataset>" in of for of in entry.made_from) else "samples"]
    spec = table_spec(name, group="summaries", deps=deps, kinds=kinds, files=files)

    @dg.multi_asset(specs=[spec], name=name)
    def summary(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        """Run the SQL file of this table."""
        # A view stores no rows: the write lock is enough, and tensors may still be missing.
        alone = warehouse.warehouse.writing if entry.is_view else warehouse.warehouse.finishing
        with alone(), warehouse.warehouse.connect() as connection:
            before = keyed_rows(connection, name) if entry.key else Rows()
            refresh(connection, *(HISTORY_VIEWS if name in HISTORY_VIEWS else (name,)))
            rows = row_count(connection, name)
            if entry.key:
                changes = compare(before, keyed_rows(connection, name))
            else:
                changes = _loads_in_this_run(context, source_datasets, rows)
            shown = first_rows(connection, name, _ROWS_SHOWN)
            chart = new_pictures(context, dg.AssetKey(name), partial(_chart, connection, name))
        return materialized(
            context,
            {
                **row_metadata(rows, changes),
                **chart,
                "rows": rows_shown(shown, changes),
            },
        )

    return summary


def _loads_in_this_run(
    context: dg.AssetExecutionContext, source_datasets: Sequence[str], rows: int
) -> RowChanges:
    """Return the rows added to the load history: one per source dataset that this run changed."""
    added = 0
    for name in source_datasets:
        tables = [dg.AssetKey([name, table]) for table in CATALOGUE_TABLES]
        changes = [changes_in_this_run(context, table) for table in tables]
        added += any(change.added or change.changed or change.removed for change in changes)
    return RowChanges(added=added, unchanged=rows - added)


def _chart(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, dg.MarkdownMetadataValue]:
    """Return metadata with the chart of a summary, if it has one."""
    if name not in _CHARTS:
        return {}
    from anomaly_assets.drawing import as_webp
    from anomaly_assets.previews import charts

    draw = {"dataset_summary": charts.image_counts, "defect_summary": charts.defect_areas}[name]
    with interrupted_queries(connection):
        chart = draw(connection)
    if chart is None:
        return {}
    content = as_webp(chart, bytes_within(MOST_PICTURE_CHARACTERS), lossless=True)
    return {"chart": picture(_CHARTS[name], content)}


def summary_assets(source_datasets: Sequence[str]) -> list[dg.AssetsDefinition]:
    """Define an asset for every table and view that is computed from others."""
    names = [table.name for table in TABLES.values() if table.made_from]
    return [summary_asset(name, source_datasets) for name in names]
