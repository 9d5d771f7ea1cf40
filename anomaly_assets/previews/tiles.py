"""Complete the table `image_previews`: a small picture of each tensor.

Decoding draws it with the tensor. Here the stored tensors of an earlier release get one, without decoding
their files again.
"""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import numpy as np
import pyarrow as pa

from anomaly_assets.drawing import TILE_SIDE, webp_within
from anomaly_assets.tables.row_changes import RowChanges
from anomaly_assets.tables.transaction import transaction
from anomaly_assets.warehouse.tensors import Tensor, map_tensors

_COMMITTED = 16384
"""Previews of one transaction, 30 MB."""

Preview = tuple[str, str, str, bytes]
"""Image id, digest of the file, transform, and the picture."""

Advance = Callable[[int, int], None]
"""Called with the number of previews that are made, and the number to make."""


def update_previews(
    connection: duckdb.DuckDBPyConnection, workers: int, advance: Advance | None = None
) -> RowChanges:
    """Make the previews that are missing or of another tensor, and delete those of tensors that are gone.

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
    made: list[Preview] = []
    done = 0
    for some in map_tensors(connection, found["image_id"][stale].tolist(), _preview_of, workers):
        made += some
        done += len(some)
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


def _preview_of(tensor: Tensor) -> Preview:
    preview = webp_within(tensor.pixels, TILE_SIDE)
    return tensor.image_id, tensor.content_sha256, tensor.transform, preview


def _replace(connection: duckdb.DuckDBPyConnection, made: list[Preview]) -> None:
    """Replace the previews of these images, in one transaction."""
    if not made:
        return
    rows = pa.table(
        [pa.array(column) for column in zip(*made, strict=True)],
        ["image_id", "content_sha256", "transform", "preview"],
    )
    connection.register("made_previews", rows)
    try:
        with transaction(connection):
            connection.execute(
                "DELETE FROM image_previews WHERE image_id IN (SELECT image_id FROM made_previews)"
            )
            connection.execute("INSERT INTO image_previews BY NAME FROM made_previews")
    finally:
        connection.unregister("made_previews")
