"""Pictures of the data, in the UI and as files."""

import base64

import dagster as dg

from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import FRESHNESS, OWNERS
from anomaly_assets.datasets import SOURCE_DATASETS

_MOST_BYTES = 100_000 * 3 // 4 // len(SOURCE_DATASETS)
"""Previews stay in the event log for ever: 100 kB of base64 text per materialization, all together."""


@dg.asset(
    deps=["samples"],
    group_name="summaries",
    owners=OWNERS,
    kinds={"pillow", "jpeg"},
    code_version="1",
    freshness_policy=FRESHNESS,
    description=(
        "A picture per source dataset: good images beside anomalous ones of each category, the defect "
        "outlined. The full sheets lie in `contact_sheets/` beside the published database."
    ),
)
def contact_sheets(warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Draw the sheets from the stored tensors."""
    from anomaly_assets.previews import as_jpeg, contact_sheet

    folder = warehouse.settings.database.absolute().parent / "contact_sheets"
    folder.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, dg.MetadataValue] = {"folder": dg.MetadataValue.path(str(folder))}
    with warehouse.warehouse.connect() as connection:
        for name, dataset in SOURCE_DATASETS.items():
            sheet = contact_sheet(connection, name)
            if sheet is None:
                continue
            (folder / f"{name}.jpg").write_bytes(as_jpeg(sheet))
            small = base64.b64encode(as_jpeg(sheet, _MOST_BYTES)).decode("ascii")
            metadata[name] = dg.MetadataValue.md(
                f"![{dataset.title}](data:image/jpeg;base64,{small})"
            )
    return dg.MaterializeResult(metadata=metadata)
