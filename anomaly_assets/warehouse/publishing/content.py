"""What publishing does wherever the warehouse lies: check the content, name it, and note it.

How it gets to people is a matter of the place: `file.py`, `clone.py`, and `lake/publish.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import duckdb

from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.warehouse.checks import blocking_findings
from anomaly_assets.warehouse.database import table_exists
from anomaly_assets.warehouse.publishing.provenance import note_snapshot, provenance
from anomaly_assets.warehouse.schema import ensure_tables, row_count, statement, upstream_needed
from anomaly_assets.warehouse.tables import TABLES

_SUMMARIES = ("dataset_summary", "pixel_statistics", "defect_summary", "duplicate_images")

Differences = list[tuple[str, str | None]]
"""Tables whose row counts differ between warehouse and what is published, and how."""


class PublishRefusedError(RuntimeError):
    """The warehouse does not pass a blocking check, or is empty; what is published stays as it is."""


class Published(Protocol):
    """What people open now."""

    @property
    def location(self) -> str:
        """Where it is."""

    def snapshot_id(self) -> str | None:
        """Digest of its content; None where there is nothing that can be read."""

    def row_count(self, name: str) -> int:
        """Number of rows of a table or view; 0 where it does not exist."""


@dataclass(frozen=True)
class Content:
    """What a warehouse holds.

    Attributes:
        snapshot_id: Digest of the content.
        written: False where this content was already published.
        samples: Number of rows of `samples`.
        provenance: Its row of `snapshots`, by column.
    """

    snapshot_id: str
    written: bool
    samples: int
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class Publication(Content):
    """What publishing did, beside the attributes of its content.

    Attributes:
        location: What people open.
        history: The publications that can be opened by their id, newest first.
        details: What there is to tell beside that, by name.
    """

    location: str
    history: list[dict[str, str | int]] = field(default_factory=list)
    details: dict[str, int] = field(default_factory=dict)


@upstream_needed()
def checked_content(
    connection: duckdb.DuckDBPyConnection,
    spec: TensorSpec,
    published: Published,
    run_id: str | None,
) -> Content:
    """Check what is about to be published, and note it unless it already is.

    Args:
        connection: The warehouse; nobody else writes to it.
        spec: Shape that all tensors must have.
        published: What people open now.
        run_id: Noted with the snapshot.

    Raises:
        PublishRefusedError: A blocking check fails.
        WarehouseError: The assets upstream were never materialized.
    """
    ensure_tables(connection)
    _refuse_what_is_wrong(connection, spec)
    snapshot_id = _snapshot_id(connection)
    written = published.snapshot_id() != snapshot_id or bool(differences(connection, published))
    if written:
        # Without the table of snapshots, which this very row changes.
        counts = {name: row_count(connection, name) for name in TABLES if name != "snapshots"}
        note_snapshot(connection, snapshot_id, run_id, counts)
        samples = counts["samples"]
    else:
        samples = row_count(connection, "samples")
    return Content(snapshot_id, written, samples, provenance(connection, snapshot_id))


def differences(connection: duckdb.DuckDBPyConnection, published: Published) -> Differences:
    """Tables whose row counts differ between the warehouse and what is published, and how."""
    if published.snapshot_id() is None:
        return [(published.location, "nothing is published")]
    counts = ((name, published.row_count(name), row_count(connection, name)) for name in TABLES)
    return [
        (name, f"{found} published, {expected} in the warehouse")
        for name, found, expected in counts
        if found != expected
    ]


def _refuse_what_is_wrong(connection: duckdb.DuckDBPyConnection, spec: TensorSpec) -> None:
    failing = blocking_findings(connection, spec)
    if failing:
        named = "; ".join(
            f"{name} ({finding.count}, first {finding.shown[0][0]})"
            for name, finding in failing.items()
        )
        raise PublishRefusedError(
            f"Nothing was published, because blocking checks fail: {named}. Materialize the assets "
            "upstream of published_database, then publish again."
        )


def _snapshot_id(connection: duckdb.DuckDBPyConnection) -> str:
    """Digest of all that is published; summaries count, because they may be made at another time."""
    digest = hashlib.sha256()
    found = connection.execute(statement(connection, "snapshot_content")).fetchall()
    # Python's SHA-256 is several times faster than DuckDB's.
    digest.update(repr((hashlib.sha256(found[0][0]).hexdigest(),)).encode())
    for name in _SUMMARIES:
        if table_exists(connection, "main", name):
            rows = connection.execute("FROM query_table($name) ORDER BY ALL", {"name": name})
            digest.update(repr((name, rows.fetchall())).encode())
    return digest.hexdigest()
