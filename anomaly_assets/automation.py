"""When the graph runs by itself: jobs, the daily schedule, and sensors that watch the roots."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import dagster as dg

from anomaly_assets.assets.images import LISTING_DIGEST
from anomaly_assets.datasets import SOURCE_DATASETS, SourceDataset
from anomaly_assets.ingest.roots import RootError, open_root
from anomaly_assets.settings import Settings

refresh_all = dg.define_asset_job(
    "refresh_all", selection=dg.AssetSelection.all(), description="Refresh everything."
)


def _tables(dataset: SourceDataset) -> dg.AssetSelection:
    return dg.AssetSelection.assets([dataset.name, "images"], [dataset.name, "stray_files"])


refresh_jobs = {
    name: dg.define_asset_job(
        f"refresh_{name}",
        selection=_tables(dataset).downstream(),
        description=f"Refresh {dataset.title} and everything that is made from it.",
    )
    for name, dataset in SOURCE_DATASETS.items()
}

scheduled_refresh = dg.ScheduleDefinition(
    name="scheduled_refresh",
    job=refresh_all,
    cron_schedule=Settings.from_environment().refresh_cron,
    description="The daily refresh; ANOMALY_REFRESH_CRON sets its time (UTC).",
)


def files_changed_sensor(dataset: SourceDataset) -> dg.SensorDefinition:
    """A sensor that asks for one run each time the listing of a root changes.

    It compares the root with what it saw last and with what was last materialized. Run keys count the
    changes, so a listing that changes back is a change as well.
    """

    @dg.sensor(
        name=f"{dataset.name}_files_changed",
        job=refresh_jobs[dataset.name],
        minimum_interval_seconds=Settings.from_environment().sensor_seconds,
        description=f"Refreshes {dataset.title} when a file below its root is added, changed or removed.",
    )
    def files_changed(
        context: dg.SensorEvaluationContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        from anomaly_assets.ingest.catalog import list_catalog, listing_digest

        location = Settings.from_environment().roots[dataset.name]
        if location is None:
            yield dg.SkipReason(f"{dataset.root_variable} is empty: left out.")
            return
        try:
            digest = listing_digest(list_catalog(dataset, open_root(location)))
        except RootError as error:
            yield dg.SkipReason(f"The root cannot be listed: {error}")
            return
        seen = _Cursor.read(context.cursor)
        loaded = _materialized_digest(context.instance, dataset, since=seen.asked_at)
        if digest in (seen.digest, loaded):
            context.update_cursor(replace(seen, digest=digest).written())
            yield dg.SkipReason("No file was added, changed or removed.")
            return
        cursor = _Cursor(digest, seen.changes + 1, time.time())
        context.update_cursor(cursor.written())
        yield dg.RunRequest(run_key=f"{digest}-{cursor.changes}")

    return files_changed


@dataclass(frozen=True)
class _Cursor:
    """What a sensor remembers.

    Attributes:
        digest: The listing it saw last.
        changes: How many changes it has asked runs for.
        asked_at: When it last asked, in seconds since 1970. What was materialized before that says
            nothing: the run that was asked for may be loading something else.
    """

    digest: str = ""
    changes: int = 0
    asked_at: float = 0.0

    @classmethod
    def read(cls, text: str | None) -> "_Cursor":
        return cls(**json.loads(text)) if text else cls()

    def written(self) -> str:
        return json.dumps(asdict(self))


def _materialized_digest(
    instance: dg.DagsterInstance, dataset: SourceDataset, since: float
) -> str | None:
    event = instance.get_latest_materialization_event(dg.AssetKey([dataset.name, "images"]))
    if event is None or event.asset_materialization is None or event.timestamp < since:
        return None
    value = event.asset_materialization.metadata.get(LISTING_DIGEST)
    return str(value.value) if value else None


jobs = [refresh_all, *refresh_jobs.values()]
schedules = [scheduled_refresh]
sensors = [files_changed_sensor(dataset) for dataset in SOURCE_DATASETS.values()]
