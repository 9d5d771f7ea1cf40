"""Define the asset of split assignments, which assigns newcomers in every run."""

import dagster as dg

from anomaly_assets.assets.reports import materialized, row_metadata, rows_shown, table
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import table_spec
from anomaly_assets.datasets.names import counted
from anomaly_assets.splitting.contents import Bridge
from anomaly_assets.splitting.update import Updated, names_of, update, warnings_of
from anomaly_assets.tables.ddl import ensure_tables, refresh, row_count
from anomaly_assets.tables.preview_rows import first_rows
from anomaly_assets.tables.row_changes import compare, keyed_rows

_ROWS_SHOWN = 20


@dg.multi_asset(
    specs=[
        table_spec(
            "splits",
            group="curation",
            deps=["near_duplicates"],
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
    bridges = [(each.name, *_row(bridge)) for each in updated for bridge in each.bridges]
    left_out = [(each.name, *_row(bridge)) for each in updated for bridge in each.left_out]
    return materialized(
        context,
        {
            **row_metadata(rows, changes),
            "folds": table(("assignment", "fold", "images"), folds),
            "bridges": len(bridges),
            "bridges_in_this_run": table(_BRIDGE, bridges),
            "in_no_fold": len(left_out),
            "in_no_fold_in_this_run": table(_BRIDGE, left_out),
            "rows": rows_shown(shown, changes),
        },
    )


_BRIDGE = ("assignment", "image", "fold", "reason", "other image", "other fold")


def _row(bridge: Bridge) -> tuple[str, ...]:
    return bridge.image_id, bridge.fold, bridge.reason, bridge.other_id, bridge.other_fold


def _report(context: dg.AssetExecutionContext, updated: Updated) -> None:
    """Log what people have to do: commit a file, or look at images."""
    if updated.newcomers and updated.path and not updated.unwritten:
        are_new = "is new" if updated.newcomers == 1 else "are new"
        context.log.info(
            f"{counted(updated.newcomers, 'content')} {are_new} in the assignment {updated.name}: commit "
            f"{updated.path}."
        )
    for sentence in warnings_of(updated):
        context.log.warning(sentence)
