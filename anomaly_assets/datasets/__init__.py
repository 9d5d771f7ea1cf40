"""List the source datasets of the pipeline by name.

The module of the same name in this folder defines each one as `SOURCE_DATASET`: a layout (`classify`)
and its other properties. All other code works for any entry of `SOURCE_DATASETS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from anomaly_assets.datasets.source_dataset import SourceDataset

__all__ = ["SOURCE_DATASETS", "OfficialCount", "SourceDataset", "official_counts"]

_MODULES = (
    "mvtec_ad",
    "dagm_2007",
)
"""Modules of the source datasets; to add one, add a module to this folder and a line here."""

SOURCE_DATASETS: Mapping[str, SourceDataset] = {
    name: import_module(f"{__name__}.{name}").SOURCE_DATASET for name in _MODULES
}


@dataclass(frozen=True, slots=True)
class OfficialCount:
    """Number of images that the authors published for one category, split and label."""

    source_dataset: str
    category: str
    split: str
    label: str
    images: int


@cache
def official_counts() -> tuple[OfficialCount, ...]:
    """Return the published image counts of the complete datasets, for those that have them."""
    return tuple(
        OfficialCount(name, category, split, label, images)
        for name, dataset in SOURCE_DATASETS.items()
        if dataset.official_counts
        for category, splits in dataset.official_counts().items()
        for split, counts in splits.items()
        for label, images in zip(("good", "anomalous"), counts, strict=True)
    )
