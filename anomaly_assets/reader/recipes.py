"""List the recipes of a database, choose one by its name or size, and put maps of tiles together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from anomaly_assets.recipes import parse_recipe, tile_boxes
from anomaly_assets.tables.recipes import RecipeNames, listed_recipes


def wanted_name(size: Any, recipe: Any) -> tuple[str | None, tuple[int, int] | None]:
    """Return the long name of `recipe`, and height and width of `size`; None for a missing argument.

    Raises:
        TypeError: An argument has another type.
        ValueError: Both are given, or the text is not a recipe.
    """
    if recipe is not None and size is not None:
        raise ValueError("Give size= or recipe=, not both: the name of a recipe includes its size.")
    if recipe is not None:
        if not isinstance(recipe, str):
            raise TypeError(f"recipe={recipe!r}: give the name of a recipe, such as '512x512x1'.")
        return parse_recipe(recipe).name, None
    if size is None:
        return None, None
    sides = (
        (size, size) if _is_whole(size) else tuple(size) if isinstance(size, (tuple, list)) else ()
    )
    if len(sides) != 2 or not all(map(_is_whole, sides)):
        raise TypeError(f"size={size!r}: give a side such as 512, or (height, width).")
    return None, (int(sides[0]), int(sides[1]))


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def chosen_recipe(
    existing: RecipeNames,
    source_datasets: Iterable[str],
    name: str | None,
    sides: tuple[int, int] | None,
) -> str:
    """Return the name of the one recipe that all of these source datasets have.

    Args:
        existing: Recipes of the database.
        source_datasets: Source datasets of the selected samples.
        name: Name of the recipe; None to choose by size.
        sides: Height and width; recipes that only resize are preferred over tiles and `/fit`.

    Raises:
        LookupError: A source dataset has no such recipe, or several recipes have the size.
    """
    selected = sorted(source_datasets)
    wanted = (
        f"recipe={name!r}"
        if sides is None
        else f"size={sides[0] if sides[0] == sides[1] else sides}"
    )
    of_size = {
        dataset: [each for each in existing.get(dataset, ()) if each == name or _has(each, sides)]
        for dataset in selected
    }
    listed = (
        f"Existing recipes: {listed_recipes({each: existing.get(each, ()) for each in selected})}."
    )
    if lacking := [dataset for dataset, found in of_size.items() if not found]:
        having = [dataset for dataset, found in of_size.items() if found]
        advice = f" Select a dataset that has it: source_dataset={having!r}." if having else ""
        raise LookupError(f"{wanted} does not exist for {', '.join(lacking)}. {listed}{advice}")
    shared = [
        each for each in of_size[selected[0]] if all(each in of_size[one] for one in selected)
    ]
    plain = [each for each in shared if "/" not in each]
    candidates = plain or shared
    if len(candidates) != 1:
        which = (
            f"{wanted} is the size of {', '.join(candidates)}: name one of them with recipe=."
            if candidates
            else f"{wanted} is a different recipe for {', '.join(selected)}: select one of them."
        )
        raise LookupError(f"{which} {listed}")
    return candidates[0]


def _has(recipe: str, sides: tuple[int, int] | None) -> bool:
    parsed = parse_recipe(recipe)
    return (parsed.height, parsed.width) == sides


def stitched(table: pa.Table, recipe: str, maps: npt.ArrayLike) -> dict[str, npt.NDArray[Any]]:
    """Put maps of tiles together; see `Samples.stitch`."""
    parsed = parse_recipe(recipe)
    if parsed.overlap is None:
        raise ValueError(
            f"Samples of the recipe {recipe} are whole images. Only tiles are stitched: open the "
            "samples with a recipe such as full/tile=512+64."
        )
    maps = np.asarray(maps)
    expected = table.num_rows, parsed.height, parsed.width
    if maps.ndim not in (3, 4) or maps.shape[:3] != expected:
        raise ValueError(
            f"The maps have the shape {maps.shape}: give one map per sample, {expected}, or with "
            "channels as a fourth dimension."
        )
    if not (np.issubdtype(maps.dtype, np.floating) or maps.dtype == np.uint8):
        raise TypeError(f"The maps are {maps.dtype}: give floating-point numbers or uint8.")
    columns = ("image_id", "tile", "box", "original_width", "original_height")
    tiles: dict[str, list[tuple[int, int, list[int], tuple[int, int]]]] = {}
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    for at, (image_id, tile, box, width, height) in enumerate(rows):
        tiles.setdefault(image_id, []).append((at, tile, box, (width, height)))
    for image_id, found in tiles.items():
        count = sum(1 for _ in tile_boxes(parsed, *found[0][3]))
        if missing := sorted(set(range(count)) - {tile for _, tile, *_ in found}):
            raise ValueError(
                f"{image_id} has {count} tiles, and tile {', '.join(map(str, missing))} is missing. Select "
                "all tiles of an image."
            )
    return {image_id: _average(found, maps) for image_id, found in tiles.items()}


def _average(
    tiles: list[tuple[int, int, list[int], tuple[int, int]]], maps: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Return the mean of the maps at each pixel of an image; uint8 is rounded to the nearest value."""
    width, height = tiles[0][3]
    is_uint8 = maps.dtype == np.uint8
    total = np.zeros((height, width, *maps.shape[3:]), np.uint32 if is_uint8 else np.float64)
    count = np.zeros((height, width, *(1,) * (maps.ndim - 3)), np.uint32)
    for at, _, (left, top, right, bottom), _ in tiles:
        total[top:bottom, left:right] += maps[at, : bottom - top, : right - left]
        count[top:bottom, left:right] += 1
    if is_uint8:
        total += count // 2
        total //= count
    else:
        total /= count
    return total.astype(maps.dtype)
