from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets_tests.warehouse.project import Project, mask, noise

PICTURES = {
    "mvtec_ad/bottle/train/good/000.png": noise(0),
    "mvtec_ad/bottle/train/good/001.png": noise(1, "L", (9, 31)),
    "mvtec_ad/bottle/train/good/002.png": noise(2),
    "mvtec_ad/bottle/test/crack/000.png": noise(3),
    "mvtec_ad/bottle/test/crack/001.png": noise(4),
    "mvtec_ad/bottle/ground_truth/crack/000_mask.png": mask((2, 3, 10, 9)),
    "mvtec_ad/bottle/ground_truth/crack/001_mask.png": mask((0, 0, 24, 8)),
}


@pytest.fixture(scope="session")
def listed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project.at(tmp_path_factory.mktemp("listed"))
    project.save(PICTURES)
    project.list_files()
    with project.warehouse.connect() as connection:
        ensure_tables(connection)
    return project.folder


@pytest.fixture(scope="session")
def built_once(listed_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copied(listed_once, tmp_path_factory.mktemp("built"))
    project.list_files()
    project.build(run_id="first")
    return project.folder


@pytest.fixture
def project(listed_once: Path, tmp_path: Path) -> Project:
    """Copy five listed images, two of them with masks; none is decoded yet."""
    project = copied(listed_once, tmp_path)
    project.list_files()
    return project


@pytest.fixture
def built(built_once: Path, tmp_path: Path) -> Project:
    """Copy these images, decoded by the run `first`; their files move only with `list_files`."""
    return copied(built_once, tmp_path)


def copied(template: Path, folder: Path) -> Project:
    """Copy a project with the same modification times, which is faster than building it."""
    shutil.copytree(template, folder, dirs_exist_ok=True)
    return Project.at(folder)
