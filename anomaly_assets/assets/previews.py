"""Define the asset of the contact sheets: pictures of the data, in the UI and as files."""

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

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
from anomaly_assets.atomic import write_file
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.tables.ddl import refuse_missing_tables
from anomaly_assets.tables.source_datasets import stored_names
from anomaly_assets.warehouse.base import interrupted_queries

_IN_HOME = "contact_sheets.md"
"""File in the Dagster home with the pictures of the description: the definitions read nothing else."""

_MOST_INLINE_CHARACTERS = 30_000


def _inline_pictures() -> str:
    """Return the pictures that the latest materialization stored in the Dagster home, as Markdown."""
    home = os.environ.get("DAGSTER_HOME")
    with suppress(OSError, UnicodeError):
        path = Path(home or "", _IN_HOME)
        if home and path.stat().st_size <= _MOST_INLINE_CHARACTERS:
            return f"\n\n{path.read_text('utf-8')}"
    return ""


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
        f"ones on the right, with the outline of the mask and the defect type.{_inline_pictures()}\n\n"
        "Drawn from the stored tensors, so it shows what a model will see:\n\n```sql\n"
        "SELECT image_tensor, mask_tensor FROM anomaly.samples LIMIT 10;\n```\n\n"
        "The latest materialization below shows them. Larger ones are files beside the published "
        "database: `contact_sheets/<source_dataset>/<category>.jpg`."
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
            held = SOURCE_DATASETS.keys() & stored_names(connection)
            shown = [name for name in SOURCE_DATASETS if name in held]
            sheets = current_sheets(connection, folder, shown, most_bytes)
            _store_in_home(context, connection, folder, sheets.small, sheets.drawn)
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


def _store_in_home(
    context: dg.AssetExecutionContext,
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    source_datasets: Collection[str],
    drawn: bool,
) -> None:
    """Store small pictures for the description in the Dagster home, if they have changed.

    Args:
        context: The run.
        connection: The warehouse.
        folder: Folder of the sheets; the file is of these if it names the folder.
        source_datasets: Source datasets with samples.
        drawn: Whether this run has drawn sheets.
    """
    from anomaly_assets.previews.inline import inline_sheet

    path = Path(context.instance.root_directory, _IN_HOME)
    head = f"<!-- {folder} -->"
    with suppress(OSError, UnicodeError):
        if not drawn and path.read_text("utf-8").startswith(head):
            return
    each = _MOST_INLINE_CHARACTERS // max(1, len(source_datasets)) - 200
    parts = [head]
    for name in source_datasets:
        content = inline_sheet(connection, name, bytes_within(each))
        if content is not None:
            title = SOURCE_DATASETS[name].title
            parts += [f"**{title}**", picture(f"{title}: every defect type", content).md_str or ""]
    write_file(path, "\n\n".join(parts).encode())
