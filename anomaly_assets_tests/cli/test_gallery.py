"""Test `anomaly-assets gallery`: what it writes, prints and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.cli.app import main
from anomaly_assets_tests.export.published import PICTURES, publish_pictures
from anomaly_assets_tests.gallery.data_files import index

Screen = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(publish_pictures(tmp_path_factory.mktemp("published"), PICTURES))


@pytest.mark.slow
def test_a_gallery_is_written_and_then_up_to_date(
    database: str, tmp_path: Path, capsys: Screen
) -> None:
    out = tmp_path / "gallery"
    arguments = ["gallery", "--out", str(out), "--database", database]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert first.startswith("10 images of snapshot ")
    assert first.endswith(f"6 new files.\nOpen {out / 'index.html'} in a browser.\n")
    assert main(arguments) == 0
    assert " MB, up to date.\n" in capsys.readouterr().out


def test_details_can_be_left_out(database: str, tmp_path: Path, capsys: Screen) -> None:
    out = str(tmp_path / "gallery")
    options = ["--out", out, "--database", database, "--no-details", "--quiet"]
    assert main(["gallery", *options]) == 0
    assert capsys.readouterr().out == ""
    assert index(Path(out))["details"] == []


def test_a_folder_of_others_is_refused(database: str, tmp_path: Path, capsys: Screen) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["gallery", "--out", str(tmp_path), "--database", database]) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path} exists and is not a gallery of this project, so it is not changed. Name a "
        "new folder.\n"
    )


def test_without_a_database_it_says_what_to_do(tmp_path: Path, capsys: Screen) -> None:
    missing = str(tmp_path / "none.duckdb")
    assert main(["gallery", "--out", str(tmp_path / "gallery"), "--database", missing]) == 1
    assert missing in capsys.readouterr().err
    assert not (tmp_path / "gallery").exists()
