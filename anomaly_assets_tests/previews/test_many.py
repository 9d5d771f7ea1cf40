"""Test pictures of more categories and copies than fit."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from PIL import Image

from anomaly_assets.drawing import as_webp, fitted, wrapped
from anomaly_assets.previews import charts, sheets
from anomaly_assets.previews.kept import current_sheets
from anomaly_assets.previews.offenders import offender_sheet
from anomaly_assets.settings import Settings
from anomaly_assets.tables.checks import Finding
from anomaly_assets.tables.ddl import refresh
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.previews.many import write_categories, write_copies
from anomaly_assets_tests.previews.overview import contact_sheet, small_sheets

CATEGORIES = [120, 500]
ROW = 140


@pytest.fixture(scope="module", params=CATEGORIES)
def many(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, duckdb.DuckDBPyConnection]]:
    """Return a number of categories, and a warehouse that has them."""
    path = tmp_path_factory.mktemp("many") / "warehouse.duckdb"
    with FileWarehouse(path, 5.0).connect() as connection:
        write_categories(connection, request.param)
        yield request.param, connection


def test_every_category_has_a_sheet_and_the_first_are_on_the_overview(
    many: tuple[int, duckdb.DuckDBPyConnection], tmp_path: Path
) -> None:
    categories, connection = many
    drawn = current_sheets(connection, tmp_path, ["mvtec_ad"], 50_000)
    assert drawn.images == 8 * categories
    assert {path.relative_to(tmp_path).as_posix() for path in drawn.files} == {
        "mvtec_ad.jpg",
        *(f"mvtec_ad/category_{number:04}.jpg" for number in range(categories)),
    }
    height = 22 + 40 * ROW + 24 + 8
    with Image.open(tmp_path / "mvtec_ad.jpg") as overview:
        assert overview.size == (600, height)
    [small] = drawn.small.values()
    assert len(small) <= 50_000
    with Image.open(io.BytesIO(small)) as sheet:
        assert sheet.size == (600, height)
    again = current_sheets(connection, tmp_path, ["mvtec_ad"], 50_000)
    assert (again.drawn, again.small, again.files) == (False, drawn.small, drawn.files)


def test_a_contact_sheet_counts_the_categories_that_it_leaves_out(
    many: tuple[int, duckdb.DuckDBPyConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    categories, connection = many
    written = texts(monkeypatch, sheets)
    sheet = contact_sheet(connection, "mvtec_ad")
    assert sheet is not None
    assert sheet.size == (600, 22 + 40 * ROW + 24 + 8)
    assert written[-1] == f"and {categories - 40} more categories"
    assert len([text for text in written if text.startswith("category_")]) == 40


def test_charts_count_what_they_leave_out(
    many: tuple[int, duckdb.DuckDBPyConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    categories, connection = many
    written = texts(monkeypatch, charts)
    for draw, left_out in (
        (charts.image_counts, f"and {categories - 60} more categories"),
        (charts.defect_areas, f"and {2 * categories - 120} more defect types"),
    ):
        written.clear()
        chart = draw(connection)
        assert chart is not None
        assert chart.height < 4000
        assert as_webp(chart, lossless=True)
        assert written[-1] == left_out
        assert len({text for text in written if text.startswith("category_")}) == 60


def test_small_source_datasets_are_drawn_whole_beside_large_ones() -> None:
    sizes = {"a": 500, "b": 3, "c": 90, "d": 20}
    rows = [(name, f"{number:03}") for name, size in sizes.items() for number in range(size)]
    panels = charts._panels(rows, 60, lambda row: row[1])
    assert [(panel.name, len(panel.rows), panel.left_out) for panel in panels] == [
        ("a", 19, 481),
        ("b", 3, 0),
        ("c", 19, 71),
        ("d", 19, 1),
    ]
    assert [len(panel.rows) for panel in charts._panels(rows, 2, lambda row: row[1])] == [
        1,
        1,
        1,
        1,
    ]


def test_a_small_sheet_shows_fewer_categories_before_it_gets_smaller() -> None:
    from anomaly_assets_tests.previews.test_sheets import samples_of

    overview = sheets.Overview(samples_of(40), left_out=7)
    [content] = small_sheets({"mvtec_ad": overview}, 100_000).values()
    assert len(content) <= 100_000
    with Image.open(io.BytesIO(content)) as sheet:
        assert sheet.size == (600, 22 + 10 * ROW + 24 + 8)


def test_the_first_of_60_000_copies_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileWarehouse(tmp_path / "warehouse.duckdb", 5.0).connect() as connection:
        write_copies(connection, 60_000)
        refresh(connection, "duplicate_images")
        [[first]] = connection.execute("SELECT image_ids[1] FROM duplicate_images").fetchall()
        settings = Settings.from_environment({"ANOMALY_IMAGE_SIZE": "16"})
        finding = Finding(1, [(first, ", ".join(f"image {number}" for number in range(60_000)))])
        sheet = offender_sheet(connection, "contents_stay_in_one_split", finding, settings)
    assert sheet.size == (600, 194 + 8)


@pytest.mark.parametrize("text", ["word " * 100_000, "x" * 500_000])
def test_a_text_of_half_a_megabyte_is_shortened_at_once(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anomaly_assets import drawing

    measured: list[int] = []
    font = drawing.font

    class Counting:
        def __init__(self, size: int) -> None:
            self.font = font(size)

        def getlength(self, text: str) -> float:
            measured.append(len(text))
            return self.font.getlength(text)

    monkeypatch.setattr(drawing, "font", Counting)
    assert len(fitted(text, 140, 11)) < 60
    assert len(wrapped(text, 140, 11, 2)) <= 2
    assert sum(measured) < 500_000


def texts(monkeypatch: pytest.MonkeyPatch, module: object) -> list[str]:
    """Record the texts that a module writes on pictures from now on."""
    written: list[str] = []
    write = module.write  # type: ignore[attr-defined]

    def noted(sheet: Image.Image, place: tuple[float, float], text: str, **how: object) -> None:
        if not re.fullmatch(r"[\d,.+ %n=]*", text):
            written.append(text)
        write(sheet, place, text, **how)

    monkeypatch.setattr(module, "write", noted)
    return written
