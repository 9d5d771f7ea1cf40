"""Record steps of runs that no other table records, and read the newest rows of the view `history`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.names import shown

EVENTS = (
    "loaded",
    "published",
    "corrected",
    "evaluated",
    "accepted",
    "removed",
    "refused",
    "failed",
)
"""Values of the column `event` of `history`."""

_MOST_CHARACTERS = 2000
"""Longest stored reason; one that names many files is cut."""


@dataclass(frozen=True)
class StepEvent:
    """A step that a run refused, that failed, that read changed correction files, or removed samples.

    Attributes:
        step: Name of the step.
        event: `refused` for a reason that this package found, `failed` for another, `corrected`, or
            `removed` for the sample data.
        detail: The reason, and what to do; or the number of changed lines or removed images.
        source_dataset: Source dataset of the step, if it has one.
        root_uri: Root of this source dataset, without credentials.
    """

    step: str
    event: str
    detail: str
    source_dataset: str | None = None
    root_uri: str | None = None


@dataclass(frozen=True)
class Event:
    """Row of `history`; `registry.py` describes the columns."""

    happened_at: datetime
    event: str
    source_dataset: str | None
    detail: str
    root_uri: str | None


def note_step_events(
    connection: duckdb.DuckDBPyConnection, run_id: str, events: Iterable[StepEvent]
) -> None:
    """Record steps of a run; a step that is recorded already is not repeated.

    With one process per step, each process records the steps that failed before its own end.

    Args:
        connection: The warehouse, after `ensure_tables`; its write lock is held.
        run_id: Id of the run.
        events: Its refused and failed steps.
    """
    recorded = connection.execute(
        "SELECT step, event FROM run_events WHERE run_id = ?", [run_id]
    ).fetchall()
    now = datetime.now(timezone.utc)
    rows = [
        (now, each.event, each.source_dataset, cut(each.detail), each.root_uri, run_id, each.step)
        for each in events
        if (each.step, each.event) not in recorded
    ]
    if rows:
        connection.begin()
        connection.executemany(
            "INSERT INTO run_events "
            "(happened_at, event, source_dataset, detail, root_uri, run_id, step) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        connection.commit()


def newest_events(
    connection: duckdb.DuckDBPyConnection,
    limit: int,
    *,
    source_dataset: str | None = None,
    events: Collection[str] = (),
) -> tuple[list[Event], int]:
    """Return the newest events, newest first, and the number of all that match.

    Args:
        connection: A warehouse or a published database.
        limit: Largest number of events to return.
        source_dataset: Only events of this source dataset, and publications; None for all.
        events: Only these values of the column `event`; empty for all.

    Raises:
        duckdb.CatalogException: The database has no view `history`.
        LookupError: There is no such source dataset; the message lists those of the database.
    """
    if source_dataset is not None:
        known = {name for (name,) in connection.execute(_DATASETS).fetchall()}
        if source_dataset not in known | SOURCE_DATASETS.keys():
            raise LookupError(
                f"source_dataset={source_dataset!r} does not exist. Existing values: "
                f"{', '.join(map(shown, sorted(known)))}."
            )
    rows = connection.execute(
        """
        SELECT happened_at, event, source_dataset, detail, root_uri, count(*) OVER () AS matching
        FROM history
        WHERE ($source_dataset IS NULL OR source_dataset IS NULL OR source_dataset = $source_dataset)
        AND (len($events) = 0 OR list_contains($events, event))
        ORDER BY happened_at DESC, event, source_dataset
        LIMIT $limit
        """,
        {"source_dataset": source_dataset, "events": [*events], "limit": limit},
    ).fetchall()
    return [Event(*row) for *row, _ in rows], rows[0][-1] if rows else 0


_DATASETS = """
SELECT source_dataset FROM source_datasets
UNION
SELECT source_dataset FROM history WHERE source_dataset IS NOT NULL
"""


def cut(text: str) -> str:
    """Return a detail, shortened to 2,000 characters."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
