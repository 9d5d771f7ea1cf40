"""The source datasets that the pipeline knows, by name.

Each is defined by the module of its name in this folder, as `SOURCE_DATASET`: a layout (`classify`), and
what else sets it apart. Everything else in the project works for any entry of `SOURCE_DATASETS`.
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
"""A further source dataset is a module in this folder and a line here."""

SOURCE_DATASETS: Mapping[str, SourceDataset] = {
    name: import_module(f"{__name__}.{name}").SOURCE_DATASET for name in _MODULES
}


@dataclass(frozen=True, slots=True)
class OfficialCount:
    """How many images of one category, split and label the authors published."""

    source_dataset: str
    category: str
    split: str
    label: str
    images: int


@cache
def official_counts() -> tuple[OfficialCount, ...]:
    """Published image counts of the complete datasets, as far as they say any."""
    return tuple(
        OfficialCount(name, category, split, label, images)
        for name, dataset in SOURCE_DATASETS.items()
        if dataset.official_counts
        for category, splits in dataset.official_counts().items()
        for split, counts in splits.items()
        for label, images in zip(("good", "anomalous"), counts, strict=True)
    )
