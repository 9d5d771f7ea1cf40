from __future__ import annotations

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext


@pytest.fixture(autouse=True)
def _dlt_as_it_comes() -> None:
    """Options that other tests set in this process are options of ours, not of participants."""
    Container()[PluggableRunContext].reload_providers()
