"""Draw the overview of one source dataset, as the UI shows it."""

from __future__ import annotations

from collections.abc import Mapping

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
    plan = sheets.planned(keys, source_dataset)
    samples = list(sheets.picked_samples(connection, plan.overview))
    overview = sheets.Overview(samples, plan.left_out)
    return sheets._overview(overview, sheets.PER_KIND) if samples else None


def small_sheets(overviews: Mapping[str, sheets.Overview], most_bytes: int) -> dict[str, bytes]:
    """Draw the small sheets of several source datasets within a byte budget for all."""
    rows = {
        name: len({sample.category for sample in overview.samples})
        for name, overview in overviews.items()
    }
    shares = sheets.budgets(rows, most_bytes)
    return {name: sheets.small_sheet(overviews[name], share) for name, share in shares.items()}
