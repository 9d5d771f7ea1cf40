"""Define recipes: how the pixels of a file become a tensor.

The text of a recipe is `HEIGHTxWIDTHxCHANNELS`, such as `512x512x1`. `512` is short for `512x512x3`, and
`512x640` for `512x640x3`. `native` in place of the channels keeps files without colour at one channel.
`/fit` at the end keeps the aspect ratio and pads with zeros. `full/tile=512+64` cuts the
picture in its own size into tiles of 512 x 512 that overlap by 64 pixels.

This module imports little, because `settings.py` imports it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

MOST_TENSOR_BYTES = 1024 * 1024 * 3
"""Maximum bytes of a tensor: a run holds about a hundred tensors in memory."""

MOST_SIDE = 4096
"""Maximum side of a tensor in pixels."""

LEAST_TILE = 8
"""Minimum side of a tile in pixels: each tile is a row."""

PILLOW: Final = "pillow"
SIMD: Final = "simd"

NATIVE: Final = 0
"""Number of channels that stands for those of the file: 1 without colour, else 3."""

_TEXT = re.compile(
    r"(?:(?P<full>full)|(?P<height>[0-9]{1,4})(?:x(?P<width>[0-9]{1,4}))?)(?:x(?P<channels>1|3|native))?"
    r"(?P<fit>/fit)?(?:/tile=(?P<tile>[0-9]{1,4})(?:\+(?P<overlap>[0-9]{1,4}))?)?"
)
_CHANNELS = {None: 3, "1": 1, "3": 3, "native": NATIVE}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Shape and resize of a tensor.

    Attributes:
        height: Height in pixels; that of a tile if `overlap` is not None.
        width: Width in pixels.
        channels: 1, 3 or `NATIVE`.
        resize: Resize backend: `pillow` or `simd`, whose values differ by at most 2 of 255.
        fit: Whether the aspect ratio is kept, and the tensor padded with zeros.
        overlap: Pixels that neighbouring tiles of a picture in its own size share; None without tiles.
    """

    height: int = 256
    width: int = 256
    channels: int = 3
    resize: str = PILLOW
    fit: bool = False
    overlap: int | None = None

    @property
    def name(self) -> str:
        """Return the text of the recipe in its long form; without the resize backend."""
        channels = self.channels or "native"
        if self.overlap is not None:
            full = "full" if channels == 3 else f"fullx{channels}"
            return f"{full}/tile={self.height}+{self.overlap}"
        return f"{self.height}x{self.width}x{channels}{'/fit' if self.fit else ''}"

    @property
    def transform(self) -> str:
        """Return the name of the transform; a tensor stored with another name is stale."""
        if self.overlap is not None:  # pixels are cut and not resized
            return self.name
        return f"lanczos-{'simd-' if self.resize == SIMD else ''}{self.name}"

    @property
    def is_common(self) -> bool:
        """Return whether this can be the common recipe: one size and one number of channels for all."""
        return self.channels != NATIVE and not self.fit and self.overlap is None

    @property
    def tensor_bytes(self) -> int:
        """Return the maximum number of bytes of one tensor, or of one tile."""
        return self.height * self.width * (self.channels or 3)

    def resized_by(self, resize: str) -> Recipe:
        """Return the recipe with another resize backend."""
        return replace(self, resize=resize)


@dataclass(frozen=True)
class Recipes:
    """Recipes of a run.

    Attributes:
        common: Recipe of every source dataset, by which batches of several datasets can be made.
        further: Further recipes by source dataset.
    """

    common: Recipe = field(default_factory=Recipe)
    further: Mapping[str, tuple[Recipe, ...]] = field(default_factory=dict)

    def of(self, source_dataset: str) -> tuple[Recipe, ...]:
        """Return the recipes of a source dataset, the common one first."""
        return self.common, *self.further.get(source_dataset, ())


def resize_of(transform: str) -> str:
    """Return the resize backend of a transform: `simd` or `pillow`."""
    return SIMD if transform.startswith(f"lanczos-{SIMD}-") else PILLOW


def parse_recipe(text: str) -> Recipe:
    """Parse a recipe; the docstring of the module describes the syntax.

    Raises:
        ValueError: The text is not a recipe; the message explains the syntax.
    """
    found = _TEXT.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(
            f"{text!r} is not a recipe: use HEIGHTxWIDTHxCHANNELS, such as 512x512x1 (channels 1, 3 or "
            "native), a side such as 512, 512x512x1/fit to keep the aspect ratio, or "
            "full/tile=512+64 for tiles."
        )
    channels = _CHANNELS[found["channels"]]
    if found["full"]:
        recipe = _tiles(text, found, channels)
    elif found["tile"]:
        raise ValueError(f"{text!r}: tiles are cut from the full size: use full/tile=512+64.")
    else:
        height = int(found["height"])
        recipe = Recipe(height, int(found["width"] or height), channels, fit=bool(found["fit"]))
    if not (0 < recipe.height <= MOST_SIDE and 0 < recipe.width <= MOST_SIDE):
        raise ValueError(f"{text!r}: use sides from 1 to {MOST_SIDE} pixels.")
    if recipe.tensor_bytes > MOST_TENSOR_BYTES:
        raise ValueError(
            f"{text!r}: a tensor may have at most {MOST_TENSOR_BYTES:,} values, as 1024x1024 has with 3 "
            "channels, so that a run fits into memory. Use a smaller size, or tiles: full/tile=512+64."
        )
    return recipe


def parse_recipes(texts: Sequence[str]) -> tuple[Recipe, ...]:
    """Parse recipes; keep their order and drop duplicates.

    Raises:
        ValueError: A text is not a recipe.
    """
    return tuple(dict.fromkeys(parse_recipe(text) for text in texts))


def _tiles(text: str, found: re.Match[str], channels: int) -> Recipe:
    if found["fit"] or not found["tile"]:
        raise ValueError(
            f"{text!r}: a picture in its full size is cut into tiles: use full/tile=512+64."
        )
    side, overlap = int(found["tile"]), int(found["overlap"] or 0)
    if side < LEAST_TILE:
        raise ValueError(f"{text!r}: use tiles of at least {LEAST_TILE} pixels.")
    if 2 * overlap > side:
        raise ValueError(f"{text!r}: tiles may overlap by half of their side, {side // 2} pixels.")
    return Recipe(side, side, channels, overlap=overlap)


def tile_boxes(recipe: Recipe, width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield left, top, right, bottom of the tiles of a picture, row by row.

    All tiles of a picture that is at least as large as a tile have the full side: the last one of a row or
    column is moved back, and overlaps more. A smaller picture has one tile, which it does not fill.
    """
    overlap = recipe.overlap or 0
    for top in _starts(height, recipe.height, overlap):
        for left in _starts(width, recipe.width, overlap):
            yield left, top, min(left + recipe.width, width), min(top + recipe.height, height)


def _starts(length: int, side: int, overlap: int) -> Iterator[int]:
    last = max(0, length - side)
    step = max(1, side - overlap)
    yield from range(0, last, step)
    yield last


def fitted_box(recipe: Recipe, width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the picture in a tensor that keeps its aspect ratio."""
    scale = min(recipe.width / width, recipe.height / height)
    inner_width = max(1, min(recipe.width, round(width * scale)))
    inner_height = max(1, min(recipe.height, round(height * scale)))
    left, top = (recipe.width - inner_width) // 2, (recipe.height - inner_height) // 2
    return left, top, left + inner_width, top + inner_height
