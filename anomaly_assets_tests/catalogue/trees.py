"""Write small dataset trees, and list their expected rows."""

import os
import zipfile
from pathlib import Path
from typing import Any

from anomaly_assets.catalogue.listing import Catalog, list_catalog
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.roots.open import open_root

MVTEC = SOURCE_DATASETS["mvtec_ad"]
DAGM = SOURCE_DATASETS["dagm_2007"]

Row = dict[str, Any]

WRITTEN_AT = 1_000_000_000
"""Modification time of the files, so that the same tree has the same listing."""

LABELS = b"1\n1\t0\t0001.PNG\t0\t0\t\n2\t1\t0002.PNG\t0\t0002_label.PNG\n"

MVTEC_PATHS = (
    "bottle/train/good/000.png",
    "bottle/train/good/001.png",
    "bottle/test/good/000.png",
    "bottle/test/broken/000.png",
    "bottle/test/broken/001.png",
    "bottle/ground_truth/broken/000_mask.png",
    "cable/train/good/000.png",
    "cable/train/good/001.png",
    "cable/train/good/002.png",
    "cable/test/cut/000.png",
    "cable/test/cut/001.png",
    "cable/ground_truth/cut/000_mask.png",
    "cable/ground_truth/cut/007_mask.png",
)
"""Ten images, two pairs, two anomalous images without a mask, and one mask without an image."""


def write(root: Path, *paths: str | bytes, content: bytes | None = None) -> Path:
    """Write files below a root, all with the same time, and return the root.

    Each file contains its own path, unless `content` is given.
    """
    for path in paths:
        name = os.fsencode(path)
        target = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(name if content is None else content)
        os.utime(target, (WRITTEN_AT, WRITTEN_AT))
    return root


def write_dagm(root: Path) -> Path:
    """Write one class: two training images, the second anomalous by mask and label; one test image."""
    write(root, "Class1/Train/0001.PNG", "Class1/Train/0002.PNG", "Class1/Test/0003.PNG")
    write(root, "Class1/Train/Label/0002_label.PNG")
    return write(root, "Class1/Train/Label/Labels.txt", content=LABELS)


def zip_of(folder: Path, archive: Path, prefix: str = "") -> Path:
    """Pack all files of a folder into a zip, below `prefix`, and return the archive."""
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(folder.rglob("*")):
            target.write(path, prefix + path.relative_to(folder).as_posix())
    return archive


def catalog_of(dataset_name: str, root: Path) -> Catalog:
    """List a root."""
    return list_catalog(SOURCE_DATASETS[dataset_name], open_root(str(root)))


def images_of(dataset_name: str, root: Path) -> dict[str, Row]:
    """Return the catalogue rows of a root by relative path."""
    rows = catalog_of(dataset_name, root).images.to_pylist()
    assert len({row["image_id"] for row in rows}) == len(rows)
    return {row["relative_path"]: row for row in rows}


def strays_of(dataset_name: str, root: Path) -> dict[str, str]:
    """Return the reasons of the stray files of a root by relative path."""
    rows = catalog_of(dataset_name, root).stray_files.to_pylist()
    return {row["relative_path"]: row["reason"] for row in rows}
