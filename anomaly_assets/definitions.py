"""Dagster's definitions: `dagster dev -w workspace.yaml`, or `-m anomaly_assets.definitions`."""

import gc

import dagster as dg

from anomaly_assets.assets.automation import jobs, schedules, sensors
from anomaly_assets.assets.checks import checks
from anomaly_assets.assets.image_tensors import image_tensors, samples
from anomaly_assets.assets.images import DagsterDltResource, catalogue_assets, files_spec, images
from anomaly_assets.assets.previews import contact_sheets
from anomaly_assets.assets.published import published_database
from anomaly_assets.assets.resources import WarehouseResource
from anomaly_assets.assets.summaries import summaries
from anomaly_assets.datasets import SOURCE_DATASETS

# Freeze imported objects: otherwise the first garbage collection after import takes as long as
# building the graph.
gc.freeze()

defs = dg.Definitions(
    assets=[
        *(files_spec(dataset) for dataset in SOURCE_DATASETS.values()),
        *(catalogue_assets(dataset) for dataset in SOURCE_DATASETS.values()),
        images,
        image_tensors,
        samples,
        *summaries,
        contact_sheets,
        published_database,
    ],
    asset_checks=checks,
    jobs=jobs,
    schedules=schedules,
    sensors=sensors,
    resources={"dlt": DagsterDltResource(), "warehouse": WarehouseResource()},
    # DuckDB lets one process write. The decoding threads are the parallel part.
    executor=dg.in_process_executor,
)
