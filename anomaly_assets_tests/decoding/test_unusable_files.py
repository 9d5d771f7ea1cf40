"""Test unusable files of all kinds: each is refused with a reason and without side effects."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from anomaly_assets.decoding.transform import (
    MAX_PIXELS,
    DecodedImage,
    DecodedMask,
    UnusableImageError,
    decode_image,
    decode_mask,
)
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.decoding.pictures import SIGNATURE, chunk, header, picture, png

SPEC = Recipe(8, 6, 3)
WHOLE = png(picture("RGB", (24, 16)))
PIXELS_START = WHOLE.index(b"IDAT") + 4
PIXELS_END = WHOLE.index(b"IEND") - 4
DECODERS = pytest.mark.parametrize("decode", [decode_image, decode_mask])


def jpeg() -> bytes:
    file = io.BytesIO()
    picture("RGB", (24, 16)).save(file, "JPEG")
    return file.getvalue()


@DECODERS
@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"", "empty_file", "The file has no bytes. Copy it again."),
        (b"version https://git-lfs", "git_lfs_pointer", "git lfs pull"),
        (b"GIF89a", "unsupported_format", "Save it as PNG under the same name. JPEG, BMP, TIFF or WEBP "
            "under the same name load too: the suffix stays."),
        (bytes(range(7, 200)), "not_an_image", "07 08 09 0a 0b 0c 0d 0e"),
        (b"\x89PN", "truncated_image", "ends after 3 bytes"),
        (WHOLE[: PIXELS_START + 20], "truncated_image", "truncated"),
        (WHOLE[: PIXELS_END - 20], "truncated_image", "truncated"),
        (WHOLE[:20], "truncated_image", "ends early, at 20 bytes"),
        (header(24, 16) + chunk(b"IEND", b""), "damaged_image", ""),
        (header(24, 16) + chunk(b"IDAT", b"no zlib stream"), "truncated_image", ""),
        (header(24, 16) + chunk(b"IDAT", zlib.compress(b"\0" * 30)), "truncated_image", ""),
    ],
    ids=[
        "empty", "LFS pointer", "gif", "random", "three bytes", "few pixels", "most pixels",
        "half a header", "no pixels", "no zlib", "too few rows",
    ],
)  # fmt: skip
def test_an_unusable_file_is_refused_with_its_reason(
    decode: type, content: bytes, reason: str, detail: str
) -> None:
    with pytest.raises(UnusableImageError) as raised:
        decode(content, SPEC)
    assert raised.value.reason == reason
    assert detail in str(raised.value)


@pytest.mark.parametrize("length", [8, 12, 15, 16, 28, 29, 33, 40, PIXELS_START + 1])
def test_a_png_that_was_cut_off_anywhere_is_truncated_and_not_some_other_format(
    length: int,
) -> None:
    with pytest.raises(UnusableImageError) as raised:
        decode_image(WHOLE[:length], SPEC)
    assert raised.value.reason == "truncated_image"


def test_a_png_with_a_wrong_checksum_in_its_header_is_damaged_and_not_some_other_format() -> None:
    wrong = bytearray(WHOLE)
    wrong[29] ^= 0xFF
    with pytest.raises(UnusableImageError) as raised:
        decode_image(bytes(wrong), SPEC)
    assert raised.value.reason == "damaged_image"


@DECODERS
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8_193, 12_000, 60_000])
def test_too_many_pixels_are_refused_before_any_memory_is_taken(decode: type, side: int) -> None:
    content = header(side, side) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    before = Image.core.get_stats()["new_count"]

    with pytest.raises(UnusableImageError) as raised:
        decode(content, SPEC)

    assert Image.core.get_stats()["new_count"] == before
    assert raised.value.reason == "too_many_pixels"
    assert str(MAX_PIXELS) in str(raised.value)


def test_pillow_counts_the_images_it_allocates() -> None:
    """Check the upstream function with which the test above measures."""
    before = Image.core.get_stats()["new_count"]
    decode_image(WHOLE, SPEC)
    assert Image.core.get_stats()["new_count"] > before


@pytest.mark.parametrize("size", [(0, 16), (24, 0), (0, 0)])
def test_a_picture_without_pixels_is_refused(size: tuple[int, int]) -> None:
    content = header(*size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(UnusableImageError) as raised:
        decode_image(content, SPEC)
    assert raised.value.reason == "damaged_image"


def test_the_detail_of_a_damaged_file_stays_short() -> None:
    with pytest.raises(UnusableImageError) as raised:
        decode_image(header(24, 16) + chunk(b"IDAT", b"x" * 5000), SPEC)
    assert 0 < len(str(raised.value)) <= 500


@DECODERS
@given(content=st.binary(max_size=200).map(lambda tail: SIGNATURE + tail) | st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_unusable_image_error(decode: type, content: bytes) -> None:
    with pytest.raises(UnusableImageError):
        decode(content, SPEC)


@DECODERS
@given(position=st.integers(8, len(WHOLE) - 1), value=st.integers(0, 255))
def test_one_wrong_byte_raises_nothing_but_unusable_image_error(
    decode: type, position: int, value: int
) -> None:
    content = WHOLE[:position] + bytes([value]) + WHOLE[position + 1 :]
    assert verdict(decode, content) in {
        "usable",
        "damaged_image",
        "truncated_image",
        "too_many_pixels",
        "needs_bit_depth",
    }


def verdict(decode: type, content: bytes) -> str:
    try:
        made = decode(content, SPEC)
    except UnusableImageError as error:
        return error.reason
    return "usable" if made.pixels.shape[:2] == (8, 6) else "of another size"


def test_a_file_that_lost_only_its_last_chunk_still_has_all_its_pixels() -> None:
    whole = decode_image(WHOLE, SPEC)
    without_end = decode_image(WHOLE[:PIXELS_END], SPEC)
    assert (without_end.pixels == whole.pixels).all()


def bmp() -> bytes:
    file = io.BytesIO()
    picture("RGB", (24, 16)).save(file, "BMP")
    return file.getvalue()


@DECODERS
def test_a_layout_that_allows_further_formats_gets_these_and_no_others(
    decode: Callable[..., DecodedImage | DecodedMask],
) -> None:
    as_png, as_bmp = (decode(content, SPEC, ("PNG", "BMP")).pixels for content in (WHOLE, bmp()))
    assert np.array_equal(as_png, as_bmp)
    with pytest.raises(UnusableImageError) as raised:
        decode(jpeg(), SPEC, ("PNG", "BMP"))
    assert raised.value.reason == "unsupported_format"
    assert str(raised.value) == (
        "The file is a JPEG file. Save it as PNG under the same name. BMP under the same name load too: "
        "the suffix stays."
    )
    with pytest.raises(UnusableImageError) as raised:
        decode(bmp()[:200], SPEC, ("PNG", "BMP"))
    assert raised.value.reason == "truncated_image"
