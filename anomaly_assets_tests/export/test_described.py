"""Test the descriptions of an export: licences, the card, and Croissant as `mlcroissant` reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import yaml

from anomaly_assets.cli.export import main
from anomaly_assets.export import FORMATS, to_mvtec
from anomaly_assets_tests.export.published import files_below, snapshot_id, stored
from anomaly_assets_tests.reader.test_recipes import publish_recipes

WITHOUT_PICTURES_OF_THEIR_OWN = ("parquet",)


@pytest.fixture(scope="module", params=FORMATS)
def exported(
    request: pytest.FixtureRequest, database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return FORMATS[request.param](tmp_path_factory.mktemp("out") / request.param, database).folder


def test_the_licence_file_has_the_terms_of_each_source_dataset(exported: Path) -> None:
    images = (2, 6) if exported.name == "mvtec" else (3, 7)
    text = (exported / "LICENSE").read_text("utf-8")
    assert "size and channels of the recipe 8x6x3" in text
    assert (
        f"""
DAGM 2007 (dagm_2007), {images[0]} images
    Licence: CC BY 4.0, https://spdx.org/licenses/CC-BY-4.0.html
    Commercial use: allowed
    Citation: Wieler and Hahn, """
        in text
    )
    assert (
        f"""
MVTec AD (mvtec_ad), {images[1]} images
    Licence: CC BY-NC-SA 4.0, https://spdx.org/licenses/CC-BY-NC-SA-4.0.html
    Commercial use: forbidden
    Citation: Bergmann et al., """
        in text
    )


def test_the_card_counts_what_was_written(exported: Path) -> None:
    text = (exported / "README.md").read_text("utf-8")
    card = yaml.safe_load(text.split("---\n")[1])
    assert card["license"] == ["cc-by-4.0", "cc-by-nc-sa-4.0"]
    assert "license_link" not in card
    assert "# DAGM 2007, MVTec AD\n" in text
    is_mvtec = exported.name == "mvtec"
    assert f"| test | anomalous | {2 if is_mvtec else 3} |\n| test | good | 2 |\n" in text
    assert ("| train | anomalous | 1 |" in text) != is_mvtec
    assert "| train | good | 4 |" in text


def test_mlcroissant_finds_nothing_to_complain_about_and_reads_every_record(
    exported: Path, database: Path
) -> None:
    croissant = pytest.importorskip("mlcroissant")
    described = croissant.Dataset(exported / "croissant.json")
    assert described.metadata.ctx.issues.report() == ""
    assert described.metadata.name == "DAGM 2007, MVTec AD"
    assert described.metadata.version == f"1.0.0+{snapshot_id(database)[:12]}"
    assert "Wieler and Hahn" in described.metadata.cite_as
    listed = 8 if exported.name in ("anomalib", "mvtec") else 10
    records = [*described.records("samples")]
    assert len(records) == listed
    expected = stored(database)
    assert {record["samples/image_id"].decode() for record in records} <= set(expected)
    if exported.name in WITHOUT_PICTURES_OF_THEIR_OWN:
        for record in records:
            sample = expected[record["samples/image_id"].decode()]
            assert np.array_equal(np.asarray(record["samples/image"]), sample.image)
            assert np.array_equal(np.asarray(record["samples/mask"]), sample.known_mask * 255)
        return
    paths = {record["images/path"].decode() for record in described.records("images")}
    masks: set[str] = set()
    if not FORMATS[exported.name].whole_images:  # those have masks as shapes
        masks = {record["masks/path"].decode() for record in described.records("masks")}
    png = {path for path in files_below(exported) if path.endswith(".png")}
    assert paths | masks == {path for path in png if not path.endswith("/empty.png")}
    assert not paths & masks
    expected_masks = 0 if FORMATS[exported.name].whole_images else 3
    assert (len(paths), len(masks)) == (
        (8, 2) if exported.name == "mvtec" else (10, expected_masks)
    )


@pytest.mark.slow
def test_croissant_describes_tiles_and_their_boxes(tmp_path: Path) -> None:
    croissant = pytest.importorskip("mlcroissant")
    database = publish_recipes(tmp_path)
    chosen: dict[str, Any] = {"source_dataset": "mvtec_ad", "recipe": "full/tile=12+4"}
    made = FORMATS["parquet"](tmp_path / "out", database, **chosen)
    described = croissant.Dataset(made.folder / "croissant.json")
    assert described.metadata.ctx.issues.report() == ""
    first = next(iter(described.records("samples")))
    assert len(first["samples/box"]) == 4
    assert "66 tiles" in described.metadata.description


def test_titles_and_licences_of_any_text_stay_in_their_place(
    database: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes(database.read_bytes())
    with duckdb.connect(str(copy)) as connection:
        connection.execute(
            "UPDATE source_datasets SET title = $title, licence = $title, citation = NULL, "
            "declaration = NULL",
            {"title": 'a | "b"\n---\nü: #'},
        )
    folder = to_mvtec(tmp_path / "out", copy, source_dataset="dagm_2007").folder
    text = (folder / "README.md").read_text("utf-8")
    card = yaml.safe_load(text.split("\n---\n")[0])
    assert card["license_link"] == "LICENSE"
    assert (card["pretty_name"], card["license"]) == ('a | "b"\n---\nü: #', "other")
    assert '| a \\| "b"\\x0a---\\x0aü: # (`dagm_2007`) | 2 |' in text
    described = json.loads((folder / "croissant.json").read_text("utf-8"))
    assert described["license"] == ['a | "b"\n---\nü: #']
    assert "citeAs" not in described


def test_the_command_refuses_what_forbids_commercial_use(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--format", "parquet", "--database", str(database), "--commercial", "--quiet"]
    assert main([*arguments, "--out", str(tmp_path / "all")]) == 1
    assert "mvtec_ad (licence CC BY-NC-SA 4.0) forbids it." in capsys.readouterr().err
    assert not (tmp_path / "all").exists()
    out = tmp_path / "free"
    assert main([*arguments, "--out", str(out), "--source-dataset", "dagm_2007"]) == 0
    marker = json.loads((out / ".anomaly_assets_export.json").read_text("utf-8"))
    assert marker["filters"] == {"source_dataset": ["dagm_2007"], "commercial": True}
