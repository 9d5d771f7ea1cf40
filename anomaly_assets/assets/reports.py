"""What every materialization tells: the same words for the same facts, numbers that plot over time."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg

from anomaly_assets.datasets.names import shown
from anomaly_assets.warehouse.changes import RowChanges

ROW_COUNTS = ("rows_added", "rows_changed", "rows_removed", "rows_unchanged")
"""Metadata of every asset that has rows: what this run did to them."""

MOST_PICTURE_CHARACTERS = 100_000
"""Pictures of one materialization, as text, all together: they stay in the event log for ever."""


def row_metadata(rows: int, changes: RowChanges) -> dict[str, Any]:
    """How many rows there are, and what became of them."""
    counts = (changes.added, changes.changed, changes.removed, changes.unchanged)
    return {"dagster/row_count": rows, **dict(zip(ROW_COUNTS, counts, strict=True))}


def changes_in_this_run(context: dg.AssetExecutionContext, key: dg.AssetKey) -> RowChanges:
    """What this run did to the rows of an asset; nothing, where it did not materialize it."""
    event = context.instance.get_latest_materialization_event(key)
    if event is None or event.asset_materialization is None or event.run_id != context.run.run_id:
        return RowChanges()
    metadata = event.asset_materialization.metadata
    return RowChanges(
        *(int(str(metadata[name].value)) if name in metadata else 0 for name in ROW_COUNTS)
    )


def changes_of_view(
    context: dg.AssetExecutionContext, rows: int, tables: Iterable[dg.AssetKey]
) -> RowChanges:
    """What this run did to the rows of a view.

    Args:
        context: Of the run.
        rows: Number of rows of the view.
        tables: Assets whose rows are those of the view.
    """
    changes = [changes_in_this_run(context, key) for key in tables]
    added, changed = (sum(c.added for c in changes), sum(c.changed for c in changes))
    removed = sum(c.removed for c in changes)
    return RowChanges(added, changed, removed, max(0, rows - added - changed))


def table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> dg.TableMetadataValue:
    """A table that the UI shows as one; values are shown as text, names in them as in a message."""
    schema = dg.TableSchema(columns=[dg.TableColumn(name) for name in columns])
    records = [
        dg.TableRecord(
            {
                name: "" if value is None else shown(value)
                for name, value in zip(columns, row, strict=True)
            }
        )
        for row in rows
    ]
    return dg.MetadataValue.table(records, schema=schema)


def picture(title: str, content: bytes, kind: str = "webp") -> dg.MarkdownMetadataValue:
    """A picture that the UI shows behind `[Show Markdown]`."""
    text = base64.b64encode(content).decode("ascii")
    return dg.MetadataValue.md(f"![{title}](data:image/{kind};base64,{text})")


def bytes_within(characters: int) -> int:
    """Size of the largest picture whose text has at most so many characters."""
    return (characters - 100) * 3 // 4
