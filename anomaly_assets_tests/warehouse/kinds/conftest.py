"""Publish one warehouse of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.warehouse.lake.connect import connect_lake
from anomaly_assets.warehouse.open_published import open_file
from anomaly_assets_tests.warehouse.kinds.published import Published
from anomaly_assets_tests.warehouse.lake.conftest import (
    copied,
    copied_once,
    environment,
    postgres,
    source,
    source_once,
)
from anomaly_assets_tests.warehouse.lake.lakes import NOWHERE, Lake
from anomaly_assets_tests.warehouse.project import Project

__all__ = ["copied", "copied_once", "environment", "postgres", "source", "source_once"]


@pytest.fixture(params=["file", pytest.param("lake", marks=pytest.mark.slow)])
def published(request: pytest.FixtureRequest) -> Published:
    """Return a warehouse of nine images that is published."""
    if request.param == "lake":
        lake: Lake = request.getfixturevalue("copied")  # only here, because it starts a server
        return Published(
            lake.warehouse(), NOWHERE, lambda: connect_lake(lake.location), lake.location
        )
    target: Path = request.getfixturevalue("source")
    one: Project = request.getfixturevalue("project")
    return Published(one.warehouse, target, lambda: open_file(target).connection, str(target))
