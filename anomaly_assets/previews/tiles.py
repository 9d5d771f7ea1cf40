"""Keep the table `image_previews` up to date: a small picture of each tensor.

Pictures are drawn from the stored tensors. So an image that an earlier release decoded gets one without
decoding it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from anomaly_assets.drawing import TILE_SIDE, webp_within
from anomaly_assets.tables.row_changes import RowChanges
from anomaly_assets.warehouse.buffers import drop_cached

_AT_ONCE = 64
"""Tensors in memory while previews are made from them."""

_RANGE = 2048
"""Most images of one query; a row group of tensors has as many."""

_GAP = 64
"""Most images with a preview between two without one that one query reads."""

_COMMITTED = 8 * _RANGE
"""Previews of one transaction, 30 MB."""

Advance = Callable[[int, int], None]
"""Called with the number of previews that are made, and the number to make."""


def update_previews(
    connection: duckdb.DuckDBPyConnection, workers: int, advance: Advance | None = None
) -> RowChanges:
    """Make the previews of new and changed tensors, and delete those of tensors that are gone.

    After a kill, the next update continues behind the last transaction.

    Args:
        connection: The warehouse, after `ensure_tables`; no other connection writes to it.
        workers: Number of threads that draw.
        advance: Called as previews are made.
    """
    found = connection.execute(_STATES).fetchnumpy()
    stale = np.asarray(found["is_new"]) | np.asarray(found["is_changed"])
    [(removed,)] = connection.execute(f"SELECT count(*) {_GONE}").fetchall()
    if removed:  # on a lake, each statement that writes adds a version
        connection.execute(f"DELETE {_GONE}")
    made: list[tuple[str, str, str, bytes]] = []
    done = 0
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="preview") as pool:
        for ids in _ranges(found["image_id"], stale):
            made += _previews_of(connection, ids, pool)
            done += len(ids)
            drop_cached(connection)
            if len(made) >= _COMMITTED:
                _replace(connection, made)
                made = []
            if advance:
                advance(done, int(stale.sum()))
        _replace(connection, made)
    added = int(np.sum(found["is_new"]))
    changed = int(stale.sum()) - added
    return RowChanges(added, changed, int(removed), len(stale) - added - changed)


_STATES = """
SELECT
    tensors.image_id,
    previews.image_id IS NULL AS is_new,
    previews.image_id IS NOT NULL AND (previews.content_sha256, previews.transform)
        <> (tensors.content_sha256, tensors.transform) AS is_changed
FROM (SELECT image_id, content_sha256, transform FROM image_tensors) AS tensors
LEFT JOIN (SELECT image_id, content_sha256, transform FROM image_previews) AS previews
    ON previews.image_id = tensors.image_id
ORDER BY tensors.image_id
"""

_GONE = "FROM image_previews WHERE image_id NOT IN (SELECT image_id FROM image_tensors)"


def _ranges(
    image_ids: npt.NDArray[np.object_], stale: npt.NDArray[np.bool_]
) -> Iterator[list[str]]:
    """Yield the ids of stale images that one query reads: neighbours in the order of ids."""
    positions = np.flatnonzero(stale)
    ids: list[str] = []
    last = 0
    for position in positions.tolist():
        if ids and (len(ids) == _RANGE or position - last > _GAP):
            yield ids
            ids = []
        ids.append(image_ids[position])
        last = position
    if ids:
        yield ids


def _previews_of(
    connection: duckdb.DuckDBPyConnection, ids: list[str], pool: ThreadPoolExecutor
) -> list[tuple[str, str, str, bytes]]:
    made: list[tuple[str, str, str, bytes]] = []
    found = connection.execute(_TENSORS, {"first": ids[0], "last": ids[-1], "ids": ids})
    for batch in found.to_arrow_reader(_AT_ONCE):
        rows = batch.to_pylist()
        previews = pool.map(_preview_of, rows)
        made += (
            (row["image_id"], row["content_sha256"], row["transform"], preview)
            for row, preview in zip(rows, previews, strict=True)
        )
    return made


# The range is compared with the smallest and largest id of each row group; others are not read.
_TENSORS = """
SELECT image_id, content_sha256, transform, height, width, channels, image_tensor
FROM image_tensors
WHERE image_id BETWEEN $first AND $last AND list_contains($ids, image_id)
"""


def _preview_of(row: dict[str, Any]) -> bytes:
    shape = row["height"], row["width"], row["channels"]
    return webp_within(np.frombuffer(row["image_tensor"], np.uint8).reshape(shape), TILE_SIDE)


def _replace(
    connection: duckdb.DuckDBPyConnection, made: list[tuple[str, str, str, bytes]]
) -> None:
    """Replace the previews of these images, in one transaction."""
    if not made:
        return
    rows = pa.table(
        [pa.array(column) for column in zip(*made, strict=True)],
        ["image_id", "content_sha256", "transform", "preview"],
    )
    connection.register("made_previews", rows)
    try:
        connection.begin()
        connection.execute(
            "DELETE FROM image_previews WHERE image_id IN (SELECT image_id FROM made_previews)"
        )
        connection.execute("INSERT INTO image_previews BY NAME FROM made_previews")
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    finally:
        connection.unregister("made_previews")
