"""Make a catalogue of some images, their content with threads, and small steps to interrupt."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.warehouse.file import duckdb_settings as instance
from anomaly_assets_tests.dask.building import IMAGES, Content, content
from anomaly_assets_tests.warehouse.project import Project, mask, noise


@pytest.fixture(scope="package")
def roots_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create 48 images with some masks, and two files that are not images."""
    project = Project.at(tmp_path_factory.mktemp("roots"))
    pictures = {f"mvtec_ad/bottle/train/good/{n:03}.png": noise(n) for n in range(IMAGES - 10)}
    for number in range(8):
        pictures[f"mvtec_ad/bottle/test/crack/{number:03}.png"] = noise(100 + number)
        pictures[f"mvtec_ad/bottle/ground_truth/crack/{number:03}_mask.png"] = mask((2, 2, 9, 9))
    project.save(pictures)
    for number in (900, 901):
        project.path(f"mvtec_ad/bottle/train/good/{number}.png").write_bytes(b"no picture")
    return project.folder


@pytest.fixture
def project(tmp_path: Path, roots_folder: Path) -> Project:
    project = Project.at(tmp_path, roots_folder)
    project.list_files()
    return project


@pytest.fixture(scope="package")
def expected(tmp_path_factory: pytest.TempPathFactory, roots_folder: Path) -> Content:
    """Return the content that threads produce."""
    project = Project.at(tmp_path_factory.mktemp("threads"), roots_folder)
    project.list_files()
    project.build(workers=2)
    return content(project)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set tasks to two images, and transactions to eight."""
    from anomaly_assets.decoding import dask as cluster_module

    monkeypatch.setattr(cluster_module, "_batches", lambda threads, spec: (2, 2 * threads))
    monkeypatch.setattr(instance, "ROW_GROUP_SIZE", 8)
    monkeypatch.setattr(cluster_module, "_CONNECT_SECONDS", 5)
    monkeypatch.setattr(cluster_module, "_LOOK_SECONDS", 0.5)
