"""Sheets on disk are redrawn only when their inputs change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from anomaly_assets.previews.kept import ContactSheets, current_sheets
from anomaly_assets_tests.disk import record_calls
from anomaly_assets_tests.previews.scene import SPEC, built, even, square
from anomaly_assets_tests.warehouse.project import Project

PICTURES = {
    "bolt/train/good/000.png": even(80),
    "bolt/test/scratch/000.png": even(120),
    "bolt/ground_truth/scratch/000_mask.png": square(),
}


@pytest.fixture(scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("built"), PICTURES).folder


@pytest.fixture
def project(built_once: Path, tmp_path: Path) -> Project:
    shutil.copytree(built_once, tmp_path, dirs_exist_ok=True)
    return Project.at(tmp_path)


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


def test_all_sheets_are_on_the_disk_before_the_note_that_says_so(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = record_calls(monkeypatch)
    sheets_of(project, tmp_path / "sheets")
    sheets = ("bolt.jpg", "mvtec_ad.jpg", "mvtec_ad.webp")
    assert [call for call in calls if call[0] != "fsync"] == [
        *(("replace", "content", name) for name in sheets),
        ("syncfs", "sheets"),
        ("replace", "content", "drawn.json"),
    ]


def test_a_sheet_is_the_old_one_or_the_new_one_and_nothing_is_left_of_one_that_failed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sheets"
    sheets_of(project, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*.jpg")}
    project.save({f"mvtec_ad/{name}": even(200) for name in PICTURES})
    project.list_files()
    project.build(SPEC)

    def full(path: Path, content: bytes) -> int:
        with open(path, "wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            sheets_of(project, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*.jpg")} == before
    assert not [path for path in folder.rglob("*") if path.name.endswith(".unfinished")]
    assert sheets_of(project, folder).drawn
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {
        *("bolt.jpg", "mvtec_ad.jpg", "mvtec_ad.webp", "drawn.json"),
    }


@pytest.mark.parametrize("note", ["", "{}", "[]", "no json"])
def test_a_damaged_note_is_no_note(project: Project, tmp_path: Path, note: str) -> None:
    folder = tmp_path / "sheets"
    sheets_of(project, folder)
    (folder / "drawn.json").write_text(note)
    assert sheets_of(project, folder).drawn


def test_pictures_of_others_in_the_folder_stay(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "sheets"
    theirs = folder / "mvtec_ad" / "mine.jpg"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"a picture of somebody")
    first = sheets_of(project, folder)
    [removed] = [path for path in PICTURES if path.startswith("bolt")][:1]
    category = removed.partition("/")[0]
    project.rows(f"DELETE FROM mvtec_ad.images WHERE category = '{category}'")
    second = sheets_of(project, folder)
    assert {*second.files} < {*first.files}
    assert not any(path.exists() for path in {*first.files} - {*second.files})
    assert theirs.read_bytes() == b"a picture of somebody"
