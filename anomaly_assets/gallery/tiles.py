"""Read the tiles of a gallery from the table `image_previews`, or draw them from stored tensors."""

from __future__ import annotations

from anomaly_assets.drawing import TILE_SIDE, webp_within
from anomaly_assets.gallery.content import Content, opened
from anomaly_assets.gallery.pictures import base64_of, parts
from anomaly_assets.reader.database import Database
from anomaly_assets.tables.sql_text import column_names


def tiles_of(database: Database, content: Content, rows: range) -> list[str]:
    """Return the tiles of consecutive images, as Base64 of WebP.

    Args:
        database: The database, for queries.
        content: What the gallery shows.
        rows: Positions of the images.
    """
    stored = _stored_tiles(database, content, rows)
    if stored is not None:
        return stored
    return [
        base64_of(webp_within(image, TILE_SIDE))
        for part in parts(content.samples, rows)
        for image in part.images[:]
    ]


def _stored_tiles(database: Database, content: Content, rows: range) -> list[str] | None:
    """Return the stored tiles; None if one is missing, as in a database of an earlier release."""
    table = content.table.slice(rows.start, len(rows))
    ids, contents = (table[name].to_pylist() for name in ("image_id", "content_sha256"))
    with opened(database) as cursor:
        if not column_names(cursor, "image_previews"):
            return None
        found = cursor.execute(
            "SELECT image_id, content_sha256, preview FROM image_previews "
            "WHERE list_contains(?, image_id)",
            [ids],
        ).fetchall()
    previews = {(image_id, content_sha256): preview for image_id, content_sha256, preview in found}
    if not previews.keys() >= {*zip(ids, contents, strict=True)}:
        return None
    return [base64_of(previews[key]) for key in zip(ids, contents, strict=True)]
