"""Define the asset of split assignments, which assigns newcomers in every run."""

import dagster as dg

from anomaly_assets.assets.reports import materialized, row_metadata, rows_shown, table
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import table_spec
from anomaly_assets.splitting.update import Updated, bridges_sentence, names_of, update
from anomaly_assets.tables.ddl import ensure_tables, refresh, row_count
from anomaly_assets.tables.preview_rows import first_rows
from anomaly_assets.tables.row_changes import compare, keyed_rows

_ROWS_SHOWN = 20


@dg.multi_asset(
    specs=[
        table_spec(
            "splits",
            group="curation",
            deps=["images", "image_tensors", "corrections", "near_duplicates"],
            kinds={"duckdb", "view"},
            files=["splitting/update.py", "splitting/assign.py", "assets/splits.py"],
        )
    ],
    name="splits",
)
def splits(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Assign the newcomers of every assignment, in its file and in the warehouse."""
    folder = warehouse.settings.splits
    # Another run may be decoding: its new images would be assigned by the next run only.
    with warehouse.warehouse.finishing(), warehouse.warehouse.connect() as connection:
        ensure_tables(connection)
        refresh(connection, "splits")
        before = keyed_rows(connection, "splits")
        updated = [update(connection, folder, name) for name in names_of(connection, folder)]
        changes = compare(before, keyed_rows(connection, "splits"))
        rows = row_count(connection, "splits")
        shown = first_rows(connection, "splits", _ROWS_SHOWN)
    for each in updated:
        _report(context, each)
    folds = [(each.name, fold, count) for each in updated for fold, count in each.folds.items()]
    bridges = [
        (each.name, bridge.image_id, bridge.fold, bridge.reason, bridge.other_id, bridge.other_fold)
        for each in updated
        for bridge in each.bridges
    ]
    return materialized(
        context,
        {
            **row_metadata(rows, changes),
            "folds": table(("assignment", "fold", "images"), folds),
            "bridges": len(bridges),
            "bridges_in_this_run": table(_BRIDGE, bridges),
            "rows": rows_shown(shown, changes),
        },
    )


_BRIDGE = ("assignment", "image", "fold", "reason", "other image", "other fold")


def _report(context: dg.AssetExecutionContext, updated: Updated) -> None:
    """Log what people have to do: commit a file, or look at bridges."""
    if updated.newcomers and updated.path and not updated.unwritten:
        context.log.info(
            f"{updated.newcomers} contents are new in the assignment {updated.name}: commit {updated.path}."
        )
    if updated.unwritten:
        context.log.warning(
            f"{updated.path} was not written ({updated.unwritten}). The warehouse has its new lines: run "
            f"`anomaly-assets split --name {updated.name}` where the file can be written."
        )
    if updated.by_file:
        context.log.warning(
            f"{updated.path} moved {updated.by_file} contents of the assignment {updated.name} to another "
            "fold. If nobody edited it on purpose, take an earlier version of it."
        )
    if updated.bridges:
        context.log.warning(bridges_sentence(updated))
