"""Test every format, read back: images, masks and labels equal the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image

from anomaly_assets.export import FORMATS
from anomaly_assets.export.annotation import brush
from anomaly_assets.polygons import pixels_of
from anomaly_assets.reader import open_samples
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.export.published import pixels, publish_pictures
from anomaly_assets_tests.warehouse.project import mask, noise

Load = Callable[..., Any]
Item = tuple[str, int, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""The id, label, image (height x width x 3) and mask (0/1, height x width) of a sample."""

NUMBERS = [60, pytest.param(2613, marks=pytest.mark.slow)]
SIDE = 32


@pytest.fixture(scope="module", params=NUMBERS)
def generated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish some images of three categories: of ten, six are for training and two have a defect."""
    pictures: dict[str, Image.Image] = {}
    size = (SIDE, SIDE)
    for number in range(request.param):
        category, place = f"mvtec_ad/part{number % 3}", number // 3 % 10
        name = f"{number:04}"
        kind = "train/good" if place < 6 else "test/good" if place < 8 else "test/scratch"
        pictures[f"{category}/{kind}/{name}.png"] = noise(number, size=size)
        if place >= 8:
            left, top = number % 20, number % 13
            defect = mask((left, top, left + 9, top + 5), size=size)
            pictures[f"{category}/ground_truth/scratch/{name}_mask.png"] = defect
    folder = tmp_path_factory.mktemp("generated")
    return publish_pictures(folder, pictures, Recipe(SIDE, SIDE, 3))


def from_tensors(folder: Path, load: Load) -> Iterator[Item]:
    columns = ["image_id", "label_index", "image_tensor", "mask_tensor"]
    for row in pq.read_table(folder / "data", columns=columns).to_pylist():
        image, mask = (np.frombuffer(row[name], np.uint8) for name in columns[2:])
        yield (
            *(row["image_id"], row["label_index"]),
            *(image.reshape(SIDE, SIDE, 3), mask.reshape(SIDE, SIDE)),
        )


def from_datasets(folder: Path, load: Load) -> Iterator[Item]:
    for rows in load(str(folder), columns=["image_id", "label", "image", "mask"]).values():
        for row in rows:
            image, mask = np.asarray(row["image"]), np.asarray(row["mask"])
            assert {*np.unique(mask)} <= {0, 255}
            yield row["image_id"], row["label"], image, mask // 255


def from_image_folder(folder: Path, load: Load) -> Iterator[Item]:
    for rows in load(str(folder)).values():
        for row in rows:
            mask = np.asarray(row["mask"]) // 255
            yield row["image_id"], row["label"], np.asarray(row["image"]), mask


def from_table(folder: Path, load: Load) -> Iterator[Item]:
    for row in pq.read_table(folder / "samples.parquet").to_pylist():
        mask = np.zeros((SIDE, SIDE), np.uint8)
        if row["mask_path"]:
            mask = pixels(folder / row["mask_path"])[:, :, 0] // 255
        yield row["image_id"], row["label_index"], pixels(folder / row["image_path"]), mask


def from_tasks(folder: Path, load: Load) -> Iterator[Item]:
    for task in json.loads((folder / "tasks.json").read_text("utf-8")):
        results = {each["from_name"]: each["value"] for each in task["predictions"][0]["result"]}
        label = ["good", "anomalous"].index(results["label"]["choices"][0])
        mask = np.zeros((SIDE, SIDE), np.uint8)
        if "brush" in results:
            mask = brush.decode(results["brush"]["rle"], SIDE, SIDE)
        yield task["data"]["image_id"], label, pixels(folder / task["data"]["picture"]), mask


def from_coco(folder: Path, load: Load) -> Iterator[Item]:
    content = json.loads((folder / "annotations.json").read_text("utf-8"))
    ids = {
        row["picture"]: (row["image_id"], row["label_index"])
        for row in pq.read_table(folder / "samples.parquet").to_pylist()
    }
    for image in content["images"]:
        shapes = [
            np.array(points, float).reshape(-1, 2)
            for annotation in content["annotations"]
            if annotation["image_id"] == image["id"]
            for points in annotation["segmentation"]
        ]
        path = image["file_name"]
        yield *ids[path], pixels(folder / path), pixels_of(shapes, SIDE, SIDE)


WAYS = [
    ("parquet", from_tensors),
    ("parquet", from_datasets),
    ("imagefolder", from_image_folder),
    ("anomalib", from_table),
    ("mvtec", from_table),
    ("label-studio", from_tasks),
    ("coco", from_coco),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "read"), WAYS)
def test_every_image_mask_and_label_comes_back(
    name: str,
    read: Callable[[Path, Load], Iterator[Item]],
    generated: Path,
    tmp_path: Path,
    load: Load,
) -> None:
    made = FORMATS[name](tmp_path / "out", generated)
    found = {item[0]: item[1:] for item in read(made.folder, load)}
    with open_samples(generated) as samples:
        assert len(found) == made.samples == len(samples)
        equal = [
            label == sample.label_index
            and np.array_equal(image, sample.image)
            and np.array_equal(mask, sample.mask)
            for sample in samples
            for label, image, mask in [found[sample.image_id]]
        ]
    assert sum(equal) == len(samples)
    assert 0 < made.masks < len(samples)
