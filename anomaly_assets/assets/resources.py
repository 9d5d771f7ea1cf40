"""Define the Dagster resource of a run: its settings, and the warehouse under its lock."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from pydantic import PrivateAttr

from anomaly_assets.assets.failures import failed_checks_line
from anomaly_assets.assets.interrupts import Interrupts, hearing_interrupts
from anomaly_assets.assets.notices import notices
from anomaly_assets.assets.outcome import Outcome, outcome_of, step_events
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.errors import WarehouseBusyError
from anomaly_assets.recipes import Recipes
from anomaly_assets.roots.base import RootError
from anomaly_assets.roots.open import refuse_bad_root
from anomaly_assets.settings import Settings, unknown_variables
from anomaly_assets.signals import import_what_duckdb_imports
from anomaly_assets.tables.ddl import HISTORY_VIEWS, ensure_tables, refresh
from anomaly_assets.tables.history import note_step_events
from anomaly_assets.tables.recipes import recipes_for
from anomaly_assets.tables.row_changes import RowChanges
from anomaly_assets.tables.source_datasets import dataset_lines, why_kept
from anomaly_assets.version import code_version
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.open import open_warehouse

EVALUATION = "evaluation"
"""Asset group of the baseline."""

EVALUATION_STEPS = frozenset(
    {EVALUATION, "published_evaluation", "score_sheets", f"{EVALUATION}_checks"}
)
"""Steps of that group: they read the published database, and lock the warehouse only for moments."""

CHECKS_TAG = "checks"
"""Tag of a run with failed checks, such as `3 failed`; the list of runs shows it."""


class WarehouseResource(dg.ConfigurableResource):
    """Warehouse of a run; its lock is held from the first step to the last, except if it only evaluates.

    Dagster sets up a resource once per process. The in-process executor has one process per run, so a run
    waits until another run has ended. An executor with one process per step holds the lock for one step,
    so a step waits until the step of another run has ended.

    Every step gets the warehouse from `warehouse`, which raises if the run was asked to stop.
    """

    _settings: Settings = PrivateAttr()
    _warehouse: Warehouse = PrivateAttr()
    _interrupts: Interrupts = PrivateAttr(default_factory=Interrupts)
    _pictures_folder: Path | None = PrivateAttr(default=None)
    _used: bool = PrivateAttr(default=False)
    _run_config: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    _recipes: Recipes | None = PrivateAttr(default=None)
    _refreshed: dict[str, RowChanges] = PrivateAttr(default_factory=dict)
    _kept: dict[str, str] = PrivateAttr(default_factory=dict)
    _removed: dict[str, int] = PrivateAttr(default_factory=dict)
    _any_check_failed: bool = PrivateAttr(default=False)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["WarehouseResource"]:
        """Hold the warehouse's lock during the run; send notices of failures after releasing it."""
        with notices(context) as telling, self._held(context):
            telling.place = self._warehouse.name
            yield self

    @contextmanager
    def _held(self, context: dg.InitResourceContext) -> Iterator[None]:
        """Read the settings, record the code version, and hold the lock of the warehouse during the run."""
        _load_what_decodes()
        code_version()  # Cached now: files on disk may change before the run publishes.
        self._settings = Settings.from_environment()
        self._run_config = context.run.run_config if context.run else {}
        import_what_duckdb_imports()
        log = context.log.info if context.log else print
        for sentence in unknown_variables():
            (context.log.warning if context.log else print)(sentence)
        # Not logged here: the step that lists the root raises the same, with the number of loaded images.
        refused = list(_bad_roots(context, self._settings))
        self._warehouse = open_warehouse(
            self._settings.warehouse,
            0.0 if refused else self._settings.lock_wait_seconds,
            log,
            lake_data=self._settings.lake_data,
        )
        with ExitStack() as held:
            try:
                if not _only_evaluates(context):
                    held.enter_context(self._warehouse.locked())
            except WarehouseBusyError as busy:
                if refused:
                    raise refused[0] from busy
                raise
            self._interrupts = held.enter_context(hearing_interrupts())
            try:
                yield
            finally:
                if not _only_evaluates(context):
                    self._report(log)
                self._report_checks(context)
                if context.run is not None and context.instance is not None:
                    outcome = outcome_of(context.instance, context.run.run_id, complete=False)
                    self._record(outcome, context.run.run_id)
                    _repeat_causes(context, outcome)

    def _report(self, log: Callable[[str], None]) -> None:
        """Log a line per source dataset at the end of the run; an error in it does not fail the run."""
        with suppress(dg.DagsterExecutionInterruptedError, duckdb.Error, RuntimeError):
            self._interrupts.refuse_to_go_on()
            if self._used:
                with self._warehouse.connect() as connection:
                    lines = dataset_lines(
                        connection,
                        refreshed=self._refreshed,
                        kept={**_switched_off(self._settings), **self._kept},
                        removed=self._removed,
                    )
                for line in lines:
                    log(line)

    def _report_checks(self, context: dg.InitResourceContext) -> None:
        """Log the failed checks of the run as its last line, and tag the run, which succeeds nevertheless.

        Events of checks hold pictures, so they are read only if this process saw a failed check.
        """
        if not self._any_check_failed or context.run is None or context.instance is None:
            return
        outcome = outcome_of(context.instance, context.run.run_id, complete=True)
        failed = [check for _, check in outcome.failed_checks]
        if failed and context.log is not None:
            context.log.warning(failed_checks_line(failed))
            context.instance.add_run_tags(context.run.run_id, {CHECKS_TAG: f"{len(failed)} failed"})

    def note_failed_check(self) -> None:
        """Note that a check of this run failed; the end of the run reports it."""
        self._any_check_failed = True

    def _record(self, outcome: Outcome, run_id: str) -> None:
        """Record steps that were refused or failed; an error in it, as on a full disk, is not raised."""
        events = [*step_events(outcome, self._settings)]
        if not events or not self._used:
            return
        with suppress(duckdb.Error, OSError, RuntimeError), self._warehouse.connect() as connection:
            ensure_tables(connection)
            note_step_events(connection, run_id, events)
            refresh(connection, *HISTORY_VIEWS)  # a first run may have failed before it made them

    @property
    def settings(self) -> Settings:
        """Return the settings of this run."""
        return self._settings

    @property
    def recipes(self) -> Recipes:
        """Return the recipes of this run; they are read from the warehouse once.

        Raises:
            WarehouseError: The warehouse has another common recipe than the settings of this machine, or
                one that this machine cannot make.
        """
        if self._recipes is None:
            from anomaly_assets.decoding.resize import why_not_simd

            with self.warehouse.connect() as connection:
                ensure_tables(connection)
                self._recipes = recipes_for(
                    connection,
                    self._settings,
                    why_not_simd=why_not_simd,
                    change=configured(self._run_config, "image_tensors", "change_shape"),
                )
        return self._recipes

    @property
    def warehouse(self) -> Warehouse:
        """Return the warehouse; its lock is held, unless the run only evaluates.

        Raises:
            DagsterExecutionInterruptedError: The run was asked to stop.
        """
        self._interrupts.refuse_to_go_on()
        self._used = True
        return self._warehouse

    @property
    def pictures_folder(self) -> Path:
        """Return the folder for contact sheets; its path is determined once in a run."""
        if self._pictures_folder is None:
            self._pictures_folder = self.warehouse.pictures_folder(self._settings.database)
        return self._pictures_folder

    @property
    def refreshed(self) -> dict[str, RowChanges]:
        """Return the changes of each source dataset whose root was loaded in this run; assets add to it."""
        return self._refreshed

    @property
    def kept(self) -> dict[str, str]:
        """Return the source datasets that this run does not refresh, with the reason; assets add to it."""
        return self._kept

    @property
    def removed(self) -> dict[str, int]:
        """Return the source datasets that this run removed, with their number of images."""
        return self._removed


def configured(run_config: Mapping[str, Any], step: str, option: str) -> bool:
    """Return True if the run config sets a boolean option of a step."""
    config = run_config.get("ops", {}).get(step, {}).get("config", {})
    return bool(config.get(option, False))


def _repeat_causes(context: dg.InitResourceContext, outcome: Outcome) -> None:
    """Log why steps failed as the last lines of the run.

    Dagster logs a stack trace when a step fails and a line for every step behind it: a log of continuous
    integration would show the cause some forty lines above its end.
    """
    for step in outcome.failed:
        if context.log is not None:
            context.log.error(f"{step.name} failed: {step.cause}")


def _load_what_decodes() -> None:
    """Import lazily loaded modules now, so that a `git pull` during the run does not mix versions."""
    import anomaly_assets.catalogue.reconcile
    import anomaly_assets.decoding.build  # noqa: F401


def _only_evaluates(context: dg.InitResourceContext) -> bool:
    """Return True if all steps of a run belong to the evaluation, which may take hours."""
    return _steps(context) <= EVALUATION_STEPS


def _steps(context: dg.InitResourceContext) -> frozenset[str]:
    """Return the keys of the steps that a run executes; only unknown ones if it has no stored plan."""
    run = context.run
    if run is None or run.execution_plan_snapshot_id is None or context.instance is None:
        return frozenset({""})
    plan = context.instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return frozenset(plan.step_keys_to_execute)


def _bad_roots(context: dg.InitResourceContext, settings: Settings) -> Iterator[RootError]:
    """Yield the errors of roots that this run would list. Such a run fails, so it must not wait."""
    steps = _steps(context)
    for name, location in settings.roots.items():
        if location is not None and name in steps:
            try:
                refuse_bad_root(SOURCE_DATASETS[name], location)
            except RootError as error:
                yield error


def _switched_off(settings: Settings) -> dict[str, str]:
    """Return why source datasets without a root, which are not in the graph, are kept as they are."""
    return {
        name: why_kept(SOURCE_DATASETS[name], settings, {}) or ""
        for name, root in settings.roots.items()
        if root is None
    }
