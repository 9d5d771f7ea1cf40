"""Test that any combination of evidence gives exactly one label, by the stated precedence."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.tables import ddl
from anomaly_assets.tables.registry import Column
from anomaly_assets_tests.warehouse.project import Project, mask, noise

INDICES = (None, 0, 1)
MASKS = ("none", "not decoded", "black", "defective")
CATALOGUE_LABELS = ("unmasked", "none")

LABELS = {None: "unknown", 0: "good", 1: "anomalous"}


def expected(
    path: int | None, declared: int | None, mask_file: str, catalogue: str
) -> tuple[int | None, str]:
    """Return label index and evidence; written as a list of rules, first match wins."""
    if path is not None:
        return path, "path"
    if declared == 0 and mask_file == "defective":
        return 1, "mask"
    if declared is not None:
        return declared, "labels_file"
    if mask_file in ("black", "defective"):
        return int(mask_file == "defective"), "mask"
    return (0, "unmasked") if catalogue == "unmasked" else (None, "none")


EVIDENCE = {
    f"case/{number}": case
    for number, case in enumerate(product(INDICES, INDICES, MASKS, CATALOGUE_LABELS))
}


@pytest.fixture(scope="module")
def warehouse_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a warehouse whose images have every combination of evidence."""
    project = Project.at(tmp_path_factory.mktemp("evidence"))
    project.save({"mvtec_ad/bottle/train/good/000.png": noise(1)})
    project.list_files()
    project.build()
    project.refresh_all()
    with project.warehouse.connect() as connection:
        for image_id, (path, declared, mask_file, catalogue) in EVIDENCE.items():
            values = {
                "image_id": image_id,
                "index": 0 if catalogue == "unmasked" else None,
                "source": catalogue,
                "path": path,
                "declared": declared,
                "mask": None if mask_file == "none" else "mask.png",
            }
            connection.execute(_ADD_IMAGE, values)
            area = {"black": 0.0, "defective": 0.1}.get(mask_file)
            for table in ("image_tensors", "facts"):
                connection.execute(_ADD_DECODED.format(table), {"image_id": image_id, "area": area})
    return project.warehouse.path


@pytest.fixture
def connection(warehouse_once: Path, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a copy of this warehouse."""
    shutil.copyfile(warehouse_once, tmp_path / "warehouse.duckdb")
    with Project.at(tmp_path).warehouse.connect() as connection:
        yield connection


_ADD_IMAGE = """
INSERT INTO mvtec_ad.images
SELECT * REPLACE (
    $image_id AS image_id, $index::BIGINT AS label_index, $source AS label_source,
    CASE WHEN $index IS NULL THEN 'unknown' ELSE 'good' END AS label,
    $path::BIGINT AS path_label_index, $declared::BIGINT AS declared_label_index,
    $mask AS mask_relative_path, NULL AS defect_type
)
FROM mvtec_ad.images WHERE image_id = 'mvtec_ad/bottle/train/good/000.png'
"""
_ADD_DECODED = """
INSERT INTO {0}
SELECT * REPLACE ($image_id AS image_id, $area::DOUBLE AS mask_area_fraction)
FROM {0} WHERE image_id = 'mvtec_ad/bottle/train/good/000.png'
"""


@pytest.mark.slow
def test_every_combination_of_evidence_gives_one_label_by_the_precedence(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = connection.execute(
        "SELECT image_id, label_index, label_source, label, defect_type "
        "FROM effective_images WHERE starts_with(image_id, 'case/')"
    ).fetchall()
    assert len(found) == len(EVIDENCE)
    for image_id, index, source, label, defect_type in found:
        evidence = EVIDENCE[image_id]
        assert (index, source) == expected(*evidence), evidence
        assert label == LABELS[index]
        assert defect_type == ("unspecified" if index == 1 else None)


def test_samples_have_the_same_labels_and_no_mask_against_a_good_path(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert connection.execute(
        """
        SELECT count(*) FROM samples JOIN effective_images AS images USING (image_id)
        WHERE (samples.label, samples.label_index) IS DISTINCT FROM (images.label, images.label_index)
        """
    ).fetchall() == [(0,)]
    areas = "SELECT DISTINCT mask_area_fraction FROM samples WHERE label = 'good' ORDER BY ALL"
    assert connection.execute(areas).fetchall() == [(0.0,), (None,)]


def test_labels_agree_names_exactly_the_images_with_two_sides(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    from anomaly_assets.tables import checks

    check = next(check for check in checks.LABEL_CHECKS if check.name == "labels_agree")
    ((_, finding),) = checks.evaluate(connection, check)
    sides = {
        image_id: {path, declared, {"black": 0, "defective": 1}.get(mask_file)} - {None}
        for image_id, (path, declared, mask_file, _) in EVIDENCE.items()
    }
    declared_alone = [
        image_id
        for image_id, (_, declared, mask_file, _) in EVIDENCE.items()
        if declared == 1 and mask_file == "none"
    ]
    two_sided = {image_id for image_id, found in sides.items() if len(found) > 1}
    assert finding.count == len(two_sided | {*declared_alone})


@pytest.mark.slow
def test_rows_of_an_earlier_release_keep_their_label(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute(
        "UPDATE mvtec_ad.images SET label_source = NULL, path_label_index = NULL, label_index = 1, "
        "defect_type = 'cut'"
    )
    assert connection.execute(
        "SELECT DISTINCT label, label_index, defect_type, label_source FROM effective_images"
    ).fetchall() == [("anomalous", 1, "cut", None)]


@pytest.mark.slow
def test_the_content_of_masks_decides_where_nothing_else_does(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    black = mask((0, 0, 0, 0))
    project.save(
        {
            "dagm_2007/Class1/Train/0001.PNG": noise(1, "L"),
            "dagm_2007/Class1/Train/Label/0001_label.PNG": black,
            "dagm_2007/Class1/Train/0002.PNG": noise(2, "L"),
            "dagm_2007/Class1/Train/Label/0002_label.PNG": mask((0, 0, 4, 4)),
            "mvtec_ad/bottle/test/000.png": noise(3),
            "mvtec_ad/bottle/ground_truth/000_mask.png": black,
            "dagm_2007/Class2/Train/0001.PNG": noise(4, "L"),
        }
    )
    project.list_files()
    query = "SELECT image_id, label, label_source FROM effective_images ORDER BY image_id"
    project.refresh_all()
    assert {label for _, label, _ in project.rows(query)} == {"unknown"}
    project.build()
    assert project.rows(query) == [
        ("dagm_2007/Class1/Train/0001.PNG", "good", "mask"),
        ("dagm_2007/Class1/Train/0002.PNG", "anomalous", "mask"),
        ("dagm_2007/Class2/Train/0001.PNG", "unknown", "none"),
        ("mvtec_ad/bottle/test/000.png", "good", "mask"),
    ]


def test_a_column_of_the_catalogue_needs_no_line_in_the_view(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Include names that other parts of the text have, such as `area`."""
    entry = ddl.TABLES["effective_images"]
    names = ("area", "lens")
    columns = (*entry.columns, *(Column(name, "VARCHAR", "") for name in names))
    monkeypatch.setattr(ddl, "TABLES", {**ddl.TABLES, entry.name: replace(entry, columns=columns)})
    with project.warehouse.connect() as connection:
        listed = ddl.statement(connection, "effective_images").rpartition("\nSELECT\n")[2]
    assert "    area, lens, \n" in listed
