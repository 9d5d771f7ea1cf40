"""Define Dagster asset checks: one per property in `tables/checks.py`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from anomaly_assets.assets.failures import FailedCheck, failed_check_line
from anomaly_assets.assets.reports import (
    Pictures,
    bounded,
    bytes_within,
    new_pictures_of_check,
    picture,
    table,
)
from anomaly_assets.assets.resources import EVALUATION, WarehouseResource
from anomaly_assets.atomic import write_file
from anomaly_assets.tables import checks as quality
from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets.tables.preview_rows import as_cell
from anomaly_assets.warehouse.base import interrupted_queries

_MOST_BYTES = bytes_within(24_000)
"""Byte budget for one failed check's picture; all checks of one asset must fit in one event."""


def asset_checks(
    name: str,
    checks: Mapping[dg.AssetKey, Sequence[quality.Check]],
    source_dataset: str | None = None,
) -> dg.AssetChecksDefinition:
    """Build the checks on the assets of one step, as one step; each can be run alone.

    Args:
        name: Name of the step, without `_checks` at its end.
        checks: Checks of each asset.
        source_dataset: Source dataset of the assets, if they belong to one.
    """
    of_tensors = source_dataset is None and name != "images"

    @dg.multi_asset_check(
        specs=[_spec(asset, check) for asset in checks for check in checks[asset]],
        name=f"{name}_checks",
        can_subset=True,
    )
    def run_checks(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource
    ) -> Iterator[dg.AssetCheckResult]:
        selected = context.selected_asset_check_keys
        # Another run may be decoding: its new images have no tensor yet, and would fail the checks.
        alone = warehouse.warehouse.finishing if of_tensors else warehouse.warehouse.locked
        folder = warehouse.pictures_folder / "checks"
        spec = warehouse.recipes.common if of_tensors else None
        with alone(), warehouse.warehouse.connect() as connection:
            ensure_tables(connection)
            for asset, of_asset in checks.items():
                chosen = [
                    check for check in of_asset if dg.AssetCheckKey(asset, check.name) in selected
                ]
                for check, finding in quality.evaluate(
                    connection, *chosen, source_dataset=source_dataset, spec=spec
                ):
                    _warn(context, asset, check, finding, warehouse)
                    pictures = _pictures(
                        context, asset, check, finding, connection, warehouse, folder
                    )
                    yield _result(asset, check, finding, pictures)

    return run_checks


@dg.asset_check(
    name=quality.PUBLISHED_CHECK.name,
    asset="published_database",
    description=quality.PUBLISHED_CHECK.description,
    blocking=quality.PUBLISHED_CHECK.blocking,
)
def published_counts(
    context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource
) -> dg.AssetCheckResult:
    """Compare the published database with the warehouse, table by table."""
    differing = warehouse.warehouse.differences(warehouse.settings.database)
    finding = quality.Finding(len(differing), differing)
    asset = dg.AssetKey("published_database")
    _warn(context, asset, quality.PUBLISHED_CHECK, finding, warehouse)
    return _result(asset, quality.PUBLISHED_CHECK, finding)


def _spec(asset: dg.AssetKey, check: quality.Check) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        check.name, asset=asset, description=check.description, blocking=check.blocking
    )


def _warn(
    context: dg.AssetCheckExecutionContext,
    asset: dg.AssetKey,
    check: quality.Check,
    finding: quality.Finding,
    warehouse: WarehouseResource,
) -> None:
    """Log a failed check with the first affected files: its event is a line of level DEBUG."""
    if finding.passed:
        return
    files = tuple((as_cell(name), as_cell(detail or "")) for name, detail in finding.shown)
    failed = FailedCheck(
        asset.to_user_string(), check.name, check.verdict(finding), files, finding.count
    )
    context.log.warning(failed_check_line(failed))
    warehouse.note_failed_check()


def _result(
    asset: dg.AssetKey,
    check: quality.Check,
    finding: quality.Finding,
    pictures: Mapping[str, Any] | None = None,
) -> dg.AssetCheckResult:
    if finding.passed:  # The UI plots `count` over time, so a passed check needs it too.
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=check.name,
            passed=True,
            description=check.verdict(finding) if finding.empty else None,
            metadata={"count": 0},
        )
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=check.name,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
        description=check.verdict(finding),
        metadata=bounded(
            {
                "count": finding.count,
                "affected": table(("affected", "detail"), finding.shown),
                **(pictures or {}),
            }
        ),
    )


def _pictures(
    context: dg.AssetCheckExecutionContext,
    asset: dg.AssetKey,
    check: quality.Check,
    finding: quality.Finding,
    connection: duckdb.DuckDBPyConnection,
    warehouse: WarehouseResource,
    folder: Path,
) -> dict[str, Any]:
    """Return metadata with a picture of the affected images and the path of a larger one, if any."""
    if finding.passed or not check.of_images:
        return {}
    from anomaly_assets.drawing import as_jpeg
    from anomaly_assets.previews.offenders import offender_sheet, small_sheet

    path = folder / f"{check.name}.jpg"

    def draw() -> Pictures:
        with interrupted_queries(connection):
            sheet = offender_sheet(connection, check.name, finding, warehouse.settings)
        folder.mkdir(parents=True, exist_ok=True)
        write_file(path, as_jpeg(sheet))
        return {"pictures": picture(check.name, small_sheet(sheet, _MOST_BYTES))}

    pictures = new_pictures_of_check(context, dg.AssetCheckKey(asset, check.name), draw)
    return {**pictures, "pictures_file": dg.MetadataValue.path(str(path))}


def all_checks(source_datasets: Iterable[str]) -> list[dg.AssetChecksDefinition]:
    """Define the checks of all assets."""
    return [
        *map(_catalogue_checks, source_datasets),
        *(
            asset_checks(step, {dg.AssetKey(name): quality.CHECKS[name] for name in assets})
            for step, assets in _STEPS.items()
        ),
        published_counts,
    ]


_TOGETHER = {
    "image_tensors": ["image_tensors", "rejected_images"],
    EVALUATION: ["baseline_metrics", "suspect_images"],
}
_STEPS: Mapping[str, Sequence[str]] = {
    **{name: [name] for name in quality.CHECKS if not any(name in of for of in _TOGETHER.values())},
    **_TOGETHER,
}
"""Assets that are checked in one step, by the name of the step."""


def _catalogue_checks(name: str) -> dg.AssetChecksDefinition:
    by_asset = {dg.AssetKey([name, "stray_files"]): quality.STRAY_CHECKS}
    return asset_checks(f"{name}_catalogue", by_asset, name)
