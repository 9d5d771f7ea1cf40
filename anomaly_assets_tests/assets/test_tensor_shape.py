"""Test that the shape of tensors belongs to the warehouse: two machines do not rebuild them in turns."""

from __future__ import annotations

import dagster as dg
import pytest

from anomaly_assets import forget
from anomaly_assets.errors import rerun_with
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import CHANGE_SHAPE, run_published, run_selection

SHAPES = "SELECT DISTINCT height, width, channels FROM anomaly.image_tensors ORDER BY ALL"
REFUSED = (
    "The tensors of this warehouse are 32x32 with 3 channels; ANOMALY_IMAGE_SIZE and ANOMALY_CHANNELS of "
    "this machine ask for 16x16 with 3 channels. Unset the two variables to use the shape of "
    "the warehouse. "
    f"To rebuild all tensors on purpose, {rerun_with('image_tensors', 'change_shape')}"
)


@pytest.fixture
def another_machine(monkeypatch: pytest.MonkeyPatch, refreshed: Environment) -> Environment:
    """Return a warehouse of 32 x 32 x 3, with this machine set to 16 x 16."""
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "16")
    return refreshed


def test_a_machine_with_another_size_is_refused_and_decodes_nothing(
    another_machine: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = another_machine.database.read_bytes()
    run = run_published()
    assert not run.success
    assert REFUSED in run.failures["image_tensors"]
    assert another_machine.database.read_bytes() == published
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "32")
    again = run_published()
    assert again.success
    assert again.materialized["image_tensors"]["rows_unchanged"] == 13
    assert another_machine.database.read_bytes() == published


def test_a_machine_that_names_no_size_takes_that_of_the_warehouse(
    another_machine: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANOMALY_IMAGE_SIZE")
    run = run_published()
    assert run.success
    assert run.materialized["image_tensors"]["transform"] == "lanczos-simd-32x32x3"
    monkeypatch.setenv("ANOMALY_CHANNELS", "1")
    assert "ask for 32x32 with 1 channel." in run_published().failures["image_tensors"]


def test_a_change_on_purpose_makes_all_again_and_holds_for_every_machine(
    another_machine: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = run_published(run_config=CHANGE_SHAPE)
    assert changed.success
    assert changed.materialized["image_tensors"]["rows_changed"] == 13
    assert another_machine.query(SHAPES) == [(16, 16, 3)]
    assert run_published().success
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", "32")
    assert "of this warehouse are 16x16" in run_published().failures["image_tensors"]


def test_a_change_that_was_interrupted_is_gone_on_with_by_a_machine_that_names_no_size(
    another_machine: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_published(run_config=CHANGE_SHAPE).success
    with another_machine.open_warehouse() as connection:  # as after a kill in its first transaction
        connection.execute(
            "UPDATE image_tensors SET height = 32, width = 32, transform = 'lanczos-32x32x3'"
        )
    monkeypatch.delenv("ANOMALY_IMAGE_SIZE")
    assert run_published().success
    assert another_machine.query(SHAPES) == [(16, 16, 3)]


def test_a_warehouse_of_a_release_that_did_not_record_it_keeps_its_shape(
    another_machine: Environment,
) -> None:
    with another_machine.open_warehouse() as connection:
        connection.execute("DROP TABLE tensor_shape")
        connection.execute("DROP TABLE source_datasets")
    assert REFUSED in run_published().failures["image_tensors"]


def test_publishing_and_checks_alone_are_refused_as_well(another_machine: Environment) -> None:
    run = run_selection(dg.AssetSelection.assets("published_database"))
    assert REFUSED in run.failures["published_database"]
    checks = dg.AssetSelection.checks_for_assets(dg.AssetKey("image_tensors"))
    assert REFUSED in run_selection(checks).failures["image_tensors_checks"]


@pytest.mark.parametrize("how", ["renamed", "forgotten"])
def test_the_shape_stays_when_all_images_have_other_ids_or_were_forgotten(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Test a former bug: both changed the shape to 256 x 256, without a message."""
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    assert run_published().success
    monkeypatch.delenv("ANOMALY_IMAGE_SIZE")
    if how == "renamed":
        for number, category in enumerate(sorted(tiny.mvtec_ad.iterdir())):
            category.rename(tiny.mvtec_ad / f"part {number}")
    else:
        assert forget.main(["mvtec_ad"]) == 0
    assert run_published().success
    assert tiny.query(SHAPES) == [(32, 32, 3)]


def test_the_shape_is_not_changed_without_the_roots_of_all_datasets(
    another_machine: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGM_2007_ROOT", "")
    run = run_published(run_config=CHANGE_SHAPE)
    assert "set DAGM_2007_ROOT, or remove" in run.failures["image_tensors"]
    assert another_machine.query(SHAPES) == [(32, 32, 3)]
    monkeypatch.setenv("DAGM_2007_ROOT", str(another_machine.dagm_2007))
    assert run_published(run_config=CHANGE_SHAPE).success
    assert another_machine.query(SHAPES) == [(16, 16, 3)]
