"""Keep the table `near_duplicates` up to date: search only the categories that changed.

Images of different categories are never compared. A category is searched as a whole, because its mean
picture changes with every image, and the nearest images of a split with every split. So the pairs depend on
the present images alone, not on earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from anomaly_assets.decoding.thumbnail import SIDE, thumbnail_of
from anomaly_assets.near_duplicates.measure import METHOD, near_pairs
from anomaly_assets.warehouse.tensors import Tensor, map_tensors

Key = tuple[str, str]
"""Source dataset and category."""


@dataclass(frozen=True)
class Search:
    """Result of an update.

    Attributes:
        categories: Number of categories that were searched.
        images: Number of their images.
        thumbnails: Number of thumbnails that were made from stored tensors.
    """

    categories: int
    images: int
    thumbnails: int


def update_near_duplicates(connection: duckdb.DuckDBPyConnection) -> Search:
    """Search the categories whose images or splits changed since their last search.

    Thumbnails that an earlier release did not store are made from the stored tensors first.

    Args:
        connection: The warehouse, after `ensure_tables`; no other connection writes to it.

    Raises:
        duckdb.CatalogException: The view `effective_images` does not exist yet.
    """
    current = {
        tuple(key): tuple(held) for *key, held in _rows(connection, _CURRENT, {"method": METHOD})
    }
    searched = {tuple(key): tuple(held) for *key, held in _rows(connection, _SEARCHED)}
    stale = [key for key in current if current[key] != searched.get(key)]
    gone = [key for key in searched if key not in current]
    made = _add_thumbnails(connection, stale)
    for key in (*stale, *gone):
        pairs = _pairs_of(connection, key) if key in current else _PAIRS.empty_table()
        _replace(connection, key, pairs, current.get(key))
    return Search(len(stale), sum(current[key][0] for key in stale), made)


_CURRENT = """
SELECT source_dataset, category, (
    count(*), $method || '-' || bit_xor(hash(image_id, content_sha256, transform, split))
)
FROM effective_images JOIN image_tensors USING (image_id)
GROUP BY ALL ORDER BY ALL
"""
"""Categories and their content; a thumbnail depends on the bytes of the file and the transform."""

_SEARCHED = "SELECT source_dataset, category, (images, content) FROM searched_categories"


def _rows(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: object = None
) -> list[tuple[Any, ...]]:
    return connection.execute(query, parameters).fetchall()


def _add_thumbnails(connection: duckdb.DuckDBPyConnection, keys: list[Key]) -> int:
    """Make the missing thumbnails of these categories; the tensors are read once, a few at a time."""
    if not keys:
        return 0
    parameters = {"keys": ["/".join(key) for key in keys], "side": SIDE}
    missing = [image_id for (image_id,) in _rows(connection, _MISSING, parameters)]
    made = [each for some in map_tensors(connection, missing, _thumbnail_of) for each in some]
    if not made:
        return 0
    ids, thumbnails = zip(*made, strict=True)
    table = pa.table({"image_id": pa.array(ids), "made": pa.array(thumbnails, pa.binary())})
    connection.register("made_thumbnails", table)
    try:
        connection.execute(
            "UPDATE facts SET thumbnail = made FROM made_thumbnails "
            "WHERE made_thumbnails.image_id = facts.image_id"
        )
    finally:
        connection.unregister("made_thumbnails")
    return len(made)


_MISSING = """
SELECT image_id
FROM effective_images
JOIN (SELECT image_id FROM facts WHERE thumbnail IS NULL) USING (image_id)
JOIN (SELECT image_id FROM image_tensors WHERE least(height, width) >= $side) USING (image_id)
WHERE list_contains($keys, source_dataset || '/' || category)
ORDER BY image_id
"""


def _thumbnail_of(tensor: Tensor) -> tuple[str, bytes | None]:
    return tensor.image_id, thumbnail_of(tensor.pixels)


def _pairs_of(connection: duckdb.DuckDBPyConnection, key: Key) -> pa.Table:
    """Return the two images and the distance of the near duplicates of one category."""
    rows = connection.execute(_THUMBNAILS, key).fetchnumpy()
    ids = rows["image_id"]
    pixels = np.frombuffer(b"".join(rows["thumbnail"]), np.uint8)
    _, contents = np.unique(np.asarray(rows["content_sha256"], np.str_), return_inverse=True)
    _, splits = np.unique(np.asarray(rows["split"], np.str_), return_inverse=True)
    pairs = near_pairs(pixels.reshape(-1, SIDE, SIDE), contents, splits)
    return pa.Table.from_pylist(
        [
            {"image_id_a": ids[one], "image_id_b": ids[other], "distance": distance}
            for one, other, distance in pairs
        ],
        _PAIRS,
    )


_PAIRS = pa.schema(
    [("image_id_a", pa.string()), ("image_id_b", pa.string()), ("distance", pa.float64())]
)

_THUMBNAILS = """
SELECT image_id, content_sha256, split, thumbnail
FROM effective_images
JOIN (SELECT image_id, content_sha256, thumbnail FROM facts WHERE thumbnail IS NOT NULL) USING (image_id)
WHERE source_dataset = ? AND category = ?
ORDER BY image_id
"""


def _replace(
    connection: duckdb.DuckDBPyConnection,
    key: Key,
    pairs: pa.Table,
    content: tuple[int, str] | None,
) -> None:
    """Replace the pairs of a category and the note of its search, in one transaction.

    Args:
        connection: The warehouse.
        key: The category.
        pairs: Its pairs.
        content: What was searched; None if the category has no images.
    """
    connection.register("found_pairs", pairs)
    try:
        connection.begin()
        for table in ("near_duplicates", "searched_categories"):
            connection.execute(
                f"DELETE FROM {table} WHERE source_dataset = ? AND category = ?",  # noqa: S608
                key,
            )
        if pairs.num_rows:
            connection.execute(_INSERT)
        if content is not None:
            connection.execute(
                "INSERT INTO searched_categories VALUES (?, ?, ?, ?)", (*key, *content)
            )
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    finally:
        connection.unregister("found_pairs")


_INSERT = """
INSERT INTO near_duplicates BY NAME
SELECT
    image_id_a, image_id_b, one.source_dataset, one.category, distance,
    one.split <> other.split AND 'unassigned' NOT IN (one.split, other.split) AS crosses_splits
FROM found_pairs
JOIN effective_images AS one ON one.image_id = image_id_a
JOIN effective_images AS other ON other.image_id = image_id_b
"""
