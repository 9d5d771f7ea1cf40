"""Test that the view `images` follows the table of evidence in docs/labels.md."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.catalogue.listing import list_catalog
from anomaly_assets.roots.open import open_root
from anomaly_assets.tables.ddl import sql_text
from anomaly_assets_tests.catalogue.trees import write
from anomaly_assets_tests.datasets.declared import source_dataset
from anomaly_assets_tests.documents.markdown import PROJECT

VALUES = (
    ("none", "good", "anomalous"),
    ("none", "good", "anomalous"),
    ("none", "not decoded", "black", "defective"),
    ("yes", "no"),
)
INDEX_OF = {"good": 0, "anomalous": 1}
AREA_OF = {"black": 0.0, "defective": 0.5}
DATASET = source_dataset(
    """[line4]
    images = ["{category}/{label}/{name}", "{category}/none/{name}"]
    masks = ["{category}/{name}_mask"]
    tables = [{ path = "{category}/Labels.txt", read = "dagm_labels" }]
    unmasked = "good"
    """,
    "line4",
)


def table(page: Path) -> list[list[str]]:
    text = page.read_text("utf-8").partition("## The table of evidence")[2].partition("\n- ")[0]
    rows = [re.findall(r"[^|]+", line) for line in re.findall(r"^\|(.+)\|$", text, re.M)]
    return [[cell.strip() for cell in row] for row in rows[2:]]


TABLE = table(PROJECT / "docs/labels.md")


@pytest.mark.parametrize("evidence", [*product(*VALUES)], ids="-".join)
def test_the_first_row_that_fits_gives_the_label(
    evidence: tuple[str, str, str, str], tmp_path: Path
) -> None:
    row = next(
        row
        for row in TABLE
        if all(cell in ("…", value) for cell, value in zip(row, evidence, strict=False))
    )
    assert effective(tmp_path, *evidence) == (row[4], row[5])


def test_each_row_is_needed() -> None:
    fitting = {
        next(
            number
            for number, row in enumerate(TABLE)
            if all(cell in ("…", value) for cell, value in zip(row, evidence, strict=False))
        )
        for evidence in product(*VALUES)
    }
    assert fitting == set(range(len(TABLE)))


def effective(root: Path, path: str, declared: str, mask: str, annotated: str) -> tuple[str, str]:
    """Return label and evidence of one image in a catalogue with this evidence."""
    write(root, f"bolt/{path}/1.png")
    if declared != "none":
        line = f"1\t{INDEX_OF[declared]}\t1.png\n"
        write(root, "bolt/Labels.txt", content=line.encode())
    if mask != "none":
        write(root, "bolt/1_mask.png")
    if annotated == "yes":
        write(root, "bolt/none/2.png", "bolt/2_mask.png")
    catalogue = list_catalog(DATASET, open_root(str(root)))
    assert catalogue.stray_files.num_rows == 0
    facts = {"id": f"line4/bolt/{path}/1.png", "area": AREA_OF.get(mask)}
    with duckdb.connect() as connection:
        connection.register("listed", catalogue.images)
        connection.execute("CREATE TABLE catalogue AS SELECT *, '1' AS _dlt_load_id FROM listed")
        connection.execute(
            "CREATE TABLE facts AS SELECT $id AS image_id, $area::DOUBLE AS mask_area_fraction, "
            "'1' AS mask_file_version",
            facts,
        )
        view = sql_text("images").replace("<images>", "catalogue")
        view = view.replace("<attributes>", "attributes").replace("<further columns>", "")
        connection.execute(view)
        ((found, by),) = connection.execute(
            "SELECT label, label_source FROM images WHERE image_id = $id", {"id": facts["id"]}
        ).fetchall()
    return found, by
