"""Test that every format exports unusual names of categories, defect types and files inside its folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from anomaly_assets.export import to_anomalib, to_imagefolder, to_mvtec, to_parquet
from anomaly_assets_tests.bad_input.test_names import NAMES
from anomaly_assets_tests.catalogue.trees import write
from anomaly_assets_tests.decoding.pictures import png
from anomaly_assets_tests.export.published import pixels, publish_project, stored
from anomaly_assets_tests.warehouse.project import SIZE, Project, mask, noise


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish a good image and a defect with its mask for every name: two for each category."""
    project = Project.at(tmp_path_factory.mktemp("names"))
    root = project.folder / "mvtec_ad"
    whole = png(mask((0, 0, *SIZE)))
    try:
        for seed, name in enumerate(NAMES):
            write(root, b"%s/train/good/%s.png" % (name, name), content=png(noise(seed)))
            write(root, b"%s/test/%s/%s.PNG" % (name, name, name), content=png(noise(seed)))
            write(root, b"%s/ground_truth/%s/%s_mask.png" % (name, name, name), content=whole)
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    return publish_project(project)


def assert_in_place(folder: Path, tmp_path: Path) -> None:
    """Assert that only the export was written, with plain and unique names in each folder."""
    assert os.listdir(tmp_path) == [folder.name]
    for parent, folders, files in os.walk(folder):
        names = [*folders, *files]
        assert len({name.casefold() for name in names}) == len(names), parent
        assert all(name.isascii() and name.isprintable() for name in names)
        assert all(len(name) <= 255 for name in names)


@pytest.mark.slow
def test_parquet(database: Path, tmp_path: Path) -> None:
    folder = to_parquet(tmp_path / "export", database).folder
    assert_in_place(folder, tmp_path)
    expected = stored(database)
    rows = pq.read_table(folder / "data").to_pylist()
    assert sorted(row["image_id"] for row in rows) == sorted(expected)
    for row in rows:
        sample = expected[row["image_id"]]
        assert row["image_tensor"] == sample.image.tobytes()
        assert row["filename"] == sample.row["filename"]
        assert row["category"] == sample.row["category"]


def test_anomalib(database: Path, tmp_path: Path) -> None:
    folder = to_anomalib(tmp_path / "export", database).folder
    assert_in_place(folder, tmp_path)
    expected = stored(database)
    rows = pq.read_table(folder / "samples.parquet").to_pylist()
    assert sorted(row["image_id"] for row in rows) == sorted(expected)
    for row in rows:
        sample = expected[row["image_id"]]
        assert np.array_equal(pixels(folder / row["image_path"]), sample.image)
        assert (row["mask_path"] == "") == (sample.mask is None)
        assert row["category"] == sample.row["category"]


def test_mvtec(database: Path, tmp_path: Path) -> None:
    folder = to_mvtec(tmp_path / "export", database).folder
    assert_in_place(folder, tmp_path)
    expected = stored(database)
    rows = pq.read_table(folder / "samples.parquet").to_pylist()
    assert sorted(row["image_id"] for row in rows) == sorted(expected)
    assert len({row["image_path"].partition("/")[0].casefold() for row in rows}) == len(NAMES)
    for row in rows:
        assert np.array_equal(pixels(folder / row["image_path"]), expected[row["image_id"]].image)
        assert row["image_path"].count("/") == 3


def test_imagefolder(database: Path, tmp_path: Path) -> None:
    folder = to_imagefolder(tmp_path / "export", database).folder
    assert_in_place(folder, tmp_path)
    expected = stored(database)
    for split in ("train", "test"):
        rows = pq.read_table(folder / split / "metadata.parquet").to_pylist()
        assert len(rows) == len(NAMES)
        for row in rows:
            sample = expected[row["image_id"]]
            assert np.array_equal(pixels(folder / split / row["file_name"]), sample.image)
            row["label"] = ["good", "anomalous"][row["label"]]
            assert {name: row[name] for name in sample.exported} == sample.exported
