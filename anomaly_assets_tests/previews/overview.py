"""The overview of one source dataset, as the UI shows it."""

from __future__ import annotations

import duckdb
from PIL import Image

from anomaly_assets.previews import sheets


def contact_sheet(connection: duckdb.DuckDBPyConnection, source_dataset: str) -> Image.Image | None:
    """Draw a sheet as wide as the UI shows it: one row per category, good images left, anomalous right.

    Args:
        connection: A database with `images` and `image_tensors`.
        source_dataset: Which one to draw.

    Returns:
        An RGB picture; None where the source dataset has no sample.
    """
    keys = sheets.picked_keys(connection, source_dataset, sheets.PER_KIND, sheets.PER_KIND)
    shown = {key[0] for key in sheets._first_categories(keys)}
    samples = list(sheets.picked_samples(connection, [key for key in keys if key[0] in shown]))
    left_out = len({key[0] for key in keys}) - len(shown)
    return (
        sheets._overview(sheets.Overview(samples, left_out), sheets.PER_KIND) if samples else None
    )
