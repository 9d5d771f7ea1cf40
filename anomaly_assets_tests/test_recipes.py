"""Test recipes as text, and the places of tiles and fitted pictures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_assets.recipes import (
    MOST_TENSOR_BYTES,
    NATIVE,
    Recipe,
    fitted_box,
    parse_recipe,
    parse_recipes,
    resize_of,
    tile_boxes,
)


@pytest.mark.parametrize(
    ("text", "recipe", "name"),
    [
        ("256", Recipe(256, 256, 3), "256x256x3"),
        ("256x320", Recipe(256, 320, 3), "256x320x3"),
        (" 512x512x1 ", Recipe(512, 512, 1), "512x512x1"),
        ("512X512XNATIVE", Recipe(512, 512, NATIVE), "512x512xnative"),
        ("64x32x3/fit", Recipe(64, 32, 3, fit=True), "64x32x3/fit"),
        ("full/tile=512+64", Recipe(512, 512, 3, overlap=64), "full/tile=512+64"),
        ("fullx1/tile=128", Recipe(128, 128, 1, overlap=0), "fullx1/tile=128+0"),
    ],
)
def test_a_text_names_a_recipe_and_its_name_is_such_a_text(
    text: str, recipe: Recipe, name: str
) -> None:
    assert parse_recipe(text) == recipe
    assert recipe.name == name
    assert parse_recipe(name) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a recipe: use HEIGHTxWIDTHxCHANNELS"),
        ("512x512x2", "is not a recipe"),
        ("512 x 512", "is not a recipe"),
        ("-1", "is not a recipe"),
        ("0", "use sides from 1 to 4096 pixels"),
        ("4097", "use sides from 1 to 4096 pixels"),
        ("2048", "a tensor may have at most 3,145,728 values"),
        ("full", "use full/tile=512+64"),
        ("full/fit", "use full/tile=512+64"),
        ("512/tile=64", "tiles are cut from the full size"),
        ("full/tile=7", "use tiles of at least 8 pixels"),
        ("full/tile=64+33", "tiles may overlap by half of their side, 32 pixels"),
    ],
)
def test_what_is_no_recipe_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_recipe(text)
    assert message in str(raised.value)


@given(st.text(max_size=20))
def test_any_text_is_a_recipe_within_the_bounds_or_refused(text: str) -> None:
    try:
        recipe = parse_recipe(text)
    except ValueError:
        return
    assert recipe.tensor_bytes <= MOST_TENSOR_BYTES
    assert parse_recipe(recipe.name) == recipe


def test_a_recipe_is_listed_once() -> None:
    assert parse_recipes(["256", "512x512x1", "256x256x3"]) == (Recipe(), Recipe(512, 512, 1))


def test_the_transform_names_what_decides_the_pixels() -> None:
    assert Recipe(8, 6, 3).transform == "lanczos-8x6x3"
    assert Recipe(8, 6, 3, "simd").transform == "lanczos-simd-8x6x3"
    assert Recipe(8, 8, 1, "simd", overlap=2).transform == "fullx1/tile=8+2"
    assert resize_of(Recipe(8, 6, 3, "simd").transform) == "simd"
    assert resize_of(Recipe(8, 6, 3).transform) == "pillow"


_sides = st.integers(1, 60)


@given(_sides, _sides, st.integers(1, 30), st.data())
def test_tiles_cover_every_pixel_and_have_their_full_side_where_the_picture_has(
    width: int, height: int, side: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, side // 2))
    recipe = Recipe(side, side, 1, overlap=overlap)
    covered = np.zeros((height, width), int)
    boxes = list(tile_boxes(recipe, width, height))
    for left, top, right, bottom in boxes:
        assert (right - left, bottom - top) == (min(side, width), min(side, height))
        covered[top:bottom, left:right] += 1
    assert covered.min() >= 1
    assert len(set(boxes)) == len(boxes)
    for one, other in pairwise(boxes):
        if one[1] == other[1]:  # neighbours of a row
            assert one[2] - other[0] >= min(overlap, width)


@given(_sides, _sides, _sides, _sides)
def test_a_fitted_picture_is_inside_touches_two_edges_and_keeps_the_ratio(
    width: int, height: int, tensor_width: int, tensor_height: int
) -> None:
    recipe = Recipe(tensor_height, tensor_width, 1, fit=True)
    left, top, right, bottom = fitted_box(recipe, width, height)
    assert 0 <= left < right <= tensor_width
    assert 0 <= top < bottom <= tensor_height
    assert right - left == tensor_width or bottom - top == tensor_height
    exact = min(tensor_width / width, tensor_height / height)
    assert abs(right - left - width * exact) <= 1
    assert abs(bottom - top - height * exact) <= 1
