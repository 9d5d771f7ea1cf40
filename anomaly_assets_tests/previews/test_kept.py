"""Test that sheets on disk are redrawn only when their inputs change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from anomaly_assets.previews import sheets
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


@pytest.mark.slow
def test_the_same_data_is_drawn_once(project: Project, tmp_path: Path) -> None:
    first, second = (sheets_of(project, tmp_path / "sheets") for _ in range(2))
    assert (first.drawn, second.drawn) == (True, False)
    assert second.small == first.small
    assert second.files == first.files
    assert (first.images, second.images) == (2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("changed", [*PICTURES])
def test_another_picture_or_mask_is_drawn(project: Project, tmp_path: Path, changed: str) -> None:
    first = sheets_of(project, tmp_path / "sheets")
    project.save({f"mvtec_ad/{changed}": even(200)})
    project.list_files()
    project.build(SPEC)
    second = sheets_of(project, tmp_path / "sheets")
    assert second.drawn
    assert second.small != first.small


def drawn_files(monkeypatch: pytest.MonkeyPatch, project: Project, folder: Path) -> set[str]:
    """Draw the sheets, and return those that were written."""
    calls = record_calls(monkeypatch)
    sheets_of(project, folder)
    return {call[2] for call in calls if call[0] == "replace"} - {"drawn.json"}


@pytest.fixture
def two_categories(tmp_path: Path) -> Project:
    nut = {path.replace("bolt", "nut"): picture for path, picture in PICTURES.items()}
    project = built(tmp_path, {**PICTURES, **nut})
    sheets_of(project, tmp_path / "sheets")
    return project


@pytest.mark.slow
@pytest.mark.parametrize("changed", [*PICTURES])
def test_only_the_category_that_has_changed_and_the_overviews_are_drawn(
    two_categories: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    nut = tmp_path / "sheets" / "mvtec_ad" / "nut.jpg"
    before = nut.read_bytes()
    two_categories.save({f"mvtec_ad/{changed}": even(200)})
    two_categories.list_files()
    two_categories.build(SPEC)
    drawn = drawn_files(monkeypatch, two_categories, tmp_path / "sheets")
    assert drawn == {"bolt.jpg", "mvtec_ad.jpg", "mvtec_ad.webp"}
    assert nut.read_bytes() == before
    from_nothing = sheets_of(two_categories, tmp_path / "all")
    assert [path.read_bytes() for path in from_nothing.files] == [
        (tmp_path / "sheets" / path.relative_to(tmp_path / "all")).read_bytes()
        for path in from_nothing.files
    ]
    assert sheets_of(two_categories, tmp_path / "sheets").small == from_nothing.small


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", ["defect_type = 'dent'", "label = 'good', label_index = 0, split = 'train'"]
)
def test_another_label_is_drawn(
    two_categories: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    two_categories.rows(
        f"UPDATE mvtec_ad.images SET {change}, label_source = NULL "
        "WHERE label = 'anomalous' AND category = 'bolt'"
    )
    drawn = drawn_files(monkeypatch, two_categories, tmp_path / "sheets")
    assert drawn == {"bolt.jpg", "mvtec_ad.jpg", "mvtec_ad.webp"}


def test_a_category_beyond_the_overview_changes_no_overview(
    two_categories: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "MOST_CATEGORIES", 1)
    folder = tmp_path / "sheets"
    sheets_of(two_categories, folder)
    two_categories.rows("UPDATE mvtec_ad.images SET defect_type = 'dent' WHERE category = 'nut'")
    assert drawn_files(monkeypatch, two_categories, folder) == {"nut.jpg"}


@pytest.mark.slow
def test_a_run_that_failed_while_it_drew_leaves_no_sheet_that_looks_current(
    two_categories: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draw the change, and then undo the change."""
    folder = tmp_path / "sheets"
    path = folder / "mvtec_ad" / "bolt.jpg"
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(sheets, "write_overview", lambda *_: 1 / 0)
        two_categories.rows("UPDATE mvtec_ad.images SET defect_type = 'dent'")
        with pytest.raises(ZeroDivisionError):
            sheets_of(two_categories, folder)
    assert path.read_bytes() != before
    two_categories.rows("UPDATE mvtec_ad.images SET defect_type = 'scratch' WHERE label_index = 1")
    sheets_of(two_categories, folder)
    assert path.read_bytes() == before


def test_sheets_of_the_first_release_are_replaced(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "sheets"
    (folder / "mvtec_ad").mkdir(parents=True)
    for name in ("mvtec_ad/bolt.jpg", "mvtec_ad/gone.jpg", "mvtec_ad.webp", "dagm_2007.webp"):
        (folder / name).write_bytes(b"old")
    note = {
        "digest": "of all", "files": ["mvtec_ad/bolt.jpg", "mvtec_ad/gone.jpg"],
        "small": ["mvtec_ad", "dagm_2007"],
    }  # fmt: skip
    (folder / "drawn.json").write_text(json.dumps(note))
    assert sheets_of(project, folder).drawn
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {
        *("bolt.jpg", "mvtec_ad.jpg", "mvtec_ad.webp", "drawn.json"),
    }
    assert b"old" not in {path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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


@pytest.mark.slow
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
