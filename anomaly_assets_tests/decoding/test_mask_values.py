"""Test defective pixels by numbers and colours, in every mode that a mask can have."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.decoding.mask_values import Defect, defective_pixels
from anomaly_assets.decoding.transform import UnusableImageError, decode_mask
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.decoding.pictures import MODES, picture, png

SIZE = (7, 5)


def found(content: bytes, defect: Defect) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return defective_pixels(image, content, defect)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", MODES)
def test_nonzero_is_what_masks_mean_without_the_option_and_zero_is_the_rest(mode: str) -> None:
    content = png(picture(mode, SIZE))
    spec = Recipe(width=SIZE[0], height=SIZE[1], channels=1)
    expected = decode_mask(content, spec).pixels.astype(bool)
    np.testing.assert_array_equal(found(content, "nonzero"), expected)
    np.testing.assert_array_equal(found(content, "zero"), ~expected)
    assert expected.any()


@pytest.mark.parametrize("mode", ["L", "P", "LA", "I;16"])
def test_numbers_are_stored_values(mode: str) -> None:
    image = picture(mode, SIZE)
    values = np.asarray(image)
    values = values[..., 0] if mode == "LA" else values
    numbers = tuple({int(values[0, 0]), int(values[3, 3]), 65535})
    content = png(image)
    np.testing.assert_array_equal(found(content, numbers), np.isin(values, numbers))
    assert found(content, numbers).any()
    assert not found(content, (77777,)).any()


def test_numbers_in_files_of_one_bit() -> None:
    image = picture("1", SIZE)
    white = np.asarray(image)
    for content in (png(image), saved(image, "BMP"), saved(image, "TIFF")):
        for numbers in ((1,), (255,), (1, 255)):
            np.testing.assert_array_equal(found(content, numbers), white)
        np.testing.assert_array_equal(found(content, (0,)), ~white)
        assert not found(content, (2,)).any()


def test_numbers_in_files_of_two_bits_are_scaled_except_in_a_palette() -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8))
    palette = image.copy()
    palette.putpalette(bytes(range(12)))
    content = png(palette, bits=2)
    np.testing.assert_array_equal(found(content, (2,)), [[False, False], [True, False]])
    np.testing.assert_array_equal(found(content, ("#060708",)), [[False, False], [True, False]])


def test_numbers_in_colours_are_grey_pixels() -> None:
    pixels = np.array([[[3, 3, 3], [3, 3, 4]], [[3, 0, 3], [9, 9, 9]]], np.uint8)
    for content in (png(Image.fromarray(pixels)), png(Image.fromarray(pixels).convert("RGBA"))):
        np.testing.assert_array_equal(found(content, (3,)), [[True, False], [False, False]])


def test_colours_are_those_that_are_shown() -> None:
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[0, 0, :3] = (255, 0, 0)
    pixels[1, 2, :3] = (0, 128, 255)
    pixels[1, 1] = (255, 0, 0, 0)  # transparent
    image = Image.fromarray(pixels)
    red, both = np.zeros((2, 3), bool), np.zeros((2, 3), bool)
    red[0, 0] = both[0, 0] = both[1, 2] = True
    np.testing.assert_array_equal(found(png(image), ("#ff0000",)), red)
    np.testing.assert_array_equal(found(png(image), ("#FF0000", "#0080ff")), both)
    opaque = Image.fromarray(pixels[:1]).convert("RGB")
    for content in (
        png(opaque),
        png(opaque.quantize(8)),
        saved(opaque, "BMP"),
        saved(opaque, "TIFF"),
    ):
        np.testing.assert_array_equal(found(content, ("#ff0000",)), red[:1])
    np.testing.assert_array_equal(
        found(saved(opaque.convert("CMYK"), "TIFF"), ("#ff0000",)), red[:1]
    )


def test_colours_of_files_with_16_bits() -> None:
    values = np.array([[0x1234, 0x12FF, 0x1300]], np.uint16)
    content = png(Image.fromarray(values))
    np.testing.assert_array_equal(found(content, ("#121212",)), [[True, True, False]])
    np.testing.assert_array_equal(found(content, (0x12FF,)), [[False, True, False]])


def test_values_of_32_bits_have_no_numbers() -> None:
    content = saved(Image.fromarray(np.array([[1, 2]], np.int32)), "TIFF")
    np.testing.assert_array_equal(found(content, "zero"), [[False, False]])
    for defect in ((1,), ("#010101",)):
        with pytest.raises(UnusableImageError, match="Save the image with unsigned values"):
            found(content, defect)
