"""Test parts of the graph that run alone on a warehouse without data."""

import dagster as dg
import duckdb
import pytest

from anomaly_assets.definitions import defs
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import Run, run_selection

LOADED = "Nothing to check yet: no file is loaded."
DECODED = "Nothing to check yet: no image is decoded."
COMPARED = (
    "Nothing to check yet: no category was evaluated at two recipes with 10 good and 10 anomalous test "
    "images at least."
)
PASSING = {
    "baseline_metrics:detail_is_kept": COMPARED,
    "dagm_2007/stray_files:files_are_recognised": LOADED,
    "dagm_2007/stray_files:masks_belong_to_an_image": LOADED,
    "dagm_2007/stray_files:most_files_belong_to_images": LOADED,
    "image_tensors:recipe_tensors_are_unique": DECODED,
    "image_tensors:images_have_all_recipes": DECODED,
    "image_tensors:recipe_tensors_are_of_their_image": DECODED,
    "image_tensors:tensors_have_the_configured_shape": DECODED,
    "mvtec_ad/stray_files:files_are_recognised": LOADED,
    "mvtec_ad/stray_files:masks_belong_to_an_image": LOADED,
    "mvtec_ad/stray_files:most_files_belong_to_images": LOADED,
    "near_duplicates:near_duplicates_stay_in_one_split": DECODED,
}
"""Checks whose table is always there, and their results for an empty one."""

NEEDING = {
    "duplicate_images:contents_stay_in_one_category": "duplicate_images",
    "duplicate_images:contents_stay_in_one_split": "duplicate_images",
    "image_tensors:images_have_a_tensor_or_a_rejection": "images",
    "image_tensors:images_have_8_bits": "images",
    "image_tensors:masks_are_binary": "images",
    "image_tensors:masks_are_not_empty": "images",
    "image_tensors:masks_do_not_cover_everything": "images",
    "image_tensors:masks_have_the_size_of_their_image": "images",
    "image_tensors:names_match_formats": "images",
    "images:image_ids_are_unique": "images",
    "rejected_images:images_are_usable": "images",
    "samples:anomalous_images_have_masks": "images",
    "samples:corrections_are_applied": "images",
    "samples:counts_equal_the_official_ones": "images",
    "samples:labels_agree": "images",
    "samples:labels_are_known": "images",
    "samples:training_images_are_good": "images",
    "splits:folds_do_not_leak": "splits",
    "splits:assignment_columns_exist": "images",
    "suspect_images:labels_fit_the_scores": "samples_without_tensors",
}
"""Checks to the table that they need, and that only the asset makes."""

KEYS = {
    f"{key.asset_key.to_user_string()}:{key.name}": key
    for key in defs.resolve_asset_graph().asset_check_keys
}


@pytest.fixture(params=["no file", pytest.param("no tables", marks=pytest.mark.slow)])
def empty(request: pytest.FixtureRequest, environment: Environment) -> Environment:
    if request.param == "no tables":
        environment.warehouse.parent.mkdir()
        duckdb.connect(str(environment.warehouse)).close()
    return environment


def check(name: str) -> Run:
    return run_selection(dg.AssetSelection.checks(KEYS[name]))


def test_every_check_is_tried_here() -> None:
    published = "published_database:published_counts_equal_the_warehouse"
    assert KEYS.keys() == {*PASSING, *NEEDING, published}


@pytest.mark.slow
@pytest.mark.parametrize("name", PASSING)
def test_a_check_that_has_nothing_to_check_passes_and_says_so(
    empty: Environment, name: str
) -> None:
    found = check(name).checks[name]
    assert (found.passed, found.description) == (True, PASSING[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDING)
def test_a_check_whose_table_is_missing_says_what_to_materialize(
    empty: Environment, name: str
) -> None:
    assert_needs(NEEDING[name], check(name))


@pytest.mark.slow
def test_contact_sheets_alone_say_what_to_materialize(empty: Environment) -> None:
    assert_needs("images", run_selection(dg.AssetSelection.assets("contact_sheets")))


def test_checks_of_a_loaded_dataset_say_nothing_where_nothing_is_wrong(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leave the other dataset out; its checks report that there is nothing to check."""
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    run = run_selection(dg.AssetSelection.all())
    assert run.success
    descriptions = {name: run.checks[name].description for name in PASSING}
    expected = {name: LOADED if name.startswith("dagm_2007") else None for name in PASSING}
    expected |= {  # the dataset is too small to be measured
        name: said for name, said in PASSING.items() if said == COMPARED
    }
    assert descriptions == expected


def assert_needs(missing: str, run: Run) -> None:
    [message] = run.failures.values()
    assert (
        f"WarehouseError: The warehouse has no {missing} yet. Materialize the assets upstream of this "
        "one first, or the whole graph."
    ) in message
    assert "CatalogException" not in message
