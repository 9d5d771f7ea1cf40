"""Test declarations in separate processes: the files read on import, and the end of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from anomaly_assets_tests.assets.trees import write_image
from anomaly_assets_tests.conftest import PROJECT_ROOT

pytestmark = pytest.mark.timeout(300)

LINE4 = '[line4]\nroot = "line4"\nimages = ["{label}/{name}"]\n'
MISSPELLED = '[line5]\nroot = "line5"\nimages = ["{lable}/{name}"]\n'
SECRET = '[line6]\nroot = "https://me:SEKRIT@factory.example/line6/"\nimages = ["{label}/{name}"]\n'


@dataclass(frozen=True)
class Folder:
    """A working folder, in which Python runs without the variables of the shell."""

    path: Path

    def python(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANOMALY_", "DAGSTER_", "MAKE")) and not name.endswith("_ROOT")
        }
        own = {"PYTHONPATH": str(PROJECT_ROOT), "ANOMALY_IMAGE_SIZE": "16"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env={**kept, **own, **variables},
            capture_output=True,
            text=True,
        )

    def materialize(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "anomaly_assets", "materialize", **variables)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for path in ("line4/ok/1.png", "line4/ng/1.png", "line5/ok/1.png"):
        write_image(tmp_path, path)
    return Folder(tmp_path)


def test_a_run_of_everything_fails_with_the_sentences_and_publishes_the_others(
    folder: Folder,
) -> None:
    (folder.path / "own.toml").write_text(LINE4 + MISSPELLED + SECRET)
    done = folder.materialize(ANOMALY_DATASETS="own.toml:none.toml")
    assert done.returncode == 1
    errors = done.stderr
    assert "none.toml: the file cannot be read (No such file or directory)." in errors
    assert (
        "own.toml:6: [line5] images: unknown placeholder {lable}. Did you mean {label}?" in errors
    )
    assert "own.toml:8: root holds a password. Take it out, and set LINE6_ROOT" in errors
    assert "SEKRIT" not in done.stdout + errors
    assert "Traceback" not in done.stdout + errors
    with duckdb.connect(str(folder.path / "data/anomaly.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT image_id FROM anomaly.samples ORDER BY ALL").fetchall()
    assert rows == [("line4/ng/1.png",), ("line4/ok/1.png",)]
    stored = [path for path in (folder.path / "data").rglob("*") if path.is_file()]
    assert not [path for path in stored if b"SEKRIT" in path.read_bytes()]


def test_the_definitions_load_beside_errors(folder: Folder) -> None:
    (folder.path / "datasets.toml").write_text(LINE4 + MISSPELLED)
    done = folder.python(
        "-m", "dagster", "definitions", "validate", "-m", "anomaly_assets.definitions"
    )
    assert done.returncode == 0, done.stdout + done.stderr


AUDIT = """
import json, os, sys
opened, asked = set(), set()
def audit(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes)):
        opened.add(os.path.abspath(os.fsdecode(arguments[0])))
    # A bind is no request: urllib3 binds a socket to find out whether the machine has IPv6.
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.send")):
        asked.add(event)
sys.addaudithook(audit)
from anomaly_assets.definitions import defs
names = sorted({key.path[0] for key in defs.get_repository_def().asset_graph.get_all_asset_keys()})
print(json.dumps([sorted(opened), sorted(asked), names]))
"""


def test_code_is_loaded_from_local_declarations_and_nothing_else(folder: Folder) -> None:
    (folder.path / "own.toml").write_text(
        LINE4
        + '[line7]\nroot = "/none/line7"\nlike = "mvtec_ad"\n'
        + '[line8]\nroot = "s3://none.example/line8"\nlike = "visa"\n'
        + '[line9]\nroot = "https://none.example/line9/"\nlike = "dagm_2007"\n'
        + '[line10]\nroot = "line10.zip"\nlike = "btad"\n'
    )
    done = folder.python("-c", AUDIT, ANOMALY_DATASETS="own.toml")
    assert done.returncode == 0, done.stderr
    opened, asked, names = json.loads(done.stdout.splitlines()[-1])
    assert {f"line{n}" for n in (4, 7, 8, 9, 10)} <= {*names}
    assert asked == []
    here = [path for path in opened if path.startswith(f"{folder.path}/")]
    assert here == [f"{folder.path}/own.toml"]
    assert not [path for path in opened if path.startswith("/none")]


def test_the_file_of_the_working_folder_gives_the_datasets_and_their_command(
    folder: Folder,
) -> None:
    (folder.path / "datasets.toml").write_text(LINE4)
    done = folder.python("-m", "anomaly_assets", "load", "line4")
    assert done.returncode == 0, done.stderr
    assert "line4.images: 2 inserted, 0 updated, 0 deleted, 0 unchanged" in done.stdout
    done = folder.python("-m", "anomaly_assets", "load", "line4", ANOMALY_DATASETS="")
    assert done.returncode == 2
    assert "'line4' is not one of" in done.stderr
    listed = folder.python("-m", "anomaly_assets", "datasets", "list").stdout
    assert listed.startswith("line4: line4, licence unknown, line4 (datasets.toml:1)\n")


def test_a_broken_file_does_not_stop_the_commands_that_read(folder: Folder) -> None:
    (folder.path / "own.toml").write_text(LINE4)
    assert folder.materialize(ANOMALY_DATASETS="own.toml").returncode == 0
    (folder.path / "own.toml").write_text("[half\n")
    done = folder.python("-m", "anomaly_assets", "info", ANOMALY_DATASETS="own.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "holds 2 samples of line4" in done.stdout
    done = folder.python("-m", "anomaly_assets", "datasets", "list", ANOMALY_DATASETS="own.toml")
    assert done.returncode == 2
    assert done.stderr.startswith("own.toml:1: the file is not TOML: ")
