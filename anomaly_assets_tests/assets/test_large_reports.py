"""Test runs with large reports: pictures never fail them, and no event is large."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster_shared.serdes import serialize_value

from anomaly_assets.assets.reports import bounded, table
from anomaly_assets.tables.preview_rows import Shown, as_cell
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import Run, offenders, run_job, run_selection
from anomaly_assets_tests.previews.many import SIDE, write_categories, write_copies

MOST_CHARACTERS = 100_000
PICTURED = ("contact_sheets", "dataset_summary", "defect_summary")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def sizes(instance: dg.DagsterInstance, run: Run) -> list[int]:
    """Return the stored size of every event of a run, in characters."""
    return [len(serialize_value(event)) for event in instance.all_logs(run.result.run_id)]


@pytest.mark.parametrize("categories", [120, 500])
def test_pictures_of_many_categories_fail_nothing_and_stay_small(
    environment: Environment,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    categories: int,
) -> None:
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", str(SIDE))
    with FileWarehouse(environment.warehouse, 5.0).connect() as connection:
        write_categories(connection, categories)
    selection = dg.AssetSelection.assets(*PICTURED).without_checks()
    run = run_selection(selection, instance=instance)
    assert run.success, run.failures
    assert run.materialized["dataset_summary"]["dagster/row_count"] == 3 * categories
    assert run.materialized["contact_sheets"]["files"] == categories + 1
    for asset in PICTURED:
        [picture] = [text for text in run.materialized[asset].values() if "base64," in str(text)]
        assert len(str(picture)) <= 75_000
    assert max(sizes(instance, run)) <= MOST_CHARACTERS


def test_60_000_copies_of_one_content_are_reported_in_small_events(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", str(SIDE))
    with FileWarehouse(environment.warehouse, 5.0).connect() as connection:
        write_copies(connection, 60_000)
    run = run_selection(dg.AssetSelection.assets("duplicate_images"), instance=instance)
    assert run.success, run.failures
    [row] = str(run.materialized["duplicate_images"]["rows"]).splitlines()[2:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "60000"
    assert cells[2].endswith(" and 59,995 more")
    assert len(cells[2]) <= 200
    failed = {name.partition(":")[2] for name in run.failed_checks}
    assert failed == {"contents_stay_in_one_split", "contents_stay_in_one_category"}
    for name in run.failed_checks:
        [detail] = offenders(run.checks[name]).values()
        assert len(detail) == 200
    stored = sizes(instance, run)
    assert max(stored) <= MOST_CHARACTERS
    assert sum(stored) <= 150_000


@pytest.mark.parametrize(
    ("asset", "drawing"),
    [
        ("contact_sheets", "anomaly_assets.previews.kept.current_sheets"),
        ("dataset_summary", "anomaly_assets.previews.charts.image_counts"),
        ("defect_summary", "anomaly_assets.previews.charts.defect_areas"),
    ],
)
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), MemoryError(), ValueError("x" * 10_000)]
)
def test_a_drawing_that_fails_is_a_warning_and_everything_else_is_published(
    refreshed: Environment,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    asset: str,
    drawing: str,
    error: Exception,
) -> None:
    def draw(*_: object, **__: object) -> None:
        raise error

    refreshed.database.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(drawing, draw)
        run = run_job(instance=instance)
    assert run.success
    assert refreshed.query("SELECT count(*) FROM samples") == [(13,)]
    told = str(run.materialized[asset]["pictures"])
    assert told.startswith(f"Not drawn. {type(error).__name__}: {error}"[:200])
    assert len(told) <= 220
    [warning] = [
        event.user_message
        for event in instance.all_logs(run.result.run_id)
        if event.level == 30 and "could not be drawn" in event.user_message
    ]
    assert warning.startswith("Pictures could not be drawn; nothing else is affected. ")
    # The next run draws the picture.
    after = run_selection(dg.AssetSelection.assets(asset).without_checks(), instance=instance)
    assert any("base64," in str(value) for value in after.materialized[asset].values())


def test_a_picture_of_a_failed_check_that_fails_is_a_warning(
    tiny: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiny.mvtec_ad / "bolt/ground_truth/scratch/000_mask.png").unlink()

    def draw(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("anomaly_assets.previews.offenders.offender_sheet", draw)
    run = run_job(instance=instance)
    assert run.success
    check = run.checks["samples:anomalous_images_have_masks"]
    assert not check.passed
    assert list(offenders(check)) == ["mvtec_ad/bolt/test/scratch/000.png"]
    assert check.metadata["pictures"].value == (
        "Not drawn. OSError: [Errno 28] No space left on device"
    )


def test_a_drawing_that_a_person_interrupts_ends_the_run(
    tiny: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: object, **__: object) -> None:
        raise RuntimeError("Query interrupted")  # as DuckDB reports it

    monkeypatch.setattr("anomaly_assets.previews.charts.image_counts", draw)
    run = run_job(instance=instance)
    assert not run.success
    assert "A query was interrupted." in run.failures["dataset_summary"]
    assert "published_database" not in run.materialized


def test_cells_lists_and_tables_are_cut_and_what_is_left_out_is_counted() -> None:
    assert as_cell("x" * 201) == "x" * 199 + "…"
    assert as_cell(["a" * 100, *range(20)]) == "a" * 59 + "…, 0, 1, 2, 3 and 16 more"
    assert as_cell([1, None, 2.5]) == "1, , 2.5"
    shown = Shown(["path", "why"], [(f"{number}" * 190, "漢" * 190) for number in range(20)])
    lines = shown.markdown().splitlines()
    assert len(lines) == 2 + 8 + 1
    assert lines[-1] == "| … and 12 more rows |  |"
    records = table(shown.columns, shown.rows).records
    assert [record.data for record in records][-1] == {"path": "… and 12 more rows", "why": ""}
    assert len(records) == 9


def test_metadata_that_are_too_large_for_one_event_are_replaced_by_a_sentence() -> None:
    metadata: dict[str, Any] = {
        "rows": 3,
        "text": "x" * 60_000,
        "map": {str(number): "y" * 100 for number in range(500)},
    }
    kept = bounded(metadata)
    assert kept["rows"] == 3
    assert kept["map"] == metadata["map"]
    assert kept["text"] == "Left out: 60,050 characters are too many for the event log."
    assert bounded({"rows": 3, "text": "x" * 60_000}) == {"rows": 3, "text": "x" * 60_000}
