"""Test recipes of a warehouse: which are made, and what changes them."""

from __future__ import annotations

import dagster as dg
import duckdb
import pytest

from anomaly_assets.decoding import resize
from anomaly_assets.reader import diff_snapshots
from anomaly_assets.settings import Settings
from anomaly_assets.tables.recipes import ignored_declarations
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_published, run_selection

MADE = "SELECT DISTINCT recipe, transform FROM anomaly.recipe_tensors ORDER BY ALL"
RECIPES = "SELECT source_dataset, recipe, is_common, named_by FROM anomaly.recipes ORDER BY ALL"
COMMON = "SELECT DISTINCT transform FROM anomaly.image_tensors"
IDS = "SELECT snapshot_id FROM anomaly.snapshots ORDER BY published_at"


@pytest.fixture(autouse=True)
def _this_machine_has_simd() -> None:
    assert resize.why_not_simd() is None


@pytest.mark.slow
def test_a_new_warehouse_has_the_declared_recipes_and_resizes_with_simd(
    refreshed: Environment,
) -> None:
    assert refreshed.query(RECIPES) == [
        ("dagm_2007", "32x32x3", True, "declaration"),
        ("dagm_2007", "512x512x1", False, "declaration"),
        ("mvtec_ad", "32x32x3", True, "declaration"),
    ]
    assert refreshed.query(COMMON) == [("lanczos-simd-32x32x3",)]
    assert refreshed.query(MADE) == [("512x512x1", "lanczos-simd-512x512x1")]
    agree = """
        SELECT count(*), count(DISTINCT made.image_id),
            bool_and(made.content_sha256 = common.content_sha256)
        FROM anomaly.recipe_tensors AS made JOIN anomaly.image_tensors AS common USING (image_id)
    """
    [(rows, images, same)] = refreshed.query(agree)
    assert rows == images > 0
    assert same
    ids = refreshed.query(IDS)
    assert run_published().success
    assert refreshed.query(IDS) == ids


def test_samples_at_a_recipe_have_the_columns_of_samples_and_its_tensors(
    refreshed: Environment,
) -> None:
    columns = "SELECT column_name FROM (DESCRIBE FROM {})"
    expected = [*refreshed.query(columns.format("samples")), ("recipe",), ("tile",), ("box",)]
    assert refreshed.query(columns.format("samples_at('512x512x1')")) == expected
    shapes = """
        SELECT DISTINCT source_dataset, height, width, channels, octet_length(image_tensor)
        FROM anomaly.samples_at('{}') ORDER BY ALL
    """
    assert refreshed.query(shapes.format("512x512x1")) == [("dagm_2007", 512, 512, 1, 512 * 512)]
    assert refreshed.query(shapes.format("32x32x3")) == [
        ("dagm_2007", 32, 32, 3, 3072),
        ("mvtec_ad", 32, 32, 3, 3072),
    ]
    with pytest.raises(duckdb.Error, match="There is no recipe 7x7x3"):
        refreshed.query(shapes.format("7x7x3"))
    same = "SELECT image_id, label, image_tensor, mask_tensor FROM {} ORDER BY image_id"
    assert refreshed.query(same.format("samples_at('32x32x3')")) == refreshed.query(
        same.format("samples")
    )


@pytest.mark.slow
def test_sizes_of_the_environment_hold_until_it_names_others(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALY_SIZES", "32,16x16x1")
    assert run_published().success
    assert tiny.query(MADE) == [("16x16x1", "lanczos-simd-16x16x1")]
    monkeypatch.delenv("ANOMALY_SIZES")
    run = run_published()
    assert run.materialized["recipe_tensors"]["rows_unchanged"] == 13
    with tiny.open_warehouse() as connection:
        settings = Settings.from_environment()
        assert ignored_declarations(connection, settings) == {
            "dagm_2007": ["512x512x1"]  # mvtec_ad declares none
        }
    assert {row[3] for row in tiny.query(RECIPES)} == {"ANOMALY_SIZES"}

    monkeypatch.setenv("ANOMALY_SIZES", "24")
    monkeypatch.delenv("ANOMALY_IMAGE_SIZE")
    assert (
        "To add recipes, begin with that of the warehouse: ANOMALY_SIZES=32x32x3,24x24x3."
        in (run_published().failures["image_tensors"])
    )

    monkeypatch.setenv("ANOMALY_SIZES", "32,16x16x1,24")
    run = run_published()
    assert run.success
    tensors, made = run.materialized["image_tensors"], run.materialized["recipe_tensors"]
    assert (tensors["rows_unchanged"], made["rows_added"], made["rows_unchanged"]) == (13, 13, 13)

    [(older,), (newer,)] = tiny.query(IDS)[-2:]
    difference = diff_snapshots(older, newer, tiny.database)
    assert difference.recipes_added == ["dagm_2007: 24x24x3", "mvtec_ad: 24x24x3"]
    assert str(difference) == (
        "0 added, 0 removed, 0 changed, 0 relabelled, dagm_2007: 24x24x3 added, mvtec_ad: 24x24x3 added"
    )

    monkeypatch.setenv("ANOMALY_SIZES", "32,24")
    run = run_published()
    assert run.materialized["recipe_tensors"]["rows_removed"] == 13
    assert tiny.query(MADE) == [("24x24x3", "lanczos-simd-24x24x3")]

    monkeypatch.setenv("ANOMALY_SIZES", "declared")
    assert run_published().success
    assert tiny.query(MADE) == [("512x512x1", "lanczos-simd-512x512x1")]
    assert {row[3] for row in tiny.query(RECIPES)} == {"declaration"}


@pytest.mark.slow
def test_the_declared_recipe_is_turned_off_with_one_line(
    refreshed: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALY_SIZES", "32")
    assert run_published().success
    assert refreshed.query(MADE) == []
    assert {row[1] for row in refreshed.query(RECIPES)} == {"32x32x3"}


@pytest.mark.slow
def test_the_snapshot_id_of_the_common_recipe_alone_does_not_depend_on_recipes(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALY_SIZES", "32")
    assert run_published().success
    [(before,)] = tiny.query(IDS)
    monkeypatch.setenv("ANOMALY_SIZES", "32,16")
    assert run_published().success
    assert len(tiny.query(IDS)) == 2
    monkeypatch.setenv("ANOMALY_SIZES", "32")
    assert run_published().success
    assert tiny.query(IDS)[-1] == (before,)


@pytest.mark.slow
def test_a_warehouse_keeps_its_resize_until_it_is_set(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALY_RESIZE", "pillow")
    assert run_published().success
    assert tiny.query(COMMON) == [("lanczos-32x32x3",)]
    monkeypatch.delenv("ANOMALY_RESIZE")
    run = run_published()
    assert run.materialized["image_tensors"]["rows_unchanged"] == 13
    monkeypatch.setenv("ANOMALY_RESIZE", "simd")
    run = run_published()
    assert run.success
    assert run.materialized["image_tensors"]["rows_changed"] == 13
    assert tiny.query(COMMON) == [("lanczos-simd-32x32x3",)]
    assert tiny.query(MADE) == [("512x512x1", "lanczos-simd-512x512x1")]


@pytest.mark.slow
def test_a_machine_without_simd_begins_with_pillow_and_is_refused_by_a_simd_warehouse(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(resize, "why_not_simd", lambda: "Install cykooz-resizer.")
        assert run_published().success
        assert tiny.query(COMMON) == [("lanczos-32x32x3",)]
    monkeypatch.setenv("ANOMALY_RESIZE", "simd")
    assert run_published().success
    monkeypatch.delenv("ANOMALY_RESIZE")
    monkeypatch.setattr(resize, "why_not_simd", lambda: "Install cykooz-resizer.")
    run = run_published()
    assert not run.success
    assert (
        "resized with SIMD, which this machine cannot do: Install cykooz-resizer."
        in (run.failures["image_tensors"])
    )
    monkeypatch.setenv("ANOMALY_RESIZE", "pillow")
    assert run_published().success
    assert tiny.query(COMMON) == [("lanczos-32x32x3",)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("INSERT INTO recipe_tensors FROM recipe_tensors LIMIT 1", "recipe_tensors_are_unique"),
        (
            "UPDATE recipe_tensors SET content_sha256 = 'other' WHERE image_id = "
            "(SELECT min(image_id) FROM recipe_tensors)",
            "recipe_tensors_are_of_their_image",
        ),
        (
            "DELETE FROM recipe_tensors WHERE image_id = (SELECT min(image_id) FROM recipe_tensors)",
            "images_have_all_recipes",
        ),
    ],
)
def test_damaged_tensors_of_a_recipe_are_not_published(
    refreshed: Environment, damage: str, check: str
) -> None:
    ids = refreshed.query(IDS)
    with refreshed.open_warehouse() as connection:
        connection.execute(damage)
    run = run_selection(dg.AssetSelection.checks_for_assets("image_tensors"))
    assert run.failed_checks == {f"image_tensors:{check}"}
    run = run_selection(dg.AssetSelection.assets("published_database").without_checks())
    assert f"blocking checks fail: {check} (1, first" in run.failures["published_database"]
    assert refreshed.query(IDS) == ids
