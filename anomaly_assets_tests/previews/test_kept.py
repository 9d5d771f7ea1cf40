"""Sheets that lie on disk are drawn again exactly when something on them is another."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.previews.kept import ContactSheets, current_sheets
from anomaly_assets_tests.previews.scene import SPEC, built, even, square
from anomaly_assets_tests.warehouse.project import Project

PICTURES = {
    "bolt/train/good/000.png": even(80),
    "bolt/test/scratch/000.png": even(120),
    "bolt/ground_truth/scratch/000_mask.png": square(),
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return built(tmp_path, PICTURES)


def sheets_of(project: Project, folder: Path) -> ContactSheets:
    with project.warehouse.connect() as connection:
        return current_sheets(connection, folder, ["mvtec_ad", "dagm_2007"], 70_000)


def test_the_same_data_is_drawn_once(project: Project, tmp_path: Path) -> None:
    first, second = (sheets_of(project, tmp_path / "sheets") for _ in range(2))
    assert (first.drawn, second.drawn) == (True, False)
    assert second.small == first.small
    assert second.files == first.files
    assert (first.images, second.images) == (2, 2)


@pytest.mark.parametrize("changed", [*PICTURES])
def test_another_picture_or_mask_is_drawn(project: Project, tmp_path: Path, changed: str) -> None:
    first = sheets_of(project, tmp_path / "sheets")
    project.save({f"mvtec_ad/{changed}": even(200)})
    project.list_files()
    project.build(SPEC)
    second = sheets_of(project, tmp_path / "sheets")
    assert second.drawn
    assert second.small != first.small


@pytest.mark.parametrize("lost", ["mvtec_ad.jpg", "mvtec_ad/bolt.jpg", "mvtec_ad.webp"])
def test_a_sheet_that_is_gone_is_drawn_again(project: Project, tmp_path: Path, lost: str) -> None:
    folder = tmp_path / "sheets"
    first = sheets_of(project, folder)
    (folder / lost).unlink()
    second = sheets_of(project, folder)
    assert second.drawn
    assert second.small == first.small
    assert (folder / lost).exists()


@pytest.mark.parametrize("note", ["", "{}", "[]", "no json"])
def test_a_damaged_note_is_no_note(project: Project, tmp_path: Path, note: str) -> None:
    folder = tmp_path / "sheets"
    sheets_of(project, folder)
    (folder / "drawn.json").write_text(note)
    assert sheets_of(project, folder).drawn
