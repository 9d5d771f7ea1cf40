"""Materialize the whole graph with decoding on a Dask cluster of this machine, then stop the cluster.

`make run` here, or `python examples/dask/run.py` with the project's Python. All output is below
`examples/dask/data`; the roots are those of the environment, the samples by default.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]

_PATIENCE_SECONDS = 60
_STOP_SECONDS = 10


@contextmanager
def cluster(folder: Path, workers: int, threads: int) -> Iterator[str]:
    """Start a scheduler and workers on loopback, one process each; yield `HOST:PORT`, then stop them."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    quiet = ["--host", "127.0.0.1", "--no-dashboard"]
    started = []
    try:
        scheduler = ["dask_scheduler", *quiet, "--port", "0", "--scheduler-file", str(file)]
        started.append(_start(scheduler, folder))
        address = _address(file, started[0])
        worker = ["dask_worker", f"tcp://{address}", *quiet, "--nthreads", str(threads)]
        # The nanny restarts a worker that died, and ends with this script.
        worker += ["--nworkers", str(workers), "--local-directory", str(folder)]
        started.append(_start(worker, folder))
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"distributed.cli.{arguments[0]}", *arguments[1:]]
    with open(folder / "dask.log", "ab") as log:
        return subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)


def _address(file: Path, scheduler: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and scheduler.poll() is None:
        try:
            return str(json.loads(file.read_text("utf-8"))["address"]).removeprefix("tcp://")
        except (OSError, ValueError):
            time.sleep(0.1)
    raise SystemExit(f"The scheduler did not start; see {file.with_name('dask.log')}.")


def materialize(folder: Path, compute: str) -> int:
    """Run Dagster's command with a separate home; return its exit code."""
    home = folder / "dagster_home"
    home.mkdir(exist_ok=True)
    shutil.copy(HERE / "dagster.yaml", home)
    environment = {
        "ANOMALY_WAREHOUSE": str(folder / "warehouse.duckdb"),
        "ANOMALY_DATABASE": str(folder / "anomaly.duckdb"),
        **os.environ,
        "ANOMALY_COMPUTE": compute,
        "DAGSTER_HOME": str(home),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    command = ["dagster", "asset", "materialize", "-m", "anomaly_assets.definitions"]
    command += ["--select", "*"]
    return subprocess.call([sys.executable, "-m", *command], cwd=PROJECT, env=environment)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--threads", type=int, default=1, help="threads of each")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where to write")
    options = parser.parse_args()
    if min(options.workers, options.threads) < 1:
        parser.error("--workers and --threads: use whole numbers of at least 1.")
    folder = options.data.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with cluster(folder, options.workers, options.threads) as address:
        code = materialize(folder, f"dask://{address}")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
