"""Test `anomaly-assets split`, called in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.cli.app import main
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.splitting.near import add_near_duplicates
from anomaly_assets_tests.warehouse.conftest import loaded_once, project
from anomaly_assets_tests.warehouse.project import Project

__all__ = ["loaded_once", "project"]

Screen = pytest.CaptureFixture[str]


@pytest.fixture
def folder(
    project: Project, environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """Let the settings name a warehouse of nine images, and a folder for the files."""
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(project.warehouse.path))
    monkeypatch.setenv("ANOMALY_SPLITS", str(tmp_path / "splits"))
    return tmp_path / "splits"


@pytest.mark.slow
def test_an_assignment_is_made_brought_up_to_date_and_removed(
    folder: Path, project: Project, capsys: Screen
) -> None:
    assert main(["split", "--name", "v1", "--val", "0.4", "--by", "label"]) == 0
    made, commit = capsys.readouterr().out.splitlines()
    assert made == "v1: 5 images: val 2 (40.0%), train 3 (60.0%). 5 contents are new."
    assert commit == (
        f"Commit {folder}/v1.csv. The next run publishes it: anomaly-assets materialize"
    )
    text = (folder / "v1.csv").read_text()
    assert main(["split", "--name", "v1"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(" 0 contents are new.")
    assert (folder / "v1.csv").read_text() == text
    assert len(project.rows("FROM splits")) == 9
    assert main(["split", "--name", "v1", "--remove"]) == 0
    assert capsys.readouterr().out.startswith("v1: removed, with 5 contents. The next run ")
    assert not (folder / "v1.csv").exists()
    assert project.rows("FROM splits") == []


def test_folds_by_the_hash_that_miss_their_share_are_named(folder: Path, capsys: Screen) -> None:
    assert main(["split", "--name", "v1", "--folds", "4", "--val", "0.1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == (
        "With few images, the hash misses the shares. --by category,label balances them."
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--val", "1.5"], "error: --val 1.5: use a share from 0 to below 1, such as 0.2.\n"),
        (["--val", "0.6", "--test", "0.4"], "leave nothing for training."),
        (["--folds", "1"], "error: --folds 1: use 2 to 100 folds.\n"),
        (["--seed", "3"], "error: Give a share with --val or --test, such as --val 0.2, or a "),
        (["--val", "0.2", "--from", "tests"], "use some of train, test, validation, unassigned."),
        (["--val", "0.2", "--remove"], "error: --remove takes no other option than --name.\n"),
    ],
)
def test_options_that_make_no_assignment_are_refused_before_anything_is_opened(
    folder: Path, capsys: Screen, arguments: list[str], message: str
) -> None:
    assert main(["split", "--name", "v1", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not folder.exists()


def test_an_assignment_that_does_not_exist_is_refused(folder: Path, capsys: Screen) -> None:
    assert main(["split", "--name", "v1"]) == 1
    assert capsys.readouterr().err == (
        "error: There is no assignment 'v1': give a share, such as --val 0.2.\n"
    )


def test_a_newcomer_that_bridges_two_folds_is_named(
    folder: Path, project: Project, capsys: Screen
) -> None:
    train = "mvtec_ad/bottle/train/good/00{}.png"
    assert main(["split", "--name", "v1", "--val", "0.5", "--by", "category"]) == 0
    with project.warehouse.connect() as connection:
        connection.execute("DELETE FROM assigned_contents WHERE contains(image_id, 'carpet')")
        carpet = "mvtec_ad/carpet/train/good/000.png"
        add_near_duplicates(
            connection, [(train.format(n), carpet, 0.01 + n / 1000) for n in (0, 1)]
        )
    for file in folder.iterdir():
        file.unlink()
    capsys.readouterr()
    assert main(["split", "--name", "v1"]) == 0
    printed = capsys.readouterr()
    assert "1 content is new" in printed.out
    assert printed.err.startswith("warning: v1: 1 newcomer belongs to two folds. mvtec_ad/")
    assert f"and its near duplicate {train.format(1)} in " in printed.err
