"""Test the gallery and the previews in the graph: where they are, and what a run without changes does."""

import dagster as dg
import pytest

from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_job, run_selection
from anomaly_assets_tests.export.published import files_below
from anomaly_assets_tests.gallery.data_files import index

UPSTREAM = dg.AssetSelection.assets("gallery").upstream().without_checks()


@pytest.mark.slow
def test_every_run_brings_the_gallery_up_to_date(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALY_GALLERY_URL", "https://data.example/gallery/")
    run = run_job()
    assert run.success
    folder = tiny.database.parent / "gallery"
    facts = run.materialized["gallery"]
    assert facts["page"] == str(folder / "index.html")
    assert facts["url"] == "https://data.example/gallery/"
    assert (facts["images"], facts["written"]) == (13, True)
    published = run.materialized["published_database"]
    assert facts["snapshot_id"] == published["snapshot_id"]
    assert (published["gallery"], published["gallery_url"]) == (facts["page"], facts["url"])
    assert facts["size"].endswith("kB")
    assert facts["took"].endswith(" s")
    assert index(folder)["count"] == 13
    assert run.materialized["image_previews"]["rows_added"] == 13
    before = files_below(folder)
    again = run_job()
    assert again.success
    assert again.materialized["gallery"]["written"] is False
    assert again.materialized["image_previews"]["rows_unchanged"] == 13
    assert files_below(folder) == before


@pytest.mark.slow
def test_a_run_can_leave_the_details_out(tiny: Environment) -> None:
    config = {"ops": {"gallery": {"config": {"details": False}}}}
    run = run_selection(UPSTREAM, run_config=config)
    assert run.success
    assert run.materialized["gallery"]["detail_bytes"] == 0
    assert index(tiny.database.parent / "gallery")["details"] == []


@pytest.mark.slow
def test_a_folder_of_others_beside_the_database_fails_the_step_after_publishing(
    tiny: Environment,
) -> None:
    folder = tiny.database.parent / "gallery"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    run = run_selection(UPSTREAM)
    assert run.failures.keys() == {"gallery"}
    assert "is not a gallery of this project" in run.failures["gallery"]
    assert files_below(folder) == {"mine.txt": b"mine"}
    assert tiny.query("SELECT count(*) FROM samples") == [(13,)]
