"""Summary tables: one SQL file each."""

import dagster as dg

from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import table_spec
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.warehouse.schema import markdown_rows, refresh, row_count
from anomaly_assets.warehouse.tables import TABLES

_UPSTREAM: dict[str, list[str | dg.AssetKey]] = {
    "dataset_summary": ["images", "image_tensors", "rejected_images"],
    "pixel_statistics": ["images", "image_tensors"],
    "defect_summary": ["images", "image_tensors"],
    "duplicate_images": ["images", "image_tensors"],
    "load_history": [
        dg.AssetKey([name, table])
        for name in SOURCE_DATASETS
        for table in ("images", "stray_files")
    ],
}
_ROWS_SHOWN = 20


def summary_asset(name: str) -> dg.AssetsDefinition:
    """The asset of one summary table or view."""
    is_view = TABLES[name].is_view
    spec = table_spec(name, group="summaries", deps=_UPSTREAM[name], kinds={"duckdb", "sql"})

    @dg.multi_asset(specs=[spec], name=name)
    def summary(warehouse: WarehouseResource) -> dg.MaterializeResult:
        """Run the SQL file of this table."""
        # A view takes no part in what others refresh; rows do.
        alone = warehouse.warehouse.writing if is_view else warehouse.warehouse.finishing
        with alone(), warehouse.warehouse.connect() as connection:
            refresh(connection, name)
            return dg.MaterializeResult(
                metadata={
                    "dagster/row_count": row_count(connection, name),
                    "rows": dg.MetadataValue.md(markdown_rows(connection, name, _ROWS_SHOWN)),
                }
            )

    return summary


summaries = [summary_asset(name) for name in _UPSTREAM]
