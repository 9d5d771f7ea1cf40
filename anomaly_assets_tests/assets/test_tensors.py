"""Tensors in the graph: what a run decodes, and what it reports."""

import dagster as dg
import pytest

from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import Run, catalogue, offenders, run_job, run_selection
from anomaly_assets_tests.assets.trees import grey_png, write_image

PIXELS = (
    dg.AssetSelection.assets("image_tensors", "rejected_images", "samples")
    .upstream()
    .without_checks()
)


def decoding(run: Run) -> tuple[int, int, int, int]:
    """Tensors in the table, and those decoded, removed and unchanged."""
    assert run.success
    facts = run.materialized["image_tensors"]
    names = ("dagster/row_count", "rows_decoded", "rows_removed", "rows_unchanged")
    rows, decoded, removed, unchanged = (facts[name] for name in names)
    return rows, decoded, removed, unchanged


def test_only_what_changed_is_decoded_and_a_mended_file_is_no_longer_rejected(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    damaged = "woven/train/good/001.png"
    write_image(tiny.mvtec_ad, damaged, b"\x89PNG\r\n\x1a\n")
    (tiny.mvtec_ad / "bolt/ground_truth/scratch/000_mask.png").write_bytes(b"no image")
    run = run_selection(PIXELS)
    assert decoding(run) == (8, 8, 0, 0)
    assert run.materialized["rejected_images"]["dagster/row_count"] == 2
    reasons = run.materialized["rejected_images"]["reasons_in_this_run"]
    assert sum(reasons.values()) == 2
    assert run.materialized["image_tensors"]["transform"] == "lanczos-32x32x3"

    write_image(tiny.mvtec_ad, damaged)
    (tiny.mvtec_ad / "bolt/train/good/000.png").unlink()
    write_image(tiny.mvtec_ad, "bolt/train/good/002.png", grey_png("another picture"))
    run = run_selection(PIXELS)
    assert decoding(run) == (8, 2, 1, 6)
    # The mask is as it was, so it is not tried again, and stays rejected.
    assert run.materialized["rejected_images"] == {
        "dagster/row_count": 1,
        "reasons_in_this_run": {},
    }

    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "8x12")
    monkeypatch.setenv("ANOMALY_CHANNELS", "1")
    run = run_selection(PIXELS)
    assert decoding(run) == (8, 8, 0, 0)
    assert run.materialized["image_tensors"]["transform"] == "lanczos-8x12x1"
    assert run.materialized["samples"]["dagster/row_count"] == 8
    assert tiny.query(
        "SELECT DISTINCT height, width, channels, octet_length(image_tensor) FROM main.samples",
        database=tiny.warehouse,
    ) == [(8, 12, 1, 96)]


def test_a_root_that_goes_away_before_its_changes_are_decoded_publishes_nothing(
    tiny: Environment,
) -> None:
    assert run_job().success
    published = tiny.database.read_bytes()
    changed = "bolt/train/good/000.png"
    write_image(tiny.mvtec_ad, changed, grey_png("another picture"))
    assert run_selection(catalogue("mvtec_ad")).success
    away = tiny.mvtec_ad.rename(tiny.mvtec_ad.with_name("unplugged"))

    run = run_job("refresh_dagm_2007")

    assert not run.success
    check = run.checks["image_tensors:images_have_a_tensor_or_a_rejection"]
    assert offenders(check).keys() == {f"mvtec_ad/{changed}"}
    assert tiny.database.read_bytes() == published

    away.rename(tiny.mvtec_ad)
    assert run_job("refresh_dagm_2007").success
    assert tiny.database.read_bytes() != published
