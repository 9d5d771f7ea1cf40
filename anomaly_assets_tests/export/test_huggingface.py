"""Test exports in Hugging Face's `datasets`: splits, features, collation, lines of docs/exporting.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from anomaly_assets.export import FORMATS, to_parquet
from anomaly_assets_tests.documents.markdown import PROJECT, blocks
from anomaly_assets_tests.export.published import stored
from anomaly_assets_tests.export.test_imagefolder import assert_equal
from anomaly_assets_tests.warehouse.project import SPEC, Project, noise

Load = Callable[..., Any]

CARDS = ("parquet", "imagefolder")
"""Formats that `datasets` loads."""


@pytest.fixture(scope="module", params=CARDS)
def exported(
    request: pytest.FixtureRequest, database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return FORMATS[request.param](tmp_path_factory.mktemp("export") / "out", database).folder


def without_tensors(splits: Any) -> Any:
    names = {"image_tensor", "mask_tensor"}
    present = next(iter(splits.values())).column_names
    return splits.remove_columns(sorted(names.intersection(present)))


@pytest.mark.slow
def test_a_folder_loads_with_its_splits_pictures_masks_and_all_columns(
    exported: Path, database: Path, load: Load
) -> None:
    assert_equal(without_tensors(load(str(exported))), database)


def test_labels_are_classes_and_images_and_masks_are_pictures(exported: Path, load: Load) -> None:
    features = load(str(exported), split="test").features
    assert {type(features[name]).__name__ for name in ("image", "mask")} == {"Image"}
    for name in ("label", "label_index"):
        assert features[name].names == ["good", "anomalous"]


def test_the_builder_of_parquet_finds_splits_classes_and_pictures_without_the_card(
    database: Path, tmp_path: Path, load: Load
) -> None:
    to_parquet(tmp_path / "out", database)
    splits = load("parquet", data_dir=str(tmp_path / "out"))
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 5, "test": 5}
    features = splits["test"].features
    assert features["label_index"].names == ["good", "anomalous"]
    assert {type(features[name]).__name__ for name in ("image", "mask")} == {"Image"}
    assert_equal_ids(splits, database)


def assert_equal_ids(splits: Any, database: Path) -> None:
    found = {image_id: name for name, rows in splits.items() for image_id in rows["image_id"]}
    assert found == {image_id: it.row["split"] for image_id, it in stored(database).items()}


def test_the_default_collation_makes_batches_of_every_column(
    exported: Path, database: Path, load: Load
) -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    expected = stored(database)
    seen = []
    for rows in load(str(exported)).with_format("torch").values():
        for batch in torch_data.DataLoader(rows, batch_size=3):
            for place, image_id in enumerate(batch["image_id"]):
                sample = expected[image_id]
                image, mask = (batch[name][place].numpy() for name in ("image", "mask"))
                assert np.array_equal(image.transpose(1, 2, 0), sample.image)
                assert np.array_equal(mask[0], sample.known_mask * 255)
                for label in ("label", "label_index"):
                    assert int(batch[label][place]) == sample.row["label_index"]
                seen.append(image_id)
    assert sorted(seen) == sorted(expected)


@pytest.mark.slow
def test_splits_without_a_word_of_their_own_and_unknown_labels_load(
    tmp_path: Path, load: Load
) -> None:
    project = Project.at(tmp_path)
    pictures = [f"dagm_2007/Class1/Train/000{number}.PNG" for number in range(1, 5)]
    project.save({path: noise(number, "L") for number, path in enumerate(pictures)})
    project.list_files()
    project.build()
    with project.warehouse.writing(), project.warehouse.connect() as connection:
        for path, split in zip(
            pictures, ("train", "validation", "unassigned", "test"), strict=True
        ):
            connection.execute(
                "UPDATE dagm_2007.images SET split = ? WHERE 'dagm_2007/' || relative_path = ?",
                [split, path],
            )
    project.refresh_all()
    database = tmp_path / "anomaly.duckdb"
    project.warehouse.publish(database, SPEC)
    for name in CARDS:
        FORMATS[name](tmp_path / name, database, include_unknown=True)
        marker = json.loads((tmp_path / name / ".anomaly_assets_export.json").read_text())
        assert marker["filters"] == {"include_unknown": True}
        splits = load(str(tmp_path / name))
        assert_equal_ids(splits, database)
        assert splits["unassigned"][0]["label_index"] == -1
        assert splits["test"].features["label"].names == ["good", "anomalous", "unknown"]
        assert splits["test"][0]["label"] == 2


def test_one_column_or_category_loads_alone(exported: Path, load: Load) -> None:
    filters = [("category", "==", "carpet")]
    assert load(str(exported), split="test", filters=filters)["category"][:] == ["carpet"]


@pytest.mark.parametrize("name", FORMATS)
def test_the_card_has_licences_splits_features_and_the_facts_of_the_marker(
    name: str, database: Path, tmp_path: Path
) -> None:
    out = FORMATS[name](tmp_path / "out", database, source_dataset="mvtec_ad").folder
    text = (out / "README.md").read_text("utf-8")
    card = yaml.safe_load(text.split("---\n")[1])
    assert card["license"] == "cc-by-nc-sa-4.0"
    assert card["pretty_name"] == "MVTec AD"
    assert card["size_categories"] == ["n<1K"]
    assert "anomaly-detection" in card["tags"]
    assert ("configs" in card) == (name in CARDS)
    if name in CARDS:
        assert [each["split"] for each in card["configs"][0]["data_files"]] == ["test", "train"]
        assert {"image", "mask", "label"} < {
            each["name"] for each in card["dataset_info"]["features"]
        }
    facts = json.loads(text.partition("```json\n")[2].partition("```")[0])
    marker = json.loads((out / ".anomaly_assets_export.json").read_text("utf-8"))
    assert {"made_by": "anomaly_assets.export", **facts} == marker


def test_six_lines_of_the_page_train_on_every_image(
    exported: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    (lines,) = (
        block.text
        for block in blocks(PROJECT, "docs/exporting.md")
        if block.first_line == "import datasets, torch"
    )
    assert len([line for line in lines.splitlines() if line]) <= 6
    assert lines.count("DIR") == 1
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(lines.replace("DIR", str(exported)), names)
    assert len(names["images"]) == 5
    torch.manual_seed(0)
    before = torch.nn.Conv2d(3, 3, 3, padding=1)
    assert not torch.equal(names["model"].weight, before.weight)
