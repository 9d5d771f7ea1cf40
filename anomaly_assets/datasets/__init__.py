"""The source datasets that the pipeline knows, by name.

A source dataset is a layout (`classify`), optionally a parser for declared labels, and the counts
that its authors published. Everything else in the project works for any entry of `SOURCE_DATASETS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from anomaly_assets.datasets import dagm_2007, mvtec_ad
from anomaly_assets.datasets.record import DeclaredLabels, Record


@dataclass(frozen=True)
class SourceDataset:
    """One source dataset.

    Attributes:
        name: Schema in the database, group in the asset graph, prefix of every `image_id`.
        title: The name people use.
        licence: Under which terms the images may be used.
        classify: Relative path to what the file is; pure, never raises.
        parse_labels: Content of a labels file to what it declares, where the dataset has such files.
    """

    name: str
    title: str
    licence: str
    classify: Callable[[str], Record]
    parse_labels: Callable[[bytes], DeclaredLabels] | None = None

    @property
    def root_variable(self) -> str:
        """Environment variable that names the root of this source dataset."""
        return f"{self.name.upper()}_ROOT"


SOURCE_DATASETS: Mapping[str, SourceDataset] = {
    dataset.name: dataset
    for dataset in (
        SourceDataset("mvtec_ad", "MVTec AD", "CC BY-NC-SA 4.0", mvtec_ad.classify),
        SourceDataset(
            "dagm_2007", "DAGM 2007", "CC BY 4.0", dagm_2007.classify, dagm_2007.parse_labels
        ),
    )
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
    """Published image counts of the complete datasets.

    Sources: for MVTec AD the paper's table 1 and counted copies, for DAGM 2007 counted copies; see
    `official_counts.json`, which also holds the counts per defect type.
    """
    text = resources.files(__name__).joinpath("official_counts.json").read_text("utf-8")
    published = json.loads(text)
    rows: list[OfficialCount] = []

    def add(source_dataset: str, category: str, split: str, good: int, anomalous: int) -> None:
        for label, images in (("good", good), ("anomalous", anomalous)):
            rows.append(OfficialCount(source_dataset, category, split, label, images))

    for category, facts in published["mvtec_ad"].items():
        for split in ("train", "test"):
            good = facts[split].get("good", 0)
            add("mvtec_ad", category, split, good, sum(facts[split].values()) - good)
    for category, facts in published["dagm_2007"].items():
        for folder in ("Train", "Test"):
            counts = facts[folder]
            add("dagm_2007", category, folder.lower(), counts["good"], counts["anomalous"])
    return tuple(rows)
