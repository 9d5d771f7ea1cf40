"""What every materialization tells: the same words for the same facts, numbers that plot over time."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg

from anomaly_assets.warehouse.changes import RowChanges

ROW_COUNTS = ("rows_added", "rows_changed", "rows_removed", "rows_unchanged")
"""Metadata of every asset that has rows: what this run did to them."""

MOST_PICTURE_CHARACTERS = 100_000
"""Pictures of one materialization, as text, all together: they stay in the event log for ever."""


def row_metadata(rows: int, changes: RowChanges) -> dict[str, Any]:
    """How many rows there are, and what became of them."""
    counts = (changes.added, changes.changed, changes.removed, changes.unchanged)
    return {"dagster/row_count": rows, **dict(zip(ROW_COUNTS, counts, strict=True))}


def changes_upstream(
    context: dg.AssetExecutionContext, rows: int, upstream: Iterable[dg.AssetKey]
) -> RowChanges:
    """What this run did to the rows of a view: what it did to the tables that the view is made of.

    Args:
        context: Of the run.
        rows: Number of rows of the view.
        upstream: Assets whose rows are those of the view. One that this run did not materialize has
            changed nothing.
    """
    added = changed = removed = 0
    for key in upstream:
        event = context.instance.get_latest_materialization_event(key)
        if event is None or event.run_id != context.run.run_id:
            continue
        materialization = event.asset_materialization
        metadata = materialization.metadata if materialization else {}
        found = [metadata[name].value if name in metadata else 0 for name in ROW_COUNTS[:3]]
        added, changed, removed = (
            before + int(str(more))
            for before, more in zip((added, changed, removed), found, strict=True)
        )
    return RowChanges(added, changed, removed, max(0, rows - added - changed))


def rows_before(context: dg.AssetExecutionContext, key: dg.AssetKey) -> int:
    """How many rows an asset had when it was last materialized."""
    event = context.instance.get_latest_materialization_event(key)
    if event is None or event.asset_materialization is None:
        return 0
    value = event.asset_materialization.metadata.get("dagster/row_count")
    return int(str(value.value)) if value else 0


def table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> dg.TableMetadataValue:
    """A table that the UI shows as one; values are shown as text."""
    schema = dg.TableSchema(columns=[dg.TableColumn(name) for name in columns])
    records = [
        dg.TableRecord(
            {
                name: "" if value is None else str(value)
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
