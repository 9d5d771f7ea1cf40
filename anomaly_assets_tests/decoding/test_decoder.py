"""Test that the faster decoder gives the pixels and rejections of Pillow, or is not used."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from anomaly_assets.decoding import png as decoder
from anomaly_assets.decoding.transform import UnusableImageError, decode_image
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.decoding.pictures import (
    MODES,
    SIGNATURE,
    chunk,
    interlaced,
    picture,
    png,
    sixteen_bit_colour,
)

needs_wuffs = pytest.mark.skipif(decoder.wuffs() is None, reason="pywuffs is not installed")

TWO_FRAMES = struct.pack(">II", 2, 0)
FIRST_FRAME = struct.pack(">IIIIIHHBB", 0, 24, 16, 0, 0, 1, 1, 0, 0)
GREY, RGB = png(picture("L", (24, 16))), png(picture("RGB", (24, 16)))


@contextmanager
def pillow_alone() -> Iterator[None]:
    """Disable Wuffs and ISA-L."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(decoder, "wuffs", lambda: None)
        monkeypatch.setattr(decoder, "stored_pixels", lambda *_: None)
        yield


@contextmanager
def without_wuffs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(decoder, "wuffs", lambda: None)
        yield


def outcome(content: bytes) -> object:
    """Return the complete result for a file; 16 by 24 pixels, so that none is averaged."""
    try:
        decoded = decode_image(content, Recipe(16, 24, 3))
    except UnusableImageError as error:
        return error.reason
    return decoded.original_mode, decoded.original_width, decoded.pixels.tobytes()


def assert_decoders_agree(content: bytes) -> None:
    with pillow_alone():
        expected = outcome(content)
    assert outcome(content) == expected
    with without_wuffs():
        assert outcome(content) == expected


def with_chunk(kind: bytes, content: bytes, before: bytes) -> bytes:
    position = RGB.index(before) - 4
    return RGB[:position] + chunk(kind, content) + RGB[position:]


@needs_wuffs
@pytest.mark.parametrize(("content", "mode"), [(GREY, "L"), (RGB, "RGB")])
def test_plain_files_are_decoded_by_wuffs(
    monkeypatch: pytest.MonkeyPatch, content: bytes, mode: str
) -> None:
    used: list[str] = []
    decoder_of: Callable[[str], object] = decoder._decoder

    def noted(mode: str) -> object:
        used.append(mode)
        return decoder_of(mode)

    monkeypatch.setattr(decoder, "_decoder", noted)
    decode_image(content, Recipe(8, 6, 3))
    assert used == [mode]


@pytest.mark.parametrize(
    "content",
    [
        *(png(picture(mode, (24, 16))) for mode in MODES),
        interlaced(np.asarray(picture("L", (24, 16)))),
        sixteen_bit_colour(np.arange(24 * 16 * 3).reshape(16, 24, 3) * 50),
        png(picture("L", (24, 16)), transparency=0),
        png(picture("RGB", (24, 16)), transparency=(0, 0, 0)),
        png(picture("L", (24, 16)).point(lambda value: value // 64), bits=2),
        png(picture("P", (24, 16)).quantize(4), bits=2),
        with_chunk(b"gAMA", (10_000).to_bytes(4, "big"), before=b"IDAT"),
        with_chunk(b"sBIT", b"\5\5\5", before=b"IDAT"),
        with_chunk(b"cICP", b"\x09\x10\0\1", before=b"IDAT"),
        with_chunk(b"sRGB", b"\0", before=b"IDAT"),
        with_chunk(b"bKGD", b"\0\xff" * 3, before=b"IDAT"),
        with_chunk(b"tEXt", b"Comment\0made by hand", before=b"IEND"),
        with_chunk(b"acTL", TWO_FRAMES, before=b"IDAT"),
        with_chunk(b"zzZz", b"unknown", before=b"IDAT"),
        RGB + b"behind the end",
        RGB[: RGB.index(b"IEND") - 4],
        SIGNATURE + RGB[8:33] + RGB[8:],
        with_chunk(b"tEXt", b"Comment\0made by hand", before=b"IEND")[:-30],
        RGB[:33] + chunk(b"acTL", TWO_FRAMES) + chunk(b"fcTL", FIRST_FRAME) + RGB[33:],
    ],
    ids=[
        *MODES, "interlaced", "16-bit colour", "transparent grey", "transparent colour", "2-bit grey",
        "2-bit palette", "gAMA", "sBIT", "cICP", "sRGB", "bKGD", "tEXt", "acTL", "unknown chunk",
        "trailing bytes", "no IEND", "two headers", "cut off behind the pixels", "animated, without frames",
    ],
)  # fmt: skip
def test_both_decoders_agree_on_files_of_every_kind(content: bytes) -> None:
    assert_decoders_agree(content)


@pytest.mark.slow
@given(
    content=st.sampled_from([GREY, RGB]),
    share=st.floats(0, 1, exclude_max=True),
    value=st.integers(0, 255),
)
@settings(max_examples=300)
def test_both_decoders_agree_on_files_with_a_wrong_byte(
    content: bytes, share: float, value: int
) -> None:
    position = 8 + int(share * (len(content) - 8))
    assert_decoders_agree(content[:position] + bytes([value]) + content[position + 1 :])


@given(content=st.sampled_from([GREY, RGB]), length=st.integers(0, len(RGB)))
def test_both_decoders_agree_on_files_that_were_cut_off(content: bytes, length: int) -> None:
    assert_decoders_agree(content[:length])


@given(
    mode=st.sampled_from(["L", "RGB"]),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    seed=st.integers(0, 99),
    level=st.integers(0, 9),
)
def test_both_decoders_agree_on_pictures_of_any_size(
    mode: str, size: tuple[int, int], seed: int, level: int
) -> None:
    assert_decoders_agree(png(picture(mode, size, seed), compress_level=level))


def test_the_decoded_image_outlives_its_decoder_and_its_file() -> None:
    content = [png(picture("L", (300, 200), seed)) for seed in range(6)]
    kept = [decoder.load(opened(one), one) for one in content]
    for seed, image in enumerate(kept):
        assert image.tobytes() == picture("L", (300, 200), seed).tobytes()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_threads_do_not_share_a_decoder() -> None:
    contents = [png(picture("RGB", (64, 64), seed)) for seed in range(40)]
    expected = [outcome(content) for content in contents]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(outcome, contents)) == expected


def stored(content: bytes) -> bytes | None:
    found = decoder.stored_pixels(opened(content), content)
    return None if found is None else bytes(found)


def compressed(rows: bytes) -> bytes:
    """Return the 24 by 16 grey picture with other rows than in its header."""
    return SIGNATURE + GREY[8:33] + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(24, 16), (300, 200), (1, 1), (65534, 1), (65535, 2)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_stored_pixels_are_the_rows_of_the_file(mode: str, size: tuple[int, int]) -> None:
    """Include rows that fill a block of 65,535 bytes exactly, or with one byte more."""
    content = png(picture(mode, size))
    found = stored(content)
    assert found is not None
    rows = zlib.decompress(found)
    assert len(rows) == size[1] * (1 + size[0] * len(mode))
    assert Image.frombytes(mode, size, found, "zip", mode).tobytes() == opened(content).tobytes()


@pytest.mark.parametrize("length", [0, 1, 399, 401, 65536, 10_000_000])
def test_another_number_of_rows_than_the_header_says_is_left_to_pillow(length: int) -> None:
    content = compressed(bytes(length))
    assert stored(content) is None
    assert_decoders_agree(content)
    assert stored(compressed(bytes(400))) is not None


def test_a_wrong_checksum_or_something_behind_it_is_left_to_pillow() -> None:
    stream = zlib.compress(bytes(400))
    for changed in (stream[:-1] + bytes([stream[-1] ^ 1]), stream + b"more", stream[:-4]):
        content = SIGNATURE + GREY[8:33] + chunk(b"IDAT", changed) + chunk(b"IEND", b"")
        assert stored(content) is None
        assert_decoders_agree(content)


def test_without_the_package_everything_is_decoded_by_pillow() -> None:
    with pillow_alone():
        decoded = decode_image(RGB, Recipe(16, 24, 3))
    assert np.array_equal(decoded.pixels, np.asarray(picture("RGB", (24, 16))))


def test_a_large_text_chunk_does_not_separate_the_decoders() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 2_000_000, zip=True)
    assert_decoders_agree(png(picture("RGB", (24, 16)), pnginfo=text))
