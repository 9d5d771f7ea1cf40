"""Publish a database with one image of every kind, and provide its expected content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
from PIL import Image

from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.warehouse.project import SPEC, Project, mask, noise

WITHOUT_MASK = "mvtec_ad/bottle/test/crack/001.png"
ANOMALOUS_IN_TRAINING = "dagm_2007/Class1/Train/0002.PNG"

LEFT_OUT = ("loaded_at", "attributes")
"""Columns of samples that exports do not have."""

PICTURES = {
    "mvtec_ad/bottle/train/good/000.png": noise(0),
    "mvtec_ad/bottle/train/good/001.png": noise(1),
    "mvtec_ad/bottle/test/good/000.png": noise(2),
    "mvtec_ad/bottle/test/crack/000.png": noise(3),
    "mvtec_ad/bottle/ground_truth/crack/000_mask.png": mask((2, 3, 10, 9)),
    WITHOUT_MASK: noise(4),
    "mvtec_ad/carpet/train/good/000.png": noise(5, "L"),
    "mvtec_ad/carpet/test/hole/000.png": noise(6, "L"),
    "mvtec_ad/carpet/ground_truth/hole/000_mask.png": mask((0, 0, 12, 8)),
    "dagm_2007/Class1/Train/0001.PNG": noise(7, "L"),
    ANOMALOUS_IN_TRAINING: noise(8, "L"),
    "dagm_2007/Class1/Train/Label/0002_label.PNG": mask((4, 4, 8, 8)),
    "dagm_2007/Class1/Test/0003.PNG": noise(9, "L"),
}


@dataclass(frozen=True)
class Stored:
    """A stored sample.

    Attributes:
        row: All columns of `samples` but the tensors.
        image: uint8, height x width x channels.
        mask: uint8 0/1, height x width; None if there is none.
    """

    row: dict[str, Any]
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8] | None

    @property
    def exported(self) -> dict[str, Any]:
        """Return the columns as exports have them: without nulls, times and paths of this machine."""
        row = {name: value for name, value in self.row.items() if name not in LEFT_OUT}
        _, row["source_uri"] = row["image_id"].split("/", 1)
        nulls = {"defect_type": "", "label_index": -1, "mask_area_fraction": 0.0}
        return {**row, **{name: value for name, value in nulls.items() if row[name] is None}}

    @property
    def known_mask(self) -> npt.NDArray[np.uint8]:
        """Return the mask; zeros if there is none."""
        return np.zeros(self.image.shape[:2], np.uint8) if self.mask is None else self.mask


def publish_pictures(
    folder: Path, pictures: Mapping[str, Image.Image], spec: Recipe = SPEC
) -> Path:
    """Load pictures and publish them, without dlt."""
    project = Project.at(folder)
    project.save(pictures)
    return publish_project(project, spec)


def publish_project(project: Project, spec: Recipe = SPEC) -> Path:
    project.list_files()
    project.build(spec)
    project.refresh_all()
    database = project.folder / "anomaly.duckdb"
    project.warehouse.publish(database, spec)
    return database


def stored(database: Path, where: str = "true") -> dict[str, Stored]:
    """Return the stored samples by image id."""
    with duckdb.connect(str(database), read_only=True) as connection:
        cursor = connection.execute(f"SELECT * FROM main.samples WHERE {where} ORDER BY image_id")
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    samples = {}
    for row in rows:
        shape = (row["height"], row["width"], row["channels"])
        image = np.frombuffer(row.pop("image_tensor"), np.uint8).reshape(shape)
        content = row.pop("mask_tensor")
        found = None if content is None else np.frombuffer(content, np.uint8).reshape(shape[:2])
        samples[row["image_id"]] = Stored(row, image, found)
    return samples


def snapshot_id(database: Path) -> str:
    with duckdb.connect(str(database), read_only=True) as connection:
        (found,) = connection.execute("SELECT snapshot_id FROM main.snapshots").fetchall()
    return str(found[0])


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    """Return a PNG unchanged, height x width x channels; grey ones have one channel."""
    with Image.open(path) as picture:
        found = np.asarray(picture)
    return found if found.ndim == 3 else found[:, :, np.newaxis]


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the content of every file, hidden ones too, by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
