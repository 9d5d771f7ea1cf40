"""Remove a source dataset from the warehouse."""

from __future__ import annotations

import os

import click

from anomaly_assets.cli.running import (
    begin_work,
    examples,
    expected,
    old_name,
    warn_of_unknown_variables,
)
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.names import counted, shown
from anomaly_assets.settings import Settings


@click.command(epilog=examples("anomaly-assets forget dagm_2007"))
@click.argument("source_dataset")
def command(source_dataset: str) -> None:
    """Remove SOURCE_DATASET, such as mvtec_ad, from the warehouse.

    The published database keeps it until the next run publishes. Removing a dataset is also the consent to
    publish without it, so that run is not refused for fewer samples.
    """
    from anomaly_assets.warehouse.open import open_warehouse
    from anomaly_assets.warehouse.removal import forget

    begin_work()
    settings = Settings.from_environment()
    warn_of_unknown_variables()
    with expected(LookupError):
        warehouse = open_warehouse(
            settings.warehouse, settings.lock_wait_seconds, lake_data=settings.lake_data
        )
        images = forget(warehouse, source_dataset)
    removed = f"{source_dataset}: {counted(images, 'image')} removed from {warehouse.name}."
    print(f"{removed} {_what_next(settings, source_dataset)}")


def _what_next(settings: Settings, name: str) -> str:
    published = "The published database keeps them until the next run."
    root = settings.roots.get(name)
    if root is None:
        return published
    dataset = SOURCE_DATASETS[name]
    variable, remove = dataset.root_variable, ""
    if settings.sample_roots:
        why = f"no root is named, which means {root}"
    elif variable in os.environ:
        why = f"{variable} names it"
    else:
        why = f"{shown(dataset.declaration.place)} declares it"
        remove = f"remove [{name}] from the file, or "
    return (
        f"{published} Its root would bring it back ({why}): {remove}set {variable} to the empty string in "
        "every environment that refreshes this warehouse."
    )


main = old_name(command, "python -m anomaly_assets.forget")
