"""Write decoded images into the tables of tensors, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import duckdb
import pyarrow as pa

from anomaly_assets.decoding.batch import (
    FACTS_SCHEMA,
    PREVIEWS_SCHEMA,
    RECIPES_SCHEMA,
    TENSORS_SCHEMA,
    TRANSIENT,
    DecodedBatch,
    Rejection,
)
from anomaly_assets.decoding.rejections import insert_rejections
from anomaly_assets.tables.corrections import CORRECTED_MASK

_KNOWN = """
SELECT
    image_id,
    -- A mask was added or removed, so the label may have changed: this tensor must not be kept.
    CASE WHEN (known.mask_file_version IS NULL) = (stale.mask_file_version IS NULL) THEN
        -- A tensor of a deep file is kept too while its file cannot be read.
        regexp_replace(known.transform, '-depth-.*$', '') END
FROM image_tensors AS known JOIN stale USING (image_id)
"""

_Rows: TypeAlias = "pa.Table | pa.RecordBatch"

Decoded: TypeAlias = tuple[pa.Table, DecodedBatch]
"""Planned images, and what decoding them gave."""


@dataclass(frozen=True)
class Written:
    """Result of one transaction.

    Attributes:
        images: Number of its images.
        replaced: Tensors of the common recipe that replaced another one.
        given_up: Tensors that were decoded without their mask and dropped in favour of the existing one.
        recipe_rows: Tensors of further recipes that were inserted.
        recipe_rows_replaced: Tensors of further recipes that were deleted for them.
    """

    images: int
    replaced: int
    given_up: int
    recipe_rows: int
    recipe_rows_replaced: int


def write_images(
    connection: duckdb.DuckDBPyConnection,
    planned: pa.Table,
    batches: Iterable[Decoded],
    run_id: str | None,
    held_back: list[Rejection],
) -> Written:
    """Replace the stored rows of images by the decoded ones, in one transaction.

    If a file or its mask could not be read as it was listed, existing tensors are kept. Other rejections of
    images that have a tensor are added to `held_back` and not written: whether this number of samples may
    be lost is decided after all files were tried.

    Args:
        connection: The warehouse.
        planned: The images, and maybe some more after them.
        batches: The decoded images.
        run_id: Recorded in every row.
        held_back: Gets the rejections of images that have a tensor.
    """
    rejections: list[Rejection] = []
    facts: list[pa.RecordBatch] = []
    previews: list[pa.RecordBatch] = []
    remade: list[pa.RecordBatch] = []
    done = recipe_rows = recipe_rows_replaced = 0
    kept: set[str] = set()
    given_up = 0
    connection.register("stale", planned.select(["image_id", "mask_file_version", "common"]))
    inserted = {name: _Inserted(connection, name, run_id) for name in _SCHEMAS}
    connection.begin()
    try:
        known: dict[str, str | None] = dict(connection.execute(_KNOWN).fetchall())
        # New rows get larger row ids than all committed rows, so `rowid <= last` selects the old ones.
        last = dict(connection.execute(_LAST_ROWS).fetchall())
        for part, batch in batches:
            done += part.num_rows
            rejections.extend(batch.rejections)
            kept.update(_with_good_tensors(batch.rejections, known))
            usable = _without(batch.tensors, kept)
            given_up += batch.tensors.num_rows - usable.num_rows
            further = _without(batch.recipe_tensors, kept)
            facts.append(_without(batch.facts, kept))
            previews.append(_without(batch.previews, kept))
            recipe_rows += further.num_rows
            remade.append(further.select(["image_id", "recipe"]))
            for table, rows in (("image_tensors", usable), ("recipe_tensors", further)):
                inserted[table].add(rows)
        for rows_of_table in inserted.values():
            rows_of_table.flush()
        images = planned.slice(0, done)
        connection.register("stale", images.select(["image_id", "mask_file_version", "common"]))
        unusable = {each.image_id for each in rejections if not each.of_mask}
        held = (unusable & known.keys()) - kept
        held_back.extend(each for each in rejections if each.image_id in held)
        for name, image_ids in (("held", held), ("staying", held | kept)):
            ids = pa.array(sorted(image_ids), pa.string())
            connection.register(name, pa.table({"image_id": ids}))
        connection.register("decoded_facts", _table(facts, FACTS_SCHEMA))
        connection.register("decoded_previews", _table(previews, PREVIEWS_SCHEMA))
        connection.register("remade", _table(remade, remade[0].schema))
        if known:
            connection.execute(
                f"DELETE FROM image_tensors WHERE rowid <= ? AND {_REPLACED}",  # noqa: S608
                [last["image_tensors"]],
            )
        if last["recipe_tensors"] is not None:
            deleted = connection.execute(
                "DELETE FROM recipe_tensors WHERE rowid <= ? AND (image_id, recipe) IN (FROM remade)",
                [last["recipe_tensors"]],
            ).fetchone()
            recipe_rows_replaced = int(deleted[0]) if deleted else 0
        for table, decoded in (("facts", "decoded_facts"), ("image_previews", "decoded_previews")):
            connection.execute(f"DELETE FROM {table} WHERE {_REPLACED}")  # noqa: S608
            connection.execute(f"INSERT INTO {table} BY NAME FROM {decoded}")
        connection.execute(_DELETE_REJECTIONS)
        insert_rejections(connection, [each for each in rejections if each.image_id not in held])
        connection.commit()
        remade_common = images.filter(images["common"])["image_id"].to_pylist()
        replaced = known.keys() & set(remade_common) - held - kept
        return Written(done, len(replaced), given_up, recipe_rows, recipe_rows_replaced)
    except BaseException:
        # A signal that aborted the commit has ended the transaction already.
        with suppress(duckdb.TransactionException):
            connection.rollback()
        raise
    finally:
        for name in ("stale", "decoded_facts", "decoded_previews", "held", "staying", "remade"):
            connection.unregister(name)
        for table in _SCHEMAS:
            connection.unregister(f"decoded_{table}")


_LAST_ROWS = """
SELECT 'image_tensors', max(rowid) FROM image_tensors
UNION ALL SELECT 'recipe_tensors', max(rowid) FROM recipe_tensors
"""

_REPLACED = (
    "image_id IN (SELECT image_id FROM stale WHERE common) AND image_id NOT IN (FROM staying)"
)


_DELETE_REJECTIONS = f"""
DELETE FROM rejected_images
WHERE image_id IN (SELECT image_id FROM stale) AND image_id NOT IN (FROM held)
AND (
    NOT starts_with(file_version, '{CORRECTED_MASK}')
    OR (image_id, file_version) IN (SELECT (image_id, mask_file_version) FROM stale)
)
"""  # noqa: S608
"""Delete the rejections of images that were decoded. That of a corrected mask stays if the image was
decoded with the mask of the source, or the next run would try the same file in vain."""

_SCHEMAS = {"image_tensors": TENSORS_SCHEMA, "recipe_tensors": RECIPES_SCHEMA}
_INSERTED_BYTES = 8 * 1024 * 1024
"""Minimum bytes of pixels per INSERT: each INSERT takes 4 ms of processor time, however few its rows are.

A single INSERT for the whole transaction would hold 250 MB more, and only one INSERT can run at a time.
"""


class _Inserted:
    """Decoded rows of one table, inserted some megabytes at a time.

    A view that a transaction creates and drops stays in memory with its rows until the commit: 400 MB for
    2,048 tensors. So a view of this object exists before the transaction, and its rows are replaced.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, table: str, run_id: str | None
    ) -> None:
        self._connection = connection
        self._insert = (
            f"INSERT INTO {table} BY NAME SELECT * REPLACE ($run_id AS run_id) FROM decoded_{table}"  # noqa: S608
        )
        self._run_id = run_id
        self._schema = _SCHEMAS[table]
        self._waiting: list[_Rows] = []
        self._waiting_bytes = 0
        connection.register(f"decoded_{table}", self)

    def add(self, rows: _Rows) -> None:
        """Add rows to the table, now or with later ones."""
        if rows.num_rows:
            self._waiting.append(rows)
            self._waiting_bytes += rows.nbytes
        if self._waiting_bytes >= _INSERTED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Insert the rows that wait."""
        if self._waiting:
            self._connection.execute(self._insert, {"run_id": self._run_id})
            self._waiting.clear()
            self._waiting_bytes = 0

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return _table(self._waiting, self._schema).__arrow_c_stream__(requested_schema)


def _table(parts: list[_Rows], schema: pa.Schema) -> pa.Table:
    """Return several batches or tables as one table."""
    tables = [
        part if isinstance(part, pa.Table) else pa.Table.from_batches([part]) for part in parts
    ]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _with_good_tensors(
    rejections: Sequence[Rejection], known: Mapping[str, str | None]
) -> set[str]:
    """Return images that keep their tensor, because reading failed only temporarily (see `TRANSIENT`).

    Args:
        rejections: Files that could not be used.
        known: Transform of the existing tensor by image; None if the tensor must not be kept.
    """
    return {
        rejected.image_id
        for rejected in rejections
        if rejected.reason in TRANSIENT and known.get(rejected.image_id) == rejected.transform
    }


def _without(tensors: _Rows, image_ids: set[str]) -> _Rows:
    if not image_ids or image_ids.isdisjoint(ids := tensors["image_id"].to_pylist()):
        return tensors
    return tensors.filter(pa.array([image_id not in image_ids for image_id in ids]))
