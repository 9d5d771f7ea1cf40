from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from anomaly_assets_tests.reader.published import publish_pictures
from anomaly_assets_tests.warehouse.project import Project


@pytest.fixture(scope="session")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Publish thirteen images of both source datasets; tests must not change them."""
    return publish_pictures(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def database(published_once: Project) -> Path:
    """Return the published file of these."""
    return published_once.folder / "anomaly.duckdb"


@pytest.fixture
def project(published_once: Project, tmp_path: Path) -> Project:
    """Copy the whole project, to be changed and published again."""
    shutil.copytree(published_once.folder, tmp_path / "project")
    return Project.at(tmp_path / "project")
