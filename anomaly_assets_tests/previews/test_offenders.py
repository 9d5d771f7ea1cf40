"""Test sheets with exactly the affected images of a failed check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.previews.offenders import MOST_IMAGES, offender_sheet, small_sheet
from anomaly_assets.settings import Settings
from anomaly_assets.tables.checks import Finding
from anomaly_assets.tables.ddl import ensure_tables, refresh
from anomaly_assets_tests.previews.scene import SIDE, built, even, is_red, part, square
from anomaly_assets_tests.warehouse.project import Project

LEFTS, TOP, SHOWN = (8, 156, 304, 452), 8, 140


def settings(project: Project) -> Settings:
    folder = project.roots_folder
    return Settings.from_environment(
        {
            "MVTEC_AD_ROOT": str(folder / "mvtec_ad"),
            "DAGM_2007_ROOT": "",
            "ANOMALY_IMAGE_SIZE": str(SIDE),
        }
    )


def sheet_of(project: Project, check: str, *image_ids: str) -> Image.Image:
    finding = Finding(len(image_ids), [(image_id, "because") for image_id in image_ids])
    with project.warehouse.connect() as connection:
        ensure_tables(connection)
        refresh(connection, "duplicate_images")
        return offender_sheet(connection, check, finding, settings(project))


def shade(sheet: Image.Image, position: int) -> float:
    return float(part(sheet, LEFTS[position], TOP, SHOWN).mean())


PICTURES = {
    "bottle/test/crack/000.png": even(50),
    "bottle/test/crack/001.png": even(90),
    "bottle/ground_truth/crack/001_mask.png": square(),
}
FIRST, SECOND = (f"mvtec_ad/bottle/test/crack/00{number}.png" for number in range(2))


@pytest.mark.slow
def test_offenders_are_drawn_in_their_order_with_their_masks(tmp_path: Path) -> None:
    sheet = sheet_of(built(tmp_path, PICTURES), "masks_are_binary", SECOND, FIRST)
    assert sheet.width == 600
    assert is_red(part(sheet, LEFTS[0], TOP, SHOWN)).any()
    assert shade(sheet, 1) == 50


def test_what_is_not_decoded_yet_is_drawn_from_its_file(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    project.save({f"mvtec_ad/{path}": picture for path, picture in PICTURES.items()})
    project.list_files()
    sheet = sheet_of(project, "anomalous_images_have_masks", FIRST, SECOND)
    assert shade(sheet, 0) == 50
    assert is_red(part(sheet, LEFTS[1], TOP, SHOWN)).any()


@pytest.mark.slow
def test_what_cannot_be_read_leaves_a_place_that_says_so(tmp_path: Path) -> None:
    project = built(tmp_path, PICTURES)
    project.rows("DELETE FROM image_tensors")
    project.path("mvtec_ad/bottle/test/crack/000.png").write_bytes(b"no picture")
    sheet = sheet_of(project, "anomalous_images_have_masks", FIRST, SECOND)
    assert 200 < shade(sheet, 0) < 255
    assert is_red(part(sheet, LEFTS[1], TOP, SHOWN)).any()


def test_a_root_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    project = built(tmp_path, PICTURES)
    project.rows("DELETE FROM image_tensors")
    (tmp_path / "mvtec_ad").rename(tmp_path / "unplugged")
    assert sheet_of(project, "anomalous_images_have_masks", FIRST).width == 600


@pytest.mark.slow
def test_all_copies_of_a_content_are_drawn_side_by_side(tmp_path: Path) -> None:
    copies = {f"bottle/{split}/good/000.png": even(70) for split in ("test", "train")}
    project = built(tmp_path, {**copies, "bottle/train/good/001.png": even(200)})
    sheet = sheet_of(project, "contents_stay_in_one_split", "mvtec_ad/bottle/test/good/000.png")
    assert [shade(sheet, position) for position in range(3)] == [70.0, 70.0, 255.0]


def test_near_duplicates_are_drawn_side_by_side_the_nearest_pair_first(tmp_path: Path) -> None:
    shades = {"train": (40, 80), "test": (60, 100)}
    pictures = {
        f"bottle/{split}/good/{number:03}.png": even(value)
        for split, values in shades.items()
        for number, value in enumerate(values)
    }
    project = built(tmp_path, pictures)
    project.refresh_all()
    for number, distance in enumerate((0.2, 0.1)):
        project.rows(
            "INSERT INTO near_duplicates VALUES (?, ?, 'mvtec_ad', 'bottle', ?, true)",
            [
                *(f"mvtec_ad/bottle/{split}/good/{number:03}.png" for split in ("test", "train")),
                distance,
            ],
        )
    sheet = sheet_of(
        project, "near_duplicates_stay_in_one_split", "mvtec_ad/bottle/test/good/001.png"
    )
    assert [shade(sheet, position) for position in range(4)] == [100.0, 80.0, 60.0, 40.0]


@pytest.mark.slow
def test_a_sheet_has_a_few_offenders_and_a_small_one_its_first_row_sooner_than_smaller_pictures(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(0)
    pictures = {
        f"bottle/test/crack/{number:03}.png": Image.fromarray(
            random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        )
        for number in range(MOST_IMAGES + 4)
    }
    ids = [f"mvtec_ad/{path}" for path in pictures]
    sheet = sheet_of(built(tmp_path, pictures), "masks_are_binary", *ids)
    assert sheet.height == pytest.approx(2 * 194 + 8)
    assert len(small_sheet(sheet, 30_000)) <= 30_000
