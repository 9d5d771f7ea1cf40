"""Draw the images that fail a check.

Checks on the catalogue run before anything is decoded. Images without a tensor, or with one of another
version of their file, are read and decoded here. So a sheet has at most a few images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import duckdb
from PIL import Image, ImageDraw

from anomaly_assets.decoding.batch import IMAGE_COLUMNS, DecodingError, StaleImage, decode_batch
from anomaly_assets.decoding.batches import stale_images
from anomaly_assets.decoding.resize import why_not_simd
from anomaly_assets.drawing import (
    FAINT_INK,
    INK,
    LINE,
    MARGIN,
    WIDTH,
    Pixels,
    as_webp,
    blank,
    fitted,
    thumbnail,
    webp_of_this_size,
    wrapped,
    write,
)
from anomaly_assets.errors import WarehouseError
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots.base import Root, RootError
from anomaly_assets.roots.open import open_root
from anomaly_assets.settings import Settings
from anomaly_assets.tables.checks import Finding
from anomaly_assets.tables.ddl import statement
from anomaly_assets.tables.recipes import common_recipe

MOST_IMAGES = 8

_COLUMNS = 4
_MOST_COPIES = 4
_GAP = 8
_SIDE = (WIDTH - 2 * MARGIN - (_COLUMNS - 1) * _GAP) // _COLUMNS
_LINE = 14
_DETAIL_LINES = 2
_ROW = _SIDE + (1 + _DETAIL_LINES) * _LINE + 12


@dataclass(frozen=True)
class _Shown:
    image_id: str
    detail: str
    sign: str = ""
    """Drawn between the image and the one before it: "=" for a copy of that, "~" for a near duplicate."""


def offender_sheet(
    connection: duckdb.DuckDBPyConnection, check: str, finding: Finding, settings: Settings
) -> Image.Image:
    """Draw the first images that fail a check, each with its path and the detail of the finding.

    Args:
        connection: The warehouse.
        check: Name of the check.
        finding: Its result; it names ids of images.
        settings: Roots, and the shape of the tensors.

    Returns:
        An RGB picture as wide as the UI shows it.
    """
    shown = list(_chosen(connection, check, finding))
    pixels = _pixels(connection, [image.image_id for image in shown], settings)
    sheet = blank(-(-len(shown) // _COLUMNS) * _ROW + MARGIN)
    for position, image in enumerate(shown):
        row, column = divmod(position, _COLUMNS)
        left, top = MARGIN + column * (_SIDE + _GAP), MARGIN + row * _ROW
        sheet.paste(thumbnail(pixels.get(image.image_id), _SIDE), (left, top))
        if image.image_id not in pixels:
            middle = (left + _SIDE // 2, top + _SIDE // 2)
            write(sheet, middle, "cannot be read", ink=FAINT_INK, anchor="mm")
        if image.sign and column:
            middle = (left - _GAP // 2, top + _SIDE // 2)
            ImageDraw.Draw(sheet).text(middle, image.sign, INK, anchor="mm")
        path = image.image_id.partition("/")[2]
        write(sheet, (left, top + _SIDE + 3), fitted(path, _SIDE, 11))
        for line, text in enumerate(wrapped(image.detail, _SIDE, 11, _DETAIL_LINES), 1):
            write(sheet, (left, top + _SIDE + 3 + line * _LINE), text, ink=FAINT_INK)
        if column == 0 and row:
            ImageDraw.Draw(sheet).line((MARGIN, top - 5, WIDTH - MARGIN, top - 5), fill=LINE)
    return sheet


def small_sheet(sheet: Image.Image, most_bytes: int) -> bytes:
    """Encode a sheet as WebP within a byte budget: only its first row, if all of it does not fit."""
    first_row = sheet.crop((0, 0, WIDTH, min(_ROW, sheet.height)))
    for part in (sheet, first_row):
        if (content := webp_of_this_size(part, most_bytes)) is not None:
            return content
    return as_webp(first_row, most_bytes)


def _chosen(
    connection: duckdb.DuckDBPyConnection, check: str, finding: Finding
) -> Iterator[_Shown]:
    """Yield the images to draw: the affected ones, and the copies of each if the check is about copies."""
    if check == "near_duplicates_stay_in_one_split":
        for *both, distance in connection.execute(_PAIRS, [MOST_IMAGES // 2]).fetchall():
            for (image_id, split), sign in zip(both, ("", "~"), strict=True):
                yield _Shown(image_id, f"{split}, distance {distance:.2f}", sign)
        return
    if not check.startswith("contents_"):
        for image_id, detail in finding.shown[:MOST_IMAGES]:
            yield _Shown(image_id, detail or "")
        return
    first_copies = [offender for offender, _ in finding.shown]
    parameters = {"first_copies": first_copies, "most_copies": _MOST_COPIES}
    copies = connection.execute(_COPIES, parameters).fetchall()
    room = MOST_IMAGES
    for image_ids, categories, splits in copies:
        for position, image_id in enumerate(image_ids[:room]):
            detail = f"{categories[position]}, {splits[position]}"
            yield _Shown(image_id, detail, "=" if position else "")
            room -= 1
        if room <= 0:
            return


def thumbnails(
    connection: duckdb.DuckDBPyConnection, image_ids: Sequence[str], settings: Settings, side: int
) -> dict[str, bytes]:
    """Return small pictures of these images as WebP, with the defect outlined; none that cannot be read."""
    found = _pixels(connection, image_ids, settings)
    return {name: as_webp(thumbnail(pixels, side), 4_000) for name, pixels in found.items()}


def _pixels(
    connection: duckdb.DuckDBPyConnection, image_ids: Sequence[str], settings: Settings
) -> dict[str, Pixels]:
    """Return the pixels of these images; those that cannot be read are missing."""
    found: dict[str, Pixels] = {}
    missing: list[StaleImage] = []
    # Checks on one catalogue may run before the view `images` exists, so this query does not use it.
    query = statement(connection, "shown/offending_images")
    parameters = {"columns": IMAGE_COLUMNS, "image_ids": image_ids}
    for shape, tensor, mask, image in connection.execute(query, parameters).fetchall():
        if tensor is None:
            missing += stale_images([image], settings.depths)
        else:
            found[image["image_id"]] = Pixels.from_bytes(shape, tensor, mask)
    if missing:
        with suppress(WarehouseError):  # the step that decodes raises it
            spec = common_recipe(connection, settings, why_not_simd=why_not_simd)
            found |= _decoded(missing, settings, spec)
    return found


def _decoded(images: Iterable[StaleImage], settings: Settings, spec: Recipe) -> dict[str, Pixels]:
    roots = _opened(settings)
    readable = [image for image in images if image.source_dataset in roots]
    if not readable:
        return {}
    try:
        rows = decode_batch(readable, roots, spec).tensors.to_pylist()
    except (DecodingError, RootError):  # Draw no picture; the step that needs these files raises.
        return {}
    return {row["image_id"]: _from_row(row, spec) for row in rows}


def _from_row(row: Mapping[str, bytes], spec: Recipe) -> Pixels:
    shape = (spec.height, spec.width, spec.channels)
    return Pixels.from_bytes(shape, row["image_tensor"], row["mask_tensor"])


def _opened(settings: Settings) -> dict[str, Root]:
    roots: dict[str, Root] = {}
    for name, location in settings.roots.items():
        with suppress(RootError):
            if location is not None:
                roots[name] = open_root(location, follow_links=name in settings.followed_links)
    return roots


_COPIES = """
WITH copies AS (
    -- All images can be copies of one content, so limit the copies.
    SELECT image_ids[1:$most_copies] AS image_ids
    FROM duplicate_images
    WHERE list_contains($first_copies, image_ids[1])
)
SELECT
    copies.image_ids,
    list(images.category ORDER BY images.image_id),
    list(images.split ORDER BY images.image_id)
FROM (SELECT image_ids, unnest(image_ids) AS image_id FROM copies) AS copies
JOIN effective_images AS images ON images.image_id = copies.image_id
GROUP BY ALL
ORDER BY copies.image_ids
"""

_PAIRS = """
SELECT (image_id_a, one.split), (image_id_b, other.split), distance
FROM near_duplicates
JOIN effective_images AS one ON one.image_id = image_id_a
JOIN effective_images AS other ON other.image_id = image_id_b
WHERE crosses_splits
ORDER BY distance, image_id_a, image_id_b LIMIT ?
"""
