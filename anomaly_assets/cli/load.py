"""Load the catalogue of one source dataset without Dagster and without decoding."""

from __future__ import annotations

import click

from anomaly_assets.cli.running import (
    begin_work,
    examples,
    old_name,
    warn_of_unknown_variables,
)
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.settings import Settings


@click.command(
    epilog=examples(
        "MVTEC_AD_ROOT=/data/mvtec_ad anomaly-assets load mvtec_ad",
        "anomaly-assets load mvtec_ad --category bottle",
    )
)
@click.argument("source_dataset", type=click.Choice(sorted(SOURCE_DATASETS)))
@click.option("--category", multiple=True, help="Reload only this one; may be repeated.")
@click.option("--allow-shrink", is_flag=True, help="Accept a root that lists far fewer images.")
@click.option(
    "--allow-strays", is_flag=True, help="Load a root in which most files belong to no image."
)
def command(
    source_dataset: str, category: tuple[str, ...], allow_shrink: bool, allow_strays: bool
) -> None:
    """List the root of SOURCE_DATASET and load what changed into the warehouse; decode nothing."""
    from anomaly_assets.catalogue.dlt_source import load, refuse_options, why_not_listed
    from anomaly_assets.warehouse.open import open_warehouse

    begin_work()
    dataset = SOURCE_DATASETS[source_dataset]
    settings = Settings.from_environment()
    warn_of_unknown_variables()
    warehouse = open_warehouse(
        settings.warehouse, settings.lock_wait_seconds, lake_data=settings.lake_data
    )
    reason = why_not_listed(dataset, settings, warehouse)
    if reason is not None:
        refuse_options(
            dataset,
            reason,
            categories=category,
            allow_shrink=allow_shrink,
            allow_strays=allow_strays,
        )
        print(f"{dataset.title} not refreshed ({reason}).")
        return
    found = load(
        dataset,
        str(settings.roots[dataset.name]),
        warehouse,
        categories=list(category),
        allow_shrink=allow_shrink,
        allow_strays=allow_strays,
        follow_links=dataset.name in settings.followed_links,
        from_samples=settings.sample_roots,
    )
    for note in (*found.notes, *filter(None, [found.renaming])):
        print(note)
    for table, changes in found.tables.items():
        print(
            f"{dataset.name}.{table}: {changes.inserted} inserted, {changes.updated} updated, "
            f"{changes.deleted} deleted, {changes.unchanged} unchanged"
        )


main = old_name(command, "python -m anomaly_assets.ingest")
