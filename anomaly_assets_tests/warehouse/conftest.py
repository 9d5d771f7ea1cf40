from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.tables.ddl import comment_on_catalogue
from anomaly_assets_tests.sampled import SAMPLED
from anomaly_assets_tests.warehouse.project import Project, mask, noise

PICTURES = {
    "mvtec_ad/bottle/train/good/000.png": noise(0),
    "mvtec_ad/bottle/train/good/001.png": noise(1),
    "mvtec_ad/bottle/test/good/000.png": noise(2),
    "mvtec_ad/bottle/test/crack/000.png": noise(3),
    "mvtec_ad/bottle/ground_truth/crack/000_mask.png": mask((2, 3, 10, 9)),
    "mvtec_ad/carpet/train/good/000.png": noise(4, "L"),
    "mvtec_ad/carpet/test/hole/000.png": noise(5, "L"),
    "mvtec_ad/carpet/ground_truth/hole/000_mask.png": mask((0, 0, 1, 1)),
    "dagm_2007/Class1/Train/0001.PNG": noise(6, "L"),
    "dagm_2007/Class1/Train/0002.PNG": noise(7, "L"),
    "dagm_2007/Class1/Train/Label/0002_label.PNG": mask((4, 4, 8, 8)),
    "dagm_2007/Class1/Test/0003.PNG": noise(8, "L"),
}
LABELS = "1\n1\t0\t0001.PNG\t0\t0\n2\t1\t0002.PNG\t0\t0002_label.PNG\n"


@pytest.fixture(scope="session")
def loaded_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Load nine images of both source datasets through dlt, and decode them; they have no faults."""
    project = Project.at(tmp_path_factory.mktemp("loaded"))
    project.save(PICTURES)
    project.path("dagm_2007/Class1/Train/Label/Labels.txt").write_text(LABELS)
    for name, dataset in SAMPLED.items():
        load(dataset, str(project.folder / name), project.warehouse)
    project.refresh_all()
    with project.warehouse.connect() as connection:
        for name in SAMPLED:
            comment_on_catalogue(connection, name)
    project.build(run_id="first")
    project.refresh_all()
    return project


@pytest.fixture
def project(loaded_once: Project, tmp_path: Path) -> Project:
    """Copy this project; its files are read-only."""
    shutil.copyfile(loaded_once.warehouse.path, tmp_path / "warehouse.duckdb")
    return Project.at(tmp_path, loaded_once.roots_folder)
