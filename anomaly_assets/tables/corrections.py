"""Write the lines of correction files into a warehouse, and pin each one to the content that it is for.

A line with `content_sha256` names its content. Any other line is for the content that its image has when
the line is first read: in the warehouse and in the file, which must agree. If the file is another version
than the decoded one, the pin waits until that version is decoded. The pin is kept by image, field and time
of the correction, also while the line is gone: an edited or restored line never moves to another content.

A line is never pinned if its image was missing when it was first read, if the file was replaced since the
last run, or if the file is newer than the correction. A correction of a source dataset that is not loaded
waits for its load.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import duckdb

from anomaly_assets.tables.registry import TABLES
from anomaly_assets.tables.row_changes import RowChanges, Rows, compare, keyed_rows

if TYPE_CHECKING:
    import pyarrow as pa

CORRECTED_MASK = "correction:"
"""Start of the file version of a corrected mask; no store has such versions."""


def version_of_mask(content: bytes) -> str:
    """Return the file version of a corrected mask: only another content makes an image stale."""
    return f"{CORRECTED_MASK}{hashlib.sha256(content).hexdigest()}"


def replace_lines(connection: duckdb.DuckDBPyConnection, lines: pa.Table) -> RowChanges:
    """Replace the lines of all correction files in one transaction; writes nothing if none changed.

    Args:
        connection: The warehouse, after `ensure_tables` and with the view `images` of this run.
        lines: The lines of all files; see `curation.correction_files.as_table`.

    Returns:
        What changed in `correction_lines`.
    """
    now = datetime.now(timezone.utc)
    connection.register("read_lines", lines)
    try:
        columns = ", ".join(lines.column_names)
        if connection.execute(_ARE_STORED.format(columns)).fetchall() == [(True,)]:
            return RowChanges(unchanged=lines.num_rows)
        connection.begin()
        connection.execute(f"CREATE OR REPLACE TEMP TABLE new_pins AS {_NEW_PINS}", {"now": now})
        if connection.execute(
            "FROM new_pins LIMIT 1"
        ).fetchall():  # on a lake, each INSERT adds a version
            connection.execute("INSERT INTO correction_pins BY NAME FROM new_pins")
        before = _write_pinned_lines(connection, "read_lines", now)
        connection.execute("DROP TABLE temp.new_pins")
        connection.commit()
    except BaseException:
        with suppress(duckdb.TransactionException):
            connection.rollback()
        raise
    finally:
        connection.unregister("read_lines")
    if before is None:
        return RowChanges(unchanged=lines.num_rows)
    return compare(before, keyed_rows(connection, "correction_lines"))


def pin_decoded(connection: duckdb.DuckDBPyConnection) -> int:
    """Decide the pins that wait for a file version that was decoded since; return their number."""
    if not connection.execute(_AWAITED).fetchall():
        return 0
    connection.execute(f"CREATE OR REPLACE TEMP TABLE decoded_since AS {_DECODED_SINCE}")
    [(count,)] = connection.execute("SELECT count(*) FROM decoded_since").fetchall()
    if count:
        connection.begin()
        connection.execute(
            """
            UPDATE correction_pins SET
                pinned_sha256 = CASE
                    WHEN coalesce(pinned_sha256, decoded.content_sha256) = decoded.content_sha256
                        THEN decoded.content_sha256
                END,
                awaited_version = NULL
            FROM temp.decoded_since AS decoded
            WHERE decoded.image_id = correction_pins.image_id
            AND decoded.awaited_version = correction_pins.awaited_version
            """
        )
        _write_pinned_lines(connection, "correction_lines", datetime.now(timezone.utc))
        connection.commit()
    connection.execute("DROP TABLE temp.decoded_since")
    return int(count)


def masks_in_use(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
    """Return image and file version of each corrected mask with which its image is to be decoded."""
    query = """
        SELECT image_id, masks.value
        FROM corrected_fields AS masks
        JOIN facts USING (image_id)
        JOIN images USING (image_id, file_version)
        WHERE masks.field = 'mask' AND masks.value IS NOT NULL
    """
    return {(image_id, version) for image_id, version in connection.execute(query).fetchall()}


def _write_pinned_lines(
    connection: duckdb.DuckDBPyConnection, lines: str, now: datetime
) -> Rows | None:
    """Replace the rows of `correction_lines` by these lines with their pins, unless they are equal.

    Returns:
        The rows before; None if they are equal.
    """
    columns = ", ".join(TABLES["correction_lines"].column_names)
    pinned = _PINNED_LINES.format(columns, lines)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE pinned_lines AS {pinned}", {"now": now})
    new, old = (
        connection.execute(f"SELECT count(*), sum(hash(each)) FROM ({rows}) AS each").fetchall()  # noqa: S608
        for rows in ("FROM pinned_lines", f"SELECT {columns} FROM correction_lines")  # noqa: S608
    )
    before = None
    if new != old:
        before = keyed_rows(connection, "correction_lines")
        connection.execute("DELETE FROM correction_lines")
        connection.execute("INSERT INTO correction_lines BY NAME FROM pinned_lines")
    connection.execute("DROP TABLE temp.pinned_lines")
    return before


_ARE_STORED = """
SELECT
    (SELECT (count(*), sum(hash(each))) FROM (SELECT {0} FROM read_lines) AS each)
    IS NOT DISTINCT FROM
    (SELECT (count(*), sum(hash(each))) FROM (SELECT {0} FROM correction_lines) AS each)
    -- A line without pin may get one, for instance when its source dataset is loaded.
    AND NOT EXISTS (
        FROM correction_lines
        WHERE content_sha256 IS NULL AND pinned_sha256 IS NULL AND awaited_version IS NULL
    )
"""

_NEW_PINS = """
SELECT
    lines.image_id,
    lines.field,
    lines.corrected_at,
    CASE WHEN NOT unclear THEN decoded.content_sha256 END AS pinned_sha256,
    CASE
        WHEN NOT unclear AND decoded.decoded_version IS DISTINCT FROM file_version THEN file_version
    END AS awaited_version,
    $now::TIMESTAMPTZ AS first_seen_at
FROM (
    SELECT DISTINCT image_id, field, corrected_at FROM read_lines
    WHERE content_sha256 IS NULL AND image_id IS NOT NULL AND field IS NOT NULL
) AS lines
SEMI JOIN (SELECT DISTINCT source_dataset FROM images) AS loaded
    ON loaded.source_dataset = split_part(lines.image_id, '/', 1)
LEFT JOIN (SELECT image_id AS listed_id, file_version, modified_at FROM images) AS listed
    ON listed.listed_id = lines.image_id
LEFT JOIN (
    SELECT image_id AS decoded_id, file_version AS decoded_version, content_sha256 FROM facts
) AS decoded
    ON decoded.decoded_id = lines.image_id
CROSS JOIN LATERAL (
    SELECT listed_id IS NULL OR coalesce(lines.corrected_at < modified_at, false) AS unclear
) AS judged
ANTI JOIN correction_pins AS pins
    ON pins.image_id = lines.image_id
    AND pins.field = lines.field
    AND pins.corrected_at IS NOT DISTINCT FROM lines.corrected_at
"""

_PINNED_LINES = """
SELECT {0} FROM (
    SELECT
        lines.file, lines.line, lines.image_id, lines.content_sha256, lines.field, lines.value,
        lines.reason, lines.corrected_by, lines.corrected_at, lines.used_value,
        lines.mask_source_uri, lines.fault,
        coalesce(lines.content_sha256, pins.pinned_sha256) AS pinned_sha256,
        CASE WHEN lines.content_sha256 IS NULL THEN pins.awaited_version END AS awaited_version,
        coalesce(same.first_seen_at, $now::TIMESTAMPTZ) AS first_seen_at
    FROM {1} AS lines
    LEFT JOIN correction_pins AS pins
        ON pins.image_id = lines.image_id
        AND pins.field = lines.field
        AND pins.corrected_at IS NOT DISTINCT FROM lines.corrected_at
    LEFT JOIN (
        SELECT image_id, content_sha256, field, value, min(first_seen_at) AS first_seen_at
        FROM correction_lines GROUP BY ALL
    ) AS same
        ON same.image_id IS NOT DISTINCT FROM lines.image_id
        AND same.content_sha256 IS NOT DISTINCT FROM lines.content_sha256
        AND same.field IS NOT DISTINCT FROM lines.field
        AND same.value IS NOT DISTINCT FROM lines.value
)
"""

_AWAITED = "SELECT 1 FROM correction_pins WHERE awaited_version IS NOT NULL LIMIT 1"

_DECODED_SINCE = """
SELECT DISTINCT pins.image_id, pins.awaited_version, facts.content_sha256
FROM correction_pins AS pins
JOIN facts ON facts.image_id = pins.image_id AND facts.file_version = pins.awaited_version
"""
