"""Data quality in the UI: one Dagster check per property of `warehouse/checks.py`."""

from collections.abc import Iterator, Sequence

import dagster as dg

from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.warehouse import checks as quality
from anomaly_assets.warehouse.publications import differences
from anomaly_assets.warehouse.schema import ensure_tables

_OFFENDERS = dg.TableSchema(
    columns=[dg.TableColumn("offender"), dg.TableColumn("detail")],
)


def asset_checks(
    asset: dg.AssetKey, checks: Sequence[quality.Check], source_dataset: str | None = None
) -> dg.AssetChecksDefinition:
    """The checks on one asset, each of which can be run alone."""
    of_tensors = source_dataset is None and asset != dg.AssetKey("images")

    @dg.multi_asset_check(
        specs=[_spec(asset, check) for check in checks],
        name="_".join([*asset.path, "checks"]),
        can_subset=True,
    )
    def run_checks(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource
    ) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        # While images are there whose tensors are being made, tensors cannot be judged.
        alone = warehouse.warehouse.finishing if of_tensors else warehouse.warehouse.locked
        with alone(), warehouse.warehouse.connect() as connection:
            ensure_tables(connection)
            for check in checks:
                if check.name in selected:
                    finding = quality.evaluate(
                        connection,
                        check,
                        source_dataset=source_dataset,
                        spec=warehouse.settings.tensor_spec,
                    )
                    yield _result(asset, check, finding)

    return run_checks


@dg.asset_check(
    name=quality.PUBLISHED_CHECK.name,
    asset="published_database",
    description=quality.PUBLISHED_CHECK.description,
    blocking=quality.PUBLISHED_CHECK.blocking,
)
def published_counts(warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Compare the published database with the warehouse, table by table."""
    differing = differences(warehouse.warehouse, warehouse.settings.database)
    finding = quality.Finding(len(differing), differing)
    return _result(dg.AssetKey("published_database"), quality.PUBLISHED_CHECK, finding)


def _spec(asset: dg.AssetKey, check: quality.Check) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        check.name, asset=asset, description=check.description, blocking=check.blocking
    )


def _result(
    asset: dg.AssetKey, check: quality.Check, finding: quality.Finding
) -> dg.AssetCheckResult:
    if finding.passed:
        return dg.AssetCheckResult(asset_key=asset, check_name=check.name, passed=True)
    records = [
        dg.TableRecord({"offender": offender, "detail": detail or ""})
        for offender, detail in finding.shown
    ]
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=check.name,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
        description=f"Not so for {finding.count}. {check.advice}",
        metadata={
            "count": finding.count,
            "offenders": dg.MetadataValue.table(records, schema=_OFFENDERS),
        },
    )


checks = [
    *(
        asset_checks(dg.AssetKey([name, "images"]), quality.CATALOGUE_CHECKS[name], name)
        for name in SOURCE_DATASETS
        if name in quality.CATALOGUE_CHECKS
    ),
    *(
        asset_checks(dg.AssetKey([name, "stray_files"]), quality.STRAY_CHECKS, name)
        for name in SOURCE_DATASETS
    ),
    asset_checks(dg.AssetKey("images"), quality.IMAGES_CHECKS),
    asset_checks(dg.AssetKey("image_tensors"), quality.TENSOR_CHECKS),
    asset_checks(dg.AssetKey("rejected_images"), quality.REJECTED_CHECKS),
    asset_checks(dg.AssetKey("duplicate_images"), quality.DUPLICATE_CHECKS),
    published_counts,
]
