"""Define MVTec AD: fifteen objects or textures, good in training, good and defective in test.

Official layout, at the root or one folder below it (`mvtec_anomaly_detection/`):

    <category>/train/good/000.png
    <category>/test/good/000.png            <category>/test/<defect>/000.png
    <category>/ground_truth/<defect>/000_mask.png

The folder of good images may also be called `ok`, `normal` or `0`, in any case. Some copies have a black
mask for each good image, in `ground_truth/good/`.

Flat excerpts load too. In them the mask of a test image decides; where others have one, no mask means good:

    <category>/train/016.png    <category>/test/000.png    <category>/ground_truth/000_mask.png

Reference: Bergmann et al., "MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly
Detection", CVPR 2019. Licence: CC BY-NC-SA 4.0. Nothing is downloaded; the user brings the files.
"""

from __future__ import annotations

from collections.abc import Mapping

from anomaly_assets.datasets.record import (
    IMAGE_SUFFIX,
    Ignored,
    ImageFile,
    Label,
    MaskFile,
    Record,
    Stray,
    is_junk,
    is_unsafe,
    mask_stem,
    split_name,
)
from anomaly_assets.datasets.source_dataset import Counts, SourceDataset, published_facts
from anomaly_assets.datasets.words import label_meant

_SPLITS = ("train", "test")
_MASKS = "ground_truth"
_GOOD = "good"


def classify(path: str) -> Record:
    """Classify the file at `path` (relative to the root, `/` between parts).

    The split folder may be below one or two leading folders; two means that the dataset is one level
    below the root. Names of splits are matched exactly: DAGM writes `Train`, and a DAGM root must not be
    taken for MVTec AD. Words for good images are matched in any case.

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
    for depth in (1, 2):
        below = parts[depth + 1 :]
        if not 1 <= len(below) <= 2 or parts[depth] not in (*_SPLITS, _MASKS):
            continue
        kind, folder = parts[depth], below[0] if len(below) == 2 else ""
        if depth == 1 and kind == "train" and folder in (*_SPLITS, _MASKS):
            continue  # a category that is itself called `train`, one level deeper
        return _in_category(parts[depth - 1], kind, folder, below[-1], "/".join(parts[depth - 1 :]))
    return Stray(path, "unrecognised_path", _explanation(parts))


def _explanation(parts: list[str]) -> str | None:
    """Return a sentence about a path of MVTec LOCO AD, whose layout is similar and is not read."""
    for depth in (1, 2):
        below = parts[depth + 1 :]
        if parts[depth : depth + 1] == [_MASKS] and len(below) == 3:
            return (
                "a folder of masks for one image, as in MVTec LOCO AD: here an image has one mask"
            )
        if parts[depth : depth + 1] == ["validation"] and below:
            return "a split of MVTec LOCO AD: this layout has the splits train and test"
    return None


def _in_category(category: str, kind: str, folder: str, name: str, relative_path: str) -> Record:
    stem, suffix = split_name(name)
    if suffix != IMAGE_SUFFIX:
        return Stray(relative_path, "unsupported_suffix")
    if kind == _MASKS:
        return MaskFile(relative_path, category, "test", folder, mask_stem(stem, "_mask"))
    label: Label | None = "good" if kind == "train" and not folder else None
    if folder:
        label = "good" if label_meant(folder) == "good" else "anomalous"
    return ImageFile(
        relative_path, category, "train" if kind == "train" else "test", folder, stem, label
    )


def official_counts() -> Counts:
    """Return the image counts that the authors published."""
    return {
        category: {"train": _counts(facts["train"]), "test": _counts(facts["test"])}
        for category, facts in published_facts()["mvtec_ad"].items()
    }


def _counts(images_of: Mapping[str, int]) -> tuple[int, int]:
    good = images_of.get(_GOOD, 0)
    return good, sum(images_of.values()) - good


SOURCE_DATASET = SourceDataset(
    name="mvtec_ad",
    title="MVTec AD",
    licence="CC BY-NC-SA 4.0",
    classify=classify,
    folders=(*_SPLITS, _MASKS),
    unmasked="good",
    training_is_good=True,
    official_counts=official_counts,
    default_root="data/samples/mvtec_ad",
)
