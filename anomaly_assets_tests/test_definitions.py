"""What Dagster loads: the shape of the graph, what its assets say about themselves, and its jobs."""

import difflib
import os
import subprocess
import sys
from collections.abc import Set
from pathlib import Path

import dagster as dg
import pytest

from anomaly_assets.definitions import defs
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.graph import SNAPSHOT, graph_text
from anomaly_assets_tests.assets.runs import Run, run_job
from anomaly_assets_tests.assets.trees import write_image

SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
EXTERNAL = {"mvtec_ad/files", "dagm_2007/files"}
NO_TABLES = {"contact_sheets", "published_database"}
ROWS = {
    "dagm_2007/images": 4,
    "dagm_2007/stray_files": 0,
    "dataset_summary": 9,
    "defect_summary": 4,
    "duplicate_images": 0,
    "image_tensors": 13,
    "images": 13,
    "load_history": 2,
    "mvtec_ad/images": 9,
    "mvtec_ad/stray_files": 0,
    "pixel_statistics": 3,
    "rejected_images": 0,
    "samples": 13,
}
"""Every table, and its rows when the tiny roots are loaded."""

TABLES = sorted(ROWS)
EVERYTHING = SPECS.keys() - EXTERNAL


def test_the_asset_graph_has_the_shape_that_was_agreed_on() -> None:
    agreed, found = SNAPSHOT.read_text("utf-8"), graph_text()
    difference = difflib.unified_diff(
        agreed.splitlines(), found.splitlines(), "asset_graph.json", "the graph", lineterm="", n=4
    )
    if agreed != found:
        pytest.fail(
            "\n".join(
                [
                    *difference,
                    "",
                    "If this is meant, run",
                    "    python -m anomaly_assets_tests.assets.graph > "
                    "anomaly_assets_tests/asset_graph.json",
                ]
            ),
            pytrace=False,
        )


def test_every_asset_is_a_table_or_the_files_or_made_for_people() -> None:
    assert SPECS.keys() == {*TABLES, *EXTERNAL, *NO_TABLES}


def test_every_upstream_is_an_asset_of_this_graph() -> None:
    defined: set[dg.AssetKey] = set()
    for asset in defs.assets or ():
        assert isinstance(asset, (dg.AssetSpec, dg.AssetsDefinition))
        defined |= {asset.key} if isinstance(asset, dg.AssetSpec) else set(asset.keys)
    named = {dep.asset_key for spec in SPECS.values() for dep in spec.deps}
    assert {key.to_user_string() for key in defined} == SPECS.keys()
    assert named <= defined


@pytest.mark.parametrize("name", TABLES)
def test_every_table_says_what_it_is_whose_it_is_and_how_fresh_it_should_be(name: str) -> None:
    spec = SPECS[name]
    schema = "" if "/" in name else "anomaly."
    table = name.replace("/", ".")
    assert spec.description is not None
    assert f"SELECT * FROM {schema}{table} LIMIT 10;" in spec.description
    assert spec.owners == ["team:anomaly-assets"]
    assert spec.code_version
    assert isinstance(spec.freshness_policy, dg.FreshnessPolicy)
    assert spec.metadata["dagster/table_name"] == f"warehouse.{schema}{table}"
    columns = spec.metadata["dagster/column_schema"].columns
    assert columns
    assert all(column.description and column.type for column in columns)


@pytest.mark.parametrize("name", sorted(NO_TABLES))
def test_what_is_made_for_people_says_so_too(name: str) -> None:
    spec = SPECS[name]
    assert spec.description
    assert spec.owners == ["team:anomaly-assets"]
    assert spec.code_version
    assert isinstance(spec.freshness_policy, dg.FreshnessPolicy)


def test_the_job_of_one_source_dataset_loads_that_and_remakes_what_is_made_from_it(
    tiny: Environment,
) -> None:
    def samples() -> dict[str, int]:
        query = "SELECT source_dataset, count(*) FROM samples GROUP BY ALL"
        return dict(tiny.query(query))

    def refresh(name: str) -> Run:
        run = run_job(f"refresh_{name}")
        assert run.success
        [other] = tiny.roots.keys() - {name}
        assets = {asset for asset in EVERYTHING if not asset.startswith(f"{other}/")}
        assert run.materialized.keys() == assets
        assert run.checks.keys() == checks_of(assets)
        return run

    refresh("mvtec_ad")
    assert samples() == {"mvtec_ad": 9}
    refresh("dagm_2007")
    assert samples() == {"mvtec_ad": 9, "dagm_2007": 4}
    write_image(tiny.mvtec_ad, "bolt/train/good/003.png")
    write_image(tiny.dagm_2007, "Class1/Train/0005.PNG")
    run = refresh("mvtec_ad")
    assert run.materialized["mvtec_ad/images"]["rows_inserted"] == 1
    assert run.materialized["image_tensors"]["rows_decoded"] == 1
    assert samples() == {"mvtec_ad": 10, "dagm_2007": 4}


def test_refresh_all_makes_every_table_as_documented_and_runs_every_check(
    tiny: Environment,
) -> None:
    run = run_job("refresh_all")
    assert run.success
    assert run.materialized.keys() == EVERYTHING
    assert run.checks.keys() == checks_of(EVERYTHING)
    assert len(run.checks) == 19
    with tiny.open_warehouse() as warehouse:
        for name in TABLES:
            table = SPECS[name].metadata["dagster/table_name"]
            assert run.materialized[name]["dagster/row_count"] == ROWS[name], name
            assert warehouse.execute(f"SELECT count(*) FROM {table}").fetchall() == [(ROWS[name],)]
            described = warehouse.execute(f"DESCRIBE FROM {table}").fetchall()
            columns = SPECS[name].metadata["dagster/column_schema"].columns
            assert [(column.name, column.type) for column in columns] == [
                row[:2] for row in described
            ], name


def checks_of(assets: Set[str]) -> set[str]:
    graph = defs.resolve_asset_graph()
    return {
        f"{name}:{key.name}"
        for name in assets
        for key in graph.get(dg.AssetKey.from_user_string(name)).check_keys
    }


IMPORT = """
from anomaly_assets.definitions import defs
print(defs.resolve_schedule_def("scheduled_refresh").cron_schedule)
print(len(defs.resolve_asset_graph().get_all_asset_keys()))
"""


def test_building_the_definitions_writes_nothing_and_reads_only_the_environment(
    project_root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANOMALY_")},
        "PYTHONPATH": str(project_root),
        "HOME": str(folder),
        "MVTEC_AD_ROOT": str(folder / "nowhere"),
        "ANOMALY_REFRESH_CRON": "15 4 * * 1",
    }
    variables.pop("DAGSTER_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "15 4 * * 1\n17\n"), done.stderr
    assert list(folder.rglob("*")) == []
    # Upstream announces its retirement at import; nobody here can do anything about it.
    assert "embedded" not in done.stderr
