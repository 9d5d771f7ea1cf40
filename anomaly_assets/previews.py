"""Contact sheets: what the data looks like, good beside anomalous, with the defect outlined.

Pictures are made from the stored tensors, so they show exactly what a model will see.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import duckdb
import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

THUMBNAIL_PIXELS = 112
PER_KIND = 4
_MARGIN = 6
_CAPTION = 16
_TITLE = 22
_INK = (38, 42, 48)
_OUTLINE = (230, 30, 60)


@dataclass(frozen=True)
class _Sample:
    caption: str
    image: Image.Image


def contact_sheet(connection: duckdb.DuckDBPyConnection, source_dataset: str) -> Image.Image | None:
    """A sheet with one row per category: good training images, then anomalous ones.

    Args:
        connection: A database with `samples`.
        source_dataset: Which one to draw.

    Returns:
        An RGB picture; None where the source dataset has no sample.
    """
    rows = connection.execute(
        _PICKED, {"source_dataset": source_dataset, "per_kind": PER_KIND}
    ).fetchall()
    sheet: dict[str, list[_Sample]] = {}
    for category, _label, caption, shape, tensor, mask in rows:
        sheet.setdefault(category, []).append(_Sample(caption, _thumbnail(shape, tensor, mask)))
    return _drawn(sheet) if sheet else None


def as_jpeg(sheet: Image.Image, most_bytes: int | None = None) -> bytes:
    """Encode a sheet, in lower quality and then at lower size until it fits into `most_bytes`."""
    picture = sheet
    while True:
        for quality in (85, 70, 55):
            content = io.BytesIO()
            picture.save(content, "JPEG", quality=quality, optimize=True)
            if most_bytes is None or content.tell() <= most_bytes:
                return content.getvalue()
        picture = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4))


def _thumbnail(shape: tuple[int, int, int], tensor: bytes, mask: bytes | None) -> Image.Image:
    pixels = np.frombuffer(tensor, np.uint8).reshape(shape)
    image = Image.fromarray(pixels[:, :, 0] if shape[2] == 1 else pixels).convert("RGB")
    if mask is not None:
        defect = Image.fromarray(np.frombuffer(mask, np.uint8).reshape(shape[:2]) * 255)
        outline = ImageChops.subtract(defect.filter(ImageFilter.MaxFilter(7)), defect)
        image.paste(_OUTLINE, mask=outline)
    return image.resize((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.LANCZOS)


def _drawn(sheet: dict[str, list[_Sample]]) -> Image.Image:
    columns = max(len(samples) for samples in sheet.values())
    row_height = _TITLE + THUMBNAIL_PIXELS + _CAPTION + _MARGIN
    size = (columns * (THUMBNAIL_PIXELS + _MARGIN) + _MARGIN, len(sheet) * row_height + _MARGIN)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    title_font, caption_font = ImageFont.load_default(14), ImageFont.load_default(11)
    for row, (category, samples) in enumerate(sheet.items()):
        top = _MARGIN + row * row_height
        draw.text((_MARGIN, top), category, fill=_INK, font=title_font)
        for column, sample in enumerate(samples):
            left = _MARGIN + column * (THUMBNAIL_PIXELS + _MARGIN)
            picture.paste(sample.image, (left, top + _TITLE))
            caption = (left, top + _TITLE + THUMBNAIL_PIXELS + 1)
            draw.text(caption, sample.caption, fill=_INK, font=caption_font)
    return picture


_PICKED = """
WITH picked AS (
    SELECT
        images.image_id,
        images.category,
        images.label,
        coalesce(images.defect_type, 'good') AS caption
    FROM images
    SEMI JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
    WHERE images.source_dataset = $source_dataset
    AND (images.split = 'train' OR images.label = 'anomalous')
    QUALIFY row_number() OVER (
        PARTITION BY images.category, images.label
        ORDER BY images.mask_relative_path IS NULL, md5(images.image_id)
    ) <= $per_kind
)
SELECT
    picked.category,
    picked.label,
    picked.caption,
    (tensors.height, tensors.width, tensors.channels),
    tensors.image_tensor,
    tensors.mask_tensor
FROM picked
JOIN image_tensors AS tensors ON tensors.image_id = picked.image_id
ORDER BY picked.category, picked.label DESC, picked.image_id
"""
