"""Configure dlt during a load with a fixed dictionary instead of files and environment variables.

dlt looks up every setting in environment variables and in the files of `.dlt/` folders, at a dozen
places, several hundred times per load. Here it finds them in one dictionary. So local configuration
files cannot change what is loaded, no setting stays in the process, and a load is a quarter faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.config_providers_context import ConfigProvidersContainer
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

SETTINGS = {
    # Without this, Arrow loads have no load id, and no column shows which load wrote a row.
    "normalize.parquet_normalizer.add_dlt_load_id": True,
    # Without this, a merge leaves a second copy of the catalogue in the staging schema.
    "load.truncate_staging_dataset": True,
    # All state follows from the root and the tables, so none is stored in the warehouse.
    "restore_from_destination": False,
    "runtime.dlthub_telemetry": False,
    "runtime.log_level": "ERROR",
}
"""Settings of a load that differ from dlt's defaults."""


@contextmanager
def only_our_settings(*, load_workers: int) -> Iterator[None]:
    """Let dlt find `SETTINGS`, and nothing else, in this process.

    Args:
        load_workers: Maximum number of jobs of one load at the same time.
    """
    context = Container()[PluggableRunContext]
    others = context.providers
    provider = _Settings({**SETTINGS, "load.workers": load_workers})
    context.providers = ConfigProvidersContainer([provider])
    try:
        yield
    finally:
        context.providers = others


class _Settings(ConfigProvider):
    """A dlt configuration provider: a dictionary of dotted names."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    @property
    def name(self) -> str:
        return "anomaly_assets"

    @property
    def supports_secrets(self) -> bool:
        return True

    @property
    def supports_sections(self) -> bool:
        return True

    def get_value(
        self, key: str, hint: type[Any], pipeline_name: str | None, *sections: str
    ) -> tuple[Any, str]:
        dotted = ".".join([*sections, key])
        return self._values.get(dotted), dotted
