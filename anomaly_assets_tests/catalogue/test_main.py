"""Test the messages and exit codes of `python -m anomaly_assets.ingest`."""

import runpy
import shutil
import sys
from pathlib import Path

import pytest

from anomaly_assets.ingest.__main__ import main
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.catalogue.loaded import assert_equals_root, rows_of
from anomaly_assets_tests.catalogue.trees import DAGM, MVTEC, write, write_dagm


@pytest.fixture
def root(loaded_root: Path, warehouse: FileWarehouse, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name an MVTec AD root and the warehouse that holds it in the environment."""
    monkeypatch.setenv("MVTEC_AD_ROOT", str(loaded_root))
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(warehouse.path))
    monkeypatch.setenv("ANOMALY_LOCK_WAIT_SECONDS", "1")
    return loaded_root


@pytest.mark.slow
def test_a_load_says_what_changed_in_each_table(
    root: Path, warehouse: FileWarehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "bottle/train/good/000.png").unlink()
    write(root, "bottle/train/good/001.png", content=b"another picture")
    write(root, "bottle/train/good/002.png", "bottle/train/good/003.png")
    assert main(["mvtec_ad"]) == 0
    assert capsys.readouterr() == (
        "mvtec_ad.images: 2 inserted, 1 updated, 1 deleted, 8 unchanged\n"
        "mvtec_ad.stray_files: 0 inserted, 0 updated, 0 deleted, 1 unchanged\n",
        "",
    )
    assert_equals_root(warehouse, MVTEC, root)


def test_the_module_runs_as_a_command(
    root: Path, tmp_path: Path, warehouse: FileWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGM_2007_ROOT", str(write_dagm(tmp_path / "dagm")))
    monkeypatch.setattr(sys, "argv", ["ingest", "dagm_2007"])
    monkeypatch.delitem(sys.modules, "anomaly_assets.ingest.__main__")
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("anomaly_assets.ingest", run_name="__main__")
    assert caught.value.code == 0
    assert len(rows_of(warehouse, DAGM)) == 3


@pytest.mark.slow
def test_categories_may_be_named(root: Path, warehouse: FileWarehouse) -> None:
    write(root, *(f"{category}/train/good/009.png" for category in ("bottle", "cable", "wood")))
    assert main(["mvtec_ad", "--category", "cable", "--category", "wood"]) == 0
    assert {path for path in rows_of(warehouse, MVTEC) if path.endswith("009.png")} == {
        "cable/train/good/009.png",
        "wood/train/good/009.png",
    }


def test_an_unknown_category_is_an_error(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mvtec_ad", "--category", "wood"]) == 1
    assert capsys.readouterr() == (
        "",
        "error: MVTec AD has no category 'wood'. Below the root: bottle, cable.\n",
    )


@pytest.mark.slow
def test_a_shrunken_root_is_an_error_until_it_is_allowed(
    root: Path, warehouse: FileWarehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(root / "cable")
    assert main(["mvtec_ad"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {root.as_uri()} lists 5 images of MVTec AD, 10 are loaded; ")
    assert "allow_shrink" in error
    assert len(rows_of(warehouse, MVTEC)) == 10
    assert main(["mvtec_ad", "--allow-shrink"]) == 0
    assert len(rows_of(warehouse, MVTEC)) == 5


def test_a_dataset_with_an_empty_root_variable_is_left_out(
    root: Path,
    warehouse: FileWarehouse,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MVTEC_AD_ROOT", "")
    before = warehouse.path.read_bytes()
    assert main(["mvtec_ad"]) == 0
    assert capsys.readouterr() == ("MVTec AD not refreshed (MVTEC_AD_ROOT is empty).\n", "")
    assert warehouse.path.read_bytes() == before


def test_a_missing_root_is_an_error_for_which_no_other_run_is_waited_for(
    root: Path,
    warehouse: FileWarehouse,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MVTEC_AD_ROOT", f"{root}/nowhere")
    monkeypatch.setenv("ANOMALY_LOCK_WAIT_SECONDS", "2")
    with warehouse.locked():
        assert main(["mvtec_ad"]) == 1
    assert capsys.readouterr() == (
        "",
        f"error: MVTec AD (MVTEC_AD_ROOT): {root}/nowhere does not exist. Nothing was changed. To leave "
        "this dataset out, set MVTEC_AD_ROOT to the empty string.\n",
    )


def test_a_setting_that_cannot_be_used_is_an_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANOMALY_LOCK_WAIT_SECONDS", "soon")
    assert main(["mvtec_ad"]) == 1
    assert capsys.readouterr().err == (
        "error: ANOMALY_LOCK_WAIT_SECONDS='soon': use a whole number of at least 1.\n"
    )


def test_a_warehouse_that_is_no_database_is_an_error(
    root: Path, warehouse: FileWarehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse.path.write_bytes(b"certainly not a database" * 1000)
    assert main(["mvtec_ad"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {warehouse.path} cannot be opened: ")


def test_an_unknown_source_dataset_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["vista"])
    assert caught.value.code == 2
    assert "dagm_2007" in capsys.readouterr().err
