"""Define the asset of the contact sheets: pictures of the data, in the UI and as files."""

from typing import Any

import dagster as dg

from anomaly_assets.assets.reports import (
    MOST_PICTURE_CHARACTERS,
    Pictures,
    bytes_within,
    materialized,
    new_pictures,
    picture,
)
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import FRESHNESS, OWNERS, code_references
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.tables.ddl import refuse_missing_tables
from anomaly_assets.warehouse.base import interrupted_queries


@dg.asset(
    deps=["samples"],
    group_name="summaries",
    owners=OWNERS,
    kinds={"python", "report"},
    code_version="2",
    freshness_policy=FRESHNESS,
    metadata=code_references(
        "previews/sheets.py", "previews/kept.py", "drawing.py", "assets/previews.py"
    ),
    description=(
        "One picture per source dataset. Each row is a category: good images on the left, anomalous "
        "ones on the right, with the outline of the mask and the defect type. Drawn from the stored "
        "tensors, so it shows what a model will see:\n\n```sql\nSELECT image_tensor, mask_tensor FROM "
        "anomaly.samples LIMIT 10;\n```\n\nThe latest materialization below shows them. Larger ones are "
        "files beside the published database: `contact_sheets/<source_dataset>/<category>.jpg`."
    ),
)
def contact_sheets(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """Draw the sheets from the stored tensors, unless the files are up to date."""
    from anomaly_assets.previews.kept import current_sheets

    folder = warehouse.pictures_folder
    facts: dict[str, Any] = {}

    def draw() -> Pictures:
        with interrupted_queries(connection):
            most_bytes = bytes_within(MOST_PICTURE_CHARACTERS - 200 * len(SOURCE_DATASETS))
            sheets = current_sheets(connection, folder, SOURCE_DATASETS, most_bytes)
        facts["files"] = len(sheets.files)
        facts["images_drawn"] = sheets.images
        facts["drawn_again"] = sheets.drawn
        return {
            name: picture(f"{SOURCE_DATASETS[name].title}: good beside anomalous", content)
            for name, content in sheets.small.items()
        }

    with warehouse.warehouse.connect() as connection:
        refuse_missing_tables(connection, "images", "image_tensors")
        pictures = new_pictures(context, dg.AssetKey("contact_sheets"), draw)
    return materialized(
        context, {**pictures, "folder": dg.MetadataValue.path(str(folder)), **facts}
    )
