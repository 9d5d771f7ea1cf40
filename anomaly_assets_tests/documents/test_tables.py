"""Test that the reference of the tables equals the comments in the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.tables.registry import CATALOGUE_TABLES, TABLES
from anomaly_assets_tests.documents.checkout import Checkout
from anomaly_assets_tests.sampled import SAMPLED
from tools import tables_page as reference
from tools.tables_page import between, describe_tables, overview, page

Described = dict[reference.Names, tuple[str, list[reference.Column]]]


@pytest.fixture(scope="module")
def described(project_root: Path) -> Described:
    return describe_tables(project_root / "data" / "samples")


@pytest.mark.slow
def test_the_page_is_what_the_code_generates(project_root: Path, described: Described) -> None:
    written = (project_root / reference.PAGE).read_text("utf-8")
    assert written == page(described), "run make tables"


def test_the_table_of_the_readme_is_what_the_code_generates(
    project_root: Path, described: Described
) -> None:
    written = (project_root / reference.README).read_text("utf-8")
    assert written == between(written, overview(described)), "run make tables"


def test_every_table_of_the_contract_is_there_with_all_its_columns(described: Described) -> None:
    text = page(described)
    parts = {part.partition("\n")[0]: part for part in text.split("\n## ")[1:]}
    expected = {f"anomaly.{name}": table for name, table in TABLES.items()}
    expected |= {f"mvtec_ad.{name}": table for name, table in CATALOGUE_TABLES.items()}
    assert parts.keys() == expected.keys()
    for name, table in expected.items():
        lines = parts[name].splitlines()
        assert lines[2] == table.description
        rows = [line for line in lines if line.startswith("| `")]
        assert sorted(row.split("`")[1] for row in rows) == sorted(table.column_names)
        # Those of a published file, whose times have no time zone.
        kinds = {
            column.name: column.type.removesuffix(" WITH TIME ZONE") for column in table.columns
        }
        for row in rows:
            column, kind, *_ = (cell.strip(" `") for cell in row.strip("|").split("|"))
            assert kind == kinds[column]


def test_other_source_datasets_have_the_same_tables(described: Described) -> None:
    for name in CATALOGUE_TABLES:
        assert len({repr(described[each, name]) for each in SAMPLED}) == 1


def test_what_is_said_to_be_never_null_never_is(checkout: Checkout, described: Described) -> None:
    assert checkout.first_run
    for (schema, table), (_, columns) in described.items():
        never = [name for name, _, never, _ in columns if never]
        if never:
            nulls = " + ".join(f'count(*) FILTER ("{name}" IS NULL)' for name in never)
            counted = checkout.query(f"SELECT count(*), {nulls} FROM {schema}.{table}").fetchall()
            assert counted[0][1] == 0
    of_samples = {name for name, _, never, _ in described["main", "samples"][1] if never}
    assert "image_tensor" in of_samples
    assert not {"defect_type", "mask_tensor", "mask_area_fraction"} & of_samples


def test_the_reference_has_a_place_in_the_readme_or_is_refused() -> None:
    text = f"before\n{reference.START}\nold\n{reference.END}\nafter\n"
    assert between(text, "new") == text.replace("\nold\n", "\n\nnew\n\n")
    with pytest.raises(ValueError, match="lacks"):
        between("no place", "new")
