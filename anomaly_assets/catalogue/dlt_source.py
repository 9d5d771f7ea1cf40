"""Define the dlt source of one source dataset; load only differences between root and tables.

The differences that `reconcile` found are loaded with dlt's `cdc` merge, which inserts, updates and
deletes in one pass and keeps the load id of unchanged rows. If nothing differs, dlt gets no rows and
makes no load. Only changed categories are staged. `destination_scope` limits the merge to them; its
predicate contains digests instead of names, so a folder name cannot become part of a SQL statement.

`reconcile` is imported lazily because Dagster imports this module with the definitions.

Run one source alone with `anomaly-assets load mvtec_ad`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dlt
from dlt.destinations import duckdb as duckdb_destination
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials
from dlt.extract import DltResource, DltSource
from dlt.pipeline.pipeline import Pipeline

from anomaly_assets.catalogue.dlt_settings import only_our_settings
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.roots.open import refuse_bad_root
from anomaly_assets.settings import Settings
from anomaly_assets.tables.source_datasets import from_named_roots, why_kept
from anomaly_assets.warehouse.base import Warehouse

if TYPE_CHECKING:
    from anomaly_assets.catalogue.comparison import TableChanges
    from anomaly_assets.catalogue.reconcile import Reconciliation

_PRIMARY_KEYS = {"images": "image_id", "stray_files": "relative_path"}


def catalog_source(dataset: SourceDataset, found: Reconciliation | None = None) -> DltSource:
    """Return the dlt source of one source dataset, with the resources `images` and `stray_files`.

    Args:
        dataset: The source dataset.
        found: Differences to load; None returns the same source without rows, for the definitions.
    """

    @dlt.source(name=dataset.name, max_table_nesting=0)
    def source() -> list[DltResource]:
        return [_resource(name, found) for name in _PRIMARY_KEYS]

    return source()


@contextmanager
def loading_pipeline(dataset: SourceDataset, warehouse: Warehouse) -> Iterator[Pipeline]:
    """Yield the dlt pipeline that loads into a warehouse; the caller must hold the source dataset.

    Each source dataset has its own dlt dataset, name and staging schema, because pipelines that share a
    staging schema lose rows. dlt's working folder is deleted before and after a load: dlt would load
    the files of a killed run instead of the new listing.
    """
    folder = warehouse.pipelines_folder_of(dataset.name)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with warehouse.loading() as target, only_our_settings(load_workers=target.workers):
            credentials = DuckDbCredentials(target.connection, pragmas=[*target.pragmas])
            yield dlt.pipeline(
                dataset.name,
                pipelines_dir=str(folder),
                # Or dlt commits a merge statement by statement: first what it deletes, then the rest.
                destination=duckdb_destination(credentials, supports_transactions=True),
                dataset_name=dataset.name,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def load(
    dataset: SourceDataset,
    location: str,
    warehouse: Warehouse,
    *,
    categories: Sequence[str] = (),
    allow_shrink: bool = False,
    allow_strays: bool = False,
    follow_links: bool = False,
    from_samples: bool = False,
) -> Reconciliation:
    """Load one source dataset without Dagster, so that its tables equal its root.

    Arguments and errors are those of `reconcile`. A missing root is refused before any lock is taken.
    Samples of the repository are removed after data from a root that a variable names was loaded.
    """
    refuse_bad_root(dataset, location)
    from anomaly_assets.catalogue.reconcile import reconcile
    from anomaly_assets.warehouse.removal import remove_samples

    with warehouse.refreshing(dataset.name):
        found = reconcile(
            dataset,
            location,
            warehouse,
            categories=categories,
            allow_shrink=allow_shrink,
            allow_strays=allow_strays,
            follow_links=follow_links,
            from_samples=from_samples,
        )
        if found.any_change:
            with loading_pipeline(dataset, warehouse) as pipeline:
                pipeline.run(catalog_source(dataset, found))
        if not from_samples:
            remove_samples(warehouse)
        return found


class NotListedError(AnomalyAssetsError, ValueError):
    """Options are given for a source dataset that the run does not list."""


def why_not_listed(dataset: SourceDataset, settings: Settings, warehouse: Warehouse) -> str | None:
    """Return the reason why a run does not list the root of a source dataset; None if it lists it."""
    if settings.roots[dataset.name] is None or not settings.sample_roots:
        return why_kept(dataset, settings, {})
    with warehouse.connect() as connection:
        return why_kept(dataset, settings, from_named_roots(connection))


def refuse_options(dataset: SourceDataset, reason: str, **options: object) -> None:
    """Raise if options are given for a source dataset that the run does not list.

    A consent that is pasted without the variables of the failed run would otherwise have no effect.

    Raises:
        NotListedError: At least one option has a value.
    """
    if given := [name for name, value in options.items() if value]:
        raise NotListedError(
            f"{' and '.join(given)} cannot be used, because this run does not list {dataset.title} "
            f"({reason}). Set {dataset.root_variable} and the other variables as in the run that it is "
            "for, then run again."
        )


def _resource(name: str, found: Reconciliation | None) -> DltResource:
    changes = found.tables[name] if found else None

    def rows() -> Iterator[Any]:
        if found is not None and changes is not None and changes.any:
            yield changes.take_rows()
            counts = changes.counted(name, found.root_uri)
            hints = dlt.mark.make_hints(
                table_name="load_changes", write_disposition="append", primary_key=""
            )
            yield dlt.mark.with_hints(counts, hints, create_table_variant=True)

    return dlt.resource(
        rows,
        name=name,
        primary_key=_PRIMARY_KEYS[name],
        write_disposition=_disposition(changes),
    )


def _disposition(changes: TableChanges | None) -> Any:
    """Return how dlt writes; rows of a new table are not merged, which takes twice the memory."""
    if changes is None:
        return merge_disposition(None)
    return merge_disposition(changes.scope) if changes.table_exists else "append"


def merge_disposition(scope: str | None) -> Any:
    """Return dlt's merge settings; they are written only here, because dlt ignores unknown keys.

    Args:
        scope: SQL predicate of the rows that the merge may delete; None for the whole table.
    """
    disposition = {"disposition": "merge", "strategy": "cdc", "skip_unchanged_rows": True}
    return disposition if scope is None else {**disposition, "destination_scope": scope}
