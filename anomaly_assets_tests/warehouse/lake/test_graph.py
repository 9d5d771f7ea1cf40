"""Test that the whole graph on a lake gives the content of a file, and publishes by recording a version."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from anomaly_assets.warehouse.lake.connect import connect_lake
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import Run, run_job
from anomaly_assets_tests.assets.trees import write_image, write_mask
from anomaly_assets_tests.faults.content import Content, read_content
from anomaly_assets_tests.stores.s3 import S3
from anomaly_assets_tests.warehouse.lake.lakes import Lake, new_lake
from anomaly_assets_tests.warehouse.lake.postgres import PASSWORD, Postgres


def refreshed(monkeypatch: pytest.MonkeyPatch | None = None, **variables: str) -> Run:
    """Refresh everything; it must succeed."""
    if monkeypatch is not None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
    run = run_job()
    assert run.success, run.failures
    return run


def embedded(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Content:
    """Return the content of the same roots in a file."""
    with monkeypatch.context() as patch:
        refreshed(patch, ANOMALY_WAREHOUSE=str(environment.warehouse))
    return read_content(environment.database)


def test_every_table_and_every_pixel_is_that_of_an_embedded_run(
    samples: Environment, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed()
    expected = embedded(samples, monkeypatch)
    found = lake.published()
    assert found.differences(expected) == []
    assert len(found.tables["main.image_tensors"]) == 62
    assert found.digest == expected.digest


def test_the_files_of_a_lake_may_be_in_a_store(
    tiny: Environment, postgres: Postgres, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    s3.put("lake-test/.keep", b"")
    lake = new_lake(tiny, postgres, s3.location("lake-test"), monkeypatch)
    refreshed()
    assert lake.published().differences(embedded(tiny, monkeypatch)) == []


def test_an_unchanged_refresh_makes_no_version_and_publishes_nothing(
    tiny: Environment, lake: Lake
) -> None:
    first = refreshed().materialized["published_database"]
    versions = lake.versions()
    second = refreshed().materialized["published_database"]
    assert (first["written"], second["written"]) == (True, False)
    assert second["snapshot_id"] == first["snapshot_id"]
    assert second["lake_version"] == first["lake_version"]
    assert lake.versions() == versions
    assert len(lake.publications()) == 1


def test_a_change_of_the_roots_gives_what_it_gives_in_a_file(
    tiny: Environment, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed()
    write_image(tiny.mvtec_ad, "bolt/train/good/007.png")
    write_image(tiny.mvtec_ad, "bolt/train/good/000.png", write_image(tiny.mvtec_ad, "woven/x.png"))
    write_mask(tiny.mvtec_ad, "bolt/ground_truth/scratch/000_mask.png", values=(255, 255, 255))
    (tiny.mvtec_ad / "woven/train/good/001.png").unlink()
    shutil.rmtree(tiny.dagm_2007 / "Class1" / "Train")
    run = run_job(
        run_config={"ops": {"dagm_2007": {"config": {"allow_shrink": True}}}},
    )
    assert run.success, run.failures
    assert lake.published().differences(embedded(tiny, monkeypatch)) == []
    assert len(lake.publications()) == 2


def test_the_password_is_in_no_table_no_event_and_no_file(
    tiny: Environment, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = new_lake(tiny, postgres, str(tmp_path / "lake"), monkeypatch)
    monkeypatch.delenv("PGPASSWORD")
    location = postgres.location(lake.database, password=PASSWORD)
    run = refreshed(monkeypatch, ANOMALY_WAREHOUSE=location)
    told = [str(event) for event in run.result.all_events] + [repr(run.materialized)]
    assert not [text for text in told if PASSWORD in text or "lake+secret" in text]
    with postgres.session(lake.database) as session:
        tables = session.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        for (table,) in tables:
            assert "lake+secret" not in repr(
                session.execute(f'TABLE "{table}"'.encode()).fetchall()
            )
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"lake+secret" in path.read_bytes()]


def test_corrections_give_what_they_give_in_a_file(
    tiny: Environment, lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "corrections.csv"
    content = hashlib.sha256((tiny.mvtec_ad / "woven/train/good/000.png").read_bytes())
    write_mask(tmp_path, "mask.png", values=(255,) * 10)
    file.write_text(
        "image_id,content_sha256,field,value\n"
        "mvtec_ad/bolt/train/good/000.png,,label,anomalous\n"
        f",{content.hexdigest()},exclude,true\n"
        "mvtec_ad/bolt/test/scratch/000.png,,mask,mask.png\n"
    )
    monkeypatch.setenv("ANOMALY_CORRECTIONS", str(file))
    query = """
        SELECT image_id, label, defect_type, mask_area_fraction
        FROM samples_without_tensors ORDER BY image_id
    """
    assert refreshed().materialized["corrections"]["dagster/row_count"] == 3
    versions = lake.versions()
    assert not refreshed().materialized["published_database"]["written"]
    assert lake.versions() == versions
    with closing(connect_lake(lake.location)) as connection:
        found = connection.execute(query).fetchall()
    embedded(tiny, monkeypatch)
    assert found == tiny.query(query)
    assert len(found) == 12
