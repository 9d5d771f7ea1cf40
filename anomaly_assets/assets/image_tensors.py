"""Define the assets of decoding: tensors, rejected images, and the view of tensors with labels."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import dagster as dg

from anomaly_assets.assets.progress import Progress, duration
from anomaly_assets.assets.reports import (
    changes_of_samples,
    materialized,
    row_metadata,
    rows_shown,
    table,
)
from anomaly_assets.assets.resources import WarehouseResource, configured
from anomaly_assets.assets.specs import table_spec
from anomaly_assets.catalogue.dlt_source import why_not_listed
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.decoding.report import BuildReport
from anomaly_assets.roots.base import Root, RootError
from anomaly_assets.roots.open import open_root
from anomaly_assets.settings import Settings
from anomaly_assets.tables.ddl import SAMPLE_VIEWS, refresh, row_count, row_counts
from anomaly_assets.tables.preview_rows import chosen_rows
from anomaly_assets.tables.recipes import ignored_declarations, record_recipes
from anomaly_assets.tables.row_changes import RowChanges, compare, keyed_rows
from anomaly_assets.warehouse.base import Warehouse

_ROWS_SHOWN = 20
_REJECTED_SHOWN = 20
_DECODING_FILES = (
    "decoding/build.py",
    "decoding/batch.py",
    "decoding/content.py",
    "decoding/depth.py",
    "decoding/transform.py",
    "assets/image_tensors.py",
)


class TensorsConfig(dg.Config):
    """Run config of `image_tensors`.

    Attributes:
        change_shape: Rebuild all tensors in the shape that ANOMALY_IMAGE_SIZE and ANOMALY_CHANNELS name on
            this machine, although the warehouse has another one.
    """

    change_shape: bool = False


@dg.multi_asset(
    specs=[
        table_spec(
            name,
            group="harmonised",
            deps=deps,
            kinds={"python", "duckdb"},
            files=_DECODING_FILES,
        )
        # One step writes all three tables, so it starts after the dependencies of all of them.
        for name, deps in {
            "image_tensors": ["images", "corrections"],
            "recipe_tensors": ["image_tensors"],
            "rejected_images": ["image_tensors"],
        }.items()
    ],
    name="image_tensors",
    can_subset=True,
)
def image_tensors(
    context: dg.AssetExecutionContext, config: TensorsConfig, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult]:
    """Decode images that are new or changed since the last run, and record those that are rejected.

    Decoding writes all three tables in the same transactions. So if any of
    these assets is selected, all three are materialized.
    """
    from anomaly_assets.decoding.build import build_tensors, waiting_images
    from anomaly_assets.decoding.open import open_compute

    settings, recipes = warehouse.settings, warehouse.recipes
    roots = _opened_roots(settings, warehouse.warehouse, context.log.warning)
    with warehouse.warehouse.writing(), warehouse.warehouse.connect() as connection:
        record_recipes(connection, recipes, settings, roots)
        ignored = ignored_declarations(connection, settings)
        rejected_before = keyed_rows(connection, "rejected_images")
    report = build_tensors(
        warehouse.warehouse,
        roots,
        recipes,
        compute=partial(
            open_compute,
            settings.compute,
            roots,
            recipes.common,
            workers=settings.workers,
            patience_seconds=settings.task_timeout_seconds,
        ),
        run_id=context.run.run_id,
        progress=Progress(context.log.info, "images"),
        # The user sets this option on `published_database`; decoding runs first and needs it too.
        allow_shrink=configured(context.run.run_config, "published_database", "allow_shrink"),
        depths=settings.depths,
    )
    with warehouse.warehouse.connect() as connection:
        waiting = waiting_images(
            connection, set(settings.roots) - set(roots), recipes, settings.depths
        )
        counts = row_counts(connection, ["image_tensors", "recipe_tensors"])
        shown = chosen_rows(connection, "image_tensors", _ROWS_SHOWN)
        rejected_files = row_count(connection, "rejected_images")
        rejected_changes = compare(rejected_before, keyed_rows(connection, "rejected_images"))
        rejected_shown = chosen_rows(connection, "rejected_images", _REJECTED_SHOWN)
    for name, declared in ignored.items():
        context.log.warning(
            f"{name}: the recipes of its declaration ({', '.join(declared)}) are not used, "
            "because ANOMALY_SIZES named the recipes in an earlier run. To use them, run once with "
            "ANOMALY_SIZES=declared."
        )
    for name, (images, root_uri) in waiting.items():
        variable = SOURCE_DATASETS[name].root_variable
        count = "1 image" if images == 1 else f"{images} images"
        context.log.warning(
            f"{count} of {name} cannot be decoded in this run. Set {variable} to their root"
            f"{f', which was {root_uri}' if root_uri else ''}, then run again."
        )
    made: dict[str, dict[str, Any]] = {
        "image_tensors": {
            **row_metadata(counts["image_tensors"], _tensor_changes(report)),
            **_speed(report, settings),
            "transform": recipes.common.transform,
            "rows": rows_shown(shown, _tensor_changes(report)),
        },
        "recipe_tensors": {
            **row_metadata(
                counts["recipe_tensors"], _recipe_changes(report, counts["recipe_tensors"])
            ),
            "recipes": {
                name: [recipe.name for recipe in further]
                for name, further in sorted(recipes.further.items())
            },
        },
        "rejected_images": {
            **row_metadata(rejected_files, rejected_changes),
            "reasons_in_this_run": dict(report.rejections),
            "rejected_files": table(rejected_shown.columns, rejected_shown.rows),
        },
    }
    for name, metadata in made.items():
        if dg.AssetKey(name) in context.selected_asset_keys:
            yield materialized(context, metadata, dg.AssetKey(name))
        else:
            context.log_event(dg.AssetMaterialization(name, metadata=metadata))


def _tensor_changes(report: BuildReport) -> RowChanges:
    return RowChanges(report.added, report.changed, report.removed, report.unchanged)


def _recipe_changes(report: BuildReport, rows: int) -> RowChanges:
    changed = min(report.recipe_rows, report.recipe_rows_replaced)
    removed = report.recipe_rows_removed + report.recipe_rows_replaced - changed
    added = report.recipe_rows - changed
    return RowChanges(added, changed, removed, rows - report.recipe_rows)


def _speed(report: BuildReport, settings: Settings) -> dict[str, Any]:
    """Return timings, in words first.

    A long `wait_seconds` means too few workers; a short one, that writing is slow.
    """
    from anomaly_assets.decoding.open import THREADS

    per_second = report.decoded / max(report.seconds, 1e-6)
    threads = "1 thread" if settings.workers == 1 else f"{settings.workers} threads"
    workers = threads if settings.compute == THREADS else "the cluster"
    return {
        "took": f"{duration(report.seconds)} on {workers}, {per_second:,.0f} images/s",
        "images_per_second": round(per_second, 1),
        "seconds": round(report.seconds, 3),
        "decode_seconds": round(report.decode_seconds, 3),
        "wait_seconds": round(report.wait_seconds, 3),
        "write_seconds": round(report.write_seconds, 3),
    }


@dg.multi_asset(
    specs=[
        table_spec(
            "samples",
            group="harmonised",
            deps=["image_tensors"],
            kinds={"duckdb", "view"},
            files=["assets/image_tensors.py"],
        )
    ],
    name="samples",
)
def samples(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """Join labels and tensors in the view to train from."""
    with warehouse.warehouse.writing(), warehouse.warehouse.connect() as connection:
        refresh(connection, *SAMPLE_VIEWS)
        rows = row_count(connection, "samples")
        shown = chosen_rows(connection, "samples", _ROWS_SHOWN)
    changes = changes_of_samples(context, rows)
    return materialized(
        context, {**row_metadata(rows, changes), "rows": rows_shown(shown, changes)}
    )


def _opened_roots(
    settings: Settings, warehouse: Warehouse, warn: Callable[[str], None]
) -> dict[str, Root]:
    """Return the roots that this run lists and can open; images of others keep their tensors."""
    roots: dict[str, Root] = {}
    for name, location in settings.roots.items():
        if location is None or why_not_listed(SOURCE_DATASETS[name], settings, warehouse):
            continue
        try:
            roots[name] = open_root(location, follow_links=name in settings.followed_links)
        except RootError as error:
            warn(f"{SOURCE_DATASETS[name].root_variable}: {error} Its images stay unchanged.")
    return roots
