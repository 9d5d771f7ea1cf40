"""Test the transform from bytes to pixels, compared with Pillow byte for byte."""

from __future__ import annotations

import hashlib
import io
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from anomaly_assets.decoding import transform
from anomaly_assets.decoding.transform import UInt8Array, decode_mask
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.decoding.pictures import (
    MODES,
    interlaced,
    picture,
    png,
)

decode_image = partial(transform.decode_image, depth=16)

SIZES = [(1, 1), (1, 9), (13, 1), (6, 8), (24, 16), (7, 31)]
SPEC = Recipe(8, 6, 3)
ORIENTATION, TURN_RIGHT = 0x0112, 6


def tensor(content: bytes, spec: Recipe = SPEC) -> UInt8Array:
    return decode_image(content, spec).pixels


def pillows_tensor(content: bytes, spec: Recipe = SPEC) -> UInt8Array:
    with Image.open(io.BytesIO(content)) as image:
        if image.mode == "I;16":
            scaled = (np.asarray(image).astype(np.int64) * 255 + 32767) // 65535
            image = Image.fromarray(scaled.astype(np.uint8))
        converted = image.convert("RGB" if spec.channels == 3 else "L")
        resized = converted.resize((spec.width, spec.height), Image.Resampling.LANCZOS)
        return np.asarray(resized).reshape(spec.height, spec.width, spec.channels)


def nearest(values: UInt8Array, spec: Recipe) -> UInt8Array:
    binary = Image.fromarray((values > 0).astype(np.uint8))
    return np.asarray(binary.resize((spec.width, spec.height), Image.Resampling.NEAREST))


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_the_tensor_is_what_pillow_makes_of_the_file(
    mode: str, size: tuple[int, int], channels: int
) -> None:
    content, spec = png(picture(mode, size)), Recipe(8, 6, channels)

    decoded = decode_image(content, spec)

    assert np.array_equal(decoded.pixels, pillows_tensor(content, spec))
    assert (decoded.original_width, decoded.original_height) == size
    assert decoded.original_mode == mode
    assert decoded.content_sha256 == hashlib.sha256(content).hexdigest()


def _colours(mode: str) -> str:
    return "L" if mode == "LA" else "RGB"


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_the_mask_is_the_nearest_resize_of_value_above_zero(
    mode: str, size: tuple[int, int]
) -> None:
    content = png(picture(mode, size))
    with Image.open(io.BytesIO(content)) as image:
        stored = np.asarray(image if mode in ("1", "L", "I;16") else image.convert(_colours(mode)))
    if stored.ndim == 3:
        stored = stored.max(axis=2)

    decoded = decode_mask(content, SPEC)

    assert np.array_equal(decoded.pixels, nearest(stored, SPEC))
    assert (decoded.width, decoded.height) == size


def test_an_image_that_already_has_the_wanted_size_is_not_changed() -> None:
    image = picture("RGB", (6, 8))
    assert np.array_equal(tensor(png(image)), np.asarray(image))


def test_height_comes_before_width_in_the_spec_and_in_the_tensor() -> None:
    spec = Recipe(height=3, width=5, channels=1)
    assert tensor(png(picture("L", (24, 16))), spec).shape == (3, 5, 1)
    assert decode_mask(png(picture("L", (24, 16))), spec).pixels.shape == (3, 5)
    assert spec.transform == "lanczos-3x5x1"


@pytest.mark.parametrize("value", [1, 2, 127, 254, 255])
def test_every_mask_value_above_zero_is_a_defect(value: int) -> None:
    decoded = decode_mask(png(Image.new("L", (24, 16), value)), SPEC)
    assert decoded.pixels.tolist() == [[1] * 6] * 8
    assert decoded.area_fraction == 1.0
    assert decoded.box == (0, 0, 24, 16)
    assert decoded.values == 1


def test_sixteen_bit_mask_values_above_255_are_a_defect_too() -> None:
    mask = Image.frombytes("I;16", (2, 1), np.array([0, 256], "<u2").tobytes())
    assert decode_mask(png(mask), Recipe(1, 2, 3)).pixels.tolist() == [[0, 1]]


def _alpha_mask(mode: str, colour: int, alpha: int) -> Image.Image:
    """Return a mask of one colour, whose alpha is 255 in a quarter and `alpha` elsewhere."""
    channel = Image.new("L", (24, 16), alpha)
    channel.paste(255, (0, 0, 12, 8))
    colours = [Image.new("L", (24, 16), colour)] * (len(mode) - 1)
    return Image.merge(mode, [*colours, channel])


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("colour", [0, 90, 255])
def test_the_alpha_of_a_mask_of_one_colour_is_the_mask(mode: str, colour: int) -> None:
    decoded = decode_mask(png(_alpha_mask(mode, colour, 0)), SPEC)
    assert (decoded.area_fraction, decoded.box) == (0.25, (0, 0, 12, 8))


@pytest.mark.parametrize(
    ("colour", "alpha", "area"), [(0, 255, 0.0), (255, 255, 1.0), (255, 0, 0.0), (0, 0, 0.0)]
)
def test_a_mask_of_one_colour_and_one_alpha_is_defective_where_both_are_above_zero(
    colour: int, alpha: int, area: float
) -> None:
    mask = Image.merge("LA", [Image.new("L", (24, 16), value) for value in (colour, alpha)])
    assert decode_mask(png(mask), SPEC).area_fraction == area


def test_the_alpha_of_a_mask_with_two_colours_is_not_used() -> None:
    mask = _alpha_mask("RGBA", 0, 0)
    mask.putpixel((20, 12), (0, 0, 255, 0))
    assert decode_mask(png(mask), SPEC).box == (20, 12, 21, 13)


def test_a_transparent_colour_of_a_palette_is_the_background_of_a_mask() -> None:
    mask = Image.new("P", (24, 16), 0)
    mask.putpalette([255, 0, 0] * 2)
    mask.paste(1, (0, 0, 12, 8))
    content = io.BytesIO()
    mask.save(content, "PNG", transparency=b"\x00\xff")
    assert decode_mask(content.getvalue(), SPEC).area_fraction == 0.25


def test_an_empty_mask_has_no_area_and_no_box() -> None:
    decoded = decode_mask(png(Image.new("L", (24, 16))), SPEC)
    assert decoded.pixels.tolist() == [[0] * 6] * 8
    assert (decoded.area_fraction, decoded.box, decoded.values) == (0.0, None, 1)


@pytest.mark.parametrize(
    ("size", "pixels"), [((24, 16), 2), ((24, 16), 1), ((1000, 1000), 7), ((512, 512), 333)]
)
def test_the_area_is_exactly_the_share_of_defective_pixels(
    size: tuple[int, int], pixels: int
) -> None:
    values = np.zeros(size[0] * size[1], np.uint8)
    values[:pixels] = 255
    content = png(Image.fromarray(values.reshape(size[::-1])))
    assert decode_mask(content, SPEC).area_fraction == pixels / (size[0] * size[1])


def test_a_defect_of_two_pixels_that_the_resize_erases_keeps_its_area_and_box() -> None:
    mask = Image.new("L", (24, 16))
    mask.putpixel((5, 7), 255)
    mask.putpixel((6, 7), 255)

    decoded = decode_mask(png(mask), Recipe(4, 3, 3))

    assert not decoded.pixels.any()
    assert decoded.area_fraction == pytest.approx(2 / 384, rel=1e-12)
    assert decoded.box == (5, 7, 7, 8)


def test_the_box_spans_all_parts_of_a_defect_and_excludes_its_right_and_bottom() -> None:
    mask = Image.new("L", (24, 16))
    mask.putpixel((3, 12), 1)
    mask.putpixel((20, 2), 255)
    assert decode_mask(png(mask), SPEC).box == (3, 2, 21, 13)


def test_grey_values_of_a_smoothed_mask_are_counted_before_the_resize() -> None:
    mask = Image.new("L", (24, 16))
    for x, value in enumerate([3, 3, 128, 255]):
        mask.putpixel((x, 0), value)
    assert decode_mask(png(mask), Recipe(1, 1, 3)).values == 4


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("mode", MODES)
def test_channel_sums_are_exactly_those_of_the_tensor(mode: str, channels: int) -> None:
    spec = Recipe(9, 5, channels)
    decoded = decode_image(png(picture(mode, (24, 16))), spec)
    values = decoded.pixels.astype(np.int64).reshape(-1, channels)
    assert decoded.tensors[0].channel_sums == values.sum(axis=0).tolist()
    assert decoded.tensors[0].channel_square_sums == (values**2).sum(axis=0).tolist()


def test_channel_sums_do_not_overflow() -> None:
    decoded = decode_image(png(Image.new("L", (1, 1), 255)), Recipe(4096, 4096, 1))
    assert decoded.tensors[0].channel_sums == [255 * 2**24]
    assert decoded.tensors[0].channel_square_sums == [255 * 255 * 2**24]


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("transparency", [bytes(range(256)), 7], ids=["per entry", "one colour"])
def test_transparency_of_a_palette_does_not_change_its_colours(transparency: object) -> None:
    image = picture("P", (6, 8))
    assert np.array_equal(
        tensor(png(image, transparency=transparency)), np.asarray(image.convert("RGB"))
    )


@pytest.mark.parametrize(("mode", "transparency"), [("L", 0), ("RGB", (0, 0, 0)), ("I;16", 0)])
def test_a_transparent_colour_does_not_change_the_pixels(mode: str, transparency: object) -> None:
    image = picture(mode, (24, 16))
    with_colour = png(image, transparency=transparency)
    assert b"tRNS" in with_colour
    assert np.array_equal(tensor(with_colour), tensor(png(image)))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_pixels_below_full_transparency_keep_their_colour(mode: str) -> None:
    image = picture(mode, (6, 8))
    opaque = Image.merge(mode.removesuffix("A"), image.split()[:-1]).convert("RGB")
    image.putalpha(0)
    assert np.array_equal(tensor(png(image)), np.asarray(opaque))


def test_exif_orientation_is_not_applied_because_masks_belong_to_the_stored_pixels() -> None:
    image, exif = picture("RGB", (24, 16)), Image.Exif()
    exif[ORIENTATION] = TURN_RIGHT
    turned = png(image, exif=exif)
    assert b"eXIf" in turned

    decoded = decode_image(turned, SPEC)

    assert np.array_equal(decoded.pixels, pillows_tensor(png(image)))
    assert (decoded.original_width, decoded.original_height) == (24, 16)


def test_gamma_is_not_applied() -> None:
    image, chunks = picture("L", (6, 8)), PngImagePlugin.PngInfo()
    chunks.add(b"gAMA", (10_000).to_bytes(4, "big"))
    content = png(image, pnginfo=chunks)
    assert b"gAMA" in content
    assert np.array_equal(tensor(content, Recipe(8, 6, 1))[:, :, 0], np.asarray(image))


def test_a_colour_profile_is_not_applied() -> None:
    image = picture("RGB", (6, 8))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    content = png(image, icc_profile=profile)
    assert b"iCCP" in content
    assert np.array_equal(tensor(content), np.asarray(image))


def test_an_interlaced_file_has_the_pixels_of_a_plain_one() -> None:
    grey = np.asarray(picture("L", (24, 16)))
    decoded = tensor(interlaced(grey), Recipe(16, 24, 1))
    assert np.array_equal(decoded[:, :, 0], grey)


@given(
    mode=st.sampled_from(MODES),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    spec=st.builds(Recipe, st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
    seed=st.integers(0, 999),
)
def test_any_picture_and_spec_give_what_is_promised(
    mode: str, size: tuple[int, int], spec: Recipe, seed: int
) -> None:
    content = png(picture(mode, size, seed))

    made = tensor(content, spec)
    mask = decode_mask(content, spec)

    assert made.dtype == np.uint8
    assert made.shape == (spec.height, spec.width, spec.channels)
    assert np.array_equal(made, pillows_tensor(content, spec))
    assert mask.pixels.dtype == np.uint8
    assert mask.pixels.shape == (spec.height, spec.width)
    assert set(np.unique(mask.pixels)) <= {0, 1}
    assert (mask.box is None) == (mask.area_fraction == 0.0)
    assert 0.0 <= mask.area_fraction <= 1.0
    assert 1 <= mask.values <= 256
    if mask.box is not None:
        left, top, right, bottom = mask.box
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
