"""Draw one small sheet per source dataset for descriptions, in which every defect type is shown."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
from PIL import Image

from anomaly_assets.drawing import (
    FAINT_INK,
    GOOD,
    MARGIN,
    WIDTH,
    as_webp,
    blank,
    fitted,
    thumbnail,
    write,
)
from anomaly_assets.previews.sheets import Key, Sample, picked_keys, picked_samples

MOST_TILES = 96
"""Limit for images on a sheet; good ones are left out first, and further ones are counted."""

_MOST_TYPES = 60
"""Limit for defect types of one category."""

_GAP = 4
_CAPTION = 16
_FEW_TILES = 18
_COLUMNS = {True: 6, False: 10}


def inline_sheet(
    connection: duckdb.DuckDBPyConnection, source_dataset: str, most_bytes: int
) -> bytes | None:
    """Draw one good image of each category, and one anomalous image of each of its defect types.

    Args:
        connection: A database with `effective_images` and `image_tensors`.
        source_dataset: Name of the source dataset.
        most_bytes: Limit for the size of the result.

    Returns:
        A WebP picture; None if the source dataset has no samples.
    """
    keys = _chosen(picked_keys(connection, source_dataset, _MOST_TYPES, 1))
    samples = [*picked_samples(connection, keys[:MOST_TILES])]
    if not samples:
        return None
    return as_webp(_drawn(samples, len(keys) - len(samples)), most_bytes)


def _chosen(keys: Sequence[Key]) -> list[Key]:
    """Return the first good image of each category and all anomalous ones, in their order."""
    good: dict[str, str] = {}
    for category, label, _, image_id, *_ in keys:
        if label == "good":
            good.setdefault(category, image_id)
    anomalous = [key for key in keys if key[1] != "good"]
    if len(good) + len(anomalous) > MOST_TILES:
        return anomalous
    return [key for key in keys if key[1] != "good" or good[key[0]] == key[3]]


def _drawn(samples: Sequence[Sample], left_out: int) -> Image.Image:
    columns = _COLUMNS[len(samples) <= _FEW_TILES]
    side = (WIDTH - 2 * MARGIN - (columns - 1) * _GAP) // columns
    rows = -(-len(samples) // columns)
    sheet = blank(2 * MARGIN + rows * (side + _CAPTION) + (_CAPTION if left_out else 0))
    for place, sample in enumerate(samples):
        row, column = divmod(place, columns)
        left, top = MARGIN + column * (side + _GAP), MARGIN + row * (side + _CAPTION)
        sheet.paste(thumbnail(sample.pixels, side), (left, top))
        is_good = sample.label == "good"
        text = sample.category if is_good else sample.caption
        write(
            sheet,
            (left, top + side + 2),
            fitted(text, side, 11),
            ink=GOOD if is_good else FAINT_INK,
        )
    if left_out:
        more = f"and {left_out:,} more defect type{'' if left_out == 1 else 's'}"
        write(sheet, (MARGIN, sheet.height - MARGIN - 12), more, ink=FAINT_INK)
    return sheet
