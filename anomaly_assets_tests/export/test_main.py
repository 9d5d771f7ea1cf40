"""Test the command line of exports: messages, and files left after an interruption."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from anomaly_assets.cli.export import main
from anomaly_assets.export import FORMATS
from anomaly_assets.export.destination import MARKER, described
from anomaly_assets.recipes import Recipe
from anomaly_assets_tests.export.published import (
    files_below,
    publish_pictures,
    snapshot_id,
)
from anomaly_assets_tests.faults.command import Skip
from anomaly_assets_tests.faults.outages import small_disk
from anomaly_assets_tests.reader.test_recipes import publish_recipes
from anomaly_assets_tests.warehouse.project import noise

LONGEST_SECONDS = 60

TILED = [name for name, exporter in FORMATS.items() if not exporter.whole_images]


def command(*arguments: object, module: str = "anomaly_assets.export") -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
    )


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_says_what_it_holds_and_from_which_snapshot(
    name: str, database: Path, tmp_path: Path
) -> None:
    out = tmp_path / "export"
    done = run("--format", name, "--out", out, "--database", database)
    assert (done.returncode, done.stderr) == (0, "")
    known = snapshot_id(database)
    written = (8, 2) if name == "mvtec" else (10, 3)
    assert done.stdout.startswith(f"{name}: {written[0]} images, {written[1]} masks")
    why = "(1 anomalous_training_image, 1 anomalous_without_mask)"
    sentence = {
        "anomalib": "2 of the images are not in samples.parquet but in left_out.parquet, because anomalib "
        f"does not accept them {why}",
        "mvtec": f"2 more images not written, because mvtec has no place for them {why}: left_out.parquet "
        "lists them",
    }.get(name)
    ending = f"; {sentence}" if sentence else ""
    assert done.stdout.endswith(f" MB in {out} (snapshot {known[:12]}){ending}\n")
    assert described(out) == {
        "made_by": "anomaly_assets.export",
        "format": name,
        "layout": 3,
        "snapshot_id": known,
        "filters": {},
        "licences": {"dagm_2007": "CC BY 4.0", "mvtec_ad": "CC BY-NC-SA 4.0"},
        "recipe": "8x6x3",
        "samples": written[0],
        "masks": written[1],
        "left_out": 2 if sentence else 0,
        "reasons": {"anomalous_without_mask": 1, "anomalous_training_image": 1} if sentence else {},
    }
    readme = (out / "README.md").read_text("utf-8")
    assert (f"\n{sentence}.\n" in readme) == bool(sentence)
    pictures = [path for path in out.rglob("*.png") if path.name != "empty.png"]
    files = sum(written) if name in TILED else written[0]  # the others have masks as shapes
    assert len(pictures) == (files if name != "parquet" else 0)
    assert os.listdir(tmp_path) == ["export"]


def test_an_export_of_tiles_says_tiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = publish_recipes(tmp_path)
    arguments = ["--source-dataset", "mvtec_ad", "--recipe", "full/tile=12+4"]
    for name in TILED:
        out = str(tmp_path / name)
        assert main(["--format", name, "--out", out, "--database", str(database), *arguments]) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"{name}: {60 if name == 'mvtec' else 66} tiles, 18 masks, ")
        assert ("; 6 more tiles not written, because mvtec has no place" in said) == (
            name == "mvtec"
        )


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_snapshot_gives_the_same_files(name: str, database: Path, tmp_path: Path) -> None:
    for out in ("first", "second"):
        main(["--format", name, "--out", str(tmp_path / out), "--database", str(database)])
    assert files_below(tmp_path / "first") == files_below(tmp_path / "second")


def test_filters_select_and_are_noted(database: Path, tmp_path: Path) -> None:
    out = tmp_path / "export"
    done = run(
        *("--format", "parquet", "--out", out, "--database", database, "--quiet"),
        *("--source-dataset", "mvtec_ad", "--category", "bottle", "--category", "carpet"),
        *("--split", "test", "--label", "anomalous", "--where", "mask_area_fraction > 0"),
        *("--snapshot", snapshot_id(database)),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(pq.read_table(out / "data")["image_id"].to_pylist()) == [
        "mvtec_ad/bottle/test/crack/000.png",
        "mvtec_ad/carpet/test/hole/000.png",
    ]
    facts = described(out)
    assert facts is not None
    assert facts["filters"] == {
        "source_dataset": ["mvtec_ad"],
        "category": ["bottle", "carpet"],
        "split": ["test"],
        "label": ["anomalous"],
        "where": "mask_area_fraction > 0",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--category", "botle"], "bottle, carpet"),
        (["--label", "bad one"], "label='bad one' does not exist. Existing values: "),
        (["--snapshot", "0123"], "snapshot"),
        (["--database", "none.duckdb"], "make materialize"),
    ],
)
def test_a_selection_that_finds_nothing_is_an_error_that_says_what_exists(
    database: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    out = tmp_path / "export"
    done = run("--format", "parquet", "--out", out, "--database", database, *options)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (
            "/",
            "/ is the root of the file system, which no export replaces. Name a new folder in it.",
        ),
    ],
)
def test_a_place_where_no_export_can_be_is_refused_in_one_sentence(
    database: Path, out: str, message: str
) -> None:
    done = run("--format", "parquet", "--out", out, "--database", database)
    assert (done.returncode, done.stderr.strip()) == (1, f"error: {message}")


def test_a_condition_that_is_no_sql_is_an_error_in_one_sentence(
    database: Path, tmp_path: Path
) -> None:
    out = tmp_path / "export"
    done = run("--format", "parquet", "--out", out, "--database", database, "--where", "nonsense =")
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


def test_an_export_is_replaced_with_overwrite_alone(database: Path, tmp_path: Path) -> None:
    out = tmp_path / "export"
    options = ("--out", out, "--database", database)
    assert run("--format", "anomalib", *options).returncode == 0
    before = files_below(out)
    refused = run("--format", "parquet", *options)
    assert refused.returncode == 1
    assert "anomalib, 10 samples" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert files_below(out) == before
    assert run("--format", "parquet", *options, "--overwrite").returncode == 0
    assert sorted(os.listdir(out)) == [MARKER, "LICENSE", "README.md", "croissant.json", "data"]
    assert os.listdir(tmp_path) == ["export"]


def start_and_wait(database: Path, out: Path, name: str, *options: str) -> subprocess.Popen[str]:
    """Start a slow export, and wait until it has written some of its files."""
    arguments = ("--format", name, "--out", out, "--database", database, *options)
    process = subprocess.Popen(
        command(*arguments, module="anomaly_assets_tests.export.slowly"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + LONGEST_SECONDS
    while not any(out.parent.glob(f".{out.name}.*.unfinished/content/**/*.p*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it has written nothing"
        time.sleep(0.01)
    assert not out.exists() or described(out)
    return process


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGKILL, -9, ""),
    ],
)
def test_who_stops_an_export_leaves_nothing_under_its_name_and_can_run_it_again(
    database: Path, tmp_path: Path, name: str, sent: signal.Signals, code: int, said: str
) -> None:
    out = tmp_path / "export"
    process = start_and_wait(database, out, name)
    process.send_signal(sent)
    _, error = process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode == code
    assert said in error
    assert "Traceback" not in error
    left = [r"\.export\.[0-9a-f]{32}\.unfinished", r"\.export\.lock"]
    found = sorted(os.listdir(tmp_path))
    assert len(found) == (2 if sent == signal.SIGKILL else 0)
    assert all(map(re.fullmatch, left, found))
    for made in (out, tmp_path / "whole"):
        assert main(["--format", name, "--out", str(made), "--database", str(database)]) == 0
    assert sorted(os.listdir(tmp_path)) == ["export", "whole"]
    assert files_below(out) == files_below(tmp_path / "whole")


def test_a_signal_during_a_query_ends_the_command_like_any_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit:
            raise RuntimeError("Query interrupted") from None

    monkeypatch.setitem(FORMATS, "parquet", interrupted)
    assert main(["--format", "parquet", "--out", "export"]) == 143
    assert capsys.readouterr().err == "terminated: nothing was exported\n"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_who_stops_an_overwriting_export_leaves_the_old_one(
    database: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    out = tmp_path / "export"
    main(["--format", "parquet", "--out", str(out), "--database", str(database)])
    before = files_below(out)
    process = start_and_wait(database, out, "anomalib", "--overwrite")
    process.send_signal(sent)
    process.communicate(timeout=LONGEST_SECONDS)
    assert files_below(out) == before


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(
    name: str, large_database: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        with small_disk(disk, 2 * 1024 * 1024) as grow:
            arguments = ("--format", name, "--out", disk / "export", "--database", large_database)
            done = run(*arguments)
            assert done.returncode == 1
            assert "No space left on device. Free some space" in done.stderr
            assert "Traceback" not in done.stderr
            assert os.listdir(disk) == []
            grow()
            assert run(*arguments).returncode == 0
            assert os.listdir(disk) == ["export"]
    except Skip as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def large_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish fourteen images of noise, 256 x 256: 2.8 MB in any encoding."""
    pictures = {
        f"mvtec_ad/bottle/train/good/{n:03}.png": noise(n, "RGB", (256, 256)) for n in range(14)
    }
    return publish_pictures(tmp_path_factory.mktemp("large"), pictures, Recipe(256, 256, 3))


def test_the_folder_of_a_disk_is_refused_with_advice(database: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        with small_disk(disk, 4 * 1024 * 1024):
            done = run("--format", "parquet", "--out", disk, "--database", database)
            assert done.returncode == 1
            assert "Name a folder in it" in done.stderr
            assert os.listdir(disk) == []
    except Skip as reason:
        pytest.skip(str(reason))
    assert os.listdir(tmp_path) == ["disk"]


def on_a_terminal(*arguments: object) -> str:
    """Return the command's output on a terminal."""
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(command(*arguments), stdout=its_end, stderr=its_end) as process:
        os.close(its_end)
        said = b""
        while True:
            try:
                read = os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
            if not read:
                break
            said += read
    os.close(terminal)
    assert process.returncode == 0
    return said.decode()


def test_progress_shows_on_a_terminal_and_nowhere_else(database: Path, tmp_path: Path) -> None:
    options = ("--format", "anomalib", "--database", database, "--out")
    assert "10/10" in on_a_terminal(*options, tmp_path / "shown")
    assert on_a_terminal(*options, tmp_path / "quiet", "--quiet") == ""
    assert run(*options, tmp_path / "piped").stderr == ""


def test_the_package_loads_neither_dagster_nor_dlt_nor_any_reader_of_exports() -> None:
    code = (
        "import sys, anomaly_assets.export.__main__; "
        "print({'dagster', 'dlt', 'polars', 'datasets', 'torch', 'pandas'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
