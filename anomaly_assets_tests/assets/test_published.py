"""Test publishing in the graph: the run's report, and the comparing check."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

import anomaly_assets
from anomaly_assets import version
from anomaly_assets.decoding import build
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import Run, offenders, run_job, run_selection
from anomaly_assets_tests.assets.trees import write_tiny_roots

COUNTS = "published_database:published_counts_equal_the_warehouse"
ONLY_THE_CHECK = dg.AssetSelection.checks(
    dg.AssetCheckKey(dg.AssetKey("published_database"), "published_counts_equal_the_warehouse")
)


@pytest.fixture(scope="module")
def published(module_environment: Environment) -> Run:
    """Run and publish the tiny roots."""
    write_tiny_roots(module_environment)
    return run_job()


def test_a_published_database_that_is_gone_is_noticed(tiny: Environment) -> None:
    check = run_selection(ONLY_THE_CHECK)
    assert not check.success
    assert offenders(check.checks[COUNTS]) == {str(tiny.database): "nothing is published"}


@pytest.mark.slow
def test_the_published_database_says_which_run_published_it_and_where_it_lies(
    published: Run, module_environment: Environment
) -> None:
    assert published.success
    tiny = module_environment
    facts = published.materialized["published_database"]
    assert facts["path"] == str(tiny.database)
    assert facts["file_bytes"] == tiny.database.stat().st_size
    assert facts["dagster/row_count"] == 13
    assert tiny.query("SELECT snapshot_id, images, tensors, rejected, run_id FROM snapshots") == [
        (facts["snapshot_id"], 13, 13, 0, published.result.run_id)
    ]
    # Both names work, whatever the file is called.
    for name in ("samples", "anomaly.samples", "anomaly.main.samples"):
        assert tiny.query(f"SELECT count(*) FROM {name}") == [(13,)]
    assert {path.name for path in tiny.database.parent.iterdir()} == {
        "anomaly.duckdb",
        "contact_sheets",
        "gallery",
    }
    [[roots, load_ids, rows]] = tiny.query("SELECT roots, load_ids, row_counts FROM snapshots")
    assert facts["roots"] == roots == {name: path.as_uri() for name, path in tiny.roots.items()}
    assert facts["load_ids"] == load_ids
    assert facts["row_counts"] == rows
    assert facts["code_version"] == version.code_version()
    [snapshot] = facts["snapshots"].records
    assert snapshot.data["snapshot_id"] == facts["snapshot_id"]
    assert snapshot.data["file"] == "anomaly.duckdb"


@pytest.mark.slow
def test_a_published_database_that_somebody_wrote_to_is_noticed_and_replaced_as_advised(
    published: Run, module_environment: Environment
) -> None:
    assert published.success
    tiny = module_environment
    with duckdb.connect(str(tiny.database)) as connection:
        connection.execute("DELETE FROM main.image_tensors WHERE image_id LIKE '%/train/%'")
        connection.execute("DELETE FROM main.dataset_summary WHERE split = 'train'")
    check = run_selection(ONLY_THE_CHECK)
    assert not check.success
    assert check.materialized == {}
    assert check.failed_checks == {COUNTS}
    assert check.checks[COUNTS].severity is dg.AssetCheckSeverity.ERROR
    assert offenders(check.checks[COUNTS]) == {
        "image_tensors": "7 published, 13 in the warehouse",
        "samples": "7 published, 13 in the warehouse",
        "samples_without_tensors": "7 published, 13 in the warehouse",
        "dataset_summary": "5 published, 9 in the warehouse",
    }
    assert ". Materialize published_database again." in str(check.checks[COUNTS].description)
    again = run_selection(dg.AssetSelection.assets("published_database"))
    assert again.failed_checks == set()
    assert again.materialized["published_database"]["written"] is True
    assert tiny.query("SELECT count(*) FROM samples") == [(13,)]


@pytest.mark.slow
def test_the_code_version_of_a_publication_is_that_of_the_code_that_ran(
    tiny: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Update the checkout while a run decodes."""
    package = tmp_path / "checkout" / "anomaly_assets"
    shutil.copytree(Path(anomaly_assets.__file__).parent, package)
    monkeypatch.setattr(version, "__file__", str(package / "version.py"))
    version_of_the_disk, build_tensors = version.code_version.__wrapped__, build.build_tensors
    began = version_of_the_disk()

    def update_first(*arguments: Any, **options: Any) -> Any:
        (package / "newer.py").write_text("")
        return build_tensors(*arguments, **options)

    monkeypatch.setattr(build, "build_tensors", update_first)
    version.code_version.cache_clear()
    try:
        run = run_job()
    finally:
        version.code_version.cache_clear()
    assert run.materialized["published_database"]["code_version"] == began
    assert version_of_the_disk() != began
