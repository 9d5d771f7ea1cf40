"""Test that files with more than 8 bits per value keep their structure, or are rejected with a remedy."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from anomaly_assets.decoding.transform import UnusableImageError, decode_image, decode_mask
from anomaly_assets.recipes import Recipe
from anomaly_assets.settings import Settings, SettingsError
from anomaly_assets_tests.bad_input.loading import DECODERS, decoding_with
from anomaly_assets_tests.decoding.pictures import (
    SIGNATURE,
    chunk,
    png,
    raw_tiff,
    sixteen_bit_colour,
    sixteen_bits,
)

LINE = Recipe(1, 16, 1)


def grey(values: Any) -> Image.Image:
    return Image.fromarray(np.asarray(values, np.uint16).reshape(1, -1))


def with_sbit(content: bytes, *bits: int) -> bytes:
    assert content.startswith(SIGNATURE)
    return content[:33] + chunk(b"sBIT", bytes(bits)) + content[33:]


def tiff(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "TIFF", **options)
    return file.getvalue()


def ramp(bits: int) -> list[int]:
    return [round(step * ((1 << bits) - 1) / 15) for step in range(16)]


def line(content: bytes, **options: Any) -> list[int]:
    return list(decode_image(content, LINE, **options).pixels.ravel().tolist())


EXPECTED = [17 * step for step in range(16)]


@DECODERS
@pytest.mark.parametrize("bits", range(9, 17))
def test_a_set_depth_scales_its_range_to_eight_bits(bits: int, decode_with: str) -> None:
    with decoding_with(decode_with):
        found = line(png(grey(ramp(bits))), depth=bits)
    assert np.abs(np.array(found) - EXPECTED).max() <= 1
    assert (found[0], found[-1]) == (0, 255)


@pytest.mark.slow
@DECODERS
@given(bits=st.integers(1, 16), data=st.data())
def test_any_depth_keeps_order_and_spread(bits: int, data: st.DataObject, decode_with: str) -> None:
    values = data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=14, max_size=14))
    values = sorted([0, (1 << bits) - 1, *values])
    with decoding_with(decode_with):
        as_camera = line(with_sbit(png(grey(values)), bits), depth=bits)
        scaled = [round(value * 65535 / ((1 << bits) - 1)) for value in values]
        by_the_standard = line(with_sbit(png(grey(scaled)), bits))
    for found in (as_camera, by_the_standard):
        assert found == sorted(found)
        assert (found[0], found[-1]) == (0, 255)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("shift", [True, False], ids=["by the standard", "as the camera"])
def test_a_png_with_significant_bits_loads_shifted_or_with_the_depth(
    bits: int, shift: bool
) -> None:
    values = np.array(ramp(bits)) << (16 - bits if shift else 0)
    found = line(with_sbit(png(grey(values)), bits), depth=None if shift else bits)
    assert np.abs(np.array(found) - EXPECTED).max() <= 1


@pytest.mark.parametrize(
    ("values", "as_camera", "scaled"),
    [([2048] * 16, 128, 8), ([1553] * 16, 97, 6)],
    ids=["multiples of 16", "dark"],
)
def test_a_png_whose_values_fit_its_significant_bits_needs_the_depth(
    values: list[int], as_camera: int, scaled: int
) -> None:
    content = with_sbit(png(grey(values)), 12)
    with pytest.raises(UnusableImageError) as raised:
        line(content, depth_variable="LINE4_DEPTH")
    assert raised.value.reason == "needs_bit_depth"
    assert str(raised.value) == (
        f"The file states 12 significant bits, and the highest here is {values[0]}. So its values may fill "
        "12 bits, or be scaled to 16 bits and dark. Set LINE4_DEPTH to 12 if the values are stored as the "
        "camera gives them, and set LINE4_DEPTH to 16 if they are scaled, then run again."
    )
    assert line(content, depth=12) == [as_camera] * 16
    assert line(content, depth=16) == [scaled] * 16


def test_a_black_png_with_significant_bits_needs_no_depth() -> None:
    assert line(with_sbit(png(grey([0] * 16)), 12)) == [0] * 16


def test_a_scaled_png_above_the_set_depth_names_the_setting_for_it() -> None:
    content = with_sbit(png(grey(np.array(ramp(12)) << 4)), 12)
    with pytest.raises(UnusableImageError) as raised:
        line(content, depth=12, depth_variable="LINE4_DEPTH")
    assert str(raised.value) == (
        "LINE4_DEPTH is 12, but the file has values of more than 12 bits; the highest here is 65520. The "
        "file states 12 significant bits, so its values are scaled to 16 bits, as the PNG standard "
        "requires. Set LINE4_DEPTH to 16, or to file, then run again."
    )


@pytest.mark.parametrize("depth", [12, 16])
def test_a_tiff_with_white_at_zero_is_inverted(depth: int) -> None:
    values = np.array(ramp(depth), "<u2")
    white = raw_tiff((16, 1), 16, values.tobytes(), photometric=0)
    black = raw_tiff((16, 1), 16, values.tobytes(), photometric=1)
    assert line(white, depth=depth) == [255 - value for value in line(black, depth=depth)]


@pytest.mark.parametrize(
    ("content", "obstacle"),
    [
        (raw_tiff((16, 1), 16, bytes(96), samples=3, planar=2), "stored in separate planes."),
        (raw_tiff((16, 1), 16, bytes(128), samples=4, extra=1), "premultiplied by alpha"),
        (raw_tiff((16, 1), 10, bytes(20)), "Its values have 10 bits each, stored in a way that is"),
        (raw_tiff((16, 1), 14, bytes(28)), "Its values have 14 bits each, stored in a way that is"),
        (raw_tiff((16, 1), 10, bytes(60), samples=3), "Its values have 10 bits each"),
        (raw_tiff((16, 1), 16, bytes(64), samples=2, extra=2), "Its values have 16 bits each"),
    ],
    ids=["planes", "premultiplied", "10 bits", "14 bits", "10 bits of colours", "grey and alpha"],
)
@pytest.mark.parametrize("decode", [decode_image, decode_mask])
def test_a_tiff_of_unsupported_depth_is_rejected_with_its_obstacle(
    decode: Any, content: bytes, obstacle: str
) -> None:
    with pytest.raises(UnusableImageError) as raised:
        decode(content, LINE)
    assert raised.value.reason == "unsupported_bit_depth"
    assert obstacle in str(raised.value)
    assert "Save the image with unsigned values of 8 or 16 bits" in str(raised.value)


def test_a_tiff_of_packed_12_bits_loads() -> None:
    pairs = zip(ramp(12)[::2], ramp(12)[1::2], strict=True)
    packed = b"".join((first << 12 | second).to_bytes(3, "big") for first, second in pairs)
    assert np.abs(np.array(line(raw_tiff((16, 1), 12, packed))) - EXPECTED).max() <= 1


@pytest.mark.parametrize("end", ["cut", "no entries"])
def test_a_deep_tiff_without_its_header_is_damaged(end: str) -> None:
    content = raw_tiff((16, 1), 10, bytes(20))
    content = content[:40] if end == "cut" else content[:28] + bytes(100)
    with pytest.raises(UnusableImageError) as raised:
        line(content)
    assert raised.value.reason in ("damaged_image", "truncated_image")


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_a_tiff_with_its_highest_value_loads(compression: str | None) -> None:
    content = tiff(grey(ramp(12)), tiffinfo={341: 4095}, compression=compression)
    # Pillow writes 0 for this tag into compressed files.
    tag = b"U\1\3\0\1\0\0\0"
    content = content.replace(tag + b"\0\0", tag + b"\xff\x0f")
    found = decode_image(content, LINE)
    assert np.abs(found.pixels.ravel().astype(int) - EXPECTED).max() <= 1
    assert (found.file_format, found.is_deep) == ("TIFF", True)


@pytest.mark.parametrize(
    "content",
    [
        png(grey(ramp(12))), png(grey(ramp(16))), tiff(grey(ramp(12))),
        sixteen_bit_colour(np.full((4, 4, 3), 900)),
    ],
    ids=["12 bits", "all 16 bits", "tiff", "colour"],
)  # fmt: skip
def test_a_file_that_states_no_depth_is_rejected_with_the_variable_to_set(content: bytes) -> None:
    with pytest.raises(
        UnusableImageError, match="Set LINE4_DEPTH to the bits of the camera"
    ) as raised:
        decode_image(content, LINE, depth_variable="LINE4_DEPTH")
    assert raised.value.reason == "needs_bit_depth"


def test_a_value_above_the_set_depth_is_rejected_and_not_clipped() -> None:
    with pytest.raises(UnusableImageError, match=r"more than 12 bits; the highest here is 4096\."):
        decode_image(png(grey([0, 4096])), LINE, depth=12)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_colours_keep_all_their_bits(bits: int) -> None:
    values = np.array(ramp(bits)).reshape(1, 16, 1).repeat(3, axis=2)
    found = decode_image(sixteen_bit_colour(values), Recipe(1, 16, 3), depth=bits)
    assert np.abs(found.pixels[0].astype(int) - np.array(EXPECTED)[:, None]).max() <= 1


def test_a_mask_of_sixteen_bit_colours_is_a_defect_above_zero() -> None:
    values = np.array([[[0, 0, 0], [0, 1, 0], [0, 0, 256]]])
    assert decode_mask(sixteen_bit_colour(values), Recipe(1, 3, 3)).pixels.tolist() == [[0, 1, 1]]


def deep_mask(channels: int, colour: int, alpha: list[int]) -> np.ndarray:
    values = np.full((1, len(alpha), channels), colour)
    values[..., -1] = alpha
    return values


ALPHA_MASKS = {
    "LA of a PNG": lambda colour, alpha: sixteen_bits(deep_mask(2, colour, alpha), colour=4),
    "RGBA of a PNG": lambda colour, alpha: sixteen_bits(deep_mask(4, colour, alpha), colour=6),
    "RGBA of a TIFF": lambda colour, alpha: raw_tiff(
        (len(alpha), 1), 16, deep_mask(4, colour, alpha).astype("<u2").tobytes(), 4, extra=2
    ),
}


@pytest.mark.parametrize("kind", ALPHA_MASKS)
@pytest.mark.parametrize("colour", [0, 65535], ids=["black", "white"])
def test_alpha_is_the_mask_of_16_bits_if_all_colours_are_equal(kind: str, colour: int) -> None:
    found = decode_mask(ALPHA_MASKS[kind](colour, [0, 0, 65535, 1]), Recipe(1, 4, 3))
    assert found.pixels.tolist() == [[0, 0, 1, 1]]
    assert found.area_fraction == 0.5


@pytest.mark.parametrize("kind", ALPHA_MASKS)
@pytest.mark.parametrize(
    ("colour", "alpha", "expected"), [(9, 0, 0), (9, 65535, 1), (0, 65535, 0), (0, 0, 0)]
)
def test_constant_alpha_of_16_bits_hides_a_constant_colour(
    kind: str, colour: int, alpha: int, expected: int
) -> None:
    found = decode_mask(ALPHA_MASKS[kind](colour, [alpha] * 2), Recipe(1, 2, 3))
    assert found.pixels.tolist() == [[expected] * 2]


def test_alpha_of_16_bits_is_ignored_where_colours_differ() -> None:
    values = np.zeros((1, 3, 4), int)
    values[0, 2, 0], values[..., 3] = 1, [65535, 0, 0]
    found = decode_mask(sixteen_bits(values, colour=6), Recipe(1, 3, 3))
    assert found.pixels.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("key", [0, 999])
def test_a_transparent_colour_hides_a_mask_of_16_bits_as_one_of_8(key: int) -> None:
    found = decode_mask(png(grey([999] * 3), transparency=key), Recipe(1, 3, 3))
    assert found.pixels.tolist() == [[key == 0] * 3]


def test_a_mask_with_white_at_zero_is_inverted() -> None:
    values = np.array([65535, 65535, 0, 65534], "<u2")
    content = raw_tiff((4, 1), 16, values.tobytes(), photometric=0)
    assert decode_mask(content, Recipe(1, 4, 3)).pixels.tolist() == [[0, 0, 1, 1]]
    eight = raw_tiff((4, 1), 8, (values >> 8).astype(np.uint8).tobytes(), photometric=0)
    assert decode_mask(eight, Recipe(1, 4, 3)).pixels.tolist() == [[0, 0, 1, 0]]


def test_a_mask_of_inks_is_black_where_an_ink_is_full() -> None:
    values = np.array([[65535, 65535, 65535, 0], [0, 0, 0, 65535], [0, 0, 0, 0]], "<u2")
    content = raw_tiff((3, 1), 16, values.tobytes(), samples=4, photometric=5)
    assert decode_mask(content, Recipe(1, 3, 3)).pixels.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_of_32_bits_are_rejected(mode: str) -> None:
    with pytest.raises(UnusableImageError, match="Save the image with unsigned values") as raised:
        decode_image(tiff(Image.new(mode, (16, 1))), LINE)
    assert raised.value.reason == "unsupported_bit_depth"


def test_settings_read_the_depth_of_each_dataset() -> None:
    found = Settings.from_environment({"MVTEC_AD_DEPTH": "12", "DAGM_2007_DEPTH": "file"})
    assert found.depths == {"mvtec_ad": 12}
    for text in ("8", "17", "twelve", "1²"):
        with pytest.raises(SettingsError, match=f"MVTEC_AD_DEPTH='{text}': use the bits"):
            Settings.from_environment({"MVTEC_AD_DEPTH": text})
