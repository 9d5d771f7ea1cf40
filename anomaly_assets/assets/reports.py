"""Build the metadata of materializations: shared names, and numbers that the UI plots over time.

Dagster never deletes events, and most runs change nothing. So metadata are attached to the
materialization only, a picture is stored only when it changes, and one event stays below 100 kB.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import dagster as dg
from dagster._core.definitions.metadata import normalize_metadata_value
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster_shared.serdes import serialize_value

from anomaly_assets.tables.preview_rows import Shown, as_cell, fitting
from anomaly_assets.tables.row_changes import RowChanges

ROW_COUNTS = ("rows_added", "rows_changed", "rows_removed", "rows_unchanged")
"""Metadata names of every asset with rows: counts of what this run did to them."""

_OF_SAMPLES = "sample_"
"""Start of metadata names of what corrections change in samples."""

MOST_PICTURE_CHARACTERS = 75_000
"""Limit for all pictures in one event, in characters; the rest is for tables and numbers."""

_MOST_CHARACTERS = 95_000
"""Limit for all metadata of one event as stored, in characters; the event itself needs up to 5 kB."""

_ROWS_IF_UNCHANGED = 5
PICTURES_IN_RUN = "pictures_in_run"
"""Metadata name of the link to the run that stored the same pictures."""

_DIGEST = "pictures_digest"


def materialized(
    context: dg.AssetExecutionContext, metadata: Mapping[str, Any], key: dg.AssetKey | None = None
) -> dg.MaterializeResult:
    """Return the result of an asset, and attach these metadata to its materialization.

    Metadata inside a `MaterializeResult` would be stored twice: Dagster copies them to the step's output.

    Args:
        context: The run.
        metadata: Numbers, tables, pictures.
        key: The asset, if the step has several.
    """
    context.add_asset_metadata(bounded(metadata), asset_key=key)
    return dg.MaterializeResult(asset_key=key)


def bounded(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata that fit into one event: a sentence replaces each of the largest values."""
    kept = dict(metadata)
    sizes = {
        name: len(serialize_value(cast(Any, normalize_metadata_value(value))))
        for name, value in kept.items()
    }
    while sum(sizes.values()) > _MOST_CHARACTERS:
        name = max(sizes, key=lambda name: sizes[name])
        kept[name] = f"Left out: {sizes[name]:,} characters are too many for the event log."
        sizes[name] = 200
    return kept


def _stored_characters(value: Any) -> int:
    return len(serialize_value(cast(Any, normalize_metadata_value(value))))


Pictures = Mapping[str, dg.MarkdownMetadataValue]


def new_pictures(
    context: dg.AssetExecutionContext, key: dg.AssetKey, draw: Callable[[], Pictures]
) -> dict[str, Any]:
    """Return metadata of pictures; if they did not change, a link to the run that stored them.

    Args:
        context: The run.
        key: The asset.
        draw: Draws the pictures. If a signal interrupts one of its queries, it must raise
            `KeyboardInterrupt`, which `interrupted_queries` does.

    Returns:
        The pictures, or a link to the run that stored the same ones, if that is still in the history. An
        error while drawing does not fail the run: it is logged, and its message is returned.
    """
    event = context.instance.get_latest_materialization_event(key)
    stored = event.asset_materialization if event else None
    found = stored.metadata if stored else {}
    run_id = event.run_id if event else ""
    return _not_stored(context.instance, found, run_id, draw, context.log.warning)


def new_pictures_of_check(
    context: dg.AssetCheckExecutionContext, key: dg.AssetCheckKey, draw: Callable[[], Pictures]
) -> dict[str, Any]:
    """Return metadata of a failed check's pictures; see `new_pictures`."""
    run_id, evaluation = latest_evaluation(context.instance, key)
    found = evaluation.metadata if evaluation else {}
    return _not_stored(context.instance, found, run_id, draw, context.log.warning)


def latest_evaluation(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey
) -> tuple[str, dg.AssetCheckEvaluation | None]:
    """Return the run and the result of the latest evaluation of a check, without planned ones."""
    history = instance.event_log_storage.get_asset_check_execution_history(
        key,
        limit=1,
        status={AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED},
    )
    return (history[0].run_id, history[0].evaluation) if history else ("", None)


def _not_stored(
    instance: dg.DagsterInstance,
    stored: Mapping[str, dg.MetadataValue],
    run_id: str,
    draw: Callable[[], Pictures],
    warn: Callable[[str], None],
) -> dict[str, Any]:
    try:
        pictures = draw()
    except Exception as error:
        reason = as_cell(f"{type(error).__name__}: {error}")
        warn(f"Pictures could not be drawn; nothing else is affected. {reason}")
        return {"pictures": f"Not drawn. {reason}"}
    if not pictures:
        return {}
    texts = {name: value.md_str for name, value in pictures.items()}
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()[:16]
    if _DIGEST in stored and stored[_DIGEST].value == digest:
        shown_in = str(stored[PICTURES_IN_RUN].value) if PICTURES_IN_RUN in stored else run_id
        if instance.has_run(shown_in):
            return {_DIGEST: digest, PICTURES_IN_RUN: dg.MetadataValue.dagster_run(shown_in)}
    return {**pictures, _DIGEST: digest}


def row_metadata(rows: int, changes: RowChanges) -> dict[str, Any]:
    """Return metadata with the number of rows and the number of changes."""
    counts = (changes.added, changes.changed, changes.removed, changes.unchanged)
    return {"dagster/row_count": rows, **dict(zip(ROW_COUNTS, counts, strict=True))}


def size(number_of_bytes: int) -> str:
    """Format bytes as `518 MB`, beside the number that the UI plots."""
    value, unit = float(number_of_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "bytes" else f"{value:.1f} {unit}"


def sample_metadata(changes: RowChanges) -> dict[str, Any]:
    """Return metadata with what an asset changed in samples; `changes_in_this_run` reads it."""
    counts = (changes.added, changes.changed, changes.removed)
    return {f"{_OF_SAMPLES}{name}": n for name, n in zip(ROW_COUNTS, counts, strict=False)}


def changes_of_samples(context: dg.AssetExecutionContext, rows: int) -> RowChanges:
    """Return this run's changes to the rows of `samples`: by decoding, and by corrections."""
    decoded = changes_in_this_run(context, dg.AssetKey("image_tensors"))
    corrected = changes_in_this_run(context, dg.AssetKey("corrections"), _OF_SAMPLES)
    added, changed = decoded.added + corrected.added, decoded.changed + corrected.changed
    removed = decoded.removed + corrected.removed
    return RowChanges(added, changed, removed, max(0, rows - added - changed))


def changes_in_this_run(
    context: dg.AssetExecutionContext, key: dg.AssetKey, prefix: str = ""
) -> RowChanges:
    """Return this run's changes to the rows of an asset; zeros if it did not materialize the asset."""
    event = context.instance.get_latest_materialization_event(key)
    if event is None or event.asset_materialization is None or event.run_id != context.run.run_id:
        return RowChanges()
    metadata = event.asset_materialization.metadata
    return RowChanges(
        *(
            int(str(metadata[prefix + name].value)) if prefix + name in metadata else 0
            for name in ROW_COUNTS
        )
    )


def changes_of_view(
    context: dg.AssetExecutionContext, rows: int, tables: Iterable[dg.AssetKey]
) -> RowChanges:
    """Return this run's changes to the rows of a view.

    Args:
        context: The run.
        rows: Number of rows of the view.
        tables: Assets whose rows the view joins.
    """
    changes = [changes_in_this_run(context, key) for key in tables]
    added, changed = (sum(c.added for c in changes), sum(c.changed for c in changes))
    removed = sum(c.removed for c in changes)
    return RowChanges(added, changed, removed, max(0, rows - added - changed))


def rows_shown(shown: Shown, changes: RowChanges) -> dg.MarkdownMetadataValue:
    """Return a table of all chosen rows if this run changed some, else of the first few."""
    return dg.MetadataValue.md(
        (shown if changes.any else shown.first(_ROWS_IF_UNCHANGED)).markdown()
    )


def table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> dg.TableMetadataValue:
    """Return a table for the UI; values become text, and unusual characters in names are escaped."""
    schema = dg.TableSchema(columns=[dg.TableColumn(name) for name in columns])
    records = [
        dg.TableRecord(dict(zip(columns, row, strict=True)))
        for row in fitting([as_cell(value) for value in row] for row in rows)
    ]
    return dg.MetadataValue.table(records, schema=schema)


def picture(title: str, content: bytes, kind: str = "webp") -> dg.MarkdownMetadataValue:
    """Return a picture that the UI shows behind `[Show Markdown]`."""
    text = base64.b64encode(content).decode("ascii")
    return dg.MetadataValue.md(f"![{title}](data:image/{kind};base64,{text})")


def bytes_within(characters: int) -> int:
    """Return the size in bytes of the largest picture whose Base64 text has this many characters."""
    return (characters - 100) * 3 // 4
