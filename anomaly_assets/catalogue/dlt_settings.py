"""dlt's settings during a load: ours, and nobody else's.

dlt looks every setting up in environment variables and in the files of `.dlt/` folders, at each of a dozen
places, several hundred times a load. Here it finds them in one dictionary: nothing that lies around on
a machine changes what is loaded, nothing of ours is left in the process, and a load takes a quarter less.
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
    # Arrow loads carry no load id otherwise, and nobody could tell when a row came.
    "normalize.parquet_normalizer.add_dlt_load_id": True,
    # Merges leave a second copy of the catalogue in the staging schema otherwise.
    "load.truncate_staging_dataset": True,
    # All state can be derived from the root and the tables; none is kept in the warehouse.
    "restore_from_destination": False,
    "runtime.dlthub_telemetry": False,
    "runtime.log_level": "ERROR",
}
"""What a load needs to be other than dlt's defaults."""


@contextmanager
def only_our_settings(*, load_workers: int) -> Iterator[None]:
    """Let dlt find `SETTINGS`, and nothing else, in this process.

    Args:
        load_workers: Jobs of one load that may run at once.
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
    """A dictionary of dotted names."""

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
