"""What assets get from a run: its settings, and the warehouse, held against other runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import PrivateAttr

from anomaly_assets.settings import Settings
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.opening import open_warehouse


class WarehouseResource(dg.ConfigurableResource):
    """The warehouse, locked from the first step of a run to its last.

    Dagster sets a resource up once per process. With the in-process executor that is once per run, so
    runs that overlap wait for each other as wholes; with a process per step, steps do.
    """

    _settings: Settings = PrivateAttr()
    _warehouse: Warehouse = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["WarehouseResource"]:
        """Read the settings and hold the warehouse while the run lasts."""
        self._settings = Settings.from_environment()
        log = context.log.info if context.log else print
        self._warehouse = open_warehouse(
            self._settings.warehouse,
            self._settings.lock_wait_seconds,
            log,
            lake_data=self._settings.lake_data,
        )
        with self._warehouse.locked():
            yield self

    @property
    def settings(self) -> Settings:
        """The settings of this run."""
        return self._settings

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse; its lock is held."""
        return self._warehouse
