"""Make the tensors and masks of recipes from a decoded picture, with pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomaly_assets.decoding.resize import resize_image
from anomaly_assets.recipes import Recipe, fitted_box, tile_boxes

UInt8Array: TypeAlias = npt.NDArray[np.uint8]
Box: TypeAlias = tuple[int, int, int, int]

_VALUES = np.arange(256, dtype=np.int64)
_SQUARES = _VALUES * _VALUES
_TO_BINARY = [0] + [1] * 255


@dataclass(frozen=True, slots=True)
class Tensor:
    """Tensor of one recipe, or one tile of it.

    Attributes:
        recipe: The recipe.
        tile: Number of the tile, row by row; 0 without tiles.
        box: Left, top, right, bottom of the tile in the picture, or of the picture in a tensor that keeps
            its aspect ratio; None for other recipes.
        pixels: uint8, height x width x channels.
        channel_sums: Sum of the pixels per channel, in 0..255.
        channel_square_sums: Sum of their squares per channel; integers, so that sums stay exact.
    """

    recipe: Recipe
    tile: int
    box: Box | None
    pixels: UInt8Array
    channel_sums: list[int]
    channel_square_sums: list[int]


def tensors_of(picture: Image.Image, recipe: Recipe) -> Iterator[Tensor]:
    """Yield the tensor of a recipe, or its tiles.

    Args:
        picture: Picture of mode `L` or `RGB`; `L` if the recipe has one channel.
        recipe: The recipe.
    """
    if recipe.overlap is not None:
        for tile, box in enumerate(tile_boxes(recipe, *picture.size)):
            yield _tensor(picture.crop(box), (0, 0), recipe, tile, box)
    elif recipe.fit:
        box = fitted_box(recipe, *picture.size)
        yield _tensor(_resized(picture, box, recipe), box[:2], recipe, 0, box)
    else:
        small = resize_image(picture, recipe.width, recipe.height, recipe.resize)
        yield _tensor(small, (0, 0), recipe, 0, None)


def masks_of(
    defect: Image.Image, recipes: Sequence[Recipe], picture_size: tuple[int, int] | None = None
) -> Iterator[UInt8Array]:
    """Yield the 0/1 masks of recipes and their tiles, each height x width, in the order of the tensors.

    Args:
        defect: Picture of mode `L` that is 0 where nothing is defective.
        recipes: The recipes.
        picture_size: Width and height of the image, if the mask may have another size.
    """
    size = picture_size or defect.size
    for recipe in recipes:
        if recipe.overlap is not None:
            whole = _nearest(defect, size)
            for box in tile_boxes(recipe, *size):
                yield _binary(whole.crop(box), (0, 0), recipe)
        elif recipe.fit:
            left, top, right, bottom = fitted_box(recipe, *size)
            yield _binary(_nearest(defect, (right - left, bottom - top)), (left, top), recipe)
        else:
            yield _binary(_nearest(defect, (recipe.width, recipe.height)), (0, 0), recipe)


def _nearest(defect: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a mask resized with NEAREST, which mixes no values: `> 0` can be applied afterwards."""
    return defect if defect.size == size else defect.resize(size, Image.Resampling.NEAREST)


def _resized(picture: Image.Image, box: Box, recipe: Recipe) -> Image.Image:
    return resize_image(picture, box[2] - box[0], box[3] - box[1], recipe.resize)


def _tensor(
    part: Image.Image, corner: tuple[int, int], recipe: Recipe, tile: int, box: Box | None
) -> Tensor:
    """Return the tensor with a resized picture at a corner, padded with zeros."""
    counts = np.array(part.histogram(), np.int64).reshape(-1, 256)
    channels = recipe.channels or len(counts)
    repeat = channels // len(counts)
    whole = part if repeat == 1 else part.convert("RGB")
    return Tensor(
        recipe,
        tile,
        box,
        np.asarray(_padded(whole, corner, recipe)).reshape(recipe.height, recipe.width, channels),
        (counts @ _VALUES).tolist() * repeat,
        (counts @ _SQUARES).tolist() * repeat,
    )


def _binary(part: Image.Image, corner: tuple[int, int], recipe: Recipe) -> UInt8Array:
    return np.asarray(_padded(part.point(_TO_BINARY), corner, recipe))


def _padded(part: Image.Image, corner: tuple[int, int], recipe: Recipe) -> Image.Image:
    size = recipe.width, recipe.height
    if part.size == size:
        return part
    whole = Image.new(part.mode, size)
    whole.paste(part, corner)
    return whole
