"""Move a database: `python -m anomaly_assets.warehouse copy --from data/anomaly.duckdb --to ducklake:…`."""

from __future__ import annotations

import argparse
import sys
from functools import partial

import duckdb

from anomaly_assets.arguments import at_least
from anomaly_assets.errors import WarehouseBusyError, WarehouseError
from anomaly_assets.locations import LocationError
from anomaly_assets.settings import Settings, SettingsError
from anomaly_assets.warehouse.copying.copy import CopyError, copy_database
from anomaly_assets.warehouse.open import open_warehouse


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m anomaly_assets.warehouse", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    copy = commands.add_parser("copy", help="copy what is published at one location to another")
    place = "a DuckDB file, ducklake:postgres:… or md:NAME"
    copy.add_argument("--from", dest="source", required=True, help=place)
    copy.add_argument("--to", dest="target", required=True, help=f"{place}; new")
    copy.add_argument("--lake-data", help="folder or s3:// of a new lake (ANOMALY_LAKE_DATA)")
    expire = commands.add_parser("expire", help="give back the space of old versions of a lake")
    expire.add_argument(
        "--keep", type=at_least(0), required=True, help="publications beside the newest"
    )
    expire.add_argument("--lake", help="ducklake:postgres:… (ANOMALY_WAREHOUSE)")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment()
        if options.command == "expire":
            return _expire(options.lake or settings.warehouse, options.keep, settings)
        copied = copy_database(
            options.source,
            options.target,
            lake_data=options.lake_data or settings.lake_data,
            wait_seconds=settings.lock_wait_seconds,
            log=partial(print, flush=True),
        )
    except (
        CopyError,
        LocationError,
        LookupError,
        SettingsError,
        WarehouseBusyError,
        WarehouseError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (OSError, duckdb.IOException) as error:
        message = str(error).splitlines()[0]
        print(f"error: {message}. Run it again to continue where it stopped.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run it again to continue where it stopped", file=sys.stderr)
        return 130
    for name, table in copied.tables.items():
        print(f"{name}: {table.rows} rows, md5 {table.digest}")
    print(
        f"every table equals its source; {copied.seconds:.1f} s, {copied.tensors_written} tensors written"
    )
    return 0


def _expire(location: str, keep: int, settings: Settings) -> int:
    warehouse = open_warehouse(location, settings.lock_wait_seconds)
    done = warehouse.expire(keep)
    print(
        f"{done.publications} publications can no longer be opened; {done.versions} versions deleted, "
        f"{done.files} files removed (the files of these versions follow a day later)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
