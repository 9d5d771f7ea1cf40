"""Draw contact sheets: good images beside anomalous ones, with outline and type of the defect.

Pictures are drawn from the stored tensors, so they show exactly what a model will see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import duckdb
from PIL import Image, ImageDraw

from anomaly_assets.atomic import write_file
from anomaly_assets.drawing import (
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
from anomaly_assets.warehouse.buffers import drop_cached

PER_KIND = 3
"""Limit for good images, and for anomalous ones, of each category on the sheet of a source dataset."""

MOST_PER_KIND = 12
PER_DEFECT_TYPE = 3
"""Limits on the sheet of a category: good images, and anomalous ones; images of one defect type."""

MOST_CATEGORIES = 40
"""Limit for rows on the sheet of a source dataset; further ones are counted. WebP ends at 16,383 pixels."""

_GAP = 4
_GUTTER = 16
_CAPTION = 16
_TITLE = 24
_HEADING = 22
_LARGE = 160
_FEW_CATEGORIES = 10
_COLUMNS = 6
_AT_ONCE = 8
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Sample:
    """Picture on a sheet.

    Attributes:
        category: Its category.
        label: `good` or `anomalous`.
        caption: The defect type; `good` without one.
        pixels: The picture.
    """

    category: str
    label: str
    caption: str
    pixels: Pixels


class Overview(NamedTuple):
    """Content of the sheet of a source dataset.

    Attributes:
        samples: Up to `PER_KIND` good and `PER_KIND` anomalous ones of each category.
        left_out: Number of further categories.
    """

    samples: list[Sample]
    left_out: int = 0


Key = tuple[Any, ...]
"""Picture on a sheet, before its pixels are read; see `picked_keys`."""


class Plan(NamedTuple):
    """Pictures on the sheets of a source dataset.

    Attributes:
        categories: Map of the path of a category's sheet, below the folder of all sheets, to its pictures.
        overview: Pictures on the sheet of the source dataset.
        left_out: Number of further categories.
    """

    categories: dict[str, list[Key]]
    overview: list[Key]
    left_out: int


def picked_samples(connection: duckdb.DuckDBPyConnection, keys: Sequence[Key]) -> Iterator[Sample]:
    """Yield the samples of these keys, in their order; a few are read at a time and scaled down at once.

    Args:
        connection: A database with `image_tensors`.
        keys: Results of `picked_keys`.
    """
    for start in range(0, len(keys), _AT_ONCE):
        chunk = keys[start : start + _AT_ONCE]
        drop_cached(connection)
        rows = connection.execute(_PIXELS, {"image_ids": [key[3] for key in chunk]}).fetchall()
        pixels = {
            image_id: Pixels.from_bytes(shape, *content).within(_LARGE)
            for image_id, shape, *content in rows
        }
        del rows
        for category, label, caption, image_id, *_ in chunk:
            yield Sample(category, label, caption, pixels[image_id])


def file_name(category: str) -> str:
    """Return a category as a file name of at most 200 characters; a long one ends with a digest."""
    name = quote(category, safe=" ")
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(category.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{name[: _LONGEST_NAME - len(digest) - 1]}-{digest}"


def planned(keys: Iterable[Key], source_dataset: str) -> Plan:
    """Assign pictures to the sheets of a source dataset.

    Args:
        keys: Results of `picked_keys`.
        source_dataset: Name of the source dataset.
    """
    by_category = [list(members) for _, members in groupby(keys, key=lambda key: key[0])]
    overview = [
        key
        for members in by_category[:MOST_CATEGORIES]
        for label in ("good", "anomalous")
        for key in [key for key in members if key[1] == label][:PER_KIND]
    ]
    paths = [f"{source_dataset}/{file_name(members[0][0])}.jpg" for members in by_category]
    return Plan(
        dict(zip(paths, by_category, strict=True)), overview, max(0, len(paths) - MOST_CATEGORIES)
    )


def picked_keys(
    connection: duckdb.DuckDBPyConnection, source_dataset: str, per_kind: int, per_defect_type: int
) -> list[Key]:
    """Pick images of every category, deterministically: one of each defect type first.

    Args:
        connection: A database with `images` and `image_tensors`.
        source_dataset: Name of the source dataset.
        per_kind: Limit for good training images, and for anomalous images.
        per_defect_type: Limit for images of one defect type.

    Returns:
        One tuple per image, ordered by category: category, label, caption, image id, hash of the content,
        version and area of the mask, transform. Pixels are not read: they follow from the last four.
    """
    parameters = {
        "source_dataset": source_dataset,
        "per_kind": per_kind,
        "per_defect_type": per_defect_type,
    }
    return connection.execute(_KEYS, parameters).fetchall()


def _overview(overview: Overview, per_kind: int) -> Image.Image:
    """Draw one row per category, with up to `per_kind` good and `per_kind` anomalous images."""
    samples, left_out = overview
    categories = list(dict.fromkeys(sample.category for sample in samples))
    half = (WIDTH - 2 * MARGIN - _GUTTER) // 2
    side = (half - (PER_KIND - 1) * _GAP) // PER_KIND
    row_height = _TITLE + side + _CAPTION + MARGIN
    sheet = blank(_HEADING + len(categories) * row_height + (_TITLE if left_out else 0) + MARGIN)
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
    if left_out:
        top = _HEADING + len(categories) * row_height
        more = f"and {left_out:,} more categor{'y' if left_out == 1 else 'ies'}"
        write(sheet, (MARGIN, top + 4), more, size=13, ink=FAINT_INK)
    return sheet


def _category_sheet(samples: Sequence[Sample]) -> Image.Image:
    """Draw the full sheet of one category: good images, then anomalous ones by defect type, larger."""
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


def budgets(categories: Mapping[str, int], most_bytes: int) -> dict[str, int]:
    """Divide a number of bytes among the small sheets of source datasets, by number of categories.

    Args:
        categories: Number of categories on the sheet of each source dataset; with 0 it has no sheet.
        most_bytes: Limit for all sheets together.
    """
    total = sum(categories.values())
    return {name: most_bytes * count // total for name, count in categories.items() if count}


def small_sheet(overview: Overview, most_bytes: int) -> bytes:
    """Draw an overview within a byte budget: with fewer images, then fewer categories."""
    per_kind, samples, left_out = PER_KIND, *overview
    while True:
        sheet = _overview(Overview(samples, left_out), per_kind)
        if (content := webp_of_this_size(sheet, most_bytes)) is not None:
            return content
        categories = list(dict.fromkeys(sample.category for sample in samples))
        if per_kind > 1:
            per_kind -= 1
        elif len(categories) > _FEW_CATEGORIES:
            kept = set(categories[: len(categories) // 2])
            samples = [sample for sample in samples if sample.category in kept]
            left_out += len(categories) - len(kept)
        else:
            return as_webp(sheet, most_bytes)


def write_category(samples: Sequence[Sample], path: Path) -> None:
    """Write the full sheet of one category."""
    _keep(path, _category_sheet(samples))


def write_overview(overview: Overview, path: Path) -> None:
    """Write the sheet of a source dataset."""
    _keep(path, _overview(overview, PER_KIND))


def _keep(path: Path, sheet: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, as_jpeg(sheet))


_KEYS = """
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
    FROM effective_images AS images
    SEMI JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
    WHERE images.source_dataset = $source_dataset
    AND (
        images.label = 'good' AND images.split IN ('train', 'unassigned') OR images.label = 'anomalous'
    )
),
picked AS (
    SELECT image_id, category, label, caption, place
    FROM candidates
    WHERE label = 'good' OR place <= $per_defect_type
    QUALIFY row_number() OVER (
        PARTITION BY category, label ORDER BY without_mask, place, caption
    ) <= $per_kind
)
SELECT
    picked.category,
    picked.label,
    picked.caption,
    picked.image_id,
    tensors.content_sha256,
    coalesce(tensors.mask_file_version, ''),
    tensors.mask_area_fraction,
    tensors.transform
FROM picked
JOIN image_tensors AS tensors ON tensors.image_id = picked.image_id
ORDER BY picked.category, picked.label DESC, picked.place, picked.caption
"""

_PIXELS = """
-- Not a join: with more than a few ids it reads the pixels of all images.
SELECT image_id, (height, width, channels), image_tensor, mask_tensor
FROM image_tensors
WHERE list_contains($image_ids, image_id)
"""
