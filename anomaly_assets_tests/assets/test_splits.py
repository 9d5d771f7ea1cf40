"""Test that runs assign newcomers, in the file and in the published database."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster import AssetKey

from anomaly_assets.cli.app import main
from anomaly_assets.definitions import defs
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_job, run_published
from anomaly_assets_tests.assets.trees import write_image

FOLDS = "SELECT image_id, fold FROM anomaly.splits WHERE assignment = 'v1'"


@pytest.fixture
def folder(refreshed: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the folder for the files of assignments; it does not exist yet."""
    monkeypatch.setenv("ANOMALY_SPLITS", str(tmp_path / "splits"))
    return tmp_path / "splits"


def test_newcomers_are_assigned_after_what_decides_about_them() -> None:
    graph = defs.resolve_asset_graph()
    upstream = {key.to_user_string() for key in graph.get_ancestor_asset_keys(AssetKey("splits"))}
    decided_by = {
        "mvtec_ad/images",
        "dagm_2007/images",
        "image_tensors",
        "near_duplicates",
        "corrections",
    }
    assert decided_by <= upstream


@pytest.mark.slow
def test_a_run_assigns_newcomers_and_publishes_them(refreshed: Environment, folder: Path) -> None:
    [(before,)] = refreshed.query("SELECT snapshot_id FROM snapshots")
    assert main(["split", "--name", "v1", "--val", "0.4", "--by", "label"]) == 0
    assert refreshed.query(FOLDS) == []
    run = run_published()
    assert run.success
    first = dict(refreshed.query(FOLDS))
    assert len(first) == 13
    assert sorted({*first.values()}) == ["test", "train", "val"]
    assert (
        before != refreshed.query("SELECT snapshot_id FROM snapshots ORDER BY published_at")[1][0]
    )
    text = (folder / "v1.csv").read_text()

    paths = [f"bolt/train/good/{number:03}.png" for number in range(10, 15)]
    for path in paths:
        write_image(refreshed.mvtec_ad, path)
    (refreshed.mvtec_ad / paths[0]).rename(refreshed.mvtec_ad / "bolt/train/good/009.png")
    run = run_job()
    assert run.success
    second = dict(refreshed.query(FOLDS))
    assert {name: fold for name, fold in second.items() if name in first} == first
    assert len(second) == 18
    assert run.materialized["splits"]["dagster/row_count"] == 18
    assert run.materialized["splits"]["bridges"] == 0
    assert "splits:folds_do_not_leak" not in run.failed_checks
    after = (folder / "v1.csv").read_text().splitlines()
    assert [line for line in after if line in text.splitlines()] == text.splitlines()

    run = run_published()
    assert run.materialized["published_database"]["written"] is False
    assert (folder / "v1.csv").read_text().splitlines() == after


def test_a_file_that_cannot_be_used_fails_its_step_and_nothing_is_published(
    refreshed: Environment, folder: Path
) -> None:
    assert main(["split", "--name", "v1", "--val", "0.4"]) == 0
    with (folder / "v1.csv").open("a") as file:
        file.write(">>>>>>> theirs\n")
    run = run_published()
    assert not run.success
    assert [*run.failures] == ["splits"]
    assert f"{folder}/v1.csv, line 11: >>>>>>> theirs is not a line" in run.failures["splits"]
    assert refreshed.query(FOLDS) == []
