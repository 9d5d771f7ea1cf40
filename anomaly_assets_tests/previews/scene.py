"""Make a project of pictures with one grey value each, which no resize changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.warehouse.project import Project, mask

SIDE = 92
"""Size of a thumbnail on the sheet of a source dataset, in pixels."""

SPEC = Recipe(SIDE, SIDE, 3)
RED = (230, 30, 60)
DEFECT = (40, 30, 70, 60)
"""Left, top, right, bottom of the defect."""


def even(grey: int) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), (grey, grey, grey))


def square() -> Image.Image:
    return mask(DEFECT, size=(SIDE, SIDE))


def built(
    folder: Path,
    pictures: dict[str, Image.Image],
    spec: Recipe = SPEC,
    source_dataset: str = "mvtec_ad",
) -> Project:
    """Build a project whose tensors are made of these pictures."""
    project = Project.at(folder)
    project.save({f"{source_dataset}/{path}": picture for path, picture in pictures.items()})
    project.list_files()
    project.build(spec)
    return project


def part(sheet: Image.Image, left: int, top: int, side: int = SIDE) -> np.ndarray:
    return np.asarray(sheet.crop((left, top, left + side, top + side)))


def is_red(pixels: np.ndarray) -> np.ndarray:
    return np.all(pixels == RED, axis=2)
