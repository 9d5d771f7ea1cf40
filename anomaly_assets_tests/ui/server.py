"""Start the web server and the daemon, like `make ui` does, in separate folders."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_assets.datasets import SOURCE_DATASETS

PROJECT_ROOT = Path(__file__).parents[2]
_START_SECONDS = 90.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Server:
    """A web server with a daemon.

    Attributes:
        url: URL of its first page.
        folder: Folder of `roots`, the databases, the Dagster home, and `server.log`.
    """

    url: str
    folder: Path

    @property
    def mvtec_ad(self) -> Path:
        return self.folder / "roots" / "mvtec_ad"

    @property
    def dagm_2007(self) -> Path:
        return self.folder / "roots" / "dagm_2007"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text("utf-8", "replace")

    def ask(self, query: str) -> Any:
        """Return the answer to a GraphQL query; used to wait for a state, never to assert it."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)["data"]


@contextmanager
def running(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start both on copies of the samples, on a free port of this machine, and stop them afterwards.

    Args:
        folder: Empty folder for everything that is written.
        settings: Further environment variables.
    """
    port = _free_port()
    server = Server(f"http://127.0.0.1:{port}", folder)
    shutil.copytree(PROJECT_ROOT / "data" / "samples", folder / "roots")
    home = folder / "home"
    home.mkdir()
    shutil.copyfile(PROJECT_ROOT / "dagster.yaml", home / "dagster.yaml")
    roots = {dataset.root_variable for dataset in SOURCE_DATASETS.values()}
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ANOMALY_") and name not in roots
    }
    variables |= {
        "DAGSTER_HOME": str(home),
        "MVTEC_AD_ROOT": str(server.mvtec_ad),
        "DAGM_2007_ROOT": str(server.dagm_2007),
        "ANOMALY_DATASETS": "",  # no `datasets.toml` of the checkout
        "ANOMALY_WAREHOUSE": str(folder / "data" / "warehouse.duckdb"),
        "ANOMALY_DATABASE": str(folder / "data" / "anomaly.duckdb"),
        "ANOMALY_SENSOR_SECONDS": "5",
        # Without a network nothing is evaluated, which would take a minute of each run of all assets.
        "ANOMALY_BACKBONE": str(folder / "none.pt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        **(settings or {}),
    }
    command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml"]
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-p", str(port)],
            cwd=PROJECT_ROOT,
            env=variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its children can be stopped with it
        )
        try:
            _wait_until_it_answers(server, process)
            yield server
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_LOADED = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"


def _wait_until_it_answers(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            [entry] = server.ask(_LOADED)["workspaceOrError"]["locationEntries"]
            if entry["loadStatus"] == "LOADED":
                return
        except (OSError, urllib.error.URLError, ValueError):
            pass
        time.sleep(0.25)
    raise RuntimeError(f"The web server did not start:\n{server.log[-5000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole session to end, then kill it."""
    for wish in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, wish)
        except ProcessLookupError:
            return
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
