"""Contact sheets: what the data looks like, good beside anomalous, with the defect outlined and named.

Pictures are made from the stored tensors, so they show exactly what a model will see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import duckdb
from PIL import Image, ImageDraw

from anomaly_assets.atomic import write_file
from anomaly_assets.previews.drawing import (
    ANOMALOUS,
    FAINT_INK,
    GOOD,
    LINE,
    MARGIN,
    WIDTH,
    Pixels,
    as_jpeg,
    as_webp,
    blank,
    fitted,
    thumbnail,
    webp_of_this_size,
    write,
)

PER_KIND = 3
"""Good images, and anomalous ones, of each category on the sheet of a source dataset."""

MOST_PER_KIND = 12
PER_DEFECT_TYPE = 3
"""On the sheet of a category: good images, and anomalous ones; and how many of one defect type."""

_GAP = 4
_GUTTER = 16
_CAPTION = 16
_TITLE = 24
_HEADING = 22
_LARGE = 160
_COLUMNS = 6
_AT_ONCE = 32
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Sample:
    """A picture on a sheet.

    Attributes:
        category: Its category.
        label: `good` or `anomalous`.
        caption: The defect type; `good` where there is none.
        pixels: The picture.
    """

    category: str
    label: str
    caption: str
    pixels: Pixels


def contact_sheet(connection: duckdb.DuckDBPyConnection, source_dataset: str) -> Image.Image | None:
    """A sheet as wide as the UI shows it: one row per category, good images left, anomalous right.

    Args:
        connection: A database with `images` and `image_tensors`.
        source_dataset: Which one to draw.

    Returns:
        An RGB picture; None where the source dataset has no sample.
    """
    samples = picked_samples(connection, source_dataset, PER_KIND, PER_KIND)
    return _overview(samples, PER_KIND) if samples else None


def picked_samples(
    connection: duckdb.DuckDBPyConnection, source_dataset: str, per_kind: int, per_defect_type: int
) -> list[Sample]:
    """Images of every category, always the same for the same data: one of each defect type first.

    Args:
        connection: A database with `images` and `image_tensors`.
        source_dataset: Which one.
        per_kind: How many good ones for training, and how many anomalous ones.
        per_defect_type: How many of one defect type at most.
    """
    parameters = _parameters(source_dataset, per_kind, per_defect_type)
    result = connection.execute(_PICKED + _PIXELS, parameters)
    samples = []
    while rows := result.fetchmany(_AT_ONCE):
        samples += [
            Sample(category, label, caption, Pixels.from_bytes(shape, *content).within(_LARGE))
            for category, label, caption, shape, *content in rows
        ]
    return samples


def picked_keys(
    connection: duckdb.DuckDBPyConnection, source_dataset: str, per_kind: int, per_defect_type: int
) -> list[tuple[str, ...]]:
    """What tells the pictures of `picked_samples` apart, without reading one; takes the same arguments."""
    parameters = _parameters(source_dataset, per_kind, per_defect_type)
    return connection.execute(_PICKED + _KEYS, parameters).fetchall()


def _parameters(source_dataset: str, per_kind: int, per_defect_type: int) -> dict[str, object]:
    return {
        "source_dataset": source_dataset,
        "per_kind": per_kind,
        "per_defect_type": per_defect_type,
    }


def _overview(samples: Sequence[Sample], per_kind: int) -> Image.Image:
    """One row per category, with so many good and so many anomalous images."""
    categories = list(dict.fromkeys(sample.category for sample in samples))
    half = (WIDTH - 2 * MARGIN - _GUTTER) // 2
    side = (half - (PER_KIND - 1) * _GAP) // PER_KIND
    row_height = _TITLE + side + _CAPTION + MARGIN
    sheet = blank(_HEADING + len(categories) * row_height + MARGIN)
    lefts = {"good": MARGIN, "anomalous": MARGIN + half + _GUTTER}
    headings = {"good": ("good, for training", GOOD), "anomalous": ("anomalous", ANOMALOUS)}
    for label, left in lefts.items():
        text, colour = headings[label]
        write(sheet, (left, MARGIN), text, size=12, ink=colour)
    for row, category in enumerate(categories):
        top = _HEADING + row * row_height
        ImageDraw.Draw(sheet).line((MARGIN, top + 3, WIDTH - MARGIN, top + 3), fill=LINE)
        write(sheet, (MARGIN, top + 7), fitted(category, WIDTH - 2 * MARGIN, 13), size=13)
        for label, left in lefts.items():
            chosen = [s for s in samples if (s.category, s.label) == (category, label)][:per_kind]
            _paste(sheet, chosen, left, top + _TITLE, side, PER_KIND)
    return sheet


def _category_sheet(samples: Sequence[Sample]) -> Image.Image:
    """The full sheet of one category: good images, then anomalous ones by defect type, larger."""
    sections = {
        label: [sample for sample in samples if sample.label == label]
        for label in ("good", "anomalous")
    }
    row_height = _LARGE + _CAPTION + MARGIN
    rows = {label: -(-len(chosen) // _COLUMNS) for label, chosen in sections.items()}
    width = 2 * MARGIN + _COLUMNS * (_LARGE + _GAP) - _GAP
    height = sum(_TITLE + count * row_height for count in rows.values() if count)
    sheet, top = blank(height + 2 * MARGIN, width), MARGIN
    for label, chosen in sections.items():
        if not chosen:
            continue
        title = f"{chosen[0].category}: {'good, for training' if label == 'good' else label}"
        write(sheet, (MARGIN, top), title, size=15, ink=GOOD if label == "good" else ANOMALOUS)
        _paste(sheet, chosen, MARGIN, top + _TITLE, _LARGE, _COLUMNS)
        top += _TITLE + rows[label] * row_height
    return sheet


def _paste(
    sheet: Image.Image, samples: Sequence[Sample], left: int, top: int, side: int, columns: int
) -> None:
    for position, sample in enumerate(samples):
        row, column = divmod(position, columns)
        x, y = left + column * (side + _GAP), top + row * (side + _CAPTION + MARGIN)
        sheet.paste(thumbnail(sample.pixels, side), (x, y))
        if sample.label != "good":
            write(sheet, (x, y + side + 2), fitted(sample.caption, side, 11), ink=FAINT_INK)


def small_sheets(picked: Mapping[str, Sequence[Sample]], most_bytes: int) -> dict[str, bytes]:
    """The overviews as WebP that fit into so many bytes together, shared out by number of categories.

    Args:
        picked: Source dataset to its samples.
        most_bytes: Of all sheets together.

    Returns:
        Source dataset to its sheet; one without samples has none.
    """
    rows = {
        name: len({sample.category for sample in samples})
        for name, samples in picked.items()
        if samples
    }
    return {
        name: _small_sheet(picked[name], most_bytes * count // sum(rows.values()))
        for name, count in rows.items()
    }


def _small_sheet(samples: Sequence[Sample], most_bytes: int) -> bytes:
    """An overview within so many bytes: with fewer images sooner than with unreadable ones."""
    for per_kind in range(PER_KIND, 0, -1):
        sheet = _overview(samples, per_kind)
        if (content := webp_of_this_size(sheet, most_bytes)) is not None:
            return content
    return as_webp(sheet, most_bytes)


def write_full_sheets(samples: Sequence[Sample], folder: Path, source_dataset: str) -> list[Path]:
    """Write `<source_dataset>.jpg` and `<source_dataset>/<category>.jpg`, and remove older ones.

    Args:
        samples: Of this source dataset.
        folder: Where the sheets of all source datasets lie.
        source_dataset: Name of this one.

    Returns:
        What was written.
    """
    by_category: dict[str, list[Sample]] = {}
    for sample in samples:
        by_category.setdefault(sample.category, []).append(sample)
    below = folder / source_dataset
    sheets = {
        below / f"{quote(category, safe=' ')[:_LONGEST_NAME]}.jpg": _category_sheet(chosen)
        for category, chosen in by_category.items()
    }
    if samples:
        sheets[folder / f"{source_dataset}.jpg"] = _overview(samples, PER_KIND)
    for path, sheet in sheets.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, as_jpeg(sheet))
    for path in [folder / f"{source_dataset}.jpg", *below.glob("*.jpg")]:
        if path not in sheets:
            path.unlink(missing_ok=True)
    return list(sheets)


_PICKED = """
WITH candidates AS (
    SELECT
        images.image_id,
        images.category,
        images.label,
        coalesce(images.defect_type, 'good') AS caption,
        images.mask_relative_path IS NULL AS without_mask,
        row_number() OVER (
            PARTITION BY images.category, images.label, images.defect_type
            ORDER BY images.mask_relative_path IS NULL, md5(images.image_id)
        ) AS place
    FROM images
    SEMI JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
    WHERE images.source_dataset = $source_dataset
    AND (images.split = 'train' OR images.label = 'anomalous')
),
picked AS (
    SELECT image_id, category, label, caption, place
    FROM candidates
    WHERE label = 'good' OR place <= $per_defect_type
    QUALIFY row_number() OVER (
        PARTITION BY category, label ORDER BY without_mask, place, caption
    ) <= $per_kind
)
"""
_PIXELS = """
SELECT
    picked.category,
    picked.label,
    picked.caption,
    (tensors.height, tensors.width, tensors.channels),
    tensors.image_tensor,
    tensors.mask_tensor
FROM picked
JOIN image_tensors AS tensors ON tensors.image_id = picked.image_id
ORDER BY picked.category, picked.label DESC, picked.place, picked.caption
"""
_KEYS = """
SELECT
    picked.category,
    picked.label,
    picked.caption,
    picked.image_id,
    tensors.content_sha256,
    coalesce(tensors.mask_file_version, ''),
    tensors.transform
FROM picked
JOIN image_tensors AS tensors ON tensors.image_id = picked.image_id
ORDER BY picked.category, picked.label DESC, picked.place, picked.caption
"""
