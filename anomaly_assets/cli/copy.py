"""Copy a published database to another location."""

from __future__ import annotations

from functools import partial

import click

from anomaly_assets.cli.expire import command as expire
from anomaly_assets.cli.running import (
    CommandError,
    begin_work,
    examples,
    expected,
    interrupted,
    not_empty,
    old_name,
)
from anomaly_assets.datasets.names import counted
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.settings import Settings

_PLACE = "a DuckDB file, ducklake:postgres:… or md:NAME"


@click.command(
    epilog=examples(
        "anomaly-assets copy --from data/anomaly.duckdb --to /srv/copy.duckdb",
        'anomaly-assets copy --from data/anomaly.duckdb --to "ducklake:postgres:host=db dbname=anomaly" \\',
        "    --lake-data s3://bucket/anomaly",
    )
)
@click.option(
    "--from",
    "source",
    required=True,
    callback=not_empty,
    metavar="LOCATION",
    help=f"Read {_PLACE}.",
)
@click.option(
    "--to",
    "target",
    required=True,
    callback=not_empty,
    metavar="LOCATION",
    help=f"Create {_PLACE}.",
)
@click.option(
    "--recipe",
    "recipes",
    callback=not_empty,
    metavar="NAME[,NAME]",
    help="Copy only these further recipes (all); the common one is always copied.",
)
@click.option("--lake-data", help="Folder or s3:// of a new lake (ANOMALY_LAKE_DATA).")
def command(source: str, target: str, recipes: str | None, lake_data: str | None) -> int:
    """Copy what is published at one location to another, and compare every table.

    A copy that was stopped continues when the same command is run again.
    """
    import duckdb

    from anomaly_assets.warehouse.copying.copy import copy_database

    begin_work()
    settings = Settings.from_environment()
    try:
        with expected(LookupError, ValueError):
            copied = copy_database(
                source,
                target,
                lake_data=lake_data or settings.lake_data,
                wait_seconds=settings.lock_wait_seconds,
                log=partial(print, flush=True),
                recipes=None if recipes is None else recipes.split(","),
            )
    except AnomalyAssetsError:
        raise
    except (OSError, duckdb.IOException) as error:
        message = str(error).splitlines()[0]
        raise CommandError(f"{message}. Run it again to continue where it stopped.") from error
    except KeyboardInterrupt:
        return interrupted("stopped; run it again to continue where it stopped")
    for name, table in copied.tables.items():
        print(f"{name}: {counted(table.rows, 'row')}, md5 {table.digest}")
    print(
        f"every table equals its source; {copied.seconds:.1f} s, {copied.tensors_written} tensors written"
    )
    if copied.snapshot_id is not None:
        print(f"without some recipes, the copy is snapshot {copied.snapshot_id}")
    return 0


main = old_name(
    click.Group(
        "warehouse", {"copy": command, "expire": expire}, help="Copy or clean up a warehouse."
    ),
    "python -m anomaly_assets.warehouse",
)
