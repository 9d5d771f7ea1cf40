"""Delete old versions of a lake."""

from __future__ import annotations

import click

from anomaly_assets.cli.running import AtLeast, CommandError, begin_work, examples, interrupted
from anomaly_assets.datasets.names import counted
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.settings import Settings


@click.command(epilog=examples("anomaly-assets expire --keep 5"))
@click.option(
    "--keep", type=AtLeast(0), required=True, help="Publications to keep beside the newest."
)
@click.option("--lake", metavar="LOCATION", help="ducklake:postgres:… (ANOMALY_WAREHOUSE).")
def command(keep: int, lake: str | None) -> int:
    """Delete old publications of a lake, and the files that only they need."""
    import duckdb

    from anomaly_assets.warehouse.open import open_warehouse

    begin_work()
    settings = Settings.from_environment()
    try:
        done = open_warehouse(lake or settings.warehouse, settings.lock_wait_seconds).expire(keep)
    except AnomalyAssetsError:
        raise
    except (LookupError, OSError, duckdb.IOException) as error:
        raise CommandError(str(error).splitlines()[0]) from error
    except KeyboardInterrupt:
        return interrupted("stopped; run it again to continue where it stopped")
    print(
        f"{done.publications} publications can no longer be opened; {done.versions} versions deleted, "
        f"{counted(done.files, 'file')} removed (the files of these versions follow a day later)"
    )
    return 0
