"""Test exports of an assignment: its folds are the splits."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from anomaly_assets.cli.app import main
from anomaly_assets.export import FORMATS
from anomaly_assets.export.destination import described
from anomaly_assets_tests.reader.conftest import project, published_once
from anomaly_assets_tests.reader.test_assignments import assigned
from anomaly_assets_tests.warehouse.project import SPEC, Project

__all__ = ["assigned", "project", "published_once"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_the_folds_are_the_splits_and_the_export_names_the_assignment(
    name: str, assigned: Path, tmp_path: Path
) -> None:
    made = FORMATS[name](tmp_path / "export", assigned, assignment="v1")
    facts = described(tmp_path / "export")
    assert facts is not None
    assert facts["filters"] == {"assignment": "v1"}
    assert made.without_split == 0
    folds = {
        (row["split"], row["fold"])
        for file in (tmp_path / "export").rglob("*.parquet")
        for row in pq.read_table(file, columns=["split", "fold"]).to_pylist()
    }
    assert folds == {("train", "train"), ("validation", "val"), ("test", "test")}


def test_numbered_folds_are_training_images(assigned: Path, tmp_path: Path) -> None:
    FORMATS["parquet"](tmp_path / "export", assigned, assignment="cv", fold=["0", "1"])
    table = pq.read_table(tmp_path / "export/data", columns=["split", "fold"])
    assert {(row["split"], row["fold"]) for row in table.to_pylist()} == {
        ("train", "0"),
        ("train", "1"),
    }
    facts = described(tmp_path / "export")
    assert facts is not None
    assert facts["filters"] == {"assignment": "cv", "fold": ["0", "1"]}


@pytest.mark.slow
def test_an_export_of_images_without_a_split_asks_for_an_assignment(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with project.warehouse.connect() as connection:
        connection.execute("UPDATE mvtec_ad.images SET split = 'unassigned' WHERE split = 'train'")
    published = project.folder / "anomaly.duckdb"
    project.warehouse.publish(published, SPEC)
    options = ["--format", "parquet", "--database", str(published), "--source-dataset", "mvtec_ad"]
    assert main(["export", "--out", str(tmp_path / "export"), *options]) == 0
    assert capsys.readouterr().out.endswith(
        " images have no split: `anomaly-assets split --name v1 --val 0.2` assigns them to folds, and "
        "--assignment v1 exports these\n"
    )
