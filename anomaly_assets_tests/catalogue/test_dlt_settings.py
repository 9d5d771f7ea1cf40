"""Test that a load uses only this project's settings, and leaves none behind."""

from __future__ import annotations

from pathlib import Path

import dlt
import pytest

from anomaly_assets.catalogue.dlt_settings import only_our_settings
from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.warehouse.file.warehouse import FileWarehouse
from anomaly_assets_tests.catalogue.loaded import assert_equals_root, load_ids
from anomaly_assets_tests.catalogue.trees import MVTEC, MVTEC_PATHS, write


@pytest.mark.slow
def test_settings_of_the_machine_do_not_reach_a_load(
    tmp_path: Path, warehouse: FileWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID", "false")
    monkeypatch.setenv("SCHEMA__NAMING", "sql_ci_v1")
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "somewhere-else.duckdb")
    root = write(tmp_path / "root", *MVTEC_PATHS)
    load(MVTEC, str(root), warehouse)
    assert_equals_root(warehouse, MVTEC, root)
    assert all(load_ids(warehouse, MVTEC).values())


def test_a_setting_is_found_where_dlt_looks_for_it_and_is_gone_afterwards() -> None:
    with only_our_settings(load_workers=3):
        assert dlt.config["load.workers"] == 3
        assert dlt.config["normalize.parquet_normalizer.add_dlt_load_id"] is True
    assert dlt.config.get("load.workers") is None


def test_the_settings_of_the_machine_are_back_after_a_load_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOAD__WORKERS", "7")
    with pytest.raises(RuntimeError), only_our_settings(load_workers=3):
        raise RuntimeError
    assert dlt.config["load.workers"] == 7
