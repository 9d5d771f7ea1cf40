"""Files with more than 8 bits per value keep their structure, or are rejected with what to set."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from anomaly_assets.decoding.transform import UnusableImageError, decode_image, decode_mask
from anomaly_assets.settings import Settings, SettingsError
from anomaly_assets.tensor_spec import TensorSpec
from anomaly_assets_tests.bad_input.loading import DECODERS, decoding_with
from anomaly_assets_tests.decoding.pictures import SIGNATURE, chunk, png, sixteen_bit_colour

LINE = TensorSpec(1, 16, 1)


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


@DECODERS
@given(bits=st.integers(1, 16), data=st.data())
def test_any_depth_keeps_order_and_spread(bits: int, data: st.DataObject, decode_with: str) -> None:
    values = data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=14, max_size=14))
    values = sorted([0, (1 << bits) - 1, *values])
    with decoding_with(decode_with):
        found = line(with_sbit(png(grey(values)), bits))
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, 255)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("shift", [True, False], ids=["by the standard", "as the camera"])
def test_a_png_with_significant_bits_loads_shifted_or_not(bits: int, shift: bool) -> None:
    values = np.array(ramp(bits)) << (16 - bits if shift else 0)
    found = line(with_sbit(png(grey(values)), bits))
    assert np.abs(np.array(found) - EXPECTED).max() <= 1


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
    found = decode_image(sixteen_bit_colour(values), TensorSpec(1, 16, 3), depth=bits)
    assert np.abs(found.pixels[0].astype(int) - np.array(EXPECTED)[:, None]).max() <= 1


def test_a_mask_of_sixteen_bit_colours_is_a_defect_above_zero() -> None:
    values = np.array([[[0, 0, 0], [0, 1, 0], [0, 0, 256]]])
    assert decode_mask(sixteen_bit_colour(values), TensorSpec(1, 3, 3)).pixels.tolist() == [
        [0, 1, 1]
    ]


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
