"""Test tensors in the graph: decoded images and reports of a run."""

import dagster as dg
import pytest

from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import (
    CHANGE_SHAPE,
    Run,
    catalogue,
    offenders,
    run_job,
    run_selection,
)
from anomaly_assets_tests.assets.trees import grey_png, write_image

PIXELS = (
    dg.AssetSelection.assets("image_tensors", "rejected_images", "samples")
    .upstream()
    .without_checks()
)


ROW_COUNTS = ("rows_added", "rows_changed", "rows_removed", "rows_unchanged")


def rows_of(run: Run, asset: str) -> tuple[int, ...]:
    """Return the rows of a table, and those added, changed, removed and unchanged."""
    assert run.success
    facts = run.materialized[asset]
    return tuple(facts[name] for name in ("dagster/row_count", *ROW_COUNTS))


def rejected_files(run: Run) -> list[tuple[str, str]]:
    """Return path and reason of the files that the run shows as rejected."""
    records = run.materialized["rejected_images"]["rejected_files"].records
    return [(record.data["relative_path"], record.data["reason"]) for record in records]


@pytest.mark.slow
def test_only_what_changed_is_decoded_and_a_mended_file_is_no_longer_rejected(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    damaged, mask = "woven/train/good/001.png", "bolt/ground_truth/scratch/000_mask.png"
    write_image(tiny.mvtec_ad, damaged, b"\x89PNG\r\n\x1a\n")
    (tiny.mvtec_ad / mask).write_bytes(b"no image")
    run = run_selection(PIXELS)
    assert rows_of(run, "image_tensors") == (8, 8, 0, 0, 0)
    assert rows_of(run, "rejected_images") == (2, 2, 0, 0, 0)
    assert dict(rejected_files(run)).keys() == {damaged, mask}
    reasons = run.materialized["rejected_images"]["reasons_in_this_run"]
    assert sum(reasons.values()) == 2
    assert run.materialized["image_tensors"]["transform"] == "lanczos-simd-32x32x3"

    write_image(tiny.mvtec_ad, damaged)
    (tiny.mvtec_ad / "bolt/train/good/000.png").unlink()
    write_image(tiny.mvtec_ad, "bolt/train/good/002.png", grey_png("another picture"))
    run = run_selection(PIXELS)
    assert rows_of(run, "image_tensors") == (8, 1, 1, 1, 6)
    assert rows_of(run, "samples") == (8, 1, 1, 1, 6)
    # The mask did not change, so it is not decoded again and stays rejected.
    assert rows_of(run, "rejected_images") == (1, 0, 0, 1, 1)
    assert [path for path, _ in rejected_files(run)] == [mask]
    assert run.materialized["rejected_images"]["reasons_in_this_run"] == {}

    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "8x12")
    monkeypatch.setenv("ANOMALY_CHANNELS", "1")
    run = run_selection(PIXELS, run_config=CHANGE_SHAPE)
    assert rows_of(run, "image_tensors") == (8, 0, 8, 0, 0)
    assert run.materialized["image_tensors"]["transform"] == "lanczos-simd-8x12x1"
    assert run.materialized["samples"]["dagster/row_count"] == 8
    assert tiny.query(
        "SELECT DISTINCT height, width, channels, octet_length(image_tensor) FROM main.samples",
        database=tiny.warehouse,
    ) == [(8, 12, 1, 96)]


@pytest.mark.slow
def test_a_run_says_where_the_time_of_decoding_went(tiny: Environment) -> None:
    facts = run_selection(PIXELS).materialized["image_tensors"]
    assert facts["decode_seconds"] > 0
    assert 0 < facts["wait_seconds"] + facts["write_seconds"] <= facts["seconds"]
    assert facts["images_per_second"] == pytest.approx(13 / facts["seconds"], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("selected", ["image_tensors", "recipe_tensors", "rejected_images"])
def test_each_table_of_decoding_can_be_selected_alone_and_all_are_made_and_told(
    tiny: Environment, selected: str
) -> None:
    damaged = "woven/train/good/001.png"
    write_image(tiny.mvtec_ad, damaged, b"\x89PNG\r\n\x1a\n")
    catalogues = catalogue("mvtec_ad", "dagm_2007") | dg.AssetSelection.assets("images")
    assert run_selection(catalogues.without_checks()).success
    run = run_selection(dg.AssetSelection.assets(selected).without_checks())
    assert run.materialized.keys() == {"image_tensors", "recipe_tensors", "rejected_images"}
    assert rows_of(run, "image_tensors") == (12, 12, 0, 0, 0)
    assert rows_of(run, "rejected_images") == (1, 1, 0, 0, 0)
    assert [path for path, _ in rejected_files(run)] == [damaged]


@pytest.mark.slow
def test_rows_are_shown_without_their_pixels(tiny: Environment) -> None:
    run = run_selection(PIXELS)
    for asset in ("images", "image_tensors", "samples"):
        shown = run.materialized[asset]["rows"]
        assert "bolt/train/good/000.png" in shown
        assert "\\x" not in shown
        assert len(shown) < 10_000


@pytest.mark.slow
def test_a_root_that_goes_away_before_its_changes_are_decoded_publishes_nothing(
    refreshed: Environment,
) -> None:
    published = refreshed.database.read_bytes()
    changed = "bolt/train/good/000.png"
    write_image(refreshed.mvtec_ad, changed, grey_png("another picture"))
    assert run_selection(catalogue("mvtec_ad")).success
    away = refreshed.mvtec_ad.rename(refreshed.mvtec_ad.with_name("unplugged"))

    run = run_job("refresh_dagm_2007")

    assert not run.success
    check = run.checks["image_tensors:images_have_a_tensor_or_a_rejection"]
    assert offenders(check).keys() == {f"mvtec_ad/{changed}"}
    assert refreshed.database.read_bytes() == published

    away.rename(refreshed.mvtec_ad)
    assert run_job("refresh_dagm_2007").success
    assert refreshed.database.read_bytes() != published
