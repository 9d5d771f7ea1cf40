"""Define jobs, the daily schedule, and sensors that look for changed files below the roots."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from anomaly_assets.assets.images import LISTING_DIGEST
from anomaly_assets.assets.progress import duration
from anomaly_assets.assets.resources import EVALUATION
from anomaly_assets.datasets import SourceDataset
from anomaly_assets.roots.base import RootError
from anomaly_assets.roots.open import open_root, root_error
from anomaly_assets.settings import Settings
from anomaly_assets.tables.source_datasets import why_kept

_EVALUATION = dg.AssetSelection.groups(EVALUATION)

refresh_all = dg.define_asset_job(
    "refresh_all",
    selection=dg.AssetSelection.all() - _EVALUATION,
    description="Refresh everything except the baseline.",
)

evaluate = dg.define_asset_job(
    "evaluate",
    selection=_EVALUATION,
    description="Train and score the baseline on the published images, and publish the results.",
)


def _tables(dataset: SourceDataset) -> dg.AssetSelection:
    return dg.AssetSelection.assets([dataset.name, "images"], [dataset.name, "stray_files"])


def refresh_job(dataset: SourceDataset) -> UnresolvedAssetJobDefinition:
    """Define the job that refreshes one source dataset."""
    return dg.define_asset_job(
        _job_name(dataset),
        selection=_tables(dataset).downstream() - _EVALUATION,
        description=f"Refresh {dataset.title} and everything downstream of it.",
    )


def _job_name(dataset: SourceDataset) -> str:
    return f"refresh_{dataset.name}"


scheduled_refresh = dg.ScheduleDefinition(
    name="scheduled_refresh",
    job=refresh_all,
    cron_schedule=Settings.from_environment().refresh_cron,
    description="The daily refresh; ANOMALY_REFRESH_CRON sets its time (UTC).",
)

scheduled_evaluation = dg.ScheduleDefinition(
    name="scheduled_evaluation",
    job=evaluate,
    cron_schedule=Settings.from_environment().evaluate_cron,
    description="The baseline of what changed; ANOMALY_EVALUATE_CRON sets its time (UTC).",
)

_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 6 * 3600.0
"""Maximum pause of a sensor after failed runs: after the first it waits a minute, then two, four, ..."""

_DOUBLINGS = 9  # 512 minutes, which is more than six hours

_LONGEST_CHANGE_SECONDS = 600.0
"""Maximum time to wait for an unchanged listing; then a run is requested even if it still changes."""

_LOST_RUN_SECONDS = 24 * 3600.0
"""Age above which a run counts as killed: a killed process cannot record its own end."""

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_RUN_KEY_TAG = "dagster/run_key"

_now = time.time


def files_changed_sensor(dataset: SourceDataset) -> dg.SensorDefinition:
    """Build the sensor that requests a run when the listing of a root differs from the loaded one.

    The sensor repeats the request, with growing pauses, until a run has loaded the listing. It requests
    nothing while a run for this source dataset is queued or running. A root that cannot be listed fails the
    tick, and the cursor stays unchanged.
    """

    @dg.sensor(
        name=f"{dataset.name}_files_changed",
        job_name=_job_name(dataset),
        minimum_interval_seconds=Settings.from_environment().sensor_seconds,
        description=(
            f"Refreshes {dataset.title} when a file below its root is added, changed or removed. A run "
            "that fails is requested again after 1, 2, 4, ... minutes, at most 6 hours."
        ),
    )
    def files_changed(
        context: dg.SensorEvaluationContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        from anomaly_assets.catalogue.listing import list_catalog, listing_digest

        settings = Settings.from_environment()
        location, follow_links = (
            settings.roots[dataset.name],
            dataset.name in settings.followed_links,
        )
        if location is None:
            yield dg.SkipReason(f"{why_kept(dataset, settings, {})}: not watched.")
            return
        try:
            root = open_root(location, follow_links=follow_links)
            digest = listing_digest(list_catalog(dataset, root))
        except RootError as error:
            raise root_error(dataset, location, error) from None
        cursor, answer = _answer(
            context.instance, dataset, _Cursor.read(context.cursor), digest, _now()
        )
        context.update_cursor(cursor.written())
        yield answer

    return files_changed


@dataclass(frozen=True)
class _Cursor:
    """State of a sensor between two ticks, which Dagster stores as JSON text.

    Attributes:
        seen: Digest of the listing at the last tick.
        changing_since: Time of the first tick of the current series in which each listing differed from
            the one before; None once two listings were equal.
        loaded: Digest of the loaded listing; empty if unknown.
        asked: Digest of the listing for which a run was requested and which is not loaded yet, or empty.
        run_key: Key of the requested run.
        attempts: Number of runs requested for the listing `asked`.
        failed_at: Time of the first tick after the requested run ended without success; None until then.
    """

    seen: str = ""
    changing_since: float | None = None
    loaded: str = ""
    asked: str = ""
    run_key: str = ""
    attempts: int = 0
    failed_at: float | None = None

    @classmethod
    def read(cls, text: str | None) -> "_Cursor":
        """Read a cursor of this release or of the first one; return an empty cursor otherwise."""
        try:
            kept = json.loads(text or "{}")
            if "digest" in kept:  # first release: loaded, or requested with this key
                digest, key = str(kept["digest"]), f"{kept['digest']}-{kept['changes']}"
                return cls(seen=digest, loaded=digest, asked=digest, run_key=key, attempts=1)
            return cls(**kept)
        except (ValueError, TypeError, KeyError):
            return cls()

    def written(self) -> str:
        return json.dumps(asdict(self))

    def after_look(self, digest: str, now: float) -> "_Cursor":
        """Return the cursor after a tick that found this listing."""
        if digest == self.seen:
            return replace(self, changing_since=None)
        since = self.changing_since
        # A time in the future was recorded before the clock was set back.
        since = now if since is None or since > now else since
        return replace(self, seen=digest, changing_since=since)

    def after_request(self, digest: str) -> "_Cursor":
        """Return the cursor with a new, unique run key: Dagster drops a request if a run has its key."""
        return replace(
            self,
            changing_since=None,
            asked=digest,
            run_key=f"{digest[:16]}-{uuid.uuid4().hex}",
            attempts=self.attempts + 1 if digest == self.asked else 1,
            failed_at=None,
        )


_Answer = tuple[_Cursor, dg.RunRequest | dg.SkipReason]


def _answer(
    instance: dg.DagsterInstance, dataset: SourceDataset, before: _Cursor, digest: str, now: float
) -> _Answer:
    """Decide if a listing must be loaded now.

    Args:
        instance: Dagster's record of runs and materializations.
        dataset: The source dataset.
        before: The cursor of the last tick.
        digest: The listing of this tick.
        now: Seconds since 1970.

    Returns:
        The new cursor, and the run request or the reason to skip it.
    """
    catalogue = _Catalogue.latest(instance, dataset)
    asked_run = _run_with_key(instance, before.run_key) if digest == before.asked else None
    loaded = catalogue.loaded(before.loaded)
    if not catalogue.digest and asked_run is not None:
        loaded = digest if asked_run.is_success else ""
    cursor = replace(before.after_look(digest, now), loaded=loaded)
    if run := _unfinished_run(instance, dataset, catalogue.run, now):
        return cursor, dg.SkipReason(
            f"Run {_short(run)} of {run.job_name} has not ended. The root is compared after it."
        )
    if digest == loaded:
        cursor = replace(cursor, asked="", run_key="", attempts=0, failed_at=None)
        return cursor, dg.SkipReason("No file was added, changed or removed.")
    if cursor.changing_since is not None and now - cursor.changing_since < _LONGEST_CHANGE_SECONDS:
        return cursor, dg.SkipReason(
            "Files changed since the last check, and may still be copied. A run is requested once "
            f"two checks agree, or after {_LONGEST_CHANGE_SECONDS / 60:.0f} minutes."
        )
    if digest == before.asked:
        cursor = replace(cursor, failed_at=now if before.failed_at is None else before.failed_at)
        if (reason := _pause(cursor, asked_run, now)) is not None:
            return cursor, reason
    cursor = cursor.after_request(digest)
    return cursor, dg.RunRequest(run_key=cursor.run_key)


def _pause(cursor: _Cursor, run: dg.DagsterRun | None, now: float) -> dg.SkipReason | None:
    """Return the reason why the next attempt has to wait; None once the pause is over."""
    cancelled = run is not None and run.status == dg.DagsterRunStatus.CANCELED
    doubled = min(cursor.attempts - 1, _DOUBLINGS)
    pause = min(_FIRST_PAUSE_SECONDS * 2**doubled, _LONGEST_PAUSE_SECONDS)
    if cancelled:  # A person cancelled the run on purpose: do not start another one a minute later.
        pause = _LONGEST_PAUSE_SECONDS
    waited = now - (now if cursor.failed_at is None else cursor.failed_at)
    if not 0 <= waited < pause:  # negative: the clock was set back
        return None
    if run is None:
        ended = "The requested run is not in the history"
    else:
        ended = f"Run {_short(run)} {'was cancelled' if cancelled else 'did not load these files'}"
    return dg.SkipReason(
        f"{ended} (attempt {cursor.attempts}): the next one is requested in {duration(pause - waited)}."
    )


@dataclass(frozen=True)
class _Catalogue:
    """Latest materialization of `<source_dataset>/images`.

    Attributes:
        digest: The loaded listing; empty for none, or after a reload of some categories.
        run: The run that loaded it; None if it was deleted from the history.
    """

    digest: str = ""
    run: dg.DagsterRun | None = None

    @classmethod
    def latest(cls, instance: dg.DagsterInstance, dataset: SourceDataset) -> "_Catalogue":
        event = instance.get_latest_materialization_event(dg.AssetKey([dataset.name, "images"]))
        if event is None or event.asset_materialization is None:
            return cls()
        value = event.asset_materialization.metadata.get(LISTING_DIGEST)
        return cls(str(value.value) if value else "", instance.get_run_by_id(event.run_id))

    def loaded(self, before: str) -> str:
        """Return the listing that a whole run has loaded; `before` if that is unknown.

        A run can fail after it loaded the catalogue: then tensors or the publication are missing, and the
        listing does not count as loaded.
        """
        if not self.digest or (self.run is None and self.digest == before):
            return before
        return self.digest if self.run is not None and self.run.is_success else ""


def _run_with_key(instance: dg.DagsterInstance, run_key: str) -> dg.DagsterRun | None:
    """Return the newest run with this key; a run that is re-executed in the UI keeps its key."""
    runs = instance.get_runs(dg.RunsFilter(tags={_RUN_KEY_TAG: run_key}), limit=1)
    return next(iter(runs), None)


def _unfinished_run(
    instance: dg.DagsterInstance,
    dataset: SourceDataset,
    catalogue_run: dg.DagsterRun | None,
    now: float,
) -> dg.DagsterRun | None:
    """Return a queued or running run that loads this source dataset, also one started by hand."""
    statuses = [status for status in dg.DagsterRunStatus if status not in _ENDED]
    key = dg.AssetKey([dataset.name, "images"])
    for record in instance.get_run_records(dg.RunsFilter(statuses=statuses)):
        run = record.dagster_run
        lost = (
            run.status != dg.DagsterRunStatus.QUEUED
            and now - record.create_timestamp.timestamp() > _LOST_RUN_SECONDS
        )
        loads = (
            run.job_name in (refresh_all.name, _job_name(dataset))
            or key in (run.asset_selection or ())
            or (catalogue_run is not None and run.run_id == catalogue_run.run_id)
        )
        if loads and not lost:
            return run
    return None


def _short(run: dg.DagsterRun) -> str:
    """Return the part of a run's id that the UI shows."""
    return run.run_id[:8]
