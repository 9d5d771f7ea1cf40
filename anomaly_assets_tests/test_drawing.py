"""Test encoding to a given size, and texts that fit into their space."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from anomaly_assets.drawing import (
    as_jpeg,
    as_webp,
    fitted,
    font,
    jpeg_within,
    webp_within,
    wrapped,
)
from anomaly_assets_tests.warehouse.project import noise


@pytest.mark.parametrize(("encode", "kind"), [(as_jpeg, "JPEG"), (as_webp, "WEBP")])
def test_what_may_be_as_large_as_it_likes_has_the_size_of_the_sheet(encode, kind: str) -> None:  # type: ignore[no-untyped-def]
    with Image.open(io.BytesIO(encode(noise(0, size=(300, 200))))) as image:
        assert (image.format, image.size, image.mode) == (kind, (300, 200), "RGB")


@pytest.mark.parametrize("encode", [as_jpeg, as_webp])
@pytest.mark.parametrize("most_bytes", [60_000, 30_000, 10_000, 3_000])
def test_the_most_bytes_are_respected_and_the_shape_is_kept(encode, most_bytes: int) -> None:  # type: ignore[no-untyped-def]
    content = encode(noise(0, size=(400, 200)), most_bytes)
    assert len(content) <= most_bytes
    with Image.open(io.BytesIO(content)) as image:
        assert image.width / image.height == pytest.approx(2, rel=0.1)


def test_a_jpeg_that_already_fits_is_not_made_worse() -> None:
    sheet = noise(0, size=(300, 200))
    best = as_jpeg(sheet)
    assert as_jpeg(sheet, len(best)) == best
    assert len(as_jpeg(sheet, len(best) - 1)) < len(best)


def test_a_drawing_is_encoded_without_a_loss() -> None:
    drawing = Image.new("RGB", (200, 100), "white")
    drawing.paste((76, 132, 196), (10, 10, 90, 50))
    with Image.open(io.BytesIO(as_webp(drawing, lossless=True))) as image:
        assert image.convert("RGB").tobytes() == drawing.tobytes()


@pytest.mark.parametrize(
    "text", ["short", "bottle/test/broken_large/" + "0" * 90 + ".png", "", "ü漢字" * 20]
)
@pytest.mark.parametrize("width", [30, 92, 140])
def test_text_that_is_too_wide_loses_its_middle(text: str, width: int) -> None:
    shown = fitted(text, width, 11)
    assert font(11).getlength(shown) <= width
    if shown != text:
        first, last = shown.split("…")
        assert text.startswith(first)
        assert text.endswith(last)


def test_text_is_broken_between_words_and_its_last_line_is_shortened() -> None:
    lines = wrapped("Labels.txt gives 1, there is no mask at all, and more than fits", 92, 11, 2)
    assert len(lines) == 2
    assert lines[0] == "Labels.txt gives 1,"
    assert "…" in lines[1]
    assert wrapped("", 92, 11, 2) == [""]


@pytest.mark.parametrize(("encode", "kind"), [(jpeg_within, "JPEG"), (webp_within, "WEBP")])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((200, 400, 3), (96, 48)),
        ((400, 200, 1), (48, 96)),
        ((40, 60, 3), (60, 40)),
        ((1, 900, 3), (96, 1)),
    ],
)
def test_a_small_picture_keeps_its_shape_and_is_never_enlarged(  # type: ignore[no-untyped-def]
    encode, kind: str, shape: tuple[int, int, int], size: tuple[int, int]
) -> None:
    image = np.full(shape, 90, np.uint8)
    with Image.open(io.BytesIO(encode(image, 96))) as found:
        assert (found.format, found.size) == (kind, size)
        assert abs(np.asarray(found.convert("L"), int) - 90).max() < 4
