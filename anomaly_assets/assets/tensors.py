"""From catalogue to pixels: uniform tensors, and the images that could not be used."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import dagster as dg

from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.specs import table_spec
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.ingest.roots import Root, RootError, open_root
from anomaly_assets.settings import Settings
from anomaly_assets.warehouse.schema import refresh, row_count

_SECONDS_BETWEEN_REPORTS = 10.0


@dg.multi_asset(
    specs=[
        table_spec(
            "image_tensors", group="harmonised", deps=["images"], kinds={"python", "duckdb"}
        ),
        table_spec(
            "rejected_images", group="harmonised", deps=["images"], kinds={"python", "duckdb"}
        ),
    ],
    name="image_tensors",
)
def image_tensors(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult]:
    """Decode what is new or changed since the last run, and note what cannot be used."""
    from anomaly_assets.tensors.build import build_tensors
    from anomaly_assets.tensors.compute import open_compute

    settings = warehouse.settings
    roots = _opened_roots(settings, context.log.warning)
    report = build_tensors(
        warehouse.warehouse,
        roots,
        settings.tensor_spec,
        compute=partial(
            open_compute,
            settings.compute,
            roots,
            settings.tensor_spec,
            workers=settings.workers,
            patience_seconds=settings.task_timeout_seconds,
        ),
        run_id=context.run.run_id,
        progress=_reporter(context.log.info),
    )
    with warehouse.warehouse.connect() as connection:
        tensors, rejected = (
            row_count(connection, name) for name in ("image_tensors", "rejected_images")
        )
    yield dg.MaterializeResult(
        asset_key="image_tensors",
        metadata={
            "dagster/row_count": tensors,
            "rows_decoded": report.decoded,
            "rows_removed": report.removed,
            "rows_unchanged": report.unchanged,
            "seconds": round(report.seconds, 3),
            "images_per_second": round(report.decoded / max(report.seconds, 1e-6), 1),
            "transform": settings.tensor_spec.transform,
        },
    )
    yield dg.MaterializeResult(
        asset_key="rejected_images",
        metadata={"dagster/row_count": rejected, "reasons_in_this_run": dict(report.rejections)},
    )


@dg.multi_asset(
    specs=[
        table_spec(
            "samples",
            group="harmonised",
            deps=["images", "image_tensors"],
            kinds={"duckdb", "view"},
        )
    ],
    name="samples",
)
def samples(warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Join labels and tensors in the view that people train from."""
    with warehouse.warehouse.connect() as connection:
        refresh(connection, "samples")
        return dg.MaterializeResult(
            metadata={"dagster/row_count": row_count(connection, "samples")}
        )


def _opened_roots(settings: Settings, warn: Callable[[str], None]) -> dict[str, Root]:
    """The roots that can be opened; images of the others keep the tensors they have."""
    roots: dict[str, Root] = {}
    for name, location in settings.roots.items():
        if location is None:
            continue
        try:
            roots[name] = open_root(location)
        except RootError as error:
            warn(f"{SOURCE_DATASETS[name].root_variable}: {error} Its images stay as they are.")
    return roots


def _reporter(log: Callable[[str], None]) -> Callable[[int, int], None]:
    """Report progress at most every few seconds."""
    started = reported = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal reported
        now = time.monotonic()
        if now - reported >= _SECONDS_BETWEEN_REPORTS or done == total:
            reported = now
            rate = done / max(now - started, 1e-6)
            log(f"{done} of {total} images, {rate:.0f}/s, {(total - done) / rate:.0f} s left")

    return report
