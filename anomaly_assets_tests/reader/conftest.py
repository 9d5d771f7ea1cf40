from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from anomaly_assets_tests.reader.published import publish_pictures
from anomaly_assets_tests.warehouse.project import Project


@pytest.fixture(scope="session")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Thirteen images of both source datasets, loaded, decoded and published; nobody may change it."""
    return publish_pictures(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def database(published_once: Project) -> Path:
    """The published file of these."""
    return published_once.folder / "anomaly.duckdb"


@pytest.fixture
def project(published_once: Project, tmp_path: Path) -> Project:
    """A copy of it all, to be changed and published again."""
    shutil.copytree(published_once.folder, tmp_path / "project")
    return Project.at(tmp_path / "project")
