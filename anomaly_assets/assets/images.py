"""Define the catalogue assets: one dlt source per source dataset, and the view of all catalogues."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from anomaly_assets.assets.progress import Count, Progress, watched
from anomaly_assets.assets.reports import (
    changes_of_view,
    materialized,
    row_metadata,
    rows_shown,
    table,
)
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import (
    FRESHNESS,
    OWNERS,
    declaration_reference,
    describe,
    table_metadata,
    table_spec,
)
from anomaly_assets.catalogue.dlt_source import (
    catalog_source,
    loading_pipeline,
    refuse_options,
    why_not_listed,
)
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.tables.ddl import (
    comment_on_catalogue,
    has_comments,
    refresh_labels,
    row_count,
)
from anomaly_assets.tables.preview_rows import Shown, chosen_rows
from anomaly_assets.tables.registry import CATALOGUE_TABLES
from anomaly_assets.tables.row_changes import RowChanges
from anomaly_assets.warehouse.base import CATALOG
from anomaly_assets.warehouse.buffers import collect_and_free

if TYPE_CHECKING:
    from anomaly_assets.catalogue.reconcile import Reconciliation

with warnings.catch_warnings():
    # dagster_embedded_elt re-exports dagster_dlt under the name that users asked for. It warns at import
    # that it is deprecated.
    warnings.filterwarnings("ignore", message=".*dagster-embedded-elt.*")
    from dagster_embedded_elt.dlt import DagsterDltResource, DagsterDltTranslator, dlt_assets

# dagster_dlt calls it before each load. dlt puts a filter that shows it in front of all others when it is
# imported, so this one has to come later.
warnings.filterwarnings("ignore", message="drop_pending_packages is deprecated")


class ReloadConfig(dg.Config):
    """Run config of the catalogue of one source dataset.

    Attributes:
        categories: Reload only these categories; empty means all.
        allow_shrink: Accept a root that lists fewer than 80 % of the images that were accepted so far. The
            consent is recorded, and also allows the publication of this change.
        allow_strays: Load a root for the first time although most of its files belong to no image.
    """

    categories: list[str] = []
    allow_shrink: bool = False
    allow_strays: bool = False


@dataclass
class CatalogueTranslator(DagsterDltTranslator):
    """Translator that gives dlt resources their asset keys and lineage in this graph."""

    dataset: SourceDataset

    def get_asset_spec(self, data: Any) -> dg.AssetSpec:
        """Return the asset of one dlt resource: `<source_dataset>/<table>`, downstream of the files."""
        name, table = self.dataset.name, CATALOGUE_TABLES[data.resource.name]
        return dg.AssetSpec(
            dg.AssetKey([name, data.resource.name]),
            deps=[dg.AssetKey([name, "files"])],
            description=f"{self.dataset.title}. {describe(table, f'{name}.{data.resource.name}')}",
            metadata={
                **table_metadata(table, f"{CATALOG}.{name}.{data.resource.name}"),
                **declaration_reference(
                    self.dataset,
                    "catalogue/listing.py",
                    "catalogue/dlt_source.py",
                    "assets/images.py",
                ),
            },
            group_name=name,
            owners=OWNERS,
            kinds={"dlt", "duckdb"},
            code_version=f"2-{self.dataset.definition_digest[:12]}",
            freshness_policy=FRESHNESS,
        )


def files_spec(dataset: SourceDataset) -> dg.AssetSpec:
    """Return the external asset for the files of a source dataset: read, but never written."""
    return dg.AssetSpec(
        dg.AssetKey([dataset.name, "files"]),
        description=(
            f"The files of {dataset.title} ({dataset.licence}), below the root that "
            f"`{dataset.root_variable}` or the declaration names: a folder, a zip archive or a URL. They "
            "are read, and never written. Each file is a row of one of these two tables:\n\n"
            f"```sql\nSELECT * FROM {dataset.name}.images LIMIT 10;\n"
            f"SELECT * FROM {dataset.name}.stray_files LIMIT 10;\n```"
        ),
        metadata=declaration_reference(dataset, "roots/base.py"),
        group_name=dataset.name,
        owners=OWNERS,
        kinds={"file"},
    )


def catalogue_assets(dataset: SourceDataset) -> dg.AssetsDefinition:
    """Build the assets `<source_dataset>/images` and `<source_dataset>/stray_files`."""
    translator = CatalogueTranslator(dataset)

    @dlt_assets(
        dlt_source=catalog_source(dataset),
        # Creating a pipeline creates folders, so it is not done at import: each run creates its own.
        dlt_pipeline=None,  # type: ignore[arg-type]
        name=dataset.name,
        dagster_dlt_translator=translator,
    )
    def catalogue(
        context: dg.AssetExecutionContext,
        config: ReloadConfig,
        dlt: DagsterDltResource,
        warehouse: WarehouseResource,
    ) -> Iterator[dg.MaterializeResult]:
        """List the root, compare it with the table, and load the differences with dlt."""
        from anomaly_assets.catalogue.reconcile import reconcile
        from anomaly_assets.warehouse.removal import remove_samples

        settings = warehouse.settings
        reason = why_not_listed(dataset, settings, warehouse.warehouse)
        if reason is not None:
            refuse_options(
                dataset,
                reason,
                categories=config.categories,
                allow_shrink=config.allow_shrink,
                allow_strays=config.allow_strays,
            )
            yield from _left_out(context, dataset, warehouse, reason)
            return
        if dataset.declaration.root and settings.roots[dataset.name] != dataset.declaration.root:
            context.log.info(
                f"{dataset.root_variable} names the root, instead of that of {dataset.declaration.file}."
            )
        progress, listed = Progress(context.log.info, f"files of {dataset.title} listed"), Count()
        with warehouse.warehouse.refreshing(dataset.name):
            with watched(progress, listed.read):
                found = reconcile(
                    dataset,
                    str(settings.roots[dataset.name]),
                    warehouse.warehouse,
                    categories=config.categories,
                    allow_shrink=config.allow_shrink,
                    allow_strays=config.allow_strays,
                    follow_links=dataset.name in settings.followed_links,
                    from_samples=settings.sample_roots,
                    run_id=context.run.run_id,
                    progress=listed.note,
                )
            for note in found.notes:
                context.log.warning(note)
            if found.renaming:
                context.log.info(found.renaming)
            if found.any_change:
                with loading_pipeline(dataset, warehouse.warehouse) as pipeline:
                    load = dlt.run(
                        context,
                        dlt_source=catalog_source(dataset, found),
                        dlt_pipeline=pipeline,
                        dagster_dlt_translator=translator,
                    )
                    loads = {event.asset_key: _load_metadata(event) for event in load}
            else:
                loads = {}
            if not settings.sample_roots:
                warehouse.removed.update(remove_samples(warehouse.warehouse, context.run.run_id))
            counted = found.tables["images"]
            warehouse.refreshed[dataset.name] = RowChanges(
                counted.inserted, counted.updated, counted.deleted, counted.unchanged
            )
            with warehouse.warehouse.connect() as connection:
                if found.any_change:
                    collect_and_free(connection)
                if found.any_change or not has_comments(connection, dataset.name):
                    comment_on_catalogue(connection, dataset.name)
                for key in sorted(context.selected_asset_keys):
                    rows = row_count(connection, ".".join(key.path))
                    shown = chosen_rows(
                        connection,
                        f"catalogue_{key.path[-1]}",
                        _ROWS_SHOWN,
                        source_dataset=dataset.name,
                    )
                    metadata = _metadata(found, key.path[-1], rows, shown)
                    yield materialized(context, {**metadata, **loads.get(key, {})}, key)

    return catalogue


def images_asset(source_datasets: Iterable[str]) -> dg.AssetsDefinition:
    """Define the asset that joins the catalogues of all source datasets."""
    catalogues = [dg.AssetKey([name, "images"]) for name in source_datasets]

    @dg.multi_asset(
        specs=[
            table_spec(
                "images",
                group="harmonised",
                deps=catalogues,
                kinds={"duckdb", "view"},
                files=["assets/images.py"],
            )
        ],
        name="images",
    )
    def images(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        """Join the catalogues of all source datasets in one view."""
        with warehouse.warehouse.writing(), warehouse.warehouse.connect() as connection:
            refresh_labels(connection)
            per_dataset = connection.execute(
                "SELECT source_dataset, count(*) FROM images GROUP BY ALL ORDER BY ALL"
            ).fetchall()
            shown = chosen_rows(connection, "images", _ROWS_SHOWN)
        rows = sum(count for _, count in per_dataset)
        changes = changes_of_view(context, rows, catalogues)
        return materialized(
            context,
            {
                **row_metadata(rows, changes),
                **{f"images_{name}": count for name, count in per_dataset},
                "rows": rows_shown(shown, changes),
            },
        )

    return images


def _left_out(
    context: dg.AssetExecutionContext,
    dataset: SourceDataset,
    warehouse: WarehouseResource,
    reason: str,
) -> Iterator[dg.MaterializeResult]:
    warehouse.kept[dataset.name] = reason
    message = f"{dataset.title} not refreshed ({reason})."
    context.log.info(message)
    for key in sorted(context.selected_asset_keys):
        yield materialized(context, {"left_out": message}, key)


def _metadata(found: "Reconciliation", name: str, rows: int, shown: Shown) -> dict[str, Any]:
    counted = found.tables[name]
    changes = RowChanges(counted.inserted, counted.updated, counted.deleted, counted.unchanged)
    is_table = name == "stray_files"
    return {
        **row_metadata(rows, changes),
        "root": found.root_uri,
        "ignored_files": found.ignored,
        "listing_seconds": round(found.listing_seconds, 3),
        "rows": table(shown.columns, shown.rows) if is_table else rows_shown(shown, changes),
        **({"names": " ".join(found.notes)} if found.notes and not is_table else {}),
        **({"renamed_images": found.renaming} if found.renaming and not is_table else {}),
        **({LISTING_DIGEST: found.listing_digest} if found.listing_digest else {}),
    }


def _load_metadata(event: dg.MaterializeResult | dg.AssetMaterialization) -> dict[str, Any]:
    """Return start, end and jobs from dlt's metadata of a load.

    dlt's table name and columns are left out: the asset spec has the names and types of DuckDB.
    """
    metadata = event.metadata or {}
    return {
        name: metadata[name] for name in ("started_at", "finished_at", "jobs") if name in metadata
    }


_ROWS_SHOWN = 20

LISTING_DIGEST = "listing_digest"
"""Metadata name of the digest of the loaded listing, which sensors compare with the root."""
