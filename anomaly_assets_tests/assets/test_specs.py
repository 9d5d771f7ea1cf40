"""Test properties that all table assets have in common."""

import pytest

from anomaly_assets.assets import specs
from anomaly_assets.tables.ddl import definition
from anomaly_assets.tables.registry import TABLES


def versions() -> dict[str, str | None]:
    return {
        name: specs.table_spec(
            name, group="summaries", deps=[], kinds={"sql"}, files=[]
        ).code_version
        for name in TABLES
    }


def test_the_code_version_of_a_table_changes_with_its_sql_file_and_with_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = versions()
    monkeypatch.setattr(
        specs,
        "definition",
        lambda name: definition(name) + ("-- changed" if name == "defect_summary" else ""),
    )
    after = versions()
    assert {name for name in TABLES if before[name] != after[name]} == {"defect_summary"}
