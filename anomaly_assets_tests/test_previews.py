"""Contact sheets: one row per category, good images first, defects outlined."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.previews import PER_KIND, THUMBNAIL_PIXELS, as_jpeg, contact_sheet
from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets_tests.warehouse.project import Project, mask, noise

SIDE = THUMBNAIL_PIXELS
SPEC = TensorSpec(SIDE, SIDE, 3)
MARGIN, TITLE, CAPTION = 6, 22, 16
ROW = TITLE + SIDE + CAPTION + MARGIN
RED = (230, 30, 60)
DEFECT = (40, 30, 80, 60)
"""Left, top, right, bottom of the defect in a picture that no resize changes."""


def even(grey: int) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), (grey, grey, grey))


def draw(
    folder: Path,
    pictures: dict[str, Image.Image],
    spec: TensorSpec = SPEC,
    source_dataset: str = "mvtec_ad",
) -> Image.Image | None:
    project = Project.at(folder)
    project.save({f"{source_dataset}/{path}": picture for path, picture in pictures.items()})
    project.list_files()
    project.build(spec)
    with project.warehouse.connect() as connection:
        return contact_sheet(connection, source_dataset)


def drawn(
    folder: Path,
    pictures: dict[str, Image.Image],
    spec: TensorSpec = SPEC,
    source_dataset: str = "mvtec_ad",
) -> Image.Image:
    sheet = draw(folder, pictures, spec, source_dataset)
    assert sheet is not None
    return sheet


def size(columns: int, rows: int) -> tuple[int, int]:
    return columns * (SIDE + MARGIN) + MARGIN, rows * ROW + MARGIN


def cell(sheet: Image.Image, row: int, column: int) -> np.ndarray:
    left, top = MARGIN + column * (SIDE + MARGIN), MARGIN + row * ROW + TITLE
    return np.asarray(sheet.crop((left, top, left + SIDE, top + SIDE)))


def is_red(pixels: np.ndarray) -> np.ndarray:
    return np.all(pixels == RED, axis=2)


def test_a_sheet_has_a_row_per_category_and_a_column_per_image(tmp_path: Path) -> None:
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
    assert sheet.size == size(columns=3, rows=2)
    assert {cell(sheet, 0, column).mean() for column in (0, 1)} == {10.0, 20.0}
    assert cell(sheet, 0, 2).mean() == 30
    assert cell(sheet, 1, 0).mean() == 40
    assert cell(sheet, 1, 1).mean() == 255


def test_good_images_come_before_anomalous_ones_and_a_few_of_each_are_enough(
    tmp_path: Path,
) -> None:
    many = range(PER_KIND + 3)
    sheet = drawn(
        tmp_path,
        {f"bottle/train/good/{number:03}.png": even(10) for number in many}
        | {f"bottle/test/crack/{number:03}.png": even(200) for number in many},
    )
    assert sheet.size == size(columns=2 * PER_KIND, rows=1)
    shades = [cell(sheet, 0, column).mean() for column in range(2 * PER_KIND)]
    assert shades == [10.0] * PER_KIND + [200.0] * PER_KIND


def test_good_images_are_those_that_a_model_is_trained_on(tmp_path: Path) -> None:
    sheet = drawn(
        tmp_path,
        {"bottle/train/good/000.png": even(10), "bottle/test/good/000.png": even(90)},
    )
    assert sheet.size == size(columns=1, rows=1)
    assert cell(sheet, 0, 0).mean() == 10


def test_anomalous_images_with_a_mask_are_preferred(tmp_path: Path) -> None:
    pictures = {f"bottle/test/crack/{number:03}.png": even(10) for number in range(20)}
    masks = {f"bottle/ground_truth/crack/{number:03}_mask.png": square() for number in (5, 17)}
    sheet = drawn(tmp_path, pictures | masks)
    outlined = [is_red(cell(sheet, 0, column)).any() for column in range(PER_KIND)]
    assert sheet.size == size(columns=PER_KIND, rows=1)
    assert sum(outlined) == 2


def square() -> Image.Image:
    return mask(DEFECT, size=(SIDE, SIDE))


def test_a_defect_is_outlined_in_red_just_outside_its_mask(tmp_path: Path) -> None:
    sheet = drawn(
        tmp_path,
        {
            "bottle/test/crack/000.png": even(100),
            "bottle/ground_truth/crack/000_mask.png": square(),
        },
    )
    pixels, (left, top, right, bottom) = cell(sheet, 0, 0), DEFECT
    around = np.zeros((SIDE, SIDE), bool)
    around[top - 3 : bottom + 3, left - 3 : right + 3] = True
    around[top:bottom, left:right] = False
    assert np.array_equal(is_red(pixels), around)
    assert np.all(pixels[~around] == 100)


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
    assert sheet.size == size(columns=3, rows=1)
    assert all(np.all(cell(sheet, 0, column) == 100) for column in range(3))


def test_grey_tensors_are_drawn_too(tmp_path: Path) -> None:
    pictures = {
        "Class1/Train/0001.PNG": even(60).convert("L"),
        "Class1/Train/0002.PNG": even(70).convert("L"),
        "Class1/Train/Label/0002_label.PNG": square(),
    }
    sheet = drawn(tmp_path, pictures, TensorSpec(SIDE, SIDE, 1), "dagm_2007")
    assert sheet.size == size(columns=2, rows=1)
    assert np.all(cell(sheet, 0, 0) == 60)
    assert is_red(cell(sheet, 0, 1)).any()
    assert np.all(cell(sheet, 0, 1)[0] == 70)


def test_tensors_that_are_not_square_fill_their_thumbnail(tmp_path: Path) -> None:
    sheet = drawn(tmp_path, {"bottle/train/good/000.png": even(100)}, TensorSpec(8, 30, 3))
    assert np.all(cell(sheet, 0, 0) == 100)


def test_rejected_images_are_left_out(tmp_path: Path) -> None:
    Project.at(tmp_path).path("mvtec_ad/bottle/train/good/001.png").write_bytes(b"no picture")
    sheet = drawn(tmp_path, {"bottle/train/good/000.png": even(100)})
    assert sheet.size == size(columns=1, rows=1)


def test_a_source_dataset_without_any_sample_has_no_sheet(tmp_path: Path) -> None:
    Project.at(tmp_path).path("mvtec_ad/bottle/train/good/001.png").write_bytes(b"no picture")
    assert draw(tmp_path, {}) is None


def test_the_same_data_gives_the_same_sheet(tmp_path: Path) -> None:
    pictures = {f"bottle/train/good/{number:03}.png": noise(number) for number in range(9)}
    first = drawn(tmp_path / "first", pictures)
    second = drawn(tmp_path / "second", pictures)
    assert first.tobytes() == second.tobytes()


def test_a_jpeg_has_the_size_of_the_sheet() -> None:
    content = as_jpeg(noise(0, size=(300, 200)))
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (300, 200), "RGB")


@pytest.mark.parametrize("most_bytes", [60_000, 30_000, 10_000, 3_000])
def test_a_jpeg_respects_the_most_bytes_and_keeps_its_shape(most_bytes: int) -> None:
    content = as_jpeg(noise(0, size=(400, 200)), most_bytes)
    assert len(content) <= most_bytes
    with Image.open(io.BytesIO(content)) as image:
        assert image.width / image.height == pytest.approx(2, rel=0.1)


def test_a_jpeg_that_already_fits_is_not_made_worse() -> None:
    sheet = noise(0, size=(300, 200))
    best = as_jpeg(sheet)
    assert as_jpeg(sheet, len(best)) == best
    assert len(as_jpeg(sheet, len(best) - 1)) < len(best)
