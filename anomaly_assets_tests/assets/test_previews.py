"""Test pictures in the graph: files beside the published database, small ones in the event log."""

import base64
import io
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image

from anomaly_assets.assets import previews
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import Run, offenders, run_job, run_selection
from anomaly_assets_tests.assets.trees import write_image
from anomaly_assets_tests.disk import record_calls

SHEETS = dg.AssetSelection.assets("contact_sheets", "rejected_images").upstream().without_checks()


def embedded(text: str) -> Image.Image:
    before, _, after = text.partition("base64,")
    assert before.endswith("](data:image/webp;")
    return Image.open(io.BytesIO(base64.b64decode(after.removesuffix(")"))))


def test_pictures_stay_below_100_kilobytes_a_materialization_and_are_as_wide_as_the_ui_shows_them(
    samples: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "256")
    run = run_job()
    assert run.success
    folder = samples.database.parent / "contact_sheets"
    assert run.materialized["contact_sheets"]["folder"] == str(folder)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")} == {
        "mvtec_ad.jpg",
        "mvtec_ad/bolt.jpg",
        "mvtec_ad/woven.jpg",
        "dagm_2007.jpg",
        "dagm_2007/Class1.jpg",
        "dagm_2007/Class2.jpg",
    }
    pictures = {
        asset: [text for text in facts.values() if "base64," in str(text)]
        for asset, facts in run.materialized.items()
    }
    counts = {asset: len(texts) for asset, texts in pictures.items() if texts}
    assert counts == {"contact_sheets": 2, "dataset_summary": 1, "defect_summary": 1}
    for texts in pictures.values():
        assert sum(map(len, texts)) <= 100_000
        assert all(embedded(text).width == 600 for text in texts)


def test_the_description_has_the_pictures_that_a_run_stored_in_the_home(
    samples: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "base64" not in previews._inline_pictures()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert run_selection(SHEETS, instance=instance).success
        stored = tmp_path / "contact_sheets.md"
        text = stored.read_text("utf-8")
        assert len(text) <= 30_000
        assert text.count("](data:image/webp;base64,") == 2
        before = stored.stat().st_mtime_ns
        assert run_selection(SHEETS, instance=instance).success
        assert stored.stat().st_mtime_ns == before
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert previews._inline_pictures() == f"\n\n{text}"
    stored.write_text("x" * 30_001)
    assert previews._inline_pictures() == ""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "missing"))
    assert previews._inline_pictures() == ""


def test_a_source_dataset_without_images_has_no_sheet(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    run = run_selection(SHEETS)
    assert run.success
    assert run.materialized["contact_sheets"].keys() == {
        "mvtec_ad", "pictures_digest", "folder", "files", "images_drawn", "drawn_again",
    }  # fmt: skip
    folder = tiny.database.parent / "contact_sheets"
    assert {path.name for path in folder.iterdir()} == {
        "mvtec_ad", "mvtec_ad.jpg", "mvtec_ad.webp", "drawn.json",
    }  # fmt: skip


def test_a_failed_check_shows_its_offenders_before_and_after_they_are_decoded(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiny.mvtec_ad / "bolt/ground_truth/scratch/000_mask.png").unlink()
    copied = (tiny.mvtec_ad / "bolt/train/good/000.png").read_bytes()
    write_image(tiny.mvtec_ad, "bolt/test/good/001.png", copied)
    calls = record_calls(monkeypatch)
    run = run_job()
    assert run.success
    files = set()
    for name in (
        "samples:anomalous_images_have_masks",
        "duplicate_images:contents_stay_in_one_split",
    ):
        metadata = run.checks[name].metadata
        text = str(metadata["pictures"].value)
        assert len(text) <= 24_000
        assert embedded(text).width == 600
        files.add(str(metadata["pictures_file"].value))
    folder = tiny.database.parent / "contact_sheets" / "checks"
    assert files == {str(path) for path in folder.iterdir()}
    assert all(("replace", "content", path.name) in calls for path in folder.iterdir())
    passed = run.checks["image_tensors:masks_are_binary"].metadata
    assert {name: value.value for name, value in passed.items()} == {"count": 0}


def shown(run: Run, asset: str) -> set[str]:
    return {name for name, value in run.materialized[asset].items() if "base64," in str(value)}


def linked(run: Run, asset: str) -> str | None:
    return run.materialized[asset].get("pictures_in_run")


def test_pictures_are_stored_when_they_change_and_else_the_run_that_has_them_is_linked(
    tiny: Environment,
) -> None:
    assets = ("contact_sheets", "dataset_summary", "defect_summary")
    drawn = dg.AssetSelection.assets(*assets).upstream().without_checks()
    with dg.DagsterInstance.ephemeral() as instance:
        first, second, third = (run_selection(drawn, instance=instance) for _ in range(3))
        for asset, pictures in zip(assets, (2, 1, 1), strict=True):
            assert (len(shown(first, asset)), linked(first, asset)) == (pictures, None)
            for unchanged in (second, third):
                assert shown(unchanged, asset) == set()
                assert linked(unchanged, asset) == first.result.run_id
        write_image(tiny.mvtec_ad, "bolt/train/good/003.png")
        fourth = run_selection(drawn, instance=instance)
        assert len(shown(fourth, "contact_sheets")) == 2
        assert len(shown(fourth, "dataset_summary")) == 1
        assert linked(fourth, "defect_summary") == first.result.run_id
        # A link to a run that was deleted would show nothing.
        instance.delete_run(first.result.run_id)
        instance.delete_run(fourth.result.run_id)
        fifth = run_selection(drawn, instance=instance)
        assert [len(shown(fifth, asset)) for asset in assets] == [2, 1, 1]


def test_pictures_of_a_failed_check_are_stored_when_they_change(tiny: Environment) -> None:
    (tiny.mvtec_ad / "bolt/ground_truth/scratch/000_mask.png").unlink()
    name = "samples:anomalous_images_have_masks"
    checked = dg.AssetSelection.assets("samples").upstream()
    with dg.DagsterInstance.ephemeral() as instance:
        runs = [run_selection(checked, instance=instance) for _ in range(3)]
        (tiny.mvtec_ad / "woven/ground_truth/tear/000_mask.png").unlink()
        runs.append(run_selection(checked, instance=instance))
    found = [run.checks[name] for run in runs]
    assert [check.passed for check in found] == [False] * 4
    assert [len(offenders(check)) for check in found] == [1, 1, 1, 2]
    assert ["pictures" in check.metadata for check in found] == [True, False, False, True]
    first = runs[0].result.run_id
    links = [check.metadata.get("pictures_in_run") for check in found]
    assert [link and link.value for link in links] == [None, first, first, None]


def test_metadata_are_stored_with_the_materialization_and_not_with_the_output_of_its_step(
    tiny: Environment,
) -> None:
    run = run_job()
    outputs = [
        event.step_output_data
        for event in run.result.all_events
        if event.event_type == dg.DagsterEventType.STEP_OUTPUT
    ]
    assert len(outputs) == 52
    assert {name for output in outputs for name in output.metadata} == set()
    assert len(run.materialized) == 21
    assert all(run.materialized.values())


def test_an_unchanged_table_shows_a_few_rows(samples: Environment) -> None:
    summary = dg.AssetSelection.assets("dataset_summary").upstream().without_checks()
    with dg.DagsterInstance.ephemeral() as instance:
        first, second = (run_selection(summary, instance=instance) for _ in range(2))
    rows = [
        str(run.materialized["dataset_summary"]["rows"]).splitlines() for run in (first, second)
    ]
    assert [len(lines) - 2 for lines in rows] == [15, 5]
    assert rows[1] == rows[0][:7]
