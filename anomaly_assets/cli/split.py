"""Assign images to folds, such as a validation set that never moves."""

from __future__ import annotations

import sys
from typing import Any

import click

from anomaly_assets.cli.running import (
    UsageError,
    begin_work,
    examples,
    expected,
    warn_of_unknown_variables,
)
from anomaly_assets.datasets.names import counted
from anomaly_assets.settings import Settings


def _columns(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the names in a list that is separated by commas."""
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


@click.command(
    epilog=examples(
        "anomaly-assets split --name v1 --val 0.2",
        "anomaly-assets split --name v2 --val 0.1 --folds 5 --by category,label --seed 7",
        "anomaly-assets split --name v1                  (assigns newcomers)",
    )
)
@click.option("--name", required=True, metavar="NAME", help="Name of the assignment, such as v1.")
@click.option("--val", type=float, metavar="SHARE", help="Share of the fold val, such as 0.2.")
@click.option("--test", type=float, metavar="SHARE", help="Share of the fold test.")
@click.option("--folds", type=int, metavar="N", help="Folds 0, 1, … N-1 instead of train.")
@click.option("--seed", type=int, metavar="NUMBER", help="Seed of the hash that decides (0).")
@click.option(
    "--group", metavar="COLUMN", help="Keep images of equal values in one fold, as a serial number."
)
@click.option(
    "--by",
    callback=_columns,
    metavar="COLUMN[,COLUMN]",
    help="Give every fold its share of the images of each value.",
)
@click.option(
    "--from",
    "taken",
    callback=_columns,
    metavar="SPLIT[,SPLIT]",
    help="Take the images of these splits of the source (train,unassigned).",
)
@click.option("--remove", is_flag=True, help="Remove the assignment, and delete its file.")
def command(name: str, remove: bool, **options: Any) -> None:
    """Assign images to folds, in the warehouse and in a file to commit (splits/NAME.csv).

    An image that is assigned never moves. Run it again, without options, to assign newcomers; every refresh
    does so too. docs/curation.md describes what decides.
    """
    from anomaly_assets.splitting import update
    from anomaly_assets.splitting.plan import Plan, PlanError
    from anomaly_assets.tables.ddl import ensure_tables
    from anomaly_assets.warehouse.open import open_warehouse

    given = {option: value for option, value in options.items() if value not in (None, ())}
    try:
        if remove and given:
            raise PlanError("--remove takes no other option than --name.")
        plan = Plan.of(given) if given else None
    except PlanError as error:
        raise UsageError(str(error)) from None
    begin_work()
    settings = Settings.from_environment()
    warn_of_unknown_variables()
    warehouse = open_warehouse(
        settings.warehouse, settings.lock_wait_seconds, lake_data=settings.lake_data
    )
    with expected(OSError), warehouse.finishing(), warehouse.connect() as connection:
        ensure_tables(connection)
        if remove:
            contents = update.remove(connection, settings.splits, name)
            print(f"{name}: removed, with {counted(contents, 'content')}. {_PUBLISH}")
            return
        made = update.update(connection, settings.splits, name, plan, makes_file=True)
    total = sum(made.folds.values())
    counts = ", ".join(
        f"{fold} {made.folds[fold]:,} ({made.folds[fold] / max(total, 1):.1%})"
        for fold in [*made.plan.shares, *sorted({*made.folds} - {*made.plan.shares})]
    )
    are_new = "is new" if made.newcomers == 1 else "are new"
    print(
        f"{name}: {counted(total, 'image')}: {counts}. {counted(made.newcomers, 'content')} {are_new}."
    )
    print(f"Commit {made.path}. {_PUBLISH}")
    shares = made.plan.shares.items()
    if (
        plan
        and not plan.is_balanced
        and any(abs(made.folds[fold] / max(total, 1) - share) > _FAR for fold, share in shares)
    ):
        print("With few images, the hash misses the shares. --by category,label balances them.")
    for sentence in update.warnings_of(made):
        print(f"warning: {sentence}", file=sys.stderr)


_FAR = 0.03
"""Difference between the share of a fold and the share that was asked for, which is worth a hint."""

_PUBLISH = "The next run publishes it: anomaly-assets materialize"
