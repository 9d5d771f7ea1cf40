"""Compare the real excerpts beside the checkout with expected numbers; skipped without them."""

import os
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import Run, offenders, run_job, run_selection

PER_KIND = """
SELECT source_dataset, category, split, label, count(*), count(mask_tensor)
FROM anomaly.samples
GROUP BY ALL
ORDER BY ALL
"""


@pytest.fixture(scope="module")
def official(real_root: Path, module_environment: Environment) -> Run:
    """Run over copies of both roots in the official layout."""
    module_environment.copy_roots(real_root / "official_layout")
    return run_job()


def test_the_official_layout_gives_the_counted_images_and_masks(
    official: Run, module_environment: Environment
) -> None:
    assert official.success
    assert module_environment.query(PER_KIND) == [
        ("dagm_2007", "Class8", "test", "anomalous", 2, 2),
        ("dagm_2007", "Class8", "test", "good", 38, 0),
        ("dagm_2007", "Class8", "train", "anomalous", 11, 11),
        ("dagm_2007", "Class8", "train", "good", 32, 0),
        ("mvtec_ad", "leather", "test", "anomalous", 20, 11),
        ("mvtec_ad", "leather", "test", "good", 4, 0),
        ("mvtec_ad", "leather", "train", "good", 4, 0),
    ]
    assert official.materialized["rejected_images"]["dagster/row_count"] == 0
    assert official.materialized["mvtec_ad/stray_files"]["dagster/row_count"] == 7
    assert official.materialized["dagm_2007/stray_files"]["dagster/row_count"] == 0
    assert official.materialized["mvtec_ad/images"]["ignored_files"] == 1  # readme.txt
    assert official.materialized["dagm_2007/images"]["ignored_files"] == 1  # Thumbs.db
    assert module_environment.query(
        "SELECT DISTINCT original_width, original_height, original_mode FROM samples ORDER BY ALL"
    ) == [(512, 512, "L"), (1024, 1024, "RGB")]


def test_the_checks_name_the_nine_images_without_a_mask_and_the_seven_masks_without_an_image(
    official: Run,
) -> None:
    without_a_mask = official.checks["samples:anomalous_images_have_masks"]
    assert offenders(without_a_mask) == {
        f"mvtec_ad/leather/test/{defect}/{name}.png": defect
        for defect, names in {
            "color": ("008", "009", "010"),
            "cut": ("008", "009"),
            "fold": ("012", "013"),
            "glue": ("002",),
            "poke": ("002",),
        }.items()
        for name in names
    }
    assert without_a_mask.metadata["count"].value == 9
    without_an_image = official.checks["mvtec_ad/stray_files:masks_belong_to_an_image"]
    assert offenders(without_an_image) == {
        f"leather/ground_truth/{mask}_mask.png": "orphan_mask"
        for mask in (
            "color/001",
            "color/011",
            "cut/010",
            "cut/011",
            "fold/009",
            "glue/009",
            "poke/009",
        )
    }
    assert official.failed_checks == {
        "samples:anomalous_images_have_masks",
        "samples:counts_equal_the_official_ones",
        "mvtec_ad/stray_files:masks_belong_to_an_image",
    }


def test_masks_with_hardly_a_pixel_keep_the_area_that_was_measured(
    official: Run, module_environment: Environment
) -> None:
    query = """
        SELECT filename, round(mask_area_fraction * 512 * 512, 6)
        FROM samples
        WHERE category = 'Class8'
        ORDER BY mask_area_fraction
        LIMIT 3
    """
    assert module_environment.query(query) == [("1951.PNG", 2), ("1502.PNG", 26), ("1827.PNG", 250)]


def test_the_seed_excerpts_have_ten_images_of_each_kind_and_no_mask_among_them(
    real_root: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    excerpts = real_root / "seed_excerpt"
    monkeypatch.setenv("MVTEC_AD_ROOT", str(excerpts / "mvtec_excerpt"))
    monkeypatch.setenv("DAGM_2007_ROOT", str(excerpts / "dagm_excerpt"))
    samples = dg.AssetSelection.assets("samples", "rejected_images").upstream()
    run = run_selection(samples)
    assert run.success
    assert run.failed_checks == {
        "samples:counts_equal_the_official_ones",
        "samples:labels_are_known",  # the training split of Class1 has neither masks nor Labels.txt
    }
    with environment.open_warehouse() as warehouse:
        assert warehouse.execute(PER_KIND).fetchall() == [
            ("dagm_2007", "Class1", "test", "anomalous", 10, 10),
            ("dagm_2007", "Class1", "train", "good", 10, 0),
            ("mvtec_ad", "bottle", "test", "anomalous", 10, 10),
            ("mvtec_ad", "bottle", "train", "good", 10, 0),
        ]
        query = "SELECT DISTINCT defect_type FROM images WHERE label = 'anomalous'"
        assert warehouse.execute(query).fetchall() == [("unspecified",)]
        query = "SELECT count(*) FROM images WHERE regexp_matches(filename, 'mask|label')"
        assert warehouse.execute(query).fetchall() == [(0,)]


Rows = dict[str, dict[str, Any]]


def differing(before: Rows, after: Rows) -> tuple[set[str], set[str], set[str]]:
    """Return the keys of the rows that were added, removed, or changed in any column."""
    changed = {key for key in before.keys() & after.keys() if before[key] != after[key]}
    return after.keys() - before.keys(), before.keys() - after.keys(), changed


def test_of_a_touched_a_moved_a_deleted_and_an_old_added_file_exactly_these_rows_differ(
    official: Run, module_environment: Environment
) -> None:
    tables = {
        "images": "image_id",
        "image_tensors": "image_id",
        "mvtec_ad.stray_files": "relative_path",
        "dagm_2007.stray_files": "relative_path",
    }
    assert official.success
    before = {table: module_environment.rows(table, key) for table, key in tables.items()}
    leather = module_environment.mvtec_ad / "leather"
    train = module_environment.dagm_2007 / "Class8" / "Train"

    touched = leather / "test/good/000.png"
    os.utime(touched, (touched.stat().st_mtime + 60,) * 2)
    (leather / "test/color/008.png").rename(leather / "test/glue/011.png")
    (train / "1151.PNG").unlink()
    added = shutil.copyfile(leather / "train/good/000.png", leather / "train/good/100.png")
    os.utime(added, (946684800, 946684800))

    run = run_job()
    assert run.success
    after = {table: module_environment.rows(table, key) for table, key in tables.items()}
    for table in ("images", "image_tensors"):
        assert differing(before[table], after[table]) == (
            {"mvtec_ad/leather/test/glue/011.png", "mvtec_ad/leather/train/good/100.png"},
            {"mvtec_ad/leather/test/color/008.png", "dagm_2007/Class8/Train/1151.PNG"},
            {"mvtec_ad/leather/test/good/000.png"},
        ), table
    assert after["mvtec_ad.stray_files"] == before["mvtec_ad.stray_files"]
    # Labels.txt still names what was deleted.
    assert differing(before["dagm_2007.stray_files"], after["dagm_2007.stray_files"]) == (
        {"Class8/Train/1151.PNG"},
        set(),
        set(),
    )
    counts = {
        name: [
            run.materialized[f"{name}/images"][count]
            for count in ("rows_added", "rows_changed", "rows_removed", "rows_unchanged")
        ]
        for name in module_environment.roots
    }
    assert counts == {"mvtec_ad": [2, 1, 1, 26], "dagm_2007": [0, 0, 1, 82]}
    decoding = run.materialized["image_tensors"]
    assert [decoding[count] for count in ("rows_added", "rows_changed", "rows_removed")] == [
        2,
        1,
        2,
    ]
    assert after["images"]["mvtec_ad/leather/test/glue/011.png"]["defect_type"] == "glue"
    assert module_environment.query("SELECT image_ids FROM duplicate_images") == [
        (["mvtec_ad/leather/train/good/000.png", "mvtec_ad/leather/train/good/100.png"],)
    ]
