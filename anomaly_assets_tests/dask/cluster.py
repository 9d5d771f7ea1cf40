"""Start a Dask cluster on loopback: a scheduler and workers, each in a separate process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anomaly_assets_tests.stores.servers import free_ports

_PATIENCE_SECONDS = 90
_IMPATIENT = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
}


@dataclass
class Cluster:
    """A scheduler and its workers.

    Attributes:
        folder: Working folder of the processes.
        address: `HOST:PORT` of the scheduler.
        scheduler: Its process.
        workers: Processes of the workers.
    """

    folder: Path
    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def location(self) -> str:
        """Return the value for ANOMALY_COMPUTE."""
        return f"dask://{self.address}"

    def add_worker(
        self,
        threads: int = 1,
        environment: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
        started_in: Path | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a worker without a nanny, which would restart it; `wrapper` is a command that runs it."""
        arguments = ["distributed.cli.dask_worker", f"tcp://{self.address}", "--host", "127.0.0.1"]
        arguments += ["--nthreads", str(threads), "--no-nanny", "--no-dashboard"]
        arguments += ["--memory-limit", "0", "--local-directory", str(self.folder), *options]
        worker = _start(arguments, self.folder, environment, started_in, wrapper)
        self.workers.append(worker)
        return worker

    def wait_for_workers(self, count: int) -> None:
        """Wait until the scheduler has this number of workers."""
        from distributed import Client

        with Client(f"tcp://{self.address}", set_as_default=False) as client:
            client.wait_for_workers(count, timeout=_PATIENCE_SECONDS)

    def stop(self) -> None:
        """Stop all processes."""
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


@contextmanager
def running_cluster(
    folder: Path,
    workers: int = 2,
    threads: int = 1,
    environment: Mapping[str, str] | None = None,
    options: tuple[str, ...] = (),
) -> Iterator[Cluster]:
    """Run a cluster until the block ends; environment and options are those of its workers."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "scheduler.json"
    [port] = free_ports(1)
    arguments = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    arguments += ["--no-dashboard", "--no-jupyter", "--scheduler-file", str(file)]
    scheduler = _start(arguments, folder, _IMPATIENT)
    cluster = Cluster(folder, f"127.0.0.1:{port}", scheduler)
    try:
        # Workers retry until the scheduler listens: all processes import Dask at the same time.
        for _ in range(workers):
            cluster.add_worker(threads, environment, options)
        assert _address(file) == cluster.address
        if workers:
            cluster.wait_for_workers(workers)
        yield cluster
    finally:
        cluster.stop()


def _address(file: Path) -> str:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            return str(json.loads(file.read_text())["address"]).removeprefix("tcp://")
        except (OSError, ValueError, KeyError):
            time.sleep(0.1)
    raise TimeoutError("the scheduler did not start")


def _start(
    arguments: list[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    started_in: Path | None = None,
    wrapper: tuple[str, ...] = (),
) -> subprocess.Popen[bytes]:
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(
            [*wrapper, sys.executable, "-m", *arguments],
            stdout=log,
            stderr=log,
            cwd=started_in,
            env={**os.environ, **(environment or {})},
        )
