"""Define BTAD: three industrial products, good in training, good and defective in test.

Layout, at the root or one folder below it (`BTech_Dataset_transformed/`):

    01/train/ok/0000.bmp    01/test/ok/0000.bmp    01/test/ko/0000.bmp    01/ground_truth/ko/0000.png

Images are `.bmp` or `.png`, and so are masks, not always the same for both.

Reference: Mishra et al., "VT-ADL: A Vision Transformer Network for Image Anomaly Detection and
Localization", ISIE 2021. Licence: CC BY-NC-SA 4.0. Nothing is downloaded; the user brings the files.
"""

from __future__ import annotations

from anomaly_assets.datasets.record import (
    Ignored,
    ImageFile,
    Label,
    MaskFile,
    Record,
    Split,
    Stray,
    is_junk,
    is_unsafe,
    split_name,
)
from anomaly_assets.datasets.source_dataset import Counts, SourceDataset

_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}
_LABELS: dict[str, Label] = {"ok": "good", "ko": "anomalous"}
_MASKS = "ground_truth"
_SUFFIXES = (".bmp", ".png")


def classify(path: str) -> Record:
    """Classify the file at `path` (relative to the root, `/` between parts).

    Args:
        path: Any relative path; an unknown path gives a `Stray`.

    Returns:
        Exactly one record. Never raises.
    """
    parts = path.split("/")
    if is_unsafe(parts):
        return Stray(path, "unsafe_path")
    if is_junk(parts):
        return Ignored()
    if len(parts) not in (4, 5) or parts[-2] not in _LABELS:
        return Stray(path, "unrecognised_path")
    category, kind, folder, name = parts[-4:]
    relative_path = "/".join(parts[-4:])  # without the folder around the dataset
    stem, suffix = split_name(name)
    if suffix not in _SUFFIXES:
        return Stray(relative_path, "unsupported_suffix")
    # Both folders number their files from 0, and neither is a defect type.
    stem = f"{folder}/{stem}"
    if kind in _SPLITS:
        return ImageFile(relative_path, category, _SPLITS[kind], "", stem, _LABELS[folder])
    if kind != _MASKS:
        return Stray(path, "unrecognised_path")
    if folder == "ok":
        return Stray(relative_path, "mask_for_good_image")
    return MaskFile(relative_path, category, "test", "", stem)


def official_counts() -> Counts:
    """Return the published numbers of images, good and anomalous, per category and split."""
    return {
        "01": {"train": (400, 0), "test": (21, 49)},
        "02": {"train": (399, 0), "test": (30, 200)},
        "03": {"train": (1000, 0), "test": (400, 41)},
    }


SOURCE_DATASET = SourceDataset(
    name="btad",
    title="BTAD",
    licence="CC BY-NC-SA 4.0",
    classify=classify,
    formats=("PNG", "BMP"),
    training_is_good=True,
    official_counts=official_counts,
)
