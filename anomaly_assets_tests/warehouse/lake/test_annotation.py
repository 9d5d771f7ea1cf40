"""Test exports for annotation tools from a lake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anomaly_assets.export import to_coco, to_label_studio
from anomaly_assets_tests.warehouse.lake.lakes import Lake


def test_samples_of_a_lake_are_exported_for_annotation_tools(copied: Lake, tmp_path: Path) -> None:
    made = to_label_studio(tmp_path / "tasks", copied.location)
    assert made.samples == len(json.loads((made.folder / "tasks.json").read_text("utf-8"))) == 9
    made = to_coco(tmp_path / "coco", copied.location)
    content = json.loads((made.folder / "annotations.json").read_text("utf-8"))
    assert made.samples == len(content["images"]) == 9
    with pytest.raises(LookupError, match="The check anomalous_images_have_masks names no image"):
        to_coco(tmp_path / "none", copied.location, check="anomalous_images_have_masks")
