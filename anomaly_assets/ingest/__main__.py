"""Load the catalogue of one source dataset without Dagster: `python -m anomaly_assets.ingest mvtec_ad`."""

from __future__ import annotations

import argparse
import sys

from anomaly_assets.catalogue.dlt_source import load, why_not_listed
from anomaly_assets.catalogue.reconcile import ShrunkRootError, UnknownCategoryError
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.errors import WarehouseBusyError, WarehouseError
from anomaly_assets.locations import LocationError
from anomaly_assets.roots.base import RootError
from anomaly_assets.settings import Settings, SettingsError
from anomaly_assets.warehouse.open import open_warehouse


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m anomaly_assets.ingest", description=__doc__)
    parser.add_argument("source_dataset", choices=sorted(SOURCE_DATASETS))
    parser.add_argument("--category", action="append", default=[], help="reload only this one")
    parser.add_argument("--allow-shrink", action="store_true", help="accept many missing images")
    options = parser.parse_args(arguments)
    dataset = SOURCE_DATASETS[options.source_dataset]
    try:
        settings = Settings.from_environment()
        warehouse = open_warehouse(
            settings.warehouse, settings.lock_wait_seconds, lake_data=settings.lake_data
        )
        reason = why_not_listed(dataset, settings, warehouse)
        if reason is not None:
            print(f"{dataset.title} not refreshed ({reason}).")
            return 0
        found = load(
            dataset,
            str(settings.roots[dataset.name]),
            warehouse,
            categories=options.category,
            allow_shrink=options.allow_shrink,
            from_samples=settings.sample_roots,
        )
    except (
        LocationError,
        RootError,
        SettingsError,
        ShrunkRootError,
        UnknownCategoryError,
        WarehouseBusyError,
        WarehouseError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if found.renaming:
        print(found.renaming)
    for table, changes in found.tables.items():
        print(
            f"{dataset.name}.{table}: {changes.inserted} inserted, {changes.updated} updated, "
            f"{changes.deleted} deleted, {changes.unchanged} unchanged"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
