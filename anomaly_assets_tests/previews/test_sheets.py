"""Test contact sheets: one row per category, good images left and anomalous right, defects outlined."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.previews import sheets
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.previews.overview import contact_sheet, small_sheets
from anomaly_assets_tests.previews.scene import (
    DEFECT,
    SIDE,
    SPEC,
    built,
    even,
    is_red,
    part,
    square,
)
from anomaly_assets_tests.warehouse.project import Project, mask, noise

HEADING, TITLE, CAPTION, MARGIN = 22, 24, 16, 8
ROW = TITLE + SIDE + CAPTION + MARGIN
GOOD = [8, 104, 200]
ANOMALOUS = [308, 404, 500]
"""Left edges of the pictures in a row."""


def draw(
    folder: Path,
    pictures: dict[str, Image.Image],
    spec: Recipe = SPEC,
    source_dataset: str = "mvtec_ad",
) -> Image.Image | None:
    with built(folder, pictures, spec, source_dataset).warehouse.connect() as connection:
        return contact_sheet(connection, source_dataset)


def drawn(
    folder: Path,
    pictures: dict[str, Image.Image],
    spec: Recipe = SPEC,
    source_dataset: str = "mvtec_ad",
) -> Image.Image:
    sheet = draw(folder, pictures, spec, source_dataset)
    assert sheet is not None
    return sheet


def cell(sheet: Image.Image, row: int, left: int) -> np.ndarray:
    return part(sheet, left, HEADING + row * ROW + TITLE)


def shades(sheet: Image.Image, row: int, lefts: list[int]) -> list[float]:
    return [cell(sheet, row, left).mean() for left in lefts]


@pytest.mark.slow
def test_a_sheet_is_as_wide_as_the_dialog_of_the_ui_and_has_a_row_per_category(
    tmp_path: Path,
) -> None:
    sheet = drawn(
        tmp_path,
        {
            "bottle/train/good/000.png": even(10),
            "bottle/train/good/001.png": even(20),
            "bottle/test/crack/000.png": even(30),
            "tile/train/good/000.png": even(40),
        },
    )
    assert sheet.mode == "RGB"
    assert sheet.size == (600, HEADING + 2 * ROW + MARGIN)
    assert set(shades(sheet, 0, GOOD)) == {10.0, 20.0, 255.0}
    assert shades(sheet, 0, ANOMALOUS) == [30.0, 255.0, 255.0]
    assert shades(sheet, 1, GOOD) == [40.0, 255.0, 255.0]
    assert shades(sheet, 1, ANOMALOUS) == [255.0] * 3


def test_categories_with_a_long_common_beginning_have_a_sheet_each() -> None:
    names = [sheets.file_name("螺" * 60 + end) for end in "ab"]
    assert len({*names}) == 2
    assert max(map(len, names)) == 200
    assert sheets.file_name("a/b c") == "a%2Fb c"


@pytest.mark.slow
def test_a_few_of_each_are_enough(tmp_path: Path) -> None:
    many = range(sheets.PER_KIND + 3)
    sheet = drawn(
        tmp_path,
        {f"bottle/train/good/{number:03}.png": even(10) for number in many}
        | {f"bottle/test/crack/{number:03}.png": even(200) for number in many},
    )
    assert shades(sheet, 0, GOOD) == [10.0] * 3
    assert shades(sheet, 0, ANOMALOUS) == [200.0] * 3


@pytest.mark.slow
def test_every_defect_type_is_shown_before_any_of_them_twice(tmp_path: Path) -> None:
    sheet = drawn(
        tmp_path,
        {f"bottle/test/crack/{number:03}.png": even(100) for number in range(20)}
        | {f"bottle/test/hole/{number:03}.png": even(150) for number in range(2)}
        | {"bottle/test/stain/000.png": even(200)},
    )
    assert sorted(shades(sheet, 0, ANOMALOUS)) == [100.0, 150.0, 200.0]


@pytest.mark.slow
def test_good_images_are_those_that_a_model_is_trained_on(tmp_path: Path) -> None:
    sheet = drawn(
        tmp_path, {"bottle/train/good/000.png": even(10), "bottle/test/good/000.png": even(90)}
    )
    assert shades(sheet, 0, GOOD) == [10.0, 255.0, 255.0]


@pytest.mark.slow
def test_anomalous_images_with_a_mask_are_preferred(tmp_path: Path) -> None:
    pictures = {f"bottle/test/crack/{number:03}.png": even(10) for number in range(20)}
    masks = {f"bottle/ground_truth/crack/{number:03}_mask.png": square() for number in (5, 17)}
    sheet = drawn(tmp_path, pictures | masks)
    assert [is_red(cell(sheet, 0, left)).any() for left in ANOMALOUS] == [True, True, False]


@pytest.mark.slow
def test_a_defect_is_outlined_in_red_just_outside_its_mask(tmp_path: Path) -> None:
    sheet = drawn(
        tmp_path,
        {
            "bottle/test/crack/000.png": even(100),
            "bottle/ground_truth/crack/000_mask.png": square(),
        },
    )
    pixels, (left, top, right, bottom) = cell(sheet, 0, ANOMALOUS[0]), DEFECT
    around = np.zeros((SIDE, SIDE), bool)
    around[top - 2 : bottom + 2, left - 2 : right + 2] = True
    around[top:bottom, left:right] = False
    assert np.array_equal(is_red(pixels), around)
    assert np.all(pixels[~around] == 100)


@pytest.mark.slow
@pytest.mark.parametrize("side", [16, 92, 400])
def test_the_outline_is_as_thick_whatever_the_size_of_the_tensors(
    tmp_path: Path, side: int
) -> None:
    quarter = side // 4
    sheet = drawn(
        tmp_path,
        {
            "bottle/test/crack/000.png": even(100).resize((side, side)),
            "bottle/ground_truth/crack/000_mask.png": mask(
                (quarter, quarter, 3 * quarter, 3 * quarter), size=(side, side)
            ),
        },
        Recipe(side, side, 3),
    )
    middle = is_red(cell(sheet, 0, ANOMALOUS[0]))[SIDE // 2]
    assert middle[: SIDE // 2].sum() == middle[SIDE // 2 :].sum() == 2


@pytest.mark.slow
def test_nothing_is_outlined_where_there_is_no_mask_or_an_empty_one(tmp_path: Path) -> None:
    sheet = drawn(
        tmp_path,
        {
            "bottle/train/good/000.png": even(100),
            "bottle/test/crack/000.png": even(100),
            "bottle/test/crack/001.png": even(100),
            "bottle/ground_truth/crack/001_mask.png": mask(size=(SIDE, SIDE)),
        },
    )
    assert shades(sheet, 0, [GOOD[0], *ANOMALOUS[:2]]) == [100.0] * 3


@pytest.mark.slow
def test_grey_tensors_are_drawn_too(tmp_path: Path) -> None:
    pictures = {
        "Class1/Train/0001.PNG": even(60).convert("L"),
        "Class1/Train/0002.PNG": even(70).convert("L"),
        "Class1/Train/Label/0002_label.PNG": square(),
    }
    sheet = drawn(tmp_path, pictures, Recipe(SIDE, SIDE, 1), "dagm_2007")
    assert np.all(cell(sheet, 0, GOOD[0]) == 60)
    assert is_red(cell(sheet, 0, ANOMALOUS[0])).any()
    assert np.all(cell(sheet, 0, ANOMALOUS[0])[0] == 70)


@pytest.mark.slow
def test_tensors_that_are_not_square_fill_their_thumbnail(tmp_path: Path) -> None:
    sheet = drawn(tmp_path, {"bottle/train/good/000.png": even(100)}, Recipe(8, 300, 3))
    assert np.all(cell(sheet, 0, GOOD[0]) == 100)


@pytest.mark.slow
def test_rejected_images_are_left_out(tmp_path: Path) -> None:
    Project.at(tmp_path).path("mvtec_ad/bottle/train/good/001.png").write_bytes(b"no picture")
    sheet = drawn(tmp_path, {"bottle/train/good/000.png": even(100)})
    assert shades(sheet, 0, GOOD) == [100.0, 255.0, 255.0]


@pytest.mark.slow
def test_a_source_dataset_without_any_sample_has_no_sheet(tmp_path: Path) -> None:
    Project.at(tmp_path).path("mvtec_ad/bottle/train/good/001.png").write_bytes(b"no picture")
    assert draw(tmp_path, {}) is None


@pytest.mark.slow
def test_the_same_data_gives_the_same_sheet(tmp_path: Path) -> None:
    pictures = {f"bottle/train/good/{number:03}.png": noise(number) for number in range(9)}
    first = drawn(tmp_path / "first", pictures)
    second = drawn(tmp_path / "second", pictures)
    assert first.tobytes() == second.tobytes()


def samples_of(categories: int, seed: int = 0) -> list[sheets.Sample]:
    """Return three good and three anomalous pictures of noise, hard to compress, per category."""
    random = np.random.default_rng(seed)
    pixels = [
        sheets.Pixels(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8), None)
        for _ in range(categories * 6)
    ]
    return [
        sheets.Sample(f"category {n // 6}", ("good", "anomalous")[n % 2], "scratch", pixels[n])
        for n in range(categories * 6)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("mvtec", "dagm"), [(1, 1), (2, 0), (15, 10)])
def test_small_sheets_share_what_they_may_take(mvtec: int, dagm: int) -> None:
    picked = {"mvtec_ad": samples_of(mvtec), "dagm_2007": samples_of(dagm)}
    overviews = {name: sheets.Overview(samples) for name, samples in picked.items()}
    small = small_sheets(overviews, 70_000)
    assert small.keys() == {name for name, samples in picked.items() if samples}
    assert sum(map(len, small.values())) <= 70_000


def test_a_small_sheet_has_fewer_pictures_sooner_than_smaller_ones() -> None:
    [content] = small_sheets({"mvtec_ad": sheets.Overview(samples_of(4))}, 45_000).values()
    with Image.open(io.BytesIO(content)) as sheet:
        assert sheet.width == 600
        third = part(sheet.convert("RGB"), GOOD[2], HEADING + TITLE)
        assert third.mean() > 250


def test_full_sheets_are_files(tmp_path: Path) -> None:
    paths = tmp_path / "mvtec_ad.jpg", tmp_path / "mvtec_ad" / "category 0.jpg"
    samples = samples_of(1)
    sheets.write_overview(sheets.Overview(samples), paths[0])
    sheets.write_category(samples, paths[1])
    for path in paths:
        with Image.open(path) as sheet:
            assert sheet.format == "JPEG"


def test_a_category_whose_name_is_no_file_name_has_a_sheet_inside_the_folder(
    tmp_path: Path,
) -> None:
    names = ("../../outside", "a/b", "ü" * 90, "..", "con: ?")
    plan = sheets.planned([(name, "good", "good", name) for name in names], "mvtec_ad")
    assert len(plan.categories) == len(names)
    for path in plan.categories:
        sheets.write_category(samples_of(1), tmp_path / "sheets" / path)
        assert (tmp_path / "sheets" / path).is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["sheets"]
