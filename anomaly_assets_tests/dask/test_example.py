"""Test the Dask example as a command: the same published content as with threads, and no leftovers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from anomaly_assets_tests.faults.content import read_content

pytest.importorskip("distributed", reason="needs the extra `dask`")
pytestmark = pytest.mark.timeout(300)


def test_the_example_publishes_what_threads_publish_and_ends_what_it_started(
    project_root: Path, tmp_path: Path
) -> None:
    samples = project_root / "data" / "samples"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANOMALY_")}
    for name in ("mvtec_ad", "dagm_2007"):
        clean[f"{name.upper()}_ROOT"] = str(samples / name)
    clean |= {"ANOMALY_IMAGE_SIZE": "64", "ANOMALY_BACKBONE": "none.pt"}  # evaluates nothing

    on_cluster = tmp_path / "cluster"
    script = str(project_root / "examples" / "dask" / "run.py")
    example = _start([sys.executable, script, "--data", str(on_cluster)], tmp_path, clean)

    on_threads = tmp_path / "threads"
    (on_threads / "home").mkdir(parents=True)
    shutil.copy(project_root / "dagster.yaml", on_threads / "home")
    places = {
        "ANOMALY_WAREHOUSE": str(on_threads / "warehouse.duckdb"),
        "ANOMALY_DATABASE": str(on_threads / "anomaly.duckdb"),
        "DAGSTER_HOME": str(on_threads / "home"),
    }
    command = [
        "dagster",
        "asset",
        "materialize",
        "-m",
        "anomaly_assets.definitions",
        "--select",
        "*",
    ]
    threads = _start([sys.executable, "-m", *command], tmp_path, {**clean, **places}, project_root)

    printed = [process.communicate()[0].decode() for process in (example, threads)]
    assert (example.returncode, threads.returncode) == (0, 0), "\n".join(printed)
    published = [read_content(each / "anomaly.duckdb") for each in (on_cluster, on_threads)]
    assert published[0].differences(published[1]) == []
    assert len(published[0].tables["main.image_tensors"]) == 28 + 34
    assert "Starting established connection" in (on_cluster / "dask.log").read_text("utf-8")
    assert not [command for command in _commands() if str(on_cluster) in command]


def _start(
    command: list[str], folder: Path, environment: dict[str, str], started_in: Path | None = None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=started_in or folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _commands() -> list[str]:
    """Return the command lines of all processes."""
    import psutil

    processes = psutil.process_iter(["cmdline"])
    return [" ".join(process.info["cmdline"] or ()) for process in processes]
