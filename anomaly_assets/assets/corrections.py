"""Define the asset of the corrections that people make in CSV files."""

from collections import Counter

import dagster as dg

from anomaly_assets.assets.reports import (
    materialized,
    row_metadata,
    rows_shown,
    sample_metadata,
)
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import table_spec
from anomaly_assets.tables.corrections import Replaced, replace_lines
from anomaly_assets.tables.ddl import ensure_tables, refresh_labels, row_count
from anomaly_assets.tables.history import StepEvent, note_step_events
from anomaly_assets.tables.preview_rows import first_rows
from anomaly_assets.tables.row_changes import RowChanges

_ROWS_SHOWN = 20


@dg.multi_asset(
    specs=[
        table_spec(
            "corrections",
            group="curation",
            deps=["images"],
            kinds={"duckdb", "csv"},
            files=[
                "curation/correction_files.py",
                "tables/corrections.py",
                "assets/corrections.py",
            ],
        )
    ],
    name="corrections",
)
def corrections(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """Read the correction files, and pin each line to the content that it is for."""
    # Imported lazily: PyArrow would slow down every import of the definitions.
    from anomaly_assets.curation.correction_files import as_table, read_corrections

    place = warehouse.settings.corrections
    lines = None if place is None else as_table(read_corrections(place))
    with warehouse.warehouse.writing(), warehouse.warehouse.connect() as connection:
        ensure_tables(connection)
        refresh_labels(connection)
        if lines is not None:
            replaced = replace_lines(connection, lines)
            note_step_events(connection, context.run.run_id, _events(replaced.lines))
        else:
            replaced = Replaced(RowChanges(unchanged=row_count(connection, "correction_lines")))
        query = "SELECT status, count(*) FROM corrections GROUP BY ALL ORDER BY ALL"
        statuses = Counter(dict(connection.execute(query).fetchall()))
        shown = first_rows(connection, "corrections", _ROWS_SHOWN)
    if place is None and statuses:
        context.log.info(
            f"ANOMALY_CORRECTIONS is not set: the {statuses.total():,} loaded corrections stay. A file "
            "that has only the header removes them."
        )
    return materialized(
        context,
        {
            **row_metadata(statuses.total(), replaced.lines),
            **sample_metadata(replaced.samples),
            "statuses": dict(statuses),
            "rows": rows_shown(shown, replaced.lines),
        },
    )


def _events(changes: RowChanges) -> list[StepEvent]:
    """Return the row of `run_events` of changed correction files; none if no line changed."""
    counts = ((changes.added, "new"), (changes.changed, "changed"), (changes.removed, "removed"))
    words = ", ".join(f"{count:,} {word}" for count, word in counts if count)
    return (
        [StepEvent("corrections", "corrected", f"lines of correction files: {words}")]
        if words
        else []
    )
