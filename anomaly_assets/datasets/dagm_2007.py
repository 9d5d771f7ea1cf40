"""Define DAGM 2007: ten classes of synthetic textures with weakly labelled defects in both splits.

Layout, at the root, below `DAGM_KaggleUpload/`, or with each class folder doubled (`ClassN/ClassN/`):

    Class1/Train/0576.PNG    Class1/Train/Label/0595_label.PNG    Class1/Train/Label/Labels.txt
    Class1/Test/0001.PNG     Class1/Test/Label/0002_label.PNG     Class1/Test/Label/Labels.txt

`Labels.txt` starts with a line `1`; then tab-separated rows: id, 0 or 1, image file, 0, mask file.
Training images may be anomalous, so a good-only training set must filter on the label. Masks are
filled ellipses around the defect, and a few of them have hardly any pixel.

Older archives (`Class1/1.png`, `Class1_def/1.png`, `labels.txt` of ellipse parameters) have neither
masks nor splits; their files become strays with the reason `older_dagm_archive`.

Reference: Wieler and Hahn, "Weakly Supervised Learning for Industrial Optical Inspection", DAGM
symposium 2007. Licence: CC BY 4.0. Nothing is downloaded; the user brings the files.
"""

from __future__ import annotations

import re

from anomaly_assets.datasets.dagm_labels import parse_labels
from anomaly_assets.datasets.record import (
    IMAGE_SUFFIX,
    Ignored,
    ImageFile,
    LabelsFile,
    MaskFile,
    Record,
    Split,
    Stray,
    is_junk,
    is_unsafe,
    mask_stem,
    split_name,
)
from anomaly_assets.datasets.source_dataset import Counts, SourceDataset, published_facts

_SPLITS: dict[str, Split] = {"Train": "train", "Test": "test"}
_LABEL_FOLDER = "Label"
_LABELS_FILE = "labels.txt"
_OLDER_ARCHIVE = re.compile(r"(?:^|/)Class\d+(?:_def)?/(?:\d+\.png|labels\.txt)$", re.IGNORECASE)


def classify(path: str) -> Record:
    """Classify the file at `path` (relative to the root, `/` between parts).

    Args:
        path: Any relative path; an unknown path gives a `Stray`.

    Returns:
        One record. Never raises.
    """
    parts = path.split("/")
    if is_unsafe(parts):
        return Stray(path, "unsafe_path")
    if is_junk(parts):
        return Ignored()
    for depth in (1, 2, 3):
        below = parts[depth + 1 :]
        if not below or parts[depth] not in _SPLITS:
            continue
        if depth == 3 and parts[1] != parts[2]:
            continue  # two extra folders only if one is the doubled class folder
        category, split = parts[depth - 1], _SPLITS[parts[depth]]
        relative_path = "/".join(parts[depth - 1 :])
        if len(below) == 1:
            return _image(relative_path, category, split, below[0])
        if len(below) == 2 and below[0] == _LABEL_FOLDER:
            return _label(relative_path, category, split, below[1])
    reason = "older_dagm_archive" if _OLDER_ARCHIVE.search(path) else "unrecognised_path"
    return Stray(path, reason)


def _image(relative_path: str, category: str, split: Split, name: str) -> Record:
    stem, suffix = split_name(name)
    if suffix != IMAGE_SUFFIX:
        return Stray(relative_path, "unsupported_suffix")
    return ImageFile(relative_path, category, split, "", stem, None)


def _label(relative_path: str, category: str, split: Split, name: str) -> Record:
    if name.lower() == _LABELS_FILE:
        return LabelsFile(relative_path, category, split)
    stem, suffix = split_name(name)
    if suffix != IMAGE_SUFFIX:
        return Stray(relative_path, "unsupported_suffix")
    return MaskFile(relative_path, category, split, "", mask_stem(stem, "_label"))


def official_counts() -> Counts:
    """Return the image counts that the authors published."""
    return {
        category: {
            split: (facts[folder]["good"], facts[folder]["anomalous"])
            for folder, split in _SPLITS.items()
        }
        for category, facts in published_facts()["dagm_2007"].items()
    }


SOURCE_DATASET = SourceDataset(
    name="dagm_2007",
    title="DAGM 2007",
    licence="CC BY 4.0",
    classify=classify,
    folders=(*_SPLITS, _LABEL_FOLDER),
    parse_labels=parse_labels,
    labels_format="tab-separated fields: number, 0 or 1, file name",
    unmasked="good",
    official_counts=official_counts,
    default_root="data/samples/dagm_2007",
)
