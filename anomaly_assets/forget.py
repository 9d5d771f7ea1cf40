"""Remove a source dataset from the warehouse: `python -m anomaly_assets.forget NAME`.

The published database keeps it until the next run publishes. Removing a dataset is also the consent to
publish without it, so that run is not refused for fewer samples.
"""

from __future__ import annotations

import argparse
import sys

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.errors import WarehouseBusyError, WarehouseError
from anomaly_assets.locations import LocationError
from anomaly_assets.settings import Settings, SettingsError
from anomaly_assets.warehouse.open import open_warehouse
from anomaly_assets.warehouse.removal import forget


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m anomaly_assets.forget", description=__doc__)
    parser.add_argument("source_dataset", help="name of a source dataset, such as mvtec_ad")
    name = parser.parse_args(arguments).source_dataset
    try:
        settings = Settings.from_environment()
        warehouse = open_warehouse(
            settings.warehouse, settings.lock_wait_seconds, lake_data=settings.lake_data
        )
        images = forget(warehouse, name)
    except (LocationError, LookupError, SettingsError, WarehouseBusyError, WarehouseError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{name}: {images:,} images removed from {warehouse.name}. {_what_next(settings, name)}")
    return 0


def _what_next(settings: Settings, name: str) -> str:
    published = "The published database keeps them until the next run."
    root = settings.roots.get(name)
    if root is None:
        return published
    variable = SOURCE_DATASETS[name].root_variable
    why = (
        f"no root is named, which means {root}" if settings.sample_roots else f"{variable} names it"
    )
    return (
        f"{published} Its root would bring it back ({why}): set {variable} to the empty string in every "
        "environment that refreshes this warehouse."
    )


if __name__ == "__main__":
    sys.exit(main())
