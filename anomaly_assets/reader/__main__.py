"""Print a summary of the published database: `python -m anomaly_assets.reader`."""

from __future__ import annotations

import sys

from anomaly_assets.locations import LocationError, is_file, parse_location
from anomaly_assets.reader import DatabaseError, open_samples
from anomaly_assets.settings import SettingsError, published_database


def main() -> int:
    """Run the command and return its exit code."""
    try:
        samples = open_samples()
    except (DatabaseError, LocationError, LookupError, OSError, SettingsError, ValueError) as error:
        print(f"There is nothing to read yet: {error}", file=sys.stderr)
        return 1
    location = published_database()
    # Never print the address of a lake: it can contain a password.
    name = location if is_file(location) else parse_location(location).name
    with samples:
        datasets = sorted(samples.table["source_dataset"].unique().to_pylist())
        print(
            f"{name} holds {len(samples)} samples of {' and '.join(datasets)}, snapshot "
            f"{(samples.snapshot_id or 'unknown')[:12]}.\n"
            "Read them with `from anomaly_assets.reader import open_samples`, or open the UI: make ui"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
