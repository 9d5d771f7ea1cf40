"""Run jobs of the graph in this process, and read their events."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.storage.event_log import in_memory as events_in_memory
from dagster._core.storage.runs import in_memory as runs_in_memory

from anomaly_assets.definitions import defs

# Dagster stamps a database in memory with the revision of its schema, which nothing reads. For a stamp
# Alembic imports 89 migrations: 40 ms for each run of a test, an eighth of the time of one check.
events_in_memory.stamp_alembic_rev = lambda *_: None
runs_in_memory.stamp_alembic_rev = lambda *_: None

CHANGE_SHAPE = {"ops": {"image_tensors": {"config": {"change_shape": True}}}}
"""Run config that rebuilds all tensors in another shape."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        result: What Dagster returns.
        ended: Its tags and its last warning when it ended.
    """

    result: dg.ExecuteInProcessResult
    ended: tuple[Mapping[str, str], str] = ({}, "")

    @property
    def success(self) -> bool:
        return self.result.success

    @property
    def materialized(self) -> dict[str, dict[str, Any]]:
        """Return the metadata of each materialization in this run, by asset."""
        return {
            event.materialization.asset_key.to_user_string(): {
                name: value.value for name, value in event.materialization.metadata.items()
            }
            for event in (
                event.step_materialization_data
                for event in self.result.get_asset_materialization_events()
            )
        }

    @property
    def tags(self) -> Mapping[str, str]:
        """Return the tags of the run when it ended."""
        return self.ended[0]

    @property
    def last_warning(self) -> str:
        """Return the last line of its log at level WARNING; empty without one."""
        return self.ended[1]

    @property
    def failures(self) -> dict[str, str]:
        """Return the errors of failed steps, causes included, by step."""
        failed = (event for event in self.result.all_events if event.is_step_failure)
        return {
            str(event.step_key): event.step_failure_data.error_display_string for event in failed
        }

    def messages_about(self, error: str) -> list[str]:
        """Return events of the run, outside of its steps, that contain an error of this class."""
        texts = (
            str(event.event_specific_data)
            for event in self.result.all_events
            if event.step_key is None
        )
        return [text for text in texts if error in text]

    @property
    def checks(self) -> dict[str, dg.AssetCheckEvaluation]:
        """Return check results by `<asset>:<check>`."""
        return {
            f"{found.asset_key.to_user_string()}:{found.check_name}": found
            for found in self.result.get_asset_check_evaluations()
        }

    @property
    def failed_checks(self) -> set[str]:
        """Return the checks that did not pass."""
        return {name for name, found in self.checks.items() if not found.passed}


def run_job(
    name: str = "refresh_all",
    *,
    instance: dg.DagsterInstance | None = None,
    run_config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Run:
    """Run a job of the definitions to its end; steps may fail."""
    return _run(defs.resolve_job_def(name), instance, run_config, tags)


def run_selection(
    selection: dg.AssetSelection,
    *,
    instance: dg.DagsterInstance | None = None,
    run_config: Mapping[str, Any] | None = None,
) -> Run:
    """Materialize or check a part of the graph, like its page in the UI."""
    job = dg.define_asset_job("selected", selection=selection)
    resolved = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("selected")
    return _run(resolved, instance, run_config)


def run_published(**options: Any) -> Run:
    """Refresh the published database and all that it is made from, without checks and contact sheets.

    This takes two thirds of the time of `run_job`. Publishing evaluates the blocking checks itself.
    """
    selection = dg.AssetSelection.assets("published_database").upstream().without_checks()
    return run_selection(selection, **options)


def catalogue(*source_datasets: str) -> dg.AssetSelection:
    """Return the dlt tables of some source datasets, without checks: the fastest selection to load."""
    keys = [[name, table] for name in source_datasets for table in ("images", "stray_files")]
    return dg.AssetSelection.assets(*keys).without_checks()


def _run(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance | None = None,
    run_config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Run:
    if instance is None:
        with dg.DagsterInstance.ephemeral() as instance:
            return _run(job, instance, run_config, tags)
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    result = job.execute_in_process(
        instance=instance,
        run_config={**quiet, **(run_config or {})},
        tags=tags,
        raise_on_error=False,
    )
    stored = instance.get_run_by_id(result.run_id)
    warnings = [
        e.user_message for e in instance.all_logs(result.run_id) if e.level == logging.WARNING
    ]
    return Run(result, (stored.tags if stored else {}, warnings[-1] if warnings else ""))


def offenders(check: dg.AssetCheckEvaluation) -> dict[str, str]:
    """Return the affected files of a failed check, with their details."""
    table = check.metadata["affected"]
    assert isinstance(table, dg.TableMetadataValue)
    return {str(record.data["affected"]): str(record.data["detail"]) for record in table.records}
