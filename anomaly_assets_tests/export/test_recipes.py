"""Test exports of further recipes: the tensors, and the recipe in the metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from anomaly_assets.export import FORMATS
from anomaly_assets.export.destination import MARKER
from anomaly_assets.reader import open_samples
from anomaly_assets_tests.export.published import pixels
from anomaly_assets_tests.reader.test_recipes import publish_recipes

OF_MVTEC: dict[str, Any] = {"source_dataset": "mvtec_ad"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_recipes(tmp_path_factory.mktemp("recipes"))


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("asked", [{"size": 12}, {"recipe": "full/tile=12+4"}])
def test_an_export_holds_the_tensors_of_the_recipe_and_its_name(
    database: Path, tmp_path: Path, file_format: str, asked: dict[str, Any]
) -> None:
    if "recipe" in asked and FORMATS[file_format].whole_images:
        pytest.skip("a format of annotation tools takes no tiles")
    samples = open_samples(database, **OF_MVTEC, **asked)
    made = FORMATS[file_format](tmp_path / "out", database, **OF_MVTEC, **asked)
    assert made.samples + made.not_written == len(samples)
    assert json.loads((tmp_path / "out" / MARKER).read_text())["recipe"] == samples.recipe
    expected = sorted(image.tobytes() for image in samples.images[:])
    if file_format == "mvtec":
        listed = pq.read_table(tmp_path / "out" / "samples.parquet")["image_id"].to_pylist()
        expected = sorted(sample.image.tobytes() for sample in samples if sample.image_id in listed)
        assert made.left_out == made.not_written == len(samples) - len(expected)
    if file_format == "parquet":
        files = [*(tmp_path / "out").rglob("*.parquet")]
        rows = [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]
        assert sorted(row["image_tensor"] for row in rows) == expected
        assert {row["recipe"] for row in rows} == {samples.recipe}
        assert pq.read_schema(files[0]).metadata[b"recipe"] == samples.recipe.encode()
        return
    pictures = [
        path
        for path in (tmp_path / "out").rglob("*.png")
        if not {"masks", "ground_truth"}.intersection(path.parts)
    ]
    assert sorted(pixels(path).tobytes() for path in pictures) == expected
