"""Read a sample of images and masks, as a run would decode them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anomaly_assets.datasets import SourceDataset
from anomaly_assets.decoding.batch import IMAGE_COLUMNS, StaleImage, decode_batch
from anomaly_assets.inspection.mask_values import about_masks
from anomaly_assets.recipes import Recipe
from anomaly_assets.roots.base import Root

IMAGES_OF_A_SUFFIX = 20
"""Minimum number of images of each suffix whose content is read, with a mask or without."""

_SMALL = Recipe(8, 8, 1)
_BATCH = 20

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Unusable:
    """A file that a run would reject.

    Attributes:
        path: Path below the root.
        reason: Reason as in `rejected_images`.
        detail: Sentence about it.
        is_mask: Whether it is a mask; its image can be used.
    """

    path: str
    reason: str
    detail: str
    is_mask: bool


@dataclass(frozen=True)
class Sample:
    """Hold what was read.

    Attributes:
        images: Number of images that were read.
        areas: Defective share of each mask that was read, by the id of the image.
        sizes: Width and height of each image that can be used, by its path.
        unusable: Files that cannot be used.
        about_masks: Sentences about the content of masks.
    """

    images: int = 0
    areas: Mapping[str, float] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    unusable: Sequence[Unusable] = ()
    about_masks: Sequence[str] = ()


def read_sample(
    dataset: SourceDataset, root: Root, rows: Sequence[Row], most_masks: int, depth: int | None
) -> Sample:
    """Read masks, those that decide about labels first, and some images of each suffix.

    Args:
        dataset: The source dataset.
        root: The root.
        rows: Rows of the catalogue. Which ones are read depends on their paths alone.
        most_masks: Masks to read at most.
        depth: Bits that 16-bit files use; None to take what each file states.
    """
    masked = _with_masks(rows, most_masks)
    chosen = [*masked, *_more_images(rows, masked)]
    areas: dict[str, float] = {}
    sizes: dict[str, tuple[int, int]] = {}
    unusable: list[Unusable] = []
    path_of = {row["image_id"]: row["relative_path"] for row in chosen}
    for start in range(0, len(chosen), _BATCH):
        images = [
            StaleImage(
                **{name: row[name] for name in IMAGE_COLUMNS}, formats=dataset.formats, depth=depth
            )
            for row in chosen[start : start + _BATCH]
        ]
        batch = decode_batch(images, {dataset.name: root}, _SMALL)
        for fact in batch.facts.to_pylist():
            size = fact["original_width"], fact["original_height"]
            sizes[path_of[fact["image_id"]]] = size
            if fact["mask_area_fraction"] is not None:
                areas[fact["image_id"]] = fact["mask_area_fraction"]
        unusable += [
            Unusable(each.relative_path, each.reason, each.detail, each.of_mask)
            for each in batch.rejections
        ]
    read = [row for row in masked if row["image_id"] in areas]
    return Sample(len(chosen), areas, sizes, unusable, list(about_masks(root, read, areas)))


def _digest(row: Row) -> str:
    return hashlib.sha256(row["image_id"].encode()).hexdigest()


def _with_masks(rows: Iterable[Row], most: int) -> list[Row]:
    """Return rows with a mask: those that it decides about first, else by a digest of the path."""

    def order(row: Row) -> tuple[bool, str]:
        return row["label_source"] not in ("none", "default"), _digest(row)

    return sorted((row for row in rows if row["mask_source_uri"] is not None), key=order)[:most]


def _more_images(rows: Sequence[Row], chosen: Sequence[Row]) -> list[Row]:
    """Return further rows, without their masks, so that some of each suffix are read."""
    counts = Counter(_suffix(row) for row in chosen)
    known = {row["image_id"] for row in chosen}
    found: list[Row] = []
    for row in sorted((row for row in rows if row["image_id"] not in known), key=_digest):
        if counts[_suffix(row)] < IMAGES_OF_A_SUFFIX:
            counts[_suffix(row)] += 1
            columns = ("mask_relative_path", "mask_source_uri", "mask_file_version", "mask_reading")
            found.append({**row, **dict.fromkeys(columns)})
    return found


def _suffix(row: Row) -> str:
    name: str = row["relative_path"].rpartition("/")[2]
    return name.rpartition(".")[2].lower()
