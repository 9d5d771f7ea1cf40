"""Test that runs record the steps that they refused, and the steps that failed."""

import shutil
from pathlib import Path

import dagster as dg
import pytest

from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import Run, catalogue, run_selection

EVENTS = "SELECT event, source_dataset, detail, root_uri, run_id, step FROM run_events"


def recorded(tiny: Environment) -> list[tuple[object, ...]]:
    return tiny.query(EVENTS, database=tiny.warehouse)


@pytest.mark.slow
def test_a_run_that_succeeds_records_no_event(tiny: Environment) -> None:
    assert run_selection(catalogue("mvtec_ad")).success
    assert recorded(tiny) == []


@pytest.mark.slow
def test_a_root_that_shrank_is_recorded_with_its_reason_its_root_and_its_run(
    tiny: Environment,
) -> None:
    assert run_selection(catalogue("mvtec_ad")).success
    shutil.rmtree(tiny.mvtec_ad / "woven")
    run = run_selection(catalogue("mvtec_ad"))
    assert not run.success
    [(event, name, detail, root, run_id, step)] = recorded(tiny)
    assert (event, name, step) == ("refused", "mvtec_ad", "mvtec_ad")
    assert "images of MVTec AD, 9 are loaded; nothing was changed." in str(detail)
    assert root == str(tiny.mvtec_ad)
    assert run_id == run.result.run_id
    assert tiny.query("SELECT event FROM history", database=tiny.warehouse) == [
        ("refused",),
        ("loaded",),
    ]


@pytest.mark.slow
def test_a_first_run_that_is_refused_is_recorded_too(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MVTEC_AD_ROOT", str(tiny.mvtec_ad / "nowhere"))
    assert not run_selection(catalogue("mvtec_ad")).success
    [(event, name, detail, *_)] = recorded(tiny)
    assert (event, name) == ("refused", "mvtec_ad")
    assert "does not exist. 0 images listed, 0 loaded; nothing was changed." in str(detail)


def test_a_blocking_check_is_recorded_with_its_sentence(refreshed: Environment) -> None:
    with refreshed.open_warehouse() as connection:
        connection.execute("INSERT INTO mvtec_ad.images FROM mvtec_ad.images LIMIT 1")
    run = run_selection(dg.AssetSelection.checks_for_assets("images"))
    assert not run.success
    [(event, name, detail, root, _, step)] = recorded(refreshed)
    assert (event, name, root, step) == ("refused", None, None, "images_checks")
    assert str(detail).startswith(
        "Nothing was published, because of a failed check. image_ids_are_unique of images: "
    )


def test_an_unexpected_error_counts_as_failed(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("gone")

    monkeypatch.setattr("anomaly_assets.catalogue.reconcile.reconcile", fail)
    assert not run_selection(catalogue("dagm_2007")).success
    [(event, name, detail, *_)] = recorded(tiny)
    assert (event, name, detail) == ("failed", "dagm_2007", "KeyError: 'gone'")


@pytest.mark.slow
def test_a_warehouse_that_cannot_be_written_to_does_not_change_the_cause(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("anomaly_assets.assets.resources.note_step_events", refuse)
    monkeypatch.setenv("MVTEC_AD_ROOT", str(tiny.mvtec_ad / "nowhere"))
    run: Run = run_selection(catalogue("mvtec_ad"))
    assert "RootError" in run.failures["mvtec_ad"]
    assert recorded(tiny) == []


def test_changed_lines_of_correction_files_are_recorded_and_removed_ones_too(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "corrections.csv"
    header = "image_id,content_sha256,field,value,reason,by,at\n"
    monkeypatch.setenv("ANOMALY_CORRECTIONS", str(file))
    selection = catalogue("mvtec_ad") | dg.AssetSelection.assets("images", "corrections")
    for lines in ("mvtec_ad/bolt/test/good/000.png,,label,anomalous,a scratch,anna,\n", "", ""):
        file.write_text(header + lines)
        assert run_selection(selection.without_checks()).success
    query = "SELECT event, detail FROM run_events ORDER BY happened_at"
    assert tiny.query(query, database=tiny.warehouse) == [
        ("corrected", "lines of correction files: 1 new"),
        ("corrected", "lines of correction files: 1 removed"),
    ]
