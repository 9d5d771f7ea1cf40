"""The table of evidence in docs/labels.md is what the view `images` does."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.catalogue.listing import _provisional
from anomaly_assets.tables.ddl import sql_text
from anomaly_assets.tables.registry import TABLES
from anomaly_assets_tests.documents.markdown import PROJECT

VALUES = (
    ("none", "good", "anomalous"),
    ("none", "good", "anomalous"),
    ("none", "not decoded", "black", "defective"),
    ("yes", "no"),
)
INDEX_OF = {"none": None, "good": 0, "anomalous": 1}
AREA_OF = {"black": 0.0, "defective": 0.5}


def table(page: Path) -> list[list[str]]:
    text = page.read_text("utf-8").partition("## The table of evidence")[2].partition("\n- ")[0]
    rows = [re.findall(r"[^|]+", line) for line in re.findall(r"^\|(.+)\|$", text, re.M)]
    return [[cell.strip() for cell in row] for row in rows[2:]]


TABLE = table(PROJECT / "docs/labels.md")


@pytest.mark.parametrize("evidence", [*product(*VALUES)], ids="-".join)
def test_the_first_row_that_fits_gives_the_label(evidence: tuple[str, str, str, str]) -> None:
    row = next(
        row
        for row in TABLE
        if all(cell in ("…", value) for cell, value in zip(row, evidence, strict=False))
    )
    assert effective(*evidence) == (row[4], row[5])


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


def effective(path: str, declared: str, mask: str, annotated: str) -> tuple[str, str]:
    """Return label and evidence of one image in a catalogue with this evidence."""
    unmasked = "good" if annotated == "yes" and mask == "none" else "unknown"
    label_of: dict[str, object] = {"good": "good", "anomalous": "anomalous"}
    label, source = _provisional(
        label_of.get(path),  # type: ignore[arg-type]
        INDEX_OF[declared],
        unmasked=unmasked,
    )
    known = {
        "image_id": "a",
        "label": label,
        "label_index": INDEX_OF.get(label),
        "label_source": source,
        "path_label_index": INDEX_OF[path],
        "declared_label_index": INDEX_OF[declared],
        "mask_relative_path": None if mask == "none" else "mask.png",
    }
    columns = ", ".join(
        f"${each.name}::{each.type} AS {each.name}"
        if each.name in known
        else f"NULL AS {each.name}"
        for each in TABLES["images"].columns
    )
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE catalogue AS SELECT {columns}", known)
        connection.execute("CREATE TABLE facts (image_id VARCHAR, mask_area_fraction DOUBLE)")
        connection.execute("INSERT INTO facts VALUES ('a', ?)", [AREA_OF.get(mask)])
        connection.execute(sql_text("images").replace("<images>", "catalogue"))
        ((found, by),) = connection.execute("SELECT label, label_source FROM images").fetchall()
    return found, by
