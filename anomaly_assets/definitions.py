"""Define what Dagster loads: `dagster dev -w workspace.yaml`, or `-m anomaly_assets.definitions`."""

from collections.abc import Mapping

import dagster as dg

from anomaly_assets.assets.automation import (
    evaluate,
    files_changed_sensor,
    refresh_all,
    refresh_job,
    scheduled_evaluation,
    scheduled_refresh,
)
from anomaly_assets.assets.broken import broken_assets
from anomaly_assets.assets.checks import all_checks
from anomaly_assets.assets.corrections import corrections
from anomaly_assets.assets.evaluation import evaluation_assets
from anomaly_assets.assets.gallery import gallery
from anomaly_assets.assets.image_previews import image_previews
from anomaly_assets.assets.image_tensors import image_tensors, samples
from anomaly_assets.assets.images import (
    DagsterDltResource,
    catalogue_assets,
    files_spec,
    images_asset,
)
from anomaly_assets.assets.near_duplicates import near_duplicates
from anomaly_assets.assets.previews import contact_sheets
from anomaly_assets.assets.published import published_asset
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.splits import splits
from anomaly_assets.assets.summaries import summary_assets
from anomaly_assets.datasets import DECLARATIONS, SOURCE_DATASETS, Known, SourceDataset
from anomaly_assets.garbage import freeze
from anomaly_assets.settings import Settings

# Freeze imported objects: otherwise the first garbage collection after import takes as long as building the
# graph.
freeze()


def definitions_for(
    source_datasets: Mapping[str, SourceDataset], declarations: Known | None = None
) -> dg.Definitions:
    """Build the asset graph, its checks, jobs, schedule and sensors.

    Args:
        source_datasets: Source datasets of the graph.
        declarations: What the TOML files declare; each table with a problem becomes an asset that fails.
    """
    names, datasets = [*source_datasets], [*source_datasets.values()]
    return dg.Definitions(
        assets=[
            *map(files_spec, datasets),
            *map(catalogue_assets, datasets),
            images_asset(names),
            corrections,
            image_tensors,
            samples,
            splits,
            *summary_assets(names),
            near_duplicates,
            image_previews,
            contact_sheets,
            published_asset(),
            gallery,
            *evaluation_assets(),
            *broken_assets(declarations),
        ],
        asset_checks=all_checks(source_datasets),
        jobs=[refresh_all, evaluate, *map(refresh_job, datasets)],
        schedules=[scheduled_refresh, scheduled_evaluation],
        sensors=[*map(files_changed_sensor, datasets)],
        resources={"dlt": DagsterDltResource(), "warehouse": WarehouseResource()},
        # DuckDB lets one process write. Parallelism lives in the decoding threads.
        executor=dg.in_process_executor,
    )


def with_roots(settings: Settings) -> dict[str, SourceDataset]:
    """Return the source datasets that have a root; the others are not in the graph."""
    return {
        name: dataset
        for name, dataset in SOURCE_DATASETS.items()
        if settings.roots[name] is not None
    }


defs = definitions_for(with_roots(Settings.from_environment()), DECLARATIONS)
