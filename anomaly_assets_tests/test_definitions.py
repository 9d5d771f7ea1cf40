"""Test Dagster's definitions: the shape of the graph, descriptions of its assets, and its jobs."""

import difflib
import os
import re
import subprocess
import sys
from collections.abc import Set
from pathlib import Path

import dagster as dg
import dagster_webserver
import pytest

from anomaly_assets.definitions import defs
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.graph import SNAPSHOT, graph_text
from anomaly_assets_tests.assets.runs import Run, run_job
from anomaly_assets_tests.assets.trees import write_tiny_roots

SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
EXTERNAL = {"mvtec_ad/files", "dagm_2007/files"}
NO_TABLES = {"contact_sheets", "gallery", "published_database"}
ROWS = {
    "corrections": 0,
    "dagm_2007/images": 4,
    "dagm_2007/stray_files": 0,
    "dataset_summary": 9,
    "defect_summary": 4,
    "duplicate_images": 0,
    "image_previews": 13,
    "image_tensors": 13,
    "images": 13,
    "load_history": 2,
    "mvtec_ad/images": 9,
    "mvtec_ad/stray_files": 0,
    "near_duplicates": 0,
    "pixel_statistics": 3,
    "recipe_tensors": 4,
    "rejected_images": 0,
    "samples": 13,
    "splits": 0,
}
"""Every table, and its rows when the tiny roots are loaded."""

RESULTS = {"baseline_metrics", "baseline_scores", "suspect_images"}
EVALUATION = {*RESULTS, "published_evaluation", "score_sheets"}
"""Assets of the baseline, which no refresh includes."""

TABLES = sorted({*ROWS, *RESULTS})
EVERYTHING = SPECS.keys() - EXTERNAL - EVALUATION


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
    assert SPECS.keys() == {*TABLES, *EXTERNAL, *NO_TABLES, *EVALUATION}


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
    blobs = [
        column.name
        for column in spec.metadata["dagster/column_schema"].columns
        if column.type == "BLOB"
    ]
    selected = f"* EXCLUDE ({', '.join(blobs)})" if blobs else "*"
    assert f"SELECT {selected} FROM {schema}{table} LIMIT 10;" in spec.description
    assert spec.owners == ["team:anomaly-assets"]
    assert spec.code_version
    assert isinstance(spec.freshness_policy, dg.FreshnessPolicy) == (name not in RESULTS)
    assert spec.metadata["dagster/table_name"] == f"warehouse.{schema}{table}"
    columns = spec.metadata["dagster/column_schema"].columns
    assert columns
    assert all(column.description and column.type for column in columns)


@pytest.mark.parametrize("name", sorted(NO_TABLES))
def test_what_is_made_for_people_says_so_too(name: str) -> None:
    spec = SPECS[name]
    assert spec.description
    assert "FROM anomaly.samples" in spec.description
    assert spec.owners == ["team:anomaly-assets"]
    assert spec.code_version
    assert isinstance(spec.freshness_policy, dg.FreshnessPolicy)


@pytest.mark.parametrize("name", sorted(EXTERNAL))
def test_files_say_whose_they_are_and_which_rows_they_become(name: str) -> None:
    source_dataset = name.partition("/")[0]
    description = str(SPECS[name].description)
    assert "never written" in description
    assert f"SELECT * FROM {source_dataset}.images LIMIT 10;" in description


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_asset_links_to_source_files_that_are_there(name: str) -> None:
    links = SPECS[name].metadata["dagster/code_references"].code_references
    assert len(links) >= 2
    assert all(Path(link.file_path).is_file() for link in links)


def test_the_ui_has_an_icon_for_every_kind() -> None:
    """Compare with the icons in the web application; a kind without one is shown as a grey word."""
    folder = Path(dagster_webserver.__file__).parent / "webapp/build/_next/static/chunks"
    named = re.compile(r'[,{]"?([\w&.-]+)"?:\{(?:color:"[^"]*",)?icon:')
    with_icon = {
        kind
        for script in folder.glob("*.js")
        if "tool-duckdb-color" in (text := script.read_text("utf-8"))
        for kind in named.findall(text)
    }
    assert {"duckdb", "dlt"} < with_icon
    assert {kind for spec in SPECS.values() for kind in spec.kinds} <= with_icon


@pytest.fixture(scope="module")
def one_by_one(module_environment: Environment) -> dict[str, Run]:
    """Run the job of one source dataset, then that of the other; both roots exist from the start."""
    write_tiny_roots(module_environment)
    return {name: run_job(f"refresh_{name}") for name in ("mvtec_ad", "dagm_2007")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "left_alone", "samples"), [("mvtec_ad", "dagm_2007", 9), ("dagm_2007", "mvtec_ad", 13)]
)
def test_the_job_of_one_source_dataset_loads_that_and_makes_and_checks_what_comes_of_it(
    one_by_one: dict[str, Run], name: str, left_alone: str, samples: int
) -> None:
    run = one_by_one[name]
    assert run.success
    assets = {asset for asset in EVERYTHING if not asset.startswith(f"{left_alone}/")}
    assert run.materialized.keys() == assets
    assert run.checks.keys() == checks_of(assets)
    assert run.materialized["samples"]["dagster/row_count"] == samples
    assert run.materialized["published_database"]["dagster/row_count"] == samples


def test_every_table_has_the_rows_the_run_reports_and_the_columns_that_are_documented(
    one_by_one: dict[str, Run], module_environment: Environment
) -> None:
    reported = {**one_by_one["mvtec_ad"].materialized, **one_by_one["dagm_2007"].materialized}
    with module_environment.open_warehouse() as warehouse:
        for name in ROWS:
            table = SPECS[name].metadata["dagster/table_name"]
            assert reported[name]["dagster/row_count"] == ROWS[name], name
            assert warehouse.execute(f"SELECT count(*) FROM {table}").fetchall() == [(ROWS[name],)]
            described = warehouse.execute(f"DESCRIBE FROM {table}").fetchall()
            columns = SPECS[name].metadata["dagster/column_schema"].columns
            assert [(column.name, column.type) for column in columns] == [
                (column, "STRUCT" if kind.startswith("STRUCT(") else kind)
                for column, kind, *_ in described
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


@pytest.mark.slow
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
        "DAGM_2007_ROOT": str(folder / "nowhere"),
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
    assert (done.returncode, done.stdout) == (0, "15 4 * * 1\n28\n"), done.stderr
    assert list(folder.rglob("*")) == []
    # The package warns at import that it is deprecated; this project cannot change that.
    assert "embedded" not in done.stderr


@pytest.mark.slow
def test_definitions_are_read_without_what_only_runs_need() -> None:
    """Check imports, because the server, the daemon and every command read the definitions."""
    code = (
        "import sys, anomaly_assets.definitions;"
        "print(sorted({'numpy', 'pyarrow', 'PIL', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
