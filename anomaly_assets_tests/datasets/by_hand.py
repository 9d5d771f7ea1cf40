"""Classify the paths of MVTec AD and DAGM 2007 without declarations: the expected result of their tests.

These two functions are written by hand and share no code with patterns, so that an error in one of both
is found by comparing them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from anomaly_assets.datasets.record import (
    Ignored,
    ImageFile,
    MaskFile,
    Record,
    Stray,
    is_junk,
    is_unsafe,
    split_name,
)
from anomaly_assets.datasets.words import Label, Split, label_meant


@dataclass(frozen=True, slots=True)
class Image:
    """An image file; `folder` names the type of the defect and is empty if none does."""

    relative_path: str
    category: str
    split: Split
    folder: str
    stem: str
    label: Label | None


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask; all fields but the path equal those of its image."""

    relative_path: str
    category: str
    split: Split
    folder: str
    stem: str


@dataclass(frozen=True, slots=True)
class Labels:
    """A file with the labels of one category and split."""

    relative_path: str
    category: str
    split: Split


Plain: TypeAlias = Image | Mask | Labels | Ignored | Stray
"""Any of these records."""


def plain(record: Record) -> Plain:
    """Return a record of a declaration in the form of these functions."""
    if isinstance(record, (Ignored, Stray)):
        return record
    assert record.category is not None
    assert record.split is not None
    place = (record.relative_path, record.category, record.split)
    folder = record.texts.get("defect_type", "")
    if isinstance(record, ImageFile):
        return Image(*place, folder, record.texts["name"], record.label)
    if isinstance(record, MaskFile):
        return Mask(*place, folder, record.texts["name"])
    return Labels(*place)


_MVTEC_FOLDERS = ("train", "test", "ground_truth")
_DAGM_SPLITS: dict[str, Split] = {"Train": "train", "Test": "test"}


def mvtec_ad(path: str) -> Plain:
    """Classify a path of MVTec AD: the split below one folder, or below two."""
    parts = path.split("/")
    if is_unsafe(parts):
        return Stray(path, "unsafe_path")
    if is_junk(parts):
        return Ignored()
    for depth in (1, 2):
        below = parts[depth + 1 :]
        if not 1 <= len(below) <= 2 or parts[depth] not in _MVTEC_FOLDERS:
            continue
        kind, folder = parts[depth], below[0] if len(below) == 2 else ""
        relative_path, category = "/".join(parts[depth - 1 :]), parts[depth - 1]
        stem, suffix = split_name(below[-1])
        if suffix != ".png":
            return Stray(relative_path, "unsupported_suffix")
        if kind == "ground_truth":
            return Mask(relative_path, category, "test", folder, _without(stem, "_mask"))
        label: Label | None = "good" if kind == "train" and not folder else None
        if folder:
            label = "good" if label_meant(folder) == "good" else "anomalous"
        split: Split = "train" if kind == "train" else "test"
        return Image(relative_path, category, split, folder, stem, label)
    return Stray(path, "unrecognised_path")


def dagm_2007(path: str) -> Plain:
    """Classify a path of DAGM 2007: the split below up to three folders, the last two with one name."""
    parts = path.split("/")
    if is_unsafe(parts):
        return Stray(path, "unsafe_path")
    if is_junk(parts):
        return Ignored()
    for depth in (1, 2, 3):
        below = parts[depth + 1 :]
        if not below or parts[depth] not in _DAGM_SPLITS:
            continue
        if depth == 3 and parts[1] != parts[2]:
            continue
        place = ("/".join(parts[depth - 1 :]), parts[depth - 1], _DAGM_SPLITS[parts[depth]])
        stem, suffix = split_name(below[-1])
        if len(below) == 1:
            if suffix != ".png":
                return Stray(place[0], "unsupported_suffix")
            return Image(*place, "", stem, None)
        if len(below) == 2 and below[0] == "Label":
            if below[1].lower() == "labels.txt":
                return Labels(*place)
            if suffix != ".png":
                return Stray(place[0], "unsupported_suffix")
            return Mask(*place, "", _without(stem, "_label"))
    is_older = parts[-2:-1] != [] and parts[-2].startswith("Class") and _is_older(parts[-1])
    return Stray(path, "older_dagm_archive" if is_older else "unrecognised_path")


def _is_older(name: str) -> bool:
    """Return whether an older archive has files of this name in the folders of its classes."""
    return name.lower() == "labels.txt" or split_name(name)[1] == ".png"


def _without(stem: str, ending: str) -> str:
    """Return a stem without the ending of masks, which may have any case."""
    if stem.lower().endswith(ending) and len(stem) > len(ending):
        return stem[: -len(ending)]
    return stem


BY_HAND = {"mvtec_ad": mvtec_ad, "dagm_2007": dagm_2007}
"""Functions by the name of their dataset."""
