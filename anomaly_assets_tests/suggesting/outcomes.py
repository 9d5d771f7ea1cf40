"""Find out what the product makes of a folder with a declaration."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from anomaly_assets.datasets import SourceDataset
from anomaly_assets.datasets.declaration import Declaration
from anomaly_assets.inspection.check import inspect
from anomaly_assets.roots.open import open_root


class Outcome(NamedTuple):
    """Category, split, label and masks of an image."""

    category: str
    split: str
    label: str
    masks: tuple[str, ...] = ()


def files_in(root: Path) -> list[str]:
    """Return the paths of all files below a folder."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def outcome(declaration: Declaration, folder: Path) -> dict[str, Outcome]:
    """Return category, split, label and masks of each image by its path."""
    root = open_root(str(folder))
    found = inspect(SourceDataset(declaration), root)
    return {
        image.file: Outcome(
            image.category,
            image.split,
            image.label,
            tuple(sorted(str(root.path_of(uri)) for _, uri, _ in image.masks)),
        )
        for image in found.images
    }
