"""Test corrections in the graph: from the file to the published database, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.reader import open_samples
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_job, run_published

HEADER = "image_id,content_sha256,field,value,reason,by,at\n"
GOOD = "mvtec_ad/bolt/train/good/000.png"
LABELS = "SELECT label, count(*) FROM anomaly.samples GROUP BY ALL ORDER BY ALL"


@pytest.fixture
def file(tiny: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANOMALY_CORRECTIONS", str(tmp_path / "corrections.csv"))
    return tmp_path / "corrections.csv"


@pytest.mark.slow
def test_the_first_run_applies_corrections_and_removing_them_gives_the_first_snapshot_again(
    tiny: Environment, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(
        f"{HEADER}{GOOD},,label,anomalous,scratch,ada,\nmvtec_ad/no.png,,split,test,,,\n"
    )
    run = run_job()
    assert run.success, run.failures
    assert tiny.query(LABELS) == [("anomalous", 5), ("good", 8)]
    assert run.materialized["corrections"]["dagster/row_count"] == 2
    assert run.materialized["samples"]["rows_added"] == 13
    assert run.checks["samples:corrections_are_applied"].metadata["count"].value == 1
    with open_samples(tiny.database, where="label_index = 1 AND split = 'train'") as samples:
        assert GOOD in samples.table["image_id"].to_pylist()
    corrected = run.materialized["published_database"]["snapshot_id"]
    assert not run_published().materialized["published_database"]["written"]

    monkeypatch.delenv("ANOMALY_CORRECTIONS")  # another machine, without the file
    assert not run_published().materialized["published_database"]["written"]

    monkeypatch.setenv("ANOMALY_CORRECTIONS", str(file))
    file.write_text(HEADER)
    run = run_published()
    assert tiny.query(LABELS) == [("anomalous", 4), ("good", 9)]
    without = run.materialized["published_database"]["snapshot_id"]
    assert without != corrected
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(tiny.warehouse.with_name("other.duckdb")))
    monkeypatch.setenv("ANOMALY_DATABASE", str(tiny.database.with_name("other.duckdb")))
    monkeypatch.delenv("ANOMALY_CORRECTIONS")
    # Loads have other ids in another warehouse, so compare the rows.
    assert run_published().success
    rows = "SELECT * EXCLUDE (loaded_at) FROM anomaly.samples_without_tensors ORDER BY image_id"
    other = tiny.database.with_name("other.duckdb")
    assert tiny.query(rows) == tiny.query(rows, database=other)


@pytest.mark.slow
def test_excluding_most_images_is_published_without_further_consent(
    tiny: Environment, file: Path
) -> None:
    assert run_published().success is False  # the file does not exist
    file.write_text(HEADER)
    assert run_published().success
    excluded = [image_id for (image_id,) in tiny.query("SELECT image_id FROM anomaly.samples")]
    lines = [f"{image_id},,exclude,true,,," for image_id in excluded[1:]]
    file.write_text(HEADER + "\n".join(lines))
    run = run_published()
    assert run.success, run.failures
    assert tiny.query("SELECT image_id FROM anomaly.samples") == [(excluded[0],)]
    assert tiny.query("SELECT count(*) FROM anomaly.images") == [(13,)]
    samples = run.materialized["samples"]
    assert (samples["dagster/row_count"], samples["rows_removed"]) == (1, 12)
    assert run.materialized["image_tensors"]["rows_unchanged"] == 13
    file.write_text(HEADER + "\n".join([*lines, f"{excluded[0]},,exclude,true,,,"]))
    run = run_published()
    assert run.success, run.failures
    assert tiny.query("SELECT count(*) FROM anomaly.samples") == [(0,)]
    with pytest.raises(LookupError, match="has no samples: corrections exclude 13 images"):
        open_samples(tiny.database)
    file.write_text(HEADER + f"{excluded[0]},,label,good,,,")
    samples = run_job().materialized["samples"]
    assert (samples["rows_added"], samples["rows_changed"], samples["rows_removed"]) == (13, 0, 0)


@pytest.mark.slow
def test_a_file_with_an_unknown_column_stops_the_run_before_anything_is_published(
    tiny: Environment, file: Path
) -> None:
    file.write_text("image_id,field,value,colour\n")
    run = run_published()
    assert not run.success
    assert "unknown column colour" in run.failures["corrections"]
    assert not tiny.database.exists()
