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
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Replaced:
    """Result of reading the correction files.

    Attributes:
        lines: What changed in `correction_lines`.
        samples: What follows for samples, without those that are decoded again for another mask.
    """

    lines: RowChanges
    samples: RowChanges = RowChanges()  # noqa: RUF009 (frozen)


def replace_lines(connection: duckdb.DuckDBPyConnection, lines: pa.Table) -> Replaced:
    """Replace the lines of all correction files in one transaction; writes nothing if none changed.

    Args:
        connection: The warehouse, after `ensure_tables` and with the view `images` of this run.
        lines: The lines of all files; see `curation.correction_files.as_table`.

    Returns:
        What changed in `correction_lines`, and in samples.
    """
    now = datetime.now(timezone.utc)
    connection.register("read_lines", lines)
    try:
        columns = ", ".join(lines.column_names)
        if connection.execute(_ARE_STORED.format(columns)).fetchall() == [(True,)]:
            return Replaced(RowChanges(unchanged=lines.num_rows))
        connection.execute(f"CREATE OR REPLACE TEMP TABLE corrected_before AS {_CORRECTED}")
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
        return Replaced(RowChanges(unchanged=lines.num_rows))
    [samples] = connection.execute(_SAMPLES_CHANGED).fetchall()
    connection.execute("DROP TABLE temp.corrected_before")
    changes = compare(before, keyed_rows(connection, "correction_lines"))
    return Replaced(changes, RowChanges(*samples))


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


def forget_masks(connection: duckdb.DuckDBPyConnection) -> None:
    """Delete the rejections of corrected masks that no line gives to the content of their image."""
    if connection.execute(f"SELECT 1 FROM ({_FORGOTTEN}) LIMIT 1").fetchall():  # noqa: S608
        connection.execute(
            f"DELETE FROM rejected_images WHERE (image_id, file_version) IN ({_FORGOTTEN})"  # noqa: S608
        )


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


_FORGOTTEN = f"""
SELECT (rejected.image_id, rejected.file_version)
FROM (FROM rejected_images WHERE starts_with(file_version, '{CORRECTED_MASK}')) AS rejected
LEFT JOIN facts ON facts.image_id = rejected.image_id
ANTI JOIN correction_lines AS lines
    ON lines.used_value = rejected.file_version
    AND lines.pinned_sha256 = facts.content_sha256
    AND coalesce(lines.image_id, rejected.image_id) = rejected.image_id
"""  # noqa: S608

_CORRECTED = """
SELECT image_id, bool_or(field = 'exclude' AND value = 'true') AS is_excluded,
    string_agg(field || '=' || value, ',' ORDER BY field) FILTER (field <> 'mask') AS corrected
FROM corrected_fields GROUP BY image_id
"""

_SAMPLES_CHANGED = f"""
SELECT
    count(*) FILTER (was_excluded AND NOT is_excluded) AS added,
    count(*) FILTER (NOT was_excluded AND NOT is_excluded AND corrected IS DISTINCT FROM earlier)
        AS changed,
    count(*) FILTER (NOT was_excluded AND is_excluded) AS removed
FROM (
    SELECT
        coalesce(old.is_excluded, false) AS was_excluded, coalesce(new.is_excluded, false) AS is_excluded,
        old.corrected AS earlier, new.corrected
    FROM temp.corrected_before AS old
    FULL JOIN ({_CORRECTED}) AS new ON new.image_id = old.image_id
)
"""  # noqa: S608

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
