"""Make a clean copy of the project, in which the commands of the documents run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import duckdb

from anomaly_assets.datasets import SOURCE_DATASETS

_LEFT_OUT = ("ANOMALY_", "AWS_", "AZURE_", "DAGSTER_", "GOOGLE_", "MAKE", "MFLAGS", "PG")
_NAMES_LEFT_OUT = (
    *("ARGS", "CI", "PORT", "PYTHON", "PYTHONPATH"),
    *(dataset.root_variable for dataset in SOURCE_DATASETS.values()),
)
_SECONDS = 300
_START_SECONDS = 120.0


class Checkout:
    """A copy of the files in git, or not ignored by it, with the environment of this Python.

    Attributes:
        folder: Folder of the copy.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=project,
            check=True,
            capture_output=True,
        )
        for name in listed.stdout.decode().split("\0"):
            if name and (project / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(project / name, folder / name)
        # Separate folders, so that no `make` in the copy can change the environment of the tests.
        environment = folder / ".venv"
        (environment / "bin").mkdir(parents=True)
        prefix = Path(sys.prefix)
        for path in (*prefix.iterdir(), *(prefix / "bin").iterdir()):
            if path.name not in (".installed", "bin", "anomaly-assets"):
                (environment / path.relative_to(prefix)).symlink_to(path)
        (environment / ".installed").touch()

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment variables of a fresh login."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_LEFT_OUT) and name not in _NAMES_LEFT_OUT
        }
        return {**kept, **variables}

    def attempt(
        self, script: str, *, folder: Path | None = None, **variables: str
    ) -> tuple[int, str]:
        """Run a script of bash; return its exit code and output."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder or self.folder,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def run(self, script: str, *, folder: Path | None = None, **variables: str) -> str:
        """Run a script of bash that must exit with 0; return its output."""
        code, printed = self.attempt(script, folder=folder, **variables)
        assert code == 0, f"{script}\nexited with {code}:\n{printed[-5000:]}"
        return printed

    @cached_property
    def first_run(self) -> str:
        """Return the output of `make materialize`, the README's first command, in the clean copy."""
        return self.run("make materialize")

    @contextmanager
    def serving(self, command: str, port: int, **variables: str) -> Iterator[str]:
        """Run a command that serves on a port of this machine until it is stopped.

        Yields:
            The answer of the server about itself.
        """
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that its children can be ended with it
        )
        try:
            yield _first_answer(f"http://127.0.0.1:{port}/server_info", process)
        finally:
            _end(process)

    def query(
        self, statement: str, database: str = "data/anomaly.duckdb"
    ) -> duckdb.DuckDBPyRelation:
        """Query the published database."""
        connection = duckdb.connect(str(self.folder / database), read_only=True)
        return connection.sql(statement)


def substituted(text: str, substitutes: Mapping[str, str]) -> str:
    """Return the text with all of these replaced."""
    for old, new in substitutes.items():
        text = text.replace(old, new)
    return text


def _first_answer(url: str, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it answered"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return str(response.read().decode())
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"{url} did not answer")


def _end(process: subprocess.Popen[bytes]) -> None:
    for wish in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, wish)
            process.wait(30)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
