"""What assets get from a run: its settings, and the warehouse, held against other runs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dagster as dg
from pydantic import PrivateAttr

from anomaly_assets.assets.interrupts import (
    Interrupts,
    hearing_interrupts,
    import_what_duckdb_imports,
)
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.ingest.roots import RootError, refuse_bad_root
from anomaly_assets.settings import Settings
from anomaly_assets.version import code_version
from anomaly_assets.warehouse.base import Warehouse, WarehouseBusyError
from anomaly_assets.warehouse.opening import open_warehouse


class WarehouseResource(dg.ConfigurableResource):
    """The warehouse, locked from the first step of a run to its last.

    Dagster sets a resource up once per process. With the in-process executor that is once per run, so
    runs that overlap wait for each other as wholes; with a process per step, steps do.

    Every step asks it for the warehouse, so here a run that was asked to stop comes to its end.
    """

    _settings: Settings = PrivateAttr()
    _warehouse: Warehouse = PrivateAttr()
    _interrupts: Interrupts = PrivateAttr(default_factory=Interrupts)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["WarehouseResource"]:
        """Read the settings, note which code runs, and hold the warehouse while the run lasts."""
        _load_what_decodes()
        code_version()  # of the code that runs; that on the disk may be another when it is published
        self._settings = Settings.from_environment()
        import_what_duckdb_imports()
        log = context.log.info if context.log else print
        refused = list(_bad_roots(context, self._settings))
        for error in refused:
            log(str(error))
        self._warehouse = open_warehouse(
            self._settings.warehouse,
            0.0 if refused else self._settings.lock_wait_seconds,
            log,
            lake_data=self._settings.lake_data,
        )
        with ExitStack() as held:
            try:
                held.enter_context(self._warehouse.locked())
            except WarehouseBusyError as busy:
                if refused:
                    raise refused[0] from busy
                raise
            self._interrupts = held.enter_context(hearing_interrupts())
            yield self

    @property
    def settings(self) -> Settings:
        """The settings of this run."""
        return self._settings

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse; its lock is held.

        Raises:
            DagsterExecutionInterruptedError: The run was asked to stop.
        """
        self._interrupts.refuse_to_go_on()
        return self._warehouse


def _load_what_decodes() -> None:
    """Import what steps import later, so that a checkout that is changed meanwhile changes nothing."""
    import anomaly_assets.ingest.reconcile
    import anomaly_assets.tensors.build  # noqa: F401


def _bad_roots(context: dg.InitResourceContext, settings: Settings) -> Iterator[RootError]:
    """What is wrong with roots that this run is to list: it will fail, so it need not wait before."""
    run = context.run
    if run is None or run.execution_plan_snapshot_id is None or context.instance is None:
        return
    plan = context.instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    for name, location in settings.roots.items():
        if location is not None and name in plan.step_keys_to_execute:
            try:
                refuse_bad_root(SOURCE_DATASETS[name], location)
            except RootError as error:
                yield error
