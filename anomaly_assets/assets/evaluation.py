"""Define the assets of the baseline: scores, metrics, suspect images, their publication, and sheets.

They read the published database, so they are downstream of it, and no refresh includes them.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import dagster as dg

from anomaly_assets.assets.progress import Progress, duration
from anomaly_assets.assets.reports import (
    MOST_PICTURE_CHARACTERS,
    Pictures,
    bytes_within,
    materialized,
    new_pictures,
    picture,
    row_metadata,
    rows_shown,
    table,
)
from anomaly_assets.assets.resources import EVALUATION, WarehouseResource
from anomaly_assets.assets.specs import OWNERS, code_references, table_spec
from anomaly_assets.settings import published_database
from anomaly_assets.tables.ddl import ensure_tables, row_count
from anomaly_assets.tables.preview_rows import chosen_rows
from anomaly_assets.tables.row_changes import Rows, compare, keyed_rows
from anomaly_assets.warehouse.publication import UnpublishedDataError

_RESULTS = ("baseline_scores", "baseline_metrics", "suspect_images")
_ROWS_SHOWN = 20
_MOST_SHEETS = 6
"""Limit for the sheets in the event of a run; the files show all."""
_MOST_PLOTTED = 400
"""Limit for the metrics in the event of a run, which has room for 95,000 characters."""

unpublished: list[str] = []
"""Why the last run of this process published no results; empty if it did, or had none."""


class EvaluationConfig(dg.Config):
    """Run config of the evaluation.

    Attributes:
        categories: Evaluate only these categories; empty for all.
    """

    categories: list[str] = []


@dg.multi_asset(
    specs=[
        table_spec(
            name,
            group=EVALUATION,
            deps=["published_database"],
            kinds={"python", "pytorch"},
            files=["evaluation/detector.py", "evaluation/run.py", "assets/evaluation.py"],
            freshness=None,
        )
        for name in _RESULTS
    ],
    name=EVALUATION,
    can_subset=True,
)
def evaluation(
    context: dg.AssetExecutionContext, config: EvaluationConfig, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult]:
    """Score the published images with a detector that is trained on the good ones.

    Only categories whose images, labels or settings changed since are evaluated. If any of these assets is
    selected, all are materialized, because one pass makes all of them.
    """
    from anomaly_assets.evaluation.backbone import BaselineUnavailable, open_backbone
    from anomaly_assets.evaluation.run import evaluate

    started, settings = time.monotonic(), warehouse.settings
    try:
        backbone = open_backbone(settings.backbone)
    except BaselineUnavailable as unavailable:
        context.log.warning(f"Nothing was evaluated. {unavailable}")
        for name in _RESULTS:
            left_out = {"left_out": f"nothing was evaluated. {unavailable}"}
            yield materialized(context, left_out, dg.AssetKey(name))
        return
    before = _rows(warehouse)
    done = evaluate(
        lambda: warehouse.warehouse,
        published_database(),
        backbone,
        assignment=settings.evaluate_assignment,
        categories=config.categories,
        run_id=context.run.run_id,
        log=context.log.info,
        progress=lambda key: Progress(context.log.info, f"images of {key}"),
    )
    with warehouse.warehouse.writing(), warehouse.warehouse.connect() as connection:
        for name in _RESULTS:
            changes = compare(before[name], keyed_rows(connection, name))
            numbers: Mapping[str, Any] = {
                **row_metadata(row_count(connection, name), changes),
                "categories_evaluated": len(done.evaluated),
                "categories_unchanged": done.unchanged,
                "backbone": backbone.name,
                "seconds": round(time.monotonic() - started, 3),
            }
            if name == "baseline_metrics":
                numbers = {**numbers, **_plotted(connection)}
                if done.without_number:
                    reasons = [(str(key), why) for key, why in done.without_number.items()]
                    numbers = {**numbers, "without_number": table(("category", "reason"), reasons)}
            shown = rows_shown(chosen_rows(connection, name, _ROWS_SHOWN), changes)
            yield materialized(context, {**numbers, "rows": shown}, dg.AssetKey(name))


def _rows(warehouse: WarehouseResource) -> dict[str, Rows]:
    with warehouse.warehouse.writing(), warehouse.warehouse.connect() as connection:
        ensure_tables(connection)
        return {name: keyed_rows(connection, name) for name in _RESULTS}


_PLOTTED = """
SELECT source_dataset || '/' || category || ' ' || recipe || ' ' || metric, value
FROM baseline_metrics
LEFT JOIN (SELECT source_dataset, recipe, is_common FROM recipes) USING (source_dataset, recipe)
WHERE defect_type = '' AND metric IN ('image_auroc', 'aupro') AND value IS NOT NULL
ORDER BY is_common IS TRUE DESC, metric DESC, 1
"""


def _plotted(connection: Any) -> dict[str, Any]:
    """Return the metrics that the UI plots over time, by category and recipe, and how many are left out."""
    found = connection.execute(_PLOTTED).fetchall()
    left_out = {"metrics_not_plotted": len(found) - _MOST_PLOTTED}
    return dict(found[:_MOST_PLOTTED]) | (left_out if len(found) > _MOST_PLOTTED else {})


@dg.asset(
    deps=list(_RESULTS),
    group_name=EVALUATION,
    owners=OWNERS,
    kinds={"duckdb"},
    code_version="1",
    metadata={
        "dagster/storage_kind": "duckdb",
        **code_references("warehouse/publication.py", "assets/evaluation.py"),
    },
    description=(
        "The published database with the newest results of the baseline. Its data and snapshot id stay the "
        "same. If the warehouse has data that no refresh has published, nothing is written, and the next "
        "refresh publishes both:\n\n```sql\nSELECT * FROM anomaly.baseline_metrics WHERE defect_type = '' "
        "ORDER BY ALL;\n```"
    ),
)
def published_evaluation(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """Publish results beside the data that are published already."""
    settings, started = warehouse.settings, time.monotonic()
    try:
        published = warehouse.warehouse.publish(
            settings.database,
            warehouse.recipes.common,
            run_id=context.run.run_id,
            keep_snapshots=settings.keep_snapshots,
            only_results=True,
        )
        unpublished.clear()
    except UnpublishedDataError as error:
        unpublished[:] = [str(error)]
        context.log.warning(str(error))
        return materialized(context, {"left_out": str(error)})
    context.log.info(
        f"{'Written' if published.written else 'Unchanged'}, after "
        f"{duration(time.monotonic() - started)}."
    )
    return materialized(
        context,
        {
            "path": dg.MetadataValue.path(published.location),
            "written": published.written,
            "snapshot_id": published.snapshot_id,
            "evaluation_id": published.evaluation_id or "none",
            "seconds": round(time.monotonic() - started, 3),
        },
    )


@dg.asset(
    deps=["published_evaluation"],
    group_name=EVALUATION,
    owners=OWNERS,
    kinds={"python", "report"},
    code_version="1",
    metadata=code_references("previews/scores.py", "assets/evaluation.py"),
    description=(
        "One picture per category and recipe: image, truth and map of the baseline in each row, anomalous "
        "images with the lowest scores first, then good ones with the highest. They are files beside the "
        "published database: `contact_sheets/scores/<source_dataset>/<category> <recipe>.jpg`."
    ),
)
def score_sheets(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """Draw the sheets of the categories whose published results changed."""
    from anomaly_assets.previews.scores import current_score_sheets, small_sheet
    from anomaly_assets.reader.open import open_database

    folder = warehouse.pictures_folder / "scores"
    facts: dict[str, Any] = {"folder": dg.MetadataValue.path(str(folder))}

    def draw() -> Pictures:
        with closing(open_database()) as database:
            sheets = current_score_sheets(database, folder)
        facts.update(files=len(sheets.files), drawn_again=sheets.drawn)
        shown = [*sheets.files.items()][:_MOST_SHEETS]
        most_bytes = bytes_within(MOST_PICTURE_CHARACTERS // max(1, len(shown)) - 200)
        small = {key: small_sheet(path, most_bytes) for key, path in shown}
        return {
            str(key): picture(f"{key}: worst misses first", content)
            for key, content in small.items()
            if content is not None
        }

    pictures = new_pictures(context, dg.AssetKey("score_sheets"), draw)
    return materialized(context, {**pictures, **facts})


def evaluation_assets() -> list[dg.AssetsDefinition]:
    """Return the assets of the baseline."""
    return [evaluation, published_evaluation, score_sheets]
